# SPDX-License-Identifier: MIT
"""One look at a name, a directory or a whole tree, as plain values that two targets must agree on.

Inode numbers are the one thing that may not be compared as values: each look appends them to a list,
and the player holds the lists of two targets against each other (see play.Inodes). Times before OLD
are values; a later one is "now": so each comparison also tells whether a time was kept.
"""
import ctypes
import errno
import os
import stat
import struct
import threading
import zlib

OLD = 1_500_000_000 * 1_000_000_000
LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.getdents64.restype = ctypes.c_ssize_t
_LOCAL = threading.local()      # the kills suite looks from several threads
_KINDS = {4: stat.S_IFDIR, 8: stat.S_IFREG, 10: stat.S_IFLNK, 1: stat.S_IFIFO, 2: stat.S_IFCHR,
          6: stat.S_IFBLK, 12: stat.S_IFSOCK}


def error_name(error):
    return "E:" + errno.errorcode.get(error.errno, str(error.errno))


def when(ns):
    return ns if ns < OLD else "now"


def record(st, inos):
    """What must be equal of a stat. A directory's size and link count are left out (see rights)."""
    inos.append(st.st_ino)
    kind = stat.S_IFMT(st.st_mode)
    base = (oct(st.st_mode), st.st_uid, st.st_gid, when(st.st_mtime_ns))
    if kind == stat.S_IFDIR:
        return base
    if kind == stat.S_IFREG:
        return base + (f"nlink {st.st_nlink}", f"size {st.st_size}")
    return base + (f"nlink {st.st_nlink}", st.st_rdev)


def lstat(path, inos):
    try:
        return record(os.lstat(path), inos)
    except OSError as error:
        inos.append(None)
        return error_name(error)


def entries(fd):
    """{name: (d_ino, file type)} read from the directory `fd`, from its start; "." without ".."."""
    os.lseek(fd, 0, os.SEEK_SET)
    found = {}
    if not hasattr(_LOCAL, "buffer"):
        _LOCAL.buffer = ctypes.create_string_buffer(1 << 16)
    buffer = _LOCAL.buffer
    while True:
        got = LIBC.getdents64(fd, buffer, len(buffer))
        if got < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        if got == 0:
            found.pop(b"..", None)
            return found
        raw, at = buffer.raw[:got], 0
        while at < got:
            ino, _, length, kind = struct.unpack_from("<QqHB", raw, at)
            name = raw[at + 19:raw.index(b"\0", at + 19)]
            if name in found and name != b"..":
                raise AssertionError(f"{name!r} is listed twice")
            found[name] = (ino, _KINDS.get(kind, kind))
            at += length


def list_directory(path):
    """entries() of a directory by its name: opened, read from the start, closed."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        return entries(fd)
    finally:
        os.close(fd)


def content(path, limit=1 << 20):
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        data = os.read(fd, limit)
    finally:
        os.close(fd)
    return f"{len(data)} bytes, crc {zlib.crc32(data):08x}"


def xattrs(path):
    """Names and values, sorted; the order of names is the filesystem's own affair. path may be a
    descriptor."""
    follow = isinstance(path, int)
    return tuple((name, short(os.getxattr(path, name, follow_symlinks=follow)))
                 for name in sorted(os.listxattr(path, follow_symlinks=follow)))


def short(value):
    return value if len(value) <= 24 else f"{len(value)} bytes, crc {zlib.crc32(value):08x}"


def _look(path, dents, inos, numbers):
    """Everything about one name; `dents` is what its directory says of it, or None for the root."""
    try:
        st = os.lstat(path)
        facts = record(st, inos)
        if numbers and dents and dents[0] != st.st_ino:
            facts += (f"d_ino {dents[0]} is not st_ino {st.st_ino}",)
        kind = stat.S_IFMT(st.st_mode)
        if dents and dents[1] != kind:
            facts += (f"d_type says {oct(dents[1])}",)
        if kind == stat.S_IFREG:
            facts += (content(path),)
        elif kind == stat.S_IFLNK:
            facts += (os.readlink(path),)
        return facts + xattrs(path), kind
    except OSError as error:
        return error_name(error), 0


ABSENT = (b"absent", b".wh.a", b"f2.tmp")


def snapshot(root, order, hints=(), numbers=True):
    """({path: facts}, {path: inode number}). Orders of asking, since a union may answer a lookup and
    a listing by different code and remember either:
      "list"    each directory is listed, then its names are looked up, parents first
      "lookup"  first every path of `hints` is looked up, deepest first, and a few absent names; then
                as "list"
      "deep"    as "list", but what lies below a directory is looked at before the directory itself,
                and its names backwards
    numbers: whether d_ino must be st_ino.
    """
    facts, inos = {}, {}
    if order == "lookup":
        for path in sorted(hints, key=lambda p: (-p.count(b"/"), p)):
            try:
                st = os.lstat(root + b"/" + path)
            except OSError:
                continue
            if stat.S_ISDIR(st.st_mode):
                for name in ABSENT:
                    try:
                        os.lstat(root + b"/" + path + b"/" + name)
                    except OSError:
                        pass

    def look(path, dents):
        found = []
        facts[path], kind = _look(root + b"/" + path, dents, found, numbers)
        if found:
            inos[path] = found[0]
        return kind

    def walk(path):
        try:
            names = list_directory(root + b"/" + path)
        except (OSError, AssertionError) as error:
            facts[path + b"/"] = error_name(error) if isinstance(error, OSError) else str(error)
            return
        own = names.pop(b".", None)
        if numbers and own and order != "deep" and own[0] != inos.get(path):
            facts[path + b"/"] = f'd_ino of "." {own[0]} is not st_ino {inos.get(path)}'
        for name in sorted(names, reverse=order == "deep"):
            full = path + b"/" + name if path else name
            if order == "deep" and names[name][1] == stat.S_IFDIR:
                walk(full)
                look(full, names[name])
            elif look(full, names[name]) == stat.S_IFDIR:
                walk(full)

    look(b"", None)
    walk(b"")
    return facts, inos
