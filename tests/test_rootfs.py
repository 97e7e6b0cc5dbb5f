# SPDX-License-Identifier: MIT
"""Real work in a real rootfs gives the same tree on plyfs as on the kernel's overlayfs.

A Debian minbase is split over three layers; packages are installed and removed in it, libraries
registered, Python compiled, repositories cloned, a program built. That is done by root, by an
ordinary user through fusermount3, and in user namespaces, and the whole tree is compared with what
the same work leaves on the kernel's overlayfs in the same form of privilege: owners, modes, times
to the second, xattrs, link groups and content. A time is compared where the run did not set it:
what the work makes or changes is "recent" on both sides.

build/rootfs-dev.tar and build/debs are made once and kept. PLYFS_ROOTFS_AS=kernel or
fuse-overlayfs puts another implementation in plyfs's place: the tests of these tests.
"""
import os
import pathlib
import pwd
import re
import shutil
import stat
import time
import zlib

import pytest

import layers_kit as kit
from harness import (ROOT, Mounted, Sandbox, assert_same, can_mount_kernel, listing, need,
                     need_fuse, need_root, need_tool, run)

OURS = os.environ.get("PLYFS_ROOTFS_AS", "plyfs")
FULL = os.environ.get("PLYFS_FULL") == "1"
TAR = ROOT / "build" / "rootfs-dev.tar"
DEBS = ROOT / "build" / "debs"
PACKAGES = ["git", "gcc", "libc6-dev", "make", "python3"]
# Small packages with no dependency but libc6: one plain, one to be removed, one with alternatives,
# one with a shared library (which sets off ldconfig's trigger).
DOWNLOADED = ["hello", "tree", "cpio", "libpopt0"]
USER = "plyfs-test"

# What differs between two runs by right, and why. (path, what of the record is left out, reason)
NORMALISED = [
    (r"var/log/.*", ("content", "size"), "logs carry the time of day"),
    (r"var/cache/ldconfig/aux-cache", ("content",), "holds inode numbers and ctimes of libraries"),
    (r".*/\.git/index", ("content",), "holds inode numbers, ctimes and devices"),
]

WORK = r"""
set -eu
export LC_ALL=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
export DEBIAN_FRONTEND=noninteractive TZ=UTC TMPDIR=/tmp SOURCE_DATE_EPOCH=1700000000
export GIT_AUTHOR_DATE='1700000000 +0000' GIT_COMMITTER_DATE='1700000000 +0000'
export GIT_AUTHOR_NAME=tests GIT_AUTHOR_EMAIL=tests@localhost
export GIT_COMMITTER_NAME=tests GIT_COMMITTER_EMAIL=tests@localhost
umask 022
cd /

# Packages in and out, and what is installed still has its checksums.
dpkg -i /debs/libpopt0_*.deb /debs/hello_*.deb /debs/tree_*.deb /debs/cpio_*.deb
hello
echo a | cpio -o --quiet > /tmp/archive 2> /dev/null || true
rm -f /tmp/archive
dpkg -r tree
dpkg -P hello
dpkg -i /debs/hello_*.deb
test ! -e /usr/bin/tree
dpkg -V gcc-12 git make cpio hello libpython3.11-stdlib
update-alternatives --display mt
ldconfig

# Compiled Python over files that were compiled in a lower layer, and beside new ones.
python3 -m compileall -q -f /usr/lib/python3.11/json /usr/lib/python3.11/email \
    /usr/lib/python3.11/asyncio /usr/lib/python3.11/xml
mkdir -p /opt/app
cp -r /usr/lib/python3.11/logging /usr/lib/python3.11/http /opt/app
rm -rf /opt/app/*/__pycache__
find /opt/app -name '*.py' -exec touch -d @1600000000 {} +
python3 -m compileall -q /opt/app

# Repositories: the first clone links objects, the second packs them.
git config --global safe.directory '*'
git config --global pack.threads 1
git config --global gc.auto 0
mkdir -p /srv/origin
cp -r /usr/include/linux/netfilter* /usr/include/asm-generic /srv/origin
git -C /srv/origin init -q -b main
git -C /srv/origin add .
git -C /srv/origin commit -q -m first
git clone -q /srv/origin /srv/linked
git clone -q --no-local /srv/origin /srv/packed
(cd /srv/linked && git checkout -q -b topic && git mv asm-generic generic &&
    git rm -q -r netfilter && git commit -q -m moved && git checkout -q main && git merge -q topic)
git -C /srv/linked push -q origin topic
git -C /srv/origin gc -q
for repo in origin linked packed; do git -C /srv/$repo fsck --strict; done
git -C /srv/linked status --porcelain > /srv/status

# A program of some files, a static and a shared library, built by make and installed.
mkdir -p /srv/build && cd /srv/build
i=0
while [ $i -lt 12 ]; do
    { echo '#include "all.h"'
      j=0
      while [ $j -lt 25 ]; do
        echo "static int step_${i}_$j(int x) { for (int k = 0; k < x % 7; k++) x += k * $j; return x; }"
        j=$((j + 1))
      done
      echo "int part_$i(int x) {"
      j=0
      while [ $j -lt 25 ]; do echo "    x = step_${i}_$j(x);"; j=$((j + 1)); done
      echo "    return x;"; echo "}"
    } > part$i.c
    echo "int part_$i(int);" >> all.h
    i=$((i + 1))
done
cat > main.c <<'END'
#include <stdio.h>
#include "all.h"
int main(void) { printf("%d\n", part_0(part_5(part_11(3)))); return 0; }
END
printf '%s\n' 'CFLAGS = -O2 -g -fPIC' 'PARTS = $(patsubst %.c,%.o,$(wildcard part*.c))' \
    'all: static shared' '%.o: %.c all.h' '	$(CC) $(CFLAGS) -c -o $@ $<' \
    'libparts.a: $(PARTS)' '	$(AR) rcs $@ $^' \
    'libparts.so.1: $(PARTS)' '	$(CC) -shared -Wl,-soname,$@ -o $@ $^' \
    'static: main.o libparts.a' '	$(CC) -o $@ $^' \
    'shared: main.o libparts.so.1' '	$(CC) -o $@ $^' \
    'install: all' '	install -m 4755 static /usr/local/bin/static' \
    '	install -m 755 shared /usr/local/bin/shared' \
    '	install -m 644 libparts.so.1 /usr/local/lib' > Makefile
make -s -j2
make -s install
ldconfig
test "$(static)" = "$(shared)"
ldconfig -p | grep -q libparts.so.1

# What administrators do.
cd /
mv /usr/share/bash-completion /usr/share/completions
mv /usr/share/completions/completions/git /usr/share/completions/git-moved || true
rm -rf /usr/share/locale /usr/share/perl5/Debian
mkdir /usr/share/locale
echo here > /usr/share/locale/readme
cp -al /usr/share/git-core /usr/local/share/git-core
rm -rf /usr/share/git-core
tar -C /etc -cf - . | tar -C /srv -xpf - --one-top-level=etc
find /usr/lib/git-core -type f -name 'git-s*' -exec chmod 0700 {} +
chmod -R go-w /usr/share/doc
sed -i 's/localhost/local.host/' /etc/layered/changed
echo more >> /etc/layered/added
touch -d @1500000000 /usr/lib/os-release /etc/layered/deeper
truncate -s 100 /etc/layered/long
rm -rf /tmp/* /var/cache/apt/archives
"""


# ---- the layers ---------------------------------------------------------------------------------

def _fetch():
    """The rootfs and the packages, made once. A half-made one is never left under its name."""
    if not TAR.exists():
        need_tool("mmdebstrap")
        TAR.parent.mkdir(exist_ok=True)
        run("sh", ROOT / "tests" / "rootfs.sh", TAR, *PACKAGES, timeout=1200)
    if not all(list(DEBS.glob(f"{name}_*.deb")) for name in DOWNLOADED):
        need_tool("apt-get")
        part = DEBS.with_name("debs.part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        download = ["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", *DOWNLOADED]
        if run(*download, cwd=part, check=False).returncode != 0:
            run("apt-get", "-q", "update", timeout=300)
            run(*download, cwd=part)
        shutil.rmtree(DEBS, ignore_errors=True)
        part.rename(DEBS)


def _split(base, upper_layers):
    """Moves a tenth of the files of /usr and /var to each of the upper layers, so that most
    directories are merged. Files of more than one name stay together, in the base."""
    made = {layer: {} for layer in upper_layers}

    def directory(layer, rel):
        if rel in made[layer]:
            return
        target, source = layer / rel, base / rel
        if rel != ".":
            directory(layer, os.path.dirname(rel) or ".")
            target.mkdir()
        st = os.lstat(source)
        os.chown(target, st.st_uid, st.st_gid)
        os.chmod(target, stat.S_IMODE(st.st_mode))
        made[layer][rel] = st

    stamps = {}
    for part in ("usr", "var"):
        for where, _, files in os.walk(base / part):
            rel = os.path.relpath(where, base)
            stamps[where] = os.lstat(where).st_mtime_ns
            for name in files:
                share = zlib.crc32(f"{rel}/{name}".encode()) % 10
                if share < len(upper_layers) and \
                        os.lstat(os.path.join(where, name)).st_nlink == 1:
                    directory(upper_layers[share], rel)
                    os.rename(os.path.join(where, name), upper_layers[share] / rel / name)
    for where, stamp in stamps.items():
        os.utime(where, ns=(stamp, stamp))
    return made


def _edit(layers, opaque):
    """What the upper layers change in the ones below: added, changed and removed things."""
    top, middle, base = layers
    for path, text in {"hidden": "no", "changed": "localhost one\n", "deep/gone": "no",
                       "opaque/old": "no", "deeper": "1\n", "long": "x" * 5000}.items():
        kit.put(base / "etc/layered" / path, text)
    kit.put(middle / "etc/layered/changed", "localhost two\n")
    kit.put(middle / "etc/layered/opaque/middle", "middle\n")
    kit.put(middle / "etc/layered/twice", "made, then removed above\n")
    kit.whiteout(middle / "etc/layered/hidden")
    os.setxattr(middle / "etc/layered/opaque", opaque, b"y")
    kit.put(top / "etc/layered/added", "top\n")
    kit.put(top / "etc/layered/opaque/top", "top\n")
    kit.whiteout(top / "etc/layered/twice")
    kit.whiteout(top / "etc/layered/deep")
    # Removed by an upper layer although the packages have it; and a directory replaced.
    (middle / "usr/share").mkdir(parents=True, exist_ok=True)
    shutil.rmtree(middle / "usr/share/man", ignore_errors=True)
    shutil.rmtree(top / "usr/share/man", ignore_errors=True)
    kit.whiteout(middle / "usr/share/man")
    shutil.rmtree(top / "usr/share/lintian", ignore_errors=True)
    kit.put(top / "usr/share/lintian/only", "this\n")
    os.setxattr(top / "usr/share/lintian", opaque, b"y")
    (top / "debs").mkdir()
    for deb in sorted(DEBS.glob("*.deb")):
        shutil.copy(deb, top / "debs")
    for layer in layers:
        kit.age(layer / "etc/layered")
    for path in (top / "debs", top / "usr/share/lintian"):
        kit.age(path)


def _make_layers(home, owner=None):
    layers = [home / name for name in ("top", "middle", "base")]
    for layer in layers:
        layer.mkdir()
    top, middle, base = layers
    run("tar", "--xattrs", "--xattrs-include=*", "--numeric-owner", "-C", base, "-xpf", TAR)
    if owner:  # a user has no device nodes
        shutil.rmtree(base / "dev")
        (base / "dev").mkdir()
    made = _split(base, [top, middle])
    _edit(layers, "user.overlay.opaque" if owner else "trusted.overlay.opaque")
    for layer, directories in made.items():  # deepest first: a parent's time is set last
        for rel, st in sorted(directories.items(), reverse=True):
            if (layer / rel).is_dir():
                os.utime(layer / rel, ns=(st.st_mtime_ns, st.st_mtime_ns))
    old = time.time_ns() - 3600 * 10**9
    for layer in layers:
        for where, dirs, files in os.walk(layer, topdown=False):
            for path in [os.path.join(where, name) for name in files] + [where]:
                if owner:
                    mode = os.lstat(path).st_mode
                    os.chown(path, *owner, follow_symlinks=False)
                    if not stat.S_ISLNK(mode) and not stat.S_ISCHR(mode):
                        os.chmod(path, stat.S_IMODE(mode))  # chown took setuid
                if os.lstat(path).st_mtime_ns > old:  # what making the layers dated today
                    os.utime(path, ns=(old, old), follow_symlinks=False)
            for name in dirs:
                path = os.path.join(where, name)
                if owner and os.path.islink(path):
                    os.chown(path, *owner, follow_symlinks=False)
    return layers


@pytest.fixture(scope="module")
def box():
    need_root()
    need(can_mount_kernel(), "needs overlayfs in the kernel")
    need_tool("tar", "unshare", "chroot")
    if OURS == "plyfs":
        need_fuse()
    _fetch()
    box = Sandbox(kit.roomy(3 << 30))
    yield box
    box.close()


@pytest.fixture(scope="module")
def root_layers(box):
    layers = _make_layers(box.directory("root"))
    box.guard(*layers)
    return layers


@pytest.fixture(scope="module")
def user():
    """An ordinary user who may open /dev/fuse; both are put back."""
    need_root()
    need_tool("useradd", "userdel", "fusermount3")
    need(os.path.exists("/dev/fuse"), "no /dev/fuse")
    need(kit.namespaces_allowed(), "needs user namespaces")
    try:
        pwd.getpwnam(USER)
        made = False
    except KeyError:
        run("useradd", "-M", "-d", "/nonexistent", USER)
        made = True
    mode = stat.S_IMODE(os.stat("/dev/fuse").st_mode)
    os.chmod("/dev/fuse", 0o666)
    yield pwd.getpwnam(USER)
    os.chmod("/dev/fuse", mode)
    if made:
        run("userdel", USER)


@pytest.fixture(scope="module")
def user_layers(box, user):
    home = box.directory("user")
    os.chown(home, user.pw_uid, user.pw_gid)
    layers = _make_layers(home, (user.pw_uid, user.pw_gid))
    box.guard(*layers)
    return layers


# ---- the work, and what it left -----------------------------------------------------------------

def _work(mount):
    """Runs the work in a chroot of the mount, with the machine's /dev and /proc, in a mount
    namespace of its own, so that nothing of theirs is seen afterwards."""
    script = 'mount --rbind /dev "$0/dev" && mount --rbind /proc "$0/proc" && ' \
             'exec chroot "$0" /bin/sh -s'
    run("unshare", "-m", "sh", "-c", script, os.fspath(mount), input=WORK)


def _left(mount, start):
    records = kit.forget_recent(listing(mount, times="s"), start)
    for path, record in records.items():
        for pattern, keys, _ in NORMALISED:
            if re.fullmatch(pattern, path):
                for key in keys:
                    record.pop(key, None)
    return records


def _places(box, name, owner=None):
    home = box.directory(name)
    places = [home / "upper", home / "work", home / "mnt"]
    for path in places:
        path.mkdir()
    for path in places + [home]:
        if owner:
            os.chown(path, owner.pw_uid, owner.pw_gid)
    return places


def _start():
    return time.time_ns() - 10 * 10**9  # filesystems' clocks lag; the layers are an hour older


def _kernel_root(box, layers):
    upper, work, at = _places(box, "kernel")
    start = _start()
    with Mounted(box, "kernel", layers, upper, work, at=at, form="o",
                 options=["redirect_dir=on", "metacopy=on", "index=on"]) as mount:
        _work(mount)
        return _left(mount, start)


@pytest.fixture(scope="module")
def root_reference(box, root_layers):
    return _kernel_root(box, root_layers)


def _in_namespace(box, kind, layers, places):
    """Mount, work, listing and umount, by the root of the present namespace."""
    upper, work, at = places
    start = _start()
    options = ["userxattr"] if kind == "kernel" else []
    form = "mount" if kind == "plyfs" else "o"
    with Mounted(box, kind, layers, upper, work, at=at, form=form, options=options) as mount:
        _work(mount)
        live = _left(mount, start)
    with Mounted(box, kind, layers, upper, work, at=at, form=form, options=options) as mount:
        assert_same(live, _left(mount, start), "before and after a remount")
    return live


@pytest.fixture(scope="module")
def user_reference(box, user, user_layers):
    """The kernel's overlayfs in the user's own namespace."""
    places = _places(box, "kernel-user", user)
    return kit.in_child(lambda: _in_namespace(box, "kernel", user_layers, places),
                        kit.become_user(user.pw_uid, user.pw_gid, places[0].parent),
                        kit.become_root_of_a_namespace)


def test_the_layers_are_merged_as_made(box, root_layers):
    """The tests' own footing: the split layers are one rootfs again, with every edit in force."""
    with Mounted(box, OURS, root_layers, at=box.directory("merged"), form="o",
                 options=["ro"]) as mount:
        seen = listing(mount, content=False)
    with Mounted(box, "kernel", root_layers, at=box.directory("merged"), form="o",
                 options=["ro"]) as mount:
        assert_same(listing(mount, content=False), seen)
    layered = sorted(p[len("etc/layered/"):] for p in seen if p.startswith("etc/layered/"))
    assert layered == ["added", "changed", "deeper", "long", "opaque", "opaque/middle", "opaque/top"]
    assert "usr/share/man" not in seen and "usr/bin/gcc" in seen
    assert [p for p in seen if p.startswith("usr/share/lintian/")] == ["usr/share/lintian/only"]


def test_root_gets_the_kernels_tree(box, root_layers, root_reference, profile):
    upper, work, at = _places(box, f"root-{profile}")
    start = _start()
    form = "mount" if OURS == "plyfs" else "o"
    options = ["redirect_dir=on", "metacopy=on", "index=on"] if OURS == "kernel" else []
    with Mounted(box, OURS, root_layers, upper, work, at=at, form=form, options=options,
                 profile=profile) as mount:
        _work(mount)
        left = _left(mount, start)
        assert_same(root_reference, left, "kernel (left), plyfs (right)")
    with Mounted(box, "kernel", root_layers, upper, work, at=at, form="o",
                 options=["redirect_dir=on", "metacopy=on", "index=on"]) as mount:
        assert_same(left, _left(mount, start), "plyfs's upper by plyfs (left), the kernel (right)")


def test_an_ordinary_user_gets_the_kernels_tree(box, user, user_layers, user_reference):
    """Mounted through fusermount3; the layers' owner is seen as root in `unshare -r`."""
    if OURS == "kernel":
        pytest.skip("about mounts through fusermount3")
    upper, work, at = _places(box, "user-mount", user)
    start = _start()

    def act():
        mount = Mounted(box, OURS, user_layers, upper, work, at=at,
                        form="mount" if OURS == "plyfs" else "o").mount()
        try:
            def inside():
                _work(mount)
                return _left(mount, start)
            return kit.in_child(inside, kit.become_root_of_a_namespace)
        finally:
            run("fusermount3", "-u", at)

    left = kit.in_child(act, kit.become_user(user.pw_uid, user.pw_gid, at.parent))
    assert_same(user_reference, left, "kernel in the user's namespace (left), plyfs (right)")


def test_a_user_namespace_of_one_id_gets_the_kernels_tree(box, user, user_layers, user_reference):
    places = _places(box, "user-namespace", user)
    left = kit.in_child(lambda: _in_namespace(box, OURS, user_layers, places),
                        kit.become_user(user.pw_uid, user.pw_gid, places[0].parent),
                        kit.become_root_of_a_namespace)
    assert_same(user_reference, left, "kernel (left), plyfs (right), in a namespace of one id")


@pytest.mark.skipif(not FULL, reason="PLYFS_FULL=1 runs it: the ids are a variation")
def test_a_user_namespace_of_many_ids_gets_the_kernels_tree(box, user):
    home = box.directory("many")
    layers = _make_layers(home, (0, 0))
    for path in ("etc/shadow", "etc/gshadow"):
        os.chown(layers[-1] / path, 0, 42)
    box.guard(*layers)

    def left(kind):
        places = _places(box, f"many-{kind}")
        return kit.in_child(lambda: _in_namespace(box, kind, layers, places),
                            lambda: kit.become_root_of_a_namespace(65536))

    assert_same(left("kernel"), left(OURS), "kernel (left), plyfs (right), 65536 ids")
