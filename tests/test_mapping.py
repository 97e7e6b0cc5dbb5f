# SPDX-License-Identifier: MIT
"""Owners that are shown as others: uidmapping, gidmapping and squash_to_*, both ways.

The measure is Debian's fuse-overlayfs for what is shown and what lands on the disk, and the
kernel's own user namespaces (user_namespaces(7)) for what has no number on the other side.
"""
import os
import stat
import struct

import pytest

from harness import PLYFS, need_fuse, need_root, run, umount
from worlds import as_user, attempt, get, put

# As an engine sends it for a user of the host with the number 1000 and sub-ids from 110000 on.
ROOTLESS = ("uidmapping=:0:1000:1:1:110000:65536", "gidmapping=:0:1000:1:1:110000:65536")
# Apart on disk, the other way round where shown, and with holes.
APART = ("uidmapping=0:500:1:10:20:5:100:10:10", "gidmapping=7:0:1:0:7:1:50:60:10")
OVERFLOW = 65534
KINDS = ["file", "dir", "link", "fifo", "chr"]


@pytest.fixture(autouse=True)
def _needs():
    need_root()
    need_fuse()


def owner(path):
    st = os.lstat(path)
    return st.st_uid, st.st_gid


def make_owned(directory, uid, gid):
    """One of each kind, of that owner: its names."""
    names = [f"{kind}-{uid}-{gid}" for kind in KINDS]
    paths = [os.path.join(directory, name) for name in names]
    put(paths[0], "content")
    os.mkdir(paths[1])
    os.symlink("file", paths[2])
    os.mkfifo(paths[3])
    os.mknod(paths[4], stat.S_IFCHR | 0o600, os.makedev(1, 3))
    for path in paths:
        os.chown(path, uid, gid, follow_symlinks=False)
    return names


class Bench:
    """Two layers with the same owners in both, and mounts of them."""

    def __init__(self, sandbox, owners):
        self.sandbox = sandbox
        self.low, self.upper, self.work = (sandbox.directory(n) for n in ("low", "upper", "work"))
        for uid, gid in owners:
            make_owned(self.low, uid, gid)
        up = self.upper / "up"
        up.mkdir()
        for uid, gid in owners:
            make_owned(up, uid, gid)

    def ours(self, options, **words):
        return self.sandbox.plyfs([self.low], self.upper, self.work, form="o", options=options, **words)

    def theirs(self, options):
        return self.sandbox.fuse_overlayfs([self.low], self.upper, self.work, options=options)


def owners_shown(mount):
    """{path: (uid, gid)} by stat, by a listing with attributes, and by an open file."""
    root, found = os.fspath(mount), {}
    for where, names, files in os.walk(root):
        for name in names + files:
            path = os.path.join(where, name)
            found[os.path.relpath(path, root)] = owner(path)
    for rel, is_owner in found.items():
        if stat.S_ISREG(os.lstat(f"{root}/{rel}").st_mode):
            with open(f"{root}/{rel}", "rb") as file:
                assert (os.fstat(file.fileno()).st_uid, os.fstat(file.fileno()).st_gid) == is_owner
    return found


OWNERS = [(0, 0), (1, 1), (33, 33), (1000, 100), (65534, 65534), (65537, 65537), (200000, 12)]
WAYS = {"rootless": ROOTLESS, "apart": APART, "one-id": ("squash_to_uid=1000", "squash_to_gid=100"),
        "root": ("squash_to_root",), "user-alone": ("squash_to_uid=5",),
        "mapped-and-squashed": ROOTLESS + ("squash_to_root", "squash_to_gid=9"),
        "users-alone": ROOTLESS[:1], "groups-alone": ROOTLESS[1:]}


@pytest.mark.parametrize("way", WAYS)
def test_owners_of_both_layers_are_shown_as_fuse_overlayfs_shows_them(sandbox, profile, way):
    bench = Bench(sandbox, OWNERS)
    with bench.theirs(WAYS[way]) as mount:
        expected = owners_shown(mount)
    with bench.ours(WAYS[way], profile=profile) as mount:
        assert owners_shown(mount) == expected
    assert len(expected) == 2 * len(KINDS) * len(OWNERS) + 1


def test_what_is_made_and_given_away_lands_on_the_disk_as_with_fuse_overlayfs(sandbox):
    found = []
    for kind in ("theirs", "ours"):
        bench = Bench(sandbox, [(0, 0)])
        (bench.upper / "shared").mkdir()
        os.chmod(bench.upper / "shared", 0o777)
        with getattr(bench, kind)(ROOTLESS) as mount:
            make_and_hand_out(mount)
        # It leaves a file of its own where nothing lies beneath.
        found.append({path: whose for path, whose in owners_shown(bench.upper).items()
                      if not path.endswith(".wh..wh..opq")})
    assert found[0] == found[1]


def make_and_hand_out(mount):
    """Root of the host is in no range and so can make nothing: users whose number is shown do, and
    root, who may chown, gives away what they made."""
    as_user(os.mkdir, f"{mount.at}/shared/mine", uid=1000, gid=1000)
    for uid in (1000, 110032):
        as_user(put, f"{mount.at}/shared/by-{uid}", "x", uid=uid, gid=uid)
        as_user(os.mkdir, f"{mount.at}/shared/dir-by-{uid}", uid=uid, gid=uid)
        as_user(os.symlink, "x", f"{mount.at}/shared/link-by-{uid}", uid=uid, gid=uid)
        assert owner(f"{mount.at}/shared/by-{uid}") == (uid, uid)
    for name in os.listdir(f"{mount.at}/shared"):
        os.chown(f"{mount.at}/shared/{name}", 110007, 110008, follow_symlinks=False)
        assert owner(f"{mount.at}/shared/{name}") == (110007, 110008)
    os.chown(f"{mount.at}/dir-0-0", 110009, -1)
    os.chown(f"{mount.at}/file-0-0", -1, 175535)
    assert owner(f"{mount.at}/dir-0-0") == (110009, 1000)
    assert owner(f"{mount.at}/file-0-0") == (1000, 175535)


def test_a_remount_without_the_table_shows_what_is_on_disk(sandbox):
    bench = Bench(sandbox, [(0, 0)])
    with bench.ours(ROOTLESS) as mount:
        os.chown(f"{mount.at}/file-0-0", 110000, 110001)
    with bench.ours([]) as mount:
        assert owner(f"{mount.at}/file-0-0") == (1, 2)
        assert get(f"{mount.at}/file-0-0") == b"content"


def test_nobody_can_be_given_a_number_that_is_in_no_range(sandbox, profile):
    bench = Bench(sandbox, [(0, 0)])
    with bench.ours(APART, profile=profile) as mount:
        for uid, gid in ((0, -1), (501, -1), (-1, 1), (-1, 59), (OVERFLOW, -1), (500, 1)):
            assert attempt(os.chown, f"{mount.at}/file-0-0", uid, gid) == "EINVAL"
        assert not os.path.exists(bench.upper / "file-0-0")
        assert attempt(os.chown, f"{mount.at}/file-0-0", 20, 65) is None
    assert owner(bench.upper / "file-0-0") == (10, 55)


def test_whoever_has_no_number_on_disk_can_make_nothing(sandbox, profile):
    bench = Bench(sandbox, [(0, 0)])
    os.chmod(bench.upper / "up", 0o777)
    with bench.ours(ROOTLESS, profile=profile) as mount:
        at = f"{mount.at}/up"
        for make in (put, os.mkdir, os.mkfifo):
            assert as_user(make, f"{at}/new", uid=77, gid=1000) == "EOVERFLOW"
            assert as_user(make, f"{at}/new", uid=1000, gid=77) == "EOVERFLOW"
        assert as_user(os.symlink, "x", f"{at}/new", uid=77, gid=77) == "EOVERFLOW"
        assert as_user(os.open, at, os.O_TMPFILE | os.O_RDWR, uid=77, gid=77) == "EOVERFLOW"
        assert not os.path.lexists(f"{at}/new")
        assert as_user(put, f"{at}/new", uid=1000, gid=1000) is None


def test_permissions_are_checked_by_the_numbers_that_are_shown(sandbox, profile):
    bench = Bench(sandbox, [(0, 0), (33, 33)])
    for uid in (0, 33):
        os.chmod(bench.low / f"file-{uid}-{uid}", 0o640)
    with bench.ours(ROOTLESS, profile=profile) as mount:
        at = os.fspath(mount)
        for reader, answers in ((1000, (b"content", "EACCES")), (110032, ("EACCES", b"content")),
                                (33, ("EACCES", "EACCES"))):
            assert (as_user(get, f"{at}/file-0-0", uid=reader, gid=reader),
                    as_user(get, f"{at}/file-33-33", uid=reader, gid=reader)) == answers
        # the owner may chmod and date it, and nobody else
        assert as_user(os.chmod, f"{at}/file-33-33", 0o600, uid=33, gid=33) == "EPERM"
        assert as_user(os.chmod, f"{at}/file-33-33", 0o600, uid=110032, gid=110032) is None
        assert as_user(os.utime, f"{at}/file-33-33", uid=110032, gid=110032) is None
        assert owner(f"{at}/file-33-33") == (110032, 110032)
    assert owner(bench.upper / "file-33-33") == (33, 33)


def test_under_squashing_the_squashed_owner_may_what_the_owner_may(sandbox):
    bench = Bench(sandbox, [(33, 33)])
    os.chmod(bench.low / "file-33-33", 0o600)
    with bench.ours(["squash_to_uid=1000", "squash_to_gid=1000"]) as mount:
        assert as_user(get, f"{mount.at}/file-33-33", uid=1000, gid=1000) == b"content"
        assert as_user(get, f"{mount.at}/file-33-33", uid=33, gid=33) == "EACCES"
        assert as_user(put, f"{mount.at}/file-33-33", "changed", uid=1000, gid=1000) is None
    assert owner(bench.upper / "file-33-33") == (33, 33)


def test_a_new_file_in_a_setgid_directory_has_the_directorys_group(sandbox):
    bench = Bench(sandbox, [(0, 0)])
    os.chown(bench.upper / "up", 0, 50)
    os.chmod(bench.upper / "up", 0o2777)
    with bench.ours(ROOTLESS) as mount:
        as_user(put, f"{mount.at}/up/new", uid=1000, gid=110000)
        as_user(os.mkdir, f"{mount.at}/up/sub", uid=1000, gid=110000)
        assert owner(f"{mount.at}/up/new") == owner(f"{mount.at}/up/sub") == (1000, 110049)
        assert os.stat(f"{mount.at}/up/sub").st_mode & stat.S_ISGID
    assert owner(bench.upper / "up/new") == (0, 50)


def acl(*entries):
    """The value of system.posix_acl_*: (tag, permissions, id)."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


NONE = 0xFFFFFFFF


def access(user, group):
    return acl((1, 7, NONE), (2, 7, user), (4, 5, NONE), (8, 4, group), (16, 7, NONE), (32, 0, NONE))


@pytest.mark.parametrize("kind", ["access", "default"])
def test_the_ids_in_an_acl_are_mapped_both_ways(sandbox, profile, kind):
    bench = Bench(sandbox, [(0, 0)])
    name = f"system.posix_acl_{kind}"
    os.setxattr(bench.low / "dir-0-0", name, access(33, 34))
    with bench.ours(ROOTLESS, profile=profile) as mount:
        low, made = f"{mount.at}/dir-0-0", f"{mount.at}/up/dir-0-0"
        assert os.getxattr(low, name) == access(110032, 110033)
        os.setxattr(made, name, access(1000, 110041))
        assert os.getxattr(made, name) == access(1000, 110041)
        assert attempt(os.setxattr, made, name, access(5, 110041)) == "EINVAL"
        assert attempt(os.setxattr, made, name, access(1000, 5)) == "EINVAL"
        os.chmod(low, 0o755)    # copied up
        assert b"".join(struct.unpack("<I8s8s8s8s8s8s", os.getxattr(low, name))[2:3]) == \
            struct.pack("<HHI", 2, 7, 110032)
    assert os.getxattr(bench.upper / "up/dir-0-0", name) == access(0, 42)


def test_an_acl_gives_to_the_user_who_is_shown(sandbox, profile):
    bench = Bench(sandbox, [(0, 0)])
    os.chmod(bench.low / "file-0-0", 0o600)
    os.setxattr(bench.low / "file-0-0", "system.posix_acl_access", access(33, 34))
    with bench.ours(ROOTLESS, profile=profile) as mount:
        path = f"{mount.at}/file-0-0"
        assert as_user(get, path, uid=110032, gid=5) == b"content"
        assert as_user(get, path, uid=33, gid=5) == "EACCES"
        assert as_user(get, path, uid=5, gid=110033) == b"content"
        assert as_user(get, path, uid=5, gid=34) == "EACCES"


def test_a_default_acl_is_inherited_on_disk_by_the_numbers_there(sandbox):
    bench = Bench(sandbox, [(0, 0)])
    os.chmod(bench.upper / "up", 0o777)
    with bench.ours(ROOTLESS) as mount:
        os.setxattr(f"{mount.at}/up", "system.posix_acl_default", access(110032, 110033))
        as_user(put, f"{mount.at}/up/new", uid=1000, gid=1000)
        assert os.getxattr(f"{mount.at}/up/new", "system.posix_acl_access")[12:20] == \
            struct.pack("<HHI", 2, 7, 110032)
    assert os.getxattr(bench.upper / "up/new", "system.posix_acl_access")[12:20] == \
        struct.pack("<HHI", 2, 7, 33)


def capability(root):
    return struct.pack("<IIIIII", 0x03000001, 1 << 13, 0, 0, 0, root)


def test_the_root_of_a_file_capability_is_mapped_both_ways(sandbox):
    bench = Bench(sandbox, [(0, 0)])
    os.setxattr(bench.low / "file-0-0", "security.capability", capability(5))
    with bench.ours(ROOTLESS) as mount:
        assert os.getxattr(f"{mount.at}/file-0-0", "security.capability") == capability(110004)
        os.setxattr(f"{mount.at}/up/file-0-0", "security.capability", capability(110006))
        assert attempt(os.setxattr, f"{mount.at}/up/file-0-0", "security.capability",
                       capability(77)) == "EINVAL"
        os.setxattr(f"{mount.at}/up/file-0-0", "security.capability", capability(110006))
    assert os.getxattr(bench.upper / "up/file-0-0", "security.capability") == capability(7)


def test_setuid_bits_fall_at_chown_and_at_a_strangers_write_as_without_a_table(sandbox, profile):
    bench = Bench(sandbox, [(0, 0)])
    for where in (bench.low, bench.upper / "up"):
        put(where / "program", "old")
        os.chmod(where / "program", 0o6777)
    with bench.ours(ROOTLESS, profile=profile) as mount:
        for path in (f"{mount.at}/program", f"{mount.at}/up/program"):
            as_user(put, path, "new", uid=110050, gid=110050)
            assert stat.S_IMODE(os.stat(path).st_mode) == 0o777
        os.chmod(f"{mount.at}/up/program", 0o6777)
        os.chown(f"{mount.at}/up/program", 110000, -1)
        assert stat.S_IMODE(os.stat(f"{mount.at}/up/program").st_mode) == 0o777


def test_a_named_mount_keeps_its_table(sandbox):
    low, at, store = (sandbox.directory(n) for n in ("low", "mnt", "store"))
    make_owned(low, 33, 33)
    env = {**os.environ, "PLYFS_ROOT": str(store)}
    run(PLYFS, "create", "--name", "web", "-o", ",".join(ROOTLESS), "--lower", low, env=env)
    for _ in range(2):
        run(PLYFS, "mount", "web", at, env=env)
        try:
            assert owner(at / "file-33-33") == (110032, 110032)
        finally:
            umount(at)
