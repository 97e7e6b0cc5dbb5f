# SPDX-License-Identifier: MIT
"""Reads of what the backing store cannot give, or not all of it, by a reader who is served by the daemon.

An answer that is shorter than what was asked for is the end of the file to the kernel's page cache, which
shows zeros there or a shorter file. So a read that fails half way must be told, whatever came before it.
"""
import errno
import os
import random

import pytest

from faultkit import DATA, faults, no_hang  # noqa: F401  (a fixture)

SIZE = 1 << 20
CONTENT = random.Random(7).randbytes(SIZE)
LITTLE = CONTENT[:20_000]  # what is answered in another way: by a copy
CUT = 300_000       # no multiple of a page
MOUNTS = {
    "stateless": {"profile": "stateless"},
    "writeback": {"profile": "writeback"},
    "tracked": {"profile": "tracked", "options": ["passthrough=off"]},
}
WAYS = {"by pages": 0, "past the page cache": os.O_DIRECT}
# What a read that fails gives before: of one page a part, and of a large one several pages.
BEFORE = [0, 1000, 4096, 20_480]


@pytest.fixture(params=MOUNTS)
def words(request):
    return MOUNTS[request.param]


@pytest.fixture(params=WAYS)
def flags(request):
    return WAYS[request.param]


def read_on(path, flags, ahead=True):
    """What a reader gets who goes on to the end: (all of it, the name of the errno that stopped it or None).
    Unless the kernel may read ahead, page by page."""
    got = bytearray()
    fd = os.open(path, os.O_RDONLY | flags)
    if not ahead:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
    try:
        while part := os.pread(fd, SIZE if ahead else 4096, len(got)):
            got += part
    except OSError as error:
        return bytes(got), errno.errorcode[error.errno]
    finally:
        os.close(fd)
    return bytes(got), None


class Reads:
    """A mount on a layer of files of that content, each for one attempt: no page of it is in the mount's cache yet."""

    def __init__(self, sandbox, faults, words, count, content=CONTENT):
        self.faults = faults
        self.lower = sandbox.directory("lower")
        for number in range(count):
            (self.lower / f"file{number}").write_bytes(content)
        self.mount = faults.mounted(sandbox, [self.lower], sandbox.directory("upper"), sandbox.directory("work"),
                                    **words).mount()
        self.names = (f"file{number}" for number in range(count))

    def strike(self, flags, **how):
        """One attempt: how many reads of the daemon were seen, failed, and gave a part before; what the reader
        got, then and afterwards."""
        name = next(self.names)
        with self.faults.strike("EIO", classes=DATA, under=self.lower / name, **how) as control:
            got = read_on(self.mount / name, flags)
            counts = control.seen, control.failed, bool(how.get("part")) and control.part == 0
        return *counts, got, read_on(self.mount / name, flags)


def findings(where, failed, told, after, lasting, content=CONTENT):
    """What is wrong with an attempt."""
    got, error = told
    wrong = []
    if not content.startswith(got):
        first = next(at for at, (is_, was) in enumerate(zip(got, content)) if is_ != was)
        wrong.append(f"{where}: other bytes from {first} on: {got[first:first + 8]!r}")
    if error not in (None, "EIO"):
        wrong.append(f"{where}: told {error}")
    if error is None and len(got) < len(content):
        wrong.append(f"{where}: shown as the end of the file at {len(got)}")
    # The kernel may ask again, for a page alone; what fails for good it must tell.
    if lasting and failed and error is None:
        wrong.append(f"{where}: not told")
    if after != (content, None):
        wrong.append(f"{where}: {len(after[0])} bytes and {after[1]} when the fault is over")
    return wrong


@pytest.mark.parametrize("lasting", [False, True], ids=["once", "for good"])
@pytest.mark.parametrize("before", BEFORE)
def test_a_read_that_fails_half_way_is_told_and_never_the_end_of_the_file(sandbox, faults, words, flags, before,
                                                                         lasting):
    reads = Reads(sandbox, faults, words, 5)
    wrong, struck, halves = [], 0, 0
    with no_hang(reads.mount.at):
        seen, _, _, plain, _ = reads.strike(flags, number=0)
        assert plain == (CONTENT, None) and seen > 0, "the reader is served by the daemon"
        for number in sorted({1, 2, seen // 2 + 1, seen}):
            _, failed, half, told, after = reads.strike(flags, number=number, lasting=lasting, part=before)
            struck, halves = struck + (failed > 0), halves + half
            wrong += findings(f"read {number} of {seen}", failed, told, after, lasting)
    assert not wrong, "\n".join(wrong)
    assert struck > 0 and (halves > 0) == (before > 0), "reads were struck where they were meant to be"


@pytest.mark.parametrize("lasting", [False, True], ids=["once", "for good"])
@pytest.mark.parametrize("before", BEFORE[:3])
def test_so_is_one_of_a_little_file(sandbox, faults, words, before, lasting):
    reads = Reads(sandbox, faults, words, 2, LITTLE)
    with no_hang(reads.mount.at):
        assert reads.strike(0, number=0)[3] == (LITTLE, None)
        _, failed, half, told, after = reads.strike(0, number=1, lasting=lasting, part=before)
    wrong = findings("its read", failed, told, after, lasting, LITTLE)
    assert not wrong, "\n".join(wrong)
    assert failed > 0 and half == (before > 0)


@pytest.mark.parametrize("ahead", [False, True], ids=["what is asked for", "what may be asked for next"])
def test_a_file_cut_behind_the_mounts_back_is_read_to_its_new_end(sandbox, faults, words, flags, ahead):
    """With the writeback cache the kernel keeps the size itself, and what it is not given is a hole to it.
    Without it the kernel takes the end from one answer. Reading ahead it has several at once: the one that it
    takes may begin behind the end, and zeros stand between the two. Nothing else is ever read there."""
    reads = Reads(sandbox, faults, words, 1)
    assert os.stat(reads.mount / "file0").st_size == SIZE
    os.truncate(reads.lower / "file0", CUT)
    sandbox.regard(reads.lower)
    got, error = read_on(reads.mount / "file0", flags, ahead)
    assert got[:CUT] == CONTENT[:CUT] and error is None
    if words["profile"] == "writeback":
        assert got[CUT:] == bytes(SIZE - CUT)
    elif ahead:
        assert got[CUT:] == bytes(len(got) - CUT) and len(got) <= SIZE
    else:
        assert len(got) == CUT
