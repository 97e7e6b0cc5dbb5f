# SPDX-License-Identifier: MIT
"""Volumes of a live mount: what a route shows, hides and refuses.

The kernel is the specification: in the world "kernel" the tree is the kernel's overlayfs with
mount --bind over the path, and every claim that is true there is made of plyfs as well."""
import contextlib
import ctypes
import errno
import fcntl
import mmap
import os
import pathlib
import shutil
import stat
import subprocess
import sys
import threading
import time

import pytest

from harness import (LIBC, PLYFS, assert_same, differences, digest, listing, need, need_fuse,
                     need_root, need_tool, refusal, run, umount)
from layers_kit import WHITEOUT, renameat2
import procfs
from storekit import wait_for
from strace_kit import Strace
from worlds import attempt

PLYFS_WORLDS = ("tracked", "stateless", "cacheless")
WORLDS = ("kernel", *PLYFS_WORLDS)
OPTIONS = {
    "tracked": ("--profile=tracked",),              # as root: files of volumes are passed through
    "stateless": ("--profile=stateless",),
    "cacheless": ("--profile=tracked", "-o", "passthrough=off"),  # as without privilege
}


class Tree:
    """A union with host directories over some of its paths."""

    def __init__(self, sandbox, world, files=None, routes=("host:/data",), upper=None):
        need_fuse()
        need_root()
        self.sandbox, self.world = sandbox, world
        self.low = pathlib.Path(sandbox.directory("low"))
        self.upper = upper or pathlib.Path(sandbox.directory("upper"))
        self.host = pathlib.Path(sandbox.directory("host"))
        self.at = pathlib.Path(sandbox.directory("merged"))
        for name, what in (files or {"data/hidden": "hidden", "other/file": "other"}).items():
            path = self.low / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(what, pathlib.PurePath):
                path.symlink_to(what)
            else:
                path.write_text(what)
        self.before = digest(self.low)
        self.routes = [self.absolute(route) for route in routes]
        self.binds = []

    def absolute(self, route):
        source, rest = route.split(":", 1)
        return f"{self.host if source == 'host' else self.sandbox.path / source}:{rest}"

    def __enter__(self):
        if self.world == "kernel":
            work = self.sandbox.directory("work")
            run("mount", "-t", "overlay", "overlay", "-o",
                f"lowerdir={self.low},upperdir={self.upper},workdir={work}", self.at)
            for route in self.routes:
                self._bind(*route.split(":"))
        else:
            words = [word for route in self.routes for word in ("-v", route)]
            run(PLYFS, "mount", "--lower", self.low, "--upper", self.upper,
                *OPTIONS[self.world], *words, self.at)
        return self

    def _bind(self, source, destination, mode=""):
        at = str(self.at) + destination
        run("mount", "--bind", source, at)
        self.binds.append(at)
        if "ro" in mode.split(","):
            run("mount", "-o", "remount,bind,ro", at)

    def __exit__(self, *_):
        for at in reversed(self.binds):
            umount(at, lazy=True)
        umount(self.at, lazy=True)
        assert digest(self.low) == self.before, "a lower layer was changed"

    @property
    def data(self):
        return self.at / "data"


@pytest.fixture(params=WORLDS)
def tree(request, sandbox):
    with Tree(sandbox, request.param) as made:
        yield made


# ---- the host changes, the mount sees it --------------------------------------------------------

def test_a_change_of_the_host_is_seen_at_the_very_next_stat(tree):
    (tree.host / "f").write_text("one")
    for size in range(4, 60):
        with open(tree.host / "f", "a", encoding="ascii") as file:
            file.write("x")
        assert os.stat(tree.data / "f").st_size == size


def test_a_change_of_the_host_is_seen_at_the_very_next_read(tree):
    (tree.host / "f").write_text("0000")
    for number in range(100):
        (tree.host / "f").write_text(f"{number:04}")
        assert (tree.data / "f").read_text() == f"{number:04}"


def test_a_change_of_the_host_is_seen_at_the_very_next_readdir(tree):
    for number in range(60):
        (tree.host / f"f{number}").touch()
        assert len(os.listdir(tree.data)) == number + 1
    for number in range(60):
        (tree.host / f"f{number}").unlink()
        assert len(os.listdir(tree.data)) == 59 - number


def test_a_change_of_the_host_is_seen_through_a_file_that_is_open(tree):
    (tree.host / "f").write_bytes(b"")
    with open(tree.data / "f", "rb", buffering=0) as mine, \
            open(tree.host / "f", "ab", buffering=0) as theirs:
        for number in range(100):
            theirs.write(b"%04d" % number)
            assert os.fstat(mine.fileno()).st_size == 4 * (number + 1)
            assert mine.read(8) == b"%04d" % number
        os.pwrite(os.open(tree.host / "f", os.O_WRONLY), b"9999", 0)
        assert os.pread(mine.fileno(), 4, 0) == b"9999"
        os.truncate(tree.host / "f", 2)
        assert os.pread(mine.fileno(), 8, 0) == b"99"
        assert os.fstat(mine.fileno()).st_size == 2


def test_a_reader_who_was_there_first_sees_each_write_of_the_host(tree):
    (tree.host / "f").write_bytes(bytes(16384))
    with open(tree.data / "f", "rb", buffering=0) as mine:
        for _ in range(300):
            assert os.pread(mine.fileno(), 4096, 4096) == bytes(4096)
        with open(tree.host / "f", "r+b", buffering=0) as theirs:
            for number in range(100):
                os.pwrite(theirs.fileno(), b"%04d" % number, 4096)
                assert os.pread(mine.fileno(), 4, 4096) == b"%04d" % number
                assert os.pread(mine.fileno(), 4, 0) == bytes(4)


def test_a_file_that_is_read_all_the_while_shows_what_the_host_does_to_its_inode(tree):
    (tree.host / "f").write_bytes(bytes(16384))
    with open(tree.data / "f", "rb", buffering=0) as mine:
        for number in range(50):
            for _ in range(20):
                assert len(os.pread(mine.fileno(), 4096, 4096)) == 4096
            os.chmod(tree.host / "f", 0o600 + number)
            assert stat.S_IMODE(os.fstat(mine.fileno()).st_mode) == 0o600 + number
            os.pread(mine.fileno(), 4096, 0)
            os.link(tree.host / "f", tree.host / f"link{number}")
            assert os.fstat(mine.fileno()).st_nlink == number + 2


def test_a_change_of_the_mount_is_seen_by_the_host_at_once(tree):
    with open(tree.data / "f", "wb", buffering=0) as mine:
        for number in range(100):
            mine.write(b"%04d" % number)
            assert (tree.host / "f").stat().st_size == 4 * (number + 1)
    assert (tree.host / "f").read_bytes().endswith(b"0099")
    os.rename(tree.data / "f", tree.data / "g")
    assert not (tree.host / "f").exists() and (tree.host / "g").exists()
    (tree.data / "g").unlink()
    assert os.listdir(tree.host) == []


def test_metadata_goes_both_ways(tree):
    (tree.host / "f").touch(0o640)
    os.chmod(tree.host / "f", 0o604)
    os.chown(tree.host / "f", 7, 8)
    st = os.stat(tree.data / "f")
    assert (stat.S_IMODE(st.st_mode), st.st_uid, st.st_gid) == (0o604, 7, 8)
    os.chmod(tree.data / "f", 0o4755)
    os.chown(tree.data / "f", 9, 10)
    os.utime(tree.data / "f", ns=(1, 2_000_000_003))
    st = os.stat(tree.host / "f")
    assert (st.st_uid, st.st_gid, st.st_mtime_ns) == (9, 10, 2_000_000_003)
    os.setxattr(tree.host / "f", "user.a", b"1")
    assert os.getxattr(tree.data / "f", "user.a") == b"1"
    os.setxattr(tree.data / "f", "user.a", b"2")
    assert os.getxattr(tree.host / "f", "user.a") == b"2"


def test_inode_flags_go_both_ways(tree):
    need_tool("chattr")
    for path, other in ((tree.data, tree.host), (tree.host, tree.data)):
        (path / "flagged").write_text("x")
        need(run("chattr", "+d", tree.host / "flagged", check=False).returncode == 0, "needs inode flags on the host")
        run("chattr", "-d", path / "flagged")
        assert "d" not in run("lsattr", other / "flagged").stdout.split()[0]
        run("chattr", "+d", path / "flagged")
        assert "d" in run("lsattr", other / "flagged").stdout.split()[0]


def write_with(path, flags):
    fd = os.open(path, flags)
    try:
        os.write(fd, b"more")
    finally:
        os.close(fd)


@contextlib.contextmanager
def marked(path, letter):
    """By chattr(1), on the host."""
    need_tool("chattr")
    need(run("chattr", f"+{letter}", path, check=False).returncode == 0, "needs inode flags on the host")
    try:
        yield
    finally:
        run("chattr", f"-{letter}", path)


def test_what_is_append_only_on_the_host_is_added_to(tree):
    log = tree.host / "log"
    log.write_text("text")
    with marked(log, "a"):
        write_with(tree.data / "log", os.O_WRONLY | os.O_APPEND)
        write_with(tree.data / "log", os.O_RDWR | os.O_APPEND)
        with open(tree.data / "log", "rb") as reader:
            assert reader.read() == b"textmoremore"
            write_with(tree.data / "log", os.O_WRONLY | os.O_APPEND)
            assert reader.read() == b"more"
    assert log.read_text() == "text" + 3 * "more"


def test_what_is_append_only_on_the_host_is_not_written_over_or_cut(tree):
    log = tree.host / "log"
    log.write_text("text")
    write_with(tree.data / "log", os.O_WRONLY | os.O_APPEND)
    with marked(log, "a"), open(tree.data / "log", "ab", buffering=0) as adds:
        assert attempt(write_with, tree.data / "log", os.O_WRONLY) == "EPERM"
        assert attempt(os.truncate, tree.data / "log", 1) == "EPERM"
        assert attempt(write_with, tree.data / "log", os.O_WRONLY | os.O_APPEND | os.O_TRUNC) == "EPERM"
        with contextlib.suppress(OSError):      # the VFS would refuse it
            fcntl.fcntl(adds, fcntl.F_SETFL, 0)
            os.pwrite(adds.fileno(), b"over", 0)
        assert log.read_text() == "textmore"


def test_what_is_append_only_no_more_is_written_over(tree):
    log = tree.host / "log"
    log.write_text("text")
    with contextlib.ExitStack() as others:
        with marked(log, "a"):
            adds = others.enter_context(open(tree.data / "log", "ab", buffering=0))
            adds.write(b"more")
        with open(tree.data / "log", "r+b", buffering=0) as fd:
            os.pwrite(fd.fileno(), b"TEXT", 0)
        adds.write(b"more")
    assert log.read_text() == "TEXTmoremore"


def test_what_the_host_makes_immutable_is_opened_for_no_writing_by_whoever_comes_later(tree):
    kept = tree.host / "kept"
    kept.write_text("text")
    with open(tree.data / "kept", "ab", buffering=0) as writer:
        writer.write(b"more")
        with marked(kept, "i"):
            for flags in (os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_APPEND, os.O_WRONLY | os.O_TRUNC):
                assert attempt(write_with, tree.data / "kept", flags) == "EPERM"
    assert kept.read_text() == "textmore"


def test_what_is_immutable_refuses_the_removal_of_an_attribute_that_it_has_not(tree):
    (tree.host / "kept").touch()
    with marked(tree.host / "kept", "i"):
        assert attempt(os.removexattr, tree.data / "kept", "user.none") == "EPERM"
    assert attempt(os.removexattr, tree.data / "kept", "user.none") == "ENODATA"


def test_a_shared_mapping_is_written_through(tree):
    with open(tree.data / "f", "w+b") as mine:
        mine.truncate(8192)
        with mmap.mmap(mine.fileno(), 8192) as window:
            window[5000:5003] = b"abc"
            window.flush()
            assert (tree.host / "f").read_bytes()[5000:5003] == b"abc"


def test_a_mapping_sees_the_host_s_write_at_the_next_open(tree):
    (tree.host / "f").write_bytes(b"old" + bytes(5000))
    with open(tree.data / "f", "r+b") as mine, mmap.mmap(mine.fileno(), 4096) as window:
        assert window[:3] == b"old"
    with open(tree.host / "f", "r+b") as theirs:
        theirs.write(b"new")
    with open(tree.data / "f", "r+b") as mine, mmap.mmap(mine.fileno(), 4096) as window:
        assert window[:3] == b"new"


@pytest.mark.parametrize("world", ("kernel", "tracked"))
def test_a_mapping_of_a_passed_file_is_the_host_s_own(sandbox, world):
    with Tree(sandbox, world) as tree:
        (tree.host / "f").write_bytes(bytes(4096))
        with open(tree.data / "f", "r+b") as mine, mmap.mmap(mine.fileno(), 4096) as window:
            with open(tree.host / "f", "r+b") as theirs, mmap.mmap(theirs.fileno(), 4096) as other:
                other[0:3] = b"xyz"
                assert window[0:3] == b"xyz"
                window[3:6] = b"abc"
                assert other[3:6] == b"abc"


def status_on_host(tree, name):
    """How a program of the volume ends on the host. What was open there is closed by the kernel a moment after
    close(2), which it does not wait for; where opens are not answered there is nothing to wait for."""
    ended = []

    def runs():
        try:
            ended.append(subprocess.run([tree.host / name]).returncode)
        except OSError as error:
            assert error.errno == errno.ETXTBSY and tree.world in ("tracked", "cacheless")
        return ended
    wait_for(runs, f"{name} can be run on the host")
    return ended[0]


def test_the_host_runs_a_program_as_soon_as_it_is_there(tree):
    """A daemon that kept it open for writing would be in the way (execve(2), ETXTBSY)."""
    program = shutil.which("true")
    shutil.copy2(program, tree.at / "data/copied")
    assert status_on_host(tree, "copied") == 0
    shutil.copyfile(program, tree.at / "data/made")
    os.chmod(tree.at / "data/made", 0o755)
    assert status_on_host(tree, "made") == 0
    run("cp", program, tree.at / "data/ranged")
    assert status_on_host(tree, "ranged") == 0
    os.truncate(tree.at / "data/ranged", os.stat(program).st_size)
    assert subprocess.run([tree.host / "ranged"]).returncode == 0
    run("install", "-m", "555", program, tree.at / "data/installed")
    assert status_on_host(tree, "installed") == 0
    assert subprocess.run([tree.at / "data/installed"]).returncode == 0


def test_a_program_that_is_being_written_is_written_to_its_end(tree):
    """Also when the host has given it another name meanwhile."""
    with open(tree.at / "data/script", "wb", buffering=0, opener=lambda p, f: os.open(p, f, 0o755)) as script:
        script.write(b"#!/bin/sh\n")
        os.rename(tree.host / "script", tree.host / "renamed")
        script.write(b"exit 7\n")
        script.truncate(17)
    assert status_on_host(tree, "renamed") == 7


def test_an_append_goes_behind_what_the_host_has_added(tree):
    mine = os.open(tree.data / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    theirs = os.open(tree.host / "log", os.O_WRONLY | os.O_APPEND)
    for number in range(50):
        os.write(mine, b"%02dm" % number)
        os.write(theirs, b"%02dh" % number)
    os.close(mine)
    os.close(theirs)
    expected = "".join(f"{number:02}m{number:02}h" for number in range(50))
    assert (tree.host / "log").read_text() == expected


def test_an_open_file_lives_on_when_the_host_renames_replaces_or_removes_it(tree):
    if tree.world == "stateless":
        pytest.skip("about plyfs's own form")  # it is not told of opens
    (tree.host / "f").write_text("one")
    with open(tree.data / "f", "r+b", buffering=0) as mine:
        os.rename(tree.host / "f", tree.host / "g")
        assert refusal(os.stat, tree.data / "f") == "ENOENT"
        assert mine.read() == b"one"
        (tree.host / "f").write_text("another")
        assert (tree.data / "f").read_text() == "another"
        assert os.pread(mine.fileno(), 9, 0) == b"one"
        mine.write(b"two")
        assert (tree.host / "g").read_text() == "onetwo"
        (tree.host / "g").unlink()
        assert os.pread(mine.fileno(), 9, 0) == b"onetwo"
        assert os.fstat(mine.fileno()).st_nlink == 0
        mine.write(b"!")
        assert os.pread(mine.fileno(), 9, 0) == b"onetwo!"


@pytest.mark.parametrize("away", ["removed", "renamed"])
def test_a_hard_link_is_there_when_the_host_takes_another_name_of_it_away(tree, away):
    def linked():
        for name in os.listdir(tree.host):
            os.unlink(tree.host / name)
        (tree.data / "first").write_text("text")
        os.link(tree.data / "first", tree.data / "second")
        os.stat(tree.data / "first")
        if away == "removed":
            os.unlink(tree.host / "first")
        else:
            os.rename(tree.host / "first", tree.host / "third")
        return tree.data / "second"

    assert linked().read_text() == "text"
    os.chmod(linked(), 0o640)
    assert stat.S_IMODE(os.stat(tree.host / "second").st_mode) == 0o640
    os.setxattr(linked(), "user.x", b"y")
    assert os.getxattr(tree.host / "second", "user.x") == b"y"
    os.rename(linked(), tree.data / "moved")
    assert (tree.host / "moved").read_text() == "text"
    with open(linked(), "a") as more:
        more.write("more")
    assert (tree.host / "second").read_text() == "textmore"
    second = linked()
    (tree.data / "new").write_text("new")
    os.rename(tree.data / "new", second)
    assert (tree.host / "second").read_text() == "new"


@pytest.mark.parametrize("flags", [0, 1], ids=["any", "noreplace"])
@pytest.mark.parametrize("kept", ["open", "linked"])
def test_a_rename_goes_to_a_name_that_the_host_has_taken_away(tree, kept, flags):
    for name in ("from", "to"):
        (tree.data / name).write_text(name)
    with contextlib.ExitStack() as others:
        if kept == "open":
            others.enter_context(open(tree.data / "to", "r+b"))
        else:
            os.link(tree.data / "to", tree.data / "other")
        os.unlink(tree.host / "to")
        renameat2(tree.data / "from", tree.data / "to", flags)
        assert (tree.host / "to").read_text() == (tree.data / "to").read_text() == "from"


def test_a_directory_that_the_host_moved_is_the_other_one_at_once(tree):
    (tree.host / "d").mkdir()
    (tree.host / "d" / "old").touch()
    assert os.listdir(tree.data / "d") == ["old"]
    os.rename(tree.host / "d", tree.host / "away")
    (tree.host / "d").mkdir()
    (tree.host / "d" / "new").touch()
    assert os.listdir(tree.data / "d") == ["new"]
    assert os.listdir(tree.data / "away") == ["old"]


def test_a_file_becomes_a_directory_and_a_link_becomes_a_file(tree):
    (tree.host / "x").write_text("file")
    assert (tree.data / "x").is_file()
    (tree.host / "x").unlink()
    (tree.host / "x").mkdir()
    assert (tree.data / "x").is_dir()
    (tree.host / "x").rmdir()
    (tree.host / "x").symlink_to("nowhere")
    assert os.readlink(tree.data / "x") == "nowhere"
    (tree.host / "x").unlink()
    (tree.host / "x").symlink_to("elsewhere")
    assert os.readlink(tree.data / "x") == "elsewhere"


@pytest.mark.parametrize("world", WORLDS)
def test_a_link_that_the_host_replaces_leads_to_its_own_target(sandbox, world):
    """Also where the filesystem gives the new one the number of the old, as ext4 does at once."""
    need_tool("mkfs.ext4")
    need(os.path.exists("/dev/loop-control"), "needs loop devices")
    disk, image, reused = sandbox.directory("disk"), sandbox.path / "image", 0
    run("truncate", "-s", "16M", image)
    run("mkfs.ext4", "-q", "-F", image)
    run("mount", "-o", "loop", image, disk)
    try:
        (disk / "host").mkdir()
        link = disk / "host" / "link"
        with Tree(sandbox, world, routes=("disk/host:/data",)) as tree:
            before = 0
            for number in range(20):
                link.symlink_to(f"target {number}")
                reused += link.lstat().st_ino == before
                before = link.lstat().st_ino
                assert os.listdir(tree.data) == ["link"]
                assert os.readlink(tree.data / "link") == f"target {number}"
                assert (tree.data / "link").lstat().st_size == len(f"target {number}")
                time.sleep(0.02)    # what is made within one tick of the clock is of one age
                link.unlink()
    finally:
        umount(disk, lazy=True)
    assert reused


def test_host_and_mount_work_in_one_directory_at_once(tree):
    """Two writers, a thousand names each: nothing is lost, nothing fails that should not."""
    failures = []

    def work(where, mark):
        try:
            for number in range(1000):
                path = where / f"{mark}{number}"
                path.write_text(mark)
                if number % 2:
                    os.rename(path, where / f"{mark}{number}.moved")
                if number % 5 == 0:
                    (where / f"{mark}{number}").unlink(missing_ok=True)
        except OSError as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(where, mark))
               for where, mark in ((tree.host, "h"), (tree.data, "m"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sorted(os.listdir(tree.data)) == sorted(os.listdir(tree.host))
    assert_same(listing(tree.data), listing(tree.host))


@pytest.mark.parametrize("world", PLYFS_WORLDS)
def test_two_mounts_that_share_a_volume_see_each_other(sandbox, world):
    with Tree(sandbox, world) as one:
        at, upper = sandbox.directory("second"), sandbox.directory("second-upper")
        run(PLYFS, "mount", "--lower", one.low, "--upper", upper, *OPTIONS[world],
            "-v", f"{one.host}:/elsewhere", at)
        other = pathlib.Path(at) / "elsewhere"
        try:
            with open(one.data / "f", "wb", buffering=0) as writer, \
                    open(other / "f", "rb", buffering=0) as reader:
                for number in range(50):
                    writer.write(b"%02d" % number)
                    assert reader.read() == b"%02d" % number
            os.rename(other / "f", other / "g")
            assert os.listdir(one.data) == ["g"]
        finally:
            umount(at, lazy=True)


# ---- what is refused ----------------------------------------------------------------------------

CHANGES = {
    "create": lambda d: (d / "new").touch(),
    "write": lambda d: open(d / "f", "r+b").close(),
    "truncate": lambda d: os.truncate(d / "f", 0),
    "chmod": lambda d: os.chmod(d / "f", 0o600),
    "chown": lambda d: os.chown(d / "f", 1, 1),
    "utime": lambda d: os.utime(d / "f", (1, 1)),
    "setxattr": lambda d: os.setxattr(d / "f", "user.b", b"1"),
    "removexattr": lambda d: os.removexattr(d / "f", "user.a"),
    "mkdir": lambda d: os.mkdir(d / "dir"),
    "rmdir": lambda d: os.rmdir(d / "empty"),
    "unlink": lambda d: os.unlink(d / "f"),
    "rename": lambda d: os.rename(d / "f", d / "g"),
    "link": lambda d: os.link(d / "f", d / "g"),
    "symlink": lambda d: os.symlink("f", d / "g"),
    "mknod": lambda d: os.mknod(d / "fifo", stat.S_IFIFO | 0o600),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("world", WORLDS)
def test_a_read_only_volume_refuses(sandbox, world, change):
    if world == "stateless" and change == "write":
        pytest.skip("about plyfs's own form")  # opens are not told of: see the next test
    with Tree(sandbox, world, routes=("host:/data:ro",)) as tree:
        (tree.host / "f").write_text("kept")
        (tree.host / "empty").mkdir()
        os.setxattr(tree.host / "f", "user.a", b"1")
        before = digest(tree.host)
        assert refusal(CHANGES[change], tree.data) == "EROFS"
        assert digest(tree.host) == before


def test_a_read_only_volume_in_a_stateless_mount_refuses_the_write_itself(sandbox):
    with Tree(sandbox, "stateless", routes=("host:/data:ro",)) as tree:
        (tree.host / "f").write_text("kept")
        fd = os.open(tree.data / "f", os.O_WRONLY)
        assert refusal(os.write, fd, b"x") == "EROFS"
        os.close(fd)
        assert (tree.host / "f").read_text() == "kept"


@pytest.mark.parametrize("world", WORLDS)
def test_the_host_may_write_what_is_read_only_to_the_mount(sandbox, world):
    with Tree(sandbox, world, routes=("host:/data:ro",)) as tree:
        for number in range(20):
            (tree.host / "f").write_text(str(number))
            assert (tree.data / "f").read_text() == str(number)


@pytest.mark.parametrize("world", WORLDS)
def test_a_link_out_of_its_volume_or_into_one_is_refused_before_anything_is_done_for_it(sandbox, world):
    (pathlib.Path(sandbox.directory("frozen")) / "frozen").touch()
    with Tree(sandbox, world, routes=("host:/data", "frozen:/other:ro"),
              files={"data/hidden": "hidden", "other/file": "other", "mine": "mine"}) as tree:
        (tree.host / "f").touch()
        assert refusal(os.link, tree.at / "mine", tree.data / "g") == "EXDEV"
        assert refusal(os.link, tree.at / "other/frozen", tree.at / "g") == "EXDEV"
        assert refusal(os.link, tree.at / "other/frozen", tree.data / "g") == "EXDEV"
        assert refusal(os.link, tree.at / "mine", tree.at / "other/g") == "EROFS"
        assert refusal(os.link, tree.data / "f", tree.at / "other/g") == "EROFS"
        assert os.listdir(tree.upper) == []


RIVAL = """
import os, time
while name := os.read(0, 64):
    time.sleep(0.005)
    try:
        os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        os.write(1, b"made")
    except FileExistsError:
        os.write(1, b"lost")
"""
NOREPLACE = 1


@pytest.mark.parametrize("world", PLYFS_WORLDS)
def test_a_rename_that_replaces_nothing_does_not_replace_what_the_host_makes_just_then(sandbox, world):
    """The moment between the kernel's look at the new name and the rename on disk is made long."""
    need_tool("strace")
    with Tree(sandbox, world) as tree, subprocess.Popen(
            [sys.executable, "-I", "-c", RIVAL], cwd=tree.host, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, bufsize=0) as rival:
        daemon, = procfs.daemons(tree.at)
        outcomes = set()
        with Strace(daemon, os.devnull, "inject=/^renameat:delay_enter=50000"):  # us
            for number in range(10):
                (tree.data / "from").touch()
                name = f"to{number}"
                rival.stdin.write(name.encode())
                moved = LIBC.renameat2(-100, os.fsencode(tree.data / "from"), -100,
                                       os.fsencode(tree.data / name), NOREPLACE) == 0
                outcomes.add((rival.stdout.read(4), moved))
        rival.stdin.close()
        assert (b"made", True) not in outcomes
        assert (b"made", False) in outcomes


def test_links_and_renames_do_not_leave_a_volume(tree):
    (tree.data / "f").touch()
    assert refusal(os.rename, tree.data / "f", tree.at / "f") == "EXDEV"
    assert refusal(os.rename, tree.at / "other/file", tree.data / "g") == "EXDEV"
    assert refusal(os.link, tree.data / "f", tree.at / "f") == "EXDEV"
    assert refusal(os.link, tree.at / "other/file", tree.data / "g") == "EXDEV"
    (tree.data / "d").mkdir()
    assert refusal(os.rename, tree.data / "d", tree.at / "d") == "EXDEV"
    # What cannot be renamed is copied by those who know.
    run("mv", tree.data / "f", tree.at / "moved")
    assert (tree.at / "moved").exists() and not (tree.data / "f").exists()


def test_a_mountpoint_cannot_be_removed_or_renamed(tree):
    assert refusal(os.rmdir, tree.data) == "EBUSY"
    assert refusal(os.rename, tree.data, tree.at / "elsewhere") == "EBUSY"
    (tree.at / "empty").mkdir()
    assert refusal(os.rename, tree.at / "empty", tree.data) == "EBUSY"
    assert (tree.low / "data" / "hidden").exists() and os.listdir(tree.upper) == ["empty"]


@pytest.mark.parametrize("world", PLYFS_WORLDS)
def test_what_leads_to_a_mountpoint_cannot_be_removed_or_renamed(sandbox, world):
    with Tree(sandbox, world, {"a/b/f": "f"}, routes=("host:/a/b/c/d",)) as tree:
        for path in ("a/b/c/d", "a/b/c", "a/b", "a"):
            assert refusal(os.rename, tree.at / path, tree.at / "new") == "EBUSY", path
            assert refusal(os.rmdir, tree.at / path) in ("EBUSY", "ENOTEMPTY"), path
        assert refusal(os.mkdir, tree.at / "a/b/c") == "EEXIST"


# ---- what is shown ------------------------------------------------------------------------------

def test_what_a_volume_hides_is_there_again_without_it(sandbox):
    with Tree(sandbox, "tracked") as tree:
        assert os.listdir(tree.data) == []
    with Tree(sandbox, "tracked", routes=()) as tree:
        assert os.listdir(tree.data) == ["hidden"]


@pytest.mark.parametrize("world", PLYFS_WORLDS)
def test_a_path_that_no_layer_has_is_shown_and_leaves_nothing(sandbox, world):
    with Tree(sandbox, world, routes=("host:/no/such/path",)) as tree:
        (tree.host / "f").write_text("there")
        assert sorted(os.listdir(tree.at)) == ["data", "no", "other"]
        assert os.listdir(tree.at / "no") == ["such"]
        st = os.stat(tree.at / "no/such")
        assert stat.S_ISDIR(st.st_mode) and stat.S_IMODE(st.st_mode) == 0o755
        assert os.listxattr(tree.at / "no") == []
        assert (tree.at / "no/such/path/f").read_text() == "there"
        (tree.at / "no/such/path/g").write_text("new")
        assert (tree.host / "g").read_text() == "new"
        run("find", tree.at, "-ls")
        assert os.listdir(tree.upper) == []


@pytest.mark.parametrize("world", PLYFS_WORLDS)
def test_a_path_that_no_layer_has_comes_to_be_when_something_is_made_on_it(sandbox, world):
    with Tree(sandbox, world, routes=("host:/no/such/path",)) as tree:
        (tree.at / "no/such/file").write_text("mine")
        os.chmod(tree.at / "no", 0o700)
        assert (tree.upper / "no/such/file").read_text() == "mine"
        assert not (tree.upper / "no/such/path").exists()
        assert sorted(os.listdir(tree.at / "no/such")) == ["file", "path"]
        assert stat.S_IMODE(os.stat(tree.at / "no").st_mode) == 0o700
    with Tree(sandbox, world, routes=(), upper=tree.upper) as again:
        assert os.listdir(again.at / "no/such") == ["file"]


FIRST = {"directory": os.mkdir, "symlink": lambda path: os.symlink("x", path),
         "fifo": os.mkfifo, "file": lambda path: path.write_text("")}


@pytest.mark.parametrize("kind", FIRST)
@pytest.mark.parametrize("world", PLYFS_WORLDS)
def test_the_first_thing_on_a_path_that_no_layer_has_may_be_of_any_kind(sandbox, world, kind):
    with Tree(sandbox, world, routes=("host:/no/such/path",)) as tree:
        FIRST[kind](tree.at / "no/such/new")
        assert os.path.lexists(tree.at / "no/such/new")
        assert os.path.lexists(tree.upper / "no/such/new")
        assert sorted(os.listdir(tree.at / "no/such")) == ["new", "path"]


@pytest.mark.parametrize("world", PLYFS_WORLDS)
def test_a_path_that_no_layer_has_comes_to_be_with_the_mode_that_was_shown(sandbox, world):
    """Whatever the umask is of those that the daemon's threads served before."""
    with Tree(sandbox, world, routes=("host:/no/such/path",)) as tree:
        mask = os.umask(0o077)
        try:
            for number in range(16):
                (tree.at / f"closed{number}").touch()
            (tree.at / "no/such/file").touch()
        finally:
            os.umask(mask)
        for name in ("no", "no/such"):
            assert stat.S_IMODE(os.stat(tree.at / name).st_mode) == 0o755
            assert stat.S_IMODE(os.stat(tree.upper / name).st_mode) == 0o755


@pytest.mark.parametrize("world", WORLDS)
def test_volumes_nest_and_the_deepest_wins(sandbox, world):
    outer, inner, innermost = (pathlib.Path(sandbox.directory(name))
                               for name in ("outer", "inner", "innermost"))
    (outer / "sub").mkdir()
    (outer / "sub/below").touch()
    (inner / "deep").mkdir()
    (inner / "inner").touch()
    (innermost / "innermost").touch()
    routes = (f"{outer.name}:/data", f"{inner.name}:/data/sub", f"{innermost.name}:/data/sub/deep")
    with Tree(sandbox, world, routes=routes) as tree:
        assert os.listdir(tree.data) == ["sub"]
        assert sorted(os.listdir(tree.data / "sub")) == ["deep", "inner"]
        assert os.listdir(tree.data / "sub/deep") == ["innermost"]
        (tree.data / "sub/deep/new").touch()
        assert (innermost / "new").exists()
        assert os.listdir(outer / "sub") == ["below"]
        assert refusal(os.rename, tree.data / "sub/inner", tree.data / "inner") == "EXDEV"


@pytest.mark.parametrize("route, words", (("file:/data", "directory"), ("host:/other/file", "file"),
                                          ("host:/other/file/x", "Not a directory"),
                                          ("host:/data/theirs", "file"), ("host:/", "/"),
                                          ("host:/data/theirs/x", "Not a directory")))
def test_what_does_not_go_together_is_refused(sandbox, route, words):
    """A directory over a file, a file over a directory, also inside another volume."""
    (sandbox.path / "file").write_text("file")
    outer = pathlib.Path(sandbox.directory("outer"))
    (outer / "theirs").write_text("file")
    tree = Tree(sandbox, "tracked", routes=(f"{outer.name}:/data", route)
                if route.startswith("host:/data/") else (route,))
    done = run(PLYFS, "mount", "--lower", tree.low, "--upper", tree.upper,
               *(word for route in tree.routes for word in ("-v", route)), tree.at, check=False)
    assert done.returncode != 0 and words in done.stderr, done
    assert not os.path.ismount(tree.at)


def test_a_mount_is_not_shown_in_itself(sandbox):
    """It would ask itself, until none of its threads is left to answer."""
    tree = Tree(sandbox, "tracked")
    mount = (PLYFS, "mount", "--lower", tree.low, "--upper", tree.upper)
    for source in (sandbox.path, "/"):
        done = run(*mount, "-v", f"{source}:/data", tree.at, check=False)
        assert done.returncode != 0 and "the mount itself lies in it" in done.stderr, done
    run(*mount, "--mount", f"type=bind,source={sandbox.path},target=/data,bind-recursive=disabled",
        tree.at)
    try:
        assert os.listdir(tree.data / tree.at.name) == []
        assert "merged" in os.listdir(tree.data)
    finally:
        umount(tree.at, lazy=True)


@pytest.mark.parametrize("world", WORLDS)
def test_a_single_file_is_bound(sandbox, world):
    source = pathlib.Path(sandbox.path / "file")
    source.write_text("host")
    with Tree(sandbox, world, {"etc/resolv.conf": "image"},
              routes=("file:/etc/resolv.conf",)) as tree:
        conf = tree.at / "etc/resolv.conf"
        assert conf.read_text() == "host"
        source.write_text("changed")
        assert conf.read_text() == "changed"
        conf.write_text("back")
        assert source.read_text() == "back"
        assert refusal(os.unlink, conf) == "EBUSY"
        assert refusal(os.rename, conf, tree.at / "etc/x") == "EBUSY"
        (tree.at / "etc/new").touch()
        assert refusal(os.rename, tree.at / "etc/new", conf) == "EBUSY"
        # The file it was, whatever has its name on the host by now.
        os.rename(source, sandbox.path / "moved")
        source.write_text("another")
        assert conf.read_text() == "back"
        assert os.listdir(tree.upper) == ["etc"]


@pytest.mark.parametrize("world", PLYFS_WORLDS)
def test_a_symlink_of_the_image_is_resolved_inside(sandbox, world):
    files = {"run/f": "f", "var/run": pathlib.PurePath("/run"),
             "out": pathlib.PurePath("../../../../../etc")}
    with Tree(sandbox, world, files, routes=("host:/var/run/app", "host:/out")) as tree:
        (tree.host / "here").touch()
        assert os.listdir(tree.at / "run/app") == ["here"]
        assert os.listdir(tree.at / "etc") == ["here"]
        assert not os.path.exists("/etc/here")


def test_statfs_answers_for_the_volume_s_filesystem(tree):
    ours, theirs = os.statvfs(tree.data), os.statvfs(tree.host)
    assert (ours.f_blocks * ours.f_frsize, ours.f_files) == \
        (theirs.f_blocks * theirs.f_frsize, theirs.f_files)


@pytest.mark.parametrize("world", PLYFS_WORLDS)
def test_inode_numbers_never_collide_with_the_union_s(sandbox, world):
    """All are on one filesystem, so each raw number would be there twice or more."""
    with Tree(sandbox, world, {f"data/{n}": "x" for n in range(50)} | {"f": "f"},
              routes=("host:/data", "host:/again", "low:/low")) as tree:
        for number in range(50):
            (tree.host / f"f{number}").write_text("x")
        os.link(tree.host / "f0", tree.host / "f0.link")
        seen = {}
        for where, _, names in os.walk(tree.at):
            for name in names:
                path = os.path.join(where, name)
                seen.setdefault(os.lstat(path).st_ino, []).append(path)
        shared = [sorted(os.path.basename(path) for path in paths)
                  for paths in seen.values() if len(paths) > 1]
        assert all(names == ["f0", "f0.link"] for names in shared), shared
        entries = {entry.name: entry.inode() for entry in os.scandir(tree.data)}
        assert entries == {name: os.lstat(tree.data / name).st_ino for name in entries}


@pytest.mark.parametrize("tool", ("tar", "rsync"))
def test_hard_links_are_kept_by_who_copies_the_whole(tree, tool, sandbox):
    need_tool(tool)
    (tree.host / "a").write_text("linked")
    os.link(tree.host / "a", tree.host / "b")
    (tree.at / "c").write_text("other")
    os.link(tree.at / "c", tree.at / "d")
    target = pathlib.Path(sandbox.directory("copy"))
    if tool == "tar":
        run("sh", "-c", f"tar cf - -C '{tree.at}' . | tar xf - -C '{target}'")
    else:
        run("rsync", "-aH", f"{tree.at}/", f"{target}/")
    assert os.stat(target / "data/a").st_nlink == 2 == os.stat(target / "c").st_nlink
    assert os.path.samefile(target / "data/a", target / "data/b")
    assert os.path.samefile(target / "c", target / "d")
    assert not os.path.samefile(target / "data/a", target / "c")


def test_a_removed_directory_that_is_somebodys_cwd_is_empty_and_closed(tree):
    (tree.data / "d").mkdir()
    script = ("import os; os.rmdir('../d'); print(os.listdir('.'), os.fstat(os.open('.', os.O_RDONLY)).st_nlink)\n"
              "try: os.mkdir('x')\nexcept OSError as error: print(error.errno)")
    done = run(sys.executable, "-c", script, cwd=tree.data / "d")
    assert done.stdout == f"[] 0\n{errno.ENOENT}\n"


def test_names_and_attributes_of_overlays_are_ordinary_in_a_volume(tree):
    names = [".wh.x", ".wh..wh..opq", "x", "opaque", "zero"]
    (tree.data / "x").write_text("not hidden")
    (tree.data / ".wh.x").touch()
    (tree.data / ".wh..wh..opq").touch()
    (tree.data / "opaque").mkdir()
    os.setxattr(tree.data / "opaque", "trusted.overlay.opaque", b"y")
    os.setxattr(tree.data / "opaque", "user.overlay.opaque", b"y")
    os.setxattr(tree.data / "opaque", "user.fuseoverlayfs.opaque", b"y")
    os.mknod(tree.data / "zero", stat.S_IFCHR | 0o600, os.makedev(0, 0))
    assert sorted(os.listdir(tree.data)) == sorted(names)
    assert sorted(os.listdir(tree.host)) == sorted(names)
    assert os.stat(tree.data / "zero").st_rdev == 0
    for where in (tree.data, tree.host):
        found = set(os.listxattr(where / "opaque"))
        assert {"trusted.overlay.opaque", "user.overlay.opaque",
                "user.fuseoverlayfs.opaque"} <= found
    os.rename(tree.data / "zero", tree.data / "moved")
    os.unlink(tree.data / "moved")
    (tree.data / "x").unlink()
    assert sorted(os.listdir(tree.host)) == [".wh..wh..opq", ".wh.x", "opaque"]


def test_a_rename_leaves_the_whiteout_that_is_asked_for_in_a_volume(tree):
    """It can be seen there, and so a volume can be the upper of another union."""
    (tree.data / "x").write_text("x")
    renameat2(tree.data / "x", tree.data / "y", WHITEOUT)
    for where in (tree.data, tree.host):
        st = os.lstat(where / "x")
        assert stat.S_ISCHR(st.st_mode) and st.st_rdev == 0
        assert (where / "y").read_text() == "x"


def test_directories_are_removed_and_renamed_as_on_the_host(tree):
    (tree.data / "full").mkdir()
    (tree.data / "full/f").touch()
    (tree.data / "empty").mkdir()
    assert refusal(os.rmdir, tree.data / "full") == "ENOTEMPTY"
    assert refusal(os.rename, tree.data / "empty", tree.data / "full") == "ENOTEMPTY"
    os.rename(tree.data / "full", tree.data / "empty")
    assert os.listdir(tree.data / "empty") == ["f"]
    shutil.rmtree(tree.data / "empty")
    assert os.listdir(tree.host) == []


def test_what_is_made_belongs_to_the_caller(tree):
    os.chmod(tree.host, 0o2777)
    os.chown(tree.host, 0, 77)
    act = f"umask 027; cd '{tree.data}'; touch f; mkdir d; ln -s f l; mkfifo p"
    run("setpriv", "--reuid=1234", "--regid=1235", "--clear-groups", "sh", "-c", act)
    for name, mode in (("f", 0o640), ("d", 0o2750), ("p", 0o640)):
        st = os.lstat(tree.host / name)
        assert (st.st_uid, st.st_gid, stat.S_IMODE(st.st_mode)) == (1234, 77, mode), name
    os.chmod(tree.host, 0o755)
    assert run("setpriv", "--reuid=1234", "--regid=1235", "--clear-groups", "touch",
               tree.data / "no", check=False).returncode != 0


@pytest.mark.parametrize("world", PLYFS_WORLDS)
def test_a_file_is_made_read_only_and_written_by_a_daemon_without_privilege_over_modes(sandbox, world):
    need_fuse()
    need_root()
    need_tool("setpriv")
    low, upper, host, at = (sandbox.directory(name) for name in ("low", "upper", "host", "merged"))
    run("setpriv", "--bounding-set=-dac_override", PLYFS, "mount", "--lower", low, "--upper", upper,
        *OPTIONS[world], "-v", f"{host}:/data", at)
    try:
        with open(os.open(f"{at}/data/f", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o444), "wb") as file:
            file.write(b"content")
        assert pathlib.Path(host, "f").read_bytes() == b"content"
    finally:
        umount(at, lazy=True)


def test_a_filesystem_mounted_beneath_is_seen(tree):
    (tree.host / "sub").mkdir()
    run("mount", "-t", "tmpfs", "tmpfs", tree.host / "sub")
    try:
        (tree.host / "sub/f").write_text("on another")
        if tree.world == "kernel":
            return  # --bind alone leaves it out; Docker's is --rbind
        assert (tree.data / "sub/f").read_text() == "on another"
        (tree.data / "sub/g").write_text("back")
        assert (tree.host / "sub/g").read_text() == "back"
        numbers = {os.lstat(path).st_ino for path in
                   (tree.data / "sub", tree.data / "sub/f", tree.data / "sub/g", tree.data)}
        assert len(numbers) == 4
        assert refusal(os.rename, tree.data / "sub/f", tree.data / "f") == "EXDEV"
    finally:
        umount(tree.host / "sub", lazy=True)


NOBODY = 65534


def who_runs_as(program):
    """The effective user that a program has which an ordinary one runs."""
    done = subprocess.run([program, "-u"], user=NOBODY, group=NOBODY, extra_groups=[], text=True,
                          stdout=subprocess.PIPE, check=False)
    return int(done.stdout)


@contextlib.contextmanager
def on_a_filesystem(world, sandbox, options):
    """The tree, whose volume lies on a tmpfs that is mounted with these options."""
    tree = Tree(sandbox, world)
    run("mount", "-t", "tmpfs", "-o", f"mode=755{options}", "tmpfs", tree.host)
    try:
        shutil.copy("/usr/bin/id", tree.host / "id")
        os.chmod(tree.host / "id", 0o4755)
        os.mknod(tree.host / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        with tree:
            yield tree
    finally:
        umount(tree.host, lazy=True)


ASKED = ("kernel", "tracked", "cacheless")  # in the stateless profile nobody asks before he runs a program


@pytest.mark.parametrize("world", ASKED)
def test_what_lies_on_an_ordinary_filesystem_may_be_run_with_its_owners_rights(sandbox, world):
    with on_a_filesystem(world, sandbox, "") as tree:
        assert who_runs_as(tree.data / "id") == 0
        assert os.stat(tree.data / "null").st_rdev == os.makedev(1, 3)
        (tree.data / "null").write_text("taken")


@pytest.mark.parametrize("world", ASKED)
def test_nothing_is_run_on_what_the_host_mounted_noexec(sandbox, world):
    with on_a_filesystem(world, sandbox, ",noexec") as tree:
        assert refusal(who_runs_as, tree.data / "id") == "EACCES"
        assert refusal(subprocess.run, [tree.data / "id"], check=False) == "EACCES", "nor by root"
        assert (tree.data / "id").read_bytes() == (tree.host / "id").read_bytes()
        assert stat.S_IMODE(os.stat(tree.data / "id").st_mode) == 0o4755


@pytest.mark.parametrize("world", ASKED)
def test_nobody_gets_another_user_by_what_the_host_mounted_nosuid(sandbox, world):
    """The kernel runs the program without; a filesystem can only refuse it."""
    with on_a_filesystem(world, sandbox, ",nosuid") as tree:
        for mode, gains in ((0o4755, True), (0o2755, True), (0o755, False)):
            os.chmod(tree.host / "id", mode)
            if world == "kernel" or not gains:
                assert who_runs_as(tree.data / "id") == NOBODY
            else:
                assert refusal(who_runs_as, tree.data / "id") == "EACCES"
            assert stat.S_IMODE(os.stat(tree.data / "id").st_mode) == mode, "it is shown all the same"
            assert run(tree.data / "id", "-u").stdout == "0\n", "who has those rights may"


@pytest.mark.parametrize("world", ASKED)
def test_nobody_gets_capabilities_by_what_the_host_mounted_nosuid(sandbox, world):
    need_tool("setcap")
    with on_a_filesystem(world, sandbox, ",nosuid") as tree:
        os.chmod(tree.host / "id", 0o755)
        run("setcap", "cap_net_raw=ep", tree.host / "id")
        if world == "kernel":
            assert who_runs_as(tree.data / "id") == NOBODY
        else:
            assert refusal(who_runs_as, tree.data / "id") == "EACCES"


@pytest.mark.parametrize("world", WORLDS)
def test_no_device_is_opened_on_what_the_host_mounted_nodev(sandbox, world):
    with on_a_filesystem(world, sandbox, ",nodev") as tree:
        refused = "EACCES" if world == "kernel" else "ENXIO"
        for look in range(2):
            assert refusal(os.open, tree.data / "null", os.O_RDONLY) == refused, look
            os.stat(tree.data / "null")
        os.mknod(tree.data / "another", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        assert refusal(os.open, tree.data / "another", os.O_RDONLY) == refused
        assert os.stat(tree.host / "another").st_rdev == os.makedev(1, 3), "on the host it is what was made"


@pytest.mark.parametrize("world", ("tracked", "cacheless"))
def test_what_is_mounted_deeper_in_a_volume_forbids_for_itself(sandbox, world):
    with on_a_filesystem(world, sandbox, "") as tree:
        (tree.host / "deeper").mkdir()
        run("mount", "-t", "tmpfs", "-o", "noexec,nodev,mode=755", "tmpfs", tree.host / "deeper")
        try:
            shutil.copy(tree.host / "id", tree.host / "deeper/id")
            os.mknod(tree.host / "deeper/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
            assert refusal(who_runs_as, tree.data / "deeper/id") == "EACCES"
            assert refusal(os.open, tree.data / "deeper/null", os.O_RDONLY) == "ENXIO"
            assert who_runs_as(tree.data / "id") == 0
        finally:
            umount(tree.host / "deeper", lazy=True)


@pytest.mark.parametrize("world", PLYFS_WORLDS)
def test_a_device_that_is_mounted_by_itself_is_judged_by_its_own_mount(sandbox, world):
    """What is bound over a name, as containers have it, has options of its own."""
    for options, expected in (("nodev", "ENXIO"), ("dev", None)):
        with on_a_filesystem(world, sandbox, ",dev" if expected else ",nodev") as tree:
            device, place = pathlib.Path(sandbox.directory(f"devices-{options}")) / "null", tree.host / "place"
            os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(1, 3))
            place.touch()
            run("mount", "--bind", device, place)
            run("mount", "-o", f"remount,bind,{options}", place)
            try:
                assert refusal(os.open, tree.data / "place", os.O_RDONLY) == expected
            finally:
                umount(place, lazy=True)


@pytest.mark.parametrize("world", PLYFS_WORLDS)
def test_a_volume_that_is_a_link_to_elsewhere_does_not_lead_out(sandbox, world):
    with Tree(sandbox, world) as tree:
        secret = pathlib.Path(sandbox.path / "secret")
        secret.mkdir()
        (secret / "f").write_text("secret")
        (tree.host / "d").mkdir()
        (tree.host / "d/f").write_text("mine")
        held = os.open(tree.data / "d", os.O_RDONLY)
        (tree.host / "d/f").unlink()
        (tree.host / "d").rmdir()
        (tree.host / "d").symlink_to(secret)
        assert refusal(os.stat, "f", dir_fd=held) == "ENOENT"
        os.close(held)


@pytest.mark.parametrize("world", PLYFS_WORLDS)
def test_a_tmpfs_dies_with_its_mount(sandbox, world):
    need_root()
    low, upper, at = (pathlib.Path(sandbox.directory(n)) for n in ("low", "upper", "merged"))
    for _ in range(2):
        run(PLYFS, "mount", "--lower", low, "--upper", upper, *OPTIONS[world],
            "--tmpfs", "/scratch:size=1m,mode=1750", at)
        try:
            scratch = at / "scratch"
            assert os.listdir(scratch) == []
            assert stat.S_IMODE(os.stat(scratch).st_mode) == 0o1750
            assert os.statvfs(scratch).f_blocks * os.statvfs(scratch).f_frsize == 1 << 20
            with open(scratch / "f", "wb", buffering=0) as file:
                assert refusal(lambda: [file.write(bytes(65536)) for _ in range(17)]) == "ENOSPC"
        finally:
            umount(at, lazy=True)
        assert os.listdir(upper) == []


@contextlib.contextmanager
def scratch(sandbox, options, *before):
    """The tmpfs that `--tmpfs` makes with these options, of a mount that `before` runs the command for."""
    need_root()
    low, upper, at = (pathlib.Path(sandbox.directory(n)) for n in ("low", "upper", "merged"))
    run(*before, PLYFS, "mount", "--lower", low, "--upper", upper, "--tmpfs", f"/scratch:{options}", at)
    try:
        yield at / "scratch"
    finally:
        umount(at, lazy=True)


def test_a_tmpfs_is_whose_it_is_said_to_be(sandbox):
    with scratch(sandbox, "uid=1234,gid=77,mode=700") as at:
        st = os.stat(at)
        assert (st.st_uid, st.st_gid, stat.S_IMODE(st.st_mode)) == (1234, 77, 0o700)


def test_a_tmpfs_has_so_many_inodes_and_blocks(sandbox):
    with scratch(sandbox, "nr_inodes=4,nr_blocks=1k") as at:
        assert os.statvfs(at).f_blocks == 1024
        assert refusal(lambda: [(at / f"f{n}").touch() for n in range(4)]) == "ENOSPC"


def test_in_a_tmpfs_are_no_devices_and_nobody_elses_programs_unless_it_is_said(sandbox):
    for options, user, device in (("mode=755", "EACCES", "ENXIO"), ("mode=755,suid,dev", 0, None),
                                  ("suid,dev,nodev,nosuid,mode=755", "EACCES", "ENXIO"),
                                  ("suid,dev,noexec,mode=755", "EACCES", None)):
        with scratch(sandbox, options) as at:
            shutil.copy("/usr/bin/id", at / "id")
            os.chmod(at / "id", 0o4755)
            os.mknod(at / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
            assert (refusal(who_runs_as, at / "id") or who_runs_as(at / "id")) == user, options
            assert refusal(os.open, at / "null", os.O_RDONLY) == device, options


def test_a_tmpfs_of_another_is_refused_where_he_does_not_exist(sandbox):
    need_tool("unshare")
    low, at = sandbox.directory("low"), sandbox.directory("merged")
    done = run("unshare", "-Urm", PLYFS, "mount", "--lower", low, "--tmpfs", "/scratch:uid=1234", at, check=False)
    assert done.returncode != 0
    assert "a tmpfs cannot be shown at /scratch: the kernel refuses its options" in done.stderr
    assert not os.path.ismount(at)


