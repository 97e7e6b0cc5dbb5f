# SPDX-License-Identifier: MIT
"""The crash matrix of the store: each command is killed before every system call that changes something.

What is there afterwards, once doctor has swept what lies in the stage, is what was there before or what
the whole command would have made. For CI each command dies at some thirty of its steps, spread evenly;
PLYFS_FULL=1 does all of them. See killer.c for how it dies.
"""
import dataclasses
import json
import os
import shutil
import subprocess

import pytest

import crashkit
import harness
from storekit import facts, wait_for

FULL = os.environ.get("PLYFS_FULL") == "1"
STEPS = 30


@dataclasses.dataclass
class Command:
    name: str
    argv: tuple             # words of the command; {lower}, {tar}, {rootfs} stand for what the tests have
    before: tuple = ()      # commands done first
    between: tuple = ()     # of what is looked at, what need not come together with the rest


USE = ("create", "--name", "box", "--lower", "{lower}", "-v", "data:/data")
IMAGE = ("image", "import", "app:1", "{rootfs}")

COMMANDS = [
    Command("volume create", ("volume", "create", "--label", "a=b", "data")),
    Command("copy on first use", USE),
    Command("copy into an empty volume", USE, (("volume", "create", "data"),), between=("mounts",)),
    Command("volume import into a new one", ("volume", "import", "data", "{tar}")),
    Command("volume import over an old one", ("volume", "import", "-f", "data", "{tar}"),
            (("volume", "create", "data"),)),
    Command("volume clone", ("volume", "clone", "data", "other"), (USE,)),
    Command("volume rename", ("volume", "rename", "data", "other"), (USE,)),
    Command("volume rm", ("volume", "rm", "data"), (("volume", "import", "data", "{tar}"),)),
    Command("create", ("create", "--name", "box", "--lower", "{lower}")),
    Command("rm", ("rm", "box"), (("create", "--name", "box", "--lower", "{lower}"),)),
    Command("image import", IMAGE),
    Command("image rm", ("image", "rm", "app:1"), (IMAGE,), between=("layers",)),
    Command("commit", ("commit", "box", "app:2"), (IMAGE, ("create", "--name", "box", "app:1"), ("change",))),
]


@pytest.fixture(scope="session")
def killer(tmp_path_factory):
    return crashkit.killer(tmp_path_factory)


@pytest.fixture
def words(sandbox):
    """What the commands are about: a directory, a tar of its data, and a root filesystem."""
    lower = sandbox.directory("lower")
    data = lower / "data"
    for folder in range(2):
        (data / f"d{folder}").mkdir(parents=True)
        for file in range(3):
            (data / f"d{folder}" / f"f{file}").write_text(f"{folder}/{file}" * 100)
    os.link(data / "d0/f0", data / "link")
    os.symlink("d1", data / "symlink")
    data.chmod(0o1770)
    for here, _, _ in os.walk(data, topdown=False):
        os.utime(here, ns=(10**18, 10**18 + 5))
    sandbox.guard(lower)
    for name, folder in (("tar", data), ("rootfs", lower)):
        harness.run("tar", "-C", folder, "-cf", sandbox.path / f"{name}.tar", ".")
    return {"lower": lower, "tar": sandbox.path / "tar.tar", "rootfs": sandbox.path / "rootfs.tar"}


class Matrix:
    """One command on one store, which is put back before each kill."""

    def __init__(self, store, killer, words, command):
        self.store, self.killer, self.command = store, killer, command
        self.argv = [word.format(**words) for word in command.argv]
        self.saved = store.sandbox.path / "saved"
        store.plyfs("ps")       # there is a catalog from the start
        for argv in command.before:
            if argv == ("change",):
                self.change()
            else:
                store.plyfs(*(word.format(**words) for word in argv))
        # Owners, times and attributes with it.
        harness.run("cp", "-a", store.path, self.saved)
        self.old = self.seen()
        self.steps = self.run(0)
        self.new = self.seen()
        assert self.old != self.new

    def change(self):
        (upper,) = (self.store.path / "mounts").glob("*/upper")
        for name in ("new", "newer"):
            (upper / name).write_text(name * 50)
        (upper / "data").mkdir()
        os.mknod(upper / "data/symlink", 0o020000, 0)

    def put_back(self):
        shutil.rmtree(self.store.path)
        words = crashkit.at_once(["cp", "-a", self.saved, self.store.path])
        assert words is None, words

    def run(self, n):
        """Runs the command, which dies before its n-th step; the steps that it came to."""
        done = subprocess.run([self.killer, str(n), "--", harness.PLYFS, *self.argv], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              env={**os.environ, "PLYFS_ROOT": str(self.store.path)})
        lines = [line for line in done.stdout.splitlines() if line]
        if n == 0:
            assert done.returncode == 0, done
        return [line for line in lines if line not in ("killed", "through")]

    def seen(self):
        """What a user can see of the store, without what is new at each run."""
        plyfs, path = self.store.plyfs, self.store.path
        volumes = plyfs("volume", "ls", "-q").stdout.split()
        return {"mounts": {line["Name"] for line in self.store.listed("-a")},
                "volumes": {name: facts(path / "volumes" / name / "_data") for name in volumes},
                "images": plyfs("image", "ls", "--format", "{{.Names}}").stdout.split(),
                "layers": {json.loads(line)["Id"]
                           for line in plyfs("layer", "ls", "--format", "json").stdout.splitlines()}}

    def is_allowed(self, found):
        """The old state or the new; what the command does one after the other may be in between."""
        free = self.command.between
        return any(all(found[key] in ((state[key],) if key not in free else (self.old[key], self.new[key]))
                       for key in found) for state in (self.old, self.new))

    def kill(self, n):
        self.put_back()
        steps = self.run(n)
        where = f"{self.command.name}, killed before step {n}: {steps[-1] if steps else ''}"
        mended = self.store.plyfs("doctor", "--repair", check=False)
        assert mended.returncode == 0 and "its directory is gone" not in mended.stdout, f"{where}: {mended}"
        found = self.seen()
        assert self.is_allowed(found), f"{where}:\nfound {found}\nold   {self.old}\nnew   {self.new}"
        left = [path.name for path in (self.store.path / "stage").iterdir()]
        assert not left, f"{where}: left in the stage: {left}"
        assert self.store.plyfs("doctor").stdout == "", where
        for kind, names in (("volumes", found["volumes"].keys()), ("layers", found["layers"])):
            there = {path.name for path in (self.store.path / kind).glob("*")}
            assert there == set(names), f"{where}: {kind}: {there}"


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_a_command_that_is_killed_before_any_step_has_done_all_or_nothing(store, killer, words, command):
    harness.need_root()
    matrix = Matrix(store, killer, words, command)
    every = 1 if FULL else max(1, len(matrix.steps) // STEPS)
    kills = range(1, len(matrix.steps) + 1, every)
    for n in kills:
        matrix.kill(n)
    # And it can be done again.
    if matrix.seen() == matrix.old:
        matrix.run(0)
        assert matrix.seen() == matrix.new
    if report := os.environ.get("PLYFS_REPORT"):
        with open(report, "a", encoding="utf-8") as file:
            file.write(f"{command.name}: {len(matrix.steps)} steps, killed before {len(kills)} of them: "
                       f"none half done\n")


def test_a_mount_that_is_killed_before_any_step_can_be_mounted_again(store, killer, words):
    """The program and the daemon that it starts; the tracer's end is the daemon's."""
    harness.need_root()
    at = store.sandbox.directory("mnt")
    store.watched.append(at)
    store.plyfs("create", "--name", "box", "--lower", words["lower"])
    kills, lines, n = 0, [], 1
    while "through" not in lines:
        done = subprocess.run([killer, str(n), "--", harness.PLYFS, "mount", "box", at], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                              env={**os.environ, "PLYFS_ROOT": str(store.path)})
        lines = done.stdout.splitlines()
        assert lines and lines[-1] in ("killed", "through"), lines
        kills += 1
        # A daemon that got through dies with the tracer, a moment later.
        wait_for(lambda: store.plyfs("prune", "-f") and not harness.is_mounted(at), f"killed before {lines[-2:]}")
        store.plyfs("mount", "box", at)
        assert facts(at) == facts(words["lower"]), (n, lines[-2:])
        store.plyfs("umount", "box")
        n += 1 if FULL else 5
    assert store.plyfs("doctor").stdout == ""
    if report := os.environ.get("PLYFS_REPORT"):
        with open(report, "a", encoding="utf-8") as file:
            file.write(f"mount: {len(lines) - 1} steps, killed before {kills} of them: mounted again\n")
