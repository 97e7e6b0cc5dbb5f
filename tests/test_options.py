# SPDX-License-Identifier: MIT
"""What options of mount(8) do is what they do to the kernel's overlayfs."""
import os

import pytest

from harness import PLYFS, need_fuse, need_root, run, umount
from test_cli import as_guest, guest  # noqa: F401  (fixtures)
from worlds import attempt, fill, get

LONG_AGO = 10**15
ST_NOSYMFOLLOW = 0x2000
LAYER = {"low": "l", "changed": "c", "d": {"x": "x"}}


@pytest.fixture(autouse=True)
def _needs():
    need_root()
    need_fuse()


def everything(root):
    """All paths beneath it, outer ones first, following nothing: that dates a symbolic link."""
    for entry in sorted(os.scandir(root), key=lambda entry: entry.name):
        yield entry.path
        if entry.is_dir(follow_symlinks=False):
            yield from everything(entry.path)


def age(*paths):
    """Dates that the next reading sets anew where it may (relatime)."""
    for path in paths:
        os.utime(path, ns=(LONG_AGO, os.lstat(path).st_mtime_ns), follow_symlinks=False)


def read_all(at):
    for path in everything(at):
        if os.path.islink(path):
            os.readlink(path)
        elif os.path.isfile(path):
            with open(path, "rb") as file:
                file.read()


def dated(root):
    """Of what reading has left a date; a directory is asked before it is read here."""
    return {os.path.relpath(path, root) for path in everything(root)
            if os.lstat(path).st_atime_ns != LONG_AGO}


def layer(sandbox):
    low = sandbox.directory("low")
    fill(low, LAYER)
    os.symlink("low", low / "link")
    return low


def read_in(sandbox, kind, options, profile=None):
    """What is dated in the layer and in the upper by whoever reads all that a mount shows."""
    low, upper, work = layer(sandbox), sandbox.directory("upper"), sandbox.directory("work")
    with getattr(sandbox, kind)([low], upper, work, options=["rw"]) as mount:
        (mount / "changed").write_text("more")
        (mount / "new").mkdir()
        (mount / "new/file").write_text("new")
        os.symlink("file", mount / "new/link")
    for root in (low, upper):
        age(*everything(root))
    with getattr(sandbox, kind)([low], upper, work, options=options, profile=profile) as mount:
        read_all(mount)
    return dated(low), dated(upper)


@pytest.mark.parametrize("option", ["rw", "ro", "noatime", "nodiratime", "noatime,atime"])
def test_reading_leaves_dates_where_it_does_in_the_kernels(sandbox, profile, option):
    kernels = read_in(sandbox, "kernel", [option])
    assert kernels[0] == set()
    assert read_in(sandbox, "plyfs", [option], profile) == kernels


@pytest.mark.parametrize("profile", ["stateless", "tracked"])
@pytest.mark.parametrize("option", ["noatime", "nodiratime"])
def test_reading_leaves_no_dates_for_an_ordinary_user(guest, profile, option):  # noqa: F811
    """But of symbolic links, which nobody reads without that by right."""
    guest.mount(*guest.own("-o", f"{option},profile={profile}"), **guest.who)
    as_guest(os.mkdir, f"{guest.at}/new")
    for name in ("f", "new/file"):
        as_guest(change_file, f"{guest.at}/{name}")
    age(*(guest.upper / name for name in ("f", "new/file", "new")))
    as_guest(read_all, str(guest.at))
    assert dated(guest.upper) == (set() if option == "noatime" else {"f", "new/file"})


def change_file(path):
    with open(path, "ab") as file:
        file.write(b"more")


# ---- an index without file handles --------------------------------------------------------------

@pytest.fixture
def handleless(sandbox):
    """A directory of a filesystem that has no file handles: the kernel's overlayfs on its own."""
    low = [sandbox.directory(), sandbox.directory()]
    fill(low[0], LAYER)
    with sandbox.kernel(low) as mount:
        yield mount.at


def told_of_the_index(sandbox, lowers, *options):
    at, upper, work = (sandbox.directory(name) for name in ("at", "upper", "work"))
    argv = [PLYFS, "mount"]
    for lower in lowers:
        argv += ["--lower", lower]
    done = run(*argv, "--upper", upper, "--work", work, *options, at)
    umount(at)
    return [line for line in done.stderr.splitlines() if "index" in line]


def test_an_index_that_cannot_be_is_told_once(sandbox, handleless):
    """As the kernel tells it in its log."""
    low = layer(sandbox)
    for lowers, words in (([handleless, low], "the index is off"),
                          ([low, handleless], "not all is in the index")):
        told = told_of_the_index(sandbox, lowers)
        assert len(told) == 1 and words in told[0] and handleless in told[0]
        assert told_of_the_index(sandbox, lowers, "--index=off") == []
    assert told_of_the_index(sandbox, [low, layer(sandbox)]) == []


def test_an_upper_that_was_over_another_layer_is_told(sandbox):
    """The kernel refuses it, with an index: ESTALE. A copy that holds the same is as good."""
    low, other, upper, work, at = (sandbox.directory(name) for name in ("low", "other", "upper", "work", "at"))
    fill(low, LAYER)
    fill(other, LAYER)
    for lower, told in ((low, False), (low, False), (other, True)):
        done = run(PLYFS, "mount", "--lower", lower, "--upper", upper, "--work", work, at)
        assert ("was written over another layer than" in done.stderr and str(lower) in done.stderr) == told
        os.chmod(at / "low", 0o600)
        assert get(at / "low") == b"l"
        umount(at)
    done = run("mount", "-t", "overlay", "overlay", "-o",
               f"lowerdir={other},upperdir={upper},workdir={work},index=on", at, check=False)
    assert done.returncode and "Stale" in done.stderr


# ---- what is followed ---------------------------------------------------------------------------

def left_behind(sandbox, as_layer):
    """Layers in which somebody moved a directory, and gave a file another mode and another name."""
    low, upper, work = layer(sandbox), sandbox.directory("upper"), sandbox.directory("work")
    os.chmod(low / "low", 0o600)
    os.chmod(low / "changed", 0o600)
    sandbox.regard(low)
    with sandbox.kernel([low], upper, work, options=["redirect_dir=on", "metacopy=on"]) as mount:
        os.rename(mount / "d", mount / "moved")
        os.chmod(mount / "low", 0o644)
        os.chmod(mount / "changed", 0o644)
        os.rename(mount / "changed", mount / "renamed")
    if as_layer:
        return [upper, low], sandbox.directory("upper"), sandbox.directory("work")
    return [low], upper, work


def shown(at):
    return (attempt(os.listdir, f"{at}/moved"), attempt(get, f"{at}/low"), attempt(get, f"{at}/renamed"),
            os.readlink(f"{at}/link"))


@pytest.mark.parametrize("as_layer", [False, True], ids=["upper", "layer"])
@pytest.mark.parametrize("form", ["mount", "o"])
def test_with_nofollow_nothing_is_followed_as_in_the_kernel(sandbox, as_layer, form):
    lowers, upper, work = left_behind(sandbox, as_layer)
    with sandbox.kernel(lowers, upper, work, options=["redirect_dir=nofollow"]) as mount:
        kernels = shown(mount.at)
    assert kernels == ("EPERM", "EPERM", "EPERM", "low")
    with sandbox.plyfs(lowers, upper, work, options=["redirect_dir=nofollow"], form=form) as mount:
        assert shown(mount.at) == kernels
        # The kernel's own listing fails there as well.
        assert sorted(os.listdir(mount)) == ["link", "low", "moved", "renamed"]
    with sandbox.plyfs(lowers, upper, work, options=["redirect_dir=follow"], form=form) as mount:
        assert shown(mount.at) == (["x"], b"l", b"c", "low")


@pytest.mark.parametrize("options, words", [
    ("redirect_dir=nofollow,metacopy=on", "cannot be had together"), ("redirect_dir=sometimes", "nofollow"),
    ("index=nofollow", "on or off"), ("nfs_export=on", "nfs_export cannot be had"),
    ("verity=require", "verity cannot be had"), ("datadir+=/", "layers of data alone")])
def test_what_the_kernel_has_and_plyfs_has_not_is_refused(sandbox, options, words):
    done = run(PLYFS, "-o", f"lowerdir={layer(sandbox)},{options}", sandbox.directory("at"), check=False)
    assert done.returncode == 1 and words in done.stderr


def test_options_of_the_kernels_that_change_nothing_are_taken(sandbox):
    low, top, at = layer(sandbox), sandbox.directory("top:1"), sandbox.directory("at")
    (top / "low").write_text("top")
    run(PLYFS, "-o", f"lowerdir+={top},lowerdir+={low},nfs_export=off,verity=off,uuid=null,xino=auto", at)
    assert get(at / "low") == b"top" and get(at / "changed") == b"c"
    umount(at)


@pytest.mark.parametrize("word", ["nosymfollow", "symfollow", "lazytime", "nolazytime", "iversion", "noiversion", "mand",
                                  "nomand", "silent", "loud", "relatime", "strictatime", "dirsync"])
def test_mounts_words_for_any_filesystem_do_what_they_do_to_the_kernels(sandbox, word):
    low, found = layer(sandbox), {}
    for kind in ("kernel", "plyfs"):
        with getattr(sandbox, kind)([low, sandbox.directory("empty")], options=[word]) as mount:
            found[kind] = attempt(get, mount / "link"), os.statvfs(mount).f_flag & ST_NOSYMFOLLOW
    assert found["plyfs"] == found["kernel"]
    assert (found["plyfs"] == ("ELOOP", ST_NOSYMFOLLOW)) == (word == "nosymfollow")


def test_nosymfollow_comes_and_goes_by_a_remount(sandbox):
    with sandbox.plyfs([layer(sandbox)]) as mount:
        for words, seen in (("ro,nosymfollow", "ELOOP"), ("ro,symfollow", b"l")):
            run(PLYFS, "-o", f"remount,{words}", mount.at)
            assert attempt(get, mount / "link") == seen
