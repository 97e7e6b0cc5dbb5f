# SPDX-License-Identifier: MIT
"""Volume drivers: what mount(8) is asked for, rclone as a real plug-in, and plug-ins that lie, hang and die."""
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import pytest

from harness import PLYFS, is_mounted, need, need_root, need_tool, run, umount
from storekit import Store, wait_for


def answers(path):
    """Whether somebody listens on the socket."""
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
        except OSError:
            return False
        return True


class Drivers(Store):
    """A store, and plug-ins that are looked for in a directory of the sandbox."""

    def __init__(self, sandbox):
        super().__init__(sandbox)
        self.plugins, self.running = sandbox.directory("plugins"), []
        self.env = {**os.environ, "PLYFS_ROOT": str(self.path), "PLYFS_PLUGINS": str(self.plugins)}

    def plyfs(self, *argv, **kwargs):
        return super().plyfs(*argv, **{"env": self.env, **kwargs})

    def start(self, name, *argv):
        at = self.plugins / f"{name}.sock"
        child = subprocess.Popen([str(a) for a in argv], stdin=subprocess.DEVNULL,
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.running.append(child)
        wait_for(lambda: answers(at), f"{name} listens")
        return child

    def rclone(self):
        need_tool("rclone")
        need(run("rclone", "help", "flags", check=False).returncode == 0, "needs rclone")
        for name in ("base", "cache"):
            (self.sandbox.path / name).mkdir(exist_ok=True)
        socket_path = self.plugins / "rclone.sock"
        socket_path.unlink(missing_ok=True)
        return self.start("rclone", "rclone", "serve", "docker", "--forget-state", "--no-spec",
                          "--base-dir", self.sandbox.path / "base", "--cache-dir",
                          self.sandbox.path / "cache", "--socket-addr", socket_path,
                          "--config", self.sandbox.path / "rclone.conf")

    def fake(self, mode=""):
        self.told = self.sandbox.path / "told"
        self.told.mkdir(exist_ok=True)
        self.be(mode)
        program = pathlib.Path(__file__).parent / "fakeplugin.py"
        return self.start("fake", sys.executable, program, self.plugins / "fake.sock", self.told)

    def be(self, mode):
        (self.told / ".mode").write_text(mode)

    def asked(self):
        return [line.split() for line in (self.told / ".log").read_text().splitlines()]

    def rows(self):
        return {row["Name"]: row for row in map(json.loads, self.plyfs(
            "volume", "ls", "--format", "json").stdout.splitlines())}

    def stop(self, child):
        child.kill()
        child.wait()
        self.running.remove(child)

    def close(self):
        super().close()
        for child in list(self.running):
            child.terminate()
            try:
                child.wait(20)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        base = self.sandbox.path / "base"
        for at in base.iterdir() if base.exists() else ():
            if os.path.ismount(at):
                umount(at, lazy=True)


@pytest.fixture
def drivers(sandbox):
    store = Drivers(sandbox)
    yield store
    store.close()


def make_mount(drivers, name, *argv):
    lower = drivers.sandbox.directory("lower")
    (lower / "file").write_text("of the layer")
    drivers.plyfs("create", "--name", name, *argv, "--lower", lower)


# ---- local: what mount(8) is asked for ----------------------------------------------------------

def fake_mount(drivers, then):
    """A mount(8) that writes down its arguments, one in a line, and goes on as it is told."""
    where = drivers.sandbox.directory("bin")
    program = where / "mount"
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >"{where}/asked"\n{then}\n')
    program.chmod(0o755)
    drivers.env["PATH"] = f"{where}:{os.environ['PATH']}"
    return where / "asked"


@pytest.mark.parametrize("options, words", [
    (("type=tmpfs", "device=tmpfs", "o=size=1m"), ["-t", "tmpfs", "-o", "size=1m", "--", "tmpfs"]),
    (("type=nfs", "device=:/path", "o=addr=192.0.2.1,ro"),
     ["-t", "nfs", "-o", "ro", "--", "192.0.2.1:/path"]),
    (("type=cifs", "device=//192.0.2.1/share", "o=username=me"),
     ["-t", "cifs", "-o", "username=me", "--", "//192.0.2.1/share"]),
    (("type=ext4", "device=--bind"), ["-t", "ext4", "--", "--bind"]),
])
def test_mount_is_asked_in_words_that_cannot_be_mistaken(drivers, options, words):
    asked = fake_mount(drivers, "exit 32")
    drivers.plyfs("volume", "create", *(f"-o{option}" for option in options), "vol")
    make_mount(drivers, "box", "-v", "vol:/data")
    at = drivers.sandbox.directory("mnt")
    drivers.refused("mount", "box", at, words="volume vol: mount(8) of")
    assert not is_mounted(at)
    assert asked.read_text().splitlines() == [*words, str(drivers.path / "volumes/vol/_data")]


def test_options_are_refused_in_dockers_words(drivers):
    drivers.refused("volume", "create", "-o", "foo=1", "vol", words='invalid option: "foo"')
    drivers.refused("volume", "create", "-o", "type=none", "-o", "o=bind", "vol",
                    words='missing required option: "device"')
    assert drivers.rows() == {}


def test_the_last_user_of_a_tmpfs_unmounts_it_and_a_crash_leaves_it_to_the_next(drivers):
    need_root()
    drivers.plyfs("volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "vol")
    data = drivers.path / "volumes/vol/_data"
    for name in ("one", "two"):
        make_mount(drivers, name, "-v", "vol:/data")
    one, two = drivers.mount("one"), drivers.mount("two")
    (one / "data/file").write_text("shared")
    assert (two / "data/file").read_text() == "shared"
    drivers.plyfs("umount", "one")
    assert is_mounted(data)
    os.kill(json.loads(drivers.plyfs("inspect", "two").stdout)[0]["Pid"], signal.SIGKILL)
    umount(two, lazy=True)
    assert is_mounted(data)
    again = drivers.mount("one")
    assert (again / "data/file").read_text() == "shared"
    drivers.plyfs("umount", "one")
    wait_for(lambda: not is_mounted(data), "the last user unmounts")


# ---- plug-ins: a fake one -----------------------------------------------------------------------

def test_what_is_mounted_is_unmounted_with_the_same_id_and_each_use_has_its_own(drivers):
    drivers.fake()
    drivers.plyfs("volume", "create", "-d", "fake", "vol")
    make_mount(drivers, "box", "-v", "vol:/data")
    for _ in range(2):
        at = drivers.mount("box")
        (at / "data/file").write_text("kept")
        drivers.plyfs("umount", "box")
    assert (drivers.told / "vol/file").read_text() == "kept"
    wait_for(lambda: sum("Unmount" in line[0] for line in drivers.asked()) == 2, "it is unmounted")
    ids = [line[2] for line in drivers.asked() if line[0].endswith(("Mount", "Unmount"))]
    assert ids[0] == ids[1] and ids[2] == ids[3] and ids[0] != ids[2]
    assert all(len(word) == 64 for word in ids)


@pytest.mark.parametrize("mode, words", [("lie", "says that it is in /nowhere/at/all"),
                                         ("refuse", "I would rather not"),
                                         ("nonsense", "makes no sense")])
def test_a_plugin_that_lies_or_refuses_is_an_error_and_no_mount(drivers, mode, words):
    drivers.fake()
    drivers.plyfs("volume", "create", "-d", "fake", "vol")
    make_mount(drivers, "box", "-v", "vol:/data")
    drivers.be(mode)
    at = drivers.sandbox.directory("mnt")
    drivers.refused("mount", "box", at, words=words)
    assert not is_mounted(at)


@pytest.mark.parametrize("how", ["hang", "die"])
def test_a_listing_does_not_wait_for_a_plugin(drivers, how):
    plugin = drivers.fake()
    for name in ("vol1", "vol2", "vol3"):
        drivers.plyfs("volume", "create", "-d", "fake", name)
    drivers.plyfs("volume", "create", "own")
    if how == "hang":
        drivers.be("hang")
    else:
        drivers.stop(plugin)
    begun = time.monotonic()
    table = drivers.plyfs("volume", "ls").stdout
    assert time.monotonic() - begun < 10  # 3 s, and what a busy machine adds
    assert table.count("unreachable") == 3 and "own" in table


def test_a_plugin_that_is_not_there_is_named(drivers):
    drivers.refused("volume", "create", "-d", "nobody", "vol", words='plugin "nobody" not found')
    assert drivers.rows() == {}


FAKE = ("--mount", "type=volume,src=vol,dst=/data,volume-driver=fake")


@pytest.mark.parametrize("there", [True, False])
def test_a_mount_that_fails_removes_no_volume_that_the_plugin_had(drivers, there):
    drivers.fake()
    if there:
        (drivers.told / "vol").mkdir()
        (drivers.told / "vol/precious").write_text("precious")
    lower = drivers.sandbox.directory("lower")
    (lower / "more").mkdir()
    with open(lower / "more/file", "wb") as file:
        file.truncate(3 << 20)
    small = ("--mount", "src=small,dst=/more,volume-opt=size=2m")
    drivers.refused("create", "--name", "box", *FAKE, *small, "--lower", lower, words="No space left on device")
    assert ["/VolumeDriver.Create", "vol"] in drivers.asked() or there
    assert (drivers.told / "vol/precious").exists() == there
    assert (drivers.told / "vol").exists() == there and drivers.rows() == {}


@pytest.mark.parametrize("there", [True, False])
def test_an_attach_that_fails_removes_no_volume_that_the_plugin_had(drivers, there):
    drivers.fake("lie")
    if there:
        (drivers.told / "vol").mkdir()
        (drivers.told / "vol/precious").write_text("precious")
    make_mount(drivers, "box")
    drivers.mount("box")
    drivers.refused("attach", "box", FAKE[1], words="cannot attach /data to box")
    assert (drivers.told / "vol/precious").exists() == there
    assert (drivers.told / "vol").exists() == there and drivers.rows() == {}


# ---- plug-ins: rclone ---------------------------------------------------------------------------

def test_rclone_serves_volumes_and_comes_back_after_it_was_killed(drivers):
    need_root()
    plugin = drivers.rclone()
    remote = drivers.sandbox.directory("remote")
    drivers.plyfs("volume", "create", "-d", "rclone", "-o", f"remote=:local:{remote}",
                  "-o", "vfs-cache-mode=writes", "-o", "vfs-write-back=0s", "vol")
    assert drivers.rows()["vol"]["Driver"] == "rclone"
    make_mount(drivers, "box", "-v", "vol:/data")
    at = drivers.mount("box")
    (at / "data/file").write_text("far away")
    drivers.plyfs("umount", "box")
    wait_for(lambda: (remote / "file").exists() and (remote / "file").read_text() == "far away",
             "it arrives")
    drivers.stop(plugin)
    drivers.refused("volume", "rm", "vol", words="volume is in use")
    assert "unreachable" in drivers.plyfs("volume", "ls").stdout
    drivers.rclone()
    drivers.plyfs("rm", "box")
    drivers.plyfs("volume", "rm", "vol")
    assert drivers.rows() == {}
    assert (remote / "file").read_text() == "far away"


def test_without_libcurl_all_but_plugins_can_be_used(drivers):
    """It is loaded when a plug-in is spoken to. Nothing lies over it but in a mount namespace of its own."""
    drivers.fake()
    hidden = ("for lib in $(ldconfig -p | sed -n 's/.*libcurl\\.so\\.4 .*=> //p'); do mount --bind /dev/null $lib; done; "
              f"{PLYFS} volume create local && {PLYFS} volume create -d fake remote")
    done = run("unshare", "--mount", "--propagation", "private", "sh", "-c", hidden, env=drivers.env, check=False)
    assert done.returncode != 0
    assert "volume remote" in done.stderr and "libcurl4" in done.stderr, done.stderr
    assert list(drivers.rows()) == ["local"]
