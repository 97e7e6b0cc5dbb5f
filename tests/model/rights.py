# SPDX-License-Identifier: MIT
"""The one table of what may differ, by right, between a union mount and a plain directory.

Each line is something the test does not compare, or does not do, and why. `skip` is asked before an
operation and `allowed` after it; what is only left out of the language or of tree.record() is listed
for the reader.
"""
import os
import stat

TABLE = (
    ("st_size and st_nlink of a directory",
     "each filesystem counts in its own way; a merged directory would have to be walked to count"),
    ("the value of st_ino",
     "the number is the union's own: compared as a one-to-one relation that does not change"),
    ("st_dev, st_blocks, st_blksize, f_type", "another filesystem"),
    ("atime", "relatime and the page cache decide; layers are not written for it"),
    ("ctime", "no call sets it, and copy-up makes a new one"),
    ("times since the start of the test", "two calls on two trees are not at one instant: compared as 'now'"),
    ("the order of names in readdir and listxattr", "free by POSIX"),
    ("opening devices", "their drivers are not the filesystem's; /dev/shm may be mounted nodev"),
    ("SEEK_DATA and SEEK_HOLE", "a filesystem may call a hole data; the I/O suite covers holes"),
    ("fallocate modes that the backing filesystem lacks",
     "a stacked filesystem drops setuid before it learns of the refusal, tmpfs after"),
    ("mknod of a character device 0:0", "it is the whiteout: overlayfs answers EPERM"),
    ("rename with RENAME_WHITEOUT", "overlayfs answers EINVAL: it makes such whiteouts itself"),
    ("names that begin with .wh.", "whiteouts of image layers; the kernel takes them as names"),
    ("st_nlink of a file some names of which no layer shows",
     "the inode's own count is kept; the stacks have no such file"),
    ("drop-in form: EXDEV for renaming a directory that has a lower part",
     "redirect_dir is off; rename(2) allows it and mv(1) copies"),
    ("drop-in form: hard links inside lower layers",
     "index is off, so copy-up breaks them; the stacks have none"),
    ("drop-in form: st_ino after copy-up and remount", "claimed for the own form only"),
    ("renaming a directory whose path is longer than 200 bytes",
     "the redirect xattr holds 255 bytes of path: beyond, overlayfs answers EXDEV"),
    ("kernel only: mtime of a metacopy file whose data is copied up later",
     "the kernel does not put the time back then; plyfs must keep it"),
    ("removexattr of an ACL that is not there", "tmpfs and ext4 answer 0, overlayfs ENODATA"),
    ("kernel only: rename and link of a file whose path is longer than 200 bytes",
     "EXDEV again, for a metacopy file; plyfs must copy the data up instead"),
    ("kernel only: fstat's link count of an unlinked lower file", "it stays 1; plyfs must say 0"),
    ("kernel only: chmod, chown, times and xattrs through the descriptor of an unlinked file",
     "a lower file that is not copied up yet then fails with EEXIST; plyfs must do it"),
    ("chown(2) of -1 and -1 on a file that is open or has capabilities, or by somebody else than root",
     "FUSE sends the same empty SETATTR for it as for a write that takes setuid bits or capabilities away"),
    ("several processes: chown(2) of -1 and -1",
     "the kernel tells of a close(2) only some time after it, so the file may count as open yet"),
    ("copy_file_range between a file of the tree and one beside it, and a link to one", "EXDEV: they are on two mounts"),
    ("userns: st_ino of symlinks, fifos and devices after copy-up and remount",
     "user.* attributes go on files and directories alone, so an origin cannot be kept there"),
    ("reading and writing a fifo", "the kernel does it without the filesystem, which is not told the times"),
    ("truncate(2) to the size that the file has",
     "whether that sets the time is each filesystem's own affair: tmpfs does with data, not without"),
    ("several processes, kernel only: mtime of a directory that they copy up into at once",
     "the kernel puts back what it saw before, which may be the moment of another's copy-up; plyfs must not"),
    ("kernel only: d_ino", "a new directory that lower files were linked into lists the upper's numbers"),
)

_KERNEL = {"kernel", "mixed"}
_OPENS = {"put": 0, "get": 0, "open": 1}


def skip(operation, model, kinds):
    """True where the operation must not be done on any target, which are of `kinds`. `model` is the
    plain tree."""
    caller = 0
    while operation[0] == "as":
        caller, operation = operation[1], operation[3]
    name = operation[0]
    if name in _OPENS:
        path = operation[1 + _OPENS[name]]
        try:
            return stat.S_IFMT(os.stat(model.at(path)).st_mode) in (stat.S_IFCHR, stat.S_IFBLK,
                                                                  stat.S_IFIFO)
        except OSError:
            return False
    if name in ("chown", "fchown") and operation[2:4] == (-1, -1):
        return (caller != 0 or name == "fchown" or _is_open(model, operation[1])
                or _has_capabilities(model, operation[1]))
    if name == "copy_range" and operation[1] in model.slots and operation[3] in model.slots:
        return not all(_is_inside(model, model.slots[operation[n]]) for n in (1, 3))
    if name == "truncate":
        try:
            return os.stat(model.at(operation[1])).st_size == operation[2]
        except OSError:
            return False
    if name in ("fchmod", "fchown", "futime", "fsetxattr") and _KERNEL & set(kinds):
        return operation[1] in model.slots and os.fstat(model.slots[operation[1]]).st_nlink == 0
    if name == "linkfd" and operation[1] in model.slots and not _is_inside(model, model.slots[operation[1]]):
        return True
    if name == "linkfd" and _KERNEL & set(kinds) and operation[1] in model.slots:
        name_of = os.readlink(b"/proc/self/fd/%d" % model.slots[operation[1]])
        return max(len(name_of) - len(model.root), len(operation[2])) > 200
    if name in ("rename", "link") and max(len(operation[1]), len(operation[2])) > 200:
        return bool(_KERNEL & set(kinds)) or any(_is_dir(model.at(p)) for p in operation[1:3])
    return False


def allowed(operation, result, model, lower_dirs):
    """True for a result of a union that stands although the plain tree would do the operation:
    asked in the drop-in form, before the plain tree does it. `lower_dirs` are the inode numbers that
    directories with a lower part have in the plain tree."""
    if operation[0] != "rename" or result != "E:EXDEV":
        return False
    moved = operation[1:3] if operation[3] & 2 else operation[1:2]
    return any(_is_dir(model.at(p)) and os.lstat(model.at(p)).st_ino in lower_dirs for p in moved)


def same(kind, expected, answer):
    """True where two results, looks or facts are equal, up to what only the kernel does."""
    if expected == answer:
        return True
    if kind not in _KERNEL or not isinstance(expected, tuple) \
            or not isinstance(answer, tuple) or len(expected) != len(answer):
        return False
    if len(answer) > 5 and str(answer[5]).startswith("size "):
        if answer[3] == "now":
            expected = expected[:3] + ("now",) + expected[4:]
        if expected[4] == "nlink 0" and answer[4] == "nlink 1":
            expected = expected[:4] + ("nlink 1",) + expected[5:]
        return expected == answer
    return all(same(kind, e, a) for e, a in zip(expected, answer))


def same_shared(kind, expected, answer):
    """The same of the facts of a directory that several processes copied up into at once."""
    if kind in _KERNEL and expected and answer and answer[3] == "now":
        expected = expected[:3] + ("now",) + expected[4:]
    return same(kind, expected, answer)


def _is_inside(model, fd):
    """False for what a symlink reached beside the root: there a mountpoint lies between."""
    return os.readlink(b"/proc/self/fd/%d" % fd).startswith(os.fsencode(model.root) + b"/")


def _is_open(model, path):
    """True where a slot holds the file open."""
    try:
        st = os.stat(model.at(path))
    except OSError:
        return False
    return any(os.path.samestat(st, os.fstat(fd)) for fd in model.slots.values())


def _has_capabilities(model, path):
    try:
        os.getxattr(model.at(path), "security.capability")
    except OSError:
        return False
    return True


def _is_dir(path):
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False
