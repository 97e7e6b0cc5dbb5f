# SPDX-License-Identifier: MIT
"""What a power cut leaves of a store, on the filesystem of an image: see powercutkit.py.

Whenever it goes during one of the commands of test_storecrash.py, the store opens, and once doctor has swept the stage
everything is as before the command, or as it would have been after it; and what a command that has returned made is
there. For CI each command loses its power a few times on one filesystem; PLYFS_FULL=1 does every moment, on all.
"""
import os
import subprocess

import pytest

import crashkit
import harness
from powercutkit import KINDS, Disk, Steps
from storekit import facts
from test_storecrash import COMMANDS, IMAGE, USE, Command, Matrix, words  # noqa: F401  (a fixture)

FULL = os.environ.get("PLYFS_FULL") == "1"
STEPS = 4
HOST = ("volume", "create", "-o", "type=none", "-o", "o=bind", "-o", "device={host}", "data")
DATA = ("volume", "import", "data", "{tar}")

OF_IMAGE = ("create", "--name", "box", "-v", "data:/data", "app:1")

MORE = [
    Command("volume import into a directory of the host", ("volume", "import", "-f", "data", "{tar}"), (HOST,)),
    Command("copy on first use into a directory of the host", USE, (HOST,), between=("mounts",)),
    Command("volume reseed", ("volume", "reseed", "-f", "data"), (IMAGE, OF_IMAGE, ("spoil",))),
    Command("volume prune", ("volume", "prune", "-af"), (DATA,)),
    Command("layer import", ("layer", "import", "--name", "base", "{rootfs}")),
    Command("volume export", ("volume", "export", "-o", "{out}/file", "data"), (DATA,)),
    Command("image export", ("image", "export", "-o", "{out}/file", "app:1"), (IMAGE,)),
    Command("image export over an older one", ("image", "export", "-o", "{out}/file", "app:1"),
            (IMAGE, ("volume", "import", "data", "{tar}"), ("volume", "export", "-o", "{out}/file", "data"))),
    Command("image export as a layout", ("image", "export", "-o", "{out}/layout/", "app:1"), (IMAGE,)),
    Command("export", ("export", "-o", "{out}/file", "box"), (("create", "--name", "box", "--lower", "{lower}"),)),
]


class Cuts(Matrix):
    """One command on a store that lies on a disk."""

    def __init__(self, store, killer, told, command, disk):
        self.store, self.killer, self.command, self.disk = store, killer, command, disk
        store.path = disk.at / "store"
        told = {**told, "host": disk.at / "host", "out": disk.at / "out"}
        self.out, self.host = told["out"], told["host"]
        self.argv = [word.format(**told) for word in command.argv]
        disk.begin()
        self.out.mkdir()
        self.host.mkdir()
        store.plyfs("ps")
        for argv in command.before:
            if argv in (("change",), ("spoil",)):
                getattr(self, argv[0])()
            else:
                store.plyfs(*(word.format(**told) for word in argv))
        self.old = self.seen()
        self.start = disk.end_as("start")
        disk.begin(self.start)
        self.steps = self.run(0)
        self.new = self.seen()
        disk.end()
        assert self.old != self.new

    def spoil(self):
        (self.store.path / "volumes/data/_data/d0/f1").unlink()

    def seen(self):
        """Of what is written outside of the store without the date, which is that of the run."""
        out = {name: fact[:3] + fact[4:] for name, fact in facts(self.out).items()}
        # A directory of the host gets its content from one in it, which the next that fills it clears away.
        host = {name: fact for name, fact in facts(self.host).items() if not name.startswith(".plyfs-")}
        return {**super().seen(), "out": out, "host": host}

    def cut_at(self, every):
        """Does the command with a cut before every so manieth step, and one when it has returned."""
        count = [0]

        def cut(call):
            count[0] += 1
            if count[0] % every == 0:
                self.disk.settle()
                self.disk.keep(call=f"before step {count[0]}: {call}")
        self.disk.begin(self.start)
        steps = Steps(self.killer, ["--", "sh", "-c", 'exec "$@" >/dev/null', "sh", harness.PLYFS, *self.argv], cut, stderr=subprocess.DEVNULL,
                      env={**os.environ, "PLYFS_ROOT": str(self.store.path)})
        assert steps.end() == 0
        self.disk.keep(call=None)
        self.disk.end()

    def judge(self, image, call):
        self.disk.begin(image)
        where = f"{self.command.name}, {call or 'when it had returned'}"
        mended = self.store.plyfs("doctor", "--repair", check=False)
        assert mended.returncode == 0 and "its directory is gone" not in mended.stdout, f"{where}: {mended}"
        found = self.seen()
        if call and not self.is_allowed(found) and self.command.before == (HOST,):
            found = self.again()
            call = None
        assert (self.is_allowed(found) if call else found == self.new), \
            f"{where}:\nfound {found}\nold   {self.old}\nnew   {self.new}"
        left = [path.name for path in (self.store.path / "stage").iterdir()]
        assert not left, f"{where}: left in the stage: {left}"
        assert self.store.plyfs("doctor").stdout == "", where
        self.disk.end()
        os.unlink(image)

    def is_allowed(self, found):
        """What a command writes has a name of six letters more until it is whole."""
        found = {**found, "out": {name: fact for name, fact in found["out"].items() if "." not in name.split("/")[0]}}
        return super().is_allowed(found)

    def again(self):
        """A directory of the host is filled name by name; whoever is to fill it next takes away what is there of it."""
        self.run(0)
        return self.seen()


@pytest.fixture(scope="session")
def killer(tmp_path_factory):
    return crashkit.killer(tmp_path_factory)


CHOSEN = [pytest.param(kind, command, id=f"{kind}-{command.name}")
          for position, command in enumerate(COMMANDS + MORE) for number, kind in enumerate(KINDS)
          if FULL or kind == ("xfs" if position % 5 == 3 else "btrfs" if position % 5 == 4 else "ext4")]


@pytest.mark.parametrize("kind, command", CHOSEN)
def test_a_cut_leaves_all_of_a_command_or_nothing(store, killer, words, kind, command):     # noqa: F811
    disk = Disk(store.sandbox, kind)
    try:
        cuts = Cuts(store, killer, words, command, disk)
        cuts.cut_at(1 if FULL else max(1, len(cuts.steps) // STEPS))
        for image, known in disk.kept():
            cuts.judge(image, known["call"])
    finally:
        disk.end()


def synced(path, data):
    with open(path, "wb", buffering=0) as file:
        file.write(data)
        os.fsync(file.fileno())


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_synced_in_a_mount_and_in_its_volume_is_there_after_a_cut(store, words, kind):     # noqa: F811
    disk = Disk(store.sandbox, kind)
    store.path = disk.at / "store"
    try:
        disk.begin()
        store.plyfs("create", "--name", "box", "--lower", words["lower"], "-v", "fresh:/d")
        at = store.mount("box")
        synced(at / "d/new", b"new" * 2000)
        synced(at / "d/beside", b"other" * 2000)
        os.rename(at / "d/beside", at / "d/replaced")
        folder = os.open(at / "d", os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
        synced(at / "data/d0/f1", b"up" * 2000)
        disk.keep()
        store.plyfs("umount", "box")
        disk.end()
        disk.begin(disk.kept()[0][0])
        store.plyfs("doctor", "--repair")
        at = store.mount("box", at)
        assert {path.name: path.read_bytes() for path in (at / "d").iterdir()} == \
            {"new": b"new" * 2000, "replaced": b"other" * 2000}
        assert (at / "data/d0/f1").read_bytes() == b"up" * 2000
        store.plyfs("umount", "box")
    finally:
        disk.end()
