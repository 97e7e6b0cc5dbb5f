# SPDX-License-Identifier: MIT
"""The examples run, do what they say, and leave nothing behind."""
import os
import pathlib
import re
import shutil

import pytest

import engines
from harness import (PLYFS, ROOT, Sandbox, can_mount_kernel, is_mounted, need, need_fuse, need_root, need_tool, run,
                     umount)

HERE = ROOT / "examples"
EXAMPLES = sorted(path.stem for path in HERE.glob("*.sh") if path.stem not in ("quickstart", "sandbox", "crun"))


def run_example(sandbox, name):
    place = sandbox.directory("tmp")
    done = run("sh", HERE / f"{name}.sh", check=False, timeout=120,
               env={**os.environ, "PLYFS": str(PLYFS), "TMPDIR": str(place)})
    assert done.returncode == 0, done.stdout + done.stderr
    assert not list(pathlib.Path(place).iterdir()), "the example left something behind"
    assert str(place) not in pathlib.Path("/proc/self/mountinfo").read_text()


@pytest.mark.parametrize("name", EXAMPLES)
def test_example(sandbox, name):
    need_fuse()
    if name == "copyups":
        need_root()
    if name == "bubblewrap":
        need_tool("bwrap", "busybox")
    run_example(sandbox, name)


def test_example_crun(sandbox):
    need_fuse()
    need_tool("crun")
    with engines.machine(sandbox):
        run_example(sandbox, "crun")


# ---- files to be put elsewhere -------------------------------------------------------------------

def put_in_place(sandbox, name, *changes):
    """An example as somebody puts it on this machine: with other paths than those that it has."""
    text = (HERE / name).read_text()
    for old, new in changes:
        assert old in text, f"{name} has no {old}"
        text = text.replace(old, str(new))
    path = sandbox.path / name
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", ["storage.conf", "storage-rootless.conf"])
def test_the_storage_configurations_make_podman_and_buildah_use_plyfs(sandbox, name):
    need_fuse()
    with engines.machine(sandbox, subids=name == "storage.conf"):
        program = str(shutil.copy(PLYFS, sandbox.path / "plyfs"))
        storage = engines.Storage(sandbox, program, None if name == "storage.conf" else engines.UID)
        changes = [('"/usr/bin/plyfs"', f'"{program}"')]
        if name == "storage.conf":
            changes += [("/var/lib/containers/storage", storage.place / "root"),
                        ("/run/containers/storage", f"{storage.run.name}/run")]
        storage.environment["CONTAINERS_STORAGE_CONF"] = str(put_in_place(sandbox, name, *changes))
        info = storage.podman("info", "--format", "{{.Store.GraphDriverName}} {{.Store.GraphOptions}}")
        assert info.startswith("overlay ") and program in info, info
        container = storage.buildah("from", "scratch")
        assert " fuse.plyfs " in storage.inside(container, 'grep " $PWD " /proc/mounts')
        assert storage.close() == []


def test_the_line_of_fstab_mounts_by_mount(sandbox):
    need_fuse()
    need_root()
    need(can_mount_kernel(), "needs root and overlayfs in the kernel")
    for name in ("top", "base", "changes", "work", "tree"):
        sandbox.directory(name)
    (sandbox.path / "base/file").write_text("below\n")
    sandbox.guard(sandbox.path / "base")
    fstab = put_in_place(sandbox, "fstab", ("/srv/", f"{sandbox.path}/"))
    # /sbin is where mount(8) looks for the name; over it lies a copy with one name more.
    upper, work = sandbox.directory("sbin-upper"), sandbox.directory("sbin-work")
    with engines.machine(sandbox):
        sbin = os.path.realpath("/sbin")
        run("mount", "-t", "overlay", "-o", f"lowerdir={sbin},upperdir={upper},workdir={work}", "overlay", sbin)
        os.symlink(os.path.abspath(PLYFS), "/sbin/mount.fuse.plyfs")
        run("mount", "-T", fstab, sandbox.path / "tree")
        assert (sandbox.path / "tree/file").read_text() == "below\n"
        run("umount", sandbox.path / "tree")
        assert not is_mounted(sandbox.path / "tree")
        umount(sbin)


def test_the_unit_is_one_and_its_lines_start_and_stop_it(sandbox):
    need_fuse()
    need_tool("systemd-analyze")
    home = sandbox.directory("home")
    for name in ("top", "base"):
        (home / "layers" / name).mkdir(parents=True)
    (home / "layers/base/file").write_text("below\n")
    unit = put_in_place(sandbox, "plyfs-tree.service", ("/usr/bin/plyfs", os.path.abspath(PLYFS)))
    done = run("systemd-analyze", "verify", "--user", "--man=no", unit, check=False,
               env={**os.environ, "XDG_RUNTIME_DIR": str(sandbox.path), "HOME": str(home)})
    told = [line for line in done.stderr.splitlines() if unit.name in line]
    assert done.returncode == 0 and not told, done.stderr

    def lines(key):
        found = re.findall(f"^{key}=(.*)$", unit.read_text(), re.M)
        assert found, f"the unit has no {key}"
        return [line.replace("%h", str(home)).split() for line in found]
    for argv in lines("ExecStartPre") + lines("ExecStart"):
        run(*argv)
    assert (home / "tree/file").read_text() == "below\n"
    for argv in lines("ExecStop"):
        run(*argv)
    assert not is_mounted(home / "tree")
    assert engines.ended(engines.daemons_of(sandbox.path)) == []
