# SPDX-License-Identifier: MIT
"""podman with plyfs as its mount program: containers that run, what they changed, builds, volumes and
pruning, as root, as a user with subordinate ids, and as one without."""
import json
import os
import shutil

import pytest

import engines
import sessions
from harness import PLYFS, Sandbox, need, need_fuse, run

SCRIPT = ('test "$(cat /etc/note)" = note; echo ran >/etc/ran; rm /usr/lib/lib9.so; mv /gone/deep/file3 /gone/file3; '
          "chmod 0700 /var/empty; test -e /etc/ran")


# What storage.conf asks for where the user has no sub-ids: owners are lost, or kept in an attribute.
OWNERS_LOST = ['ignore_chown_errors = "true"']
OWNERS_KEPT = [*OWNERS_LOST, 'force_mask = "shared"']
KINDS = {"root": (None, True, ()), "user": (engines.UID, True, ()),
         "user without sub-ids": (engines.UID, False, OWNERS_LOST),
         "user without sub-ids, owners kept": (engines.UID, False, OWNERS_KEPT)}


@pytest.fixture(scope="module")
def made():
    """What images are made of, and an archive of the image localhost/base, made by root."""
    need_fuse()
    box = Sandbox()
    try:
        with engines.machine(box):
            box.context, maker = sessions.make_sources(box), engines.Storage(box)
            container = maker.buildah("from", "scratch")
            # podman itself cannot unpack a fifo when it is to keep the owners.
            maker.buildah("add", "-q", container, sessions.make_base(box, fifo=False), "/")
            maker.buildah("commit", "-q", "--timestamp", "0", "--rm", container, "localhost/base")
            box.archive = box.path / "base.oci"
            maker.buildah("push", "-q", "localhost/base", f"oci-archive:{box.archive}:localhost/base")
            box.archive.chmod(0o644)
            assert maker.close() == []
        yield box
    finally:
        box.close()


@pytest.fixture(scope="module", params=KINDS)
def storage(request, made):
    """A storage that has the image localhost/base, loaded from an archive."""
    user, subids, options = KINDS[request.param]
    if options == OWNERS_KEPT:
        told = run(PLYFS, "-o", "lowerdir=/,xattr_permissions=2", "/nowhere", check=False).stderr
        need("unknown option" not in told, "needs xattr_permissions")
    box = Sandbox()
    try:
        with engines.machine(box, subids):
            program = shutil.copy(PLYFS, box.path / "fuse-overlayfs")
            storage = engines.Storage(box, program, user, options)
            storage.context, storage.alone = made.context, not subids
            storage.call("podman", "load", "-q", "-i", made.archive)
            yield storage
            assert storage.close() == []
    finally:
        box.close()


def changes_of(storage, name):
    """What podman diff tells: {path: A, C or D}."""
    words = {"added": "A", "changed": "C", "deleted": "D"}
    found = json.loads(storage.podman("diff", "--format", "json", name))
    return {path: words[kind] for kind, paths in found.items() for path in paths or ()}


@pytest.fixture
def ran(storage):
    """A container that has run and ended."""
    storage.contain("ran", "localhost/base", "/bin/sh", "-euc", SCRIPT)
    yield "ran"
    storage.podman("rm", "ran")


def test_info_tells_the_mount_program(storage):
    info = json.loads(storage.podman("info", "--format", "json"))["store"]
    told = info["graphOptions"]["overlay.mount_program"]
    assert info["graphDriverName"] == "overlay" and told["Executable"] == str(storage.program)
    assert told["Version"].startswith("plyfs ")


def test_a_container_runs_and_its_changes_are_told(storage, ran):
    found = changes_of(storage, ran)
    assert {path: kind for path, kind in found.items() if path.startswith(("/etc/ran", "/usr", "/gone", "/var"))} == {
        "/etc/ran": "A", "/usr": "C", "/usr/lib": "C", "/usr/lib/lib9.so": "D", "/gone": "C", "/gone/deep": "C",
        "/gone/deep/file3": "D", "/gone/file3": "A", "/var": "C", "/var/empty": "C"}


def test_a_container_is_committed_and_the_image_has_its_changes(storage, ran):
    storage.podman("commit", "-q", ran, "localhost/committed")
    storage.contain("again", "localhost/committed", "/bin/sh", "-euc",
                    'test "$(cat /etc/ran)" = ran; test ! -e /usr/lib/lib9.so; test -e /gone/file3')
    storage.podman("rm", "again")


def test_files_go_in_and_out_of_a_container(storage, ran):
    storage.podman("cp", storage.context / "single", f"{ran}:/etc/single")
    out = storage.place / "tmp/out"
    storage.podman("cp", f"{ran}:/etc/single", out)
    assert out.read_text() == "a single file\n"
    assert changes_of(storage, ran)["/etc/single"] == "A"


def test_an_overlay_volume_keeps_what_is_written_from_the_host(storage):
    shared = storage.place / "home/shared"
    shared.mkdir()
    (shared / "of the host").write_text("host\n")
    if storage.user:
        os.chown(shared, storage.user, storage.user)
    storage.contain("overlaid", "localhost/base", "/bin/sh", "-euc",
                    "test \"$(cat '/mnt/of the host')\" = host; echo new >/mnt/new; test -e /mnt/new",
                    options=["-v", f"{shared}:/mnt:O"])
    assert [path.name for path in shared.iterdir()] == ["of the host"]
    storage.podman("rm", "overlaid")


def test_a_dockerfile_is_built(storage):
    """USER 12:34 needs more ids than one; so do the groups that a chroot of buildah's is given."""
    context, isolation = storage.context, "chroot"
    if storage.alone:
        isolation = "rootless"
        context = storage.place / "tmp/context"
        shutil.copytree(storage.context, context)
        text = (context / "Dockerfile").read_text()
        (context / "Dockerfile").write_text(
            text.replace("--chown=12:34 ", "").replace("USER 12:34\n", "").replace("= 12 ", "= 0 "))
    storage.call("podman", "tag", "localhost/base", "localhost/edited")
    storage.call("podman", "build", "-q", "--isolation", isolation, "--pull-never", "-t", "localhost/built", context)
    config = json.loads(storage.podman("image", "inspect", "localhost/built"))[0]["Config"]
    assert config["Volumes"] == {"/srv/app/data": {}}
    # A volume of the image's is one of podman's own.
    storage.contain("built", "localhost/built", "/bin/sh", "-euc",
                    'test "$(cat again)" = built; test -e moved/part3; echo x >data/x || test "$(id -u)" = 12; '
                    "test ! -e /usr/lib/lib3.so; test \"$(ls /opaque)\" = fresh")
    storage.podman("rm", "-v", "built")


def test_a_prune_of_the_system_leaves_no_layer(storage):
    storage.contain("pruned", "localhost/base", "/bin/true")
    storage.podman("tag", "localhost/base", "localhost/kept")
    storage.podman("rm", "pruned")
    assert storage.layers()
    storage.podman("system", "prune", "--all", "--force")
    assert storage.layers() == []
    assert engines.mounts_of(storage.place) == [] and engines.ended(engines.daemons_of(storage.place)) == []
