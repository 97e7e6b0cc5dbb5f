# SPDX-License-Identifier: MIT
"""What `meson install` and the Debian package bring, and that it works for an ordinary user where it
was installed."""
import os
import pathlib
import re
import shutil

import pytest

from harness import (PLYFS, ROOT, Sandbox, can_mount_kernel, need, need_fuse, need_root, need_tool, run)

PAGES = sorted(path.name for path in (ROOT / "fs/man").iterdir())
COMPLETION = "usr/share/bash-completion/completions/plyfs"


def tree(root):
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_symlink() or path.is_file()}


def configured(sandbox, *options):
    """A build directory with the program that is under test in it, so that nothing is built again."""
    need_tool("meson")
    build = sandbox.path / "build"
    run("meson", "setup", build, ROOT, "--prefix=/usr", "-Dtests=false", "--pkg-config-path",
        ROOT / "build/deps/prefix/lib/pkgconfig", *options)
    shutil.copy(PLYFS, build / "plyfs")
    return build


def installed(sandbox, build):
    to = sandbox.directory("to")
    run("meson", "install", "-C", build, "--no-rebuild", env={**os.environ, "DESTDIR": str(to)})
    return to


def test_an_installation_has_the_program_its_names_its_pages_and_its_completion(sandbox):
    """That of another program, fuse-overlayfs, is taken only when it is asked for."""
    build = configured(sandbox)
    pages = {f"usr/share/man/man{name[-1]}/{name}" for name in PAGES}
    names = {"usr/bin/plyfs", "usr/sbin/mount.fuse.plyfs"}
    assert tree(installed(sandbox, build)) == pages | names | {COMPLETION}
    run("meson", "configure", build, "-Dfuse_overlayfs_name=true")
    shutil.rmtree(build / "meson-logs", ignore_errors=True)
    run("meson", "setup", "--reconfigure", build, ROOT)
    to = installed(sandbox, build)
    names.add("usr/bin/fuse-overlayfs")
    assert tree(to) == pages | names | {COMPLETION}
    for name in names:
        assert run(to / name, "--version").stdout.startswith("plyfs ")
        assert name == "usr/bin/plyfs" or not os.path.isabs(os.readlink(to / name))


# ---- the package ---------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def package():
    need_tool("meson", "dpkg-deb", "dpkg-shlibdeps", "dpkg-buildflags")
    box = Sandbox()
    try:
        yield pathlib.Path(run("sh", ROOT / "packaging/deb.sh", box.path).stdout.splitlines()[-1])
    finally:
        box.close()


@pytest.mark.skipif(os.environ.get("PLYFS_FULL") != "1", reason="PLYFS_FULL=1 runs it: a minute of lintian")
def test_lintian_finds_nothing_wrong(package):
    need_tool("lintian")
    done = run("lintian", "--fail-on", "error,warning", package, check=False)
    assert done.returncode == 0 and not re.search("^[EW]:", done.stdout, re.M), done.stdout


@pytest.mark.skipif(os.environ.get("PLYFS_FULL") != "1", reason="PLYFS_FULL=1 runs it: a minute of building once more")
def test_the_same_tree_makes_the_same_package(package, sandbox):
    again = run("sh", ROOT / "packaging/deb.sh", sandbox.path).stdout.splitlines()[-1]
    assert pathlib.Path(again).read_bytes() == package.read_bytes()


def test_the_package_has_what_an_installation_has(package, sandbox):
    run("dpkg-deb", "-x", package, sandbox.path)
    found = tree(sandbox.path)
    pages = {f"usr/share/man/man{name[-1]}/{name}.gz" for name in PAGES}
    assert pages | {"usr/bin/plyfs", "usr/sbin/mount.fuse.plyfs", COMPLETION} <= found
    assert all(path.startswith("usr/share/doc/plyfs/") for path in
               found - pages - {"usr/bin/plyfs", "usr/sbin/mount.fuse.plyfs", COMPLETION})


def test_the_package_needs_only_packages_that_are_here(package):
    """The machine has what the build needed, and no newer libfuse than the distribution's."""
    depends = run("dpkg-deb", "-f", package, "Depends").stdout
    for word in depends.replace("|", ",").split(","):
        name = word.split()[0]
        assert run("dpkg-query", "-W", "-f", "${db:Status-Status}", name).stdout == "installed", name


USE = r"""
set -eu
dpkg -i /tmp/plyfs.deb >/dev/null
dpkg -V plyfs
mkdir /tmp/place && chown nobody /tmp/place && cd /tmp/place
cat > /tmp/use <<'END'
set -eu
mkdir base changes tree
echo below > base/file
/usr/bin/plyfs mount --lower base --upper changes tree
grep -q '/tmp/place/tree fuse.plyfs .*user_id=65534' /proc/mounts
test "$(cat tree/file)" = below
echo above > tree/file
/usr/bin/plyfs umount tree
test "$(cat base/file changes/file)" = "below
above"
END
setpriv --reuid 65534 --regid 65534 --clear-groups env HOME=/tmp/place sh /tmp/use
mkdir by-root
mount -t fuse.plyfs -o lowerdir=/tmp/place/base,upperdir=/tmp/place/changes,workdir=/tmp/place/changes.work \
    overlay by-root
test "$(cat by-root/file)" = above
umount by-root
man -w plyfs mount.fuse.plyfs >/dev/null 2>&1 || ! command -v man >/dev/null
dpkg -P plyfs >/dev/null
rm -r /tmp/place /tmp/use /tmp/plyfs.deb
for path in /usr/bin/plyfs /usr/sbin/mount.fuse.plyfs /usr/share/doc/plyfs /usr/share/man/man1/plyfs.1.gz
do test ! -e $path; done
echo all of it
"""


def test_dpkg_installs_it_an_ordinary_user_uses_it_and_it_is_purged(package, sandbox):
    """In a root of its own: this machine's, with all changes kept from it by the kernel's overlayfs."""
    need_fuse()
    need_root()
    need_tool("dpkg", "setpriv", "fusermount3", "unshare")
    need(can_mount_kernel(), "needs root and overlayfs in the kernel")
    # overlayfs takes no upper that lies in the lower: a filesystem of its own.
    here = sandbox.directory("root")
    script = '''set -eu
        mount -t tmpfs none "$0"
        mkdir "$0/upper" "$0/work" "$0/root"
        mount -t overlay -o lowerdir=/,upperdir="$0/upper",workdir="$0/work" overlay "$0/root"
        rm -rf "$0/root/tmp/plyfs.deb" "$0/root/tmp/place" "$0/root/tmp/use"
        cp "$1" "$0/root/tmp/plyfs.deb"
        mount --rbind /dev "$0/root/dev"
        mount --rbind /proc "$0/root/proc"
        mknod "$0/fuse" c 10 229
        chmod 666 "$0/fuse"
        mount --bind "$0/fuse" "$0/root/dev/fuse"
        exec chroot "$0/root" sh -s'''
    done = run("unshare", "-m", "--propagation", "private", "sh", "-c", script, here, package, input=USE,
               check=False, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
    assert done.returncode == 0 and done.stdout.endswith("all of it\n"), done.stdout + done.stderr
