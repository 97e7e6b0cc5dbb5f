# SPDX-License-Identifier: MIT
"""One small act, done in several worlds, must have one outcome.

A claim is a function act(root) that works on a tree and returns what it saw. The decorator same()
makes a test of it: the act is done on a plain directory (or, with like="kernel", on the kernel's
overlayfs) and on each subject; then are compared
- what the act returned;
- the whole tree as it is left, live: owners, modes, sizes, contents, xattrs, link groups, and the
  times of all that the act should not have touched (layers are dated OLD, to the nanosecond);
- the same tree after a remount;
- and, for plyfs, the tree that the kernel's overlayfs makes of the upper directory left behind.
Where the kernel rightly differs from a plain directory, the claim says so in words: `kernel=`.
The subjects can be chosen by PLYFS_SUBJECTS, a list with commas: kernel (which proves the claim
itself), plyfs-stateless, plyfs-writeback (the same with the writeback cache), plyfs-tracked, plyfs-auto,
plyfs-recorded (the same with xattr_permissions=2, of which the kernel knows nothing), kernel-then-plyfs (plyfs reads what the kernel
left), fuse-overlayfs.
"""
import ctypes
import errno
import faulthandler
import functools
import os
import pickle
import shutil
import stat
import struct
import threading
import traceback

import pytest

from harness import LIBC, Sandbox, assert_same, listing, need, need_fuse, need_root

OLD = 1_000_000_000_123_456_789
LONG_AGO = 1_100_000_000_000_000_000
SUBJECTS = os.environ.get(
    "PLYFS_SUBJECTS", "kernel,plyfs-stateless,plyfs-writeback,plyfs-tracked,plyfs-recorded,"
    "kernel-then-plyfs").split(",")
KERNEL_OPTIONS = ("redirect_dir=on", "metacopy=on", "index=on")
PATIENCE = 120  # seconds until a mount that no longer answers is aborted
MNT_FORCE = 1

WHITEOUT = object()     # a name that hides what lies below it
OPAQUE = object()       # a key of a directory: nothing of it shows from below


class Symlink(str):
    """In a layer's description: a symbolic link with this target."""


# ---- layers described as dictionaries -----------------------------------------------------------

def fill(directory, names):
    """Writes a description to disk: str/bytes a file, dict a directory, Symlink, WHITEOUT."""
    for name, what in names.items():
        if name is OPAQUE:
            os.setxattr(directory, "trusted.overlay.opaque", b"y")
            continue
        path = os.path.join(os.fspath(directory), name)
        if what is WHITEOUT:
            os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(0, 0))
        elif isinstance(what, dict):
            os.makedirs(path, exist_ok=True)
            fill(path, what)
        elif isinstance(what, Symlink):
            os.symlink(what, path)
        else:
            with open(path, "wb") as file:
                file.write(what.encode() if isinstance(what, str) else what)


def merged(layers):
    """The model: what a stack of descriptions, topmost first, shows as one tree."""
    shown, hidden = {}, set()
    for depth, layer in enumerate(layers):
        for name, what in layer.items():
            if name is OPAQUE or name in hidden or name in shown:
                continue
            if what is WHITEOUT:
                hidden.add(name)
            elif isinstance(what, dict):
                parts = []
                for below in layers[depth:]:
                    part = below.get(name)
                    if part is None:
                        if OPAQUE in below:
                            break
                        continue
                    if not isinstance(part, dict):
                        break
                    parts.append(part)
                    if OPAQUE in part or OPAQUE in below:
                        break
                shown[name] = merged(parts)
            else:
                shown[name] = what
        if OPAQUE in layer:
            break
    return shown


def date_back(root, when=OLD):
    """Gives a whole tree one old date, so that whatever is touched later can be told."""
    for path, names, files in os.walk(root, topdown=False):
        for name in names + files:
            os.utime(os.path.join(path, name), ns=(when, when), follow_symlinks=False)
        os.utime(path, ns=(when, when))


# ---- acting -------------------------------------------------------------------------------------

def name_of(number):
    return errno.errorcode.get(number, str(number))


def attempt(function, *args, **kwargs):
    """The result of a call, or the name of its error."""
    try:
        return function(*args, **kwargs)
    except OSError as error:
        return name_of(error.errno)


def syscall(function, *args):
    """Calls libc by ctypes: 0 or the name of the error."""
    result = function(*args)
    if result < 0:
        return name_of(ctypes.get_errno())
    return 0 if result == 0 else result


def handle_of(path):
    """A handle by name_to_handle_at(2), for open_by_handle_at(2)."""
    handle = ctypes.create_string_buffer(struct.pack("Ii", 128, 0) + b"\0" * 128)
    where = ctypes.c_int()
    assert syscall(LIBC.name_to_handle_at, -100, os.fsencode(path), handle, ctypes.byref(where), 0) == 0
    return handle


def as_user(function, *args, uid=1234, gid=1234, groups=(), umask=0o022):
    """function(*args) in a child with another identity: its result, or the name of its error."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            os.umask(umask)
            os.setgroups(list(groups))
            os.setresgid(gid, gid, gid)
            os.setresuid(uid, uid, uid)
            try:
                answer = ("result", function(*args))
            except OSError as error:
                answer = ("result", name_of(error.errno))
        except BaseException:  # noqa: BLE001  (whatever it was, the parent raises it)
            answer = ("failure", traceback.format_exc())
        with os.fdopen(writing, "wb") as pipe:
            pickle.dump(answer, pipe)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        data = pipe.read()
    os.waitpid(child, 0)
    kind, value = pickle.loads(data)
    if kind == "failure":
        raise AssertionError(value)
    return value


def put(path, data="", mode=None):
    """Creates or overwrites a file."""
    with open(path, "wb", buffering=0) as file:
        file.write(data.encode() if isinstance(data, str) else data)
        if mode is not None:
            os.fchmod(file.fileno(), mode)


def get(path):
    with open(path, "rb", buffering=0) as file:
        return file.read()


def opened(path, flags, mode=0o644):
    """What open(2) says: 0 or the name of the error."""
    fd = attempt(os.open, path, flags, mode)
    if isinstance(fd, int):
        os.close(fd)
        return 0
    return fd


# ---- worlds -------------------------------------------------------------------------------------

def tree(root):
    """The listing of a tree in which every date of today reads "today"."""
    records = listing(root, times="ns")
    for record in records.values():
        if record["mtime"] > LONG_AGO:
            record["mtime"] = "today"
    return records


class World:
    """One place to act in: plain, or a mount of its own layers by one of the subjects."""

    def __init__(self, box, kind, claim):
        self.kind, self.box, self.claim = kind, box, claim
        layers, prepare = claim["layers"], claim["prepare"]
        home = box.directory(kind)
        os.chmod(home, 0o755)
        if kind == "plain":
            self.root = home
            self.mount = None
            fill(home, merged(([claim["upper"]] if claim["upper"] else []) + layers))
            if prepare:
                prepare(home)
            date_back(home)
            return
        self.lowers, self.upper, self.work = [], home / "upper", home / "work"
        for number, layer in enumerate(layers):
            lower = home / f"lower{number}"
            lower.mkdir()
            fill(lower, layer)
            self.lowers.append(lower)
        self.upper.mkdir()
        self.work.mkdir()
        if claim["upper"]:
            fill(self.upper, claim["upper"])
        if prepare:
            prepare(self.lowers[0])
        shutil.copystat(self.lowers[0], self.upper)    # the root of the union is the upper's root
        for lower in self.lowers + [self.upper]:
            date_back(lower)
        program, _, profile = kind.partition("-")
        self.at = home / "mnt"
        self.at.mkdir()
        if program == "kernel":
            self.mount = self.by_kernel()
        elif kind == "fuse-overlayfs":
            self.mount = box.fuse_overlayfs(self.lowers, self.upper, self.work, at=self.at)
        else:
            self.mount = self.by_plyfs(profile)
        self.root = self.at
        self.mount.mount()

    def by_kernel(self):
        return self.box.kernel(self.lowers, self.upper, self.work, at=self.at,
                               options=KERNEL_OPTIONS)

    def by_plyfs(self, profile=None):
        options = list(self.claim["options"])
        if profile == "recorded":
            profile, options = None, options + ["xattr_permissions=2"]
        return self.box.plyfs(self.lowers, self.upper, self.work, at=self.at, profile=profile,
                              options=options)

    def act(self):
        return self.claim["act"](os.fspath(self.root))

    def close(self):
        if self.mount:
            self.mount.unmount()


def abort(path):
    """A daemon that no longer answers would hang the whole suite: say where, and cut it off."""
    faulthandler.dump_traceback()
    LIBC.umount2(os.fsencode(path), MNT_FORCE)


def compare(box, claim, subject):
    """Acts in the reference world and in the subject's, and compares all that can be compared."""
    need_root()
    model = World(box, claim["like"], claim)
    expected = model.act()
    shape = tree(model.root) if claim["tree"] else None
    model.close()

    world = World(box, subject if subject != "kernel-then-plyfs" else "kernel", claim)
    watch = threading.Timer(PATIENCE, abort, [world.at])
    watch.start()
    try:
        found = world.act()
        assert found == expected, f"{claim['like']} says {expected!r}, {subject} says {found!r}"
        if shape is None:
            return
        if subject == "kernel-then-plyfs":
            world.mount.unmount()
            world.mount = world.by_plyfs().mount()
            assert_same(shape, tree(world.root), "plyfs reads an upper left by the kernel wrongly")
            return
        assert_same(shape, tree(world.root), f"the tree differs from {claim['like']}")
        world.mount.remount()
        assert_same(shape, tree(world.root), "the tree changed over a remount")
        if subject.startswith("plyfs") and claim["native"] and subject != "plyfs-recorded":
            world.mount.unmount()
            world.mount = world.by_kernel().mount()
            assert_same(shape, tree(world.root), "the kernel reads the upper left behind otherwise")
    finally:
        world.close()
        watch.cancel()


def same(*layers, upper=None, prepare=None, like="plain", kernel=None, stateless=None, recorded=None,
         tree=True, native=True, disk=False, options=()):
    """Makes a test of act(root), once for each subject.
    layers   descriptions, topmost first; prepare(root) adds to the topmost what words cannot say
    upper    a description of what is in the upper already
    like     the reference: "plain" or "kernel"
    kernel   why the kernel's overlayfs differs from the reference by right: it is no subject then
    stateless  the same of the stateless profile, with the writeback cache or without
    recorded why a mount that records owners differs from it by right: it is no subject then
    tree     False where only the answer is compared, because the tree is too big to be listed
    native   False where the kernel cannot be asked about the upper (and what it left is no matter)
    disk     on the disk's filesystem instead of tmpfs"""
    kinds = [s for s in SUBJECTS
             if not (like == "kernel" and s == "kernel")
             and not (kernel and s.startswith("kernel"))
             and not (stateless and s in ("plyfs-stateless", "plyfs-writeback"))
             and not (recorded and s == "plyfs-recorded")
             and not (s == "kernel-then-plyfs" and not (tree and native))]

    def decorate(act):
        claim = {"act": act, "layers": list(layers) or [{}], "upper": upper, "prepare": prepare,
                 "like": like, "tree": tree, "native": native, "options": list(options)}

        @pytest.mark.parametrize("subject", kinds)
        @functools.wraps(act, assigned=("__name__", "__doc__", "__module__", "__qualname__"))
        def test(subject):
            if "plyfs" in subject:
                need_fuse()
            box = Sandbox(disk_base() if disk else None)
            try:
                compare(box, claim, subject)
            finally:
                box.close()

        del test.__wrapped__     # pytest would ask for a fixture named root
        return test
    return decorate


def disk_base():
    """A directory on a real disk's filesystem that keeps user and trusted xattrs."""
    base = os.environ.get("PLYFS_TEST_DISK", "/var/tmp")
    need(os.access(base, os.W_OK), f"cannot write in {base}")
    return base
