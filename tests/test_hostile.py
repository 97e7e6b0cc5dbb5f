# SPDX-License-Identifier: MIT
"""Layers made by an enemy: nothing outside of them is shown or changed, no daemon dies or hangs, for
mounts of root, of root with user attributes, and of an ordinary user."""
import os
import signal
import subprocess
import threading

import pytest

from harness import PLYFS, can_mount_kernel, need, need_root, umount
from hostile_kit import CASES, Scene, everything, work_through
from test_cli import NOBODY, daemon_of, guest, plyfs  # noqa: F401  (guest is a fixture)
from worlds import PATIENCE, abort, as_user

SPACES = {"root": "trusted", "userxattr": "user", "user": "user"}


class Enemy:
    """A scene mounted by one of three: root, root with user attributes, an ordinary user."""

    def __init__(self, sandbox, who, request):
        self.who, self.sandbox = who, sandbox
        self.home = sandbox.directory(who)
        os.chmod(self.home, 0o755)
        self.scene = Scene(self.home, SPACES[who])
        self.with_user = request.getfixturevalue("guest").who if who == "user" else {}
        self.watch = None

    def mount(self, *options):
        s = self.scene
        if self.who == "user":
            s.give(NOBODY.pw_uid)
        more = [*options, "userxattr"] if self.who == "userxattr" else options
        words = [word for layer in s.layers for word in ("--lower", layer)]
        words += ["--upper", s.upper, "--work", s.work, *(word for option in more for word in ("-o", option))]
        done = plyfs("mount", *words, s.at, **self.with_user)
        assert done.returncode == 0, done.stderr
        self.daemon = daemon_of(s.at)
        self.watch = threading.Timer(PATIENCE, abort, [os.fspath(s.at)])
        self.watch.start()

    def act(self, function, *arguments):
        """By the user whose mount it is."""
        if self.who != "user":
            return function(*arguments)
        return as_user(function, *arguments, uid=NOBODY.pw_uid, gid=NOBODY.pw_gid)

    def end(self):
        """The daemon lives until it is unmounted, and nothing got out."""
        assert os.path.exists(f"/proc/{self.daemon}"), "the daemon died"
        umount(self.scene.at)
        self.watch.cancel()
        self.scene.assert_nothing_got_out()

    def close(self):
        if self.watch:
            self.watch.cancel()
        if os.path.ismount(self.scene.at):
            umount(self.scene.at, lazy=True)


@pytest.fixture(params=["root", "userxattr", "user"])
def enemy(request, sandbox):
    need_root()
    made = Enemy(sandbox, request.param, request)
    yield made
    made.close()


@pytest.mark.parametrize("name", CASES)
def test_nothing_gets_out_of_layers_in_which(enemy, name):
    CASES[name][0](enemy.scene)
    enemy.mount()
    enemy.act(work_through, os.fspath(enemy.scene.at))
    enemy.end()


# ---- what is broken is told as the kernel tells it ------------------------------------------------

KERNEL_OPTIONS = ("redirect_dir=on", "metacopy=on", "index=off")
SAME = [name for name, (_, why) in CASES.items() if why is None]


def shown_by(sandbox, kind, fill):
    """What one of the two shows of a scene."""
    scene = Scene(sandbox.directory(kind), "trusted")
    fill(scene)
    mount = getattr(sandbox, kind)(scene.layers, scene.upper, scene.work, at=scene.at, options=KERNEL_OPTIONS)
    with mount:
        found = everything(os.fspath(scene.at))
    return {path: seen if isinstance(seen, str) else [str(one).replace(f"/{kind}/", "/HOME/") for one in seen]
            for path, seen in found.items()}


@pytest.mark.parametrize("name", SAME)
def test_the_kernel_shows_the_same_of_layers_in_which(sandbox, name):
    need_root()
    assert shown_by(sandbox, "plyfs", CASES[name][0]) == shown_by(sandbox, "kernel", CASES[name][0])


def is_error(seen):
    return isinstance(seen, str)


@pytest.mark.parametrize("name", ["origins_are_forged", "metacopies_are_forged", "redirects_lead_out"])
def test_a_name_that_is_broken_is_listed_and_fails_as_in_the_kernel_where(sandbox, name):
    """Left out of a listing it would be lost without a word to whoever copies the directory. (ESTALE
    is what the kernel makes of an origin that names an object of another type; here such an origin
    gives no number, and that is all.)"""
    need_root()
    ours, theirs = (shown_by(sandbox, kind, CASES[name][0]) for kind in ("plyfs", "kernel"))
    assert ours["/"] == theirs["/"]
    broken = {path for path, seen in theirs.items() if is_error(seen) and seen != "ESTALE"}
    assert broken and {path for path, seen in ours.items() if is_error(seen)} >= broken
