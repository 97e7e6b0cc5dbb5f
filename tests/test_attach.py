# SPDX-License-Identifier: MIT
"""Volumes attached to and detached from a mount in use.

The kernel is the specification: what readers may meet while a volume comes and goes is what they
meet while mount --bind and umount -l do the same."""
import contextlib
import errno
import json
import os
import pathlib
import stat
import subprocess
import threading

import pytest

from harness import digest, need_fuse, need_root, need_tool, run, umount

TIMES = 100


class Scene:
    """A tree with /data in it, a host directory with the same names, and a way to put it there."""

    def __init__(self, sandbox, store, way, options=()):
        need_fuse()
        need_root()
        self.store, self.way = store, way
        self.low, self.host = (pathlib.Path(sandbox.directory(name)) for name in ("low", "host"))
        (self.low / "data/dir").mkdir(parents=True)
        (self.host / "dir").mkdir()
        for number in range(20):
            (self.low / f"data/dir/f{number}").write_text("layer")
            (self.host / f"dir/f{number}").write_text("host!")
        (self.low / "data/only-layer").touch()
        (self.host / "only-host").touch()
        self.before = digest(self.low)
        if way == "kernel":
            self.at = pathlib.Path(sandbox.directory("merged"))
            run("mount", "-t", "overlay", "overlay", "-o",
                f"lowerdir={self.low},upperdir={sandbox.directory('upper')},"
                f"workdir={sandbox.directory('work')}", self.at)
        else:
            store.plyfs("create", "--name", "scene", "--lower", self.low, *options)
            self.at = store.mount("scene")
        self.data = self.at / "data"

    def attach(self):
        if self.way == "kernel":
            run("mount", "--bind", self.host, self.data)
        else:
            self.store.plyfs("attach", "scene", f"{self.host}:/data")

    def detach(self, lazy=True):
        if self.way == "kernel":
            umount(self.data, lazy=lazy)
        else:
            words = ["--lazy"] if lazy else []
            self.store.plyfs("detach", *words, "scene", "/data")

    def close(self):
        if self.way == "kernel":
            with contextlib.suppress(OSError):
                umount(self.data, lazy=True)
            umount(self.at, lazy=True)
        assert digest(self.low) == self.before, "a lower layer was changed"


@pytest.fixture
def scene(sandbox, store, request):
    made = Scene(sandbox, store, *getattr(request, "param", ("plyfs",)))
    yield made
    made.close()


def test_a_volume_comes_and_goes(scene):
    inside = os.open(scene.data, os.O_RDONLY)
    for _ in range(20):
        scene.attach()
        assert sorted(os.listdir(scene.data)) == ["dir", "only-host"]
        assert (scene.data / "dir/f1").read_text() == "host!"
        assert sorted(os.listdir(inside)) == ["dir", "only-layer"]  # who is inside stays there
        scene.detach()
        assert sorted(os.listdir(scene.data)) == ["dir", "only-layer"]
        assert (scene.data / "dir/f1").read_text() == "layer"
    os.close(inside)
    assert scene.store.diff("scene") == []


def test_what_was_not_there_comes_and_goes(scene):
    for _ in range(3):
        assert not (scene.at / "not/there").exists()
        scene.store.plyfs("attach", "scene", f"{scene.host}:/not/there")
        assert sorted(os.listdir(scene.at / "not/there")) == ["dir", "only-host"]
        assert "not" in os.listdir(scene.at)
        scene.store.plyfs("detach", "scene", "/not/there")
        assert not (scene.at / "not").exists()
        assert "not" not in os.listdir(scene.at)
    assert scene.store.diff("scene") == []


@pytest.mark.parametrize("scene", [("plyfs", ("-o", "profile=tracked")), ("plyfs", ("-o", "profile=stateless"))],
                         indirect=True)
def test_what_is_attached_is_in_a_listing_that_was_read_before(scene):
    before = {top: sorted(os.listdir(scene.at / top)) for top in ("", "data", "data/dir")}
    for top, names in before.items():
        scene.store.plyfs("attach", "scene", f"{scene.host}:/{top}/new/deep")
        assert sorted(os.listdir(scene.at / top)) == sorted([*names, "new"]), top
        scene.store.plyfs("detach", "scene", f"/{top}/new/deep")
        assert sorted(os.listdir(scene.at / top)) == names, top


@pytest.mark.parametrize("scene", [("plyfs", ("-o", "profile=tracked")), ("plyfs", ("-o", "profile=stateless"))],
                         indirect=True)
def test_a_directory_on_the_way_to_a_volume_in_a_volume_can_be_read(scene, sandbox):
    inner = sandbox.directory("inner")
    (inner / "file").write_text("inner")
    scene.attach()
    scene.store.plyfs("attach", "scene", f"{inner}:/data/not/there")
    assert sorted(os.listdir(scene.data)) == ["dir", "not", "only-host"]
    assert os.listdir(scene.data / "not") == ["there"]
    at = os.open(scene.data / "not", os.O_RDONLY)
    assert os.listdir(at) == ["there"] and stat.S_ISDIR(os.fstat(at).st_mode)
    os.fsync(at)
    os.close(at)
    assert (scene.data / "not/there/file").read_text() == "inner"
    assert run("find", scene.data / "not").stdout.split() == [
        os.fspath(scene.data / name) for name in ("not", "not/there", "not/there/file")]
    assert sorted(os.listdir(scene.host)) == ["dir", "only-host"], "nothing of it is on the host"
    scene.store.plyfs("detach", "scene", "/data/not/there")
    scene.store.plyfs("detach", "scene", "/data")


def served(store):
    return json.loads(store.plyfs("inspect", "scene").stdout)[0]["Served"]


def test_inspect_tells_what_the_daemon_does(scene):
    state = served(scene.store)
    assert state["Profile"] in ("tracked", "stateless") and state["Volumes"] == []
    assert (state["Whiteouts"], state["Attributes"], state["Recorded"]) == ("device", "trusted", None)
    scene.attach()
    with open(scene.data / "dir/f1", encoding="ascii"):
        volume, = served(scene.store)["Volumes"]
    assert volume["Destination"] == volume["Resolved"] == "/data"
    assert (volume["Source"], volume["ReadOnly"], volume["Cached"]) == (str(scene.host), False, False)
    assert volume["Open"] == (1 if state["Profile"] == "tracked" else 0)
    scene.detach()
    umount(scene.at)
    assert served(scene.store) is None


def test_what_lies_in_the_mount_is_not_attached_to_it(scene):
    scene.store.refused("attach", "scene", f"{scene.data / 'dir'}:/again",
                        words="lies in the mount itself")
    scene.store.refused("attach", "scene", f"{scene.at.parent}:/again",
                        words="the mount itself lies in it")
    assert os.listdir(scene.at) == ["data"]


def test_an_open_file_keeps_a_volume_where_it_is(scene):
    scene.attach()
    with open(scene.data / "dir/f1", encoding="ascii") as file:
        done = scene.store.refused("detach", "scene", "/data", words="in use by")
        assert str(os.getpid()) in done.stderr
        assert (scene.data / "dir/f1").read_text() == "host!"
        assert file.read() == "host!"
    scene.detach(lazy=False)


def test_a_working_directory_keeps_a_volume_where_it_is(scene):
    scene.attach()
    sleeper = subprocess.Popen(["sleep", "60"], cwd=scene.data / "dir")
    try:
        done = scene.store.refused("detach", "scene", "/data", words="sleep")
        assert str(sleeper.pid) in done.stderr
    finally:
        sleeper.kill()
        sleeper.wait()
    scene.detach(lazy=False)


def test_a_lazy_detach_leaves_open_files_to_their_users(scene):
    scene.attach()
    with open(scene.data / "dir/f1", "r+b", buffering=0) as file:
        scene.detach(lazy=True)
        assert (scene.data / "dir/f1").read_text() == "layer"
        assert file.read() == b"host!"
        file.write(b"more")
        assert (scene.host / "dir/f1").read_bytes() == b"host!more"
        scene.attach()
        assert (scene.data / "dir/f1").read_text() == "host!more"
        scene.detach(lazy=True)


def test_routes_can_be_attached_again_and_again(scene):
    """More often than there are slots for trees."""
    for number in range(140):
        scene.store.plyfs("attach", "scene", f"{scene.host}:/data:ro")
        if number % 50 == 0:
            assert (scene.data / "dir/f1").read_text() == "host!"
        scene.store.plyfs("detach", "scene", "/data")


class Readers:
    """Threads that read what they can, as long as the scene changes."""

    def __init__(self, scene):
        self.scene, self.over = scene, threading.Event()
        self.errors, self.wrong, self.reads = set(), [], 0
        acts = (self.read_file, self.list_directory, self.walk, self.read_file)
        self.threads = [threading.Thread(target=self.work, args=(act,)) for act in acts]
        for thread in self.threads:
            thread.start()

    def read_file(self, number):
        text = (self.scene.data / f"dir/f{number % 20}").read_text(encoding="ascii")
        if text not in ("layer", "host!"):
            self.wrong.append(text)

    def list_directory(self, _):
        names = sorted(os.listdir(self.scene.data))
        if names not in (["dir", "only-layer"], ["dir", "only-host"]):
            self.wrong.append(names)

    def walk(self, _):
        for where, _, names in os.walk(self.scene.data, onerror=self.failed):
            for name in names:
                with contextlib.suppress(FileNotFoundError):
                    os.stat(os.path.join(where, name))

    def failed(self, error):
        self.errors.add(errno.errorcode[error.errno])

    def work(self, act):
        number = 0
        while not self.over.is_set():
            try:
                act(number)
            except OSError as error:
                self.failed(error)
            number += 1
            self.reads += 1

    def stop(self):
        self.over.set()
        for thread in self.threads:
            thread.join(60)
            assert not thread.is_alive(), "a reader hangs"


@pytest.mark.parametrize("scene", [("kernel",), ("plyfs", ("-o", "profile=tracked")),
                                   ("plyfs", ("-o", "profile=stateless"))],
                         indirect=True, ids=("kernel", "tracked", "stateless"))
def test_attach_and_detach_under_load(scene):
    need_tool("fio", "find")
    for where in (scene.low / "data/dir", scene.host / "dir"):
        (where / "load").write_bytes(bytes(1 << 20))
    scene.before = digest(scene.low)
    readers = Readers(scene)
    finds = subprocess.Popen(["sh", "-c", f"while :; do find '{scene.data}' -type f -size +100k; done"],
                             stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    fio = subprocess.Popen(["fio", "--name=load", f"--filename={scene.data / 'dir/load'}", "--rw=randrw",
                            "--bs=4k", "--size=1m", "--time_based", "--runtime=600",
                            "--ioengine=psync", "--output=/dev/null"],
                           stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        for _ in range(TIMES):
            scene.attach()
            scene.detach()
        assert fio.poll() is None, fio.stderr.read()
    finally:
        readers.stop()
        for process in (finds, fio):
            process.terminate()
            assert process.wait(60) is not None
    complaints = [line for line in finds.stderr.read().splitlines()
                  if "No such file" not in line and "terminated" not in line.lower()]
    assert complaints == []
    assert readers.wrong == []
    assert readers.errors <= {"ENOENT"}, readers.errors
    assert readers.reads > TIMES
