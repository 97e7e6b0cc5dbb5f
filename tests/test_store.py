# SPDX-License-Identifier: MIT
"""The store under many hands and under kill -9: nothing lost, nothing doubled, no orphan bytes."""
import json
import os
import random
import signal
import subprocess
import threading
import time

import pytest

from harness import PLYFS, is_mounted, run

FULL = os.environ.get("PLYFS_FULL") == "1"
SECONDS = 60 if FULL else 8
KILLS = 200 if FULL else 40
HANDS = 10


@pytest.fixture
def lower(sandbox):
    lower = sandbox.directory("lower")
    for i in range(20):
        (lower / f"file{i}").write_text("text")
    sandbox.guard(lower)
    return lower


def rows_and_directories(store):
    rows = {line["Id"] for line in store.listed("-a")}
    return rows, {path.name for path in (store.path / "mounts").iterdir()}


def layers_of(store):
    return {line["Id"] for line in map(json.loads, store.plyfs(
        "layer", "ls", "--format", "json").stdout.splitlines())}


def assert_consistent(store):
    rows, directories = rows_and_directories(store)
    assert rows == directories
    assert layers_of(store) == {path.name for path in (store.path / "layers").iterdir()}
    assert not list((store.path / "stage").iterdir()), "left in the stage"
    assert store.plyfs("doctor").stdout == ""


def work_for_a_while(store, lower, hand, end, troubles):
    """What one user does, again and again."""
    turn = 0
    at = store.sandbox.directory(f"mnt{hand}")
    store.watched.append(at)
    while time.monotonic() < end:
        turn += 1
        name = f"hand{hand}-{turn}"
        for argv in (("create", "--name", name, "--lower", lower), ("mount", name, at), ("ps", "-a"),
                     ("umount", name), ("inspect", name), ("rm", name)):
            done = store.plyfs(*argv, check=False)
            if done.returncode != 0 or done.stderr:
                troubles.append((argv, done.returncode, done.stderr))
                return


def test_ten_users_at_once_do_not_disturb_each_other(store, lower):
    troubles, end = [], time.monotonic() + SECONDS
    hands = [threading.Thread(target=work_for_a_while, args=(store, lower, hand, end, troubles))
             for hand in range(HANDS)]
    for hand in hands:
        hand.start()
    for hand in hands:
        hand.join()
    assert not troubles, troubles[:3]
    assert store.listed("-a") == []
    assert_consistent(store)


def kill_at_random(store, rng, seconds, *argv):
    """Starts the program and kills it somewhere in the time that it takes. Whether it had ended."""
    process = subprocess.Popen([PLYFS, *map(str, argv)], stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               env={**os.environ, "PLYFS_ROOT": str(store.path)})
    time.sleep(rng.random() * seconds)
    process.send_signal(signal.SIGKILL)
    return process.wait() == 0


def time_of(function):
    start = time.monotonic()
    function()
    return time.monotonic() - start


def test_a_kill_in_the_middle_of_create_leaves_all_or_nothing(store, lower):
    rng = random.Random(1)
    usual = time_of(lambda: store.plyfs("create", "--name", "first", "--lower", lower))
    for i in range(KILLS):
        kill_at_random(store, rng, usual * 1.2, "create", "--name", f"kill{i}", "--lower", lower)
    store.plyfs("doctor", "--repair")
    assert_consistent(store)
    names = {line["Name"] for line in store.listed("-a")}
    for i in range(KILLS):
        if f"kill{i}" not in names:
            store.plyfs("create", "--name", f"kill{i}", "--lower", lower)
    assert_consistent(store)


def test_a_kill_in_the_middle_of_rm_leaves_all_or_nothing(store, lower):
    rng = random.Random(2)
    for i in range(KILLS):
        store.plyfs("create", "--name", f"kill{i}", "--lower", lower)
    usual = time_of(lambda: store.plyfs("rm", "kill0"))
    for i in range(1, KILLS):
        kill_at_random(store, rng, usual * 1.2, "rm", f"kill{i}")
    store.plyfs("doctor", "--repair")
    assert_consistent(store)
    for line in store.listed("-a"):
        store.plyfs("rm", line["Name"])
    assert store.listed("-a") == []
    assert_consistent(store)


def test_a_kill_in_the_middle_of_mount_leaves_a_mount_that_can_be_mounted(store, lower):
    rng = random.Random(3)
    at = store.sandbox.directory("mnt")
    store.watched.append(at)
    store.plyfs("create", "--name", "web", "--lower", lower)
    usual = time_of(lambda: store.plyfs("mount", "web", at))
    store.plyfs("umount", "web")
    for _ in range(KILLS // 4):
        # In the foreground the program is the daemon too.
        kill_at_random(store, rng, usual * 2, "mount", "-f", "web", at)
        store.plyfs("prune", "-f")
        store.plyfs("mount", "web", at)
        assert (at / "file1").read_text() == "text"
        store.plyfs("umount", "web")
        assert not is_mounted(at)
    assert_consistent(store)


@pytest.fixture
def rootfs(store):
    """A tar of some size: 400 files, 4 MB."""
    folder = store.sandbox.directory("rootfs")
    for i in range(400):
        path = folder / f"d{i % 20}" / f"file{i}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bytes([i % 256]) * 10_000)
    run("tar", "-cf", store.sandbox.path / "rootfs.tar", "-C", folder, ".")
    return store.sandbox.path / "rootfs.tar"


def test_a_kill_in_the_middle_of_an_import_leaves_all_or_nothing(store, rootfs):
    rng = random.Random(4)
    usual = time_of(lambda: store.plyfs("image", "import", "first", rootfs))
    store.plyfs("image", "rm", "first")
    for line in layers_of(store):
        store.plyfs("layer", "rm", line)
    for _ in range(KILLS):
        if kill_at_random(store, rng, usual * 1.2, "image", "import", "first", rootfs):
            store.plyfs("image", "rm", "first")
            for layer in layers_of(store):
                store.plyfs("layer", "rm", layer)
    store.plyfs("doctor", "--repair")
    assert_consistent(store)
    store.plyfs("image", "import", "first", rootfs)
    assert_consistent(store)
    assert store.plyfs("doctor", "--layers").stdout == ""


def test_a_kill_in_the_middle_of_a_commit_leaves_all_or_nothing(store, rootfs):
    rng = random.Random(5)
    store.plyfs("image", "import", "first", rootfs)
    at = store.sandbox.directory("mnt")
    store.watched.append(at)
    store.plyfs("mount", "--name", "web", "first", at)
    for i in range(50):
        (at / f"d{i % 20}" / f"file{i}").write_bytes(b"changed" * 1_000)
    store.plyfs("umount", "web")
    usual = time_of(lambda: store.plyfs("commit", "web", "second:0"))
    for i in range(1, KILLS):
        kill_at_random(store, rng, usual * 1.2, "commit", "web", f"second:{i}")
    store.plyfs("doctor", "--repair")
    assert_consistent(store)
    store.plyfs("commit", "web", "second:last")
    assert store.plyfs("doctor", "--layers").stdout == ""
    assert_consistent(store)


def test_two_stores_side_by_side_know_nothing_of_each_other(store, lower):
    other = store.sandbox.path / "other"
    store.plyfs("create", "--name", "web", "--lower", lower)
    store.plyfs("create", "--root", other, "--name", "web", "--lower", lower)
    store.plyfs("rm", "web")
    assert store.listed("-a") == []
    assert store.plyfs("ps", "-aq", "--root", other).stdout.count("\n") == 1
    store.plyfs("rm", "--root", other, "web")
