// SPDX-License-Identifier: MIT
//
// Duty: the timeline of copy-ups.

// Colours are told apart by a texture too.
function textures() {
    const stroke = (d, width) => draw("path", {class: "ink", d, "stroke-width": width});
    const inks = [null, stroke("M-1 7L7 -1M5 9L9 5", 1.4), draw("circle", {class: "dot", cx: 4, cy: 4, r: 1.5}),
                  stroke("M0 4h8", 1.6), stroke("M-1 1L7 9M5 -1L9 3", 1.4), stroke("M4 0v8", 1.6),
                  stroke("M0 4h8M4 0v8", 1), null];
    const patterns = inks.map((ink, k) => draw("pattern",
        {id: `texture${k}`, class: `s${k}`, width: 8, height: 8, patternUnits: "userSpaceOnUse"},
        draw("rect", {class: "solid", width: 8, height: 8}), ink));
    document.body.append(draw("svg", {width: 0, height: 0, "aria-hidden": "true", focusable: "false"},
        draw("defs", {}, ...patterns)));
}

const line = {bins: [], at: 0};

// Each column: from when to when, and for each series its sum.
function binsOf(columns, by, weight, along) {
    const times = events.Time, first = copyups.reduce((least, i) => Math.min(least, times[i]), Infinity);
    const last = copyups.reduce((most, i) => Math.max(most, times[i]), first);
    const width = Math.max(1, last - first) / columns;
    const bins = Array.from({length: columns}, (_, k) => ({
        from: first + k * width, to: first + (k + 1) * width, count: 0, bytes: 0, total: 0,
        sums: new Array(SERIES).fill(0)}));
    copyups.forEach((i, k) => {
        const at = along === "order" ? Math.floor(k * columns / copyups.length)
            : Math.min(columns - 1, Math.floor((times[i] - first) / width));
        const bin = bins[at], value = weight === "bytes" ? events.Moved[i] : 1;
        if (along === "order") {
            bin.from = bin.count ? Math.min(bin.from, times[i]) : times[i];
            bin.to = bin.count ? Math.max(bin.to, times[i]) : times[i];
        }
        bin.count++;
        bin.bytes += events.Moved[i];
        bin.sums[by.of(i)] += value;
        bin.total += value;
    });
    return bins;
}

// 1, 2 or 5 times a power of ten, so that some four of them reach the top.
function step(top) {
    const power = 10 ** Math.floor(Math.log10(Math.max(top, 1) / 4));
    return Math.max(1, power * [1, 2, 5, 10].find((times) => times * power * 4 >= top));
}

function clock(offset, width) {
    const at = moment(offset, width < 1e10 ? 3 : 0);
    return width > 864e11 ? `${at.day.slice(5)} ${at.clock.slice(0, 5)}` : at.clock;
}

function legend(by) {
    $("legend").replaceChildren(...by.labels.map((label, k) => make("li", {},
        draw("svg", {viewBox: "0 0 16 16", "aria-hidden": "true"},
            draw("rect", {width: 16, height: 16, fill: `url(#texture${k})`})),
        make("bdi", {}, shown(label)), " ", make("span", {}, count(by.counts[k])))));
}

function axes(w, h, left, bottom, top, words, whole) {
    const parts = [], every = step(top), y = (value) => bottom - (bottom - 12) * value / top;
    for (let value = 0; value <= top; value += every) {
        parts.push(draw("path", {class: value ? "grid" : "axis", d: `M${left} ${y(value).toFixed(1)}H${w}`}),
                   draw("text", {x: left - 6, y: y(value) + 4, "text-anchor": "end"}, words(value)));
    }
    const ticks = Math.max(2, Math.min(7, Math.floor((w - left) / 120)));
    for (let k = 0; k < ticks; k++) {
        const bin = line.bins[Math.min(line.bins.length - 1, Math.round(k * line.bins.length / (ticks - 1)))];
        const text = clock(k === ticks - 1 ? bin.to : bin.from, whole);
        parts.push(draw("text", {x: left + (w - left) * k / (ticks - 1), y: h - 4,
                                 "text-anchor": k === 0 ? "start" : k === ticks - 1 ? "end" : "middle"}, text));
    }
    return parts;
}

function drawLine() {
    const by = series(), weight = choice("height"), along = choice("along");
    legend(by);
    const w = Math.max(280, $("line").clientWidth), h = 240, left = 58, bottom = h - 22;
    const columns = Math.min(COLUMNS, Math.floor((w - left) / 8), along === "order" ? copyups.length : COLUMNS);
    line.bins = binsOf(columns, by, weight, along);
    const top = Math.max(...line.bins.map((bin) => bin.total), 1), width = (w - left) / columns;
    const whole = line.bins[columns - 1].to - line.bins[0].from;
    const bars = [];
    line.bins.forEach((bin, k) => {
        let y = bottom;
        bin.sums.forEach((value, s) => {
            if (value === 0)
                return;
            const high = Math.max(bin.total > 0 ? .5 : 0, (bottom - 12) * value / top);
            y -= high;
            bars.push(draw("rect", {
                class: "bar", x: (left + k * width + .5).toFixed(2), y: y.toFixed(2), height: high.toFixed(2),
                width: Math.max(.5, width - 1).toFixed(2), fill: `url(#texture${s})`}));
        });
    });
    line.at = Math.min(line.at, columns - 1);
    line.cursor = draw("rect", {class: "cursor", y: 4, height: bottom - 4, width: width.toFixed(2),
                                visibility: "hidden"});
    Object.assign(line, {left, width, scale: w});
    $("line").replaceChildren(draw("svg", {viewBox: `0 0 ${w} ${h}`, "aria-hidden": "true"},
        ...axes(w, h, left, bottom, top, weight === "bytes" ? size : count, whole), ...bars, line.cursor));
    $("line").setAttribute("aria-valuemin", "1");
    $("line").setAttribute("aria-valuemax", String(columns));
    const day = moment(line.bins[0].from, 0);
    $("times-lead").textContent =
        `${counted(copyups.length, "copy-up")} within ${span(whole)}, from ${day.day} ${day.clock} UTC on.`;
    point(line.at, false);
}

function binWords(bin) {
    const by = series(), weight = choice("height");
    const parts = bin.sums.map((value, s) => [value, s]).filter(([value]) => value > 0).sort((a, b) => b[0] - a[0])
        .map(([value, s]) => `${shown(by.labels[s])} ${weight === "bytes" ? size(value) : count(value)}`);
    return `${stamp(bin.from, 6)} to ${stamp(bin.to, 6)}: ` +
        `${counted(bin.count, "copy-up")}, ${size(bin.bytes)} moved` + (parts.length ? `: ${parts.join(", ")}` : "");
}

function point(at, seen) {
    line.at = Math.max(0, Math.min(line.bins.length - 1, at));
    const words = binWords(line.bins[line.at]);
    $("line").setAttribute("aria-valuenow", String(line.at + 1));
    $("line").setAttribute("aria-valuetext", words);
    line.cursor.setAttribute("x", (line.left + line.at * line.width).toFixed(2));
    line.cursor.setAttribute("visibility", seen ? "visible" : "hidden");
    $("line-said").textContent = seen ? words : "";
}

function lineKey(event) {
    const steps = {ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageUp: 10, PageDown: -10,
                   Home: -COLUMNS, End: COLUMNS};
    if (!steps[event.key] || event.ctrlKey || event.altKey || event.metaKey)
        return;
    event.preventDefault();
    point(line.at + steps[event.key], true);
}

function startLine() {
    if (copyups.length === 0) {
        $("line").replaceWith(make("p", {class: "empty"},
            "Nothing was copied up, so there is nothing to show over time."));
        for (const element of $("times").querySelectorAll(".controls, .help, .said, .lead, #legend"))
            element.hidden = true;
        return;
    }
    textures();
    drawLine();
    $("line").addEventListener("keydown", lineKey);
    $("line").addEventListener("focus", () => point(line.at, true));
    $("line").addEventListener("blur", () => point(line.at, false));
    $("line").addEventListener("pointermove", (event) => {
        const box = $("line").getBoundingClientRect(), x = (event.clientX - box.left) * line.scale / box.width;
        if (x >= line.left)
            point(Math.floor((x - line.left) / line.width), true);
    });
    $("line").addEventListener("pointerleave", () => point(line.at, document.activeElement === $("line")));
}
