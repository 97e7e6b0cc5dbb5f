// SPDX-License-Identifier: MIT
//
// Duty: a table that sorts and turns pages, whatever it shows.

// A table that sorts, a page at a time. A column: {title, kind, of: row -> value to sort by, show: row -> what is
// seen, a text or an element}. Numbers begin with the largest, texts with the first.
function listing(place, {id, title, columns, page, wide, nothing}) {
    const state = {rows: [], order: [], at: 0, column: -1, down: false};
    const body = make("tbody"), pages = make("nav", {class: "pages", "aria-label": `Pages of: ${title}`});
    const heads = columns.map((column, k) => {
        const button = make("button", {type: "button"}, column.title);
        button.addEventListener("click", () => sortBy(k));
        return make("th", {scope: "col", class: column.kind === "number" ? "number" : null}, button);
    });
    const region = make("div", {class: "scroll", role: "region", tabindex: 0, "aria-labelledby": `${id}-title`},
        make("table", {id}, make("thead", {}, make("tr", {}, ...heads)), body));
    const empty = make("p", {class: "empty", hidden: true}, nothing);
    place.append(make("div", {class: wide ? "listing wide" : "listing"},
        make("h3", {id: `${id}-title`}, title), region, empty, pages));

    const cell = (column, row) => make("td", {class: column.kind}, column.show(row));
    function turn(to) {
        const many = state.order.length, last = Math.max(0, Math.ceil(many / page) - 1);
        state.at = Math.max(0, Math.min(last, to));
        const from = state.at * page, seen = Array.from(state.order.slice(from, from + page), (k) => state.rows[k]);
        body.replaceChildren(...seen.map((row) => make("tr", {}, ...columns.map((column) => cell(column, row)))));
        region.hidden = pages.hidden = many === 0;
        empty.hidden = many > 0;
        turnWords(from, many, last);
    }
    // What stands beneath: where one is, and the buttons; the one that was pressed keeps the focus while it can.
    function turnWords(from, many, last) {
        const held = [...pages.querySelectorAll("button")].indexOf(document.activeElement);
        const goals = [["First", 0], ["Previous", state.at - 1], ["Next", state.at + 1], ["Last", last]];
        const buttons = goals.map(([word, where]) => {
            const leads = where !== state.at && where >= 0 && where <= last;
            const button = make("button", {type: "button", disabled: !leads}, word);
            button.addEventListener("click", () => turn(where));
            return button;
        });
        const words = last > 0 ? `${count(from + 1)} to ${count(Math.min(many, from + page))} of ${count(many)}`
            : counted(many, "row");
        pages.replaceChildren(make("span", {}, words), ...(last > 0 ? buttons : []));
        if (held >= 0 && last > 0)
            (buttons[held].disabled ? buttons.find((button) => !button.disabled) : buttons[held]).focus();
    }
    function arrange() {
        const rows = state.rows, column = columns[state.column], sign = state.down ? -1 : 1;
        state.order = Uint32Array.from({length: rows.length}, (_, k) => k);
        if (column) {
            const keys = Array.from(rows, column.of);
            state.order.sort((a, b) => keys[a] < keys[b] ? -sign : keys[a] > keys[b] ? sign : a - b);
        }
        turn(0);
    }
    function sortBy(k) {
        state.down = state.column === k ? !state.down : columns[k].kind === "number";
        state.column = k;
        heads.forEach((head) => head.removeAttribute("aria-sort"));
        heads[k].setAttribute("aria-sort", state.down ? "descending" : "ascending");
        arrange();
    }
    return {
        show(rows) {
            state.rows = rows;
            arrange();
        },
        sortBy,
    };
}

const number = (title, of, show = count) => ({title, kind: "number", of, show: (row) => show(of(row))});
const word = (title, of, kind = "tight") => ({title, kind, of, show: (row) => make("bdi", {}, shown(of(row)))});
