# SPDX-License-Identifier: MIT
"""Layers as mounts leave them, and layers as others would have written them.

dig() plays operations on kernel overlayfs; the upper that they leave becomes the next lower layer. So a
stack gets what no list of entries has: redirects, absolute and relative, metacopy files whose data lies
under another name, origins, merged directories that were moved into one another. The kernel, which wrote
it, is also the judge of what it shows.

disguise() rewrites the whiteouts and the opaque marks of a layer in the other forms of the field: what
is shown stays the same, but the kernel no longer understands it.
"""
import os
import random
import stat
import zlib

import harness

from . import generate, ops, rights, tree
from .stack import materialise

OPTIONS = ("redirect_dir=on", "metacopy=on", "index=on")
WHITEOUTS = ("dev", "dev", ".wh.", "xattr")
OPAQUES = ("trusted.overlay.opaque", "user.overlay.opaque", "user.fuseoverlayfs.opaque", ".wh..wh..opq")


class NoModel(Exception):
    """The stack shows a hard link that no plain tree can have (see rights)."""


class Digger(generate.Generator):
    """Operations that leave much behind in an upper. `last`: hard links too, which a later layer would
    take apart."""
    WEIGHTS = {"mkdir": 6, "rmdir": 2, "unlink": 6, "clear": 2, "symlink": 2, "rename": 8, "rename_dir": 14,
               "mknod": 1, "chmod": 10, "chown": 5, "utime": 3, "age": 3, "truncate": 3, "setxattr": 3, "put": 6}

    def __init__(self, seed, features, last):
        super().__init__(seed, features - {"users"}, 1 << 30, 1 << 30)
        weights = {**self.WEIGHTS, **({"link": 6} if last else {})}
        self.menu = [getattr(self, name) for name in weights]
        self.weights = list(weights.values())


def layers_of(sandbox, base, config, stack):
    """The directories of the stack's layers under `base`, topmost first, with those of its history."""
    lowers = []
    for number, layer in enumerate(stack[0]):
        lowers.append(base / f"l{number}")
        os.mkdir(lowers[-1])
        materialise(layer, lowers[-1])
    for number, operations in enumerate(config.get("history", ())):
        lowers.insert(0, _dig(sandbox, base, number, lowers, stack, lambda target, o=operations: _replay(target, o)))
    return lowers


def invent(seed, stack, features, generations, count):
    """A history for the stack: a list of operations for each layer that is to be."""
    sandbox, history = harness.Sandbox(), []
    try:
        base = sandbox.directory("dig")
        lowers = layers_of(sandbox, base, {}, stack)
        for number in range(generations):
            digger = Digger(f"{seed}/{number}", features, number == generations - 1)
            history.append([])
            lowers.insert(0, _dig(sandbox, base, number, lowers, stack,
                                  lambda target, d=digger: _record(target, d, count, history[-1])))
    finally:
        sandbox.close()
    return history


def copy_shown(sandbox, base, config, stack, to):
    """Copies what the kernel shows of the stack to the directory `to`."""
    lowers = layers_of(sandbox, base, config, stack)
    upper = _upper(base, "shown", stack)
    at = base / "at"
    at.mkdir()
    with sandbox.kernel(lowers, upper, _empty(base, "shown-work"), at=at, options=OPTIONS):
        harness.run("cp", "-a", f"{at}/.", to)
        counts = {}
        for path in _walk(os.fsencode(at)):
            st = os.lstat(path)
            if not stat.S_ISDIR(st.st_mode):
                counts.setdefault(st.st_ino, [st.st_nlink, 0])[1] += 1
    if any(links != names for links, names in counts.values()):
        raise NoModel


def disguise(layer, seed):
    """Rewrites the books of one layer, by dice that know the seed and the path."""
    layer = os.fsencode(layer)
    for directory, names, files in os.walk(layer, topdown=False):
        st = os.lstat(directory)
        dice = random.Random(zlib.crc32(directory[len(layer):] + b"/%d" % seed))
        if _attribute(directory, "trusted.overlay.opaque") == b"y":
            _disguise_opaque(directory, dice.choice(OPAQUES))
        for name in sorted(names + files):
            whiteout = os.lstat(os.path.join(directory, name))
            if stat.S_ISCHR(whiteout.st_mode) and whiteout.st_rdev == 0:
                _disguise_whiteout(directory, name, dice.choice(WHITEOUTS))
        os.utime(directory, ns=(st.st_atime_ns, st.st_mtime_ns))


def _disguise_opaque(directory, form):
    if form == "trusted.overlay.opaque":
        return
    os.removexattr(directory, "trusted.overlay.opaque")
    if form.startswith(".wh."):
        os.close(os.open(directory + b"/" + form.encode(), os.O_CREAT | os.O_WRONLY, 0o600))
    else:
        os.setxattr(directory, form, b"y")


def _disguise_whiteout(directory, name, form):
    path = os.path.join(directory, name)
    if form == ".wh." and len(name) <= 251:
        os.unlink(path)
        os.close(os.open(os.path.join(directory, b".wh." + name), os.O_CREAT | os.O_WRONLY, 0o600))
    elif form == "xattr" and not _is_opaque(directory):
        os.unlink(path)
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
        os.setxattr(path, "trusted.overlay.whiteout", b"y")
        os.setxattr(directory, "trusted.overlay.opaque", b"x")


def _is_opaque(directory):
    return os.path.exists(directory + b"/.wh..wh..opq") or any(
        _attribute(directory, name) == b"y" for name in OPAQUES[:3])


def _attribute(path, name):
    try:
        return os.getxattr(path, name, follow_symlinks=False)
    except OSError:
        return None


def _dig(sandbox, base, number, lowers, stack, work):
    upper, at = _upper(base, f"h{number}", stack), _empty(base, f"at{number}")
    with sandbox.kernel(lowers, upper, _empty(base, f"work{number}"), at=at, options=OPTIONS):
        target = ops.Tree(at)
        try:
            work(target)
        finally:
            target.close_all()
    return upper


def _replay(target, operations):
    for operation in operations:
        ops.perform(target, operation)


def _record(target, digger, count, operations):
    digger.refresh(tree.snapshot(target.root, "list", numbers=False)[0])
    while len(operations) < count:
        operation = digger.next()
        if rights.skip(operation, target, ("kernel",)):
            continue
        operations.append(operation)
        digger.happened(operation, ops.perform(target, operation)[0][0])


def _upper(base, name, stack):
    """An empty upper whose root is that of the stack."""
    upper = _empty(base, name)
    root = stack[0][0][0]
    materialise([root[:7] + ("",)], upper)
    return upper


def _empty(base, name):
    path = base / name
    path.mkdir()
    return path


def _walk(root):
    for directory, names, files in os.walk(root):
        for name in names + files:
            yield os.path.join(directory, name)
