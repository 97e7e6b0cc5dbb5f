# SPDX-License-Identifier: MIT
"""The disk under the upper directory is full, read-only or fails, a layer vanishes, descriptors are
few: what a client is told is what it is told by the kernel's overlayfs, nothing is half done, and it
goes on afterwards. tests/test_faults.py makes each single call fail."""
import contextlib
import errno
import fcntl
import os
import pathlib
import stat
import struct
import subprocess
import sys

import pytest

import harness
from faultkit import faults, no_hang  # noqa: F401  (a fixture)
from harness import (assert_same, is_mounted, listing, need, need_root, need_tool, refusal, run,
                     umount)
from storekit import wait_for

KINDS = ["stateless", "tracked", "kernel"]
LARGE = bytes(range(256)) * 4096  # 1 MiB
SMALL = b"content of a lower file\n"
KERNEL_OPTIONS = ["redirect_dir=on", "metacopy=on", "index=on"]


# ---- what is done ---------------------------------------------------------------------------------

def write(path, data=b"changed", flags=os.O_WRONLY):
    fd = os.open(path, flags, 0o644)
    try:
        while data:
            data = data[os.write(fd, data):]
    finally:
        os.close(fd)


def create(path):
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))


# name: what it does to what it finds in its own directory
OPERATIONS = {
    "create": lambda d: create(d / "new"),
    "create and write": lambda d: write(d / "new", LARGE, os.O_WRONLY | os.O_CREAT),
    "mkdir": lambda d: os.mkdir(d / "new"),
    "symlink": lambda d: os.symlink("target", d / "new"),
    "mknod": lambda d: os.mknod(d / "new", stat.S_IFIFO | 0o600),
    "link": lambda d: os.link(d / "file", d / "new"),
    "first write": lambda d: write(d / "file"),
    "first write to a large file": lambda d: write(d / "large"),
    "truncate": lambda d: os.truncate(d / "file", 3),
    "chmod": lambda d: os.chmod(d / "file", 0o600),
    "chown": lambda d: os.chown(d / "file", 12, 34),
    "utimens": lambda d: os.utime(d / "file", (5, 5)),
    "setxattr": lambda d: os.setxattr(d / "file", "user.more", b"x"),
    "unlink": lambda d: os.unlink(d / "file"),
    "rmdir": lambda d: os.rmdir(d / "empty"),
    "rename": lambda d: os.rename(d / "file", d / "new"),
    "rename of a directory": lambda d: os.rename(d / "directory", d / "new"),
}


def fill_case(directory):
    for name in ("empty", "directory"):
        (directory / name).mkdir(parents=True)
    (directory / "directory" / "inside").write_bytes(SMALL)
    (directory / "file").write_bytes(SMALL)
    (directory / "large").write_bytes(LARGE)
    os.setxattr(directory / "file", "user.note", b"kept")


class Union:
    """A union whose upper and work directory lie on a disk of their own."""

    def __init__(self, sandbox, kind):
        need_root()
        self.sandbox, self.kind = sandbox, kind
        self.lower = pathlib.Path(sandbox.directory("lower"))
        for name in OPERATIONS:
            fill_case(self.lower / name)
        self.disk = pathlib.Path(sandbox.directory("disk"))
        self.mount = None

    def start(self):
        upper, work = self.disk / "upper", self.disk / "work"
        for directory in (upper, work):
            directory.mkdir(exist_ok=True)
        if self.kind == "kernel":
            self.mount = self.sandbox.kernel([self.lower], upper, work, options=KERNEL_OPTIONS)
        else:
            self.mount = self.sandbox.plyfs([self.lower], upper, work, profile=self.kind)
        return self.mount.mount()

    def case(self, name):
        return pathlib.Path(self.mount.at) / name

    def refusals(self):
        """{operation: the errno it is refused with, or None}."""
        return {name: refusal(act, self.case(name)) for name, act in OPERATIONS.items()}

    def close(self):
        if self.mount:
            self.mount.unmount()
        if is_mounted(self.disk):
            wait_for(self.disk_is_free, "the daemon has let go of its upper directory", 60)

    def disk_is_free(self):
        try:
            umount(self.disk)
        except OSError:
            return False
        return True


@contextlib.contextmanager
def union_on(sandbox, kind, *mount_options):
    union = Union(sandbox, kind)
    run("mount", *mount_options, union.disk)
    try:
        yield union
    finally:
        union.close()


def everything(union):
    return listing(union.mount.at, times=None)


def what_it_comes_to(sandbox, union):
    """The tree after all operations, on a disk that never fails."""
    sound = Union(sandbox, union.kind)
    sound.start()
    assert set(sound.refusals().values()) == {None}
    tree = everything(sound)
    sound.close()
    return tree


# ---- full ------------------------------------------------------------------------------------------

def exhaust_space(disk):
    with contextlib.suppress(OSError), open(disk / "ballast", "wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def exhaust_inodes(disk):
    (disk / "ballast").mkdir()
    with contextlib.suppress(OSError):
        for i in range(100_000):
            (disk / "ballast" / str(i)).touch()


def relieve(disk):
    ballast = disk / "ballast"
    if ballast.is_dir():
        for path in ballast.iterdir():
            path.unlink()
        ballast.rmdir()
    else:
        ballast.unlink()


FULL_DISKS = {
    "space": (["-t", "tmpfs", "-o", "size=8M", "tmpfs"], exhaust_space),
    "inodes": (["-t", "tmpfs", "-o", "nr_inodes=300", "tmpfs"], exhaust_inodes),
}


def on_a_full_disk(sandbox, kind, what):
    """The refusals, and the trees: before, on the full disk, when there is room again."""
    options, exhaust = FULL_DISKS[what]
    with union_on(sandbox, kind, *options) as union:
        union.start()
        before = everything(union)
        exhaust(union.disk)
        told = union.refusals()
        full = everything(union)
        relieve(union.disk)
        for name, error in told.items():
            if error:
                with contextlib.suppress(FileNotFoundError):
                    if name == "create and write":
                        os.unlink(union.case(name) / "new")
                OPERATIONS[name](union.case(name))
        after = everything(union)
        union.mount.remount()
        assert_same(after, everything(union), "a remount shows something else")
        union.mount.unmount()
        left = [p for p in (union.disk / "work").rglob("*")
                if not p.is_dir() and "index" not in p.parts and not is_whiteout(p)]
        assert not left, f"left in the work directory: {left}"
    return told, before, full, after


def is_whiteout(path):
    """The kernel keeps one to be linked wherever one is wanted."""
    st = os.lstat(path)
    return stat.S_ISCHR(st.st_mode) and st.st_rdev == 0


def part(tree, name):
    return {path: record for path, record in tree.items() if path.split("/")[0] == name}


@pytest.mark.parametrize("what", FULL_DISKS)
@pytest.mark.parametrize("kind", KINDS)
def test_on_a_full_disk_each_operation_is_refused_and_nothing_is_half_done(sandbox, kind, what):
    told, before, full, after = on_a_full_disk(sandbox, kind, what)
    assert set(told.values()) <= {None, "ENOSPC"}, told
    assert told["create and write"] == "ENOSPC"
    if what == "space":
        assert told["first write to a large file"] == "ENOSPC"
    else:
        assert told["create"] == told["mkdir"] == told["first write"] == "ENOSPC"
    for name, error in told.items():
        if error and name != "create and write":  # that one is two calls
            assert_same(part(before, name), part(full, name), f"{name} was refused")
    union = Union(sandbox, kind)
    assert_same(what_it_comes_to(sandbox, union), after, "with room again")


@pytest.mark.parametrize("what", FULL_DISKS)
@pytest.mark.parametrize("kind", KINDS[:2])
def test_a_full_disk_refuses_what_it_refuses_the_kernels_overlayfs(sandbox, kind, what):
    told, kernel = (on_a_full_disk(sandbox, k, what)[0] for k in (kind, "kernel"))
    assert told == kernel


def test_with_writeback_a_full_disk_is_told_by_fsync(sandbox):
    with union_on(sandbox, "stateless", *FULL_DISKS["space"][0]) as union:
        union.start()
        union.mount.options.append("writeback=on")
        union.mount.remount()
        exhaust_space(union.disk)
        fd = os.open(union.case("create") / "new", os.O_CREAT | os.O_WRONLY)
        try:
            assert refusal(lambda: (os.write(fd, LARGE), os.fsync(fd))) == "ENOSPC"
        finally:
            refusal(os.close, fd)


@pytest.mark.parametrize("kind", ["stateless", "tracked"])
def test_data_that_finds_no_room_to_come_up_takes_none(sandbox, kind):
    with union_on(sandbox, kind, *FULL_DISKS["space"][0]) as union:
        (union.lower / "big").write_bytes(b"x" * (12 << 20))
        union.start()
        os.chmod(union.mount / "big", 0o600)
        before = os.statvfs(union.disk).f_bavail
        assert refusal(write, union.mount / "big", b"y", os.O_WRONLY | os.O_APPEND) == "ENOSPC"
        assert os.statvfs(union.disk).f_bavail == before
        assert (union.mount / "big").stat().st_size == 12 << 20


EMPTY = {"open": lambda path: open(path, "w", encoding="ascii").close(), "truncate": lambda path: os.truncate(path, 0)}


@pytest.mark.parametrize("way", EMPTY)
@pytest.mark.parametrize("kind", KINDS[:2])
def test_what_is_emptied_needs_no_room_for_the_data_that_it_had(sandbox, kind, way):
    """The kernel's overlayfs needs none for open(2), though for truncate(2) it does."""
    with union_on(sandbox, kind, *FULL_DISKS["space"][0]) as union:
        (union.lower / "big").write_bytes(b"x" * (12 << 20))
        union.start()
        os.chmod(union.mount / "big", 0o600)
        os.utime(union.mount / "big", ns=(10**18, 10**18))
        EMPTY[way](union.mount / "big")
        for _ in range(2):
            st = (union.mount / "big").stat()
            assert (st.st_size, stat.S_IMODE(st.st_mode), st.st_mtime_ns > 10**18) == (0, 0o600, True)
            with open(union.mount / "big", "ab") as file:
                file.write(b"new")
            assert (union.mount / "big").read_bytes() == b"new"
            EMPTY[way](union.mount / "big")
            union.mount.remount()


MAP = """
import mmap, os, sys
fd = os.open(sys.argv[1], os.O_CREAT | os.O_RDWR)
os.ftruncate(fd, 600 << 10)
mapped = mmap.mmap(fd, 0)
mapped[:] = b"x" * len(mapped)
try:
    mapped.flush()
except OSError as error:
    print(error.errno)
"""


@pytest.mark.parametrize("way", ["write", "map"])
def test_a_disk_with_room_for_a_part_of_what_is_written_back_is_told_by_fsync(sandbox, way):
    """The kernel takes note of an error alone: what it was not told of would be lost."""
    with union_on(sandbox, "stateless", *FULL_DISKS["space"][0]) as union:
        union.start()
        union.mount.options.append("writeback=on" if way == "write" else "passthrough=off")
        union.mount.remount()
        at = union.case("create") / "new"
        free = os.statvfs(union.disk)
        (pathlib.Path(union.disk) / "filler").write_bytes(b"x" * (free.f_bavail * free.f_frsize - (300 << 10)))
        if way == "map":
            told = run(sys.executable, "-I", "-c", MAP, at).stdout.strip()
            assert told == str(errno.ENOSPC)
            return
        fd = os.open(at, os.O_CREAT | os.O_WRONLY)
        try:
            assert refusal(lambda: (os.write(fd, b"x" * (600 << 10)), os.fsync(fd))) == "ENOSPC"
        finally:
            refusal(os.close, fd)


# ---- read-only -------------------------------------------------------------------------------------

@pytest.mark.parametrize("kind", KINDS)
def test_while_the_disk_is_read_only_everything_is_refused_and_can_be_read(sandbox, kind):
    with union_on(sandbox, kind, "-t", "tmpfs", "tmpfs") as union:
        union.start()
        before = everything(union)
        run("mount", "-o", "remount,ro", union.disk)
        told = union.refusals()
        assert set(told.values()) == {"EROFS"}, told
        assert_same(before, everything(union), "refused, and changed all the same")
        run("mount", "-o", "remount,rw", union.disk)
        assert set(union.refusals().values()) == {None}
        after = everything(union)
        union.mount.remount()
        assert_same(after, everything(union), "a remount shows something else")
    assert_same(what_it_comes_to(sandbox, union), after, "with a disk to be written again")


# ---- a disk that fails --------------------------------------------------------------------------------

EXT4_IOC_SHUTDOWN, NO_LOG_FLUSH = 0x8004587D, 2


def shut_down(disk):
    """The disk fails at once, as when it is pulled out."""
    fd = os.open(disk, os.O_RDONLY)
    try:
        fcntl.ioctl(fd, EXT4_IOC_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
    finally:
        os.close(fd)


@contextlib.contextmanager
def union_on_ext4(sandbox, kind):
    need_tool("mkfs.ext4")
    need(os.path.exists("/dev/loop-control"), "needs loop devices")
    image = sandbox.path / f"image-{kind}"
    with open(image, "wb") as file:
        file.truncate(64 << 20)
    run("mkfs.ext4", "-q", "-F", image)
    with union_on(sandbox, kind, "-o", "loop", image) as union:
        yield union, image


def failed_disk(sandbox, kind):
    """What is told while the disk has failed; afterwards each name is what it was, or is to be."""
    with union_on_ext4(sandbox, kind) as (union, image):
        union.start()
        before = everything(union)
        done = dict(list(OPERATIONS.items())[::2])
        for name, act in done.items():
            act(union.case(name))
        os.sync()
        synced = everything(union)
        shut_down(union.disk)
        told = {name: refusal(act, union.case(name)) for name, act in OPERATIONS.items()
                if name not in done}
        union.mount.unmount()
        wait_for(union.disk_is_free, "the daemon has let go of a disk that failed", 60)
        run("mount", "-o", "loop", image, union.disk)
        union.mount.mount()
        after = everything(union)
        for name in OPERATIONS:
            assert_same(part(synced if name in done else before, name), part(after, name), name)
        assert {name: refusal(act, union.case(name)) for name, act in OPERATIONS.items()
                if name not in done} == dict.fromkeys(told)
    return told


@pytest.mark.parametrize("kind", KINDS)
def test_a_disk_that_fails_is_told_and_what_was_synced_is_there_afterwards(sandbox, kind):
    told = failed_disk(sandbox, kind)
    assert set(told.values()) <= {"EIO", "EROFS"}, told


# ---- a layer that vanishes ----------------------------------------------------------------------------

@pytest.mark.parametrize("kind", KINDS[:2])
def test_a_layer_that_is_removed_leaves_errors_and_no_hang(sandbox, kind):
    """What is undefined is what is seen of the layer; the rest works, and the daemon stays."""
    union = Union(sandbox, kind)
    mount = union.start()
    (mount / "mine").write_bytes(b"in the upper")
    sandbox.guarded.clear()
    run("rm", "-rf", *union.lower.iterdir())
    with no_hang(mount.at):
        told = union.refusals()
        assert set(told.values()) <= {None, "ENOENT", "ESTALE", "EIO"}, told
        refusal(everything, union)
        assert (mount / "mine").read_bytes() == b"in the upper"
        (mount / "more").write_bytes(b"goes on")
    mount.remount()
    assert (mount / "more").read_bytes() == b"goes on"
    for name in OPERATIONS:
        (union.lower / name).mkdir()
    union.close()


@pytest.mark.parametrize("kind", KINDS[:2])
def test_a_layer_whose_filesystem_is_detached_is_still_read(sandbox, kind):
    union = Union(sandbox, kind)
    run("mount", "-t", "tmpfs", "tmpfs", union.lower)
    for name in OPERATIONS:
        fill_case(union.lower / name)
    mount = union.start()
    umount(union.lower, lazy=True)
    with no_hang(mount.at):
        assert set(union.refusals().values()) == {None}
        assert (union.case("first write") / "file").read_bytes().startswith(b"changed")
    sandbox.guarded.clear()
    union.close()


# ---- few descriptors ----------------------------------------------------------------------------------

class Limited(harness.Mounted):
    """Mounted with a hard limit of descriptors."""
    limit = 0

    def command(self):
        return ["prlimit", f"--nofile={self.limit}:{self.limit}"] + super().command()


@contextlib.contextmanager
def busy_processors():
    """What is left to whoever has nothing better to do is not done soon."""
    loops = [subprocess.Popen(["sh", "-c", "while :; do :; done"]) for _ in range(len(os.sched_getaffinity(0)) + 1)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def many_directories(sandbox):
    """A layer of 300 directories with a file each."""
    lower = pathlib.Path(sandbox.directory("lower"))
    for i in range(300):
        (lower / f"d{i}").mkdir()
        (lower / f"d{i}" / "file").write_bytes(b"%d" % i)
    return lower


@pytest.mark.parametrize("limit", [16, 24, 32, 64, 128])
@pytest.mark.parametrize("kind", KINDS[:2])
def test_with_few_descriptors_a_mount_is_refused_or_serves_many_files(sandbox, kind, limit):
    need_tool("prlimit")
    harness.need_fuse()
    lower = many_directories(sandbox)
    mount = Limited(sandbox, "plyfs", [lower], sandbox.directory("upper"),
                    sandbox.directory("work"), profile=kind)
    mount.limit = limit
    done = run(*mount.command(), check=False)
    if done.returncode != 0:
        assert "plyfs" in done.stderr and not is_mounted(mount.at), done
        assert limit < 64, done.stderr
        return
    mount.mounted = True
    with no_hang(mount.at), busy_processors():
        told = set()
        for i in range(300):
            told.add(refusal(write, mount / f"d{i}" / "file", b"new %d" % i))
            told.add(refusal(create, mount / f"d{i}" / "made"))
        assert told <= {None, "EMFILE"}, told
        assert limit < 64 or told == {None}, told
    mount.unmount()
    plain = sandbox.plyfs([lower], mount.upper, mount.work, profile=kind)
    with plain:
        for i in range(300):
            assert (plain / f"d{i}" / "file").read_bytes() in (b"%d" % i, b"new %d" % i)


@pytest.mark.parametrize("kind", KINDS[:2])
def test_who_keeps_many_files_that_are_unlinked_leaves_descriptors_to_others(sandbox, kind):
    need_tool("prlimit")
    harness.need_fuse()
    lower = many_directories(sandbox)
    for i in range(300):
        (lower / f"kept{i}").write_bytes(b"%d" % i)
    mount = Limited(sandbox, "plyfs", [lower], sandbox.directory("upper"),
                    sandbox.directory("work"), profile=kind)
    mount.limit = 256
    with mount, no_hang(mount.at), contextlib.ExitStack() as kept:
        files = [kept.enter_context(open(mount / f"kept{i}", "r+b", buffering=0)) for i in range(300)]
        told = [refusal(os.unlink, mount / f"kept{i}") for i in range(300)]
        assert set(told) == {None, "ENFILE"}
        assert told.count(None) > 128, "of half of them others had no use"
        for i, file in enumerate(files):
            assert file.read() == b"%d" % i
        for i in range(300):
            assert os.listdir(mount / f"d{i}") == ["file"]
            assert refusal(write, mount / f"d{i}" / "file", b"new") is None
            assert refusal(create, mount / f"d{i}" / "made") is None
        kept.close()
        wait_for(lambda: refusal(os.unlink, mount / "kept299") is None, "there is room again")


# ---- a fault while mounting ----------------------------------------------------------------------------

@pytest.mark.parametrize("error", ["ENOSPC", "EIO", "EMFILE"])
def test_a_mount_that_meets_a_fault_is_made_or_refused_with_words(sandbox, faults, error):
    """Each call of `plyfs mount` that may fail with this errno does so once."""
    union = Union(sandbox, "stateless")
    (union.disk / "upper").mkdir()
    (union.disk / "work").mkdir()
    mount = faults.mounted(sandbox, [union.lower], union.disk / "upper", union.disk / "work")
    before = listing(union.lower)
    for number in range(1, 1000):
        with faults.strike(error, number) as control:
            done = run(*mount.command(), check=False, stdin=subprocess.DEVNULL, timeout=60)
        if done.returncode == 0:
            mount.mounted = True
            assert_same(before, listing(mount.at), f"{error} at call {number}")
            mount.unmount()
        else:
            assert "plyfs" in done.stderr and not is_mounted(mount.at), done
        if not control.failed:
            assert done.returncode == 0, done.stderr
            break
    assert number > 1
