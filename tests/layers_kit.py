# SPDX-License-Identifier: MIT
"""Layers made by hand, and scripted changes to them: what the suites about on-disk formats share.

A *step* is a named change of one kind (a directory renamed twice, a hard link broken...), written
as a generator over a directory that specimen() filled. Each `yield` is a place where the mount may
be taken over by another implementation, so the same script serves a straight run (exhaust it) and
a run in turns. A step holds no state but paths between its yields.
"""
import ctypes
import os
import pathlib
import pickle
import shutil
import socket
import stat
import struct
import subprocess
import traceback

LIBC = ctypes.CDLL(None, use_errno=True)
NOREPLACE, EXCHANGE, WHITEOUT = 1, 2, 4
AT_FDCWD, AT_SYMLINK_FOLLOW = -100, 0x400
CLONE_NEWNS, CLONE_NEWUSER = 0x20000, 0x10000000
# Layers are dated in the past, with nanoseconds that say whether they were kept.
PAST_NS = 1_500_000_000_123_456_789


def roomy(size):
    """Where so many bytes fit: memory first."""
    for base in (os.environ.get("PLYFS_TEST_DIR"), "/dev/shm", "/var/tmp"):
        if base and os.access(base, os.W_OK) and shutil.disk_usage(base).free > size:
            return base
    return None


# ---- calls that Python lacks --------------------------------------------------------------------

def _check(result, path):
    if result != 0:
        errno = ctypes.get_errno()
        raise OSError(errno, os.strerror(errno), os.fspath(path))


def renameat2(old, new, flags):
    _check(LIBC.renameat2(AT_FDCWD, os.fsencode(old), AT_FDCWD, os.fsencode(new), flags), old)


def link_descriptor(fd, new):
    """Gives a name to an open file, which may have none."""
    _check(LIBC.linkat(AT_FDCWD, b"/proc/self/fd/%d" % fd, AT_FDCWD, os.fsencode(new), AT_SYMLINK_FOLLOW), new)


def set_acl(path, kind, entries):
    """kind: access or default; entries: (tag, permissions, id or None) in the kernel's order."""
    value = struct.pack("<I", 2) + b"".join(
        struct.pack("<HHI", {"u": 1, "user": 2, "g": 4, "group": 8, "mask": 16, "o": 32}[tag], perm,
                    0xFFFFFFFF if who is None else who) for tag, perm, who in entries)
    os.setxattr(path, f"system.posix_acl_{kind}", value)


# ---- layers by hand -----------------------------------------------------------------------------

def whiteout(path):
    os.mknod(path, stat.S_IFCHR | 0, os.makedev(0, 0))


def is_whiteout(path):
    try:
        st = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISCHR(st.st_mode) and st.st_rdev == 0


def put(path, text="", mode=None):
    """A file (and its parents) with this content."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    if mode is not None:
        path.chmod(mode)
    return path


def age(top, start=PAST_NS):
    """Dates everything below (and the top itself) in the past, each entry by its own time."""
    count = 0
    for where, dirs, files in os.walk(os.fspath(top), topdown=False):
        for name in sorted(files) + sorted(d for d in dirs if os.path.islink(os.path.join(where, d))):
            count += 1
            stamp = start + count * 1_000_000_007
            os.utime(os.path.join(where, name), ns=(stamp, stamp), follow_symlinks=False)
        count += 1
        os.utime(where, ns=(start + count * 1_000_000_007,) * 2)


BIG = bytes(range(256)) * 4096  # 1 MiB, more than one request


def specimen(layers, name, devices=True):
    """Fills the directory `name` of three layers (topmost first) with one of everything that the
    steps change. devices=False leaves out what only root of the whole machine can make."""
    top, middle, bottom = (pathlib.Path(layer) / name for layer in layers)
    for directory in (top, middle, bottom):
        directory.mkdir(parents=True)
    # The bottom layer: the material.
    put(bottom / "file", "the bottom layer's file\n" * 400)
    put(bottom / "big", BIG, 0o640)
    put(bottom / "script", "#!/bin/sh\n", 0o755)
    put(bottom / "locked", "read-only\n", 0o400)
    for path, text in {"dir/a": "a", "dir/b": "b below", "dir/c": "c", "dir/sub/x": "x",
                       "dir/sub/y": "y", "dir/sub/deep/z": "z", "dir2/p": "p", "dir2/q": "q",
                       "opaque/old": "never seen", "opaque/both": "below", "pile/gone": "gone",
                       "other/one": "1", "other/two/three": "3"}.items():
        put(bottom / path, text * 50)
    (bottom / "empty").mkdir()
    put(bottom / "link1", "three names, one file\n" * 300)
    os.link(bottom / "link1", bottom / "link2")
    os.link(bottom / "link1", bottom / "dir/link3")
    (bottom / "symlink").symlink_to("file")
    (bottom / "dangling").symlink_to("no/such/place")
    os.mkfifo(bottom / "fifo", 0o620)
    os.setxattr(put(bottom / "tagged", "tagged\n"), "user.colour", b"red")
    set_acl(put(bottom / "acl", "acl\n"), "access",
            [("u", 6, None), ("user", 7, 0), ("g", 4, None), ("mask", 7, None), ("o", 0, None)])
    # The middle one adds, changes, hides; the top one adds once more.
    put(middle / "dir/b", "b changed in the middle")
    put(middle / "dir/d", "d")
    put(middle / "dir/sub/w", "w")
    put(middle / "dir2/r", "r")
    put(middle / "opaque/both", "middle")
    (middle / "pile").mkdir()
    put(top / "top", "top\n")
    put(top / "dir/e", "e")
    os.setxattr(top / "dir", "user.colour", b"blue")
    (top / "dir").chmod(0o2751)
    put(top / "dir/sub/deep/v", "v")
    if devices:
        os.mknod(bottom / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        os.chown(bottom / "script", 1000, 1001)
        (bottom / "script").chmod(0o4755)
        os.chown(bottom / "dir/a", 7, 8)
        whiteout(middle / "dir/c")
        whiteout(middle / "pile/gone")
        os.setxattr(middle / "opaque", "trusted.overlay.opaque", b"y")
    for layer in layers:
        age(layer)


# ---- the steps ----------------------------------------------------------------------------------

STEPS = {}  # name -> (function, what it needs: "", "redirect", "devices")


def step(needs=""):
    def register(function):
        STEPS[function.__name__] = (function, needs)
        return function
    return register


def run_step(name, top):
    """The whole step at once, in the directory of its name."""
    for _ in STEPS[name][0](pathlib.Path(top) / name):
        pass


@step()
def new_entries(d):
    put(d / "new", "new\n")
    put(d / "made/by/hand", "deep\n")
    (d / "newlink").symlink_to("new")
    os.mkfifo(d / "newfifo")
    yield
    os.link(d / "new", d / "made/new2")
    put(d / "dir/sub/new", "among lower ones\n")
    with socket.socket(socket.AF_UNIX) as sock:  # by a relative name: 108 bytes are soon full
        here = os.getcwd()
        os.chdir(d)
        try:
            sock.bind("sock")
        finally:
            os.chdir(here)
    yield
    (d / "made/by").rename(d / "made/by2")
    os.unlink(d / "new")


@step("devices")
def device_nodes(d):
    os.mknod(d / "zero", stat.S_IFCHR | 0o644, os.makedev(1, 5))
    os.chmod(d / "null", 0o600)
    yield
    os.chown(d / "zero", 3, 4)
    os.rename(d / "null", d / "dir/null")


@step()
def data_changed(d):
    with open(d / "file", "ab") as file:
        file.write(b"appended\n")
    with open(d / "big", "r+b") as file:
        file.seek(70_000)
        file.write(b"in the middle")
    yield
    os.truncate(d / "big", 300_000)
    (d / "top").write_text("rewritten\n")
    yield
    with open(d / "dir/sub/deep/z", "ab") as file:
        file.write(b"!")
    os.truncate(d / "file", 1_000_000)


@step()
def files_removed(d):
    os.unlink(d / "file")
    os.unlink(d / "dir/b")  # in two layers
    os.unlink(d / "top")
    yield
    os.unlink(d / "symlink")
    os.unlink(d / "fifo")
    os.unlink(d / "dir/sub/x")


@step()
def removed_and_made_again(d):
    os.unlink(d / "file")
    yield
    put(d / "file", "another\n")
    os.unlink(d / "dir/b")
    (d / "dir/b").symlink_to("a")
    yield
    os.unlink(d / "file")
    os.unlink(d / "dir/b")
    put(d / "dir/b", "third\n")


@step()
def tree_removed(d):
    shutil.rmtree(d / "dir")
    yield
    shutil.rmtree(d / "opaque")
    shutil.rmtree(d / "pile")
    os.rmdir(d / "empty")


@step()
def directory_made_over_a_removed_one(d):
    shutil.rmtree(d / "dir")
    (d / "dir").mkdir()
    yield
    put(d / "dir/own", "own\n")
    (d / "dir/sub").mkdir()
    yield
    shutil.rmtree(d / "dir2")
    (d / "dir2").mkdir()
    (d / "dir2").rmdir()
    shutil.rmtree(d / "dir/sub")
    put(d / "dir/a", "not the old one\n")


@step()
def emptied_but_kept(d):
    for name in ("p", "q", "r"):
        os.unlink(d / "dir2" / name)
    yield
    os.rmdir(d / "dir2")
    yield
    (d / "dir2").mkdir(0o700)
    put(d / "dir2/q", "again\n")


@step()
def file_over_directory(d):
    shutil.rmtree(d / "dir")
    put(d / "dir", "now a file\n")
    yield
    os.unlink(d / "dir")
    (d / "dir").symlink_to("dir2")
    yield
    os.rename(d / "file", d / "dir")


@step()
def directory_over_file(d):
    os.unlink(d / "file")
    (d / "file").mkdir()
    yield
    put(d / "file/inside", "inside\n")
    os.unlink(d / "symlink")
    (d / "symlink").mkdir()


@step()
def files_renamed(d):
    os.rename(d / "file", d / "renamed")
    os.rename(d / "symlink", d / "dir/symlink")
    yield
    os.rename(d / "renamed", d / "dir/sub/renamed")
    os.rename(d / "fifo", d / "fifo2")
    yield
    os.rename(d / "dir/sub/renamed", d / "file")
    os.rename(d / "top", d / "dir/a")  # over a lower one


@step()
def renamed_onto_others(d):
    put(d / "new", "new\n")
    os.rename(d / "new", d / "file")
    yield
    os.unlink(d / "dir/b")
    os.rename(d / "dir/a", d / "dir/b")  # onto a whiteout
    yield
    put(d / "fresh", "fresh\n")
    renameat2(d / "fresh", d / "fresh2", NOREPLACE)
    (d / "newdir").mkdir()
    os.rename(d / "newdir", d / "empty")  # a new directory onto a lower empty one


@step()
def new_directory_moved_about(d):
    put(d / "mine/in/here", "mine\n")
    os.rename(d / "mine", d / "dir/sub/mine")
    yield
    shutil.rmtree(d / "dir2")
    os.rename(d / "dir/sub/mine", d / "dir2")  # onto a whiteout with a lower directory beneath
    yield
    os.rename(d / "dir2", d / "mine")
    os.mkdir(d / "dir2")


@step()
def owner_mode_times(d):
    os.chmod(d / "file", 0o600)
    os.chmod(d / "dir", 0o700)
    yield
    os.utime(d / "big", ns=(PAST_NS, PAST_NS - 987))
    os.utime(d / "dir/sub", ns=(PAST_NS, PAST_NS - 654))
    os.utime(d / "symlink", ns=(PAST_NS, PAST_NS - 321), follow_symlinks=False)
    yield
    os.chmod(d / "fifo", 0o666)
    os.utime(d / "locked", ns=(PAST_NS, PAST_NS - 1))


@step("devices")
def owners(d):
    os.chown(d / "file", 1000, 1000)
    os.chown(d / "script", 5, 6)
    os.lchown(d / "symlink", 1, 2)
    yield
    os.chown(d / "dir", 9, 10)
    os.chown(d / "fifo", 11, 12)


@step()
def extended_attributes(d):
    os.setxattr(d / "tagged", "user.colour", b"green")
    os.setxattr(d / "file", "user.new", b"\x00\xff binary")
    yield
    os.removexattr(d / "tagged", "user.colour")
    os.removexattr(d / "dir", "user.colour")
    os.setxattr(d / "dir/sub", "user.size", b"x" * 200)
    yield
    os.setxattr(d / "tagged", "user.empty", b"")


@step("devices")
def privileged_attributes(d):
    os.setxattr(d / "file", "trusted.mine", b"kept")
    os.setxattr(d / "file", "trusted.overlayish", b"not the filesystem's own")
    capability = struct.pack("<IIIII", 0x02000001, 0x400, 0, 0, 0)
    os.setxattr(d / "script", "security.capability", capability)
    yield
    os.rename(d / "script", d / "dir/script")
    os.chmod(d / "file", 0o666)


@step("devices")
def attributes_of_a_nested_overlay(d):
    """The user's own overlay attributes are stored escaped and shown as they were set."""
    os.setxattr(d / "dir/sub", "trusted.overlay.opaque", b"y")
    yield
    os.setxattr(d / "file", "trusted.overlay.metacopy", b"")
    os.setxattr(d / "dir2", "trusted.overlay.redirect", b"/nowhere")
    yield
    os.removexattr(d / "dir/sub", "trusted.overlay.opaque")


@step()
def access_lists(d):
    set_acl(d / "file", "access", [("u", 6, None), ("user", 6, 0), ("g", 4, None),
                                   ("mask", 6, None), ("o", 0, None)])
    yield
    set_acl(d / "dir2", "default", [("u", 7, None), ("user", 5, 0), ("g", 5, None),
                                    ("mask", 5, None), ("o", 1, None)])
    put(d / "dir2/inherits", "inherits\n")
    (d / "dir2/inherits2").mkdir()
    yield
    os.removexattr(d / "acl", "system.posix_acl_access")
    os.chmod(d / "file", 0o640)


@step()
def exchanged_files(d):
    renameat2(d / "file", d / "top", EXCHANGE)
    yield
    put(d / "new", "new\n")
    renameat2(d / "new", d / "dir/a", EXCHANGE)
    yield
    (d / "newdir").mkdir()
    renameat2(d / "newdir", d / "big", EXCHANGE)
    renameat2(d / "symlink", d / "fifo", EXCHANGE)


# -- directories with a lower part, renamed ---------------------------------------------------

@step("redirect")
def directory_renamed_in_place(d):
    os.rename(d / "dir", d / "moved")
    yield
    put(d / "moved/new", "new\n")
    put(d / "moved/a", "changed\n")
    yield
    os.unlink(d / "moved/b")
    os.chmod(d / "moved/sub/x", 0o600)


@step("redirect")
def directory_renamed_elsewhere(d):
    os.rename(d / "dir", d / "other/two/moved")
    yield
    os.unlink(d / "other/two/moved/sub/x")
    put(d / "other/two/moved/sub/deep/z", "changed\n")
    yield
    os.rename(d / "other/two/moved/sub", d / "sub")


@step("redirect")
def directory_renamed_twice(d):
    os.rename(d / "dir", d / "second")
    yield
    os.rename(d / "second", d / "third")
    yield
    os.rename(d / "third", d / "other/fourth")
    os.rename(d / "other/fourth", d / "other/fifth")


@step("redirect")
def directory_renamed_and_back(d):
    os.rename(d / "dir", d / "away")
    yield
    os.rename(d / "away", d / "dir")
    yield
    put(d / "dir/new", "new\n")
    os.rename(d / "dir", d / "other/dir")
    os.rename(d / "other/dir", d / "dir")


@step("redirect")
def name_used_again_after_rename(d):
    os.rename(d / "dir", d / "moved")
    (d / "dir").mkdir()
    yield
    put(d / "dir/a", "a new a\n")
    os.rename(d / "moved", d / "other/moved")
    yield
    os.rename(d / "dir", d / "moved")
    os.rename(d / "other/moved", d / "dir")


@step("redirect")
def directory_renamed_onto_an_empty_one(d):
    os.rename(d / "dir2", d / "empty")
    yield
    (d / "fresh").mkdir()
    os.rename(d / "dir", d / "fresh")
    yield
    shutil.rmtree(d / "opaque")
    (d / "opaque").mkdir()
    os.rename(d / "fresh", d / "opaque")


@step("redirect")
def renamed_into_a_renamed_one(d):
    os.rename(d / "dir", d / "moved")
    os.rename(d / "dir2", d / "moved/dir2")
    yield
    os.rename(d / "moved", d / "other/moved")
    yield
    os.rename(d / "other/moved/dir2", d / "dir2")
    os.rename(d / "other/moved/sub/deep", d / "dir2/deep")


@step("redirect")
def child_renamed_then_parent(d):
    os.rename(d / "dir/sub", d / "dir/child")
    yield
    os.rename(d / "dir", d / "parent")
    yield
    os.rename(d / "parent/child", d / "parent/sub")
    put(d / "parent/sub/deep/new", "new\n")


@step("redirect")
def renamed_directory_removed(d):
    os.rename(d / "dir", d / "moved")
    yield
    shutil.rmtree(d / "moved")
    yield
    os.rename(d / "other", d / "dir")
    shutil.rmtree(d / "dir/two")


@step("redirect")
def exchanged_directories(d):
    renameat2(d / "dir", d / "dir2", EXCHANGE)
    yield
    renameat2(d / "dir", d / "file", EXCHANGE)
    put(d / "dir2/new", "new\n")
    yield
    renameat2(d / "dir2", d / "other/two", EXCHANGE)
    renameat2(d / "opaque", d / "empty", EXCHANGE)


@step("redirect")
def opaque_directory_renamed(d):
    shutil.rmtree(d / "dir")
    put(d / "dir/own", "own\n")
    os.rename(d / "dir", d / "moved")
    yield
    os.rename(d / "opaque", d / "other/opaque")
    os.rename(d / "pile", d / "dir")


# -- metadata changed, the data still below ---------------------------------------------------

@step()
def mode_then_data(d):
    os.chmod(d / "big", 0o600)
    yield
    with open(d / "big", "r+b") as file:
        file.seek(500_000)
        file.write(b"changed")
    yield
    os.chmod(d / "file", 0o444)
    os.truncate(d / "file", 10)


@step()
def mode_then_rename(d):
    os.chmod(d / "big", 0o600)
    os.rename(d / "big", d / "large")
    yield
    os.rename(d / "large", d / "other/large")
    yield
    with open(d / "other/large", "ab") as file:
        file.write(b"end")


@step()
def rename_then_mode(d):
    os.rename(d / "big", d / "dir/large")
    yield
    os.chmod(d / "dir/large", 0o604)
    os.setxattr(d / "dir/large", "user.size", b"large")
    yield
    os.rename(d / "dir/large", d / "dir/larger")
    os.rename(d / "file", d / "big")


@step("redirect")
def mode_then_directory_renamed(d):
    os.chmod(d / "dir/a", 0o600)
    os.chmod(d / "dir/sub/deep/z", 0o600)
    os.rename(d / "dir", d / "other/dir")
    yield
    os.rename(d / "other/dir/a", d / "other/dir/sub/a")
    yield
    with open(d / "other/dir/sub/a", "ab") as file:
        file.write(b"end")


@step()
def mode_then_link(d):
    os.chmod(d / "big", 0o600)
    os.link(d / "big", d / "dir/large")
    yield
    os.unlink(d / "big")
    yield
    with open(d / "dir/large", "r+b") as file:
        file.write(b"start")


@step()
def mode_then_removed(d):
    os.chmod(d / "big", 0o600)
    os.chmod(d / "dir/b", 0o600)
    yield
    os.unlink(d / "big")
    os.rename(d / "file", d / "dir/b")


# -- hard links ---------------------------------------------------------------------------------

@step()
def linked_file_written(d):
    with open(d / "link1", "ab") as file:
        file.write(b"through the first name\n")
    yield
    with open(d / "dir/link3", "ab") as file:
        file.write(b"through the third\n")


@step()
def linked_file_mode(d):
    os.chmod(d / "link2", 0o600)
    yield
    os.setxattr(d / "link1", "user.colour", b"red")
    yield
    with open(d / "dir/link3", "r+b") as file:
        file.write(b"DATA")


@step()
def one_name_removed(d):
    os.unlink(d / "link1")
    yield
    os.chmod(d / "link2", 0o600)
    yield
    os.unlink(d / "link2")


@step()
def copied_up_name_removed(d):
    with open(d / "link1", "ab") as file:
        file.write(b"changed\n")
    os.unlink(d / "link1")
    yield
    os.unlink(d / "dir/link3")
    yield
    put(d / "link1", "not one of them\n")


@step()
def all_names_removed(d):
    os.chmod(d / "link1", 0o640)
    os.unlink(d / "link2")
    yield
    os.unlink(d / "dir/link3")
    yield
    os.unlink(d / "link1")


@step()
def names_added(d):
    os.link(d / "link1", d / "link4")
    yield
    os.link(d / "link2", d / "dir/link5")
    os.unlink(d / "link4")
    yield
    os.unlink(d / "link1")
    os.chmod(d / "dir/link5", 0o611)


@step()
def names_renamed(d):
    os.rename(d / "link1", d / "link9")
    yield
    os.rename(d / "dir/link3", d / "link1")
    os.rename(d / "file", d / "link2")
    yield
    os.rename(d / "link9", d / "dir/b")


@step()
def linked_then_original_removed(d):
    os.link(d / "file", d / "dir/again")
    os.unlink(d / "file")
    yield
    os.link(d / "dir/again", d / "file")
    yield
    os.unlink(d / "dir/again")
    os.link(d / "symlink", d / "symlink2", follow_symlinks=False)
    os.unlink(d / "symlink")


@step("redirect")
def linked_file_in_a_renamed_directory(d):
    os.rename(d / "dir", d / "moved")
    os.chmod(d / "moved/link3", 0o600)
    yield
    os.rename(d / "moved/link3", d / "link3")
    os.unlink(d / "link1")
    yield
    with open(d / "link2", "ab") as file:
        file.write(b"end\n")


# ---- comparing --------------------------------------------------------------------------------

def forget_recent(records, since_ns):
    """Times of what was made or changed in this run differ between two runs by right: they become
    the word "recent". Older ones must be kept to the last digit."""
    unit = 1 if max((r.get("mtime", 0) for r in records.values()), default=0) > 1 << 40 else 10**9
    for record in records.values():
        if "mtime" in record and record["mtime"] * unit >= since_ns // unit * unit:
            record["mtime"] = "recent"
    return records


# ---- another user, another namespace ------------------------------------------------------------

def in_child(function, *prepare):
    """Runs function() in a child process after each of `prepare`; its result (or its failure, as
    text) comes back. The child never returns into pytest."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        try:
            for act in prepare:
                act()
            answer = (True, function())
        except BaseException:  # pytest's own skips included: all of it is told to the parent
            answer = (False, traceback.format_exc())
        with os.fdopen(writer, "wb") as pipe:
            pickle.dump(answer, pipe)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        data = pipe.read()
    os.waitpid(pid, 0)
    fine, answer = pickle.loads(data) if data else (False, "the child died")
    assert fine, answer
    return answer


def become_root_of_a_namespace(count=1):
    """A user namespace where this user is root, and a mount namespace of its own. count: how many
    ids are mapped, each to itself where there is more than one (that takes root)."""
    uid, gid = os.geteuid(), os.getegid()
    own, told = os.pipe()
    parent, helper = os.getpid(), os.fork()
    if helper == 0:  # stays outside, where it may write a map of many ids
        os.close(told)
        os.read(own, 1)
        try:
            if count == 1:
                pathlib.Path(f"/proc/{parent}/setgroups").write_text("deny")
            for ids, first in (("uid_map", uid), ("gid_map", gid)):
                pathlib.Path(f"/proc/{parent}/{ids}").write_text(f"0 {first} {count}")
        except OSError:
            os._exit(1)
        os._exit(0)
    _check(LIBC.unshare(CLONE_NEWUSER | CLONE_NEWNS), "unshare")
    os.write(told, b".")
    assert os.waitpid(helper, 0)[1] == 0, "the ids could not be mapped"
    os.close(own)
    os.close(told)


def become_user(uid, gid, home):
    """An ordinary user, for good."""
    def act():
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
        # Otherwise /proc/self belongs to root, as after any change of id.
        _check(LIBC.prctl(4, 1, 0, 0, 0), "prctl")
        os.environ.update(HOME=str(home), USER="plyfs-test")
        os.chdir("/")
    return act


def namespaces_allowed():
    return subprocess.run(["unshare", "-Urm", "true"], stderr=subprocess.DEVNULL).returncode == 0
