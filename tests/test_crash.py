# SPDX-License-Identifier: MIT
"""The crash matrix: the daemon is killed before each system call by which an operation changes something.

Whatever the step, the next mount shows the tree before the operation or the one after it, its work
directory is clean, and the kernel's overlayfs mounts the upper and shows the same. The kernel has the
first look at every second upper, plyfs at the others. PLYFS_FULL=1 does every step in every setting,
where else it is a share of them (see share()), and holds fuse-overlayfs to the same, for the table in
README.md.
"""
import mmap
import os
import shutil
import stat

import pytest

import crashkit
import harness
import worlds
from crashkit import Case, Setting
from layers_kit import EXCHANGE, NOREPLACE, link_descriptor, renameat2, set_acl
from worlds import Symlink

FULL = os.environ.get("PLYFS_FULL") == "1"
OFF = ("redirect_dir=off", "metacopy=off", "index=off")

SETTINGS = [
    Setting("stateless", profile="stateless"),
    Setting("tracked", profile="tracked"),
    Setting("writeback", profile="writeback", writeback=True),
    Setting("drop-in", profile="stateless", form="o", native=OFF, redirect=False, links=False),
    Setting("userxattr", profile="stateless", native=("userxattr",), redirect=False, links=False,
            options=("userxattr", *OFF)),
    # Here the kernel would refuse redirects and metacopy files.
    Setting("userxattr-own", profile="stateless", native=None, options=("userxattr",)),
]
# It has the writeback cache unless told otherwise, and keeps no hard links of lower layers together.
FUSE_OVERLAYFS = Setting("fuse-overlayfs", kind="fuse-overlayfs", writeback=True, native=OFF, redirect=False,
                         links=False)

LAYERS = [
    {"top": "top\n", "both": {"t": "of the top\n", "b": "the top's b\n"}},
    {"file": "0123456789" * 1000, "big": b"big" * 70_000, "script": "#!/bin/sh\n", "locked": "locked\n",
     "dir": {"a": "a\n", "b": "b\n", "sub": {"x": "x\n", "deep": {"z": "z\n" * 500}}},
     "dir2": {"p": "p\n", "q": "q\n"}, "empty": {}, "empty2": {}, "group": {"g": "g\n"},
     "symlink": Symlink("file"), "both": {"b": "hidden\n", "c": "c\n"}},
]


def dress(root):
    """What words cannot say: in the topmost lower layer, and in the model's plain tree."""
    os.mkdir(root / "odd")
    os.mkfifo(root / "odd/fifo", 0o640)
    worlds.put(root / "odd/setuid", "setuid\n", 0o4755)
    worlds.put(root / "odd/tagged", "tagged\n")
    os.setxattr(root / "odd/tagged", "user.colour", b"blue")
    os.mkdir(root / "odd/acl")
    set_acl(root / "odd/acl", "default", [("u", 7, None), ("user", 5, 0), ("g", 5, None), ("mask", 5, None),
                                          ("o", 0, None)])
    os.mkdir(root / "odd/setgid")
    os.chown(root / "odd/setgid", 0, 1000)
    os.chmod(root / "odd/setgid", 0o2775)
    worlds.put(root / "link1", "linked\n" * 100)
    os.link(root / "link1", root / "link2")
    os.mkdir(root / "links")
    os.link(root / "link1", root / "links/link3")


# ---- acts ---------------------------------------------------------------------------------------

def opening(name, flags, mode=0o644):
    def act(root, files):
        files[name] = os.open(root / name, flags, mode)
    return act


def on_file(name, function, *arguments):
    return lambda root, files: function(files[name], *arguments)


def closing(name):
    return lambda root, files: os.close(files.pop(name))


def on_path(function, name, *arguments, **words):
    return lambda root, files: function(root / name, *arguments, **words)


def moving(old, new, flags=0):
    return lambda root, files: renameat2(root / old, root / new, flags)


def by_its_owner(function, name, *arguments):
    """The act of an ordinary user, without root's capabilities."""
    def act(root, files):
        harness.LIBC.setfsgid(1000)
        harness.LIBC.setfsuid(1000)
        try:
            function(root / name, *arguments)
        finally:
            harness.LIBC.setfsuid(0)
            harness.LIBC.setfsgid(0)
    return act


def owned(name, mode):
    def prepare(root):
        os.chown(root / name, 1000, 1000)
        os.chmod(root / name, mode)
    return prepare


def linking(old, new, **words):
    return lambda root, files: os.link(root / old, root / new, **words)


def made(path):
    """An empty file, in one system call that matters."""
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o640))


def emptied(root, name):
    shutil.rmtree(root / name)
    (root / name).mkdir()


def tmpfile(root, files):
    files["tmp"] = os.open(root / "dir", os.O_TMPFILE | os.O_RDWR, 0o640)


def naming(descriptor, new):
    return lambda root, files: link_descriptor(files[descriptor], root / new)


def mapped(root, files):
    with mmap.mmap(files["file"], 10_000) as area:
        area[5000:5006] = b"mapped"
        area.flush()


def ranged(root, files):
    os.copy_file_range(files["big"], files["file"], 50_000, 0, 100)


def each(*functions):
    """A preparation of several steps."""
    def prepare(root):
        for function in functions:
            function(root)
    return prepare


def chmodded(*names):
    return lambda root: [os.chmod(root / name, 0o604) for name in names]


def unlinked(*names):
    return lambda root: [os.unlink(root / name) for name in names]


def gone(*names):
    return lambda root: [shutil.rmtree(root / name) for name in names]


WRITE = [opening("file", os.O_RDWR), on_file("file", os.pwrite, b"first", 3000),
         on_file("file", os.fsync), on_file("file", os.pwrite, b"second", 7000),
         on_file("file", os.fdatasync), closing("file")]

COPY_UP = [
    Case("write to a lower file, synced", WRITE, synced=(3, 5)),
    Case("write to a lower file deep down",
         [opening("dir/sub/deep/z", os.O_WRONLY), on_file("dir/sub/deep/z", os.pwrite, b"Z", 5),
          on_file("dir/sub/deep/z", os.fsync)], synced=(3,)),
    Case("append to a lower file", [opening("file", os.O_WRONLY | os.O_APPEND), on_file("file", os.write, b"end"),
                                    on_file("file", os.fsync)], synced=(3,)),
    Case("write to a new file, synced",
         [opening("new", os.O_CREAT | os.O_RDWR), on_file("new", os.pwrite, b"new" * 1000, 0),
          on_file("new", os.fsync)], synced=(1, 3)),
    Case("write through a mapping, synced", [opening("file", os.O_RDWR), mapped], synced=(2,)),
    Case("copy_file_range onto a lower file",
         [opening("big", os.O_RDONLY), opening("file", os.O_RDWR), ranged, on_file("file", os.fsync)], synced=(4,)),
    Case("truncate a lower file to nothing", [on_path(os.truncate, "file", 0)], synced=(1,)),
    Case("truncate a lower file to less", [on_path(os.truncate, "file", 5000)], synced=(1,)),
    Case("truncate a lower file to more", [on_path(os.truncate, "file", 20_000)], synced=(1,)),
    Case("open a lower file with O_TRUNC", [opening("file", os.O_WRONLY | os.O_TRUNC)], synced=(1,)),
    Case("fallocate in a lower file",
         [opening("file", os.O_RDWR), on_file("file", os.posix_fallocate, 9_000, 30_000), on_file("file", os.fsync)],
         synced=(2, 3)),
    Case("chmod a lower file", [on_path(os.chmod, "file", 0o600)], synced=(1,)),
    Case("chmod a lower file deep down", [on_path(os.chmod, "dir/sub/deep/z", 0o600)], synced=(1,)),
    Case("chown a lower file", [on_path(os.chown, "file", 5, 6)], synced=(1,)),
    Case("chown a setuid file", [on_path(os.chown, "odd/setuid", 5, 6)], synced=(1,)),
    Case("date a lower file", [on_path(os.utime, "file", ns=(worlds.OLD, worlds.OLD - 5))], synced=(1,)),
    Case("set an attribute of a lower file", [on_path(os.setxattr, "file", "user.new", b"new")], synced=(1,)),
    Case("remove an attribute of a lower file", [on_path(os.removexattr, "odd/tagged", "user.colour")], synced=(1,)),
    Case("give a lower file an access list",
         [on_path(set_acl, "file", "access", [("u", 6, None), ("user", 6, 1000), ("g", 4, None), ("mask", 6, None),
                                              ("o", 0, None)])], synced=(1,)),
    Case("chmod a lower directory", [on_path(os.chmod, "dir/sub", 0o700)], synced=(1,)),
    Case("chmod a merged directory", [on_path(os.chmod, "both", 0o700)], synced=(1,)),
    Case("chown a symlink", [on_path(os.chown, "symlink", 5, 6, follow_symlinks=False)], synced=(1,)),
    Case("chmod a fifo", [on_path(os.chmod, "odd/fifo", 0o600)], synced=(1,)),
]

NAMES = [
    Case("create a file", [on_path(made, "dir/sub/new")], synced=(1,)),
    Case("create a file where a group is inherited", [on_path(made, "odd/setgid/new")], synced=(1,)),
    Case("create a file under a default access list", [on_path(made, "odd/acl/new")], synced=(1,)),
    Case("make a directory under a default access list", [on_path(os.mkdir, "odd/acl/new")], synced=(1,)),
    Case("make a directory", [on_path(os.mkdir, "dir/new", 0o750)], synced=(1,)),
    Case("make a symlink", [lambda root, files: os.symlink("target", root / "dir/new")], synced=(1,)),
    Case("make a fifo", [on_path(os.mkfifo, "dir/new")], synced=(1,)),
    Case("make a device", [on_path(os.mknod, "dir/new", stat.S_IFBLK | 0o600, os.makedev(240, 3))], synced=(1,)),
    Case("name a file without a name",
         [tmpfile, on_file("tmp", os.pwrite, b"tmp", 0), on_file("tmp", os.fsync), naming("tmp", "dir/named")],
         synced=(1, 2, 3, 4)),
    Case("unlink a lower file", [on_path(os.unlink, "dir/a")], synced=(1,)),
    Case("unlink a lower symlink", [on_path(os.unlink, "symlink")], synced=(1,)),
    Case("unlink a file that was copied up", [on_path(os.unlink, "file")], chmodded("file"), synced=(1,)),
    Case("unlink a new file", [on_path(os.unlink, "dir/new")], lambda root: made(root / "dir/new"), synced=(1,)),
    Case("unlink in a merged directory", [on_path(os.unlink, "both/b")], synced=(1,)),
    Case("remove an empty lower directory", [on_path(os.rmdir, "empty")], synced=(1,)),
    Case("remove a lower directory that was emptied", [on_path(os.rmdir, "dir2")], unlinked("dir2/p", "dir2/q"),
         synced=(1,)),
    Case("remove a new directory", [on_path(os.rmdir, "dir/new")], lambda root: (root / "dir/new").mkdir(),
         synced=(1,)),
    Case("remove a directory made over a removed one", [on_path(os.rmdir, "dir2")],
         lambda root: emptied(root, "dir2"), synced=(1,)),
    Case("remove a directory that was copied up and emptied", [on_path(os.rmdir, "empty")],
         lambda root: os.chmod(root / "empty", 0o700), synced=(1,)),
    Case("make a directory over a removed one", [on_path(os.mkdir, "dir")], gone("dir"), synced=(1,)),
    Case("make a closed directory over a removed one", [on_path(os.mkdir, "dir", 0)], gone("dir"), synced=(1,)),
    Case("make a directory over a removed one, a group inherited", [on_path(os.mkdir, "odd/setgid/d")],
         each(lambda root: (root / "odd/setgid/d").mkdir(), lambda root: (root / "odd/setgid/d").rmdir()), synced=(1,)),
    Case("make a directory over a removed file", [on_path(os.mkdir, "file")], unlinked("file"), synced=(1,)),
    Case("create a file over a removed one", [on_path(made, "file")], unlinked("file"), synced=(1,)),
    Case("create a file over a removed directory", [on_path(made, "dir2")], gone("dir2"), synced=(1,)),
    Case("make a symlink over a removed file", [lambda root, files: os.symlink("target", root / "file")],
         unlinked("file"), synced=(1,)),
    Case("make a fifo over a removed file", [on_path(os.mkfifo, "file")], unlinked("file"), synced=(1,)),
]

LINKS = [
    Case("link a lower file", [linking("file", "dir/again")], synced=(1,)),
    Case("link a lower file over a removed one", [linking("file", "dir/a")], unlinked("dir/a"), synced=(1,)),
    Case("link a file that was copied up", [linking("file", "dir/again")], chmodded("file"), synced=(1,)),
    Case("link a lower symlink", [linking("symlink", "dir/again", follow_symlinks=False)], synced=(1,)),
    Case("write to one of three names", [opening("link1", os.O_WRONLY), on_file("link1", os.pwrite, b"W", 3),
                                         on_file("link1", os.fsync)], links=True, synced=(3,)),
    Case("truncate one of three names", [on_path(os.truncate, "link2", 10)], links=True, synced=(1,)),
    Case("chmod one of three names", [on_path(os.chmod, "links/link3", 0o600)], links=True, synced=(1,)),
    Case("unlink one of three names", [on_path(os.unlink, "link2")], links=True, synced=(1,)),
    Case("unlink the second of three names", [on_path(os.unlink, "links/link3")], unlinked("link2"), links=True,
         synced=(1,)),
    Case("unlink the last of three names", [on_path(os.unlink, "link1")], unlinked("link2", "links/link3"),
         links=True, synced=(1,)),
    Case("unlink the name that was copied up", [on_path(os.unlink, "link1")], chmodded("link1"), links=True,
         synced=(1,)),
    Case("link one of three names", [linking("link1", "dir/again")], links=True, synced=(1,)),
    Case("link another of three names", [linking("link2", "dir/again")], chmodded("link1"), links=True, synced=(1,)),
    Case("rename one of three names", [moving("link1", "dir/moved")], links=True, synced=(1,)),
    Case("rename another of three names", [moving("links/link3", "moved")], chmodded("link1"), links=True, synced=(1,)),
    Case("rename onto one of three names", [moving("file", "link2")], links=True, synced=(1,)),
    Case("rename onto the last of three names", [moving("file", "link1")], unlinked("link2", "links/link3"),
         links=True, synced=(1,)),
    Case("exchange one of three names", [moving("file", "links/link3", EXCHANGE)], links=True, synced=(1,)),
]

RENAMES = [
    Case("rename a lower file", [moving("file", "dir/moved")], synced=(1,)),
    Case("rename a lower file in its directory", [moving("dir/a", "dir/moved")], synced=(1,)),
    Case("rename a lower file onto another", [moving("dir/a", "file")], synced=(1,)),
    Case("rename a lower file onto one that was copied up", [moving("dir/a", "file")], chmodded("file"), synced=(1,)),
    Case("rename a file onto a removed one", [moving("dir/b", "dir/a")], unlinked("dir/a"), synced=(1,)),
    Case("rename a new file onto a lower one", [moving("dir/new", "file")], lambda root: made(root / "dir/new"),
         synced=(1,)),
    Case("rename a file that was renamed", [moving("dir/moved", "moved")],
         lambda root: os.rename(root / "file", root / "dir/moved"), synced=(1,)),
    Case("rename a lower symlink", [moving("symlink", "dir/moved")], synced=(1,)),
    Case("rename a file, nothing replaced", [moving("file", "dir/moved", NOREPLACE)], synced=(1,)),
    Case("rename a file onto a removed one, nothing replaced", [moving("dir/b", "dir/a", NOREPLACE)],
         unlinked("dir/a"), synced=(1,)),
    Case("exchange two lower files", [moving("file", "dir/a", EXCHANGE)], synced=(1,)),
    Case("exchange a new file and a lower one", [moving("dir/new", "file", EXCHANGE)],
         lambda root: made(root / "dir/new"), synced=(1,)),
    Case("exchange a file and a symlink", [moving("dir/b", "symlink", EXCHANGE)], synced=(1,)),
    Case("rename a new directory", [moving("new", "dir/moved")], lambda root: (root / "new").mkdir(), synced=(1,)),
    Case("rename a new directory onto an empty lower one", [moving("new", "empty")],
         lambda root: (root / "new").mkdir(), synced=(1,)),
    Case("rename a new directory onto an emptied one", [moving("new", "dir2")],
         each(unlinked("dir2/p", "dir2/q"), lambda root: (root / "new").mkdir()), synced=(1,)),
    Case("rename a new directory onto a removed one", [moving("new", "dir2")],
         each(gone("dir2"), lambda root: (root / "new").mkdir()), synced=(1,)),
    Case("rename a new directory out of a new one onto a removed one", [moving("new/in", "dir2")],
         each(gone("dir2"), lambda root: (root / "new/in").mkdir(parents=True)), uncovered="new/in", synced=(1,)),
    Case("exchange a new directory and a file", [moving("new", "file", EXCHANGE)],
         lambda root: (root / "new").mkdir(), synced=(1,)),
    Case("rename a lower directory", [moving("dir", "moved")], redirect=True, synced=(1,)),
    Case("rename a lower directory elsewhere", [moving("dir/sub", "dir2/moved")], redirect=True, synced=(1,)),
    Case("rename a merged directory", [moving("both", "dir/moved")], redirect=True, synced=(1,)),
    Case("rename a lower directory onto an empty one", [moving("dir", "empty")], redirect=True, synced=(1,)),
    Case("rename a lower directory onto an emptied one", [moving("dir", "dir2")], unlinked("dir2/p", "dir2/q"),
         redirect=True, synced=(1,)),
    Case("rename a lower directory onto a removed one", [moving("dir", "dir2")], gone("dir2"), redirect=True,
         synced=(1,)),
    Case("rename a renamed directory", [moving("moved", "dir2/again")],
         lambda root: os.rename(root / "dir", root / "moved"), redirect=True, synced=(1,)),
    Case("rename a renamed directory back", [moving("moved", "dir")],
         lambda root: os.rename(root / "dir", root / "moved"), redirect=True, synced=(1,)),
    Case("exchange two lower directories", [moving("dir", "dir2", EXCHANGE)], redirect=True, synced=(1,)),
    Case("exchange a lower directory and a file", [moving("dir", "file", EXCHANGE)], redirect=True, synced=(1,)),
]

METACOPY = [
    Case("write to a file whose data is below", WRITE, chmodded("file"), dated="file", synced=(3, 5)),
    Case("truncate a file whose data is below to nothing", [on_path(os.truncate, "file", 0)], chmodded("file"),
         dated="file", synced=(1,)),
    Case("truncate a file whose data is below to less", [on_path(os.truncate, "file", 5000)], chmodded("file"),
         dated="file", synced=(1,)),
    Case("truncate a file whose data is below to more", [on_path(os.truncate, "file", 20_000)], chmodded("file"),
         dated="file", synced=(1,)),
    Case("open a file whose data is below with O_TRUNC", [opening("file", os.O_WRONLY | os.O_TRUNC)],
         chmodded("file"), dated="file", synced=(1,)),
    Case("write to a renamed file whose data is below",
         [opening("dir/moved", os.O_WRONLY), on_file("dir/moved", os.pwrite, b"W", 9), on_file("dir/moved", os.fsync)],
         each(chmodded("file"), lambda root: os.rename(root / "file", root / "dir/moved")), dated="dir/moved", synced=(3,)),
    Case("truncate a setuid file by its owner", [by_its_owner(os.truncate, "file", 5000)], owned("file", 0o4755),
         dated="file", stripped="file", synced=(1,)),
    Case("truncate a new setuid file by its owner", [by_its_owner(os.truncate, "new", 5)],
         each(lambda root: worlds.put(root / "new", "0123456789"), owned("new", 0o4755)), stripped="new", synced=(1,)),
    Case("write to a setuid file by its owner",
         [opening("new", os.O_WRONLY), lambda root, files: by_its_owner(lambda _: os.pwrite(files["new"], b"W", 2),
                                                                      "new")(root, files),
          on_file("new", os.fsync)],
         each(lambda root: worlds.put(root / "new", "0123456789"), owned("new", 0o4755)), stripped="new",
         synced=(1, 3)),
    Case("rename a file whose data is below", [moving("file", "dir/moved")], chmodded("file"), synced=(1,)),
    Case("link a file whose data is below", [linking("file", "dir/again")], chmodded("file"), synced=(1,)),
    Case("link the descriptor of a file whose data is below and whose name is gone",
         [opening("link1", os.O_RDONLY), on_path(os.unlink, "link1"), naming("link1", "dir/again")], links=True,
         dated="link2", synced=(2, 3)),
    Case("write to one of three names whose data is below",
         [opening("link2", os.O_WRONLY), on_file("link2", os.pwrite, b"W", 9), on_file("link2", os.fsync)],
         chmodded("link1"), links=True, dated="link2", synced=(3,)),
    Case("write to a setuid file whose data is below",
         [opening("odd/setuid", os.O_WRONLY), on_file("odd/setuid", os.pwrite, b"W", 2)],
         lambda root: os.chown(root / "odd/setuid", 0, 7), dated="odd/setuid", synced=(1,)),
]

GROUPS = {"copy-up": COPY_UP, "names": NAMES, "links": LINKS, "renames": RENAMES, "metacopy": METACOPY}


# ---- the matrix ---------------------------------------------------------------------------------

@pytest.fixture(scope="session")
def killer(tmp_path_factory):
    return crashkit.killer(tmp_path_factory)


@pytest.fixture(scope="module")
def tallies():
    """What became of the kills in each setting, told at the end."""
    counted = {}
    yield counted
    if report := os.environ.get("PLYFS_REPORT"):
        with open(report, "a", encoding="utf-8") as file:
            file.writelines(f"{name}: {tally.line()}\n" for name, tally in counted.items())


@pytest.mark.parametrize("n, made", [(1, []), (2, ["a"]), (3, ["a", "b"])])
def test_the_killer_keeps_the_call_from_being_done(sandbox, killer, n, made):
    done = harness.run(killer, n, "--", "mkdir", sandbox.path / "a", sandbox.path / "b", check=False)
    assert [path.name for path in sorted(sandbox.path.iterdir())] == made
    assert done.stdout.splitlines()[-1] == ("through" if n == 3 else "killed")


def possible(case, setting):
    return (setting.redirect or not case.redirect) and (setting.links or not case.links)


def share(position, number):
    """For CI every second step of the first setting does, and of the others a third of every sixth case."""
    if FULL:
        return 1, 1
    if number == 0:
        return 1 + position % 2, 2
    return (1 + position % 3, 3) if position % 6 == number % 6 else None


CASES = COPY_UP + NAMES + LINKS + RENAMES + METACOPY
MATRIX = [pytest.param(setting, case, *steps, id=f"{setting.name}-{case.name}")
          for number, setting in enumerate(SETTINGS) for position, case in enumerate(CASES)
          if possible(case, setting) and (steps := share(position, number))]


def kill_before_each_step(sandbox, killer, case, setting, first=1, every=1):
    harness.need_root()
    harness.need(harness.can_mount_kernel(), "needs overlayfs in the kernel")
    tally = crashkit.Tally()
    bench = crashkit.Bench(sandbox, killer, case, setting, LAYERS, dress)
    try:
        bench.run(tally, first, every)
    finally:
        bench.finish()
    return tally


@pytest.mark.parametrize("setting, case, first, every", MATRIX)
def test_a_kill_before_any_step_leaves_the_old_state_or_the_new_one(sandbox, killer, tallies, setting, case, first,
                                                                    every):
    harness.need_fuse()
    tally = kill_before_each_step(sandbox, killer, case, setting, first, every)
    tallies.setdefault(setting.name, crashkit.Tally()).add(tally)
    assert not tally.faults(), "\n".join(tally.faults())


def test_fuse_overlayfs_is_held_to_the_same(sandbox, killer, tallies):
    """Measured, not judged: what README.md compares."""
    harness.need(FULL, "PLYFS_FULL=1 compares with fuse-overlayfs")
    harness.need_tool("fuse-overlayfs")
    whole = tallies.setdefault("fuse-overlayfs", crashkit.Tally())
    unable = []
    for case in CASES:
        if possible(case, FUSE_OVERLAYFS):
            try:
                whole.add(kill_before_each_step(sandbox, killer, case, FUSE_OVERLAYFS))
            except OSError as error:
                unable.append(f"{case.name}: {error}")
    print("\n".join(whole.faults() + unable))
    assert whole.kills > 0 and len(unable) < len(CASES) // 4
