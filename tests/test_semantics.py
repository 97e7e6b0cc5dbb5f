# SPDX-License-Identifier: MIT
"""What a union is, claim by claim: the same act on a plain directory, on the kernel's overlayfs and
on plyfs has one outcome. Who may do what, and who an inode is, stand in test_identity.py."""
import ctypes
import fcntl
import hashlib
import mmap
import os
import shutil
import socket
import stat
import struct
import subprocess

import pytest

from harness import HURRIED, LIBC, Sandbox, assert_same, listing, need_root, run
from layers_kit import link_descriptor, set_acl
from worlds import (OPAQUE, WHITEOUT, Symlink, as_user, attempt, date_back, disk_base, fill, get,
                    name_of, opened, put, same, syscall)

AT_FDCWD = -100
RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_WHITEOUT = 1, 2, 4
KEEP_SIZE, PUNCH_HOLE, COLLAPSE_RANGE, ZERO_RANGE, INSERT_RANGE = 1, 2, 8, 16, 32
FS_IOC_GETFLAGS, FS_IOC_SETFLAGS = 0x80086601, 0x40086602
FS_IOC_FSGETXATTR, FS_IOC_FSSETXATTR = 0x801C581F, 0x401C5820
MANY = 5_000 if HURRIED else 20_000
ACCESS = "system.posix_acl_access"
CAPABILITY = struct.pack("<IIIII", 0x02000001, 0x400, 0, 0, 0)  # cap_net_bind_service
FS_IMMUTABLE_FL, FS_APPEND_FL, FS_NODUMP_FL, FS_NOATIME_FL = 0x10, 0x20, 0x40, 0x80

LIBC.renameat2.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p,
                           ctypes.c_uint]
LIBC.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
LIBC.linkat.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_int]


def rename2(old, new, flags):
    return syscall(LIBC.renameat2, AT_FDCWD, os.fsencode(old), AT_FDCWD, os.fsencode(new), flags)


def fallocate(path, mode, offset, length):
    fd = os.open(path, os.O_RDWR)
    try:
        return syscall(LIBC.fallocate, fd, mode, offset, length)
    finally:
        os.close(fd)


def names(path):
    return sorted(os.listdir(path))


def times(path):
    return os.lstat(path).st_mtime_ns


# ---- the union: what shows ----------------------------------------------------------------------

STACK = [{"both": "top", "top": "t", "kind": {"in": "the top's directory"}, "d": {"a": "top a"}},
         {"both": "low", "low": "l", "kind": "the low file", "d": {"a": "low a", "b": "low b"}}]


@same(*STACK)
def test_the_topmost_layer_wins_and_directories_merge(root):
    return names(root), names(f"{root}/d"), get(f"{root}/both"), get(f"{root}/d/a")


@same({"d": WHITEOUT, "e": {"gone": WHITEOUT}}, {"d": {"x": "1"}, "e": {"gone": "1", "stays": "2"}})
def test_whiteout_hides_all_lower_copies(root):
    return names(root), names(f"{root}/e"), attempt(os.lstat, f"{root}/d/x"), attempt(
        os.lstat, f"{root}/e/gone")


@same({"d": {OPAQUE: True, "new": "n"}}, {"d": {"old": "o", "sub": {"deep": "x"}}})
def test_opaque_directory_hides_what_lies_below_when_listed_first(root):
    return names(f"{root}/d"), attempt(os.lstat, f"{root}/d/old"), attempt(
        os.lstat, f"{root}/d/sub/deep")


@same({"d": {OPAQUE: True, "new": "n"}}, {"d": {"old": "o", "sub": {"deep": "x"}}})
def test_opaque_directory_hides_what_lies_below_when_looked_up_first(root):
    return attempt(os.lstat, f"{root}/d/sub/deep"), attempt(os.lstat, f"{root}/d/old"), names(
        f"{root}/d")


@same({"d": {"m": "top"}}, {"d": "a file"}, {"d": {"bottom": "b"}})
def test_a_file_between_two_directories_cuts_the_lower_one_off(root):
    return names(f"{root}/d")


@same({"a": {}}, {"a": WHITEOUT}, {"a": {"hidden": "h"}})
def test_a_whiteout_between_two_directories_cuts_the_lower_one_off(root):
    return names(f"{root}/a"), attempt(os.lstat, f"{root}/a/hidden")


DEEP = {"d": {"old": "o", "sub": {"deep": "x"}}}


@same(DEEP)
def test_deleted_content_stays_gone_in_a_recreated_directory_listed_first(root):
    run("rm", "-r", f"{root}/d")
    os.mkdir(f"{root}/d")
    return names(f"{root}/d"), attempt(os.lstat, f"{root}/d/old"), attempt(os.mkdir,
                                                                          f"{root}/d/sub"), names(
        f"{root}/d/sub")


@same(DEEP)
def test_deleted_content_stays_gone_in_a_recreated_directory_looked_up_first(root):
    run("rm", "-r", f"{root}/d")
    before = attempt(os.lstat, f"{root}/d/sub/deep")
    os.mkdir(f"{root}/d")
    return before, attempt(os.lstat, f"{root}/d/sub/deep"), attempt(
        os.lstat, f"{root}/d/old"), names(f"{root}/d")


@same(DEEP)
def test_a_file_in_place_of_a_lower_directory_and_back(root):
    run("rm", "-r", f"{root}/d")
    put(f"{root}/d", "now a file")
    os.unlink(f"{root}/d")
    os.mkdir(f"{root}/d")
    put(f"{root}/d/fresh", "f")
    return names(f"{root}/d")


@same(DEEP)
def test_removing_and_recreating_many_times_leaves_only_the_last(root):
    for turn in range(10):
        run("rm", "-r", f"{root}/d")
        os.makedirs(f"{root}/d/sub")
        put(f"{root}/d/sub/deep", str(turn))
    return names(f"{root}/d"), names(f"{root}/d/sub"), get(f"{root}/d/sub/deep")


@same({"d": {"x": "1"}})
def test_rmdir_of_a_merged_directory_with_visible_names_is_refused(root):
    return attempt(os.rmdir, f"{root}/d"), attempt(os.unlink, f"{root}/d/x"), attempt(
        os.rmdir, f"{root}/d"), names(root)


@same({"d": {"x": "1"}})
def test_rmdir_of_what_lies_in_the_upper_alone(root):
    os.makedirs(f"{root}/new/sub")
    put(f"{root}/new/sub/f", "1")
    seen = [attempt(os.rmdir, f"{root}/new/sub"), attempt(os.rmdir, f"{root}/new")]
    os.rename(f"{root}/d/x", f"{root}/new/x")
    os.remove(f"{root}/new/sub/f")
    seen += [attempt(os.rmdir, f"{root}/new/sub"), attempt(os.rmdir, f"{root}/new"), names(f"{root}/new")]
    os.remove(f"{root}/new/x")
    held = os.open(f"{root}/new", os.O_RDONLY)
    seen += [attempt(os.rmdir, f"{root}/new"), os.listdir(held), stat.S_ISDIR(os.fstat(held).st_mode)]
    seen += [attempt(os.mkdir, "below", dir_fd=held), attempt(os.rmdir, f"{root}/d")]
    os.close(held)
    os.mkdir(f"{root}/d")
    return seen, names(f"{root}/d"), attempt(os.rmdir, f"{root}/d"), names(root)


def begin_to_list(path):
    """Whoever looks whether a directory is empty reads no further than the first names."""
    with os.scandir(path) as entries:
        return next(entries, None) is not None


CHANGES = {
    "create": lambda d: put(f"{d}/new", "1"), "mkdir": lambda d: os.mkdir(f"{d}/new"),
    "symlink": lambda d: os.symlink("to", f"{d}/new"), "mknod": lambda d: os.mkfifo(f"{d}/new"),
    "link": lambda d: os.link(f"{d}/a", f"{d}/new"), "unlink": lambda d: os.remove(f"{d}/a"),
    "rmdir": lambda d: os.rmdir(f"{d}/e"), "rename": lambda d: os.rename(f"{d}/a", f"{d}/b"),
    "move in": lambda d: os.rename(f"{d}/../out", f"{d}/new"), "move out": lambda d: os.rename(f"{d}/a", f"{d}/../new"),
    "exchange": lambda d: rename2(f"{d}/a", f"{d}/../out", RENAME_EXCHANGE),
}


@same({"out": "o", **{what: {"a": "1", "b": "2", "e": {}} for what in CHANGES}})
def test_what_changes_between_two_readings_shows_in_the_second(root):
    seen = {}
    for what, change in CHANGES.items():
        begun = begin_to_list(f"{root}/{what}")
        change(f"{root}/{what}")
        seen[what] = begun, names(f"{root}/{what}"), begin_to_list(f"{root}/{what}"), names(f"{root}/{what}")
        put(f"{root}/out", "o")
        if os.path.lexists(f"{root}/new"):
            os.remove(f"{root}/new")
    return seen


@same({"f": "lower", "d": {}})
def test_an_attribute_is_seen_though_there_was_none_before(root):
    seen = []
    put(f"{root}/new", "n")
    for path in (f"{root}/f", f"{root}/new", f"{root}/d"):
        note, caps, label = "user.note", "security.capability", "security.label"
        seen += [attempt(os.getxattr, path, caps), os.listxattr(path), attempt(os.getxattr, path, note)]
        os.setxattr(path, label, b"set")
        seen += [os.getxattr(path, label), attempt(os.getxattr, path, "security.other"), os.listxattr(path)]
        os.removexattr(path, label)
        seen += [attempt(os.getxattr, path, label), os.listxattr(path)]
        os.setxattr(path, note, b"set")
        seen += [os.listxattr(path), os.getxattr(path, note), attempt(os.getxattr, path, caps)]
        if path != f"{root}/d":
            os.setxattr(path, caps, CAPABILITY)
            seen += [os.getxattr(path, caps), sorted(os.listxattr(path))]
            os.chown(path, 5, 6)
            seen += [attempt(os.getxattr, path, caps), os.listxattr(path)]
        os.removexattr(path, note)
        seen += [os.listxattr(path), attempt(os.getxattr, path, note)]
    return seen


@same({"f": "lower", "d": {}})
def test_removing_the_wrong_kind_is_refused(root):
    return (attempt(os.rmdir, f"{root}/f"), attempt(os.unlink, f"{root}/d"),
            attempt(os.unlink, f"{root}/none"), attempt(os.rmdir, f"{root}/none"))


@same({"f": "lower", "d": {}, "l": Symlink("f")})
def test_making_what_exists_below_is_refused(root):
    return [attempt(make, f"{root}/{name}") for name in "fdl" for make in (
        os.mkdir, lambda p: os.symlink("x", p), lambda p: os.mknod(p, stat.S_IFREG | 0o644),
        lambda p: os.link(f"{root}/f", p), lambda p: opened(p, os.O_CREAT | os.O_EXCL | os.O_RDWR))]


@same({"f": "lower"},
      kernel="its descriptor is the lower file itself, whose link count nobody lowered")
def test_unlink_and_recreate_is_a_new_file(root):
    before = os.lstat(f"{root}/f").st_ino
    fd = os.open(f"{root}/f", os.O_RDONLY)
    os.unlink(f"{root}/f")
    put(f"{root}/f", "new")
    new = os.lstat(f"{root}/f").st_ino
    old = os.read(fd, 100), os.fstat(fd).st_nlink
    os.close(fd)
    return before != new, old, get(f"{root}/f")


# ---- copy-up: what must not change --------------------------------------------------------------

def modes(root):
    os.chmod(f"{root}/a", 0o700)
    os.chmod(f"{root}/a/b", 0o2731)
    os.chown(f"{root}/a/b", 12, 34)
    os.chmod(f"{root}/a/b/c", 0o1555)
    os.setxattr(f"{root}/a/b", "user.note", b"kept")
    os.setxattr(f"{root}/a/b/c/f", "user.note", b"kept too")
    os.chown(f"{root}/a/b/c/f", 56, 78)
    os.chmod(f"{root}/a/b/c/f", 0o6751)


PARENTS = {"a": {"b": {"c": {"f": "lower", "g": "untouched"}}}}


@same(PARENTS, prepare=modes)
def test_copied_up_parents_keep_mode_owner_times_and_xattrs_exactly(root):
    with open(f"{root}/a/b/c/f", "ab") as file:
        file.write(b" and more")
    return [times(f"{root}/{p}") for p in ("a", "a/b", "a/b/c")]


@same(PARENTS, prepare=modes)
def test_chmod_changes_the_mode_and_nothing_else(root):
    os.chmod(f"{root}/a/b/c/f", 0o604)
    return times(f"{root}/a/b/c/f"), get(f"{root}/a/b/c/f")


CHMODS = {"f": "a file", "d": {"in": "it"}, "e": {}}


@same(CHMODS)
def test_chmod_that_copies_up_leaves_the_very_mode(root):
    seen = []
    for mode in (0o644, 0o755, 0, 0o444, 0o777, 0o200, 0o4711, 0o2755, 0o1777, 0o7777):
        file, directory = f"{root}/f{mode:o}", f"{root}/d{mode:o}"
        put(file, "made")
        os.mkdir(directory)
        for path in (file, directory):
            os.chmod(path, mode)
            seen.append(oct(os.lstat(path).st_mode))
    for path, mode in (("f", 0o6754), ("d", 0o3703), ("e", 0)):
        before = os.lstat(f"{root}/{path}")
        os.chmod(f"{root}/{path}", mode)
        after = os.lstat(f"{root}/{path}")
        seen.append((oct(after.st_mode), before.st_size if path == "f" else 0, after.st_mtime_ns == before.st_mtime_ns,
                     after.st_ino == before.st_ino, after.st_ctime_ns > before.st_ctime_ns,
                     after.st_blocks == before.st_blocks or path != "f"))
    return seen, get(f"{root}/f"), names(f"{root}/d"), names(f"{root}/e")


def access_lists(root):
    for path in ("f", "d"):
        set_acl(f"{root}/{path}", "access", [("u", 7, None), ("user", 6, 1234), ("g", 5, None), ("mask", 7, None),
                                             ("o", 4, None)])
    set_acl(f"{root}/d", "default", [("u", 7, None), ("g", 5, None), ("o", 0, None)])


@same(CHMODS, prepare=access_lists)
def test_chmod_that_copies_up_changes_the_mask_of_an_access_list(root):
    seen = []
    for path, mode in (("f", 0o640), ("d", 0o711)):
        os.chmod(f"{root}/{path}", mode)
        seen.append((oct(os.lstat(f"{root}/{path}").st_mode), attempt(os.getxattr, f"{root}/{path}", ACCESS)))
    return seen


@same(PARENTS, prepare=modes)
def test_chown_changes_the_owner_and_keeps_the_times(root):
    os.chown(f"{root}/a/b/c/f", 1, 2)
    return times(f"{root}/a/b/c/f"), oct(os.lstat(f"{root}/a/b/c/f").st_mode)


@same(PARENTS, prepare=modes)
def test_a_long_list_of_attributes_is_told_whole(root):
    for i in range(30):
        os.setxattr(f"{root}/a/b/c/f", f"user.{'n' * 60}{i}", b"v")
    return sorted(os.listxattr(f"{root}/a/b/c/f"))


@same(PARENTS, prepare=modes)
def test_setxattr_keeps_the_times(root):
    os.setxattr(f"{root}/a/b/c/f", "user.more", b"x")
    return times(f"{root}/a/b/c/f"), sorted(os.listxattr(f"{root}/a/b/c/f"))


@same(PARENTS, prepare=modes)
def test_opening_for_writing_without_writing_keeps_the_times(root):
    return opened(f"{root}/a/b/c/f", os.O_RDWR), times(f"{root}/a/b/c/f"), times(f"{root}/a/b/c")


@same(PARENTS, prepare=modes)
def test_reading_and_listing_change_no_time(root):
    seen = [names(f"{root}/{p}") for p in ("", "a", "a/b", "a/b/c")]
    return seen, get(f"{root}/a/b/c/g"), [times(f"{root}/{p}") for p in ("", "a", "a/b", "a/b/c")]


@same({"f": "below", "g": "below"})
def test_who_reads_and_asks_for_it_leaves_no_access_time(root):
    put(f"{root}/new", "new")
    os.chmod(f"{root}/g", 0o600)
    for name in ("f", "g", "new"):
        os.utime(f"{root}/{name}", ns=(1_000_000_000, 2_000_000_000))
        fd = os.open(f"{root}/{name}", os.O_RDONLY | os.O_NOATIME)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.read(fd, 10)
        os.close(fd)
    return [os.stat(f"{root}/{name}").st_atime_ns for name in ("f", "g", "new")]


@same(PARENTS)
def test_utimens_sets_nanoseconds_and_leaves_what_is_omitted(root):
    os.utime(f"{root}/a/b/c/f", ns=(111_222_333_444, 555_666_777_888))
    os.utime(f"{root}/a/b", ns=(1, 2))
    st = os.stat(f"{root}/a/b/c/f")
    return st.st_mtime_ns, st.st_atime_ns, times(f"{root}/a/b"), times(f"{root}/a")


@same({"f": "0123456789" * 1000})
def test_truncate_of_a_lower_file_down_up_and_to_nothing(root):
    os.truncate(f"{root}/f", 5)
    first = get(f"{root}/f")
    os.truncate(f"{root}/f", 9)
    second = get(f"{root}/f")
    os.truncate(f"{root}/f", 0)
    return first, second, get(f"{root}/f"), attempt(os.truncate, f"{root}/f", -1)


@same({"f": "lower content"})
def test_open_with_trunc_leaves_only_what_is_written(root):
    fd = os.open(f"{root}/f", os.O_WRONLY | os.O_TRUNC)
    empty = os.fstat(fd).st_size
    os.write(fd, b"new")
    os.close(fd)
    return empty, get(f"{root}/f")


@same({"f": "lower "})
def test_append_goes_to_the_end_whoever_else_writes(root):
    one = os.open(f"{root}/f", os.O_WRONLY | os.O_APPEND)
    two = os.open(f"{root}/f", os.O_WRONLY | os.O_APPEND)
    for fd in (one, two, one):
        os.write(fd, b"xy")
    os.close(one)
    os.close(two)
    return get(f"{root}/f")


@same({"f": "lower content here"},
      kernel="its reader stays on the lower file, a documented exception to POSIX")
def test_a_reader_from_before_the_copy_up_sees_what_is_written_after(root):
    reader = os.open(f"{root}/f", os.O_RDONLY)
    first = os.pread(reader, 5, 0)
    with open(f"{root}/f", "r+b") as file:
        file.write(b"UPPER")
    seen = os.pread(reader, 100, 0), os.fstat(reader).st_size
    os.close(reader)
    return first, get(f"{root}/f"), seen


@same({"f": "x" * 5000})
def test_a_read_only_file_can_be_written_by_its_open_descriptor(root):
    fd = os.open(f"{root}/f", os.O_RDWR)
    os.fchmod(fd, 0o444)
    os.pwrite(fd, b"written", 10)
    os.ftruncate(fd, 3000)
    os.posix_fallocate(fd, 0, 4000)
    os.close(fd)
    return os.stat(f"{root}/f").st_size, get(f"{root}/f")[:20]


def read_only(root):
    os.chmod(f"{root}/f", 0o444)


@same({"f": "q" * 100000}, prepare=read_only)
def test_copy_file_range_out_of_a_0444_file(root):
    source = os.open(f"{root}/f", os.O_RDONLY)
    target = os.open(f"{root}/copy", os.O_RDWR | os.O_CREAT, 0o444)
    done = os.copy_file_range(source, target, 60000, 0, 5)
    os.close(source)
    os.close(target)
    return done, os.stat(f"{root}/copy").st_size, get(f"{root}/copy")[:8]


# ---- open and unlinked --------------------------------------------------------------------------

@same({"f": "lower", "keep": "k"})
def test_an_unlinked_open_file_keeps_all_its_operations(root):
    fd = os.open(f"{root}/f", os.O_RDWR)
    os.unlink(f"{root}/f")
    os.fchmod(fd, 0o640)
    os.fchown(fd, 3, 4)
    os.ftruncate(fd, 3)
    os.pwrite(fd, b"XYZ123", 1)
    os.utime(fd, ns=(5, 6))
    os.setxattr(fd, "user.a", b"b")
    os.fsync(fd)
    st = os.fstat(fd)
    seen = (os.pread(fd, 100, 0), oct(st.st_mode), st.st_uid, st.st_gid, st.st_size, st.st_nlink,
            st.st_mtime_ns, os.getxattr(fd, "user.a"), os.listxattr(fd))
    os.close(fd)
    return seen, names(root)


@same({"f": "lower"},
      kernel="its descriptor is the lower file itself, whose link count nobody lowered")
def test_a_lower_file_unlinked_while_open_for_reading_can_still_be_read(root):
    fd = os.open(f"{root}/f", os.O_RDONLY)
    os.unlink(f"{root}/f")
    seen = os.pread(fd, 100, 0), os.fstat(fd).st_nlink, attempt(os.stat, f"/proc/self/fd/{fd}").st_size
    os.close(fd)
    return seen


def other_kinds(root):
    os.mkfifo(f"{root}/fifo")
    os.mknod(f"{root}/device", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    os.symlink("nowhere", f"{root}/link")


@same({"dir": {}}, prepare=other_kinds,
      kernel="it says ENOTDIR of the directory, and gives all else a name in the upper again")
def test_what_is_no_file_and_was_removed_while_open_can_still_be_changed(root):
    seen = []
    for name, remove in (("dir", os.rmdir), ("fifo", os.unlink), ("device", os.unlink), ("link", os.unlink)):
        path_only = os.O_PATH | os.O_NOFOLLOW if name == "link" else os.O_RDONLY | os.O_NONBLOCK
        fd = os.open(f"{root}/{name}", path_only)
        itself = f"/proc/self/fd/{fd}"
        remove(f"{root}/{name}")
        seen += [attempt(os.chmod, itself, 0o710), attempt(os.chown, itself, 3, 4),
                 attempt(os.utime, itself, ns=(5, 6)), attempt(os.setxattr, itself, "trusted.a", b"b")]
        st = os.fstat(fd)
        seen += [st.st_mode, st.st_uid, st.st_gid, st.st_mtime_ns, st.st_nlink, st.st_rdev,
                 attempt(os.getxattr, itself, "trusted.a")]
        os.close(fd)
    return seen, names(root)


@same({"f": "lower", "g": "other"})
def test_a_file_renamed_over_while_open_keeps_its_content(root):
    fd = os.open(f"{root}/g", os.O_RDWR)
    os.rename(f"{root}/f", f"{root}/g")
    os.pwrite(fd, b"OT", 0)
    seen = os.pread(fd, 100, 0), os.fstat(fd).st_nlink
    os.close(fd)
    return seen, get(f"{root}/g"), names(root)


@same({"d": {"f": "1"}})
def test_a_removed_directory_that_is_somebodys_cwd_is_empty_and_closed(root):
    def inside():
        os.chdir(f"{root}/d")
        os.unlink("f")
        os.rmdir(f"{root}/d")
        return (attempt(os.listdir, "."), attempt(os.mkdir, "x"),
                opened("y", os.O_CREAT | os.O_RDWR))
    return as_user(inside, uid=0, gid=0)


# ---- rename -------------------------------------------------------------------------------------

MOVES = {"f": "file", "g": "other", "d": {"x": "1", "sub": {"y": "2"}}, "e": {}, "full": {"z": "3"},
         "l": Symlink("f")}


@same(MOVES)
def test_rename_of_a_lower_file_leaves_no_old_name(root):
    os.rename(f"{root}/f", f"{root}/new")
    return names(root), get(f"{root}/new"), attempt(os.lstat, f"{root}/f"), times(f"{root}/new")


@same(MOVES)
def test_rename_of_a_lower_directory_needs_no_copy_and_gives_no_exdev(root):
    os.rename(f"{root}/d", f"{root}/moved")
    return names(root), names(f"{root}/moved"), get(f"{root}/moved/sub/y"), attempt(
        os.lstat, f"{root}/d/x")


@same(MOVES)
def test_rename_of_a_directory_there_and_back(root):
    os.rename(f"{root}/d", f"{root}/moved")
    os.rename(f"{root}/moved", f"{root}/d")
    return names(root), names(f"{root}/d"), names(f"{root}/d/sub")


@same(MOVES)
def test_rename_of_a_renamed_directorys_child_into_another(root):
    os.rename(f"{root}/d", f"{root}/full/moved")
    os.rename(f"{root}/full/moved/sub", f"{root}/sub")
    put(f"{root}/full/moved/sub", "a file where the directory was")
    return names(root), names(f"{root}/full/moved"), names(f"{root}/sub"), get(f"{root}/sub/y")


@same(MOVES)
def test_a_new_directory_in_the_place_of_a_renamed_one_is_empty(root):
    os.rename(f"{root}/d", f"{root}/moved")
    os.mkdir(f"{root}/d")
    return names(f"{root}/d"), attempt(os.lstat, f"{root}/d/x"), names(f"{root}/moved")


@same(MOVES)
def test_changes_below_a_renamed_directory_stay_below_it(root):
    os.rename(f"{root}/d", f"{root}/moved")
    os.unlink(f"{root}/moved/x")
    put(f"{root}/moved/sub/new", "n")
    os.chmod(f"{root}/moved/sub/y", 0o600)
    os.mkdir(f"{root}/d")
    return names(f"{root}/moved"), names(f"{root}/moved/sub"), names(f"{root}/d")


@same(MOVES)
def test_rename_over_an_empty_and_over_a_full_directory(root):
    return (attempt(os.rename, f"{root}/d", f"{root}/full"), attempt(
        os.rename, f"{root}/d", f"{root}/e"), names(root), names(f"{root}/e"))


@same({"d": {"x": "1"}, "e": {"gone": "2"}})
def test_rename_over_a_directory_that_only_looks_empty_shows_nothing_old(root):
    os.unlink(f"{root}/e/gone")
    os.rename(f"{root}/d", f"{root}/e")
    return names(root), names(f"{root}/e"), attempt(os.lstat, f"{root}/e/gone")


@same({"d": {"x": "1"}, "e": {"gone": "2"}})
def test_rename_of_a_new_directory_over_an_emptied_lower_one(root):
    os.unlink(f"{root}/e/gone")
    os.mkdir(f"{root}/fresh")
    os.rename(f"{root}/fresh", f"{root}/e")
    return names(root), names(f"{root}/e")


@same(MOVES)
def test_rename_between_kinds_is_refused(root):
    return (attempt(os.rename, f"{root}/f", f"{root}/e"), attempt(
        os.rename, f"{root}/e", f"{root}/f"), attempt(os.rename, f"{root}/d", f"{root}/d/sub/in"),
        attempt(os.rename, f"{root}/none", f"{root}/x"), names(root))


@same({"f": "1"}, prepare=lambda root: os.link(f"{root}/f", f"{root}/g"))
def test_rename_of_one_link_onto_another_of_the_same_inode_does_nothing(root):
    os.rename(f"{root}/f", f"{root}/g")
    return names(root), os.stat(f"{root}/f").st_nlink


@same(MOVES)
def test_noreplace_refuses_a_name_that_exists_in_a_lower_layer(root):
    return (rename2(f"{root}/f", f"{root}/g", RENAME_NOREPLACE), rename2(
        f"{root}/f", f"{root}/new", RENAME_NOREPLACE), names(root))


@same(MOVES)
def test_noreplace_accepts_a_name_that_was_deleted(root):
    os.unlink(f"{root}/g")
    return rename2(f"{root}/f", f"{root}/g", RENAME_NOREPLACE), names(root), get(f"{root}/g")


@same(MOVES)
def test_exchange_of_two_lower_files(root):
    return rename2(f"{root}/f", f"{root}/g", RENAME_EXCHANGE), get(f"{root}/f"), get(f"{root}/g")


@same(MOVES)
def test_exchange_of_a_lower_directory_and_a_file(root):
    return rename2(f"{root}/f", f"{root}/d", RENAME_EXCHANGE), names(f"{root}/f"), get(
        f"{root}/d"), get(f"{root}/f/sub/y")


@same(MOVES)
def test_exchange_of_two_lower_directories(root):
    return rename2(f"{root}/d", f"{root}/full", RENAME_EXCHANGE), names(f"{root}/d"), names(
        f"{root}/full"), names(f"{root}/full/sub")


@same(MOVES)
def test_exchange_with_a_new_directory(root):
    os.mkdir(f"{root}/new")
    put(f"{root}/new/n", "n")
    return rename2(f"{root}/d", f"{root}/new", RENAME_EXCHANGE), names(f"{root}/d"), names(
        f"{root}/new"), rename2(f"{root}/d", f"{root}/none", RENAME_EXCHANGE)


@same(MOVES)
def test_exchange_of_a_directory_with_its_own_child_is_refused(root):
    return rename2(f"{root}/d", f"{root}/d/sub", RENAME_EXCHANGE)


@same(MOVES)
def test_unknown_and_contradictory_rename_flags_are_refused(root):
    return (rename2(f"{root}/f", f"{root}/g", RENAME_EXCHANGE | RENAME_NOREPLACE),
            rename2(f"{root}/f", f"{root}/g", 64), names(root))


def test_rename_whiteout_is_refused_as_by_the_kernels_overlayfs(sandbox, profile):
    """No whiteout can be seen in a union: whoever asks for one to be left must learn that there is
    none, and hides the name in another way (fuse-overlayfs by a `.wh.` file)."""
    need_root()
    for kind in (sandbox.kernel, sandbox.plyfs):
        lower, upper, work = (sandbox.directory(n) for n in ("lower", "upper", "work"))
        fill(lower, MOVES)
        with kind([lower], upper, work, profile=profile if kind == sandbox.plyfs else None) as mount:
            put(mount / "fresh", "x")
            for name in ("f", "fresh", "d"):
                assert rename2(mount / name, mount / "new", RENAME_WHITEOUT) == "EINVAL"
                assert os.path.lexists(mount / name) and not os.path.lexists(mount / "new")


# ---- whiteouts on disk: needed, and not needless ------------------------------------------------

def whiteouts(upper):
    found = []
    for where, _, files in os.walk(upper):
        for name in files:
            st = os.lstat(os.path.join(where, name))
            if stat.S_ISCHR(st.st_mode) and st.st_rdev == 0:
                found.append(os.path.relpath(os.path.join(where, name), upper))
    return sorted(found)


def deeds_with_whiteouts(root):
    put(f"{root}/fresh", "x")
    os.rename(f"{root}/fresh", f"{root}/fresh2")
    os.unlink(f"{root}/fresh2")
    os.mkdir(f"{root}/newdir")
    put(f"{root}/newdir/in", "x")
    os.rename(f"{root}/newdir/in", f"{root}/newdir/out")
    os.rename(f"{root}/newdir", f"{root}/newdir2")
    os.rename(f"{root}/f", f"{root}/f2")
    os.rename(f"{root}/f2", f"{root}/g")
    os.unlink(f"{root}/l")
    os.unlink(f"{root}/full/z")
    os.rename(f"{root}/full", f"{root}/emptied")
    run("rm", "-r", f"{root}/d")


@pytest.mark.parametrize("kind", ["kernel", "stateless", "tracked"])
def test_whiteouts_are_where_a_lower_name_must_be_hidden_and_nowhere_else(sandbox, kind):
    lower, upper, work = (sandbox.directory(n) for n in ("lower", "upper", "work"))
    fill(lower, MOVES)
    mount = (sandbox.kernel([lower], upper, work, options=["redirect_dir=on", "index=on"])
             if kind == "kernel" else sandbox.plyfs([lower], upper, work, profile=kind))
    with mount:
        deeds_with_whiteouts(mount.at)
    assert [n for n in whiteouts(upper) if n != "emptied/z"] == ["d", "f", "full", "l"]


@pytest.mark.parametrize("kind", ["kernel", "stateless", "tracked"])
def test_a_recreated_directory_is_marked_opaque_and_its_inner_ones_are_not(sandbox, kind):
    lower, upper, work = (sandbox.directory(n) for n in ("lower", "upper", "work"))
    fill(lower, DEEP)
    mount = (sandbox.kernel([lower], upper, work) if kind == "kernel"
             else sandbox.plyfs([lower], upper, work, profile=kind))
    with mount:
        run("rm", "-r", mount / "d")
        os.makedirs(mount / "d/sub")
    assert os.getxattr(upper / "d", "trusted.overlay.opaque") == b"y"
    assert whiteouts(upper) == []


# ---- links, symbolic links, odd names, long names -----------------------------------------------

def linked(root):
    os.link(f"{root}/f", f"{root}/d/g")


@same({"f": "lower", "d": {}})
def test_link_to_a_lower_file_is_one_inode(root):
    os.link(f"{root}/f", f"{root}/d/new")
    with open(f"{root}/d/new", "ab") as file:
        file.write(b" more")
    one, two = os.stat(f"{root}/f"), os.stat(f"{root}/d/new")
    return one.st_ino == two.st_ino, one.st_nlink, two.st_nlink, get(f"{root}/f")


@same({"f": "lower", "d": {}}, prepare=linked)
def test_hard_links_of_a_lower_file_stay_one_inode_over_copy_up(root):
    with open(f"{root}/f", "ab") as file:
        file.write(b" more")
    one, two = os.stat(f"{root}/f"), os.stat(f"{root}/d/g")
    return one.st_ino == two.st_ino, one.st_nlink, two.st_nlink, get(f"{root}/d/g")


@same({"f": "lower", "d": {}}, prepare=linked)
def test_link_counts_follow_unlink_and_link_of_lower_names(root):
    counts = [os.stat(f"{root}/f").st_nlink]
    os.unlink(f"{root}/d/g")
    counts.append(os.stat(f"{root}/f").st_nlink)
    os.link(f"{root}/f", f"{root}/h")
    counts.append(os.stat(f"{root}/h").st_nlink)
    os.unlink(f"{root}/f")
    counts.append(os.stat(f"{root}/h").st_nlink)
    return counts, names(root)


def linked_specials(root):
    """Two names each of what takes no attribute of the user's namespace."""
    for act in ("unlink", "rename", "replace", "link", "chown", "date"):
        os.symlink("f", f"{root}/{act}-symlink")
        os.mkfifo(f"{root}/{act}-fifo")
        os.mknod(f"{root}/{act}-socket", stat.S_IFSOCK | 0o600)
        os.mknod(f"{root}/{act}-device", stat.S_IFCHR | 0o600, os.makedev(1, 3))
        for kind in ("symlink", "fifo", "socket", "device"):
            os.link(f"{root}/{act}-{kind}", f"{root}/d/{act}-{kind}", follow_symlinks=False)


def change_specials(root):
    done = []
    for kind in ("symlink", "fifo", "socket", "device"):
        done += [
            attempt(os.unlink, f"{root}/unlink-{kind}"),
            attempt(os.rename, f"{root}/rename-{kind}", f"{root}/renamed-{kind}"),
            attempt(os.rename, f"{root}/d/rename-{kind}", f"{root}/replace-{kind}"),
            attempt(os.link, f"{root}/link-{kind}", f"{root}/linked-{kind}", follow_symlinks=False),
            attempt(os.chown, f"{root}/chown-{kind}", 5, 5, follow_symlinks=False),
            attempt(os.utime, f"{root}/date-{kind}", (5, 5), follow_symlinks=False)]
    return done


def test_linked_symlinks_and_nodes_are_changed_where_the_books_are_a_users(sandbox):
    """They can carry no count of their names, so that these part at copy-up, as without an index."""
    need_root()
    lower, seen = sandbox.directory("lower"), {}
    fill(lower, {"f": "lower", "d": {}})
    linked_specials(lower)
    date_back(lower)
    plain = ("userxattr", "index=off", "metacopy=off")
    for kind, options in (("kernel", plain), ("plyfs", ("userxattr",))):
        upper, work = sandbox.directory("upper"), sandbox.directory("work")
        mount = getattr(sandbox, kind)([lower], upper, work, options=options)
        with mount:
            done = change_specials(mount.at)
            shown = listing(mount, times=None)
        assert done == [None] * 24, kind
        with mount:
            assert_same(shown, listing(mount, times=None), f"{kind}: the same, after a remount")
        seen[kind] = shown
    assert_same(seen["kernel"], seen["plyfs"], "the kernel (left), plyfs (right)")


@same({"f": "lower", "d": {}}, prepare=linked)
def test_a_file_is_linked_by_its_descriptor_when_the_name_it_was_opened_by_is_gone(root):
    """Its other name is one that nobody has asked for yet."""
    fd = os.open(f"{root}/f", os.O_RDONLY)
    os.unlink(f"{root}/f")
    try:
        link_descriptor(fd, f"{root}/d/new")
    finally:
        os.close(fd)
    one, two = os.stat(f"{root}/d/new"), os.stat(f"{root}/d/g")
    return one.st_ino == two.st_ino, one.st_nlink, two.st_nlink, get(f"{root}/d/new"), names(root)


@same({"f": "lower", "d": {}, "l": Symlink("nowhere")})
def test_link_of_what_cannot_be_linked(root):
    os.link(f"{root}/l", f"{root}/l2", follow_symlinks=False)
    return (attempt(os.link, f"{root}/d", f"{root}/d2"), attempt(
        os.link, f"{root}/none", f"{root}/x"), os.readlink(f"{root}/l2"),
        os.lstat(f"{root}/l2").st_nlink)


@same({"l": Symlink("t" * 4000)})
def test_symlinks_with_long_targets(root):
    os.symlink("s" * 4095, f"{root}/long")
    return len(os.readlink(f"{root}/l")), len(os.readlink(f"{root}/long")), os.lstat(
        f"{root}/long").st_size, attempt(os.symlink, "s" * 4096, f"{root}/longer"), attempt(
        os.symlink, "", f"{root}/empty")


@same({"l": Symlink("target"), "target": "t"})
def test_symlinks_of_a_lower_layer_are_chowned_and_dated_not_followed(root):
    os.lchown(f"{root}/l", 7, 8)
    os.utime(f"{root}/l", ns=(9, 10), follow_symlinks=False)
    one, two = os.lstat(f"{root}/l"), os.stat(f"{root}/target")
    return one.st_uid, one.st_gid, one.st_mtime_ns, two.st_uid, two.st_mtime_ns


@same({"l": Symlink("target"), "target": "t"})
def test_chmod_of_a_symlink_is_not_supported(root):
    fd = os.open(f"{root}/l", os.O_PATH | os.O_NOFOLLOW)
    by_path = attempt(os.chmod, f"/proc/self/fd/{fd}", 0o600)
    os.close(fd)
    return by_path, oct(os.lstat(f"{root}/l").st_mode), oct(os.stat(f"{root}/target").st_mode)


@same({"n" * 255: "lower"})
def test_names_of_252_to_255_bytes_work_and_256_are_too_long(root):
    for length in (252, 253, 254, 255):
        put(f"{root}/{'m' * length}", str(length))
        os.rename(f"{root}/{'m' * length}", f"{root}/{'o' * length}")
        os.mkdir(f"{root}/{'d' * length}")
    os.rename(f"{root}/{'n' * 255}", f"{root}/{'p' * 255}")
    os.unlink(f"{root}/{'o' * 255}")
    os.rmdir(f"{root}/{'d' * 253}")
    return names(root), attempt(os.mkdir, f"{root}/{'x' * 256}")


@same({"n" * 255: "lower", "k" * 255: {"in": "x"}})
def test_a_lower_name_of_255_bytes_is_copied_up_linked_and_deleted(root):
    with open(f"{root}/{'n' * 255}", "ab") as file:
        file.write(b"+")
    os.link(f"{root}/{'n' * 255}", f"{root}/{'q' * 255}")
    os.unlink(f"{root}/{'n' * 255}")
    os.rename(f"{root}/{'k' * 255}", f"{root}/{'r' * 255}")
    return names(root), names(f"{root}/{'r' * 255}")


@same({})
def test_any_byte_but_slash_and_nul_may_be_in_a_name(root):
    raw = os.fsencode(root)
    for name in (b"new\nline", b"\xff\xfe", b"a b,c:d\\e", b".wh.", b"...", b"#work", b" ", b"\x01"):
        with open(raw + b"/" + name, "wb") as file:
            file.write(name)
    return sorted(os.listdir(raw))


@same({})
def test_paths_near_path_max_work_step_by_step(root):
    def inside():
        os.chdir(root)
        for _ in range(20):
            os.mkdir("x" * 250)
            os.chdir("x" * 250)
        put("deep", "down")
        os.rename("deep", "deeper")
        return get("deeper"), os.listdir(".")
    seen = as_user(inside, uid=0, gid=0)
    run("rm", "-r", f"{root}/{'x' * 250}")
    return seen


def deep_lower(root):
    os.makedirs(root / "/".join(["x" * 250] * 15))
    put(root / "/".join(["x" * 250] * 15) / "deep", "down")


@same({}, prepare=deep_lower)
def test_a_lower_file_whose_path_nears_path_max_can_be_changed(root):
    def inside():
        os.chdir(root)
        for _ in range(15):
            os.chdir("x" * 250)
        with open("deep", "ab") as file:
            file.write(b" there")
        os.rename("deep", "deeper")
        return get("deeper"), os.listdir(".")
    return as_user(inside, uid=0, gid=0)


# ---- directories --------------------------------------------------------------------------------

def entries(path):
    with os.scandir(path) as listing:
        return sorted((e.name, e.is_dir(follow_symlinks=False), e.is_symlink(),
                       e.inode() == e.stat(follow_symlinks=False).st_ino) for e in listing)


@same({"f": "1", "d": {}, "l": Symlink("f")}, {"g": "2", "e": {"x": ""}, "d": {"y": ""}},
      prepare=lambda root: (os.mkfifo(f"{root}/fifo"),
                            os.mknod(f"{root}/dev", stat.S_IFCHR | 0o600, os.makedev(1, 3))))
def test_type_and_number_in_a_listing_are_those_of_stat(root):
    before = entries(root), entries(f"{root}/e")
    os.chmod(f"{root}/f", 0o600)
    put(f"{root}/new", "n")
    os.rename(f"{root}/e", f"{root}/e2")
    return before, entries(root), entries(f"{root}/e2"), entries(f"{root}/d")


def raw_entries(fd):
    """(number, name, type) by getdents64 until the end, with whatever buffer the kernel fills."""
    buffer, found = ctypes.create_string_buffer(32768), []
    while True:
        got = syscall(LIBC.syscall, 217, fd, buffer, 32768)
        if got == 0 or isinstance(got, str):
            return got or found
        data, at = buffer.raw[:got], 0
        while at < got:
            number, _, length, kind = struct.unpack_from("<QqHB", data, at)
            found.append((number, data[at + 19:at + length].split(b"\0")[0].decode(), kind))
            at += length


def raw_listing(fd):
    found = raw_entries(fd)
    return found if isinstance(found, str) else [entry[1:] for entry in found]


def climbs_right(path):
    """Whether the number that a listing has for ".." is the parent's: a program may climb by it."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    listed = next(number for number, name, _ in raw_entries(fd) if name == "..")
    os.close(fd)
    return listed == os.stat(f"{path}/..").st_ino


@same({"a": {"moved": {"x": "1"}, "other": {"y": "1"}}, "b": {"swapped": {"z": "1"}}})
def test_a_directory_lists_the_parent_that_it_was_moved_to(root):
    seen = [climbs_right(f"{root}/{path}") for path in ("a/moved", "a/other", "b/swapped")]
    os.rename(f"{root}/a/moved", f"{root}/b/moved")
    rename2(f"{root}/a/other", f"{root}/b/swapped", RENAME_EXCHANGE)
    return seen + [climbs_right(f"{root}/{path}") for path in ("b/moved", "b/swapped", "a/other")]


@same({"a": "", "b": ""})
def test_rewinddir_shows_new_entries_and_not_the_deleted(root):
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    first = sorted(raw_listing(fd))
    put(f"{root}/new", "")
    os.unlink(f"{root}/a")
    os.lseek(fd, 0, os.SEEK_SET)
    second = sorted(raw_listing(fd))
    os.close(fd)
    return first, second


@same({"a": "", "d": {}})
def test_a_listing_has_dot_and_dotdot_once(root):
    fd = os.open(f"{root}/d", os.O_RDONLY | os.O_DIRECTORY)
    found = sorted(raw_listing(fd))
    os.close(fd)
    return found


@same({f"f{i:04}": "" for i in range(3000)}, tree=False)
def test_deleting_while_listing_misses_nothing_and_repeats_nothing(root):
    put(f"{root}/extra", "")
    seen = []
    with os.scandir(root) as listing:
        for entry in listing:
            seen.append(entry.name)
            os.unlink(entry.path)
    return len(seen), len(set(seen)), names(root)


def change_while_it_is_listed(root, change):
    """Reads a part of a listing, changes something, and reads the rest: whether there was one, and what is there."""
    put(f"{root}/extra", "")
    fd, buffer = os.open(root, os.O_RDONLY | os.O_DIRECTORY), ctypes.create_string_buffer(8192)
    LIBC.syscall(217, fd, buffer, 8192)
    change()
    rest = raw_listing(fd)
    os.close(fd)
    found = [(attempt(lambda: stat.S_IMODE(os.lstat(f"{root}/f{i:04}").st_mode)), attempt(get, f"{root}/f{i:04}"))
             for i in range(3000)]
    return len(rest) > 500, found, names(root)


@same({f"f{i:04}": "" for i in range(3000)}, tree=False)
def test_what_is_copied_up_while_a_listing_is_read_is_shown_as_it_is(root):
    """What a listing found below is not taken for it when it has come up since."""
    def change():
        for i in range(0, 3000, 7):
            os.chmod(f"{root}/f{i:04}", 0o600)
    return change_while_it_is_listed(root, change)


@same({f"f{i:04}": "" for i in range(3000)}, tree=False)
def test_what_goes_and_comes_while_a_listing_is_read_is_shown_as_it_is(root):
    def change():
        for i in range(1, 3000, 7):
            os.unlink(f"{root}/f{i:04}")
            os.rename(f"{root}/extra", f"{root}/f{i + 1:04}")
            put(f"{root}/extra", str(i))
    return change_while_it_is_listed(root, change)


@same({f"f{i:05}": "" for i in range(MANY)}, tree=False)
def test_a_directory_of_many_names_is_listed_looked_up_and_emptied(root):
    before = len(os.listdir(root))
    put(f"{root}/new", "")
    os.unlink(f"{root}/f00000")
    after = names(root)
    seen = attempt(os.lstat, f"{root}/f00000"), os.lstat(f"{root}/f{MANY // 2:05}").st_size
    for name in after:
        os.unlink(f"{root}/{name}")
    return before, len(after), len(set(after)), seen, os.listdir(root)


@same({"d": {"lower": ""}})
def test_seeking_in_a_directory_continues_where_it_was(root):
    for i in range(500):
        put(f"{root}/d/n{i:03}", "")
    libc = ctypes.CDLL(None, use_errno=True)
    libc.opendir.restype = ctypes.c_void_p
    libc.readdir.argtypes = libc.telldir.argtypes = libc.closedir.argtypes = [ctypes.c_void_p]
    libc.readdir.restype = ctypes.c_void_p
    libc.telldir.restype = ctypes.c_long
    libc.seekdir.argtypes = [ctypes.c_void_p, ctypes.c_long]

    def step():
        entry = libc.readdir(stream)
        return entry and ctypes.string_at(entry + 19)

    stream = libc.opendir(os.fsencode(f"{root}/d"))
    for _ in range(100):
        step()
    mark = libc.telldir(stream)
    rest = []
    while name := step():
        rest.append(name)
    libc.seekdir(stream, mark)
    again = []
    while name := step():
        again.append(name)
    libc.closedir(stream)
    return rest == again, len(rest)


@same({"d": {"sub": {}, "f": ""}})
def test_directory_times_change_with_the_names_in_it_only(root):
    put(f"{root}/d/f", "changed")
    os.chmod(f"{root}/d/sub", 0o700)
    kept = times(f"{root}/d")
    put(f"{root}/d/new", "")
    return kept, times(f"{root}/d") > 1_600_000_000_000_000_000, times(root)


# ---- devices, temporary files, exotic opens ------------------------------------------------------

@same({}, like="kernel")
def test_a_character_device_0_0_cannot_be_made(root):
    return attempt(os.mknod, f"{root}/w", stat.S_IFCHR | 0o600, os.makedev(0, 0)), attempt(
        os.mknod, f"{root}/null", stat.S_IFCHR | 0o666, os.makedev(1, 3)), attempt(
        os.mknod, f"{root}/b", stat.S_IFBLK | 0o600, os.makedev(7, 3)), names(root)


@same({}, prepare=lambda root: (
    os.mkfifo(f"{root}/fifo", 0o640), os.mknod(f"{root}/sock", stat.S_IFSOCK | 0o600),
    os.mknod(f"{root}/null", stat.S_IFCHR | 0o600, os.makedev(1, 3))))
def test_fifos_sockets_and_devices_of_a_lower_layer_are_copied_up(root):
    for name in ("fifo", "sock", "null"):
        os.chmod(f"{root}/{name}", 0o604)
        os.chown(f"{root}/{name}", 1, 2)
    os.mkfifo(f"{root}/new", 0o600)
    os.rename(f"{root}/sock", f"{root}/sock2")
    return names(root), os.lstat(f"{root}/null").st_rdev


@same({})
def test_a_fifo_and_a_socket_carry_data(root):
    os.mkfifo(f"{root}/fifo")
    reader = os.open(f"{root}/fifo", os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(f"{root}/fifo", os.O_WRONLY)
    os.write(writer, b"through")
    seen = os.read(reader, 100)
    os.close(reader)
    os.close(writer)
    here = os.getcwd()
    os.chdir(root)                       # a socket's address holds 108 bytes only
    try:
        server = socket.socket(socket.AF_UNIX)
        server.bind("s")
        server.listen()
        client = socket.socket(socket.AF_UNIX)
        client.connect("s")
        client.close()
        server.close()
    finally:
        os.chdir(here)
    return seen, stat.S_ISSOCK(os.lstat(f"{root}/s").st_mode)


@same({"d": {"x": ""}})
def test_a_temporary_file_without_a_name_can_be_given_one(root):
    fd = os.open(f"{root}/d", os.O_TMPFILE | os.O_RDWR, 0o640)
    os.write(fd, b"unnamed")
    before = names(f"{root}/d"), os.fstat(fd).st_nlink
    done = syscall(LIBC.linkat, AT_FDCWD, os.fsencode(f"/proc/self/fd/{fd}"), AT_FDCWD,
                   os.fsencode(f"{root}/d/named"), 0x400)
    after = os.fstat(fd).st_nlink
    os.close(fd)
    return before, done, after, get(f"{root}/d/named"), oct(os.stat(f"{root}/d/named").st_mode)


@same({})
def test_a_temporary_file_opened_exclusively_stays_without_a_name(root):
    fd = os.open(root, os.O_TMPFILE | os.O_RDWR | os.O_EXCL, 0o600)
    os.write(fd, b"x")
    done = syscall(LIBC.linkat, AT_FDCWD, os.fsencode(f"/proc/self/fd/{fd}"), AT_FDCWD,
                   os.fsencode(f"{root}/named"), 0x400)
    os.close(fd)
    return done, names(root)


@same({"f": "lower", "d": {}})
def test_o_path_descriptors_stat_and_link_but_do_not_read(root):
    fd = os.open(f"{root}/f", os.O_PATH)
    seen = os.fstat(fd).st_size, attempt(os.read, fd, 1), attempt(os.fchmod, fd, 0o600)
    os.chmod(f"/proc/self/fd/{fd}", 0o640)
    with open(f"/proc/self/fd/{fd}", "rb") as file:
        content = file.read()
    os.close(fd)
    return seen, content, oct(os.stat(f"{root}/f").st_mode)


@same({"f": "lower", "d": {}, "l": Symlink("f")})
def test_open_flags_that_must_be_refused(root):
    return (opened(f"{root}/d", os.O_RDWR), opened(f"{root}/f", os.O_RDONLY | os.O_DIRECTORY),
            opened(f"{root}/l", os.O_RDONLY | os.O_NOFOLLOW), opened(f"{root}/f/x", os.O_RDONLY),
            opened(f"{root}/none", os.O_RDWR), opened(f"{root}/l", os.O_CREAT | os.O_EXCL | os.O_RDWR),
            opened(f"{root}/f", os.O_TMPFILE | os.O_RDWR))


@same({"f": "lower", "d": {"x": ""}})
def test_fsync_of_files_and_directories_succeeds(root):
    put(f"{root}/d/new", "n")
    results = []
    for path, flags in ((f"{root}/f", os.O_RDONLY), (f"{root}/d/new", os.O_RDWR),
                        (f"{root}/d", os.O_RDONLY), (root, os.O_RDONLY)):
        fd = os.open(path, flags)
        results += [attempt(os.fsync, fd), attempt(os.fdatasync, fd)]
        os.close(fd)
    os.sync()
    return results


@same({"f": "lower"})
def test_statfs_tells_the_uppers_filesystem(root):
    seen = os.statvfs(root)
    return seen.f_namemax, seen.f_blocks > 0, seen.f_bfree > 0, seen.f_frsize, os.statvfs(
        f"{root}/f").f_blocks == seen.f_blocks


def sparse(root):
    with open(f"{root}/f", "wb") as file:
        file.seek(1 << 20)
        file.write(b"data")
        file.truncate(3 << 20)


def by_extents(path):
    """A file as one sees it who skips what SEEK_HOLE and SEEK_DATA say is a hole; and what they say
    at its end."""
    fd = os.open(path, os.O_RDONLY)
    size = os.fstat(fd).st_size
    seen, at = bytearray(size), 0
    while isinstance(start := attempt(os.lseek, fd, at, os.SEEK_DATA), int) and start < size:
        at = os.lseek(fd, start, os.SEEK_HOLE)
        seen[start:at] = os.pread(fd, at - start, start)
    answers = [attempt(os.lseek, fd, where, how) for where in (size, size + 1, -1)
               for how in (os.SEEK_DATA, os.SEEK_HOLE)]
    os.close(fd)
    return hashlib.sha256(seen).hexdigest(), size, answers


# Where the holes are is not compared: pages that the kernel has not written back yet lie in what is
# a hole below, and FUSE does not write them back before it asks, so all may be said to be data.
@same({}, prepare=sparse)
def test_nothing_is_lost_to_who_skips_holes_before_and_after_copy_up(root):
    before = by_extents(f"{root}/f")
    os.chown(f"{root}/f", 1, 1)
    middle = by_extents(f"{root}/f")
    with open(f"{root}/f", "r+b", buffering=0) as file:
        file.write(b"x")
        os.pwrite(file.fileno(), b"in a hole", 2 << 20)
        with mmap.mmap(file.fileno(), 3 << 20) as memory:
            memory[5 << 18:(5 << 18) + 5] = b"again"
        after = by_extents(f"{root}/f")
    return before, middle, after, by_extents(f"{root}/f")


@same({}, prepare=sparse, kernel="its copy-up fills holes on tmpfs")
def test_copy_up_keeps_holes(root):
    with open(f"{root}/f", "r+b") as file:
        file.write(b"x")
        os.fsync(file.fileno())
    return os.stat(f"{root}/f").st_blocks


FALLOCATIONS = [("allocate", 0, 0, 300000), ("keep_size", KEEP_SIZE, 0, 500000),
                ("punch", PUNCH_HOLE | KEEP_SIZE, 4096, 8192), ("zero", ZERO_RANGE, 1000, 5000),
                ("zero_keep", ZERO_RANGE | KEEP_SIZE, 1000, 900000),
                ("punch_alone", PUNCH_HOLE, 0, 4096),
                ("unknown", 0x400, 0, 4096), ("negative", 0, -1, 5), ("nothing", 0, 0, 0)]


def fallocations(root):
    results = []
    for name, mode, offset, length in FALLOCATIONS:
        put(f"{root}/{name}", bytes(range(256)) * 200) if name != "punch" else None
        results.append((name, fallocate(f"{root}/{name}", mode, offset, length),
                        os.stat(f"{root}/{name}").st_size))
    return results


PATTERN = {"punch": bytes(range(256)) * 200}


@same(PATTERN)
def test_fallocate_does_on_tmpfs_what_tmpfs_does(root):
    return fallocations(root)


@same(PATTERN, disk=True)
def test_fallocate_does_on_disk_what_the_disk_does(root):
    return fallocations(root)


def test_collapsing_and_inserting_is_refused_whole(profile):
    """FUSE has no words for either (fs/fuse/file.c, fuse_file_fallocate), whatever the disk can."""
    need_root()
    box = Sandbox(disk_base())
    try:
        lower, upper, work = (box.directory(n) for n in ("lower", "upper", "work"))
        fill(lower, PATTERN)
        with box.plyfs([lower], upper, work, profile=profile) as mount:
            answers = [fallocate(mount / "punch", mode, 4096, 4096)
                       for mode in (COLLAPSE_RANGE, INSERT_RANGE)]
            assert answers == ["ENOTSUP", "ENOTSUP"]
            assert get(mount / "punch") == PATTERN["punch"]
    finally:
        box.close()


# ---- extended attributes ------------------------------------------------------------------------

@same({"f": "lower", "d": {}})
def test_xattr_calls_answer_as_a_plain_directory_does(root):
    answers = []
    for path in (f"{root}/f", f"{root}/d"):
        answers += [
            attempt(os.getxattr, path, "user.none"), attempt(os.removexattr, path, "user.none"),
            attempt(os.setxattr, path, "user.a", b"1", os.XATTR_REPLACE),
            attempt(os.setxattr, path, "user.a", b"1", os.XATTR_CREATE),
            attempt(os.setxattr, path, "user.a", b"2", os.XATTR_CREATE),
            attempt(os.setxattr, path, "user.empty", b""),
            attempt(os.setxattr, path, "user.big", b"x" * 3000),
            attempt(os.setxattr, path, "trusted.t", b"t"),
            attempt(os.setxattr, path, "nonsense", b"t"),
            attempt(os.setxattr, path, "unknown.t", b"t"),
            sorted(os.listxattr(path)), os.getxattr(path, "user.a"), os.getxattr(path, "user.empty"),
            len(os.getxattr(path, "user.big")), attempt(os.removexattr, path, "user.big"),
            sorted(os.listxattr(path))]
    return answers


def outside(root):
    """Symlinks that point out of the tree, into it, and nowhere."""
    away = os.path.join(os.path.dirname(root), "outside-target")
    if not os.path.exists(away):
        put(away, "away")
    return away


@same({"in": Symlink("target"), "target": "t", "out": Symlink("/etc/hostname"),
       "loop": Symlink("loop"), "none": Symlink("nowhere")})
def test_xattr_calls_on_a_symlink_never_follow_it(root):
    away = outside(root)
    os.symlink(away, f"{root}/away")
    os.symlink(f"{root}/target", f"{root}/back")
    answers = []
    for name in ("in", "out", "loop", "none", "away", "back"):
        path = f"{root}/{name}"
        answers += [
            attempt(os.setxattr, path, "trusted.t", b"on the link", follow_symlinks=False),
            attempt(os.setxattr, path, "user.u", b"no", follow_symlinks=False),
            attempt(os.getxattr, path, "trusted.t", follow_symlinks=False),
            attempt(os.listxattr, path, follow_symlinks=False)]
    answers += [os.listxattr(away), os.listxattr(f"{root}/target"),
                attempt(os.removexattr, f"{root}/in", "trusted.t", follow_symlinks=False),
                attempt(os.listxattr, f"{root}/in", follow_symlinks=False)]
    os.unlink(f"{root}/away")
    os.unlink(f"{root}/back")
    return answers


@same({"f": "lower", "d": {"x": ""}})
def test_overlay_xattrs_of_the_users_own_round_trip(root):
    answers = []
    for path in (f"{root}/f", f"{root}/d"):
        for name in ("trusted.overlay.opaque", "trusted.overlay.redirect", "trusted.overlay.mine",
                     "trusted.overlay.overlay.opaque", "user.overlay.mine", "trusted.overlayed"):
            answers += [attempt(os.setxattr, path, name, b"y"), attempt(os.getxattr, path, name)]
        answers.append(sorted(os.listxattr(path)))
        answers.append(attempt(os.removexattr, path, "trusted.overlay.mine"))
        answers.append(sorted(os.listxattr(path)))
    return answers, names(f"{root}/d"), attempt(os.lstat, f"{root}/d/x").st_size


@pytest.mark.parametrize("kind", ["kernel", "stateless", "tracked"])
def test_overlay_xattrs_of_the_users_own_are_escaped_on_disk(sandbox, kind):
    lower, upper, work = (sandbox.directory(n) for n in ("lower", "upper", "work"))
    fill(lower, {"d": {"x": ""}})
    mount = (sandbox.kernel([lower], upper, work) if kind == "kernel"
             else sandbox.plyfs([lower], upper, work, profile=kind))
    with mount:
        os.setxattr(mount / "d", "trusted.overlay.opaque", b"y")
        assert names(mount / "d") == ["x"]
    assert "trusted.overlay.overlay.opaque" in os.listxattr(upper / "d")
    assert "trusted.overlay.opaque" not in os.listxattr(upper / "d")


@same(MOVES)
def test_internal_xattrs_are_never_listed_nor_read(root):
    os.rename(f"{root}/d", f"{root}/moved")
    run("rm", "-r", f"{root}/full")
    os.mkdir(f"{root}/full")
    os.chmod(f"{root}/f", 0o600)
    os.link(f"{root}/g", f"{root}/h")
    inner = ("origin", "opaque", "redirect", "metacopy", "impure", "nlink", "upper", "uuid")
    return [(name, os.listxattr(f"{root}/{name}"), [
        attempt(os.getxattr, f"{root}/{name}", f"trusted.overlay.{what}") for what in inner])
        for name in ("", "moved", "full", "f", "g", "h")]


# ---- inode flags --------------------------------------------------------------------------------

def get_flags(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        data = attempt(fcntl.ioctl, fd, FS_IOC_GETFLAGS, b"\0" * 8)
        return data if isinstance(data, str) else struct.unpack("<Q", data)[0] & (
            FS_IMMUTABLE_FL | FS_APPEND_FL | FS_NODUMP_FL | FS_NOATIME_FL)
    finally:
        os.close(fd)


def set_flags(path, flags):
    fd = os.open(path, os.O_RDONLY)
    try:
        old = struct.unpack("<Q", fcntl.ioctl(fd, FS_IOC_GETFLAGS, b"\0" * 8))[0]
        keep = old & ~(FS_IMMUTABLE_FL | FS_APPEND_FL | FS_NODUMP_FL | FS_NOATIME_FL)
        fcntl.ioctl(fd, FS_IOC_SETFLAGS, struct.pack("<Q", keep | flags))
        return 0
    except OSError as error:
        return name_of(error.errno)
    finally:
        os.close(fd)


def written(path, flags):
    """The first refusal on the way of four bytes to the disk, which may come at open or later."""
    fd = attempt(os.open, path, flags)
    if isinstance(fd, str):
        return fd
    results = [attempt(os.write, fd, b"data"), attempt(os.fsync, fd), attempt(os.close, fd)]
    return next((r for r in results if isinstance(r, str)), 0)


FLAGGED = {"f": "lower", "d": {"x": ""}}


@same(FLAGGED, disk=True, stateless="no open is asked for, and a page that grows is one overwritten")
def test_append_only_files_can_only_grow(root):
    answers = [get_flags(f"{root}/f"), set_flags(f"{root}/f", FS_APPEND_FL), get_flags(f"{root}/f"),
               written(f"{root}/f", os.O_WRONLY), opened(f"{root}/f", os.O_WRONLY | os.O_APPEND),
               attempt(os.truncate, f"{root}/f", 0), attempt(os.unlink, f"{root}/f")]
    with open(f"{root}/f", "ab") as file:
        file.write(b" grown")
    return answers, set_flags(f"{root}/f", 0), get_flags(f"{root}/f"), get(f"{root}/f")


def test_append_only_files_are_never_overwritten_in_the_stateless_profile():
    need_root()
    box = Sandbox(disk_base())
    try:
        lower, upper, work = (box.directory(n) for n in ("lower", "upper", "work"))
        fill(lower, FLAGGED)
        with box.plyfs([lower], upper, work, profile="stateless") as mount:
            assert set_flags(mount / "f", FS_APPEND_FL) == 0
            assert written(mount / "f", os.O_WRONLY) == "EPERM"
            assert attempt(os.truncate, mount / "f", 0) == "EPERM"
            mount.remount()
            assert get(mount / "f") == b"lower"
            assert set_flags(mount / "f", 0) == 0
    finally:
        box.close()


@same(FLAGGED, disk=True)
def test_immutable_files_and_directories_cannot_change(root):
    answers = [set_flags(f"{root}/f", FS_IMMUTABLE_FL), set_flags(f"{root}/d", FS_IMMUTABLE_FL),
               get_flags(f"{root}/f"), written(f"{root}/f", os.O_WRONLY),
               attempt(os.chmod, f"{root}/f", 0o600), attempt(os.unlink, f"{root}/f"),
               attempt(os.rename, f"{root}/f", f"{root}/g"), attempt(os.mkdir, f"{root}/d/y"),
               attempt(os.link, f"{root}/f", f"{root}/g"), attempt(os.unlink, f"{root}/d/x")]
    return answers, set_flags(f"{root}/f", 0), set_flags(f"{root}/d", 0), attempt(
        os.unlink, f"{root}/f")


@same(FLAGGED, disk=True)
def test_nodump_and_noatime_are_kept(root):
    return (set_flags(f"{root}/f", FS_NODUMP_FL | FS_NOATIME_FL), get_flags(f"{root}/f"),
            get_flags(f"{root}/d"))


@same(FLAGGED, disk=True)
def test_fsgetxattr_answers(root):
    fd = os.open(f"{root}/f", os.O_RDONLY)
    seen = attempt(fcntl.ioctl, fd, FS_IOC_FSGETXATTR, b"\0" * 28)
    flags = seen if isinstance(seen, str) else struct.unpack("<IIIII8x", seen)[:2]
    os.close(fd)
    return flags


@same({"f": "lower"})
def test_an_unknown_ioctl_is_enotty(root):
    fd = os.open(f"{root}/f", os.O_RDWR)
    seen = attempt(fcntl.ioctl, fd, 0x5401, b"\0" * 64), attempt(fcntl.ioctl, fd, 0x1234, b"\0" * 8)
    os.close(fd)
    return seen


# ---- birth time, execution, memory --------------------------------------------------------------

@same({"f": "lower"})
def test_birth_time_is_told(root):
    put(f"{root}/new", "")
    return [int(run("stat", "-c", "%W", f"{root}/{n}").stdout) > 1_500_000_000 for n in ("f", "new")]


def programs(root):
    put(f"{root}/script", "#!/bin/sh\necho ran \"$0\" | sed 's,.*/,,'\n")
    os.chmod(f"{root}/script", 0o755)
    shutil.copy("/bin/true", f"{root}/true")
    shutil.copy("/bin/sleep", f"{root}/sleep")
    put(f"{root}/not-executable", "#!/bin/sh\n")


def start(path, *argv):
    try:
        return subprocess.run([path, *argv], capture_output=True, text=True).stdout
    except OSError as error:
        return name_of(error.errno)


@same({}, prepare=programs)
def test_scripts_and_binaries_run_from_the_mount(root):
    first = start(f"{root}/script"), start(f"{root}/true"), start(f"{root}/not-executable")
    for name in ("script", "true"):
        os.chmod(f"{root}/{name}", 0o700)
    with open(f"{root}/script", "ab") as file:
        file.write(b"echo twice\n")
    return first, start(f"{root}/script"), start(f"{root}/true")


@same({}, prepare=programs)
def test_a_running_programs_exe_link_names_it(root):
    process = subprocess.Popen([f"{root}/sleep", "60"])
    try:
        link = os.path.relpath(os.readlink(f"/proc/{process.pid}/exe"), os.path.realpath(root))
        same_file = os.path.samefile(f"/proc/{process.pid}/exe", f"{root}/sleep")
        os.rename(f"{root}/sleep", f"{root}/slept")
        moved = os.path.basename(os.readlink(f"/proc/{process.pid}/exe"))
    finally:
        process.kill()
        process.wait()
    return link, same_file, moved


@same({}, prepare=programs)
def test_a_running_program_cannot_be_written(root):
    os.chmod(f"{root}/sleep", 0o755)
    with open(f"{root}/sleep", "ab") as file:
        file.write(b"tail")
    process = subprocess.Popen([f"{root}/sleep", "60"])
    try:
        busy = opened(f"{root}/sleep", os.O_WRONLY), attempt(os.truncate, f"{root}/sleep", 0)
        os.chmod(f"{root}/sleep", 0o711)
        os.unlink(f"{root}/sleep")
    finally:
        process.kill()
        process.wait()
    return busy, names(root)


# On a disk, because tmpfs does not date a file for what is written through a mapping.
@same({"f": "m" * 10000}, disk=True)
def test_private_and_shared_mappings_of_a_lower_file(root):
    fd = os.open(f"{root}/f", os.O_RDWR)
    private = mmap.mmap(fd, 10000, flags=mmap.MAP_PRIVATE)
    private[0:4] = b"PRIV"
    shared = mmap.mmap(fd, 10000)
    before = bytes(shared[0:4])
    shared[4:8] = b"SHAR"
    shared.flush()
    os.close(fd)
    shared.close()
    seen = bytes(private[0:4])
    private.close()
    return before, seen, get(f"{root}/f")[:12]


# ---- read-only mounts ---------------------------------------------------------------------------

def refused_changes(root):
    f, d = f"{root}/f", f"{root}/d"
    return [attempt(*call) if call[0] is not opened else opened(*call[1:]) for call in (
        (os.mkdir, f"{root}/n"), (os.symlink, "x", f"{root}/n"), (os.link, f, f"{root}/n"),
        (os.mknod, f"{root}/n", stat.S_IFREG | 0o600), (os.mkfifo, f"{root}/n"), (os.unlink, f),
        (os.rmdir, d), (os.rename, f, f"{root}/n"), (os.chmod, f, 0o600), (os.chown, f, 1, 1),
        (os.lchown, f"{root}/l", 1, 1), (os.utime, f), (os.truncate, f, 0),
        (os.setxattr, f, "user.a", b"b"), (os.removexattr, f, "user.a"),
        (opened, f, os.O_WRONLY), (opened, f, os.O_RDWR), (opened, f, os.O_RDONLY | os.O_TRUNC),
        (opened, f"{root}/n", os.O_CREAT | os.O_RDWR), (opened, root, os.O_TMPFILE | os.O_RDWR),
        (os.access, f, os.W_OK))]


@pytest.mark.parametrize("way", ["no upper", "ro", "two lowers"])
def test_a_read_only_mount_refuses_every_change_as_the_kernel_does(sandbox, profile, way):
    top, low, upper, work = (sandbox.directory(n) for n in ("top", "low", "upper", "work"))
    fill(low, {"f": "x", "d": {}, "l": Symlink("f")})
    stack = ([low], upper, work) if way == "ro" else ([top, low], None, None)
    options = ["ro"] if way == "ro" else []
    with sandbox.kernel(*stack, options=options) as mount:
        expected = refused_changes(mount.at)
    with sandbox.plyfs(*stack, options=options, profile=profile) as mount:
        assert refused_changes(mount.at) == expected
        assert get(mount / "f") == b"x"
        assert os.statvfs(mount).f_flag & os.ST_RDONLY
    assert set(expected) - {False} == {"EROFS"}
    assert names(upper) == []
