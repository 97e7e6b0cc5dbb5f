# SPDX-License-Identifier: MIT
"""In place of fuse-overlayfs beneath Debian's buildah and podman: a storage.conf that names plyfs.

The same session is run on plyfs, on the kernel's overlayfs and, as an ordinary user, on plyfs again;
the images must have the same DiffIDs, which hold every name, mode, owner, attribute and byte."""
import os
import pathlib
import shutil

import pytest

import engines
import sessions
from harness import PLYFS, Sandbox, assert_same, can_mount_kernel, need, need_fuse, run

FULL = os.environ.get("PLYFS_FULL") == "1"
FILES, HEIGHT = (15_000, 40) if FULL else (1_200, 4)


@pytest.fixture(scope="module", autouse=True)
def world():
    """The machine and what images are made of."""
    need_fuse()
    box = Sandbox()
    try:
        with engines.machine(box):
            yield box
    finally:
        box.close()


@pytest.fixture(scope="module")
def context(world):
    return sessions.make_sources(world)


@pytest.fixture(scope="module")
def base(world):
    return sessions.make_base(world)


@pytest.fixture(scope="module")
def program(world):
    """Where an ordinary user can run it, under the name that it takes the place of."""
    return shutil.copy(PLYFS, world.path / "fuse-overlayfs")


def kernel(world, *options):
    need(can_mount_kernel(), "needs root and overlayfs in the kernel")
    return engines.Storage(world, None, options=options)


# With metacopy the storage does not pack the kernel's upper, which holds more than was changed, but
# looks for the differences of two trees, as it does with a mount program.
COMPARING = 'mountopt = "metacopy=on"'


@pytest.fixture(scope="module")
def reference(world, base, context):
    storage = kernel(world, COMPARING)
    yield storage, sessions.whole(storage, base, context)
    assert storage.close() == []


@pytest.fixture(scope="module")
def rootful(world, base, context):
    storage = engines.Storage(world)
    yield storage, sessions.whole(storage, base, context)
    assert storage.close() == []


def test_the_images_of_a_session_have_the_diff_ids_of_the_kernels_overlayfs(reference, rootful):
    assert rootful[1] == reference[1]


def test_the_tree_of_a_built_image_is_that_of_the_kernels_overlayfs(reference, rootful):
    for name in ("localhost/edited", "localhost/built"):
        assert_same(reference[0].tree(name), rootful[0].tree(name), f"{name}: left kernel, right plyfs")


# ---- an ordinary user ----------------------------------------------------------------------------

@pytest.fixture(scope="module")
def rootless(world, program, base, context):
    storage = engines.Storage(world, program, engines.UID)
    yield storage, sessions.whole(storage, base, context)
    assert storage.close() == []


def test_a_user_with_sub_ids_gets_the_images_that_root_gets(reference, rootless):
    assert rootless[1] == reference[1]


@pytest.fixture(scope="module", params=["root", "user"])
def either(request):
    """The storage of root, then that of a user, after the session."""
    return request.getfixturevalue("rootful" if request.param == "root" else "rootless")[0]


@pytest.fixture
def container(either):
    """A container of localhost/built."""
    name = either.buildah("from", "--pull-never", "localhost/built")
    yield name
    either.buildah("rm", name)


def test_a_mounted_container_is_a_mount_of_plyfs(either, container):
    here = either.inside(container, "stat -f -c %T . && grep \" $PWD \" /proc/mounts")
    assert here.split()[0] == "fuseblk" or "fuse" in here.split()[0]
    assert " fuse.plyfs rw" in here, here


def test_an_overlay_volume_shows_the_host_and_keeps_what_is_written_from_it(world, either, container):
    shared = world.directory("shared")
    (shared / "of the host").write_text("host\n")
    os.chown(shared, engines.UID, engines.UID)
    either.buildah("run", "--isolation", "chroot", "--user", "0", "-v", f"{shared}:/srv/shared:O",
                   container, "--", "/bin/sh", "-euc", """cd /srv/shared
                   test "$(cat 'of the host')" = host
                   echo changed > 'of the host'
                   echo new > new
                   test "$(cat *)" = "new
changed"
                   grep -q ' /srv/shared fuse.plyfs ' /proc/mounts""")
    assert [path.name for path in shared.iterdir()] == ["of the host"]
    assert (shared / "of the host").read_text() == "host\n"


def test_what_a_session_leaves_mounted_in_its_namespace_ends_with_the_namespace(either):
    """A user's buildah makes a namespace for each command; what is mounted there and left mounted
    must not keep the container from the next one."""
    if not either.user:
        return
    name = either.buildah("from", "--pull-never", "localhost/base")
    either.call("buildah", "unshare", "sh", "-euc", 'echo left > "$(buildah mount "$0")/etc/left"', name)
    either.run_in(name, 'test "$(cat /etc/left)" = left')
    either.buildah("rm", name)
    assert engines.ended(engines.daemons_of(either.place)) == []


# ---- large and high ------------------------------------------------------------------------------

def spread(root):
    """Files of all sizes, some hundred to a directory."""
    for number in range(FILES):
        directory = root / "many" / str(number // 300)
        if number % 300 == 0:
            directory.mkdir(parents=True)
        (directory / f"file{number}").write_bytes(b"%d" % number * (number % 50))
    for name in ("tool", "other"):  # what only root may make
        (root / name).write_text(name)
        os.setxattr(root / name, "security.capability", bytes.fromhex("0100000200200000000000000000000000000000"))
    os.mknod(root / "null", 0o020666, os.makedev(1, 3))


def disturb(root):
    """Changes every tenth of them, in each of ten ways."""
    for number in range(0, FILES, 10):
        path = root / "many" / str(number // 300) / f"file{number}"
        way = number // 10 % 5
        if way == 0:
            path.unlink()
        elif way == 1:
            path.write_text("other")
        elif way == 2:
            path.chmod(0o600)
        elif way == 3:
            path.rename(path.with_name(f"renamed{number}"))
        else:
            os.chown(path, 7, 8)
    shutil.rmtree(root / "many/1")
    (root / "tool").chmod(0o700)
    (root / "other").rename(root / "another")
    (root / "null").chmod(0o600)
    run("mv", root / "many/2", root / "moved")


def layers_of(storage, name, base, change):
    """Commits a change, dated 0; the DiffIDs."""
    container = storage.buildah("from", "--pull-never", base)
    change(pathlib.Path(storage.buildah("mount", container)))
    storage.buildah("umount", container)
    storage.buildah("commit", "-q", "--timestamp", "0", "--rm", container, name)
    return storage.diff_ids(name)


@pytest.fixture
def pair(world):
    """Empty storages of root: on the kernel's overlayfs, and on plyfs."""
    storages = [kernel(world, COMPARING), engines.Storage(world)]
    yield storages
    for storage in storages:
        assert storage.close() == []


def test_an_image_of_many_files_is_that_of_the_kernels_overlayfs(pair):
    def make(storage):
        layers_of(storage, "localhost/many", "scratch", spread)
        return layers_of(storage, "localhost/disturbed", "localhost/many", disturb)
    of_kernel, ours = map(make, pair)
    assert ours == of_kernel and len(ours) == 2


def test_an_image_of_many_layers_is_that_of_the_kernels_overlayfs(world, pair):
    tower = world.directory("tower")
    engines.populate(tower)

    def make(storage):
        layers_of(storage, "localhost/tower:1", "scratch",
                  lambda root: shutil.copytree(tower / "usr", root / "usr", symlinks=True))
        for number in range(2, HEIGHT + 1):
            def change(root, n=number):
                (root / f"usr/of{n}").mkdir()
                (root / f"usr/of{n}/file").write_text(str(n))
                (root / "usr/lib" / f"lib{n}.so").unlink(missing_ok=True)
                with open(root / "usr/lib/lib0.so", "ab") as file:
                    file.write(b"%d" % n)
                if n > 3:
                    run("mv", root / f"usr/of{n - 1}", root / f"usr/was{n - 1}")
            found = layers_of(storage, f"localhost/tower:{number}", f"localhost/tower:{number - 1}", change)
        return found, storage.tree(f"localhost/tower:{HEIGHT}")
    of_kernel, ours = map(make, pair)
    assert ours[0] == of_kernel[0] and len(ours[0]) == HEIGHT
    assert_same(of_kernel[1], ours[1], "left kernel, right plyfs")
