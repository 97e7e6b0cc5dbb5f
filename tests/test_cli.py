# SPDX-License-Identifier: MIT
"""The command line: what is refused and in what words, how a mount comes, lives and goes, for root,
for an ordinary user and in a user namespace, and the drop-in form under its own name."""
import ctypes
import errno
import os
import pwd
import shutil
import signal
import stat
import struct
import subprocess
import time
import types

import pytest

from harness import (LIBC, PLYFS, is_mounted, need, need_fuse, need_root, need_tool, run, umount)
from layers_kit import link_descriptor
from procfs import leads_to
from worlds import as_user, attempt, disk_base, fill, get, put

NOBODY = pwd.getpwnam("nobody")
FUSE_SUPER_MAGIC = "65735546"
LAYER = {"f": "lower", "d": {"x": "in d"}, "gone": "g"}


def plyfs(*argv, **kwargs):
    """Runs the program; the pipes of its output must close when it returns."""
    kwargs.setdefault("timeout", 60)
    return run(kwargs.pop("program", PLYFS), *argv, check=False, stdin=subprocess.DEVNULL, **kwargs)


def wait_for(condition, what, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} s in vain: {what}"
        time.sleep(0.01)


def daemon_of(mountpoint):
    """The pid of the process that serves a mountpoint: it holds /dev/fuse and was told the path."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                told = os.fsencode(str(mountpoint)) in file.read().split(b"\0")
            if told and any(leads_to(f"/proc/{pid}/fd/{fd}") == "/dev/fuse"
                            for fd in os.listdir(f"/proc/{pid}/fd")):
                return int(pid)
        except OSError:
            continue
    return None


def gone(pid):
    """True when the process has ended (a zombie has)."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


class Place:
    """Layers and a mountpoint to be named on a command line."""

    def __init__(self, sandbox, owner=None):
        need_fuse()
        self.box = sandbox
        self.low, self.upper, self.work, self.at = (
            sandbox.directory(n) for n in ("low", "upper", "work", "mnt"))
        fill(self.low, LAYER)
        if owner:
            for where, _, files in os.walk(sandbox.path):
                for path in [where] + [os.path.join(where, f) for f in files]:
                    os.chown(path, *owner)
        sandbox.guard(self.low)

    def watch(self, mountpoint):
        """The sandbox unmounts what is found mounted there when the test is over."""
        self.box.mounts.append(types.SimpleNamespace(at=os.fspath(mountpoint)))

    def own(self, *more, lowers=None, upper=True, work=True, at=None):
        argv = ["mount"]
        for lower in lowers if lowers is not None else [self.low]:
            argv += ["--lower", lower]
        if upper:
            argv += ["--upper", self.upper if upper is True else upper]
        if work:
            argv += ["--work", self.work if work is True else work]
        self.watch(at or self.at)
        return argv + list(more) + [at or self.at]

    def drop_in(self, *more, lowers=None, upper=True, work=True, at=None):
        text = "lowerdir=" + ":".join(map(str, lowers if lowers is not None else [self.low]))
        if upper:
            text += f",upperdir={self.upper if upper is True else upper}"
        if work:
            text += f",workdir={self.work if work is True else work}"
        self.watch(at or self.at)
        return ["-o", text, *more, at or self.at]

    def mount(self, *argv, **kwargs):
        done = plyfs(*argv, **kwargs)
        assert done.returncode == 0, (argv, done.stderr)
        assert is_mounted(argv[-1])
        return daemon_of(argv[-1])

    def refused(self, argv, *culprits, **kwargs):
        """The command fails, says why on stderr, and leaves nothing mounted."""
        done = plyfs(*argv, **kwargs)
        assert done.returncode != 0, f"{argv} was accepted"
        assert done.returncode > 0, f"{argv} died of signal {-done.returncode}"
        for culprit in culprits:
            assert str(culprit) in done.stderr, f"{culprit} is not named in {done.stderr!r}"
        assert not is_mounted(self.at) and not (argv and is_mounted(argv[-1]))


@pytest.fixture
def place(sandbox):
    need_root()
    return Place(sandbox)


@pytest.fixture(params=["own", "drop_in"])
def form(request, place):
    return getattr(place, request.param)


# ---- refusals -----------------------------------------------------------------------------------

def test_a_missing_layer_is_named(place, form):
    place.refused(form(lowers=[place.low, place.box.path / "no-such-layer"]), "no-such-layer")


def test_a_missing_upper_is_named(place, form):
    place.refused(form(upper=place.box.path / "no-such-upper"), "no-such-upper")


@pytest.mark.parametrize("which", ["lower", "upper", "work"])
def test_a_layer_that_is_a_file_is_named(place, form, which):
    path = place.box.path / "a-plain-file"
    put(path, "")
    place.refused(form(**{"lowers": [path]} if which == "lower" else {which: path}), "a-plain-file")


def test_an_upper_and_a_work_directory_on_two_filesystems_are_refused(place, form):
    other = os.path.join(disk_base(), f"plyfs-work-{os.getpid()}")
    os.mkdir(other)
    try:
        need(os.stat(other).st_dev != os.stat(place.upper).st_dev, "one filesystem only")
        place.refused(form(work=other), other)
    finally:
        shutil.rmtree(other)


def test_an_upper_in_use_by_a_live_mount_is_refused_and_free_afterwards(place, form):
    second, work = place.box.directory("second"), place.box.directory("work2")
    place.mount(*form())
    done = plyfs(*form(work=work, at=second))
    assert done.returncode > 0 and str(place.upper) in done.stderr
    assert not is_mounted(second)
    umount(place.at)
    place.mount(*form(work=work, at=second))


def test_a_work_directory_in_use_by_a_live_mount_is_refused(place, form):
    second, upper = place.box.directory("second"), place.box.directory("upper2")
    place.mount(*form())
    done = plyfs(*form(upper=upper, at=second))
    assert done.returncode > 0 and str(place.work) in done.stderr
    assert not is_mounted(second)


def test_lower_layers_may_be_shared_by_live_mounts(place, form):
    second, upper, work = (place.box.directory(n) for n in ("second", "upper2", "work2"))
    place.mount(*form())
    place.mount(*form(upper=upper, work=work, at=second))
    assert get(second / "f") == get(place.at / "f") == b"lower"


def test_an_upper_whose_daemon_was_killed_can_be_mounted_again(place, form):
    pid = place.mount(*form())
    put(place.at / "before", "kept")
    os.sync()
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: gone(pid), "the killed daemon's end")
    assert attempt(os.listdir, place.at) in ("ENOTCONN", "ECONNABORTED", "ECANCELED")   # the last: by io_uring
    done = plyfs("umount", place.at)
    assert done.returncode == 0, done.stderr
    place.mount(*form())
    assert get(place.at / "before") == b"kept"


OVERLAPS = {     # case: what is given on the command line, whom the refusal names
    "the same lower twice": lambda p: ({"lowers": [p.low, p.low]}, p.low),
    "a lower inside another": lambda p: ({"lowers": [p.low, p.low / "d"]}, p.low / "d"),
    "a lower around another": lambda p: ({"lowers": [p.low / "d", p.low]}, p.low),
    "a lower by another name": lambda p: ({"lowers": [p.low, p.box.path / "alias"]}, "alias"),
    "upper is a lower": lambda p: ({"upper": p.low}, p.low),
    "upper inside a lower": lambda p: ({"upper": p.low / "d"}, p.low / "d"),
    "lower inside the upper": lambda p: ({"lowers": [p.upper / "inside"]}, p.upper / "inside"),
    "lower inside work": lambda p: ({"lowers": [p.work / "inside"]}, p.work / "inside"),
    "work inside a lower": lambda p: ({"work": p.low / "d"}, p.low / "d"),
    "work is the upper": lambda p: ({"work": p.upper}, p.upper),
    "work inside the upper": lambda p: ({"work": p.upper / "inside"}, p.upper / "inside"),
    "upper inside work": lambda p: ({"upper": p.work / "inside"}, p.work / "inside"),
}


def lay_out_overlaps(place):
    for name in ("upper", "work"):
        (getattr(place, name) / "inside").mkdir()
    os.symlink(place.low, place.box.path / "alias")


@pytest.mark.parametrize("case", OVERLAPS)
def test_layers_that_overlap_are_refused(place, form, case):
    lay_out_overlaps(place)
    changes, culprit = OVERLAPS[case](place)
    place.refused(form(**changes), culprit)


# The kernel lets these two pass; writing would then change the lower layer under its own mount.
KERNEL_ALLOWS = ["upper inside a lower", "work inside a lower"]


@pytest.mark.parametrize("case", [c for c in OVERLAPS if c not in KERNEL_ALLOWS])
def test_the_kernel_refuses_the_same_overlaps(place, case):
    lay_out_overlaps(place)
    changes, _ = OVERLAPS[case](place)
    text = place.drop_in(**changes)[1]
    assert run("mount", "-t", "overlay", "overlay", "-o", text, place.at, check=False).returncode > 0
    assert not is_mounted(place.at)


@pytest.mark.parametrize("case", ["mountpoint is the lower", "mountpoint around a lower",
                                  "mountpoint around the upper", "mountpoint is the upper"])
def test_a_mountpoint_that_would_cover_a_layer_is_refused(place, form, case):
    at = place.low if case == "mountpoint is the lower" else place.upper
    if "around" in case:
        at = place.box.directory("around")
        inner = at / "layer"
        inner.mkdir()
        argv = form(lowers=[inner], at=at) if case.endswith("lower") else form(upper=inner, at=at)
    else:
        argv = form(at=at)
    done = plyfs(*argv)
    assert done.returncode > 0, f"{case} was accepted"
    assert str(at) in done.stderr
    assert not is_mounted(at)


def test_a_mountpoint_inside_the_upper_is_refused(place, form):
    """Whoever walked into it had the daemon ask itself: with one thread for ever, and nobody could unmount it."""
    outer = place.box.directory("outer")
    at = outer / "inside" / "deep"
    at.mkdir(parents=True)
    done = plyfs(*form(upper=outer, at=at))
    assert done.returncode > 0 and "would show itself" in done.stderr, done
    assert not is_mounted(at)


def test_a_mount_does_not_show_itself_in_a_lower_layer(place, form):
    need_root()
    at = place.low / "inside" / "deep"
    at.mkdir(parents=True)
    place.box.regard(place.low)
    place.mount(*form(at=at))
    try:
        assert os.listdir(at / "inside/deep") == [] and (at / "inside").stat().st_ino != at.stat().st_ino
        (at / "inside/deep/new").write_text("new")
        assert (place.upper / "inside/deep/new").read_text() == "new"
    finally:
        umount(at)


def test_a_mountpoint_inside_a_layer_is_refused_to_who_may_not_leave_mounts_out(guest):
    at = guest.low / "inside"
    at.mkdir()
    os.chown(at, NOBODY.pw_uid, NOBODY.pw_gid)
    guest.box.regard(guest.low)
    done = plyfs(*guest.own(at=at), **guest.who)
    assert done.returncode > 0 and "would show itself" in done.stderr, done
    assert not is_mounted(at)


def test_an_unknown_option_is_named(place, form):
    place.refused(form("-o", "utter_nonsense=1"), "utter_nonsense")
    place.refused(form("-o", "ro,utter_nonsense"), "utter_nonsense")


def test_an_unknown_switch_is_named(place):
    place.refused(place.own("--utter-nonsense"), "utter-nonsense")


def test_a_message_does_not_speak_to_the_terminal(place):
    done = plyfs("mount", "--lower", place.low / "\x1b]0;title\x07\r\n", place.at)
    assert done.returncode == 1
    assert "?]0;title???" in done.stderr and done.stderr.count("\n") == 1
    assert not set(done.stderr) & set("\x1b\x07\r")


@pytest.mark.parametrize("option", ["profile=fast", "redirect_dir=maybe", "metacopy=7", "index=x",
                                    "threads=many", "timeout=soon", "spin=fast"])
def test_a_value_that_means_nothing_is_refused_with_its_option(place, form, option):
    place.refused(form("-o", option), option.partition("=")[0])


def test_a_missing_mountpoint_is_named(place, form):
    place.refused(form(at=place.box.path / "no-such-place"), "no-such-place")


def test_a_mountpoint_that_is_a_file_is_named(place, form):
    path = place.box.path / "a-plain-file"
    put(path, "")
    place.refused(form(at=path), "a-plain-file")


def test_no_mountpoint_and_too_many_are_refused(place):
    place.refused(place.own()[:-1])
    place.refused(place.own("one-more"), "one-more")


def test_no_lower_layer_is_refused_in_words(place, form):
    place.refused(["mount", "--upper", place.upper, place.at], "lower")
    place.refused(["-o", f"upperdir={place.upper},workdir={place.work}", place.at], "lower")


def test_an_unknown_command_is_named(place):
    place.refused(["conjure", place.at], "conjure")


def test_no_argument_at_all_is_answered_with_the_usage(place):
    place.refused([], "plyfs")


def test_umount_of_what_is_not_mounted_is_refused_by_name(place):
    place.refused(["umount", place.at], place.at)
    place.refused(["umount", place.box.path / "no-such-place"], "no-such-place")
    place.refused(["umount"])


def test_an_unreadable_layer_is_named_to_an_ordinary_user(guest):
    os.chown(guest.low, 0, 0)
    os.chmod(guest.low, 0o700)
    guest.box.regard(guest.low)
    guest.refused(guest.own(), guest.low, **guest.who)
    guest.refused(guest.drop_in(), guest.low, **guest.who)


# ---- what is told -------------------------------------------------------------------------------

def test_version_is_told_on_stdout():
    need_fuse()
    done = plyfs("--version")
    assert done.returncode == 0 and "plyfs" in done.stdout and not done.stderr


@pytest.mark.parametrize("argv, words", [
    (["--help"], ["mount", "umount", "lowerdir=", "--version"]),
    (["mount", "--help"], ["--lower", "--upper", "--work", "--ro", "--profile", "--redirect-dir",
                           "--metacopy", "--index", "-o"]),
    (["umount", "--help"], ["MOUNTPOINT"])])
def test_help_is_told_on_stdout_and_names_everything(argv, words):
    need_fuse()
    done = plyfs(*argv)
    assert done.returncode == 0 and not done.stderr
    assert [w for w in words if w not in done.stdout] == []
    assert plyfs(*argv[:-1], "-h").stdout == done.stdout


# ---- coming, living, going ----------------------------------------------------------------------

def test_the_mount_is_visible_when_the_parent_returns(place, form):
    done = plyfs(*form())
    assert done.returncode == 0, done.stderr
    assert is_mounted(place.at) and get(place.at / "f") == b"lower"
    assert run("stat", "-f", "-c", "%t", place.at).stdout.strip() == FUSE_SUPER_MAGIC
    assert os.stat(place.at).st_dev != os.stat(place.at.parent).st_dev


def test_the_daemon_is_detached_and_keeps_nothing_of_its_caller(place, form):
    reading, writing = os.pipe()
    done = subprocess.Popen([PLYFS, *map(str, form())], stdin=writing, stdout=writing,
                            stderr=writing)
    os.close(writing)
    try:
        assert done.wait(60) == 0
        os.set_blocking(reading, False)
        # To the end of the file, which comes only when nobody holds the writing end any longer.
        while os.read(reading, 4096):
            pass
    finally:
        os.close(reading)
    pid = daemon_of(place.at)
    assert os.getsid(pid) != os.getsid(0)
    assert os.readlink(f"/proc/{pid}/cwd") == "/"
    assert {os.readlink(f"/proc/{pid}/fd/{n}") for n in (0, 1, 2)} == {"/dev/null"}


def test_the_daemon_ends_with_its_mount(place, form):
    pid = place.mount(*form())
    umount(place.at)
    wait_for(lambda: gone(pid), "the daemon's end")


WAYS = {"umount": ["umount"], "plyfs umount": [PLYFS, "umount"], "fusermount3": ["fusermount3", "-u"]}


def chosen(profile):
    """The words for a profile of the harness: "writeback" is stateless with the writeback cache."""
    if profile == "writeback":
        return "--profile=stateless", "-o", "writeback=on"
    return (f"--profile={profile}",)


@pytest.mark.parametrize("way", WAYS)
def test_all_data_is_in_the_upper_when_the_unmount_returns(place, profile, way):
    need_tool(WAYS[way][0])
    data = os.urandom(8 << 20)
    pid = place.mount(*place.own(*chosen(profile)))
    put(place.at / "big", data)
    with open(place.at / "f", "ab") as file:
        file.write(b" and more")
    os.unlink(place.at / "gone")
    run(*WAYS[way], place.at)
    assert get(place.upper / "big") == data
    assert get(place.upper / "f") == b"lower and more"
    assert stat.S_ISCHR(os.lstat(place.upper / "gone").st_mode)
    wait_for(lambda: gone(pid), "the daemon's end")
    assert not is_mounted(place.at)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_a_polite_signal_unmounts_cleanly(place, profile, name):
    data = os.urandom(1 << 20)
    pid = place.mount(*place.own(*chosen(profile)))
    put(place.at / "big", data)
    os.kill(pid, getattr(signal, name))
    wait_for(lambda: gone(pid), "the daemon's end")
    wait_for(lambda: not is_mounted(place.at), "the unmount")
    assert get(place.upper / "big") == data
    place.mount(*place.own())
    assert get(place.at / "big") == data


def test_in_the_foreground_it_stays_until_it_is_unmounted(place, form):
    argv = form()
    process = subprocess.Popen([PLYFS, *map(str, argv[:-1]), "-f", str(argv[-1])],
                               stdin=subprocess.DEVNULL)
    wait_for(lambda: is_mounted(place.at), "the mount")
    assert process.poll() is None and get(place.at / "f") == b"lower"
    umount(place.at)
    assert process.wait(20) == 0


def test_in_the_foreground_sigterm_unmounts_and_ends_with_success(place):
    process = subprocess.Popen([PLYFS, *map(str, place.own("-f"))], stdin=subprocess.DEVNULL)
    wait_for(lambda: is_mounted(place.at), "the mount")
    process.terminate()
    assert process.wait(20) == 0
    assert not is_mounted(place.at)


def test_debug_tells_the_profile_in_force(place, profile):
    errors = open(place.box.path / "errors", "w+b")
    process = subprocess.Popen([PLYFS, *map(str, place.own(*chosen(profile), "-d", "-f"))],
                               stdin=subprocess.DEVNULL, stdout=errors, stderr=errors)
    wait_for(lambda: is_mounted(place.at), "the mount")
    os.listdir(place.at)
    umount(place.at)
    assert process.wait(20) == 0
    errors.seek(0)
    told = errors.read()
    assert (b"tracked" if profile == "tracked" else b"stateless") in told
    assert (b"writeback on" if profile == "writeback" else b"writeback off") in told
    errors.close()


def test_a_busy_mount_stays_and_says_so(place):
    place.mount(*place.own())
    holder = os.open(place.at / "f", os.O_RDONLY)
    try:
        done = plyfs("umount", place.at)
        assert done.returncode > 0 and str(place.at) in done.stderr
        assert is_mounted(place.at) and get(place.at / "f") == b"lower"
    finally:
        os.close(holder)
    assert plyfs("umount", place.at).returncode == 0


def test_a_lazily_unmounted_mount_serves_its_open_files_and_then_ends(place, profile):
    pid = place.mount(*place.own(*chosen(profile)))
    fd = os.open(place.at / "f", os.O_RDWR)
    umount(place.at, lazy=True)
    assert os.pread(fd, 100, 0) == b"lower"
    os.pwrite(fd, b"LOWER", 0)
    os.fsync(fd)
    assert not gone(pid)
    os.close(fd)
    wait_for(lambda: gone(pid), "the daemon's end")
    assert get(place.upper / "f") == b"LOWER"


def test_without_work_the_work_directory_is_made_beside_the_upper(place):
    place.mount(*place.own(work=None))
    put(place.at / "f", "x")
    assert os.path.isdir(f"{place.upper}.work")


def test_ro_needs_no_upper_and_changes_nothing(place):
    place.mount(*place.own("--ro", upper=None, work=None))
    assert attempt(put, place.at / "f", "x") == "EROFS"
    umount(place.at)
    place.mount(*place.own("--ro"))
    assert attempt(put, place.at / "f", "x") == "EROFS"
    assert os.listdir(place.upper) == []


# ---- names of layers ----------------------------------------------------------------------------

ODD = ["with space", "comma,comma", "colon:colon", "back\\slash", "back\\:both", "quote\"'", "a=b",
       "new\nline", "lowerdir=x"]


def escaped(path):
    return str(path).replace("\\", "\\\\").replace(",", "\\,").replace(":", "\\:")


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("how", ["own", "drop_in"])
def test_layers_and_mountpoint_may_have_odd_names(place, how, name):
    home = place.box.directory("home")
    low, upper, work, at = (home / f"{name}-{n}" for n in ("low", "upper", "work", "mnt"))
    for path in (low, upper, work, at):
        path.mkdir()
    fill(low, LAYER)
    clean = escaped if how == "drop_in" else str
    done = plyfs(*getattr(place, how)(lowers=[clean(low), clean(place.low)], upper=clean(upper),
                                      work=clean(work), at=at))
    assert done.returncode == 0, done.stderr
    put(at / "new", "n")
    assert get(at / "f") == b"lower" and get(upper / "new") == b"n"
    umount(at)


def test_layers_may_be_relative_paths(place):
    place.mount(*place.drop_in(lowers=["low"], upper="upper", work="work"), cwd=place.box.path)
    put(place.at / "new", "n")
    assert get(place.upper / "new") == b"n" and get(place.at / "d/x") == b"in d"


def test_layers_may_be_symlinks_and_dotdot_is_taken_after_them(place):
    far = place.box.directory("far")
    (far / "inner").mkdir()
    (far / "layer").mkdir()
    put(far / "layer/f", "far")
    os.symlink(far / "inner", place.box.path / "jump")
    place.mount(*place.drop_in(lowers=[place.box.path / "jump/../layer"]))
    assert get(place.at / "f") == b"far"


# ---- the drop-in form ---------------------------------------------------------------------------

@pytest.fixture
def named(place):
    """The program under the name that container engines look for."""
    path = place.box.directory("bin") / "fuse-overlayfs"
    os.symlink(PLYFS, path)
    return path


def test_under_the_name_fuse_overlayfs_it_tells_its_version(named):
    done = plyfs("--version", program=named)
    assert done.returncode == 0 and done.stdout


def test_under_the_name_fuse_overlayfs_it_mounts(place, named):
    place.mount(*place.drop_in(), program=named)
    assert get(place.at / "f") == b"lower"


def test_a_dummy_source_and_several_o_are_understood(place, named):
    place.watch(place.at)
    done = plyfs("overlay", place.at, "-o", f"workdir={place.work}", "-o",
                 f"upperdir={place.upper}", "-o", f"lowerdir={place.low}", "-o", "dev,suid",
                 program=named)
    assert done.returncode == 0, done.stderr
    assert get(place.at / "f") == b"lower"


def test_mount_fuse3_finds_it(place, named):
    need_tool("mount.fuse3")
    place.watch(place.at)
    run("mount.fuse3", "overlay", place.at, "-o",
        f"workdir={place.work},upperdir={place.upper},lowerdir={place.low},dev,suid", "-t",
        "fuse-overlayfs", env={**os.environ, "PATH": f"{named.parent}:{os.environ['PATH']}"})
    assert get(place.at / "f") == b"lower"


ACCEPTED = ["rw", "ro", "relatime", "strictatime", "dev", "suid", "nodev", "nosuid", "noexec", "exec", "noatime", "allow_other",
            "default_permissions", "fsync=0", "volatile", "threaded=1", "threads=2", "xino=off",
            "xino=auto", "noacl", "timeout=10", "writeback=0", "writeback=1", "static_nlink",
            "redirect_dir=on", "redirect_dir=off", "metacopy=on", "metacopy=off", "index=on",
            "index=off", "userxattr", "profile=stateless", "profile=tracked", "profile=auto",
            "max_idle_threads=4", "squash_to_root", "squash_to_uid=1000", "squash_to_gid=1000",
            "uidmapping=:0:1000:1:1:110000:65536", "gidmapping=:0:1000:1:1:110000:65536",
            'context="system_u:object_r:container_file_t:s0:c1,c2"', "private", "clone_fd", "spin=on", "spin=off", "passthrough=on", "passthrough=off"]


@pytest.mark.parametrize("option", ACCEPTED)
def test_the_drop_in_form_accepts(place, option):
    argv = place.drop_in()
    place.mount("-o", f"{argv[1]},{option}", place.at)
    assert get(place.at / "f") == b"lower"


def test_the_drop_in_form_accepts_what_engines_send_together(place):
    place.mount(*place.drop_in("-o", "fsync=0,volatile,xino=off,noacl,timeout=3,static_nlink,dev,suid"))
    put(place.at / "new", "n")
    assert os.path.exists(place.work / "work/incompat/volatile")


def test_with_noacl_no_list_is_named_that_cannot_be_read(place):
    need_tool("setfacl")
    run("setfacl", "-m", "u:1234:r", place.low / "f")
    place.box.regard(place.low)
    place.mount(*place.drop_in("-o", "noacl"))
    assert attempt(os.getxattr, place.at / "f", "system.posix_acl_access") == "ENOTSUP"
    assert "system.posix_acl_access" not in os.listxattr(place.at / "f")


@pytest.mark.parametrize("option, flag", [
    ("nosuid", os.ST_NOSUID), ("nodev", os.ST_NODEV), ("noexec", os.ST_NOEXEC),
    ("noatime", os.ST_NOATIME), ("ro", os.ST_RDONLY)])
def test_mount_flags_reach_the_kernel(place, form, option, flag):
    place.mount(*form("-o", option))
    assert os.statvfs(place.at).f_flag & flag


SOURCES = {"long": "x" * 600, "with a comma": "a,suid,b", "with a backslash": "a\\b"}


def told_of(at):
    """The flags, the source and the options of the filesystem, as the kernel lists them."""
    for line in open("/proc/self/mountinfo", encoding="utf-8"):
        field = line.split()
        if field[4] == str(at):
            at_dash = field.index("-")
            return (set(field[5].split(",")), field[at_dash + 2].encode().decode("unicode_escape"),
                    set(field[at_dash + 3].split(",")))
    return None


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_the_name_of_the_source_changes_nothing_else(place, form, source):
    escaped = source.replace("\\", "\\\\").replace(",", "\\,")
    place.mount(*form("-o", f"ro,nosuid,fsname={escaped}"))
    flags, shown, words = told_of(place.at)
    assert shown == source and {"ro", "nosuid"} <= flags
    assert {"ro", "default_permissions", "allow_other"} <= words


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_nor_does_it_for_an_ordinary_user(guest, source):
    escaped = source.replace("\\", "\\\\").replace(",", "\\,")
    guest.mount(*guest.own("-o", f"ro,fsname={escaped}"), **guest.who)
    flags, shown, words = told_of(guest.at)
    assert shown == source and {"ro", "nosuid", "nodev"} <= flags
    assert "default_permissions" in words


def test_roots_mount_is_for_all_users_within_the_modes(place, form):
    place.mount(*form())
    os.chmod(place.at / "f", 0o600)
    assert as_user(os.listdir, place.at, uid=NOBODY.pw_uid) == os.listdir(place.at)
    assert as_user(get, place.at / "f", uid=NOBODY.pw_uid) == "EACCES"


def test_the_drop_in_form_writes_only_what_its_peers_read(place):
    place.mount(*place.drop_in())
    assert attempt(os.rename, place.at / "d", place.at / "moved") == "EXDEV"
    os.chmod(place.at / "f", 0o600)
    umount(place.at)
    assert get(place.upper / "f") == b"lower"
    written = {x for where, names, files in os.walk(place.upper) for n in names + files
               for x in os.listxattr(os.path.join(where, n), follow_symlinks=False)}
    assert not written & {"trusted.overlay.metacopy", "trusted.overlay.redirect"}


def test_redirects_are_written_when_they_are_asked_for(place):
    place.mount(*place.drop_in("-o", "redirect_dir=on"))
    os.rename(place.at / "d", place.at / "moved")
    umount(place.at)
    assert "trusted.overlay.redirect" in os.listxattr(place.upper / "moved")


def test_the_own_form_turns_redirects_off_when_asked(place):
    place.mount(*place.own("--redirect-dir=off"))
    assert attempt(os.rename, place.at / "d", place.at / "moved") == "EXDEV"


def forbid_handles(number):
    """From now on name_to_handle_at(2) is answered with `number`, as by a container's filter."""
    call = {"x86_64": 303}.get(os.uname().machine, 264)
    code = struct.pack("@" + "HBBI" * 4, 0x20, 0, 0, 0, 0x15, 0, 1, call, 0x06, 0, 0, 0x00050000 | number,
                       0x06, 0, 0, 0x7FFF0000)
    room = ctypes.create_string_buffer(code)
    program = struct.pack("@HP", 4, ctypes.addressof(room))
    assert LIBC.prctl(38, *map(ctypes.c_ulong, (1, 0, 0, 0))) == 0          # PR_SET_NO_NEW_PRIVS
    assert LIBC.prctl(22, ctypes.c_ulong(2), ctypes.c_char_p(program)) == 0     # PR_SET_SECCOMP, by a filter


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOSYS], ids=["EPERM", "ENOSYS"])
def test_where_handles_are_forbidden_a_mount_goes_without(place, number):
    """As on a filesystem that has none: numbers stay, and the names of a linked file part."""
    need_root()
    os.link(place.low / "f", place.low / "d/again")
    place.box.regard(place.low)
    forbidden = {"preexec_fn": lambda: forbid_handles(number)}
    place.mount(*place.own(), **forbidden)
    before = os.stat(place.at / "d/x").st_ino
    for name in ("f", "d/x"):
        os.chmod(place.at / name, 0o600)
    umount(place.at)
    place.mount(*place.own(), **forbidden)
    assert os.stat(place.at / "d/x").st_ino == before
    assert stat.S_IMODE(os.stat(place.at / "f").st_mode) == 0o600
    assert get(place.at / "d/again") == get(place.at / "f")


# ---- an ordinary user, and root of a user namespace ---------------------------------------------

@pytest.fixture
def guest(sandbox):
    """A place of nobody's own, /dev/fuse open to all, and the program where nobody can run it."""
    need_root()
    need_tool("fusermount3")
    need(os.stat(shutil.which("fusermount3")).st_mode & stat.S_ISUID, "fusermount3 is not setuid")
    place = Place(sandbox, owner=(NOBODY.pw_uid, NOBODY.pw_gid))
    program = PLYFS
    if not as_user(os.access, PLYFS, os.X_OK, uid=NOBODY.pw_uid, gid=NOBODY.pw_gid):
        program = shutil.copy(PLYFS, sandbox.path / "plyfs")
    place.who = {"user": NOBODY.pw_uid, "group": NOBODY.pw_gid, "extra_groups": [],
                 "program": program, "cwd": "/"}
    before = stat.S_IMODE(os.stat("/dev/fuse").st_mode)
    os.chmod("/dev/fuse", 0o666)
    yield place
    for mount in sandbox.mounts:
        if is_mounted(mount.at):
            umount(mount.at, lazy=True)
    os.chmod("/dev/fuse", before)


def as_guest(function, *args):
    return as_user(function, *args, uid=NOBODY.pw_uid, gid=NOBODY.pw_gid)


def change(at):
    put(f"{at}/new", "n")
    with open(f"{at}/f", "ab") as file:
        file.write(b" and more")
    os.unlink(f"{at}/gone")
    os.chmod(f"{at}/d", 0o700)
    return sorted(os.listdir(at)), get(f"{at}/f"), os.stat(f"{at}/new").st_uid


@pytest.mark.parametrize("how", ["own", "drop_in"])
def test_an_ordinary_user_mounts_through_fusermount3(guest, how):
    pid = guest.mount(*getattr(guest, how)(), **guest.who)
    assert as_guest(change, str(guest.at)) == (["d", "f", "new"], b"lower and more", NOBODY.pw_uid)
    argv = ["fusermount3", "-u", str(guest.at)]
    who = {k: v for k, v in guest.who.items() if k != "program"}
    assert run(*argv, check=False, **who).returncode == 0
    wait_for(lambda: gone(pid), "the daemon's end")
    assert get(guest.upper / "f") == b"lower and more"
    assert os.lstat(guest.upper / "gone").st_rdev == 0
    assert not any(x.startswith("trusted.") for x in os.listxattr(guest.upper / "d"))


def test_an_ordinary_user_unmounts_with_plyfs_umount(guest):
    pid = guest.mount(*guest.own(), **guest.who)
    done = plyfs("umount", guest.at, **guest.who)
    assert done.returncode == 0, done.stderr
    wait_for(lambda: gone(pid), "the daemon's end")


def test_an_ordinary_users_work_survives_a_remount(guest):
    guest.mount(*guest.own(), **guest.who)
    before = as_guest(change, str(guest.at))
    as_guest(os.rename, f"{guest.at}/d", f"{guest.at}/moved")
    listing = as_guest(os.listdir, f"{guest.at}/moved")
    umount(guest.at)
    guest.mount(*guest.own(), **guest.who)
    assert as_guest(os.listdir, f"{guest.at}/moved") == listing == ["x"]
    assert as_guest(get, f"{guest.at}/f") == before[1]
    assert as_guest(os.path.lexists, f"{guest.at}/d") is False


@pytest.mark.parametrize("name", ["kept", "gone"])
def test_an_ordinary_user_writes_by_a_descriptor_to_what_became_read_only(guest, name):
    """The mode is no obstacle to whoever opened it before, and none to the copy-up that this needs."""
    os.link(guest.low / "f", guest.low / "d/again")
    guest.box.regard(guest.low)
    guest.mount(*guest.own(), **guest.who)

    def act():
        fd = os.open(guest.at / "f", os.O_RDWR)
        try:
            os.fchmod(fd, 0o444)
            if name == "gone":
                os.unlink(guest.at / "f")
                link_descriptor(fd, guest.at / "new")
            os.pwrite(fd, b"LOW", 0)
            return os.pread(fd, 10, 0)
        finally:
            os.close(fd)

    assert as_guest(act) == b"LOWer"
    umount(guest.at)
    guest.mount(*guest.own(), **guest.who)
    for shown in ("d/again", "new" if name == "gone" else "f"):
        assert as_guest(get, guest.at / shown) == b"LOWer"
        assert as_guest(os.stat, guest.at / shown).st_mode & 0o7777 == 0o444


def test_what_an_ordinary_user_took_from_himself_is_the_same_after_a_remount(guest):
    """What the books say of a file of mode 000 is read all the same: what its number is, and which other
    names it has."""
    names = ("shut", "linked", "d/again")
    for name in names[:2]:
        (guest.low / name).write_text("data")
        os.chown(guest.low / name, NOBODY.pw_uid, NOBODY.pw_gid)
    os.link(guest.low / "linked", guest.low / "d/again")
    guest.box.regard(guest.low)

    def seen():
        found = [as_guest(os.lstat, guest.at / name) for name in names]
        return [(st.st_ino, oct(st.st_mode), st.st_nlink, st.st_size) for st in found]

    guest.mount(*guest.own(), **guest.who)
    for name in names[:2]:
        assert as_guest(os.chmod, guest.at / name, 0) is None
    before = seen()
    umount(guest.at)
    guest.mount(*guest.own(), **guest.who)
    assert seen() == before
    for name in names[1:]:
        assert as_guest(os.unlink, guest.at / name) is None
    assert os.listdir(guest.work / "index") == [], "nothing is kept of what has no name"


@pytest.mark.parametrize("umask", [0o777, 0o300, 0])
@pytest.mark.parametrize("setgid", [False, True])
def test_an_ordinary_user_makes_a_directory_in_the_place_of_a_deleted_one(guest, umask, setgid):
    """As he makes another beside it, whatever his umask takes from himself."""
    if setgid:
        os.chmod(guest.upper, 0o2755)
    guest.mount(*guest.own(), **guest.who)
    at = str(guest.at)
    as_guest(os.unlink, f"{at}/d/x")
    as_guest(os.rmdir, f"{at}/d")
    modes = []
    for name in ("beside", "d"):
        assert as_user(os.mkdir, f"{at}/{name}", uid=NOBODY.pw_uid, gid=NOBODY.pw_gid, umask=umask) is None
        modes.append(oct(as_guest(os.stat, f"{at}/{name}").st_mode))
    assert modes[0] == modes[1]
    assert as_guest(os.chmod, f"{at}/d", 0o700) is None
    assert as_guest(os.listdir, f"{at}/d") == []


def test_an_ordinary_users_own_overlay_xattrs_round_trip_and_are_escaped_on_disk(guest):
    guest.mount(*guest.own(), **guest.who)
    at = str(guest.at)
    for name in ("user.overlay.opaque", "user.overlay.mine", "user.plain"):
        assert as_guest(os.setxattr, f"{at}/d", name, b"y") is None
    assert as_guest(os.listdir, f"{at}/d") == ["x"]
    assert sorted(as_guest(os.listxattr, f"{at}/d")) == [
        "user.overlay.mine", "user.overlay.opaque", "user.plain"]
    assert as_guest(os.getxattr, f"{at}/d", "user.overlay.mine") == b"y"
    stored = os.listxattr(guest.upper / "d")
    assert {"user.overlay.overlay.opaque", "user.overlay.overlay.mine", "user.plain"} <= set(stored)
    assert "user.overlay.opaque" not in stored
    umount(guest.at)
    guest.mount(*guest.own(), **guest.who)
    assert as_guest(os.listdir, f"{at}/d") == ["x"]


def test_an_ordinary_users_mount_is_closed_to_others_root_included(guest):
    guest.mount(*guest.own(), **guest.who)
    assert attempt(os.listdir, guest.at) == "EACCES"
    assert as_user(os.listdir, guest.at) == "EACCES"


SCRIPT = """set -e
"$1" {command}
cd {at}
cat f d/x > /dev/null
echo new > new
echo more >> f
rm gone
mv d moved
chown 0:0 f
mkdir dir && touch dir/a && rm -r dir
ln f hard
test "$(stat -c %u:%g f)" = 0:0
ls
cd /
umount {at}
"""


@pytest.mark.parametrize("how", ["own", "drop_in"])
def test_root_of_a_user_namespace_mounts_directly(guest, how):
    need_tool("unshare")
    argv = " ".join(f"'{a}'" for a in getattr(guest, how)())
    script = SCRIPT.format(command=argv, at=guest.at)
    who = {k: v for k, v in guest.who.items() if k != "program"}
    done = run("unshare", "-Urm", "sh", "-c", script, "sh", guest.who["program"], check=False, **who)
    if "unshare" in done.stderr and done.returncode:
        need(False, f"no user namespaces here: {done.stderr}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["f", "hard", "moved", "new"]
    assert get(guest.upper / "f") == b"lowermore\n"
    assert os.lstat(guest.upper / "gone").st_rdev == 0
    assert os.lstat(guest.upper / "new").st_uid == NOBODY.pw_uid
    assert os.stat(guest.upper / "f").st_ino == os.stat(guest.upper / "hard").st_ino
