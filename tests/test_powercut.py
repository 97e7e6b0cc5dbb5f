# SPDX-License-Identifier: MIT
"""What a power cut leaves of an upper layer. See powercutkit.py for how the power is cut.

Two things are held. Whenever it goes, each file has the content before the operation that was under way or the one
after it (what was written and not synced may be lost), the mount and the kernel's overlayfs show the same, and the
work directory is clean: the cases are those of test_crash.py. And what was synced is there, with nothing else having
been written down: the table SAFE.

For CI each case of SAFE is done on ext4 in one setting, and a few of the rest; PLYFS_FULL=1 does SAFE on all
filesystems in all settings, and a seventh of the rest.
"""
import multiprocessing
import os
import shutil

import pytest

import crashkit
import harness
import test_crash
import worlds
from crashkit import Case
from powercutkit import KINDS, Disk, Steps
from storekit import wait_for

FULL = os.environ.get("PLYFS_FULL") == "1"
SETTINGS = {setting.name: setting for setting in test_crash.SETTINGS}
# One of so many is done.
MOMENTS = dict.fromkeys(KINDS, 7) if FULL else {"ext4": 67, "xfs": 199, "btrfs": 211}
SYNCS = dict.fromkeys(KINDS, 1) if FULL else {"ext4": 5, "xfs": 17, "btrfs": 19}
# Cases in which the filesystem itself shows something else of what was not synced.
ODD = {"append to a lower file": "ext4 shows what is appended within a block as zeros until it is written",
       "one of three names that is removed": "on btrfs the sync of a directory leaves out the attributes of what it "
                                             "is about: the count of links, here and with the kernel's overlayfs"}


@pytest.fixture(scope="session")
def killer(tmp_path_factory):
    return crashkit.killer(tmp_path_factory)


# ---- whenever the power goes --------------------------------------------------------------------

class Cut(crashkit.Bench):
    """A case whose upper lies on a disk that loses its power before each change that the daemon makes."""

    def __init__(self, box, program, case, setting, disk):
        super().__init__(box, program, case, setting, test_crash.LAYERS, test_crash.dress)
        self.disk, self.home = disk, disk.at / "home"
        disk.begin()
        words = crashkit.at_once(["cp", "-a", self.template, self.home])
        assert words is None, words
        self.start = disk.end_as("start")
        self.done = multiprocessing.Value("i", 0)

    def act(self):
        files = {}
        try:
            with crashkit.Watch(self.at):
                for act in self.case.acts:
                    act(self.at, files)
                    self.done.value += 1
                self.cut("the end")
        finally:
            crashkit.close_all(files)
            harness.umount(self.at)

    def cut(self, call):
        self.disk.settle()
        self.disk.keep(done=self.done.value, call=call)

    def run_acts(self):
        self.disk.begin(self.start)
        daemon = crashkit.Daemon(self.mount(self.home))
        steps = Steps(self.program, [daemon.process.pid], self.cut)
        try:
            self.act()
        finally:
            steps.end()
            daemon.process.wait()
            self.disk.end()

    def judge_all(self, tally):
        for image, known in self.disk.kept():
            self.disk.begin(image)
            tally.kills += 1
            where = f"{self.setting.name}: {self.case.name}: act {known['done']}, before change " \
                    f"{known['number']}: {known['call']}"
            self.judge(where, known["done"], tally, native_first=known["number"] % 2 == 0)
            self.disk.end()
            os.unlink(image)

    def is_whole(self, done):
        """Whether all that was done is synced."""
        return done == len(self.case.acts) and done in self.case.synced

    def first_allowed(self, done):
        return max([act for act in self.case.synced if act <= done], default=0)

    def judge(self, where, done, tally, native_first):
        seen = self.looks(where, tally, native_first)
        if seen is None:
            return
        seen = {kind: crashkit.comparable(tree, self.case, self.is_whole(done)) for kind, tree in seen.items()}
        allowed = [crashkit.comparable(state, self.case, self.is_whole(done))
                   for state in self.states[self.first_allowed(done):done + 2]]
        allowed += [crashkit.stripped(state, self.case.stripped) for state in allowed if self.case.stripped in state]
        found = seen[self.setting.kind]
        if found not in allowed:
            tally.third.append(f"{where}\n  against the new state: {crashkit.tell(allowed[-1], found)}\n"
                               f"  against the old: {crashkit.tell(allowed[0], found)}")
        if found != seen.get("kernel", found):
            tally.shown.append(f"{where}: the kernel shows {crashkit.tell(found, seen['kernel'])}")


def judge(sandbox, killer, kind, setting, case, how):
    harness.need_fuse()
    disk, tally = Disk(sandbox, kind), crashkit.Tally()
    cut = how(sandbox, killer, case, setting, disk)
    try:
        cut.run_acts()
        cut.judge_all(tally)
    finally:
        while harness.is_mounted(cut.at):
            harness.umount(cut.at, lazy=True)
        disk.end()
    assert tally.kills > 0
    assert not tally.faults(), "\n".join(tally.faults())


def chosen(cases, every):
    """Of all kinds, settings and cases those that are done: of each kind one of so many, in turn."""
    params = []
    for kind in KINDS:
        possible = [(setting, case) for case in cases for setting in SETTINGS.values()
                    if test_crash.possible(case, setting) and (case.name not in ODD or kind == "xfs")]
        params += [pytest.param(kind, setting, case, id="-".join((kind, setting.name, case.name)))
                   for setting, case in possible[::every[kind]]]
    return params


@pytest.mark.parametrize("kind, setting, case", chosen(test_crash.CASES, MOMENTS))
def test_a_cut_at_any_moment_leaves_the_old_state_or_the_new_one(sandbox, killer, kind, setting, case):
    judge(sandbox, killer, kind, setting, case, Cut)


# ---- what was synced ----------------------------------------------------------------------------

def synced(*names):
    """fsync(2) of files and directories, through the mount."""
    def act(root, files):
        for name in names:
            fd = os.open(root / name, os.O_RDONLY)
            os.fsync(fd)
            os.close(fd)
    return act


def written(name, data):
    """A file that is opened, written, synced and closed."""
    def act(root, files):
        with open(root / name, "r+b" if (root / name).exists() else "xb", buffering=0) as file:
            file.write(data)
            os.fsync(file.fileno())
    return act


def replaced(name, data):
    """As editors and databases do it: a new file, synced, renamed over the old; then the directory."""
    def act(root, files):
        written(name + ".tmp", data)(root, files)
        os.rename(root / (name + ".tmp"), root / name)
        synced(os.path.dirname(name) or ".")(root, files)
    return act


def dropped(name):
    return lambda root, files: shutil.rmtree(root / name)


def made_deep(root, files):
    os.makedirs(root / "dir/one/two/three")
    written("dir/one/two/three/file", b"deep\n")(root, files)


on_path, moving, linking = test_crash.on_path, test_crash.moving, test_crash.linking
SAFE = [
    Case("a new file, itself synced", [written("dir/sub/new", b"new\n" * 3000)]),
    Case("a new file in new directories, itself synced", [made_deep]),
    Case("a lower file that is written, itself synced", [written("dir/sub/deep/z", b"zzz")]),
    Case("a large lower file that is written, itself synced", [written("big", b"zzz")]),
    Case("a lower file with new metadata, itself synced", [on_path(os.chmod, "dir/a", 0o600), synced("dir/a")]),
    Case("a lower file with new metadata, then data", [on_path(os.chmod, "big", 0o600), written("big", b"zzz")]),
    Case("a lower file with a new attribute", [on_path(os.setxattr, "dir/a", "user.new", b"x"), synced("dir/a")]),
    Case("a lower file that is replaced", [replaced("dir/a", b"replaced" * 1000)]),
    Case("a lower file deep down that is replaced", [replaced("dir/sub/deep/z", b"replaced" * 1000)]),
    Case("an upper file that is replaced", [replaced("dir/a", b"replaced" * 1000)],
         lambda root: worlds.put(root / "dir/a", "upper")),
    Case("a lower file that is made shorter", [on_path(os.truncate, "file", 5000), synced("file")]),
    Case("a lower file that is emptied", [on_path(os.truncate, "file", 0), synced("file")]),
    Case("a removed name", [on_path(os.unlink, "dir/a"), synced("dir")]),
    Case("a removed directory", [dropped("dir/sub"), synced("dir")]),
    Case("a directory in the place of a removed one", [dropped("dir"), on_path(os.mkdir, "dir"), synced("dir", ".")]),
    Case("a file in the place of a removed one", [on_path(os.unlink, "dir/a"), written("dir/a", b"again")]),
    Case("a file in a directory in the place of a removed one",
         [dropped("dir"), on_path(os.mkdir, "dir"), written("dir/c", b"again"), synced(".")]),
    Case("a moved lower file", [moving("dir/a", "dir2/moved"), synced("dir", "dir2")]),
    Case("a moved lower directory", [moving("dir/sub", "dir2/moved"), synced("dir", "dir2")], redirect=True),
    Case("a moved lower directory, and a file in it", [moving("dir/sub", "dir2/moved"),
         written("dir2/moved/deep/z", b"zzz"), synced("dir", "dir2")], redirect=True),
    Case("a link of a lower file", [linking("file", "dir/again"), synced("file", "dir")]),
    Case("one of three names that is written", [written("link2", b"WWW")], links=True),
    Case("one of three names that is removed", [on_path(os.unlink, "link2"), synced(".")], links=True),
    Case("a file that had no name", [test_crash.tmpfile, test_crash.on_file("tmp", os.pwrite, b"tmp" * 100, 0),
         test_crash.naming("tmp", "dir/named"), test_crash.on_file("tmp", os.fsync)]),
    Case("a lower file that is written over in its place, its data synced",
         [test_crash.opening("file", os.O_RDWR), test_crash.on_file("file", os.pwrite, b"over", 3000),
          test_crash.on_file("file", os.fdatasync)], dated="file"),
    Case("a lower file that is written over through O_DSYNC",
         [test_crash.opening("file", os.O_WRONLY | os.O_DSYNC), test_crash.on_file("file", os.pwrite, b"over", 3000)], dated="file"),
    Case("a file whose data was below, its data synced",
         [on_path(os.chmod, "file", 0o600), test_crash.opening("file", os.O_RDWR),
          test_crash.on_file("file", os.fsync), test_crash.on_file("file", os.pwrite, b"over", 3000),
          test_crash.on_file("file", os.fdatasync)], dated="file"),
    Case("a mapping that is synced", [test_crash.opening("file", os.O_RDWR), test_crash.mapped], dated="file"),
    Case("a symlink", [lambda root, files: os.symlink("target", root / "dir/new"), synced("dir")]),
    Case("a fifo", [on_path(os.mkfifo, "dir/new"), synced("dir")]),
    Case("a directory with a new mode", [on_path(os.chmod, "dir/sub", 0o700), synced("dir/sub")]),
]


class Safe(Cut):
    """Nothing but what the acts sync is on its way to the disk when the power goes."""

    def run_acts(self):
        self.disk.begin(self.start)
        self.mount(self.home).mount()
        try:
            self.act()
        finally:
            self.disk.end()

    def cut(self, call):
        self.disk.keep(done=self.done.value, call=call)

    def is_whole(self, done):
        return True

    def first_allowed(self, done):
        return done


@pytest.mark.parametrize("kind, setting, case", chosen(SAFE, SYNCS))
def test_what_was_synced_is_there_after_a_cut(sandbox, killer, kind, setting, case):
    judge(sandbox, killer, kind, setting, case, Safe)


# ---- what was not synced ------------------------------------------------------------------------

def anew(path):
    """As a shell's `echo > file` does it."""
    path.write_bytes(b"anew" * 500)


def in_its_place(path):
    """As it is done by who forgets the sync."""
    anew(path.with_name("beside"))
    os.rename(path.with_name("beside"), path)


@pytest.mark.parametrize("profile", ["stateless", "tracked"])
@pytest.mark.parametrize("name", ["lower", "upper"])
@pytest.mark.parametrize("act", [anew, in_its_place])
def test_what_takes_the_place_of_old_content_is_soon_there(sandbox, profile, name, act):
    """On ext4, which begins to write such a file when it is closed, or gets the name of another. A commit of
    its journal brings the loss of the old content to the disk as soon as that."""
    disk = Disk(sandbox, "ext4")
    disk.begin()
    lower, upper, work = sandbox.directory("below"), disk.at / "upper", disk.at / "work"
    upper.mkdir()
    work.mkdir()
    (lower / "lower").write_text("old")
    (upper / "upper").write_text("old")
    disk.settle()
    try:
        with sandbox.plyfs([lower], upper, work, profile=profile) as mount:
            before = disk.written()
            act(mount / name)
            # By nobody else: the journal is committed every five seconds, and old pages are written after thirty.
            wait_for(lambda: disk.written() != before, "nobody writes it to the disk", seconds=3)
            disk.settle()
            disk.keep()
        disk.end()
        disk.begin(disk.kept()[0][0])
        assert (upper / name).read_bytes() == b"anew" * 500
    finally:
        disk.end()
