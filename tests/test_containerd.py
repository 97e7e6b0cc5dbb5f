# SPDX-License-Identifier: MIT
"""Debian's containerd with plyfs in the place of fuse-overlayfs: an image of many layers is unpacked,
mounted and run through mounts that containerd itself has made by mount.fuse3.

containerd's own snapshotters mount by the kernel; the one that asks for fuse-overlayfs is a program apart,
which Debian does not have. tests/snapshotter.py stands in its place and gives the same answers."""
import os
import re
import shutil
import subprocess

import pytest

import engines
import sessions
from harness import PLYFS, ROOT, Sandbox, assert_same, need, need_fuse, need_root, need_tool, run, umount

NOTE = ROOT / "examples/containerd.md"
OWN = 'root = "{0}/lib"\nstate = "{0}/state"\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
SOCKET = '\n[grpc]\naddress = "{0}/containerd.sock"\n'
# A view that nobody refers to is collected after so many changes, or when the collector comes up.
KEPT = '[plugins."io.containerd.gc.v1.scheduler"]\nmutation_threshold = 1000000\nstartup_delay = "1h"\n'


def configuration(place):
    """That of the note, with sockets and directories of its own."""
    head, settings = re.search("```toml\n(version = 2\n)(.*?)```", NOTE.read_text(), re.DOTALL).groups()
    settings, count = re.subn('address = ".*"', f'address = "{place}/snapshotter.sock"', settings)
    assert count == 1
    return head + OWN.format(place) + settings + SOCKET.format(place) + KEPT


class Containerd:
    """A containerd, and its snapshotter, in a directory of their own."""

    def __init__(self, box):
        self.place = box.directory("containerd")
        self.snapshots, names = self.place / "snapshots", self.place / "bin"
        self.snapshots.mkdir()
        names.mkdir()
        shutil.copy(PLYFS, names / "fuse-overlayfs")
        self.environment = {**os.environ, "PATH": f"{names}:{os.environ['PATH']}",
                            "CONTAINERD_SNAPSHOTTER": "fuse-overlayfs"}
        self.log = open(self.place / "log", "wb")
        (self.place / "config.toml").write_text(configuration(self.place))
        self.snapshotter = subprocess.Popen(
            ["/usr/bin/python3", ROOT / "tests/snapshotter.py", self.place / "snapshotter.sock", self.snapshots],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log)
        assert self.snapshotter.stdout.readline() == b"serving\n"
        self.daemon = subprocess.Popen(["containerd", "-c", self.place / "config.toml"], stdin=subprocess.DEVNULL,
                                       stdout=self.log, stderr=self.log, env=self.environment)
        # It connects again until somebody answers.
        run("ctr", "--address", self.place / "containerd.sock", "--connect-timeout", "20s", "version")

    def ctr(self, *argv):
        done = run("ctr", "--address", self.place / "containerd.sock", *argv, check=False, env=self.environment)
        assert done.returncode == 0, f"{argv}: {done.stderr}\n{(self.place / 'log').read_text()[-3000:]}"
        return done.stdout.strip()

    def close(self):
        self.daemon.terminate()
        self.daemon.wait(20)
        self.snapshotter.stdin.close()
        self.snapshotter.wait(20)
        self.snapshotter.stdout.close()
        self.log.close()


@pytest.fixture(scope="module")
def world():
    need_fuse()
    need_root()
    need_tool("containerd", "ctr", "mount.fuse3")
    need(run("/usr/bin/python3", "-c", "import grpc", check=False).returncode == 0, "needs python3-grpcio")
    box = Sandbox()
    try:
        with engines.machine(box):
            maker = engines.Storage(box)
            sessions.whole(maker, sessions.make_base(box), sessions.make_sources(box))
            box.archive = box.path / "built.oci"
            maker.buildah("push", "-q", "localhost/built", f"oci-archive:{box.archive}:localhost/built:1")
            box.tree = maker.tree("localhost/built")
            assert maker.close() == []
            yield box
    finally:
        box.close()


@pytest.fixture(scope="module")
def containerd(world):
    daemon = Containerd(world)
    try:
        daemon.ctr("images", "import", "--snapshotter", "fuse-overlayfs", world.archive)
        yield daemon
    finally:
        daemon.close()


def test_a_container_of_containerd_runs_on_plyfs_and_leaves_no_daemon(containerd):
    for name in ("one", "two"):
        containerd.ctr("run", "--rm", "--snapshotter", "fuse-overlayfs", "--net-host", "localhost/built:1", name,
                       "/bin/sh", "-euc", 'grep -q "^plyfs / fuse.plyfs rw" /proc/mounts; test "$(id -u)" = 12; '
                       'test "$(cat /srv/app/again)" = built; test ! -e /usr/lib/lib3.so; test ! -e /tmp/new; '
                       "echo x >/tmp/new; rm /srv/app/sources/source3.c; mv /srv/app/sources/source4.c /tmp/moved")
    assert engines.ended(engines.daemons_of(containerd.place)) == []
    assert engines.mounts_of(containerd.place) == []


def test_an_image_that_containerd_unpacked_is_shown_as_buildah_shows_it(world, containerd):
    """By the very words that containerd has for it; `ctr` prints them, and the type is that of a helper."""
    listed = [line.split() for line in containerd.ctr("snapshots", "--snapshotter", "fuse-overlayfs", "ls").splitlines()]
    parents = {words[1] for words in listed if len(words) == 3}
    top, = [words[0] for words in listed[1:] if words[0] not in parents]
    at = world.directory("image")
    containerd.ctr("snapshots", "--snapshotter", "fuse-overlayfs", "view", "shown", top)
    words = containerd.ctr("snapshots", "--snapshotter", "fuse-overlayfs", "mounts", at, "shown").split()
    assert words[:4] == ["mount", "-t", "fuse3.fuse-overlayfs", "overlay"], words
    run("mount.fuse3", *words[3:], "-t", "fuse-overlayfs", env=containerd.environment)
    try:
        assert_same(world.tree, engines.visible(at), "left as buildah shows it, right as containerd has it mounted")
    finally:
        umount(at)
        containerd.ctr("snapshots", "--snapshotter", "fuse-overlayfs", "rm", "shown")
