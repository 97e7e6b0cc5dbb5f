# SPDX-License-Identifier: MIT
"""Random stacks of layers, as data.

A layer is a list of entries, a stack a list of layers, topmost first; all of it is printed by repr()
and read back by ast.literal_eval(), so a stack can be replayed and shrunk entry by entry.

An entry is (kind, path, mode, uid, gid, mtime in ns, xattrs, more); path b"" is the layer's root.
  dir       more: "", or "opaque" (the xattr), or ".opq" (a file .wh..wh..opq inside)
  file      more: (size, ((offset, length, salt), ...)): a sparse file with pieces of pattern()
  symlink   more: the target         chr, blk  more: (major, minor)         fifo, sock
  link      more: the path, in the same layer, of the name that this is a second name of
  whiteout  more: "dev" (char 0:0) or ".wh." (a file .wh.NAME beside)

Every time in a stack lies before ops.OLD, so that "was touched" can be told from "was kept".
"""
import os
import random
import stat
import struct

from .resolve import resolve

DIRS = (b"d", b"e", b"etc", b"sub dir", b"...")
NAMES = (b"a", b"b", b"c", b"f1", b"f2", b".whx", b"new\nline", b"\xff\xfe\x80", b"x" * 255,
         b"-n", "naïve".encode(), b"z.tmp")
ODD = (b"a:b", b"c,d", b"e\\f", b".wh", b"\x01\x7f", b"%s", b"\"'", b" ", b"\xc3", b"w" * 251)
WHITEOUT_LIKE = (b".wh.a", b".wh.b", b".wh..wh..opq", b".wh.", b".wh..wh.plnk")
MODES = (0o644, 0o644, 0o600, 0o755, 0o444, 0o000, 0o4755, 0o2755, 0o666, 0o1644)
DIRMODES = (0o755, 0o755, 0o755, 0o700, 0o777, 0o2775, 0o1777, 0o555, 0o000)
OWNERS = ((0, 0), (0, 0), (1000, 1000), (1000, 100), (65534, 65534))
TARGETS = (b"a", b"f1", b"d", b"e/a", b"d/f2", b"nowhere", b"../a", b"d/e", b"/nonexistent/plyfs",
           b"t" * 1000)
CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)
ACL = {
    "rw": struct.pack("<I" + "HHI" * 5, 2, 1, 6, 0xffffffff, 2, 6, 1000, 4, 5, 0xffffffff,
                      16, 6, 0xffffffff, 32, 4, 0xffffffff),
    "r": struct.pack("<I" + "HHI" * 5, 2, 1, 7, 0xffffffff, 2, 7, 1000, 4, 0, 0xffffffff,
                     16, 5, 0xffffffff, 32, 0, 0xffffffff),
}

PATTERN = random.Random(20).randbytes(1 << 19)


def pattern(length, salt):
    """The bytes that `salt` names: never all zeros, and different for each salt."""
    return PATTERN[salt * 7:salt * 7 + length]


def names(features):
    """What things may be called, directories aside."""
    return NAMES + ODD * ("odd" in features) + WHITEOUT_LIKE * ("dotwh" in features)


def random_stack(seed, features):
    """(layers, upper): `layers` of random entries, topmost first; upper None, or one more layer that
    an earlier mount may have left. Features used: owners, devices, trusted, links, wh, acl, sockets, odd,
    dotwh."""
    rng = random.Random(f"stack {seed}")
    layers = []
    for number in range(rng.randint(1, 6)):
        layers.insert(0, _random_layer(rng, layers, features, number))
    upper = None
    if rng.random() < 0.3:
        upper = _random_layer(rng, layers, features - {"wh", "links"}, 9)
    _only_whole_link_groups(layers, upper)
    return layers, upper


def _random_layer(rng, below, features, number):
    seen = resolve(below) if below else {}
    entries, files = [], []

    def facts(mode):
        uid, gid = rng.choice(OWNERS) if "owners" in features else (0, 0)
        return mode, uid, gid, rng.randint(1, 1_400_000_000) * 1_000_000_000 + rng.choice(
            (0, 1, 123456789, 999999999))

    def xattrs(kind):
        found = []
        if kind in ("dir", "file") and rng.random() < 0.3:
            found.append(("user.note", pattern(rng.choice((0, 1, 30, 300)), number)))
        if "trusted" in features and rng.random() < 0.1:
            found.append(("trusted.mark", b"t%d" % number))
        if "trusted" in features and kind == "file" and rng.random() < 0.1:
            found.append(("security.capability", CAPABILITY))
        if "acl" in features and kind in ("dir", "file") and rng.random() < 0.1:
            found.append(("system.posix_acl_access", ACL["r"]))
        if "acl" in features and kind == "dir" and rng.random() < 0.1:
            found.append(("system.posix_acl_default", ACL["rw"]))
        return tuple(found)

    def content():
        size = rng.choice((0, 1, 5, 100, 4095, 4096, 4097, 10000, 40000, 70000))
        if size and rng.random() < 0.25:
            hole = size // 2
            return size, ((0, min(3, size), rng.randint(0, 999)), (hole, 2, rng.randint(0, 999)))
        return size, ((0, size, rng.randint(0, 999)),) if size else ()

    def child(parent, name, depth, merged):
        path = parent + b"/" + name if parent else name
        kind = rng.choices(("dir", "file", "symlink", "fifo", "dev", "link", "whiteout"),
                           (30 if name in DIRS and depth < 4 else 3, 40, 10, 2, 3, 12, 12))[0]
        if kind == "dev" and "devices" not in features:
            kind = "fifo"
        if kind == "link" and ("links" not in features or not files):
            kind = "file"
        if kind == "whiteout" and len(name) > 240:
            kind = "file"   # .wh.NAME would be too long
        if kind == "whiteout" and not (merged and below or "wh" in features):
            # Alone in its directory a 0:0 device shows through the kernel's readdir: see rights.
            kind = "file"
        if kind == "dir":
            directory(path, depth + 1, merged)
        elif kind == "file":
            entries.append(("file", path, *facts(rng.choice(MODES)), xattrs("file"), content()))
            files.append(path)
        elif kind == "symlink":
            entries.append(("symlink", path, *facts(0o777), xattrs("symlink"), rng.choice(TARGETS)))
        elif kind == "fifo":
            kind = rng.choice(("fifo", "sock")) if "sockets" in features else "fifo"
            entries.append((kind, path, *facts(0o640), (), ""))
        elif kind == "dev":
            entries.append((rng.choice(("chr", "blk")), path, *facts(0o640), xattrs("dev"),
                            (240, rng.randint(1, 9))))
        elif kind == "link":
            entries.append(("link", path, 0, 0, 0, 0, (), rng.choice(files)))
        else:
            form = ".wh." if "wh" in features and rng.random() < 0.6 else "dev"
            entries.append(("whiteout", path, 0, 0, 0, 0, (), form))

    def directory(path, depth, merged):
        merged = merged and path in seen and seen[path][0][0] == "dir"
        opaque = ""
        if path and below and rng.random() < 0.12:
            opaque = ".opq" if "wh" in features and rng.random() < 0.5 else "opaque"
            if opaque == "opaque" and "trusted" not in features:
                opaque = "user-opaque"
            merged = False
        entries.append(("dir", path, *facts(rng.choice(DIRMODES) if path else 0o755),
                        xattrs("dir") if path else (), opaque))
        pool = DIRS + names(features)
        for name in rng.sample(pool, rng.randint(2, 9) if depth < 3 else rng.randint(0, 3)):
            child(path, name, depth, merged)

    directory(b"", 0, True)
    return entries


def _only_whole_link_groups(layers, upper):
    """Splits every group of hard links of which the union does not show each name: a union cannot
    count what it does not show without a walk over everything, so there st_nlink is the layer's."""
    while True:
        stack = ([upper] if upper else []) + layers
        shown = {}
        for path, (_, identity) in resolve(stack).items():
            shown.setdefault(identity, set()).add(path)
        broken = False
        for index, layer in enumerate(stack):
            facts = {e[1]: e for e in layer}
            for position, entry in enumerate(layer):
                if entry[0] != "link":
                    continue
                names = {e[1] for e in layer if e[0] == "link" and e[7] == entry[7]} | {entry[7]}
                if shown.get((index, entry[7]), set()) != names:
                    layer[position] = (facts[entry[7]][0], entry[1], *facts[entry[7]][2:])
                    broken = True
        if not broken:
            return


def drop_orphans(layer):
    """The layer without entries whose parent or link target is not there (after shrinking)."""
    kept, dirs, files = [], set(), set()
    for entry in layer:
        kind, path = entry[0], entry[1]
        if path and os.path.dirname(path) not in dirs:
            continue
        if kind == "link" and entry[7] not in files:
            continue
        if kind == "dir":
            dirs.add(path)
        elif kind == "file":
            files.add(path)
        kept.append(entry)
    return kept


def materialise(entries, root):
    """Makes the entries under the directory `root`, which exists."""
    root = os.fsencode(root)
    for entry in entries:
        kind, path, more = entry[0], root + b"/" + entry[1], entry[7]
        if kind == "dir":
            if entry[1]:
                os.mkdir(path)
            if more == ".opq":
                os.close(os.open(path + b"/.wh..wh..opq", os.O_CREAT | os.O_WRONLY, 0o600))
        elif kind == "file":
            fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            os.ftruncate(fd, more[0])
            for offset, length, salt in more[1]:
                os.pwrite(fd, pattern(length, salt), offset)
            os.close(fd)
        elif kind == "symlink":
            os.symlink(more, path)
        elif kind == "fifo":
            os.mkfifo(path)
        elif kind == "sock":
            os.mknod(path, stat.S_IFSOCK | 0o600)
        elif kind in ("chr", "blk"):
            os.mknod(path, 0o020600 if kind == "chr" else 0o060600, os.makedev(*more))
        elif kind == "link":
            os.link(root + b"/" + more, path)
        elif more == ".wh.":
            head, name = os.path.split(path)
            os.close(os.open(head + b"/.wh." + name, os.O_CREAT | os.O_WRONLY, 0o600))
        else:
            os.mknod(path, 0o020000, 0)
    for kind, path, mode, uid, gid, mtime, xattrs, more in reversed(entries):
        path = root + b"/" + path
        if kind in ("link", "whiteout"):
            continue
        os.chown(path, uid, gid, follow_symlinks=False)
        if kind != "symlink":
            os.chmod(path, mode)
        for name, value in xattrs:
            os.setxattr(path, name, value, follow_symlinks=False)
        if kind != "symlink" and any(name.startswith("system.") for name, _ in xattrs):
            os.chmod(path, mode)
        if more == "opaque":
            os.setxattr(path, "trusted.overlay.opaque", b"y")
        elif more == "user-opaque":
            os.setxattr(path, "user.overlay.opaque", b"y")
        os.utime(path, ns=(mtime, mtime), follow_symlinks=False)
