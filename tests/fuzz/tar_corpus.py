#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Writes the archives from which the fuzzer of the unpacking starts into a directory: hostile ones and plain.

Each is a list of entries (type, name, rest): the content of a file, the target of a link, the number of a
device as (major, minor). The same bytes every time.
"""
import bz2
import gzip
import io
import lzma
import os
import sys
import tarfile

FILE, DIR, LINK, HARD = tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE
CHAR, FIFO = tarfile.CHRTYPE, tarfile.FIFOTYPE

PLAIN = [(DIR, "d", ""), (FILE, "d/f", b"text"), (LINK, "d/l", "f"), (HARD, "h", "d/f"), (FIFO, "p", ""),
         (CHAR, "null", (1, 3)), (FILE, "n" * 200, b"long"), (FILE, "\udcff\udcfe", b"bytes")]

CASES = {
    "empty": [],
    "plain": PLAIN,
    "absolute": [(FILE, "/canary", b"evil")],
    "up": [(FILE, "../canary", b"evil")],
    "up-inside": [(FILE, "a/../../canary", b"evil")],
    "symlink-then-write": [(LINK, "a", ".."), (FILE, "a/canary", b"evil")],
    "symlink-then-symlink": [(LINK, "a", ".."), (LINK, "b", "a"), (FILE, "b/canary", b"evil")],
    "symlink-then-file": [(LINK, "a", "../canary"), (FILE, "a", b"evil")],
    "symlink-then-directory": [(LINK, "a", ".."), (DIR, "a", ""), (FILE, "a/canary", b"evil")],
    "symlink-then-whiteout": [(LINK, "a", ".."), (FILE, "a/.wh.canary", b"")],
    "symlink-then-opaque": [(LINK, "a", ".."), (FILE, "a/.wh..wh..opq", b"")],
    "hard-link-up": [(HARD, "a", "../canary"), (FILE, "a", b"evil")],
    "hard-link-absolute": [(HARD, "a", "/etc/passwd")],
    "hard-link-through-symlink": [(LINK, "a", ".."), (HARD, "b", "a/canary")],
    "hard-link-to-directory": [(DIR, "d", ""), (HARD, "a", "d")],
    "hard-link-to-whiteout": [(FILE, ".wh.w", b""), (HARD, "a", "w")],
    "hard-link-to-itself": [(FILE, "a", b"one"), (HARD, "a", "a")],
    "whiteouts": [(FILE, ".wh.a", b""), (FILE, "d/.wh.b", b""), (FILE, "d/.wh..wh..opq", b""), (DIR, "a", "")],
    "whiteout-of-nothing": [(FILE, "d/.wh.", b"")],
    "whiteout-of-dot": [(FILE, ".wh..", b"")],
    "whiteout-of-dot-dot": [(FILE, "d/.wh...", b"")],
    "inside-a-whiteout": [(FILE, ".wh.a/b", b"x")],
    "device-whiteout": [(CHAR, "w", (0, 0)), (DIR, "w", "")],
    "last-wins": [(FILE, "a", b"one"), (FILE, "a", b"two"), (DIR, "a", ""), (FILE, "a/b", b"three"),
                  (FILE, "a", b"four"), (HARD, "c", "a"), (FILE, "a", b"five")],
    "file-as-directory": [(FILE, "a", b"one"), (FILE, "a/b", b"two")],
    "deep": [(FILE, "d/" * 250 + "f", b"x")],
    "too-deep": [(FILE, "d/" * 300 + "f", b"x")],
    "name-255": [(FILE, "n" * 255, b"x")],
    "name-256": [(FILE, "n" * 256, b"x")],
    "root-is-a-file": [(FILE, ".", b"x")],
    "large": [(FILE, "zeros", bytes(2 << 20))],
}

ATTRIBUTES = {
    "SCHILY.xattr.user.note": "text",
    "SCHILY.xattr.user.overlay.redirect": "/canary",
    "SCHILY.xattr.user.overlay.metacopy": "",
    "SCHILY.xattr.trusted.overlay.opaque": "y",
    "SCHILY.xattr.user.containers.override_stat": "0:0:4755:block-8-0",
}


def archive(entries, form=tarfile.PAX_FORMAT, attributes=None):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form, pax_headers={}) as tar:
        for kind, name, rest in entries:
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.mtime = kind, 0o755 if kind == DIR else 0o644, 1000000000
            info.pax_headers = dict(attributes or {})
            if kind in (LINK, HARD):
                info.linkname = rest
            elif kind == CHAR:
                info.devmajor, info.devminor = rest
            elif kind == FILE:
                info.size = len(rest)
            tar.addfile(info, io.BytesIO(rest if kind == FILE else b""))
    return out.getvalue()


def sparse(size):
    """A GNU sparse file that has five bytes, by hand: tarfile writes none."""
    header = bytearray(tarfile.TarInfo("sparse").tobuf(tarfile.GNU_FORMAT))
    header[124:136], header[156:157] = b"%011o\0" % 5, b"S"
    header[386:410] = b"%011o\0" % 4096 + b"%011o\0" % 5
    header[483:495] = b"%011o\0" % size
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + b"hello".ljust(512, b"\0") + bytes(1024)


def corpus():
    for name, entries in CASES.items():
        yield name + ".tar", archive(entries)
    plain = archive(PLAIN)
    yield "gnu.tar", archive(PLAIN, tarfile.GNU_FORMAT)
    yield "attributes.tar", archive(PLAIN[:3], attributes=ATTRIBUTES)
    yield "sparse.tar", sparse(1 << 19)
    yield "sparse-large.tar", sparse((1 << 33) - 1)
    yield "cut.tar", plain[:1900]
    yield "no-end.tar", plain[:-(-len(plain.rstrip(b"\0")) // 512 * 512)]
    yield "trailing.tar", plain + b"trailing"
    yield "flipped.tar", plain[:700] + b"\xff" + plain[701:]
    yield "plain.tar.gz", gzip.compress(plain, mtime=0)
    yield "members.tar.gz", gzip.compress(plain[:3000], mtime=0) + gzip.compress(plain[3000:], mtime=0) + b"x"
    yield "plain.tar.bz2", bz2.compress(plain)
    yield "plain.tar.xz", lzma.compress(plain)
    yield "cut.tar.gz", gzip.compress(plain, mtime=0)[:-9]
    yield "twice.tar.gz", gzip.compress(gzip.compress(plain, mtime=0), mtime=0)
    yield "zeros.tar.xz", lzma.compress(archive([(FILE, "a", b"x")]) + bytes(70 << 20))
    yield "no-tar", b"This is no archive.\n" * 100
    yield "nothing", b""


def main():
    os.makedirs(sys.argv[1], exist_ok=True)
    for name, data in corpus():
        with open(os.path.join(sys.argv[1], name), "wb") as out:
            out.write(data)


main()
