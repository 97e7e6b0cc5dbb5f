# SPDX-License-Identifier: MIT
"""The language of operations, and how one is done to one target.

An operation is a tuple (name, argument, ...): bytes are paths relative to the target's root, small
integers named slot are places for open files. The result is a plain value, or "E:NAME" for an errno;
it must be the same on every target. Which names an operation touches follows from its arguments; what
is looked at after it, and in which order, follows from the operation's own text, so that a replay and a
shrunk sequence look in the same way.
"""
import ctypes
import errno
import os
import stat
import zlib

from . import tree
from .stack import pattern

LIBC = tree.LIBC
AT_FDCWD, AT_SYMLINK_FOLLOW = -100, 0x400
NOREPLACE, EXCHANGE = 1, 2
O_TMPFILE = os.O_TMPFILE
KEEP_SIZE, PUNCH_HOLE = 1, 2

OPS = {}      # name -> (function, positions of paths whose look is compared afterwards)


def op(*touched):
    def register(function):
        OPS[function.__name__.strip("_")] = (function, touched)
        return function
    return register


class Tree:
    """One directory tree that operations are done to: its root, and its open files by slot."""

    def __init__(self, root):
        self.root = os.fsencode(root)
        self.slots = {}
        self.inos = []

    def at(self, path):
        return self.root + b"/" + path

    def fd(self, slot):
        if slot not in self.slots:
            raise NoSlot
        return self.slots[slot]

    def fill(self, slot, fd):
        self.close(slot)
        self.slots[slot] = fd

    def close(self, slot):
        if slot in self.slots:
            os.close(self.slots.pop(slot))

    def close_all(self):
        for slot in list(self.slots):
            try:
                self.close(slot)
            except OSError:
                pass


class NoSlot(Exception):
    pass


def perform(target, operation):
    """(result, inode numbers seen) of one operation and of the looks after it."""
    target.inos = []
    function = _as if operation[0] == "as" else OPS[operation[0]][0]
    dice = zlib.crc32(repr(operation).encode())
    result = attempt(function, target, *operation[1:])
    inner = operation
    while inner[0] == "as":
        inner = inner[3]
    touched = OPS[inner[0]][1]
    looks = []
    if touched:
        paths = [inner[i + 1] for i in touched]
        if dice & 4:
            paths.reverse()
        for path in paths:
            if dice & 3 == 1:
                looks.append(_listing(target, os.path.dirname(path)))
            own = tree.lstat(target.at(path), target.inos)
            looks.append(own)
            if dice & 3 == 2:
                looks.append(_listing(target, os.path.dirname(path)))
            if dice & 24 == 8:
                looks.append(tree.lstat(target.at(os.path.dirname(path)), target.inos))
            if dice & 96 == 32 and str(own[-1]).startswith("size"):
                looks.append(attempt(lambda t, p=path: tree.content(t.at(p)), target))
            if dice & 384 == 128:
                looks.append(attempt(lambda t, p=path: tree.xattrs(t.at(p)), target))
    return (result, *looks), target.inos


def attempt(function, target, *arguments):
    try:
        return function(target, *arguments)
    except OSError as error:
        return tree.error_name(error)
    except NoSlot:
        return "no such slot"
    except AssertionError as error:
        return str(error)


def _listing(target, path):
    try:
        names = tree.list_directory(target.at(path))
    except OSError as error:
        return tree.error_name(error)
    except AssertionError as error:
        return str(error)
    return tuple(sorted((name, oct(kind)) for name, (_, kind) in names.items()))


def libc(result):
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


# ---- names --------------------------------------------------------------------------------------

@op(0)
def mkdir(t, path, mode):
    os.mkdir(t.at(path), mode)


@op(0)
def rmdir(t, path):
    os.rmdir(t.at(path))


@op(0)
def unlink(t, path):
    os.unlink(t.at(path))


@op(1)
def symlink(t, target, path):
    os.symlink(target, t.at(path))


@op(0, 1)
def link(t, old, new):
    os.link(t.at(old), t.at(new))


@op(0, 1)
def rename(t, old, new, flags):
    libc(LIBC.renameat2(AT_FDCWD, t.at(old), AT_FDCWD, t.at(new), flags))


@op(0)
def mknod(t, path, mode, minor):
    os.mknod(t.at(path), mode, os.makedev(240, minor) if minor else 0)


# ---- what a name says ---------------------------------------------------------------------------

@op(0)
def chmod(t, path, mode):
    os.chmod(t.at(path), mode)


@op(0)
def chown(t, path, uid, gid):
    os.chown(t.at(path), uid, gid, follow_symlinks=False)


@op(0)
def utime(t, path, ns):
    """ns None: now."""
    if ns is None:
        os.utime(t.at(path), follow_symlinks=False)
    else:
        os.utime(t.at(path), ns=(ns, ns), follow_symlinks=False)


@op(0)
def truncate(t, path, size):
    os.truncate(t.at(path), size)


@op()
def stat_(t, path):
    return tree.record(os.stat(t.at(path)), t.inos)


@op(0)
def look(t, path):
    return tree.xattrs(t.at(path))


@op()
def ls(t, path):
    return _listing(t, path)


@op()
def readlink(t, path):
    return os.readlink(t.at(path))


@op()
def access(t, path, mode):
    return os.access(t.at(path), mode)


@op(0)
def setxattr(t, path, name, value, flags):
    os.setxattr(t.at(path), name, value, flags, follow_symlinks=False)


@op()
def getxattr(t, path, name):
    return tree.short(os.getxattr(t.at(path), name, follow_symlinks=False))


@op(0)
def removexattr(t, path, name):
    try:
        os.removexattr(t.at(path), name, follow_symlinks=False)
    except OSError as error:
        if not (error.errno == errno.ENODATA and name.startswith("system.")):
            raise   # an ACL that is not there: see rights


# ---- content by name ----------------------------------------------------------------------------

@op(0)
def put(t, path, flags, offset, length, salt):
    """open, write, close."""
    fd = os.open(t.at(path), flags | os.O_NONBLOCK, 0o664)
    try:
        return os.pwrite(fd, pattern(length, salt), offset)
    finally:
        os.close(fd)


@op()
def get(t, path):
    fd = os.open(t.at(path), os.O_RDONLY | os.O_NONBLOCK)
    try:
        data = os.read(fd, 1 << 20)
        return len(data), zlib.crc32(data)
    finally:
        os.close(fd)


# ---- open files ---------------------------------------------------------------------------------

@op(1)
def open_(t, slot, path, flags, mode):
    t.fill(slot, os.open(t.at(path), flags | os.O_NONBLOCK, mode))


@op()
def tmpfile(t, slot, path, mode):
    t.fill(slot, os.open(t.at(path), O_TMPFILE | os.O_RDWR, mode))


@op(1)
def linkfd(t, slot, path):
    old = b"/proc/self/fd/%d" % t.fd(slot)
    libc(LIBC.linkat(AT_FDCWD, old, AT_FDCWD, t.at(path), AT_SYMLINK_FOLLOW))


@op()
def close(t, slot):
    t.fd(slot)
    t.close(slot)


@op()
def fstat(t, slot):
    return tree.record(os.fstat(t.fd(slot)), t.inos)


@op()
def pread(t, slot, offset, length):
    data = os.pread(t.fd(slot), length, offset)
    return len(data), zlib.crc32(data)


@op()
def read(t, slot, length):
    data = os.read(t.fd(slot), length)
    return len(data), zlib.crc32(data)


@op()
def pwrite(t, slot, offset, length, salt):
    return os.pwrite(t.fd(slot), pattern(length, salt), offset)


@op()
def write(t, slot, length, salt):
    return os.write(t.fd(slot), pattern(length, salt))


@op()
def seek(t, slot, offset, whence):
    return os.lseek(t.fd(slot), offset, whence) if stat.S_ISREG(os.fstat(t.fd(slot)).st_mode) else None


@op()
def ftruncate(t, slot, size):
    os.ftruncate(t.fd(slot), size)


@op()
def fallocate(t, slot, mode, offset, length):
    libc(LIBC.fallocate(t.fd(slot), mode, ctypes.c_int64(offset), ctypes.c_int64(length)))


@op()
def copy_range(t, source, source_offset, slot, offset, length):
    return os.copy_file_range(t.fd(source), t.fd(slot), length, source_offset, offset)


@op()
def fsync(t, slot):
    os.fsync(t.fd(slot))


@op()
def fchmod(t, slot, mode):
    os.fchmod(t.fd(slot), mode)


@op()
def fchown(t, slot, uid, gid):
    os.fchown(t.fd(slot), uid, gid)


@op()
def futime(t, slot, ns):
    os.utime(t.fd(slot), ns=(ns, ns))


@op()
def fsetxattr(t, slot, name, value):
    os.setxattr(t.fd(slot), name, value)


@op()
def fxattrs(t, slot):
    return tree.xattrs(t.fd(slot))


@op()
def list_fd(t, slot):
    """The listing through an open directory, from its start again."""
    return tuple(sorted((n, oct(k)) for n, (_, k) in tree.entries(t.fd(slot)).items()))


@op()
def make_at(t, slot, name, mode):
    """A file made relative to an open directory."""
    os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode, dir_fd=t.fd(slot)))


@op()
def unlink_at(t, slot, name):
    os.unlink(name, dir_fd=t.fd(slot))


# ---- who ----------------------------------------------------------------------------------------

def _as(t, uid, gid, inner):
    """Another user does it. setfsuid(2) also takes away the capabilities that concern files."""
    LIBC.setfsgid(gid)
    LIBC.setfsuid(uid)
    try:
        return attempt(OPS[inner[0]][0], t, *inner[1:])
    finally:
        LIBC.setfsuid(0)
        LIBC.setfsgid(0)


# ---- what the player does itself ----------------------------------------------------------------

@op()
def remount(t):
    raise AssertionError("the player's own")


@op()
def tree_(t, order):
    raise AssertionError("the player's own")
