# SPDX-License-Identifier: MIT
"""Data on the mount: what is written is what is read, by whatever way, across copy-up and remount.

Every test runs on both profiles of plyfs, and also on kernel overlayfs when PLYFS_TEST_KERNEL=1, which
shows that the test itself asks for nothing strange. Where the kernel's overlayfs is known to differ
(mappings made before a copy-up stay with the lower file) the test says so by a skip.
"""
import contextlib
import ctypes
import errno
import fcntl
import hashlib
import mmap
import os
import pathlib
import random
import select
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import time

import pytest

from harness import (LIBC, PLYFS, ROOT, assert_same, have, is_mounted, listing, need, need_fuse, need_root,
                     need_tool, refusal, run, umount)
from procfs import daemons
from worlds import handle_of

FULL = os.environ.get("PLYFS_FULL") == "1"
KERNEL = ["kernel"] if os.environ.get("PLYFS_TEST_KERNEL") == "1" else []
MIB = 1 << 20
DEADLINE = 60


class Union:
    """One lower layer to be filled, an upper, and the mount of both made at start()."""

    def __init__(self, sandbox, kind):
        self.sandbox, self.kind = sandbox, kind
        self.lower, self.upper, self.work = (sandbox.directory(n) for n in ("lower", "upper", "work"))
        self.mount = None

    def start(self):
        where = ([self.lower], self.upper, self.work)
        if self.kind == "kernel":
            self.mount = self.sandbox.kernel(
                *where, options=["redirect_dir=on", "metacopy=on", "index=on"])
        elif self.kind.startswith("dropin-"):
            self.mount = self.sandbox.plyfs(*where, form="o", profile=self.kind[len("dropin-"):])
        else:
            self.mount = self.sandbox.plyfs(*where, profile=self.kind)
        return self.mount.mount()

    def remount(self):
        self.mount.remount()


@pytest.fixture(params=["stateless", "writeback", "tracked"] + KERNEL)
def union(request, sandbox):
    return Union(sandbox, request.param)


@pytest.fixture(params=["stateless", "writeback", "tracked", "dropin-stateless",
                        "dropin-tracked"] + KERNEL)
def any_union(request, sandbox):
    return Union(sandbox, request.param)


@pytest.fixture(scope="session")
def fsx(tmp_path_factory):
    """The random I/O exerciser: the one beside the program under test, else one compiled here."""
    built = pathlib.Path(PLYFS).parent / "tests" / "fsx"
    if built.exists():
        return built
    need_tool("cc")
    program = tmp_path_factory.mktemp("fsx") / "fsx"
    run("cc", "-std=c17", "-D_GNU_SOURCE", "-O1", "-o", program, ROOT / "tests" / "fsx.c")
    return program


def noise(seed, size):
    return random.Random(seed).randbytes(size)


def sha(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(MIB):
            digest.update(chunk)
    return digest.hexdigest()


def wait_until(condition, what):
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, f"still not so after {DEADLINE} s: {what}"
        time.sleep(0.01)


@contextlib.contextmanager
def opened(path, flags, mode=0o644):
    fd = os.open(path, flags | os.O_CLOEXEC, mode)
    try:
        yield fd
    finally:
        os.close(fd)


@contextlib.contextmanager
def script(text, *args, **kwargs):
    """A second process of this interpreter; killed at the end if it still runs."""
    process = subprocess.Popen([sys.executable, "-c", text, *map(str, args)],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **kwargs)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


# ---- random I/O over a lower file ---------------------------------------------------------------

SEEDS = range(1, 41) if FULL else range(1, 6)


def exercise(fsx, union, seed, *options):
    (union.lower / "file").write_bytes(noise(seed, 30_000 * (seed % 5 + 1)))
    (union.lower / "other").write_bytes(noise(-seed, 90_000))
    mount = union.start()
    model = union.sandbox.path / "model"
    run(fsx, "-s", seed, "-c", mount / "other", "-m", model, *options, mount / "file")
    assert sha(mount / "file") == sha(model), "through the same mount"
    union.remount()
    assert sha(mount / "file") == sha(model), "after a remount"
    mount.unmount()
    assert sha(union.upper / "file") == sha(model), "in the upper directory"


@pytest.mark.parametrize("seed", SEEDS)
def test_random_io_over_a_lower_file_matches_its_model(fsx, any_union, seed):
    # The kernel keeps mappings of a descriptor from before the copy-up on the lower file.
    early = [] if any_union.kind == "kernel" else ["-e"]
    exercise(fsx, any_union, seed, "-n", 20_000 if FULL else 4_000, *early)


@pytest.mark.parametrize("seed", SEEDS[:2])
def test_random_io_over_a_large_lower_file_matches_its_model(fsx, union, seed):
    exercise(fsx, union, seed + 100, "-n", 1_500, "-l", 4 * MIB)


@pytest.mark.parametrize("seed", SEEDS[:3])
def test_random_io_within_one_page_matches_its_model(fsx, union, seed):
    exercise(fsx, union, seed * 5 + 200, "-n", 3_000, "-l", 4096)


def test_two_exercisers_on_two_files_do_not_disturb_each_other(fsx, union):
    (union.lower / "lower").write_bytes(noise(1, 200_000))
    (union.lower / "source").write_bytes(noise(2, 200_000))
    mount = union.start()
    (mount / "upper").write_bytes(noise(3, 150_000))
    models = {name: union.sandbox.path / f"model-{name}" for name in ("lower", "upper")}
    runs = [subprocess.Popen([fsx, "-s", "7", "-n", "6000", "-c", mount / "source", "-m", model,
                              mount / name], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
            for name, model in models.items()]
    for process in runs:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors.decode()
    union.remount()
    for name, model in models.items():
        assert sha(mount / name) == sha(model)


def test_the_exerciser_reports_a_single_wrong_byte(fsx, sandbox):
    file = sandbox.path / "file"
    file.write_bytes(noise(1, 100_000))
    done = run(fsx, "-s", 3, "-n", 2000, "-b", 500, file, check=False)
    assert done.returncode == 1
    assert "seed 3, operation" in done.stderr and "first wrong byte at offset" in done.stderr


# ---- databases ----------------------------------------------------------------------------------

WRITER = r"""
import sqlite3, sys
base = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)
base.execute("PRAGMA synchronous=NORMAL")
n = base.execute("SELECT max(n) FROM account_log").fetchone()[0] or 0
while True:
    n += 1
    base.execute("BEGIN IMMEDIATE")
    base.execute("UPDATE account SET amount = amount - 1 WHERE name = 'left'")
    base.execute("UPDATE account SET amount = amount + 1 WHERE name = 'right'")
    base.execute("INSERT INTO account_log VALUES (?, ?)", (n, "x" * (n % 997)))
    base.execute("COMMIT")
    print(n, flush=True)
"""


def make_database(path):
    base = sqlite3.connect(path, isolation_level=None)
    base.execute("PRAGMA journal_mode=WAL")
    base.execute("CREATE TABLE account (name TEXT PRIMARY KEY, amount INTEGER)")
    base.execute("CREATE TABLE account_log (n INTEGER PRIMARY KEY, filler TEXT)")
    base.execute("INSERT INTO account VALUES ('left', 1000000), ('right', 0)")
    base.executemany("INSERT INTO account_log VALUES (-?, ?)", [(i, "y" * 500) for i in range(1, 2000)])
    base.close()


def balance(base):
    return base.execute("SELECT sum(amount) FROM account").fetchone()[0]


def assert_sound(path, acknowledged):
    base = sqlite3.connect(path, timeout=60)
    assert base.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert base.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert balance(base) == 1_000_000
    assert base.execute("SELECT max(n) FROM account_log").fetchone()[0] >= acknowledged
    base.close()


def test_sqlite_wal_database_from_a_lower_layer_survives_a_killed_writer(union):
    make_database(union.lower / "base.db")
    mount = union.start()
    acknowledged = 0
    for _ in range(3):
        reader = sqlite3.connect(mount / "base.db", timeout=60)
        with script(WRITER, mount / "base.db") as writer:
            target = acknowledged + 150
            while acknowledged < target:
                acknowledged = int(writer.stdout.readline())
                assert balance(reader) == 1_000_000, "a reader saw half a transaction"
            seen = reader.execute("SELECT max(n) FROM account_log").fetchone()[0]
            assert seen >= acknowledged, "a commit that was acknowledged is not seen by the reader"
            writer.send_signal(signal.SIGKILL)
        reader.close()
        assert_sound(mount / "base.db", acknowledged)
    union.remount()
    assert_sound(mount / "base.db", acknowledged)


def test_sqlite_rollback_journal_database_survives_a_killed_writer(union):
    make_database(union.lower / "base.db")
    base = sqlite3.connect(union.lower / "base.db")
    assert base.execute("PRAGMA journal_mode=DELETE").fetchone() == ("delete",)
    base.close()
    mount = union.start()
    with script(WRITER, mount / "base.db") as writer:
        for _ in range(60):
            acknowledged = int(writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
    union.remount()
    base = sqlite3.connect(mount / "base.db", timeout=60)
    assert base.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert balance(base) == 1_000_000
    assert base.execute("SELECT max(n) FROM account_log").fetchone()[0] >= acknowledged
    base.close()


def update_randomly(path, seed, rounds):
    """The access pattern of a package database: a mapping, pwrites beside it, growth, fsync."""
    draw = random.Random(seed)
    with opened(path, os.O_RDWR) as fd:
        size = os.fstat(fd).st_size
        memory = mmap.mmap(fd, size)
        for turn in range(rounds):
            at, data = draw.randrange(size - 8192), draw.randbytes(draw.randrange(1, 8192))
            if draw.random() < 0.5:
                memory[at:at + len(data)] = data
            else:
                os.pwrite(fd, data, at)
            assert os.pread(fd, len(data), at) == data
            assert memory[at:at + len(data)] == data
            if turn % 50 == 49:
                memory.flush() if turn % 100 == 99 else os.fsync(fd)
            if turn % 200 == 199:
                memory.close()
                size += 4096
                os.ftruncate(fd, size)
                memory = mmap.mmap(fd, size)
        memory.close()


def test_package_database_updated_through_mappings_equals_its_twin(union):
    (union.lower / "Packages.db").write_bytes(noise(5, 20 * MIB))
    twin = union.sandbox.path / "twin"
    shutil.copyfile(union.lower / "Packages.db", twin)
    mount = union.start()
    for seed in range(3):
        update_randomly(mount / "Packages.db", seed, 400)
        update_randomly(twin, seed, 400)
        assert sha(mount / "Packages.db") == sha(twin)
        union.remount()
        assert sha(mount / "Packages.db") == sha(twin), "after a remount"


# ---- git ----------------------------------------------------------------------------------------

def git(where, *args):
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1",
                   "LC_ALL": "C"}
    for role in ("AUTHOR", "COMMITTER"):
        environment |= {f"GIT_{role}_NAME": "test", f"GIT_{role}_EMAIL": "test@localhost",
                        f"GIT_{role}_DATE": "2024-01-01T00:00:00Z"}
    return run("git", "-c", "gc.auto=0", "-C", where, *args, env=environment).stdout


def commit_some(where, first, count):
    for i in range(first, first + count):
        folder = pathlib.Path(where) / f"folder{i % 7}"
        folder.mkdir(exist_ok=True)
        (folder / f"file{i % 40}").write_bytes(noise(i, 3000))
        git(where, "add", "-A")
        git(where, "commit", "-q", "-m", f"change {i}")


def test_git_repository_made_on_the_mount_is_sound(union):
    need_tool("git")
    mount = union.start()
    (mount / "repo").mkdir()
    git(mount / "repo", "init", "-q", "-b", "main")
    commit_some(mount / "repo", 0, 10)
    git(mount / "repo", "gc", "-q", "--prune=now")
    git(mount / "repo", "fsck", "--full", "--strict")
    union.remount()
    git(mount / "repo", "fsck", "--full", "--strict")
    assert git(mount / "repo", "status", "--porcelain") == ""


def test_git_repository_from_a_lower_layer_takes_commits_and_equals_its_twin(union):
    need_tool("git")
    (union.lower / "repo").mkdir()
    git(union.lower / "repo", "init", "-q", "-b", "main")
    commit_some(union.lower / "repo", 0, 10)
    git(union.lower / "repo", "gc", "-q")
    commit_some(union.lower / "repo", 10, 3)
    twin = union.sandbox.path / "twin"
    run("cp", "-a", union.lower / "repo", twin)
    mount = union.start()
    git(mount / "repo", "fsck", "--full", "--strict")
    for where in (mount / "repo", twin):
        commit_some(where, 20, 8)
        git(where, "mv", "folder1", "moved")
        git(where, "commit", "-q", "-m", "moved")
        git(where, "gc", "-q", "--prune=now")
    union.remount()
    git(mount / "repo", "fsck", "--full", "--strict")
    assert git(mount / "repo", "status", "--porcelain") == ""
    assert git(mount / "repo", "rev-parse", "HEAD") == git(twin, "rev-parse", "HEAD")
    assert_same(listing(mount / "repo" / "moved", times=None), listing(twin / "moved", times=None))


# ---- mappings and descriptors across copy-up ----------------------------------------------------

def test_shared_mapping_writes_are_seen_by_a_reading_descriptor(union):
    (union.lower / "file").write_bytes(noise(1, 3 * mmap.PAGESIZE))
    mount = union.start()
    with opened(mount / "file", os.O_RDWR) as writer, opened(mount / "file", os.O_RDONLY) as reader:
        memory = mmap.mmap(writer, 0)
        memory[5000:5005] = b"hello"
        assert os.pread(reader, 5, 5000) == b"hello"
        os.pwrite(writer, b"world", 9000)
        assert memory[9000:9005] == b"world"
        memory.close()
    union.remount()
    assert (mount / "file").read_bytes()[5000:5005] == b"hello"
    assert (mount / "file").read_bytes()[9000:9005] == b"world"


def test_mapping_of_a_lower_file_follows_its_copy_up(union):
    need(union.kind != "kernel", "the kernel's overlayfs keeps such a mapping on the lower file")
    (union.lower / "file").write_bytes(noise(1, 4 * mmap.PAGESIZE))
    mount = union.start()
    with opened(mount / "file", os.O_RDONLY) as reader:
        memory = mmap.mmap(reader, 0, prot=mmap.PROT_READ)
        before = memory[4096:4100]
        with opened(mount / "file", os.O_WRONLY) as writer:
            os.pwrite(writer, b"new!", 4096)
            assert before != memory[4096:4100] == b"new!"
        assert memory[4096:4100] == b"new!"
        memory.close()


def test_descriptor_opened_before_the_writer_reads_what_was_written(union):
    old = noise(1, 100_000)
    (union.lower / "file").write_bytes(old)
    mount = union.start()
    with opened(mount / "file", os.O_RDONLY) as reader:
        assert os.pread(reader, 100_000, 0) == old
        with opened(mount / "file", os.O_RDWR) as writer:
            os.pwrite(writer, b"first", 50_000)
            assert os.pread(reader, 5, 50_000) == b"first"
            os.pwrite(writer, b"second", 99_999)
            assert os.pread(reader, 10, 99_999) == b"second"
        assert os.fstat(reader).st_size == 100_005
        assert os.fstat(reader).st_ino == os.stat(mount / "file").st_ino
        assert (union.lower / "file").read_bytes() == old


def test_lower_file_with_an_early_reader_is_never_written(union):
    old = noise(2, 300_000)
    (union.lower / "file").write_bytes(old)
    mount = union.start()
    with contextlib.ExitStack() as stack:
        readers = [stack.enter_context(opened(mount / "file", os.O_RDONLY)) for _ in range(3)]
        for reader in readers:
            os.pread(reader, 4096, 0)
        writer = stack.enter_context(opened(mount / "file", os.O_RDWR))
        for at in range(0, 300_000, 7001):
            os.pwrite(writer, b"Z" * 100, at)
            for reader in readers:
                assert os.pread(reader, 100, at) == b"Z" * 100
        os.fsync(writer)
        memory = mmap.mmap(writer, 0)
        memory[10:20] = b"0123456789"
        memory.flush()
        memory.close()
        os.ftruncate(writer, 1000)
        assert (union.lower / "file").read_bytes() == old
    union.remount()
    assert (union.lower / "file").read_bytes() == old
    assert (mount / "file").stat().st_size == 1000


def test_executed_program_of_a_lower_layer_can_be_replaced_while_it_runs(union):
    shutil.copy2(shutil.which("sleep"), union.lower / "program")
    mount = union.start()
    process = subprocess.Popen([mount / "program", "300"])
    try:
        with pytest.raises(OSError) as caught:
            os.close(os.open(mount / "program", os.O_WRONLY))
        assert caught.value.errno == errno.ETXTBSY
        (mount / "new").write_bytes(b"new")
        os.rename(mount / "new", mount / "program")
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()
    assert (mount / "program").read_bytes() == b"new"


def test_tail_keeps_following_a_lower_file_over_its_copy_up(union):
    need_tool("tail")
    (union.lower / "log").write_bytes(b"one\n")
    mount = union.start()
    tail = subprocess.Popen(["tail", "-f", "-s", "0.05", "-n", "+1", mount / "log"],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    seen = b""

    def has(text):
        nonlocal seen
        if select.select([tail.stdout], [], [], 0)[0]:
            seen += os.read(tail.stdout.fileno(), 65536)
        return text in seen

    try:
        wait_until(lambda: has(b"one\n"), "tail prints the lower content")
        for word in (b"two\n", b"three\n", b"four\n"):
            with open(mount / "log", "ab") as log:
                log.write(word)
            wait_until(lambda w=word: has(w), f"tail prints {word!r}")
    finally:
        tail.kill()
        _, errors = tail.communicate()
    assert seen == b"one\ntwo\nthree\nfour\n" and not errors, (seen, errors)


# ---- locks --------------------------------------------------------------------------------------

HOLDER = r"""
import fcntl, os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
{"flock": fcntl.flock, "fcntl": fcntl.lockf}[sys.argv[2]](fd, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.readline()
os.close(fd)
print("released", flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize("kind", ["flock", "fcntl"])
def test_locks_exclude_other_processes_and_end_with_close_or_death(union, kind):
    (union.lower / "file").write_bytes(b"content")
    mount = union.start()
    lock = {"flock": fcntl.flock, "fcntl": fcntl.lockf}[kind]
    # The descriptor is from before the copy-up: both sides must still meet in one inode.
    with opened(mount / "file", os.O_RDWR) as fd:
        def free():
            try:
                lock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                assert error.errno in (errno.EAGAIN, errno.EACCES)
                return False
            lock(fd, fcntl.LOCK_UN)
            return True

        assert free()
        with script(HOLDER, mount / "file", kind) as holder:
            assert holder.stdout.readline() == "held\n"
            assert not free()
            os.pwrite(fd, b"copied up", 0)
            assert not free()
            holder.stdin.write("\n")
            holder.stdin.flush()
            assert holder.stdout.readline() == "released\n"
            assert free()
        with script(HOLDER, mount / "file", kind) as holder:
            assert holder.stdout.readline() == "held\n"
            assert not free()
            holder.kill()
            holder.wait()
            wait_until(free, "the lock of a killed process is gone")


def test_record_locks_of_different_ranges_do_not_meet(union):
    (union.lower / "file").write_bytes(bytes(1000))
    mount = union.start()
    text = HOLDER.replace("(fd, fcntl.LOCK_EX)", "(fd, fcntl.LOCK_EX, 100, 500)")
    with script(text, mount / "file", "fcntl") as holder, opened(mount / "file", os.O_RDWR) as fd:
        assert holder.stdout.readline() == "held\n"
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 100, 0)
        with pytest.raises(OSError):
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 599)
        asked = fcntl.fcntl(fd, fcntl.F_GETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 550, 1, 0))
        kind, _, start, length, pid = struct.unpack("hhqqi4x", asked)
        assert (kind, start, length, pid) == (fcntl.F_WRLCK, 500, 100, holder.pid)


# ---- direct I/O, holes, large files -------------------------------------------------------------

def test_direct_reads_and_writes_agree_with_cached_ones(union):
    (union.lower / "file").write_bytes(noise(1, 64 * 4096))
    mount = union.start()
    try:
        direct = os.open(mount / "file", os.O_RDWR | os.O_DIRECT)
    except OSError as error:
        need(error.errno != errno.EINVAL, "the backing filesystem has no direct I/O")
        raise
    page = mmap.mmap(-1, 8192)
    with opened(mount / "file", os.O_RDWR) as cached:
        try:
            os.pwrite(cached, b"cached" * 100, 4096)
            assert os.preadv(direct, [page], 4096) == 8192
            assert page[:600] == b"cached" * 100
            page[:] = b"direct!!" * 1024
            assert os.pwritev(direct, [page], 16384) == 8192
            assert os.pread(cached, 8192, 16384) == b"direct!!" * 1024
        finally:
            os.close(direct)
    union.remount()
    assert (mount / "file").read_bytes()[16384:16384 + 8192] == b"direct!!" * 1024


def test_holes_of_a_lower_file_stay_holes_at_copy_up(union):
    size = 128 * MIB
    with open(union.lower / "sparse", "wb") as file:
        file.truncate(size)
        for at in (0, 100 * MIB, size - 8192):
            file.seek(at)
            file.write(noise(at, 8192))
    if (union.lower / "sparse").stat().st_blocks * 512 > 8 * MIB:
        pytest.skip("the backing filesystem keeps no holes")
    mount = union.start()
    before = sha(mount / "sparse")
    with opened(mount / "sparse", os.O_RDWR) as fd:
        old = os.pread(fd, 1, 100)
        os.pwrite(fd, b"!", 100)
        os.fsync(fd)
        os.pwrite(fd, old, 100)
    assert (mount / "sparse").stat().st_size == size
    mount.unmount()
    upper = (union.upper / "sparse").stat()
    assert upper.st_size == size and upper.st_blocks * 512 < 8 * MIB
    assert sha(union.upper / "sparse") == before


def test_hole_punched_through_the_mount_frees_blocks(union):
    (union.lower / "file").write_bytes(noise(1, 8 * MIB))
    mount = union.start()
    run("fallocate", "--punch-hole", "--offset", MIB, "--length", 6 * MIB, mount / "file")
    content = (mount / "file").read_bytes()
    assert content[MIB:7 * MIB] == bytes(6 * MIB) and content[:MIB] == noise(1, 8 * MIB)[:MIB]
    mount.unmount()
    assert (union.upper / "file").stat().st_blocks * 512 <= 2 * MIB + 65536


@pytest.mark.parametrize("offset", [(1 << 31) - 2, (1 << 32) - 2, 5 << 30, 1 << 40])
def test_offsets_beyond_31_and_32_bits_are_exact(union, offset):
    (union.lower / "file").write_bytes(b"start")
    mount = union.start()
    with opened(mount / "file", os.O_RDWR) as fd:
        os.pwrite(fd, b"across", offset)
        assert os.pread(fd, 10, offset - 1) == b"\0across"
        assert os.fstat(fd).st_size == offset + 6
        os.fsync(fd)
        memory = mmap.mmap(fd, offset % 4096 + 6, offset=offset & ~4095)
        memory[offset % 4096:offset % 4096 + 1] = b"A"
        memory.close()
    union.remount()
    with opened(mount / "file", os.O_RDONLY) as fd:
        assert os.pread(fd, 100, offset) == b"Across"
        assert os.pread(fd, 6, 0) == b"start\0"


def small_upper(union, size):
    """The upper and work directories on a filesystem that has room for little."""
    need_root()
    disk = union.sandbox.directory("small")
    run("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", disk)
    union.upper, union.work = disk / "upper", disk / "work"
    union.upper.mkdir()
    union.work.mkdir()
    return disk


def unmounted(path):
    try:
        umount(path)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        return False
    return True


@contextlib.contextmanager
def with_little_room(union):
    disk = small_upper(union, 4 * MIB)
    try:
        yield
    finally:
        if union.mount:
            union.mount.unmount()
        wait_until(lambda: unmounted(disk), "the daemon has let go of its upper directory")


def test_changes_that_need_no_old_content_copy_none(union):
    """32 MiB files over an upper with room for 4 MiB: a copy could not succeed."""
    names = ("truncated-at-open", "unlinked", "renamed-over", "truncated-by-path")
    if union.kind == "kernel":
        names = names[:3]  # it copies all of a file that truncate(2) cuts to nothing
    for name in names:
        (union.lower / name).write_bytes(noise(name, 32 * MIB))
    with with_little_room(union):
        mount = union.start()
        with opened(mount / names[0], os.O_WRONLY | os.O_TRUNC) as fd:
            os.write(fd, b"new")
        os.unlink(mount / names[1])
        (mount / "other").write_bytes(b"other")
        os.rename(mount / "other", mount / names[2])
        for name in names[3:]:
            os.truncate(mount / name, 0)
        union.remount()
        assert (mount / names[0]).read_bytes() == b"new"
        assert (mount / names[2]).read_bytes() == b"other"
        for name in names[3:]:
            assert (mount / name).read_bytes() == b""
        assert sorted(os.listdir(mount)) == sorted(n for n in names if n != "unlinked")


def test_removed_files_and_removed_links_of_files_copy_nothing(any_union):
    """The writeback cache makes the kernel send times after an unlink; they are no reason."""
    for name in ("single", "linked"):
        (any_union.lower / name).write_bytes(noise(name, MIB))
    os.link(any_union.lower / "linked", any_union.lower / "other")
    mount = any_union.start()
    for name in ("single", "linked"):
        os.stat(mount / name)
        os.unlink(mount / name)
    mount.unmount()
    files = [path for path in any_union.upper.rglob("*") if path.is_file()]
    assert sum(path.stat().st_blocks for path in files) == 0, files


def test_copy_up_without_room_fails_and_leaves_the_file_as_it_was(union):
    content = noise(1, 32 * MIB)
    (union.lower / "big").write_bytes(content)
    with with_little_room(union):
        mount = union.start()
        with pytest.raises(OSError) as caught:
            # In the stateless profile the copy-up comes with the write, which fsync must report.
            with opened(mount / "big", os.O_RDWR) as fd:
                os.pwrite(fd, b"x", 0)
                os.fsync(fd)
        assert caught.value.errno == errno.ENOSPC
        union.remount()
        assert (mount / "big").read_bytes() == content
        (mount / "small").write_bytes(b"there is room again")
        assert (union.upper / "small").exists()
        # The write itself succeeded, into the page cache, so the file's time may have moved: then
        # there is a copy of its metadata, and nothing of its data.
        left = [name for name in os.listdir(union.upper) if name != "small"]
        assert left in ([], ["big"])
        assert all((union.upper / name).stat().st_blocks == 0 for name in left)


def staged_blocks(pids, mark):
    """Of what a daemon has open for a copy-up that has no name yet: a file beneath the directory `mark`."""
    found = 0
    for pid in pids:
        for fd in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/{pid}/fd/{fd}").startswith(f"{mark}/"):
                    found = max(found, os.stat(f"/proc/{pid}/fd/{fd}").st_blocks)
    return found


@pytest.mark.parametrize("first", ["", "metadata"])
def test_a_copy_up_ends_with_whoever_waited_for_it(union, first):
    """As in the kernel's overlayfs; else nobody could kill a program that opened an image of many gigabytes."""
    size = 128 * MIB
    (union.lower / "big").write_bytes(noise(1, 8 * MIB) * (size // (8 * MIB)))
    was, upper = sha(union.lower / "big"), union.upper / "big"
    mount = union.start()

    def is_copying(pids):
        return staged_blocks(pids, union.work) > 0 or upper.exists() and upper.stat().st_blocks > 0

    def ends_with_its_caller():
        pids = daemons(mount)
        if first:
            os.chmod(mount / "big", 0o600)
        with script("import os, sys; os.truncate(sys.argv[1], int(sys.argv[2]))", mount / "big", size - 1) as cut:
            while not is_copying(pids) and cut.poll() is None:
                time.sleep(0.001)
        return not upper.exists() or upper.stat().st_blocks == 0

    for _ in range(5):
        if ends_with_its_caller():
            break
        union.mount.unmount()  # the signal may have come too late
        upper.unlink()
        union.mount.mount()
    else:
        pytest.fail("the data came up, though nobody waited for it")
    assert not is_copying(daemons(mount)) and (mount / "big").stat().st_size == size
    assert sha(mount / "big") == was
    os.truncate(mount / "big", size - 1)
    assert upper.stat().st_size == size - 1 and upper.stat().st_blocks > 0


# ---- files without a name -----------------------------------------------------------------------

def test_a_directory_whose_name_is_forgotten_is_found_by_its_handle(union):
    """The kernel keeps an inode that is watched, and asks it what it is in: fanotify(7), NFS."""
    need_root()
    (union.lower / "dir/sub/deep").mkdir(parents=True)
    (union.lower / "dir/sub/deep/file").write_text("lower")
    mount = union.start()
    (mount / "new/sub").mkdir(parents=True)
    os.rename(mount / "dir/sub", mount / "new/moved")
    paths = [mount / name for name in ("new/sub", "new/moved/deep", "new/moved", "new", "dir")]
    handles, numbers = [handle_of(path) for path in paths], [path.stat().st_ino for path in paths]
    with opened(mount, os.O_RDONLY) as root, os.fdopen(LIBC.inotify_init1(os.O_CLOEXEC), "rb") as watched:
        for path in paths:
            assert LIBC.inotify_add_watch(watched.fileno(), os.fsencode(path), 2) > 0
        pathlib.Path("/proc/sys/vm/drop_caches").write_text("3\n")
        for path, handle, number in zip(paths, handles, numbers):
            fd = LIBC.open_by_handle_at(root, handle, os.O_RDONLY)
            assert fd >= 0, (path, os.strerror(ctypes.get_errno()))
            try:
                assert (os.fstat(fd).st_ino, os.readlink(f"/proc/self/fd/{fd}")) == (number, str(path))
            finally:
                os.close(fd)
    (mount / "new/moved/deep/more").write_text("more")
    assert (union.upper / "new/moved/deep/more").read_text() == "more"


# ---- odd files ----------------------------------------------------------------------------------

def test_file_created_read_only_takes_every_change_through_its_descriptor(union):
    (union.lower / "source").write_bytes(noise(1, 100_000))
    mount = union.start()
    with opened(mount / "file", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o444) as fd, \
            opened(mount / "source", os.O_RDONLY) as source:
        os.posix_fallocate(fd, 0, 50_000)
        copied = 0
        while copied < 100_000:
            copied += os.copy_file_range(source, fd, 100_000 - copied)
        os.pwrite(fd, b"middle", 40_000)
        memory = mmap.mmap(fd, 0)
        memory[:5] = b"start"
        memory.close()
        os.ftruncate(fd, 90_000)
        os.fsync(fd)
    expected = bytearray(noise(1, 90_000 + 10_000)[:90_000])
    expected[40_000:40_006], expected[:5] = b"middle", b"start"
    union.remount()
    assert (mount / "file").read_bytes() == expected
    assert (mount / "file").stat().st_mode & 0o7777 == 0o444


@pytest.mark.parametrize("origin", ["lower", "upper", "copied-up"])
def test_unlinked_open_file_is_still_a_whole_file(union, origin):
    (union.lower / "lower").write_bytes(b"content" * 1000)
    (union.lower / "copied-up").write_bytes(b"content" * 1000)
    mount = union.start()
    (mount / "upper").write_bytes(b"content" * 1000)
    with open(mount / "copied-up", "r+b") as file:
        file.write(b"c")
    with opened(mount / origin, os.O_RDWR) as fd:
        os.unlink(mount / origin)
        assert not (mount / origin).exists()
        assert os.fstat(fd).st_nlink == 0 and os.fstat(fd).st_size == 7000
        assert os.pread(fd, 14, 6993) == b"content"
        os.fchmod(fd, 0o640)
        assert os.fstat(fd).st_mode & 0o7777 == 0o640
        if os.geteuid() == 0:
            os.fchown(fd, 12, 34)
            assert (os.fstat(fd).st_uid, os.fstat(fd).st_gid) == (12, 34)
        os.pwrite(fd, b"more", 10_000)
        os.ftruncate(fd, 10_002)
        assert os.pread(fd, 100, 9_998) == b"\0\0mo"
        os.utime(fd, ns=(1_000_000_000, 2_000_000_000))
        assert os.fstat(fd).st_mtime_ns == 2_000_000_000
        os.setxattr(fd, "user.name", b"value")
        assert os.getxattr(fd, "user.name") == b"value"
        os.fsync(fd)
        memory = mmap.mmap(fd, 0)
        memory[:6] = b"mapped"
        memory.close()
        assert os.pread(fd, 8, 0) == b"mappedtc"
        (mount / origin).write_bytes(b"a new file of that name")
        assert os.pread(fd, 6, 0) == b"mapped"
        assert os.fstat(fd).st_ino != (mount / origin).stat().st_ino
    union.remount()
    assert (mount / origin).read_bytes() == b"a new file of that name"


def link_by_descriptor(fd, target):
    with opened("/", os.O_RDONLY | os.O_DIRECTORY) as root:  # any dir_fd makes it linkat(2)
        os.link(f"/proc/self/fd/{fd}", target, src_dir_fd=root, follow_symlinks=True)


@pytest.mark.parametrize("origin", ["lower", "upper"])
def test_unlinked_file_cannot_be_linked_again(union, origin):
    (union.lower / "lower").write_bytes(b"content")
    mount = union.start()
    (mount / "upper").write_bytes(b"content")
    with opened(mount / origin, os.O_RDWR) as fd:
        os.unlink(mount / origin)
        with pytest.raises(FileNotFoundError):
            link_by_descriptor(fd, mount / "again")
    assert not (mount / "again").exists()


def test_nameless_file_gets_its_name_by_link(union):
    mount = union.start()
    with opened(mount.at, os.O_RDWR | os.O_TMPFILE, 0o600) as fd:
        os.write(fd, b"nameless")
        assert os.listdir(mount) == []
        link_by_descriptor(fd, mount / "named")
        os.pwrite(fd, b"N", 0)
    union.remount()
    assert (mount / "named").read_bytes() == b"Nameless"
    assert (mount / "named").stat().st_nlink == 1


def test_renamed_open_file_keeps_its_descriptor(union):
    (union.lower / "old").write_bytes(b"content")
    mount = union.start()
    with opened(mount / "old", os.O_RDWR) as fd:
        os.rename(mount / "old", mount / "new")
        os.pwrite(fd, b"CON", 0)
        assert (mount / "new").read_bytes() == b"CONtent"
        assert os.fstat(fd).st_ino == (mount / "new").stat().st_ino
    union.remount()
    assert (mount / "new").read_bytes() == b"CONtent"
    assert not (mount / "old").exists()


# ---- what is safe when ----------------------------------------------------------------------------

def test_synced_data_is_in_the_upper_directory(union):
    (union.lower / "file").write_bytes(noise(1, 50_000))
    (union.lower / "folder").mkdir()
    mount = union.start()
    with opened(mount / "file", os.O_RDWR) as fd:
        for sync in (os.fsync, os.fdatasync):
            data = noise(sync.__name__, 5000)
            os.pwrite(fd, data, 45_001)
            sync(fd)
            assert (union.upper / "file").read_bytes()[45_001:] == data
        memory = mmap.mmap(fd, 0)
        memory[:6] = b"mapped"
        memory.flush()
        assert (union.upper / "file").read_bytes()[:6] == b"mapped"
        memory.close()
    (mount / "folder" / "new").write_bytes(b"new")
    with opened(mount / "folder", os.O_RDONLY | os.O_DIRECTORY) as folder:
        os.fsync(folder)
    assert (union.upper / "folder" / "new").exists()


def test_everything_written_is_in_the_upper_when_umount_returns(union):
    expected = {}
    for i in range(40):
        (union.lower / f"lower{i}").write_bytes(noise(i, 20_000))
    mount = union.start()
    for i in range(40):
        with open(mount / f"lower{i}", "r+b") as file:
            file.seek(i * 300)
            file.write(b"changed")
        (mount / f"new{i}").write_bytes(noise(-i, 30_000))
        with opened(mount / f"mapped{i}", os.O_RDWR | os.O_CREAT) as fd:
            os.ftruncate(fd, 10_000)
            memory = mmap.mmap(fd, 0)
            memory[i:i + 3000] = noise(i, 3000)
            memory.close()
    for entry in os.scandir(mount):
        expected[entry.name] = sha(entry.path)
    mount.unmount()
    assert {name: sha(union.upper / name) for name in os.listdir(union.upper)} == expected
    assert len(expected) == 120


@pytest.mark.parametrize("kind", ["plyfs", "kernel"])
def test_reading_leaves_no_access_time_in_a_layer(sandbox, kind):
    need_root()
    lowers = [sandbox.directory("lower") for _ in range(2)]
    for lower in lowers:
        for path in lower / "both" / "f", lower / f"only-{lower.name}" / "f":
            path.parent.mkdir()
            path.write_bytes(b"read")
    paths = [path for lower in lowers for path in (lower, *lower.rglob("*"))]
    union = getattr(sandbox, kind)(lowers, sandbox.directory("upper"), sandbox.directory("work"))
    for path in paths:      # what was read before it was changed gets a new date (relatime)
        os.utime(path, ns=(10**18, path.stat().st_mtime_ns))
    with union:
        read = [path.read_bytes() for path in pathlib.Path(union.at).rglob("f")]
        assert read == [b"read"] * 3
        os.chmod(union / "both", 0o700)
        os.listdir(union / "both")
    assert {path: path.lstat().st_atime_ns for path in paths} == dict.fromkeys(paths, 10**18)


def access_list(owner, group, others):
    """The least list there is, as linux/posix_acl_xattr.h lays it out."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", tag, rights, 0xffffffff) for tag, rights in
                                           ((0x01, owner), (0x04, group), (0x20, others)))


@pytest.mark.parametrize("kind", ["plyfs", "kernel"])
@pytest.mark.parametrize("work_gives", ["nothing", "a group", "a list"])
def test_what_is_copied_up_has_the_mode_that_is_asked_for_whatever_the_work_directory_gives(sandbox, kind, work_gives):
    """From its parent a new object takes a group, or what a default access list leaves of its mode."""
    need_root()
    lower, upper, work = (sandbox.directory(name) for name in ("lower", "upper", "work"))
    for number in range(30):
        (lower / f"d{number}").mkdir()
        (lower / f"f{number}").write_bytes(b"")
    if work_gives == "a group":
        os.chown(work, 0, 1000)
        os.chmod(work, 0o2755)
    if work_gives == "a list":
        os.setxattr(work, "system.posix_acl_default", access_list(7, 0, 0))
    options = ("redirect_dir=on", "metacopy=on") if kind == "kernel" else ()
    with getattr(sandbox, kind)([lower], upper, work, options=options) as union:
        for number in range(30):
            os.chmod(union / f"d{number}", 0o775 - number % 3)
            os.chmod(union / f"f{number}", 0o664 - number % 3)
    assert len(os.listdir(upper)) == 60
    for name in os.listdir(upper):
        st = os.lstat(upper / name)
        mode = (0o40775 if name[0] == "d" else 0o100664) - int(name[1:]) % 3
        assert (name, oct(st.st_mode), st.st_uid, st.st_gid) == (name, oct(mode), 0, 0)


PARALLEL = r"""
import os, random, sys
where, seed = sys.argv[1], int(sys.argv[2])
draw = random.Random(seed)
for turn in range(60):
    with open(os.path.join(where, f"common{turn % 10}", f"from{seed}-{turn}"), "wb") as file:
        for _ in range(4):
            file.write(draw.randbytes(draw.randrange(30000)))
    with open(os.path.join(where, f"lower{seed}"), "r+b") as file:
        file.seek(draw.randrange(90000))
        file.write(draw.randbytes(5000))
"""


def test_four_processes_writing_distinct_files_equal_their_twin(union):
    for i in range(10):
        (union.lower / f"common{i}").mkdir()
    for seed in range(4):
        (union.lower / f"lower{seed}").write_bytes(noise(seed, 100_000))
    twin = union.sandbox.path / "twin"
    run("cp", "-a", union.lower, twin)
    mount = union.start()
    for where in (mount.at, twin):
        with contextlib.ExitStack() as stack:
            writers = [stack.enter_context(script(PARALLEL, where, seed)) for seed in range(4)]
            for writer in writers:
                assert writer.wait(timeout=300) == 0
    expected = listing(twin, times=None)
    assert_same(listing(mount, times=None), expected, "same mount")
    union.remount()
    assert_same(listing(mount, times=None), expected, "after a remount")


def test_appends_from_four_processes_lose_nothing(union):
    text = r"""
import os, sys
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND)
for i in range(300):
    os.write(fd, f"{sys.argv[2]} {i}\n".encode())
"""
    (union.lower / "log").write_bytes(b"first line\n")
    mount = union.start()
    with contextlib.ExitStack() as stack:
        writers = [stack.enter_context(script(text, mount / "log", seed)) for seed in range(4)]
        for writer in writers:
            assert writer.wait(timeout=300) == 0
    union.remount()
    lines = (mount / "log").read_text().splitlines()
    assert lines[0] == "first line"
    assert sorted(lines[1:]) == sorted(f"{s} {i}" for s in range(4) for i in range(300))


REPLACE = r"""
import os, sys
at = sys.argv[1]
for _ in range(int(sys.argv[2])):
    os.close(os.open(at + "1", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    os.rename(at + "1", at)
    os.symlink("nowhere", at + "2")
    os.rename(at + "2", at)
"""
HOLD = r"""
import errno, os, stat, sys
at, held = sys.argv[1], 0
while os.path.lexists(sys.argv[2]):
    try:
        fd = os.open(at, os.O_RDWR | os.O_NOFOLLOW)
    except OSError as error:
        assert error.errno in (errno.ELOOP, errno.ENOENT), error
        continue
    for _ in range(6):
        assert stat.S_ISREG(os.fstat(fd).st_mode)
        os.utime(fd)
    os.close(fd)
    held += 1
assert held > 100, held
"""


def test_what_is_open_stays_what_it_is_while_its_name_is_given_to_another(union):
    mount = union.start()
    (mount / "asking").touch()
    with script(HOLD, mount / "name", mount / "asking") as holder:
        with script(REPLACE, mount / "name", 15_000 if FULL else 5_000) as replacer:
            assert replacer.wait(timeout=300) == 0
        (mount / "asking").unlink()
        assert holder.wait(timeout=60) == 0


def test_modification_time_moves_with_the_content_and_stays_after_remount(union):
    (union.lower / "file").write_bytes(b"content")
    os.utime(union.lower / "file", ns=(10**18, 10**18))
    mount = union.start()
    start = time.time_ns() - 10**9
    with open(mount / "file", "r+b") as file:
        file.write(b"C")
    changed = (mount / "file").stat().st_mtime_ns
    assert start <= changed <= time.time_ns()
    os.utime(mount / "file", ns=(5 * 10**17, 5 * 10**17 + 123_456_789))
    union.remount()
    assert (mount / "file").stat().st_mtime_ns == 5 * 10**17 + 123_456_789


@pytest.mark.skipif(not FULL, reason="long: PLYFS_FULL=1 asks for it")
def test_fio_verifies_random_writes(union):
    need(have("fio"), "needs fio")
    (union.lower / "file").write_bytes(noise(1, 32 * MIB))
    mount = union.start()
    for engine in ("psync", "mmap", "libaio"):
        run("fio", "--name=verify", f"--filename={mount / 'file'}", "--rw=randwrite", "--bs=4k",
            "--size=32m", f"--ioengine={engine}", "--verify=crc32c", "--verify_fatal=1",
            "--do_verify=1", "--minimal")


def limited(sandbox, profile, soft, hard):
    """A union over a file of 300,000 bytes, mounted by who may write files of so many bytes alone."""
    need_tool("prlimit")
    lower, upper, work = (sandbox.directory(n) for n in ("lower", "upper", "work"))
    (lower / "big").write_bytes(noise(3, 300000))
    mount = sandbox.plyfs([lower], upper, work, profile=profile)
    command = ["prlimit", f"--fsize={soft}:{hard}", *mount.command()]
    mount.command = lambda: command
    return mount


def append_and_sync(path, data):
    with opened(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT) as fd:
        while data:
            data = data[os.write(fd, data):]
        os.fsync(fd)


def test_a_soft_limit_on_the_size_of_files_where_it_is_mounted_limits_nobody(sandbox, profile):
    need_fuse()
    with limited(sandbox, profile, 65536, "unlimited") as mount:
        append_and_sync(mount / "new", noise(4, 300000))
        append_and_sync(mount / "big", b"more")
        os.truncate(mount / "new", 400000)
        assert (mount / "new").read_bytes() == noise(4, 300000) + bytes(100000)
        assert (mount / "big").read_bytes() == noise(3, 300000) + b"more"


def test_a_hard_limit_on_the_size_of_files_is_an_errno_and_not_the_end_of_the_mount(sandbox, profile):
    """In the tracked profile the kernel may write into a new file by itself, which knows the writer's limit."""
    need_fuse()
    with limited(sandbox, profile, 65536, 65536) as mount:
        append_and_sync(mount / "new", noise(4, 65536))
        assert refusal(append_and_sync, mount / "new", b"more") in (
            ["EFBIG", None] if profile == "tracked" else ["EFBIG"])
        assert refusal(append_and_sync, mount / "big", b"more") == "EFBIG"
        assert refusal(os.truncate, mount / "new", 400000) == "EFBIG"
        (mount / "small").write_text("served on")
        mount.remount()     # what could not be written back is in the cache until then
        assert (mount / "small").read_text() == "served on"
        assert (mount / "big").read_bytes() == noise(3, 300000)


def stop(process):
    """Until the first thread has taken the signal the others go on, for a while on a busy machine."""
    process.send_signal(signal.SIGSTOP)
    wait_until(lambda: all(stat.read_text().rpartition(")")[2].split()[0] == "T" for stat in
                           pathlib.Path(f"/proc/{process.pid}/task").glob("*/stat")), "every thread to stop")


def test_a_layer_that_does_not_answer_holds_up_only_who_asks_for_it(sandbox, profile):
    """The daemon behind one lower layer is stopped; files of the other layers are read meanwhile."""
    need_fuse()
    slow, fast = sandbox.directory("slow"), sandbox.directory("fast")
    (slow / "slow").write_bytes(b"slow" * 10000)
    (fast / "fast").write_bytes(b"fast" * 10000)
    inner = sandbox.plyfs([slow])
    daemon = subprocess.Popen(inner.command()[:-1] + ["-f", inner.at], stdin=subprocess.DEVNULL)
    try:
        wait_until(lambda: is_mounted(inner.at), "the inner mount")
        sandbox.guarded[inner.at] = None  # its own layer is guarded; a look here would fill its cache
        with sandbox.plyfs([inner.at, fast], sandbox.directory("upper"), sandbox.directory("work"),
                           profile=profile) as mount:
            assert sorted(os.listdir(mount)) == ["fast", "slow"]
            assert (mount / "slow").stat().st_size == (mount / "fast").stat().st_size
            stop(daemon)
            with subprocess.Popen(["cat", mount / "slow"], stdout=subprocess.PIPE) as waiting:
                try:
                    run("cat", mount / "fast", timeout=30)
                    run("touch", mount / "new", timeout=30)
                    assert waiting.poll() is None
                finally:
                    daemon.send_signal(signal.SIGCONT)
                assert waiting.communicate(timeout=30)[0] == b"slow" * 10000
        del sandbox.guarded[inner.at]
        daemon.terminate()
        assert daemon.wait(30) == 0
    finally:
        daemon.send_signal(signal.SIGCONT)
        if daemon.poll() is None:
            daemon.kill()
            daemon.wait()
