// SPDX-License-Identifier: MIT
//
// Duty: the volumes, and what they hide.

function hiddenWords({Hidden: hidden}) {
    const part = ({Layer: layer, Files: files, Bytes: bytes}) =>
        `${counted(files, "file")}, ${size(bytes)} of ${layer ? `layer ${layer}` : "the upper"}`;
    return hidden.Files === 0 ? "nothing" : hidden.Layers.map(part).join("; ");
}

const ROUTE_COLUMNS = [
    word("Destination", (row) => row.Destination, "path"), word("Type", (row) => row.Type),
    word("Source", (row) => row.Source || "", "path"),
    word("Access", (row) => row.ReadOnly ? "read-only" : "read and write"),
    number("Files hidden", (row) => row.Hidden.Files), number("Bytes hidden", (row) => row.Hidden.Bytes, size),
    {title: "Of", kind: "words", of: (row) => row.Hidden.Files, show: hiddenWords},
];

function hiddenPaths(volume) {
    const more = volume.Hidden.Files - volume.Paths.length;
    const item = ({Path: path, Size: bytes, Layer: layer}) => make("li", {}, make("bdi", {class: "path"}, shown(path)),
        make("span", {}, `  ${size(bytes)}, ${layer === "upper" ? "the upper" : `layer ${layer}`}`));
    return make("details", {}, make("summary", {}, `What ${shown(volume.Destination)} hides`),
        make("ul", {class: "hidden-paths"}, ...volume.Paths.map(item)),
        more > 0 ? make("p", {class: "help"}, `and ${count(more)} more, which plyfs shadow lists.`) : null);
}

function startVolumes() {
    if (data.Volumes.length === 0) {
        $("routes").append(make("p", {class: "empty"},
            "No volume lies over this mount, so nothing is hidden by one."));
        return;
    }
    const table = listing($("routes"), {id: "routes-table", title: "Routes", page: 50, wide: true,
                                        columns: ROUTE_COLUMNS});
    table.show(data.Volumes);
    $("routes").append(...data.Volumes.filter((volume) => volume.Paths.length > 0).map(hiddenPaths));
}
