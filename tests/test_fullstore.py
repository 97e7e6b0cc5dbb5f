# SPDX-License-Identifier: MIT
"""A store whose disk is full or fails: a command says so, and what it was about is done or not begun;
there is nothing for `plyfs doctor` to find, and the command succeeds when the fault has ended."""
import json
import os
import pathlib
import subprocess

import pytest

from faultkit import faults  # noqa: F401  (a fixture)
from harness import need_root, run, umount
from storekit import Store

MIB = 1 << 20
FULL = os.environ.get("PLYFS_FULL") == "1"


@pytest.fixture
def store(sandbox):
    made = Store(sandbox)
    yield made
    made.close()


class Commands:
    """A store with one of everything, and commands that change it, each with a word of its own."""

    def __init__(self, sandbox, store):
        self.store = store
        self.low = pathlib.Path(sandbox.directory("low"))
        (self.low / "file").write_bytes(bytes(range(256)) * 64)
        (self.low / "directory").mkdir()
        (self.low / "directory" / "inside").write_text("inside")
        self.tar = sandbox.path / "low.tar"
        run("tar", "-cf", self.tar, "-C", self.low, ".")

    def prepare(self):
        """What the commands need; a full disk has no room for it."""
        self.store.plyfs("image", "import", "base", self.tar)
        self.store.plyfs("volume", "create", "old")
        self.store.plyfs("create", "--name", "made", "base")

    def facts(self):
        """All that the store shows of what it holds, without what differs from one to the next."""
        images = self.store.plyfs("image", "ls").stdout.splitlines()
        layers = self.store.plyfs("layer", "ls").stdout.splitlines()
        return (sorted(line.split()[:2] for line in images), len(layers),
                sorted(self.store.plyfs("volume", "ls", "-q").stdout.split()),
                sorted((line["Name"], line["State"]) for line in self.store.listed("-a")))

    def arguments(self, command):
        return [os.fspath(self.tar) if word == "TAR" else os.fspath(self.low) if word == "LOW"
                else word for word in command.split()]


# What is run, and what takes it back again.
COMMANDS = {
    "image import second TAR": "image rm second",
    "create --name second base": "rm second",
    "create --name second --lower LOW": "rm second",
    "volume create second": "volume rm second",
    "volume import second TAR": "volume rm second",
    "volume rename old second": "volume rename second old",
    "volume clone old second": "volume rm second",
    "rename made second": "rename second made",
    "commit made second": "image rm second",
    "volume rm old": "volume create old",
    "rm made": "create --name made base",
}


@pytest.fixture
def commands(sandbox, store):
    need_root()
    return Commands(sandbox, store)


def judge(commands, command, before, done):
    """What is wrong after a command that a fault may have struck; all is then as it was before."""
    wrong = []
    store = commands.store
    if done.returncode < 0 or (done.returncode != 0 and "plyfs: " not in done.stderr):
        wrong.append(f"status {done.returncode}, {done.stderr!r}")
    found = store.plyfs("doctor", check=False).stdout
    after = commands.facts()
    if found and done.returncode == 0:
        wrong.append(f"told to be done, and plyfs doctor finds {found!r}")
    if found:
        store.plyfs("doctor", "--repair", check=False)
        after = commands.facts()
    if after != before:
        # Done, whatever was told: then it is all of it, and can be taken back.
        store.plyfs(*commands.arguments(COMMANDS[command]), check=False)
        if commands.facts() != before:
            wrong.append(f"half done: {before} became {after}")
    elif done.returncode == 0:
        wrong.append("told to be done, and is not")
    return wrong


# Which commands each call of is struck; all of them with PLYFS_FULL=1, for that takes minutes.
STRUCK = list(COMMANDS) if FULL else [
    "volume create second", "create --name second base"]


@pytest.mark.parametrize("command", STRUCK)
def test_each_call_of_a_command_that_meets_a_full_disk_leaves_all_or_nothing(commands, faults,
                                                                             command):
    commands.prepare()
    before, wrong = commands.facts(), []
    environment = {**os.environ, "PLYFS_ROOT": str(commands.store.path)}
    for number in range(1, 1000):
        with faults.strike("ENOSPC", number) as control:
            done = run(*faults.prefix(), commands.store.program, *commands.arguments(command),
                       check=False, env=environment, stdin=subprocess.DEVNULL)
        where = f"ENOSPC at call {number} ({control.call.decode()}):"
        wrong += [f"{where} {what}" for what in judge(commands, command, before, done)]
        if not control.failed or any("half done" in what for what in wrong):
            break
    assert not wrong, "\n".join(wrong)
    assert done.returncode == 0 and number > 1, done


@pytest.mark.parametrize("command", COMMANDS)
def test_on_a_full_disk_a_command_says_so_and_succeeds_when_there_is_room(sandbox, commands,
                                                                          command):
    commands.store.path.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=4M", "tmpfs", commands.store.path)
    try:
        commands.prepare()
        before = commands.facts()
        ballast = commands.store.path / "ballast"
        with open(ballast, "wb", buffering=0) as file:
            while True:
                try:
                    file.write(bytes(4096))
                except OSError:
                    break
        done = commands.store.plyfs(*commands.arguments(command), check=False)
        ballast.unlink()
        if done.returncode != 0:
            assert "No space left on device" in done.stderr or "is full" in done.stderr, done
            assert commands.facts() == before
            commands.store.plyfs(*commands.arguments(command))
        assert commands.facts() != before
        assert commands.store.plyfs("doctor").stdout == ""
    finally:
        umount(commands.store.path, lazy=True)


def fill(path):
    with open(path, "wb", buffering=0) as file:
        for size in (MIB, 4096):
            try:
                while file.write(bytes(size)):
                    pass
            except OSError:
                pass


def test_on_a_full_disk_what_gives_room_back_still_works(sandbox, commands):
    """Whoever could not even see what fills the disk could remove nothing of it."""
    need_root()
    store = commands.store
    store.path.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=64M", "tmpfs", store.path)
    try:
        commands.prepare()
        at = store.mount("made")
        fill(at / "fills")
        assert os.statvfs(store.path).f_bavail == 0
        for _ in range(3):  # what looking takes is kept again
            assert store.state("made") == "mounted"
            fill(at / "more")
        store.plyfs("umount", "made")
        assert store.state("made") == "unmounted" and "old" in store.plyfs("volume", "ls", "-q").stdout
        store.plyfs("volume", "rm", "old")
        store.plyfs("rm", "made")
        assert os.statvfs(store.path).f_bavail * 4096 > 32 * MIB
        assert store.plyfs("doctor").stdout == ""
        fill(store.path / "another")  # it is there for the next time too
        store.plyfs("image", "rm", "base")
        (store.path / "another").unlink()
        assert store.plyfs("doctor").stdout == ""
    finally:
        store.close()
        umount(store.path, lazy=True)


def test_nothing_is_kept_in_a_store_of_somebody_else(commands):
    need_root()
    commands.prepare()
    reserve = commands.store.path / "reserve"
    assert reserve.stat().st_blocks * 512 == 512 << 10
    reserve.unlink()
    run("chown", "-R", "nobody:", commands.store.path)
    commands.store.plyfs("ps")
    assert not reserve.exists()


def change_all_ways(commands):
    """A whiteout, an opaque directory, a metacopy, a redirect: what only marks tell."""
    at = commands.store.mount("made")
    os.unlink(at / "file")
    os.rename(at / "directory", at / "moved")
    os.chmod(at / "moved" / "inside", 0o600)
    os.mkdir(at / "directory")
    (at / "directory" / "new").write_text("new")
    commands.store.plyfs("umount", at)


TELLING = ["layer export LAYER"] + FULL * ["export made", "diff made"]


@pytest.mark.parametrize("command", TELLING)
def test_each_call_that_fails_while_a_tree_is_told_gives_all_of_it_or_an_error(commands, faults,
                                                                              command):
    commands.prepare()
    change_all_ways(commands)
    if "LAYER" in command:
        commands.store.plyfs("commit", "made", "changed")
        lines = commands.store.plyfs("layer", "ls", "--format", "json").stdout.splitlines()
        layer = min(map(json.loads, lines), key=lambda layer: layer["Files"])
        command = command.replace("LAYER", layer["DiffID"])
    environment = {**os.environ, "PLYFS_ROOT": str(commands.store.path)}
    whole = commands.store.plyfs(*command.split()).stdout
    wrong = []
    for number in range(1, 1000):
        with faults.strike("EIO", number) as control:
            done = run(*faults.prefix(), commands.store.program, *command.split(), check=False,
                       env=environment, stdin=subprocess.DEVNULL)
        where = f"EIO at call {number} ({control.call.decode()}):"
        if done.returncode == 0 and done.stdout != whole:
            wrong.append(f"{where} told to be all, and is not: {done.stdout[:300]!r}")
        if done.returncode < 0 or (done.returncode and "plyfs: " not in done.stderr):
            wrong.append(f"{where} status {done.returncode}, {done.stderr!r}")
        if not control.failed:
            break
    assert not wrong, "\n".join(wrong)
