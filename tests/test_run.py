# SPDX-License-Identifier: MIT
"""`plyfs run`: a program in a mount that nobody else sees, as root and as an ordinary user."""
import hashlib
import json
import os
import pathlib
import pwd
import shutil
import signal
import sqlite3
import stat
import subprocess
import time

import pytest

from engines import ended, processes_of
from harness import PLYFS, need, need_fuse, need_root, need_tool, run

NOBODY = pwd.getpwnam("nobody")
TOOLS = ("sh", "id", "env", "pwd", "cat", "echo", "touch", "ls", "readlink", "sleep", "kill")
CONFIG = {"Entrypoint": ["/bin/sh", "-c"], "Cmd": ["echo default"], "Env": ["GREETING=hello there"],
          "WorkingDir": "/work", "User": "guest", "Volumes": {"/data": {}}}


class Place:
    """A store with the mount `web` of a small rootfs, and the image `box` of the same."""

    def __init__(self, sandbox, who=()):
        need_fuse()
        need_tool("bwrap", "busybox")
        self.who, self.store = list(who), sandbox.directory("store")
        self.rootfs = sandbox.directory("rootfs")
        for name in ("bin", "proc", "dev", "etc", "work", "data"):
            (self.rootfs / name).mkdir()
        shutil.copy(shutil.which("busybox"), self.rootfs / "bin/busybox")
        for tool in TOOLS:
            (self.rootfs / "bin" / tool).symlink_to("busybox")
        (self.rootfs / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\nguest:x:1000:1001::/work:\n")
        (self.rootfs / "work").chmod(0o777)
        (self.rootfs / "data/file").write_text("of the image")

    def fill(self, config=None):
        """Makes layer, mount and image."""
        self.layer = self("layer", "import", self.rootfs).stdout.strip()
        tree = self("layer", "inspect", "--format", "{{.Path}}", self.layer).stdout.strip()
        self("create", "--name", "web", "--lower", tree)
        text = json.dumps({"architecture": "amd64", "os": "linux", "config": config or CONFIG,
                           "rootfs": {"type": "layers", "diff_ids": [f"sha256:{self.layer}"]}})
        image = hashlib.sha256(text.encode()).hexdigest()
        catalog = sqlite3.connect(self.store / "catalog.db")
        with catalog:
            catalog.execute("INSERT INTO image (id, config, created) VALUES (?, ?, 1)", (image, text))
            catalog.execute("INSERT INTO image_layer VALUES (?, 0, ?)", (image, self.layer))
            catalog.execute("INSERT INTO tag VALUES ('box:latest', ?)", (image,))
        catalog.close()
        return self

    def __call__(self, *argv, check=True, **kwargs):
        kwargs.setdefault("timeout", 60)
        return run(*self.who, "env", f"PLYFS_ROOT={self.store}", PLYFS, *argv, check=check,
                   stdin=subprocess.DEVNULL, **kwargs)

    def mounts(self):
        return [json.loads(line) for line in self("ps", "-a", "--format", "json").stdout.splitlines()]


def mountpoints():
    return sorted(pathlib.Path("/tmp").glob("plyfs-run-*"))


@pytest.fixture
def place(sandbox):
    need_root()
    before = mountpoints()
    yield Place(sandbox).fill()
    assert mountpoints() == before


@pytest.fixture
def guests(sandbox):
    """The same as an ordinary user has it, root of nothing but a user namespace."""
    need_root()
    need_tool("setpriv")
    who = ["setpriv", f"--reuid={NOBODY.pw_uid}", f"--regid={NOBODY.pw_gid}", "--clear-groups"]
    need(run(*who, "unshare", "-Urm", "true", check=False).returncode == 0, "needs user namespaces")
    place = Place(sandbox, who)
    os.chown(place.store, NOBODY.pw_uid, NOBODY.pw_gid)
    for path in (place.rootfs, *place.rootfs.rglob("*")):
        os.chown(path, NOBODY.pw_uid, NOBODY.pw_gid, follow_symlinks=False)
    before = stat.S_IMODE(os.stat("/dev/fuse").st_mode)
    os.chmod("/dev/fuse", 0o666)
    yield place
    os.chmod("/dev/fuse", before)


def test_a_program_runs_in_the_mount_and_its_status_is_told(place):
    done = place("run", "web", "--", "sh", "-c", "cat /data/file; exit 7", check=False)
    assert done.returncode == 7 and done.stdout == "of the image" and done.stderr == ""


def test_changes_stay_in_the_named_mount(place):
    place("run", "web", "--", "sh", "-c", "echo new > /work/new")
    assert "A /work/new" in place("diff", "web").stdout.splitlines()
    assert place("run", "web", "cat", "/work/new").stdout == "new\n"
    assert not (place.rootfs / "work/new").exists()


def test_nobody_else_sees_the_mount(place):
    before = pathlib.Path("/proc/self/mountinfo").read_text()
    seen = place("run", "web", "sh", "-c", "cat /proc/self/mountinfo").stdout
    assert pathlib.Path("/proc/self/mountinfo").read_text() == before
    assert " / / " in seen and "plyfs" in seen
    assert place.mounts()[0]["State"] == "unmounted"


def test_the_program_sees_its_own_processes_only(place):
    done = place("run", "web", "sh", "-c", "ls /proc; readlink /proc/self/ns/pid").stdout.split()
    assert len([word for word in done if word.isdigit()]) < 6
    assert done[-1] != os.readlink("/proc/self/ns/pid")


def test_an_image_is_run_as_its_config_says(place):
    script = "echo $GREETING; pwd; id -u; id -g; echo $HOME"
    told = place("run", "--rm", "box", script).stdout.splitlines()
    assert told == ["hello there", "/work", "1000", "1001", "/work"]


def test_an_image_has_its_own_command_where_no_other_is_said(place):
    assert place("run", "--rm", "box:latest").stdout == "default\n"


def test_with_rm_everything_is_gone_at_the_end(place):
    place("run", "--rm", "box", "echo x > /work/x")
    assert [mount["Name"] for mount in place.mounts()] == ["web"]
    assert len(list((place.store / "mounts").iterdir())) == 1
    assert list((place.store / "stage").iterdir()) == []


def test_without_rm_the_mount_of_an_image_has_a_name_and_its_changes(place):
    place("run", "--name", "kept", "box", "echo x > /work/x")
    assert place("run", "kept", "cat /work/x").stdout == "x\n"
    assert "A /work/x" in place("diff", "kept").stdout.splitlines()


@pytest.mark.parametrize("way,told", [("ignore", "of the image"), ("tmpfs", "")])
def test_volumes_of_an_image_are_ignored_or_empty(place, way, told):
    done = place("run", "--rm", f"--image-volume={way}", "box", "cat /data/* 2>/dev/null; true")
    assert done.stdout == told


def test_the_environment_of_the_caller_stays_outside(place):
    told = place("run", "web", "env", env={**os.environ, "SECRET": "x"}).stdout
    assert "SECRET" not in told and "PLYFS_ROOT" not in told and "PATH=/usr/local/sbin" in told


def test_what_is_wrong_is_named_with_status_125(place):
    for words, told in ((["nothing"], "nothing: no such mount and no such image"),
                        (["--nonsense", "web"], "unknown option '--nonsense'"), ([], "is missing"),
                        (["--rm", "web"], "web: no such mount and no such image")):
        done = place("run", *words, check=False)
        assert done.returncode == 125 and told in done.stderr, done.stderr
    assert [mount["Name"] for mount in place.mounts()] == ["web"]


def test_a_program_that_cannot_be_started_was_not_run(place):
    """Its own status may be 1, and that of a program of which another runs may be 127."""
    for words in (["nothing"], ["/etc"]):
        done = place("run", "web", "--", *words, check=False)
        assert done.returncode == 125 and words[0] in done.stderr, done
    for status in (1, 125, 127):
        assert place("run", "web", "--", "sh", "-c", f"exit {status}", check=False).returncode == status


def test_an_image_whose_proc_leads_out_is_not_run(sandbox):
    need_root()
    place = Place(sandbox)
    shutil.rmtree(place.rootfs / "proc")
    (place.rootfs / "proc").symlink_to("/oldroot/tmp")
    place.fill()
    done = place("run", "web", "id", check=False)
    assert done.returncode == 125 and "/proc" in done.stderr
    assert place.mounts()[0]["State"] == "unmounted"


def test_a_signal_that_ends_the_program_is_told_and_the_mount_is_cleared(place):
    done = place("run", "web", "sh", "-c", "kill -TERM $$", check=False)
    assert done.returncode == 128 + signal.SIGTERM
    assert place.mounts()[0]["State"] == "unmounted"


def test_an_interrupt_of_the_terminal_ends_the_program_alone(place):
    """The key reaches the whole foreground group; what is mounted is still unmounted."""
    with subprocess.Popen(["env", f"PLYFS_ROOT={place.store}", PLYFS, "run", "web", "--", "sh", "-c",
                           "trap 'exit 5' INT; echo ready; while :; do sleep 1; done"],
                          stdout=subprocess.PIPE, stdin=subprocess.DEVNULL,
                          start_new_session=True) as program:
        assert program.stdout.readline() == b"ready\n"
        os.killpg(program.pid, signal.SIGINT)
        assert program.wait(timeout=60) != 0
    assert place.mounts()[0]["State"] == "unmounted"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_whoever_ends_it_ends_the_program_and_the_mount_is_cleared(place, number):
    with subprocess.Popen(["env", f"PLYFS_ROOT={place.store}", PLYFS, "run", "--rm", "box",
                           "echo ready; while :; do sleep 1; done"],
                          stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as program:
        assert program.stdout.readline() == b"ready\n"
        program.send_signal(number)
        assert program.wait(timeout=60) == 128 + number
    assert [mount["Name"] for mount in place.mounts()] == ["web"]


def test_an_ordinary_user_runs_it_as_root_of_a_user_namespace(guests):
    guests.fill()
    told = guests("run", "web", "--", "sh", "-c", "id -u; echo x > /work/x; cat /data/file").stdout
    assert told == "0\nof the image"
    assert "A /work/x" in guests("diff", "web").stdout.splitlines()
    assert guests("run", "--rm", "box", "id -u; id -g").stdout.split() == ["1000", "1001"]


def test_nothing_serves_on_where_nobody_but_the_command_was_when_the_mount_was_made(sandbox):
    """Whoever asked for it has gone by then, and with the command the last one goes."""
    need_root()
    lower, at = sandbox.directory("lower"), sandbox.directory("at")
    run("unshare", "--mount", "--propagation", "private", PLYFS, "mount", "--lower", lower, at)
    assert ended(processes_of(sandbox.path)) == []


def test_nothing_serves_on_of_one_that_is_killed_as_it_starts(place):
    """Its mount is in a namespace that nobody else can come to. bubblewrap itself may leave a process when it is
    killed as it starts, so that another program stands for it."""
    before, tools = mountpoints(), place.store.parent / "tools"
    tools.mkdir()
    (tools / "bwrap").write_text("#!/bin/sh\nexec sleep 60\n")
    (tools / "bwrap").chmod(0o755)
    env = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"}
    for milliseconds in range(0, 60, 2):
        started = subprocess.Popen([PLYFS, "run", "--root", place.store, "web", "sleep", "60"], stdin=subprocess.DEVNULL,
                                   env=env)
        time.sleep(milliseconds / 1000)
        started.kill()
        started.wait()
        assert ended(processes_of(place.store.parent)) == [], milliseconds
    for point in set(mountpoints()) - set(before):
        point.rmdir()
    assert [mount["State"] for mount in place.mounts() if mount["Name"] == "web"] != ["mounted"]
