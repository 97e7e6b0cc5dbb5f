# SPDX-License-Identifier: MIT
"""Layers made by an enemy: nothing outside of them is shown or changed, no daemon dies or hangs, for
mounts of root, of root with user attributes, and of an ordinary user."""
import contextlib
import os
import pathlib
import random
import shutil
import signal
import stat
import struct
import subprocess
import threading

import pytest

import layers_kit as kit
from harness import need_root, run, umount
from hostile_kit import CASES, SECRET, Scene, everything, handle_of, work_through
from test_cli import NOBODY, daemon_of, guest, plyfs  # noqa: F401  (guest is a fixture)
from worlds import PATIENCE, abort, as_user, attempt

SPACES = {"root": "trusted", "userxattr": "user", "user": "user"}


def without_error(function, *arguments):
    """An error that the function does not expect is a failure, not its answer."""
    try:
        return function(*arguments)
    except OSError as error:
        raise AssertionError(f"{function.__name__}: {error}") from error


class Enemy:
    """A scene mounted by one of three: root, root with user attributes, an ordinary user."""

    def __init__(self, sandbox, who, request):
        self.who, self.sandbox = who, sandbox
        self.with_user = request.getfixturevalue("guest").who if who == "user" else {}
        self.scene = Scene(sandbox.directory(who), SPACES[who])
        os.chmod(self.scene.home, 0o755)
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
        """By the user whose mount it is, in a process of its own."""
        uid, gid = (NOBODY.pw_uid, NOBODY.pw_gid) if self.who == "user" else (0, 0)
        return as_user(without_error, function, *arguments, uid=uid, gid=gid)

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


# ---- the work directory -------------------------------------------------------------------------------

def link_the_stage(scene):
    os.symlink(scene.outside, scene.work / "work")


def link_the_index(scene):
    os.symlink(scene.outside, scene.work / "index")


def leave_links_in_the_stage(scene):
    for name in ("#1", "incompat", "secret", "tmp.1"):
        (scene.work / "work").mkdir(exist_ok=True)
        os.symlink(scene.outside, scene.work / "work" / name)
    kit.put(scene.work / "work/dir/in", "x")
    os.symlink(scene.outside, scene.work / "work/dir/out")


def put_links_in_the_index(scene):
    """In the place of every inode that has several names and could be looked up there."""
    (scene.work / "index").mkdir()
    for layer in scene.layers:
        kit.put(layer / "one", "one inode")
        os.link(layer / "one", layer / f"two-{layer.name}")
        os.symlink(scene.outside / "secret", scene.work / "index" / handle_of(layer / "one").hex())


@pytest.mark.parametrize("fill", [link_the_stage, link_the_index, leave_links_in_the_stage, put_links_in_the_index])
def test_nothing_gets_out_of_a_work_directory_with_links(enemy, fill):
    """Such a mount is refused in words, or goes on without them."""
    fill(enemy.scene)
    for layer in enemy.scene.layers:
        kit.put(layer / "d/f", "x")
    try:
        enemy.mount("index=on")
    except AssertionError as refusal:
        assert "work directory" in str(refusal) and "plyfs" in str(refusal)
        enemy.scene.assert_nothing_got_out()
        return
    enemy.act(work_through, os.fspath(enemy.scene.at))
    enemy.end()


# ---- swapped while they are walked ------------------------------------------------------------------

SWAPPED = 8
ROUNDS = 300 if os.environ.get("PLYFS_FULL") == "1" else 6


def swap_for_ever(folders):
    """Exchanges, in each folder, the directory d with the symlink l, and the file f with the symlink g."""
    while True:
        for folder in folders:
            for one, other in (("d", "l"), ("f", "g")):
                with contextlib.suppress(OSError):
                    kit.renameat2(f"{folder}/{one}", f"{folder}/{other}", kit.EXCHANGE)


def lay_swaps(scene, layers):
    for layer in layers:
        for number in range(SWAPPED):
            folder = layer / f"s{number}"
            kit.put(folder / "d/secret", "inside")
            kit.put(folder / "d/sub/secret", "inside")
            kit.put(folder / "f", "inside")
            os.symlink(scene.outside, folder / "l")
            os.symlink("../../outside/secret", folder / "g")


def at_name(act):
    """An act on a name in an open directory, whatever comes of it."""
    with contextlib.suppress(OSError):
        return act()


def open_in(folder, name, flags):
    return os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)


def read_in(folder, name):
    with os.fdopen(open_in(folder, name, os.O_RDONLY), "rb") as file:
        assert SECRET not in file.read(), f"{name} shows the canary"


def write_in(folder, name):
    fd = open_in(folder, name, os.O_WRONLY | os.O_APPEND)
    os.write(fd, b"+")
    os.fchmod(fd, 0o600)
    os.setxattr(fd, "user.x", b"1")
    os.close(fd)


def walk_by_steps(at, tops, paths):
    """What a find, cat, write, chmod and rm do, by steps of one name that follow nothing: a symlink that the
    mount shows would lead this process out, and rightly so."""
    done = 0
    root = os.open(at, os.O_RDONLY)
    for number, top in enumerate(tops):
        top = at_name(lambda: open_in(root, top, os.O_RDONLY | os.O_DIRECTORY))
        if top is None:
            continue
        for path in paths:
            folder = os.dup(top)
            for name in path:
                below = at_name(lambda: open_in(folder, name, os.O_RDONLY | os.O_DIRECTORY))
                os.close(folder)
                folder = below
                if below is None:
                    break
            if folder is None:
                continue
            names = at_name(lambda: os.listdir(folder)) or []
            for name in {*names, "secret", "f", "g"}:
                at_name(lambda: read_in(folder, name))
                at_name(lambda: os.readlink(name, dir_fd=folder))
                at_name(lambda: write_in(folder, name))
                at_name(lambda: os.chown(name, os.getuid(), os.getgid(), dir_fd=folder, follow_symlinks=False))
                at_name(lambda: os.utime(name, (1, 1), dir_fd=folder, follow_symlinks=False))
                at_name(lambda: os.rename(name, name + ".r", src_dir_fd=folder, dst_dir_fd=folder))
                at_name(lambda: os.link(name + ".r", name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False))
                if number % 2:
                    at_name(lambda: os.unlink(name, dir_fd=folder))
                done += 1
            at_name(lambda: os.mkdir("made", dir_fd=folder))
            at_name(lambda: os.close(open_in(folder, "new", os.O_CREAT | os.O_WRONLY)))
            os.close(folder)
        os.close(top)
    return done


@pytest.mark.parametrize("where", ["lower", "upper"])
def test_nothing_gets_out_of_directories_that_are_swapped_for_symlinks_while_they_are_walked(enemy, where):
    scene, done = enemy.scene, 0
    for turn in range(ROUNDS):
        swapped = [scene.middle, scene.bottom] if where == "lower" else [scene.upper]
        for layer in [scene.upper, *scene.layers]:
            subprocess.run(["rm", "-rf", *map(str, layer.iterdir())], check=False)
        lay_swaps(scene, swapped)
        enemy.sandbox.guarded.clear()
        enemy.mount("timeout=0", *(() if turn % 3 else ("profile=tracked",)))
        swapper = os.fork()
        if swapper == 0:
            swap_for_ever([layer / f"s{number}" for layer in swapped for number in range(SWAPPED)])
        try:
            done += enemy.act(walk_by_steps, os.fspath(scene.at), [f"s{number}" for number in range(SWAPPED)],
                              (("d",), ("l",), ("d", "sub"), ("l", "sub"), ()))
        finally:
            os.kill(swapper, signal.SIGKILL)
            os.waitpid(swapper, 0)
        enemy.end()
    assert done > ROUNDS * SWAPPED
    tell(f"{enemy.who}, {where} swapped: {done} names walked in {ROUNDS} mounts")


def tell(line):
    if report := os.environ.get("PLYFS_REPORT"):
        with open(report, "a", encoding="utf-8") as file:
            print(line, file=file)


# ---- deep, long, and changed underneath -----------------------------------------------------------

DEEP = 2000


def descend(top, make=False):
    """A descriptor of the directory DEEP levels below, reached by steps of one name."""
    fd = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(DEEP):
        if make:
            os.mkdir("d", dir_fd=fd)
        below = os.open("d", os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
        os.close(fd)
        fd = below
    return fd


def work_deep_down(at):
    fd = descend(at)
    with os.fdopen(os.open("f", os.O_RDWR, dir_fd=fd), "r+b") as file:
        assert file.read() == b"deep"
        file.write(b" and changed")
    os.symlink("/nowhere", "l", dir_fd=fd)
    os.setxattr(fd, "user.deep", b"yes")
    os.rename("f", "g", src_dir_fd=fd, dst_dir_fd=fd)
    seen = sorted(os.listdir(fd)), os.getxattr(fd, "user.deep")
    os.close(fd)
    os.rename(f"{at}/d", f"{at}/renamed")
    assert run("find", at, "-name", "g").stdout.split("/").count("d") == DEEP - 1
    return seen


def test_directories_2000_deep_are_walked_changed_renamed_and_removed(enemy):
    for layer in (enemy.scene.top, enemy.scene.bottom):
        fd = descend(layer, make=True)
        with os.fdopen(os.open("f", os.O_CREAT | os.O_WRONLY, dir_fd=fd), "wb") as file:
            file.write(b"deep")
        os.close(fd)
    enemy.mount()
    try:
        assert enemy.act(work_deep_down, os.fspath(enemy.scene.at)) == (["g", "l"], b"yes")
        enemy.act(subprocess.run, ["rm", "-rf", f"{enemy.scene.at}/renamed"])
        assert enemy.act(os.listdir, os.fspath(enemy.scene.at)) == []
        enemy.end()
    finally:        # nothing that recurses in Python clears this away
        enemy.close()
        subprocess.run(["rm", "-rf", enemy.scene.home], check=True)


def longest(at, length):
    """A path of so many bytes, by names of 200."""
    parts = []
    while length - len(at) > 202:
        parts.append("p" * 200)
        length -= 201
    return "/".join([at, *parts, "q" * (length - len(at) - 1)])


def work_at_the_limit(at):
    path = longest(at, 4095)
    assert len(path) == 4095
    os.makedirs(os.path.dirname(path), exist_ok=True)
    kit.put(path, "at the limit")
    os.chmod(path, 0o600)
    with open(path, "ab") as file:
        file.write(b"!")
    too_long = attempt(os.open, path + "x", os.O_CREAT | os.O_WRONLY)
    return kit_read(path), too_long


def kit_read(path):
    with open(path, "rb") as file:
        return file.read()


def test_a_path_of_4095_bytes_is_made_and_changed_and_one_more_is_refused(enemy):
    enemy.mount()
    assert enemy.act(work_at_the_limit, os.fspath(enemy.scene.at)) == (b"at the limit!", "ENAMETOOLONG")
    enemy.end()


def rearrange_for_ever(layer, outside):
    """Whoever may write a layer makes and removes in it what he likes, all the while. (He is shut in, so that
    no symlink leads himself out.)"""
    os.chroot(layer)
    rng, layer = random.Random(7), pathlib.Path("/")
    while True:
        name = layer / f"n{rng.randrange(6)}"
        with contextlib.suppress(OSError):
            rng.choice([lambda: os.unlink(name), lambda: os.mkdir(name), lambda: shutil.rmtree(name),
                        lambda: os.symlink(outside, name), lambda: kit.put(name, "x" * rng.randrange(9000)),
                        lambda: kit.put(name / f"n{rng.randrange(6)}/in", "in"), lambda: os.mkfifo(name),
                        lambda: kit.whiteout(name), lambda: os.truncate(name, rng.randrange(9000)), lambda: os.chmod(name, 0),
                        lambda: os.setxattr(name, "trusted.overlay.opaque", b"y"),
                        lambda: os.setxattr(name, "trusted.overlay.redirect", rng.choice([b"/n1", b"n2", b"/../outside"])),
                        lambda: os.setxattr(name, "trusted.overlay.metacopy", b""),
                        lambda: os.rename(name, layer / f"n{rng.randrange(6)}")])()


def test_layers_that_are_changed_while_they_are_mounted_end_no_daemon_and_let_nothing_out(enemy):
    scene = enemy.scene
    for layer in scene.layers:
        for number in range(6):
            kit.put(layer / f"n{number}/n{number}/in", "in")
    enemy.mount("timeout=0")
    enemy.sandbox.guarded.clear()
    children = []
    for layer in (scene.top, scene.bottom, scene.upper):
        child = os.fork()
        if child == 0:
            rearrange_for_ever(layer, scene.outside)
        children.append(child)
    try:
        names = [f"n{number}" for number in range(6)]
        done = sum(enemy.act(walk_by_steps, os.fspath(scene.at), ["."] + names, [(), *((name,) for name in names)])
                   for _ in range(15))
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    assert done > 100
    enemy.end()


# ---- what an image brings for others ----------------------------------------------------------------

def test_a_setuid_program_and_a_capability_of_a_layer_are_inert_on_an_ordinary_users_mount(sandbox, request):
    """The kernel mounts what fusermount3 asks for with nosuid and nodev, whatever the options say."""
    need_root()
    enemy = Enemy(sandbox, "user", request)
    scene = enemy.scene
    for name in ("setuid", "capable"):
        shutil.copy("/usr/bin/id", scene.bottom / name)
    os.mknod(scene.bottom / "zero", stat.S_IFCHR | 0o666, os.makedev(1, 5))
    scene.give(NOBODY.pw_uid)
    os.chown(scene.bottom / "setuid", 0, 0)
    os.chmod(scene.bottom / "setuid", 0o6755)
    os.setxattr(scene.bottom / "capable", "security.capability", struct.pack("<IIIII", 0x02000001, 1 << 7, 0, 0, 0))
    scene.give = lambda uid: None
    try:
        enemy.mount()
        at = os.fspath(scene.at)
        assert enemy.act(os.stat, f"{at}/setuid").st_mode & 0o7777 == 0o6755
        told = enemy.act(run, f"{at}/setuid").stdout
        assert f"uid={NOBODY.pw_uid}" in told and "euid" not in told
        assert enemy.act(run, f"{at}/capable", "-u").stdout == f"{NOBODY.pw_uid}\n"
        assert enemy.act(attempt, os.open, f"{at}/zero", os.O_RDONLY) == "EACCES"
        flags = next(line.split()[5] for line in open("/proc/self/mountinfo", encoding="utf-8") if f" {at} " in line)
        assert {"nosuid", "nodev"} <= set(flags.split(","))
        enemy.end()
    finally:
        enemy.close()
