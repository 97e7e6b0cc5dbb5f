// SPDX-License-Identifier: MIT
//
// Duty: the treemap: a directory as a picture, and the way through the tree by pointer and by key.

const map = {tree: growTree(), view: null, trail: [], tiles: [], at: 0};

const clipped = (text, width, letter) => {
    const room = Math.floor(width / letter);
    return text.length <= room ? text : room < 2 ? "" : text.slice(0, room - 1) + "…";
};

// What is in a directory, faintly: the outlines of its largest parts, and the names of those that have room.
function grain(node, item, measure, label) {
    if (node.file || item.w < 60 || item.h < 60)
        return [];
    const top = deepest(node);
    const items = below(top).filter((one) => one[measure] > 0).map((one) => ({node: one, value: one[measure]}))
        .sort((a, b) => b.value - a.value);
    const rest = items.splice(GRAINS);
    if (rest.length)
        items.push({node: null, value: rest.reduce((all, one) => all + one.value, 0)});
    items.sort((a, b) => b.value - a.value);
    if (items.length < 2)
        return [];
    squarify(items, item.x + 1, item.y + 1, item.w - 2, item.h - 2);
    const corner = ({x, y, w, h}) => `M${x.toFixed(1)} ${y.toFixed(1)}h${w.toFixed(1)}v${h.toFixed(1)}`;
    // The label of the tile itself lies over the first, and may reach over others.
    const under = (one) => one !== items[0] && one.y < item.y + 40 && one.x < item.x + 16 + label.length * 7.9;
    const fits = (one, k) => one.node && one.w > 64 && one.h > (k ? 30 : 66) && !under(one);
    const names = items.filter(fits).slice(0, NAMES).map((one) => {
        const name = shown(one.node.file ? one.node.name : between(deepest(one.node), top) + "/");
        const at = {x: one.x + 7, y: one.y + (one === items[0] ? 58 : 19)};
        return draw("text", {class: "within", ...at, "aria-hidden": "true"}, clipped(name, one.w - 14, 7.2));
    });
    return [draw("path", {class: "grain", d: items.map(corner).join("")}), ...names];
}

// A rectangle of a tile, so far inside its edge.
const inside = ({x, y, w, h}, by, what) => draw("rect", {
    class: what, x: x + by, y: y + by, width: Math.max(0, w - 2 * by), height: Math.max(0, h - 2 * by)});

function labelOf(item, name) {
    const {x, y, w, h} = item;
    const label = draw("svg", {x, y, width: Math.max(0, w - 4), height: h, overflow: "hidden", "aria-hidden": "true"});
    if (w > 34 && h > 22)
        label.append(draw("text", {class: "label", x: 8, y: 19}, clipped(name, w - 14, 7.9)));
    if (w > 60 && h > 40)
        label.append(draw("text", {class: "bytes", x: 8, y: 35}, clipped(size(item.value), w - 14, 7.2)));
    return label;
}

function nameOf(node) {
    return node.rest ? node.name : shown(node.file ? node.name : between(deepest(node), node.up) + "/");
}

function tile(item, at, measure, whole, by) {
    const node = item.node, name = nameOf(node), who = mostly(node, by, measure);
    const share = (100 * item.value / whole).toPrecision(3);
    const words = `${name}, ${size(item.value)}, ${share} %, ${counted(node.count, "copy-up")}, ` +
        `mostly ${shown(by.labels[who])}`;
    const band = inside({...item, w: Math.min(6, item.w)}, 1, "band");
    return draw("g", {class: `tile s${who}`, role: node.file ? "img" : "button", tabindex: at === map.at ? 0 : -1,
                      "aria-label": words, "data-at": at, "data-bytes": item.value},
        inside(item, 0, "area"), ...grain(node, item, measure, name), band, labelOf(item, name),
        draw("title", {}, words), inside(item, 2.5, "ring"));
}

function crumbs() {
    const steps = [...map.trail, map.view];
    $("crumbs").replaceChildren(...steps.map((node, k) => {
        const before = steps[k - 1], last = k === steps.length - 1;
        const name = k === 0 ? "root" : node.rest ? node.name : between(node, before.rest ? before.up : before);
        const button = make("button", {type: "button", disabled: last, "aria-current": last ? "location" : null},
                            shown(name));
        button.addEventListener("click", () => climb(k));
        return make("li", {}, button);
    }));
    $("list-these").hidden = map.view === map.tree || map.view.rest;
}

function leadWords(moved, none) {
    const what = moved ? "moved by copy-ups" : "in the files that were copied up";
    const rest = moved ? "moved no bytes (metadata alone, shared extents, empty files) and" : "of an empty file";
    return `Directories by the bytes ${what} beneath them; the colour is that of the ${choice("colour")} ` +
        `that ${moved ? "moved" : "copied up"} most of it, as in the timeline.` +
        (none ? ` ${counted(none, "copy-up")} ${rest} ${none === 1 ? "has" : "have"} no area.` : "");
}

// Where nothing has an area: why.
function emptyMap(moved) {
    const words = copyups.length === 0 ? "Nothing was copied up."
        : moved ? "No bytes here: what was copied up moved none. The area may show the bytes in the files instead."
        : "No bytes here: what was copied up are empty files.";
    $("map").replaceChildren(make("p", {class: "empty"}, words));
}

function drawMap() {
    const measure = choice("measure"), moved = measure === "Moved", whole = map.view[measure], by = series();
    $("bytes").querySelector(".controls").hidden = $("bytes-lead").hidden = copyups.length === 0;
    $("map-help").hidden = $("map-said").hidden = whole === 0;
    $("bytes-lead").textContent = leadWords(moved, copyups.filter((i) => events[measure][i] === 0).length);
    crumbs();
    map.tiles = [];
    if (whole === 0) {
        emptyMap(moved);
        return;
    }
    const w = Math.max(280, $("map").clientWidth), h = Math.round(Math.min(520, Math.max(320, w * .45)));
    map.tiles = tilesOf(map.view, measure, w, h);
    map.at = Math.min(map.at, map.tiles.length - 1);
    const name = map.view === map.tree ? "All" : shown(map.view.rest ? map.view.name : nodePath(map.view));
    $("map").replaceChildren(
        draw("svg", {viewBox: `0 0 ${w} ${h}`, "data-bytes": whole, role: "group", "aria-label": "Tiles"},
            ...map.tiles.map((item, at) => tile(item, at, measure, whole, by))));
    $("map-said").textContent = `${name}: ${size(whole)} in ${counted(map.view.count, "copy-up")}.`;
}

const tileElement = (at) => $("map").querySelector(`[data-at="${at}"]`);

function focusTile(at) {
    tileElement(map.at)?.setAttribute("tabindex", "-1");
    map.at = at;
    const element = tileElement(at);
    element?.setAttribute("tabindex", "0");
    element?.focus();
}

function open(at) {
    const node = map.tiles[at]?.node;
    if (!node || node.file)
        return;
    map.trail.push(map.view);
    map.view = node.rest ? node : deepest(node);
    map.at = 0;
    drawMap();
    focusTile(0);
}

// To a place of the trail; the tile that one came from has the focus again.
function climb(to) {
    const from = map.trail[to + 1] || map.view;
    if (to < 0 || to >= map.trail.length)
        return;
    map.view = map.trail[to];
    map.trail.length = to;
    drawMap();
    const led = ({node}) => node.rest ? from.rest : node === from || deepest(node) === from;
    focusTile(Math.max(0, map.tiles.findIndex(led)));
}

// The next tile in a direction: the nearest of those whose middle lies there.
function neighbour(at, dx, dy) {
    const from = map.tiles[at], middle = (item) => [item.x + item.w / 2, item.y + item.h / 2];
    const [x, y] = middle(from);
    let best = at, least = Infinity;
    map.tiles.forEach((item, k) => {
        const [u, v] = middle(item), forth = (u - x) * dx + (v - y) * dy;
        const far = forth + 2 * Math.abs((u - x) * dy + (v - y) * dx);
        if (k !== at && forth > .5 && far < least)
            [best, least] = [k, far];
    });
    return best;
}

const ARROWS = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};

function mapKey(event) {
    if (event.ctrlKey || event.altKey || event.metaKey)
        return;
    if (ARROWS[event.key])
        focusTile(neighbour(map.at, ...ARROWS[event.key]));
    else if (event.key === "Home" || event.key === "End")
        focusTile(event.key === "Home" ? 0 : map.tiles.length - 1);
    else if (event.key === "Enter" || event.key === " ")
        open(map.at);
    else if (event.key === "Backspace" || event.key === "Escape")
        climb(map.trail.length - 1);
    else
        return;
    event.preventDefault();
}

function startMap() {
    map.view = map.tree;
    const which = (event) => event.target.closest("[data-at]");
    const tell = (event) => {
        const element = which(event);
        if (element)
            $("map-said").textContent = element.getAttribute("aria-label");
    };
    $("map").addEventListener("click", (event) => {
        const element = which(event);
        if (element)
            open(Number(element.dataset.at));
    });
    $("map").addEventListener("keydown", mapKey);
    $("map").addEventListener("focusin", (event) => {
        const element = which(event);
        if (element) {
            tileElement(map.at)?.setAttribute("tabindex", "-1");
            map.at = Number(element.dataset.at);
            element.setAttribute("tabindex", "0");
        }
        tell(event);
    });
    $("map").addEventListener("pointerover", tell);
    $("list-these").addEventListener("click", () => lookFor(nodePath(map.view) + "/"));
}
