// SPDX-License-Identifier: MIT
//
// Duty: the head of the page, and the stack as a picture.

function facts() {
    const mount = data.Mount;
    const served = mount.Served || {};
    $("name").textContent = shown(mount.Name);
    document.title = `${shown(mount.Name)} · plyfs report`;
    const rows = [["Image", mount.Image || "none: it stands on directories"],
                  ["State", mount.State + (served.Profile ? `, ${served.Profile} profile` : "")],
                  ["Mountpoint", mount.Mountpoint], ["Mounted", said(mount.MountedAt)],
                  ["Created", said(mount.CreatedAt)], ["This report", said(data.Generated)]];
    for (const [term, value] of rows)
        if (value)
            $("facts").append(make("dt", {}, term), make("dd", {}, shown(value)));
    if (ledger.Lost)
        $("notices").append(make("p", {class: "notice", role: "note"},
            `${counted(ledger.Lost, "event")} found no room on their way to the ledger, so the sums are too low.`));
}

function totals() {
    const moved = sum(copyups, events.Moved), all = sum(copyups, events.Size);
    const rows = [[count(copyups.length), copyups.length === 1 ? "copy-up" : "copy-ups"],
                  [size(moved), "moved by them"],
                  [size(all), "in the files that they copied up"],
                  [span(sum(copyups, events.Duration)), "that callers waited"],
                  [count(ledger.Count - copyups.length),
                   "other events: whiteouts, opaque marks, redirects, refusals"]];
    for (const [value, words] of rows)
        $("totals").append(make("div", {}, make("dt", {}, words), make("dd", {}, value)));
}

// A sheet seen from above and in front: its top, and a front as high as the layer is large.
function sheet(thickness) {
    const front = 3 + 23 * thickness, y = 8;
    return draw("svg", {viewBox: "0 0 152 52", preserveAspectRatio: "none", "aria-hidden": "true"},
        draw("path", {class: "front", d: `M1 ${y + 16}h122v${front}h-122z`}),
        draw("path", {class: "front", d: `M123 ${y + 16}l28 -16v${front}l-28 16z`}),
        draw("path", {class: "top", d: `M1 ${y + 16}l28 -16h122l-28 16z`}));
}

function layerRow(layer, largest, taken) {
    const upper = layer.Layer === "upper", from = taken.get(layer.Layer);
    const title = upper ? "upper" : `layer ${layer.Layer}`;
    const name = layer.Name || (layer.Id ? layer.Id.slice(0, 12) : layer.Path) || "";
    const beneath = upper ? "what was changed in the mount"
        : from ? `${counted(from.files, "copy-up")} from here, ${size(from.moved)} moved`
        : "nothing was copied up from here";
    return make("li", {class: upper ? "layer upper" : "layer", "data-bytes": layer.Size},
        sheet(largest ? layer.Size / largest : 0),
        make("div", {class: "who", title: shown(layer.Source || layer.Path || "")},
            make("b", {}, title), ...(upper ? [] : [" · ", make("bdi", {}, shown(name))]), make("span", {}, beneath)),
        make("div", {class: "size"}, layer.Size === null ? "not readable" : size(layer.Size),
            layer.Files === null ? null : make("span", {}, counted(layer.Files, "name"))));
}

function stack() {
    const taken = new Map();
    for (const i of copyups) {
        const of = taken.get(events.Layer[i]) || {files: 0, moved: 0};
        of.files++;
        of.moved += events.Moved[i];
        taken.set(events.Layer[i], of);
    }
    const largest = Math.max(0, ...data.Layers.map((layer) => layer.Size || 0));
    const rows = data.Layers.map((layer) => layerRow(layer, largest, taken));
    const list = make("ol", {class: "stack-list"}, ...rows.slice(0, SHEETS));
    $("sheets").append(list);
    if (rows.length <= SHEETS)
        return;
    const button = make("button", {type: "button"}, `Show ${count(rows.length - SHEETS)} more layers beneath`);
    const fold = make("div", {class: "fold"}, button);
    button.addEventListener("click", () => {
        list.append(...rows.slice(SHEETS));
        rows[SHEETS].setAttribute("tabindex", "-1");
        rows[SHEETS].focus();
        fold.remove();
    });
    $("sheets").append(fold);
}
