# SPDX-License-Identifier: MIT
"""What a union shows, worked out from the layers' data alone: an oracle that asks no filesystem.

Rules: the topmost entry of a name wins; directories merge downward until a layer has something
else, a whiteout, or an opaque directory at that name; a file .wh.NAME hides NAME in the layers below
its own, but not in its own; a directory has its owner, mode, times and xattrs from its topmost copy.
"""
import os


def resolve(stack):
    """{path: (entry, identity)} of the union of the stack, topmost layer first. Names with one
    identity, (layer, path), are one inode. The entry of a second name is that of the first."""
    layers = []
    for layer in stack:
        children = {}
        for entry in layer:
            if entry[1]:
                parent, name = os.path.split(entry[1])
                children.setdefault(parent, {})[name] = entry
        layers.append((children, {e[1]: e for e in layer}))
    shown = {b"": (layers[0][1][b""], (0, b""))}

    def descend(path, sources):
        names = sorted({name for i in sources for name in layers[i][0].get(path, ())})
        for name in names:
            full = path + b"/" + name if path else name
            top, below = None, []
            for i in sources:
                entry = layers[i][0].get(path, {}).get(name)
                if entry is None:
                    continue
                if entry[0] == "whiteout":
                    break
                if entry[0] != "dir":
                    top = top or (i, entry)
                    break
                top = top or (i, entry)
                below.append(i)
                if entry[7]:
                    break
            if top is None:
                continue
            i, entry = top
            if entry[0] == "link":
                entry = layers[i][1][entry[7]]
            shown[full] = (entry, (i, entry[1]))
            if entry[0] == "dir":
                descend(full, below)

    descend(b"", range(len(layers)))
    return shown


def plain_entries(shown):
    """The entries of one layer without whiteouts that looks like the union `shown`."""
    first, entries = {}, []
    for path, (entry, identity) in shown.items():
        if entry[0] != "dir" and identity in first:
            entries.append(("link", path, 0, 0, 0, 0, (), first[identity]))
            continue
        first[identity] = path
        entries.append((entry[0], path, *entry[2:7], "" if entry[0] == "dir" else entry[7]))
    return entries
