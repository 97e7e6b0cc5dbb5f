# SPDX-License-Identifier: MIT
"""What chattr(1) says of files, in layers and through a mount: as with the kernel's overlayfs, on ext4."""
import array
import contextlib
import fcntl
import mmap
import os

import pytest

from harness import Sandbox, need_fuse, need_root, need_tool, run
from test_interop import ext4  # noqa: F401  (a fixture)
from worlds import KERNEL_OPTIONS, as_user, attempt, fill

GET, SET = 0x80086601, 0x40086602
LETTERS = {"i": 0x10, "a": 0x20, "A": 0x80, "S": 0x08}
LAYER = {"imm": "text", "app": "text", "both": "text", "synced": "text", "plain": "text", "more": "text",
         "imm-dir": {"x": "x", "sub": {"y": "y"}}, "app-dir": {"x": "x"}, "synced-dir": {"x": "x"}}
FLAGS = {"imm": "i", "app": "a", "both": "ia", "synced": "AS", "more": "a", "imm-dir": "i", "app-dir": "a",
         "synced-dir": "AS"}


@pytest.fixture(autouse=True)
def _needs():
    need_root()
    need_fuse()
    need_tool("chattr")


@pytest.fixture
def box(ext4):  # noqa: F811
    made = Sandbox(ext4)
    yield made
    run("chattr", "-R", "-f", "-i", "-a", made.path, check=False)
    made.close()


@pytest.fixture(params=["stateless", "tracked"])
def profile(request):
    return request.param


def mounted(box, kind, lowers, upper, work, profile):
    """With all that plyfs's own form has on."""
    if kind == "plyfs":
        return box.plyfs(lowers, upper, work, profile=profile)
    return box.kernel(lowers, upper, work, options=KERNEL_OPTIONS)


def layer(box):
    low = box.directory("low")
    fill(low, LAYER)
    for name, letters in FLAGS.items():
        run("chattr", f"+{letters}", low / name)
    return low


def do_ioctl(path, command, value):
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        number = array.array("i", [value])
        fcntl.ioctl(fd, command, number)
        return number[0]
    finally:
        os.close(fd)


def flags(path):
    shown = attempt(do_ioctl, path, GET, 0)
    return shown if isinstance(shown, str) else "".join(l for l, bit in LETTERS.items() if shown & bit)


def set_flags(path, letters):
    return attempt(do_ioctl, path, SET, sum(LETTERS[letter] for letter in letters))


def write(path, flag):
    """By open and write: where opens are not answered it is the write that is refused."""
    def act():
        fd = os.open(path, flag)
        try:
            return os.write(fd, b"more")
        finally:
            os.close(fd)
    return attempt(act)


def acts(at):
    """All that is refused, and what is not."""
    seen = {name: flags(f"{at}/{name}") for name in sorted(LAYER)}
    for name in ("imm", "app", "both"):
        path = f"{at}/{name}"
        seen[name, "write"] = write(path, os.O_WRONLY)
        seen[name, "cut"] = write(path, os.O_WRONLY | os.O_TRUNC)
        seen[name, "truncate"] = attempt(os.truncate, path, 1)
        seen[name, "chmod"] = attempt(os.chmod, path, 0o600)
        seen[name, "chown"] = attempt(os.chown, path, 1, 1)
        seen[name, "times"] = attempt(os.utime, path, (1, 1))
        seen[name, "touch"] = attempt(os.utime, path)
        seen[name, "setxattr"] = attempt(os.setxattr, path, "user.x", b"x")
        seen[name, "link"] = attempt(os.link, path, path + "-again")
        seen[name, "rename"] = attempt(os.rename, path, path + "-moved")
        seen[name, "over"] = attempt(os.rename, f"{at}/plain", path)
        seen[name, "unlink"] = attempt(os.unlink, path)
        seen[name, "append"] = write(path, os.O_WRONLY | os.O_APPEND)
    for name in ("imm-dir", "app-dir"):
        path = f"{at}/{name}"
        seen[name, "create"] = attempt(os.mknod, path + "/new")
        seen[name, "unlink"] = attempt(os.unlink, path + "/x")
        seen[name, "rename"] = attempt(os.rename, path + "/x", path + "/y")
        seen[name, "into"] = attempt(os.rename, f"{at}/plain", path + "/x")
        seen[name, "chmod"] = attempt(os.chmod, path, 0o700)
        seen[name, "away"] = attempt(os.rename, path, path + "-moved")
        seen[name, "chmod in it"] = attempt(os.chmod, path + "/x", 0o600)
    seen["deep"] = write(f"{at}/imm-dir/sub/y", os.O_WRONLY)
    seen["chmod synced"] = attempt(os.chmod, f"{at}/synced", 0o600)
    seen["chmod beneath"] = attempt(os.chmod, f"{at}/synced-dir/x", 0o600)
    seen["append"] = write(f"{at}/more", os.O_WRONLY | os.O_APPEND)
    return seen


def after(at):
    return {name: flags(f"{at}/{name}") for name in sorted(LAYER)}, write(f"{at}/more", os.O_WRONLY)


def test_what_chattr_keeps_from_being_changed_in_a_layer_is_so_in_the_mount(box, profile):
    low, seen, found = layer(box), {}, {}
    for kind in ("kernel", "plyfs"):
        upper, work = box.directory("upper"), box.directory("work")
        with mounted(box, kind, [low], upper, work, profile) as mount:
            seen[kind] = acts(mount.at)
        for reader in ("plyfs", "kernel"):
            with mounted(box, reader, [low], upper, work, profile) as mount:
                found[kind, reader] = after(mount.at)
    assert seen["plyfs"] == seen["kernel"]
    assert set(seen["kernel"].values()) >= {"EPERM", None, 4}, "there is a difference"
    assert found == dict.fromkeys(found, found["kernel", "kernel"])


def write_over(path):
    """By whatever way there is but the end."""
    fd = os.open(path, os.O_RDWR | os.O_APPEND)
    with contextlib.suppress(OSError):      # the VFS would refuse it
        fcntl.fcntl(fd, fcntl.F_SETFL, 0)
        os.pwrite(fd, b"over", 0)
    with contextlib.suppress(OSError):
        memory = mmap.mmap(fd, 0)
        memory[:4] = b"over"
        memory.flush()
        memory.close()
    os.close(fd)


@pytest.mark.parametrize("up", [False, True], ids=["lower", "upper"])
def test_what_is_append_only_is_not_written_over(box, profile, up):
    low, upper, work = layer(box), box.directory("upper"), box.directory("work")
    with box.plyfs([low], upper, work, profile=profile) as mount:
        if up:
            assert write(mount / "more", os.O_WRONLY | os.O_APPEND) == 4
        write_over(mount / "more")
        assert write(mount / "more", os.O_WRONLY | os.O_APPEND) == 4
    with box.kernel([low], upper, work, options=KERNEL_OPTIONS) as mount:
        assert (mount / "more").read_bytes() == b"text" + b"more" * (1 + up)


def test_what_chattr_says_in_the_mount_is_read_by_both(box, profile):
    """And the upper's own files are kept from nothing: they have to be worked on."""
    low, upper, work = box.directory("low"), box.directory("upper"), box.directory("work")
    fill(low, LAYER)
    box.regard(low)
    with box.plyfs([low], upper, work, profile=profile) as mount:
        for name, letters in FLAGS.items():
            assert set_flags(mount / name, letters) == sum(LETTERS[letter] for letter in letters)
        assert write(mount / "imm", os.O_WRONLY) == "EPERM"
        assert write(mount / "app", os.O_WRONLY | os.O_APPEND) == 4
        (mount / "imm-dir/sub/y").write_text("changed")
        shown = after(mount.at)
    assert shown[0] == {name: "".join(sorted(FLAGS.get(name, ""), key="iaAS".index)) for name in LAYER}
    assert all(not set(flags(upper / name)) & set("ia") for name in FLAGS)
    for reader in ("kernel", "plyfs"):
        with mounted(box, reader, [low], upper, work, profile) as mount:
            assert after(mount.at) == shown
            assert write(mount / "both", os.O_WRONLY | os.O_APPEND) == "EPERM"
    with box.plyfs([low], upper, work, profile=profile) as mount:
        for name in FLAGS:
            assert set_flags(mount / name, "") == 0
        (mount / "imm").write_text("changed")
        os.unlink(mount / "both")
    with mounted(box, "kernel", [low], upper, work, profile) as mount:
        assert {name: shown for name, shown in after(mount.at)[0].items() if shown} == {"both": "ENOENT"}


def test_whoever_may_not_say_so_is_refused(box, sandbox, profile):
    low, upper, work = box.directory("low"), box.directory("upper"), box.directory("work")
    fill(low, LAYER)
    os.chown(low / "plain", 1234, 1234)
    box.regard(low)
    with box.plyfs([low], upper, work, profile=profile, at=sandbox.directory()) as mount:
        assert as_user(set_flags, mount / "plain", "i") == "EPERM"
        assert as_user(set_flags, mount / "plain", "A") == LETTERS["A"]
        assert flags(mount / "plain") == "A"
