# SPDX-License-Identifier: MIT
"""A volume with a limit (size=): what goes past it is refused by every way there is."""
import contextlib
import ctypes
import errno
import json
import mmap
import os
import pathlib
import signal
import threading

import pytest

from harness import LIBC, need_fuse, need_root, refusal, run, umount

LIMIT = 20 << 20
PAGE = 4096


class Limited:
    """A mount whose /data is a volume of 20 MiB."""

    def __init__(self, sandbox, store, profile):
        need_fuse()
        need_root()
        self.sandbox, self.store, self.profile = sandbox, store, profile
        self.low = pathlib.Path(sandbox.directory("low"))
        store.plyfs("volume", "create", "-o", "size=20M", "limited")
        self.at = self.make("first")
        self.data = self.at / "data"
        self.host = store.path / "volumes/limited/_data"

    def make(self, name):
        self.store.plyfs("create", "--name", name, "--lower", self.low,
                         "-o", f"profile={self.profile}", "-v", "limited:/data")
        return self.store.mount(name)

    def used(self):
        st = os.statvfs(self.data)
        return (st.f_blocks - st.f_bfree) * st.f_frsize

    def open(self, name, flags=os.O_RDWR | os.O_CREAT):
        return os.open(self.data / name, flags, 0o644)


@pytest.fixture(params=("tracked", "stateless"))
def limited(request, sandbox, store):
    return Limited(sandbox, store, request.param)


def fill(fd, size, chunk=1 << 20):
    done = 0
    while done < size:
        done += os.pwrite(fd, bytes(min(chunk, size - done)), done)


def test_statfs_shows_the_limit(limited):
    st = os.statvfs(limited.data)
    assert st.f_blocks * st.f_frsize == LIMIT and st.f_bavail == st.f_blocks
    fill(limited.open("f"), 3 * PAGE + 1)
    assert limited.used() == 4 * PAGE
    assert os.statvfs(limited.at).f_blocks != st.f_blocks


def test_a_write_past_it_is_refused(limited):
    fd = limited.open("f")
    fill(fd, LIMIT)
    assert refusal(os.pwrite, fd, b"x", LIMIT) == "ENOSPC"
    assert refusal(os.write, limited.open("g"), b"x") == "ENOSPC"
    assert os.stat(limited.data / "f").st_size == LIMIT
    assert os.pwrite(fd, b"inside", 100) == 6  # what is there may be written over
    os.close(fd)


def test_where_writes_are_gathered_fsync_tells_what_did_not_fit(sandbox, store):
    limited = Limited(sandbox, store, "stateless,writeback=on")
    fd = limited.open("f")
    fill(fd, LIMIT - PAGE)
    os.fsync(fd)
    assert limited.used() == LIMIT - PAGE
    os.utime(fd, ns=(10**18, 10**18))
    assert refusal(lambda: (os.pwrite(fd, b"x" * 3 * PAGE, LIMIT - PAGE), os.fsync(fd))) == "ENOSPC"
    assert limited.used() <= LIMIT
    os.ftruncate(fd, PAGE)
    copy = limited.open("copy")
    assert os.copy_file_range(fd, copy, PAGE, offset_src=0, offset_dst=0) == PAGE
    os.posix_fallocate(copy, 0, 2 * PAGE)
    assert limited.used() == 3 * PAGE


def test_a_write_that_fits_in_part_is_done_in_part(limited):
    fd = limited.open("f")
    fill(fd, LIMIT - PAGE)
    assert os.pwrite(fd, bytes(3 * PAGE), LIMIT - PAGE) == PAGE
    assert refusal(os.pwrite, fd, bytes(3 * PAGE), LIMIT) == "ENOSPC"
    os.close(fd)


def test_an_append_past_it_is_refused(limited):
    fill(limited.open("f"), LIMIT - PAGE)
    fd = limited.open("f", os.O_WRONLY | os.O_APPEND)
    assert os.write(fd, bytes(PAGE)) == PAGE
    assert refusal(os.write, fd, b"x") == "ENOSPC"
    os.close(fd)


def test_truncate_past_it_is_refused(limited):
    fd = limited.open("f")
    assert refusal(os.ftruncate, fd, LIMIT + 1) == "ENOSPC"
    os.ftruncate(fd, LIMIT)
    assert refusal(os.truncate, limited.data / "f", LIMIT + PAGE) == "ENOSPC"
    assert refusal(os.write, limited.open("g"), b"x") == "ENOSPC"
    os.ftruncate(fd, 0)
    assert limited.used() == 0
    os.close(fd)


def test_fallocate_past_it_is_refused(limited):
    fd = limited.open("f")
    assert refusal(os.posix_fallocate, fd, 0, LIMIT + 1) == "ENOSPC"
    os.posix_fallocate(fd, 0, LIMIT)
    assert limited.used() == LIMIT
    # Room behind the end of a file would not be seen in its size: there is none to be had.
    os.ftruncate(fd, PAGE)
    keep_size = 1
    assert LIBC.fallocate(fd, keep_size, ctypes.c_long(0), ctypes.c_long(2 * LIMIT)) == -1
    assert ctypes.get_errno() == errno.EOPNOTSUPP
    os.close(fd)


def test_copy_file_range_past_it_is_refused(limited):
    source = limited.at / "source"
    source.write_bytes(bytes(LIMIT + PAGE))
    fd, out = os.open(source, os.O_RDONLY), limited.open("f")
    done = 0

    def copy():
        nonlocal done
        while done < LIMIT + PAGE:
            done += os.copy_file_range(fd, out, LIMIT + PAGE - done, done, done)
    assert refusal(copy) == "ENOSPC"
    assert done == LIMIT == os.fstat(out).st_size
    os.close(fd)
    os.close(out)


def test_a_mapping_cannot_go_past_it(limited):
    """A hole counts as what it may become, so a page fault always finds its room taken."""
    fd = limited.open("f")
    os.ftruncate(fd, LIMIT)
    with mmap.mmap(fd, LIMIT) as window:
        for at in range(0, LIMIT, 1 << 20):
            window[at:at + 4] = b"full"
        window.flush()
    assert refusal(os.write, limited.open("g"), b"x") == "ENOSPC"
    assert (limited.host / "f").stat().st_blocks * 512 <= LIMIT
    os.close(fd)


def test_hard_links_count_once(limited):
    fd = limited.open("f")
    fill(fd, LIMIT // 2)
    os.close(fd)
    os.link(limited.data / "f", limited.data / "g")
    assert limited.used() == LIMIT // 2
    os.unlink(limited.data / "f")
    assert limited.used() == LIMIT // 2
    os.unlink(limited.data / "g")
    fill(limited.open("h"), LIMIT)


def test_a_removed_file_counts_as_long_as_it_is_open(limited):
    fd = limited.open("f")
    fill(fd, LIMIT)
    os.unlink(limited.data / "f")
    other = limited.open("g")
    assert refusal(os.write, other, b"x") == "ENOSPC"
    os.close(fd)
    # The kernel tells of the last use when it lets go of the file, not before.
    for _ in range(1000):
        if limited.used() == 0:
            break
        os.stat(limited.data)
    fill(other, LIMIT)
    os.close(other)


def test_what_the_host_removes_makes_room(limited):
    theirs = limited.host / "theirs"
    theirs.write_bytes(bytes(LIMIT))
    fd = limited.open("mine")
    fill(fd, LIMIT)  # what the host has written since is not known: nobody was refused yet
    assert refusal(os.pwrite, fd, b"x", LIMIT) == "ENOSPC"
    theirs.unlink()
    os.ftruncate(fd, 0)
    for _ in range(1000):
        if refusal(fill, fd, LIMIT) is None:
            break
    assert os.fstat(fd).st_size == LIMIT
    os.close(fd)


def test_two_mounts_share_the_limit(limited):
    other = limited.make("second") / "data"
    fill(limited.open("f"), LIMIT // 2)
    fd = os.open(other / "g", os.O_RDWR | os.O_CREAT, 0o644)
    fill(fd, LIMIT // 2)
    assert refusal(os.pwrite, fd, b"x", LIMIT // 2) == "ENOSPC"
    assert refusal(os.write, limited.open("h"), b"x") == "ENOSPC"
    os.close(fd)


def test_the_count_is_right_after_many_at_once(limited):
    def work(number):
        for turn in range(60):
            path = limited.data / f"{number}-{turn}"
            path.write_bytes(bytes(turn * 1500))
            os.truncate(path, turn * 700)
            if turn % 3:
                path.unlink()
    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = sum(-(-entry.stat().st_size // PAGE) * PAGE for entry in os.scandir(limited.host))
    for _ in range(1000):  # files that were removed may be held by the kernel for a moment
        if limited.used() == expected:
            break
        os.stat(limited.data)
    assert limited.used() == expected


def test_the_count_is_right_again_after_the_daemon_is_killed(limited):
    fd = limited.open("held")
    fill(fd, LIMIT // 4)
    os.unlink(limited.data / "held")
    fill(limited.open("kept"), LIMIT // 2)
    pid = next(line["Pid"] for line in _inspect(limited.store, "first"))
    os.kill(pid, signal.SIGKILL)
    umount(limited.at, lazy=True)
    with contextlib.suppress(OSError):  # close(2) tells the daemon too, who might have kept locks
        os.close(fd)
    limited.at = limited.store.mount("first")
    limited.data = limited.at / "data"
    assert limited.used() == LIMIT // 2
    again = limited.open("f")
    fill(again, LIMIT // 2)
    assert refusal(os.pwrite, again, b"x", LIMIT // 2) == "ENOSPC"
    os.close(again)


def _inspect(store, name):
    return json.loads(store.plyfs("inspect", name).stdout)
