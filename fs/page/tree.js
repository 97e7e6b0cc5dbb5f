// SPDX-License-Identifier: MIT
//
// Duty: copied-up bytes as a tree of directories, and a directory laid out as tiles.

const newNode = (name, up) => ({name, up, Moved: 0, Size: 0, count: 0, folders: new Map(), events: [], cut: null});

function growTree() {
    const root = newNode("/", null);
    const nodes = ledger.Directories.map((directory) => {
        let node = root;
        for (const name of directory.split("/").filter(Boolean)) {
            if (!node.folders.has(name))
                node.folders.set(name, newNode(name, node));
            node = node.folders.get(name);
        }
        return node;
    });
    for (const i of copyups) {
        nodes[events.Directory[i]].events.push(i);
        for (let node = nodes[events.Directory[i]]; node; node = node.up) {
            node.Moved += events.Moved[i];
            node.Size += events.Size[i];
            node.count++;
        }
    }
    return root;
}

function nodePath(node) {
    const names = [];
    for (let at = node; at && at.up; at = at.up)
        names.unshift(at.name);
    return "/" + names.join("/");
}

// Those below a node by themselves: its directories, and its files (several events of one are one).
function below(node) {
    if (node.cut)
        return node.cut;
    const files = new Map();
    for (const i of node.events) {
        const file = files.get(events.Name[i]) ||
            {...newNode(ledger.Names[events.Name[i]] || "(itself)", node), file: true};
        file.Moved += events.Moved[i];
        file.Size += events.Size[i];
        file.count++;
        file.events.push(i);
        files.set(events.Name[i], file);
    }
    return [...node.folders.values(), ...files.values()].filter((one) => one.count > 0);
}

// A directory that holds one directory and nothing else is shown as one step with it.
function deepest(node) {
    while (!node.file && !node.cut && node.events.length === 0) {
        const inhabited = [...node.folders.values()].filter((one) => one.count > 0);
        if (inhabited.length !== 1)
            break;
        node = inhabited[0];
    }
    return node;
}

function between(node, top) {
    const names = [];
    for (let at = node; at && at !== top; at = at.up)
        names.unshift(at.name);
    return names.join("/");
}

// The series that moved most of what lies below.
function mostly(node, by, measure) {
    const sums = new Array(SERIES).fill(0), stack = [node];
    while (stack.length) {
        const at = stack.pop();
        for (const i of at.events)
            sums[by.of(i)] += events[measure][i];
        stack.push(...(at.cut || at.folders.values()));
    }
    return sums.indexOf(Math.max(...sums));
}

// Squarified: rows are laid along the shorter side for as long as that makes the tiles squarer. `items` have a
// value, the largest first, and get x, y, w, h; areas are exactly in proportion to the values.
function squarify(items, x, y, w, h) {
    let left = items.reduce((total, item) => total + item.value, 0);
    const scale = left > 0 ? w * h / left : 0;
    const worst = (first, last, total, side) =>
        Math.max(side * side * first / (total * total), total * total / (side * side * last));
    for (let from = 0; from < items.length;) {
        const side = Math.min(w, h);
        let to = from, total = 0, before = Infinity;
        while (to < items.length) {
            const next = total + items[to].value * scale;
            const now = worst(items[from].value * scale, items[to].value * scale, next, side);
            if (to > from && now > before)
                break;
            before = now;
            total = next;
            to++;
        }
        const thick = side > 0 ? total / side : 0;
        let along = 0;
        for (let k = from; k < to; k++) {
            const long = total > 0 ? side * items[k].value * scale / total : 0;
            Object.assign(items[k], w >= h ? {x, y: y + along, w: thick, h: long}
                                           : {x: x + along, y, w: long, h: thick});
            along += long;
        }
        if (w >= h) {
            x += thick;
            w -= thick;
        } else {
            y += thick;
            h -= thick;
        }
        from = to;
    }
}

// What is seen of a node: its largest children, and one tile for all the others.
function tilesOf(node, measure, w, h) {
    const items = below(node).filter((one) => one[measure] > 0)
        .map((one) => ({node: one, value: one[measure]})).sort((a, b) => b.value - a.value);
    const least = node[measure] * 90 / (w * h);
    let kept = Math.min(items.length, TILES);
    while (kept > 1 && kept > items.length / 1000 && items[kept - 1].value < least)
        kept--;
    if (items.length - kept < 2)
        kept = items.length > TILES + 1 ? kept : items.length;
    if (kept < items.length) {
        const cut = items.splice(kept).map((item) => item.node);
        const rest = {...newNode(`${count(cut.length)} others`, node), cut, rest: true};
        for (const one of cut)
            for (const column of ["Moved", "Size", "count"])
                rest[column] += one[column];
        items.push({node: rest, value: rest[measure]});
        items.sort((a, b) => b.value - a.value);
    }
    squarify(items, 0, 0, w, h);
    return items;
}
