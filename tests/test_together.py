# SPDX-License-Identifier: MIT
"""Several programs that change the same names of one tree at random, as fast as they can (together.py).

Nobody knows what the tree must be afterwards, but all must agree on it: the mount that was changed, the
same one mounted again, and the kernel's overlayfs. And no program may have met an error that no race
brings about. PLYFS_TOGETHER_SECONDS is how long; PLYFS_SEED=N takes other choices.
"""
import ctypes
import json
import os
import random
import subprocess
import sys

import pytest

import harness

FULL = os.environ.get("PLYFS_FULL") == "1"
SECONDS = float(os.environ.get("PLYFS_TOGETHER_SECONDS", 60 if FULL else 6))
SEED = int(os.environ.get("PLYFS_SEED", "0"))
PROGRAMS = 4
LAYERS = 2
DIRECTORIES = 6
FILES = 6


def fill(layer, rng):
    """Directories in directories with files, and two names of one file in each."""
    for number in range(DIRECTORIES):
        for directory in layer / f"d{number}", layer / f"d{number}" / "s":
            directory.mkdir(parents=True)
            for name in range(FILES):
                (directory / f"f{name}").write_bytes(rng.randbytes(rng.randrange(6000)))
            os.link(directory / f"f{FILES - 1}", directory / "h")


@pytest.fixture
def layers(sandbox):
    """Layers with the same names in them, and a directory for the upper, the work and each mount."""
    rng = random.Random(f"together {SEED}")
    lowers = [sandbox.directory(f"lower{number}") for number in range(LAYERS)]
    for lower in lowers:
        fill(lower, rng)
    return lowers


def work_together(root):
    """Lets the programs work; what they were answered that they may not be, and how much they did."""
    script = harness.ROOT / "tests" / "together.py"
    programs = [subprocess.Popen([sys.executable, script, root, str(SECONDS), str(SEED * PROGRAMS + number)],
                                 stdout=subprocess.PIPE, text=True) for number in range(PROGRAMS)]
    told = [json.loads(program.communicate(timeout=SECONDS + 120)[0]) for program in programs]
    assert all(program.returncode == 0 for program in programs)
    return [line for one in told for line in one["wrong"]], sum(one["done"] for one in told)


def ask_anew(root):
    """Has the kernel ask for what it may keep of every directory: what one program was told while another changed it.
    It compares the ages of answers for files alone (fs/fuse/dir.c, fuse_dir_changed)."""
    at_fdcwd, force_sync, basic_stats = -100, 0x2000, 0x7ff
    for here, _, _ in os.walk(root):
        statx = ctypes.create_string_buffer(256)
        assert harness.LIBC.statx(at_fdcwd, os.fsencode(here), force_sync, basic_stats, statx) == 0, here


def test_of_what_programs_do_to_the_same_names_all_see_the_same(sandbox, layers, profile):
    harness.need_root()
    upper, work = sandbox.directory("upper"), sandbox.directory("work")
    union = sandbox.plyfs(layers, upper, work, profile=profile)
    with union:
        wrong, done = work_together(union.at)
        ask_anew(union.at)
        live = harness.listing(union.at, times="ns")
    assert not wrong, "\n".join(wrong[:20])
    left = list((work / "work").iterdir())
    assert not left, f"in the work directory: {left}"
    with union:
        harness.assert_same(live, harness.listing(union.at, times="ns"), "the mount changed, and mounted again")
    with sandbox.kernel(layers, upper, work, options=("redirect_dir=on", "metacopy=on", "index=on")) as kernel:
        harness.assert_same(live, harness.listing(kernel.at, times="ns"), "plyfs and the kernel's overlayfs")
    if report := os.environ.get("PLYFS_REPORT"):
        with open(report, "a", encoding="utf-8") as file:
            file.write(f"{profile}: {done} operations of {PROGRAMS} programs\n")
