# SPDX-License-Identifier: MIT
"""Volumes under many hands and under kill -9: none half filled, none without its row, none lost.

The suite `unit` kills each step of the library at every instant that there is (test_volumecrash.c);
here it is the commands, at random ones."""
import json
import os
import random
import signal
import subprocess
import threading
import time

import pytest

from harness import PLYFS, need_root, run, umount
from storekit import facts

FULL = os.environ.get("PLYFS_FULL") == "1"
KILLS = 200 if FULL else 30
HANDS = 6


@pytest.fixture
def lower(sandbox):
    """What is copied on first use: enough that a copy takes some time."""
    lower = sandbox.directory("lower")
    data = lower / "data"
    for folder in range(10):
        (data / f"d{folder}").mkdir(parents=True)
        for file in range(20):
            (data / f"d{folder}" / f"f{file}").write_text(f"{folder}/{file}" * 100)
    os.link(data / "d0" / "f0", data / "link")
    data.chmod(0o1770)
    for here, _, _ in os.walk(data, topdown=False):
        os.utime(here, ns=(10**18, 10**18 + 5))
    sandbox.guard(lower)
    return lower


@pytest.fixture
def tar(sandbox, lower):
    tar = sandbox.path / "data.tar"
    subprocess.run(["tar", "-C", str(lower / "data"), "-cf", str(tar), "."], check=True)
    return tar


def content(store, name):
    return facts(store.path / "volumes" / name / "_data")


def names(store):
    return set(store.plyfs("volume", "ls", "-q").stdout.split())


def assert_consistent(store):
    """Rows and directories agree, and a check finds nothing."""
    assert names(store) == {path.name for path in (store.path / "volumes").iterdir()}
    assert not list((store.path / "stage").iterdir()), "left in the stage"
    assert store.plyfs("doctor").stdout == ""


def mend(store):
    """What a kill left may be rubbish, but never a row without its directory."""
    found = store.plyfs("doctor", "--repair").stdout
    assert "its directory is gone" not in found, found


def kill_at_random(store, rng, seconds, *argv):
    process = subprocess.Popen([PLYFS, *map(str, argv)], stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               env={**os.environ, "PLYFS_ROOT": str(store.path)})
    time.sleep(rng.random() * seconds)
    process.send_signal(signal.SIGKILL)
    return process.wait() == 0


def time_of(store, *argv):
    start = time.monotonic()
    store.plyfs(*argv)
    return (time.monotonic() - start) * 1.2


def create_with(lower, mount, volume):
    return ("create", "--name", mount, "--lower", lower, "-v", f"{volume}:/data")


# ---- kill -9 --------------------------------------------------------------------------------------

def test_a_kill_in_the_middle_of_volume_create_leaves_all_or_nothing(store):
    rng = random.Random(1)
    usual = time_of(store, "volume", "create", "first")
    for i in range(KILLS):
        kill_at_random(store, rng, usual, "volume", "create", f"kill{i}")
    mend(store)
    assert_consistent(store)
    for i in range(KILLS):
        store.plyfs("volume", "create", f"kill{i}")
    assert len(names(store)) == KILLS + 1
    assert_consistent(store)


def test_a_kill_in_the_middle_of_a_first_use_leaves_no_half_filled_volume(store, lower):
    rng, whole = random.Random(2), facts(lower / "data")
    usual = time_of(store, *create_with(lower, "first", "first"))
    for i in range(KILLS):
        kill_at_random(store, rng, usual, *create_with(lower, f"m{i}", f"kill{i}"))
        if f"kill{i}" in names(store):
            assert content(store, f"kill{i}") == whole
    mend(store)
    assert_consistent(store)
    mounts = {line["Name"] for line in store.listed("-a")}
    for i in range(KILLS):
        # A mount and its volumes come together, or not at all.
        assert (f"m{i}" in mounts) == (f"kill{i}" in names(store))


def test_a_kill_in_the_middle_of_filling_an_empty_volume_leaves_it_empty_or_whole(store, lower):
    rng, whole = random.Random(3), facts(lower / "data")
    usual = time_of(store, *create_with(lower, "first", "first"))
    for i in range(KILLS):
        store.plyfs("volume", "create", f"kill{i}")
        kill_at_random(store, rng, usual, *create_with(lower, f"m{i}", f"kill{i}"))
        assert content(store, f"kill{i}") in ({}, whole)
        store.plyfs(*create_with(lower, f"again{i}", f"kill{i}"))
        assert content(store, f"kill{i}") == whole
    mend(store)
    assert_consistent(store)


def test_a_kill_in_the_middle_of_filling_a_directory_of_the_host_is_finished_by_the_next(store, lower):
    rng, whole = random.Random(4), facts(lower / "data")
    usual = time_of(store, *create_with(lower, "first", "first"))
    for i in range(KILLS // 3):
        host = store.sandbox.directory(f"host{i}")
        host.chmod(0o755)
        store.plyfs("volume", "create", "-o", "type=none", "-o", "o=bind", "-o", f"device={host}", f"kill{i}")
        kill_at_random(store, rng, usual, *create_with(lower, f"m{i}", f"kill{i}"))
        store.plyfs(*create_with(lower, f"again{i}", f"kill{i}"))
        assert facts(host) == whole
    mend(store)
    assert_consistent(store)


def test_a_kill_in_the_middle_of_rm_leaves_a_whole_volume_or_none(store, lower):
    rng, whole = random.Random(5), facts(lower / "data")
    store.plyfs(*create_with(lower, "box", "seed"))
    for i in range(KILLS):
        store.plyfs("volume", "clone", "seed", f"kill{i}")
    usual = time_of(store, "volume", "rm", "kill0")
    for i in range(1, KILLS):
        kill_at_random(store, rng, usual, "volume", "rm", f"kill{i}")
    left = names(store)
    for name in left:
        assert content(store, name) == whole
    mend(store)
    assert names(store) == left
    assert_consistent(store)
    store.refused("volume", "rm", "seed", words="volume is in use - [box]")


def test_a_kill_in_the_middle_of_rename_loses_nothing(store, lower):
    rng, whole = random.Random(6), facts(lower / "data")
    store.plyfs(*create_with(lower, "box", "name0"))
    store.plyfs("volume", "rename", "name0", "name00")
    usual = time_of(store, "volume", "rename", "name00", "name0")
    for i in range(KILLS):
        (now,) = names(store)
        kill_at_random(store, rng, usual, "volume", "rename", now, f"name{i + 1}")
        (now,) = names(store)
        assert now in (f"name{i + 1}", *(f"name{k}" for k in range(i + 1)))
        assert content(store, now) == whole
        # What refers to it follows.
        (mounted,) = json.loads(store.plyfs("inspect", "box").stdout)[0]["Mounts"]
        assert mounted["Name"] == now
    mend(store)
    assert_consistent(store)


def test_a_kill_in_the_middle_of_clone_leaves_a_whole_one_or_none(store, lower):
    rng, whole = random.Random(7), facts(lower / "data")
    store.plyfs(*create_with(lower, "box", "seed"))
    usual = time_of(store, "volume", "clone", "seed", "first")
    for i in range(KILLS):
        kill_at_random(store, rng, usual, "volume", "clone", "seed", f"kill{i}")
    for name in names(store):
        assert content(store, name) == whole
    mend(store)
    assert_consistent(store)


def test_a_kill_in_the_middle_of_import_leaves_the_old_content_or_the_new(store, tar):
    rng = random.Random(8)
    usual = time_of(store, "volume", "import", "first", tar)
    new = content(store, "first")
    store.plyfs("volume", "create", "kill")
    (store.path / "volumes" / "kill" / "_data" / "mine").write_text("mine")
    for i in range(KILLS):
        old = content(store, "kill")
        kill_at_random(store, rng, usual, "volume", "import", "-f", "kill", tar)
        kill_at_random(store, rng, usual, "volume", "import", f"new{i}", tar)
        assert content(store, "kill") in (old, new)
        if f"new{i}" in names(store):
            assert content(store, f"new{i}") == new
    mend(store)
    assert_consistent(store)


def test_a_kill_in_the_middle_of_reseed_leaves_the_old_content_or_the_new(store, lower, sandbox):
    rng = random.Random(9)
    layer = sandbox.path / "layer.tar"
    subprocess.run(["tar", "-C", str(lower), "-cf", str(layer), "."], check=True)
    store.plyfs("image", "import", "app:1", layer)
    store.plyfs("create", "--name", "box", "-v", "kill:/data", "app:1")
    data = store.path / "volumes" / "kill" / "_data"
    assert content(store, "kill").keys() == facts(lower / "data").keys()
    seeded = content(store, "kill")
    usual = time_of(store, "volume", "reseed", "-f", "kill")
    for i in range(KILLS):
        (data / f"mine{i}").write_text("mine")
        old = content(store, "kill")
        kill_at_random(store, rng, usual, "volume", "reseed", "-f", "kill")
        assert content(store, "kill") in (old, seeded)
    mend(store)
    assert_consistent(store)


# ---- doctor and prune ----------------------------------------------------------------------------

def test_doctor_tells_what_does_not_fit_of_volumes_and_mends_it(store):
    for name in ("lost", "sound"):
        store.plyfs("volume", "create", name)
    (store.path / "volumes" / "lost").rename(store.path / "volumes" / "unknown")
    done = store.plyfs("doctor", check=False)
    assert done.returncode == 1
    assert sorted(line.partition(" ")[0] for line in done.stdout.splitlines()) == ["lost", "unknown"]
    assert store.plyfs("doctor", "--repair").stdout.count("mended") == 2
    assert names(store) == {"sound"}
    assert_consistent(store)


def test_prune_takes_rubbish_and_no_volume(store):
    store.plyfs("volume", "create", "sound")
    (store.path / "volumes" / "unknown").mkdir()
    (store.path / "volumes" / "unknown" / "file").write_text("text")
    assert "unknown" in store.plyfs("prune", "-f").stdout
    assert names(store) == {"sound"}
    assert_consistent(store)


def test_a_lost_volume_that_a_mount_has_is_told_and_stays(store, lower):
    store.plyfs(*create_with(lower, "box", "data"))
    (store.path / "volumes" / "data").rename(store.sandbox.path / "elsewhere")
    done = store.plyfs("doctor", "--repair", check=False)
    assert done.returncode == 1
    assert "volume data is lost, and a mount has it" in done.stderr
    assert done.stdout.splitlines() == ["data volume: the catalog has it, but its directory is gone"]
    (store.sandbox.path / "elsewhere").rename(store.path / "volumes" / "data")
    assert_consistent(store)
    assert content(store, "data") == facts(lower / "data")


# ---- many hands -----------------------------------------------------------------------------------

def test_two_creates_of_one_volume_with_content_copy_once(store, lower):
    whole = facts(lower / "data")
    for i in range(20 if FULL else 5):
        troubles = []

        def make(hand, turn=i, into=troubles):
            done = store.plyfs(*create_with(lower, f"m{turn}-{hand}", f"data{turn}"), check=False)
            if done.returncode != 0:
                into.append(done.stderr)

        hands = [threading.Thread(target=make, args=(hand,)) for hand in range(HANDS)]
        for hand in hands:
            hand.start()
        for hand in hands:
            hand.join()
        assert not troubles, troubles
        assert content(store, f"data{i}") == whole
    assert_consistent(store)


@pytest.fixture
def resisting(store, sandbox):
    """What interrupted work left in the stage, 1 MB, and cannot be deleted: something is mounted upon it."""
    need_root()
    store.plyfs("volume", "create", "sound")
    left = store.path / "stage" / "resisting"
    (left / "held").mkdir(parents=True)
    (left / "file").write_bytes(bytes(1_000_000))
    run("mount", "-t", "tmpfs", "tmpfs", left / "held")
    yield left
    with open("/proc/self/mountinfo", encoding="utf-8") as table:
        for point in [line.split()[4] for line in table if f"{sandbox.path}/store/stage/" in line]:
            umount(point)


def held(store):
    """Where what cannot be deleted is now."""
    return [path for path in (store.path / "stage").rglob("*") if os.path.ismount(path)]


def test_prune_says_what_it_could_not_remove_and_does_not_count_it(store, resisting):
    gone = store.path / "stage" / "gone"
    gone.mkdir()
    (gone / "file").write_bytes(bytes(2_000_000))
    done = store.plyfs("prune", "-f", check=False)
    assert done.returncode == 1 and "Total reclaimed space: 2MB" in done.stdout, done
    place, = held(store)
    assert "resisting" in done.stderr and "Device or resource busy" in done.stderr, done
    assert str(place).startswith(done.stderr.partition("what is left is in ")[2].strip()), done
    assert not gone.exists() and not resisting.exists()


def test_doctor_says_mended_of_nothing_that_is_still_there(store, resisting):
    (store.path / "volumes" / "unknown").mkdir()
    done = store.plyfs("doctor", "--repair", check=False)
    assert done.returncode == 1 and len(held(store)) == 1
    told = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    assert told["unknown"].endswith(": mended") and not told["resisting"].endswith(": mended"), done
    assert "resisting" in done.stderr and "Device or resource busy" in done.stderr, done
    assert store.plyfs("doctor", check=False).returncode == 1
