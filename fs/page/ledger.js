// SPDX-License-Identifier: MIT
//
// Duty: the ledger as tables, and the search that narrows all of them.

// A value of a row that narrows the search to itself.
function only(text) {
    const button = make("button", {type: "button", title: "Search for this"}, make("bdi", {}, shown(text)));
    button.addEventListener("click", () => lookFor(text));
    return button;
}

// Rows of sums: one for each key of the events.
function gather(list, key, label) {
    const rows = new Map();
    for (const i of list) {
        const which = key(i);
        let row = rows.get(which);
        if (!row)
            rows.set(which, row = {label: label(i), all: 0, copyups: 0, moved: 0, size: 0, wait: 0,
                                   processes: new Set()});
        const copied = events.Event[i] === COPYUP;
        row.all++;
        row.copyups += copied;
        row.moved += copied ? events.Moved[i] : 0;
        row.size += copied ? events.Size[i] : 0;
        row.wait += copied ? events.Duration[i] : 0;
        row.processes.add(events.Process[i]);
    }
    return [...rows.values()];
}

const sums = (first) => [first, number("Copy-ups", (row) => row.copyups), number("Moved", (row) => row.moved, size),
                         number("In files", (row) => row.size, size), number("Waited", (row) => row.wait, span),
                         number("Events", (row) => row.all)];
const labelled = (title, kind = "tight") => ({title, kind, of: (row) => row.label, show: (row) => only(row.label)});

const EVENT_COLUMNS = [
    {title: "Time (UTC)", kind: "tight", of: (i) => events.Time[i], show: (i) => stamp(events.Time[i], 6)},
    word("Event", (i) => ledger.Kinds[events.Event[i]]),
    word("Path", path, "path"),
    word("Process", caller),
    number("User", (i) => ledger.Processes[events.Process[i]].Uid ?? -1, (uid) => uid < 0 ? "" : String(uid)),
    word("Cause", cause),
    number("Layer", (i) => events.Layer[i] ?? 0, (layer) => layer ? String(layer) : ""),
    word("Type", (i) => ledger.Types[events.Type[i]]),
    number("Size", (i) => events.Size[i], size),
    number("Moved", (i) => events.Moved[i], size),
    word("Means", (i) => ledger.Means[events.Means[i]]),
    number("Waited", (i) => events.Duration[i], span),
];

// `first` is the column that a table is sorted by at the beginning.
const TABLES = [
    {id: "by-process", title: "By process", page: 10, wide: true, first: 1,
     columns: [...sums(labelled("Process")), number("Processes", (row) => row.processes.size)],
     rows: (list) => gather(list, command, command)},
    {id: "by-cause", title: "By cause", page: 10, first: 1,
     columns: sums(labelled("Cause")),
     rows: (list) => gather(list, cause, cause)},
    {id: "by-layer", title: "By layer", page: 10, first: 1,
     columns: sums({title: "From", kind: "tight", of: (row) => row.label, show: (row) => layerWord(row.label)}),
     rows: (list) => gather(list, (i) => events.Layer[i], (i) => events.Layer[i] ?? 0)},
    {id: "by-path", title: "By path", page: 15, wide: true, first: 2,
     columns: sums(labelled("Path", "path")),
     rows: (list) => gather(list, (i) => events.Directory[i] * ledger.Names.length + events.Name[i], path)},
    {id: "events", title: "Events", page: 25, wide: true, first: 0, columns: EVENT_COLUMNS, rows: (list) => list},
];

// The events that have every word somewhere. What is a word of a dictionary is looked up once for each entry.
function search(text) {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    if (words.length === 0)
        return every;
    const lists = [[events.Event, ledger.Kinds], [events.Cause, ledger.Causes], [events.Means, ledger.Means],
                   [events.Type, ledger.Types], [events.Process, ledger.Processes.map((one) => one.Caller)]];
    const tests = words.map((word) => ({
        word, columns: lists.map(([column, list]) => [column, list.map((entry) => entry.toLowerCase().includes(word))]),
    }));
    return every.filter((i) => tests.every(({word, columns}) =>
        columns.some(([column, hit]) => hit[column[i]]) || lowered(i).includes(word)));
}
const lowerPaths = new Array(ledger.Count);
const lowered = (i) => lowerPaths[i] ??= path(i).toLowerCase();

let tables = [];

function find() {
    const list = search($("search").value);
    $("found").textContent = list.length === ledger.Count ? counted(ledger.Count, "event")
        : `${count(list.length)} of ${counted(ledger.Count, "event")}`;
    for (const {table, rows} of tables)
        table.show(rows(list));
}

function lookFor(text) {
    $("search").value = text;
    find();
    $("search").focus();
    $("ledger").scrollIntoView();
}

function startTables() {
    if (ledger.Count === 0) {
        $("ledger").querySelector(".search").remove();
        $("ledger").querySelector(".lead").remove();
        $("tables").append(make("p", {class: "empty"},
            "The ledger is empty: nothing was copied up, hidden or redirected in this mount."));
        return;
    }
    $("tables").className = "tables";
    const nothing = "No event has all these words.";
    tables = TABLES.map((wish) => ({...wish, table: listing($("tables"), {...wish, nothing})}));
    find();
    for (const {table, first} of tables)
        table.sortBy(first);
    let later = 0;
    $("search").addEventListener("input", () => {
        clearTimeout(later);
        later = setTimeout(find, ledger.Count > 20000 ? 150 : 0);
    });
}
