# SPDX-License-Identifier: MIT
"""Owners that are recorded instead of given (xattr_permissions=): what is written, what is read, by
whom it is believed, and that an ordinary user without sub-ids has a tree of many owners by it.

What a recorded tree is like to live in is told by the claims of test_identity and test_semantics,
whose subject plyfs-recorded is this.
"""
import io
import json
import os
import shutil
import stat
import struct
import tarfile

import pytest

from harness import (PLYFS, assert_same, listing, need, need_fuse, need_root, need_tool, run, umount)
from layers_kit import namespaces_allowed
from storekit import wait_for
from test_cli import NOBODY, as_guest, guest  # noqa: F401  (a fixture)
from worlds import as_user, attempt, get, put

RECORD = "user.containers.override_stat"
PRIVILEGED = "security.fuseoverlayfs.override_stat"
OLD = "user.fuseoverlayfs.override_stat"
RECORDED = ["xattr_permissions=2"]


@pytest.fixture(autouse=True)
def _needs():
    need_root()
    need_fuse()


class Bench:
    def __init__(self, sandbox):
        self.sandbox = sandbox
        self.low, self.upper, self.work = (sandbox.directory(n) for n in ("low", "upper", "work"))
        put(self.low / "f", "lower")
        (self.low / "d").mkdir()
        put(self.low / "d/x", "x")

    def ours(self, *options, **words):
        return self.sandbox.plyfs([self.low], self.upper, self.work, form="o", options=options, **words)

    def theirs(self, *options):
        return self.sandbox.fuse_overlayfs([self.low], self.upper, self.work, options=options)


@pytest.fixture
def bench(sandbox):
    return Bench(sandbox)


def record(path, name=RECORD):
    return os.getxattr(path, name, follow_symlinks=False).decode()


def make_all_kinds(at):
    """One of each, with an owner, an odd mode and, where there is one, a device."""
    put(f"{at}/file", "content")
    os.mkdir(f"{at}/dir")
    os.mkfifo(f"{at}/pipe")
    os.mknod(f"{at}/char", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    os.mknod(f"{at}/block", stat.S_IFBLK | 0o600, os.makedev(259, 70000))
    os.mknod(f"{at}/socket", stat.S_IFSOCK | 0o600)
    os.symlink("file", f"{at}/link")
    for name, uid, gid, mode in (("file", 5, 6, 0o4711), ("dir", 7, 8, 0o1777), ("pipe", 9, 10, 0o622),
                                 ("char", 0, 5, 0o666), ("block", 0, 6, 0o660), ("socket", 11, 12, 0o500)):
        os.chown(f"{at}/{name}", uid, gid)
        os.chmod(f"{at}/{name}", mode)


ON_DISK = {"file": "5:6:4711:file", "dir": "7:8:1777:dir", "pipe": "9:10:0622:pipe",
           "char": "0:5:0666:char-1-3", "block": "0:6:0660:block-259-70000",
           "socket": "11:12:0500:socket"}


# ---- what is written ----------------------------------------------------------------------------

@pytest.mark.parametrize("value, name", [("2", RECORD), ("1", PRIVILEGED)])
def test_each_kind_is_recorded_and_stands_as_its_makers_file_on_disk(bench, profile, value, name):
    with bench.ours(f"xattr_permissions={value}", profile=profile) as mount:
        make_all_kinds(mount.at)
        shown = listing(mount, times=None)
    assert {path: record(bench.upper / path, name) for path in ON_DISK} == ON_DISK
    for path in ON_DISK:
        st = os.lstat(bench.upper / path)
        assert (st.st_uid, st.st_gid) == (0, 0) and not st.st_mode & 0o7000
        assert stat.S_ISDIR(st.st_mode) if path == "dir" else stat.S_ISREG(st.st_mode)
    assert shown["block"]["rdev"] == os.makedev(259, 70000)
    assert shown["socket"]["type"] == oct(stat.S_IFSOCK)
    # the mark on the root makes the next mount read it without being asked, above and below
    with bench.ours() as mount:
        assert_same(shown, listing(mount, times=None))
    with bench.sandbox.plyfs([bench.upper, bench.low], form="o") as mount:
        assert_same(shown, listing(mount, times=None))
    with bench.ours("xattr_permissions=0") as mount:
        assert stat.S_ISREG(os.lstat(f"{mount.at}/pipe").st_mode)


def test_explain_tells_the_owners_that_are_shown(bench):
    with bench.ours("xattr_permissions=2") as mount:
        make_all_kinds(mount.at)
        for name in ON_DISK:
            st, told = os.lstat(mount / name), json.loads(run(PLYFS, "explain", "--json", mount / name).stdout)["Layers"][0]
            assert (told["Layer"], told["Uid"], told["Gid"]) == ("upper", st.st_uid, st.st_gid), name
            assert told["Mode"] == stat.filemode(st.st_mode), name


def test_a_copy_up_records_what_the_lower_file_is(bench, profile):
    os.chown(bench.low / "f", 33, 34)
    os.chmod(bench.low / "f", 0o2755)
    os.chown(bench.low / "d", 35, 36)
    os.mkfifo(bench.low / "d/pipe", 0o640)
    with bench.ours(*RECORDED, profile=profile) as mount:
        with open(f"{mount.at}/f", "ab") as file:
            file.write(b" and more")
        os.chown(f"{mount.at}/d/pipe", 40, -1)
        os.chmod(f"{mount.at}/d/x", 0o604)
    assert record(bench.upper / "f") == "33:34:2755:file"
    assert record(bench.upper / "d") == "35:36:0755:dir"
    assert record(bench.upper / "d/pipe") == "40:0:0640:pipe"
    assert record(bench.upper / "d/x") == "0:0:0604:file"
    assert get(bench.upper / "f") == b"lower and more"


def test_a_new_name_over_a_whiteout_is_recorded_too(bench, profile):
    with bench.ours(*RECORDED, profile=profile) as mount:
        os.unlink(f"{mount.at}/f")
        shutil.rmtree(f"{mount.at}/d")
        os.mknod(f"{mount.at}/f", stat.S_IFCHR | 0o600, os.makedev(1, 5))
        os.mkdir(f"{mount.at}/d", 0o700)
        os.chown(f"{mount.at}/d", 3, 4)
        assert os.listdir(f"{mount.at}/d") == []
    assert record(bench.upper / "f").endswith("char-1-5")
    assert record(bench.upper / "d") == "3:4:0700:dir"


def test_a_pipe_from_before_its_upper_recorded_owners_is_still_changed(bench):
    with bench.ours() as mount:
        os.mkfifo(f"{mount.at}/pipe", 0o600)
    with bench.ours(*RECORDED) as mount:
        os.chown(f"{mount.at}/pipe", 5, 6)
        os.chmod(f"{mount.at}/pipe", 0o640)
        st = os.stat(f"{mount.at}/pipe")
        assert (st.st_uid, st.st_gid, st.st_mode) == (5, 6, stat.S_IFIFO | 0o640)


def test_an_acl_goes_into_the_recorded_mode(bench):
    with bench.ours(*RECORDED) as mount:
        put(f"{mount.at}/new")
        os.chown(f"{mount.at}/new", 5, 6)
        none = 0xFFFFFFFF
        acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *e) for e in (
            (1, 6, none), (2, 7, 1000), (4, 4, none), (16, 5, none), (32, 1, none)))
        os.setxattr(f"{mount.at}/new", "system.posix_acl_access", acl)
        assert stat.S_IMODE(os.stat(f"{mount.at}/new").st_mode) == 0o651
        assert os.getxattr(f"{mount.at}/new", "system.posix_acl_access") == acl
    assert record(bench.upper / "new") == "5:6:0651:file"


def test_records_and_a_table_of_numbers_go_together(bench):
    with bench.ours(*RECORDED, "uidmapping=0:1000:1:1:110000:10", "gidmapping=0:1000:20") as mount:
        os.chown(f"{mount.at}/f", 110004, 1005)
        assert (os.stat(f"{mount.at}/f").st_uid, os.stat(f"{mount.at}/f").st_gid) == (110004, 1005)
        assert attempt(os.chown, f"{mount.at}/f", 5, -1) == "EINVAL"
        os.chmod(f"{mount.at}/d", 0o777)
        assert as_user(put, f"{mount.at}/d/new", uid=1000, gid=1001) is None
    assert record(bench.upper / "f") == "5:5:0644:file"
    assert record(bench.upper / "d/new") == "0:1:0644:file"


def test_a_filesystem_without_attributes_of_users_is_named(sandbox):
    base = sandbox.directory("ramfs")
    run("mount", "-t", "ramfs", "ramfs", base)
    try:
        for name in ("low", "upper", "work", "at"):
            (base / name).mkdir()
        done = run(PLYFS, "-o", f"lowerdir={base}/low,upperdir={base}/upper,workdir={base}/work,"
                   "xattr_permissions=2", base / "at", check=False)
        assert done.returncode != 0
        assert "xattr_permissions" in done.stderr and f"{base}/upper" in done.stderr
    finally:
        umount(base)


@pytest.mark.parametrize("value", ["3", "yes", "-1", "22"])
def test_a_value_that_means_nothing_is_refused(bench, value):
    done = run(*bench.ours(f"xattr_permissions={value}").command(), check=False)
    assert done.returncode != 0 and "xattr_permissions" in done.stderr


# ---- what is shown of the records themselves ----------------------------------------------------

def test_records_are_neither_listed_nor_read_nor_written_through_the_mount(bench):
    with bench.ours(*RECORDED) as mount:
        os.chown(f"{mount.at}/f", 5, 6)
        for name in (RECORD, PRIVILEGED):
            assert name not in os.listxattr(f"{mount.at}/f")
            assert attempt(os.getxattr, f"{mount.at}/f", name) == "ENODATA"
            assert attempt(os.setxattr, f"{mount.at}/f", name, b"0:0:4755") == "EPERM"
            assert attempt(os.removexattr, f"{mount.at}/f", name) == "ENODATA"
    assert record(bench.upper / "f") == "5:6:0644:file"


def test_where_nothing_is_recorded_the_attribute_is_a_users_but_on_the_root(bench):
    with bench.ours() as mount:
        os.setxattr(f"{mount.at}/f", RECORD, b"0:0:4755:file")
        assert os.getxattr(f"{mount.at}/f", RECORD) == b"0:0:4755:file"
        assert attempt(os.setxattr, mount.at, RECORD, b"0:0:755:dir") == "EPERM"
        assert stat.S_IMODE(os.stat(f"{mount.at}/f").st_mode) == 0o644
    with bench.ours() as mount:
        assert stat.S_IMODE(os.stat(f"{mount.at}/f").st_mode) == 0o644


# ---- whose records are believed -----------------------------------------------------------------

def mark(layer, name=RECORD):
    os.setxattr(layer, name, b"0:0:755")


@pytest.mark.parametrize("name", [RECORD, PRIVILEGED, OLD])
def test_records_count_where_the_root_of_the_layer_has_one(bench, name):
    os.setxattr(bench.low / "f", name, b"5:6:640")
    with bench.ours("ro") as mount:
        assert os.stat(f"{mount.at}/f").st_uid == 0
    mark(bench.low, name)
    bench.sandbox.regard(bench.low)
    with bench.ours("ro") as mount:
        st = os.stat(f"{mount.at}/f")
        assert (st.st_uid, st.st_gid, stat.S_IMODE(st.st_mode)) == (5, 6, 0o640)


def test_root_does_not_believe_the_layer_of_another_user(bench):
    os.setxattr(bench.low / "f", RECORD, b"0:0:4755:file")
    os.chown(bench.low / "f", 1000, 1000)
    mark(bench.low)
    os.chown(bench.low, 1000, 1000)
    with bench.ours("ro") as mount:
        st = os.stat(f"{mount.at}/f")
        assert (st.st_uid, stat.S_IMODE(st.st_mode)) == (1000, 0o644)


HOSTILE = [b"", b":", b"0", b"0:0", b"0:0:", b"0:0:9", b"0:0:10000", b"-1:0:644", b"4294967295:0:644",
           b"0:0:644:", b"0:0:644:dir", b"0:0:644:symlink", b"0:0:644:char", b"0:0:644:char-1",
           b"0:0:644:char-0-0", b"0:0:644:block-4294967296-0", b"0:0:644:file\0", b"\0", b"0:0:0644 ",
           b" 0:0:644", b"0x0:0:644", b"0:0:644:FILE", b"1" * 95, b"0:" * 1500]


def test_a_record_that_makes_no_sense_is_as_none(bench, profile):
    mark(bench.low)
    for number, value in enumerate(HOSTILE):
        put(bench.low / f"h{number}", "content")
        os.setxattr(bench.low / f"h{number}", RECORD, value)
    os.setxattr(bench.low / "d", RECORD, b"5:5:644:file")
    with bench.ours(profile=profile) as mount:
        for number, value in enumerate(HOSTILE):
            path = f"{mount.at}/h{number}"
            st = os.stat(path)
            assert (st.st_uid, st.st_mode) == (0, stat.S_IFREG | 0o644), value
            assert get(path) == b"content"
            put(path, "changed")
            os.unlink(path)
        assert os.listdir(f"{mount.at}/d") == ["x"]
        assert sorted(os.listdir(mount.at)) == ["d", "f"]


def test_a_recorded_device_opens_only_where_the_mount_allows_devices(bench):
    mark(bench.low)
    os.setxattr(bench.low / "f", RECORD, b"0:0:666:char-1-3")
    with bench.ours("nodev") as mount:
        assert attempt(os.open, f"{mount.at}/f", os.O_RDONLY) == "EACCES"
    with bench.ours() as mount:
        assert get(f"{mount.at}/f") == b""      # of /dev/null
        put(f"{mount.at}/f", "into nothing")
    assert not (bench.upper / "f").exists()
    assert get(bench.low / "f") == b"lower"


def test_a_recorded_setuid_bit_counts_only_where_the_mount_allows_it(bench):
    shutil.copy(shutil.which("id"), bench.low / "id")
    mark(bench.low)
    os.setxattr(bench.low / "id", RECORD, b"33:33:4755:file")
    for options, uid in ((("suid",), "33"), (("nosuid",), "1234")):
        with bench.ours(*options) as mount:
            def told():
                return run(f"{mount.at}/id", "-u").stdout.strip()
            assert as_user(told) == uid


def test_the_type_in_a_listing_is_not_that_of_the_disk(bench, profile):
    mark(bench.low)
    os.setxattr(bench.low / "f", RECORD, b"0:0:666:char-1-3")
    with bench.ours(profile=profile) as mount:
        found = run("find", mount.at, "-type", "c").stdout.split()
        assert found == [f"{mount.at}/f"]
        entries = {e.name: e for e in os.scandir(mount.at)}
        assert not entries["f"].is_file(follow_symlinks=False)
        assert run("find", mount.at, "-type", "f").stdout.split() == [f"{mount.at}/d/x"]


def test_root_gives_what_a_lower_record_says_when_it_copies_up(bench):
    mark(bench.low)
    os.setxattr(bench.low / "f", RECORD, b"5:6:4755:file")
    os.setxattr(bench.low / "d/x", RECORD, b"0:9:660:char-1-3")
    os.setxattr(bench.low / "d", RECORD, b"7:8:1777:dir")
    with bench.ours() as mount:
        os.utime(f"{mount.at}/f")
        os.utime(f"{mount.at}/d/x")
        shown = listing(mount, times=None)
    st = os.lstat(bench.upper / "f")
    assert (st.st_uid, st.st_gid, st.st_mode) == (5, 6, stat.S_IFREG | 0o4755)
    assert os.lstat(bench.upper / "d/x").st_rdev == os.makedev(1, 3)
    assert os.lstat(bench.upper / "d").st_mode == stat.S_IFDIR | 0o1777
    assert not any(RECORD in os.listxattr(bench.upper / p) for p in ("f", "d", "d/x"))
    with bench.ours() as mount:
        assert_same(shown, listing(mount, times=None))


# ---- fuse-overlayfs's own -----------------------------------------------------------------------

def live_in(at):
    put(f"{at}/new", "new")
    os.chown(f"{at}/new", 5, 6)
    os.chmod(f"{at}/new", 0o4711)
    os.mkdir(f"{at}/made")
    os.chown(f"{at}/made", 7, 8)
    os.chmod(f"{at}/made", 0o1755)
    os.chown(f"{at}/f", 9, 10)
    os.chmod(f"{at}/d", 0o700)
    os.rename(f"{at}/new", f"{at}/made/moved")


@pytest.mark.parametrize("value", ["1", "2"])
@pytest.mark.parametrize("writer, reader", [("theirs", "ours"), ("ours", "theirs")])
def test_what_one_of_the_two_recorded_the_other_reads(bench, value, writer, reader):
    need_tool("fuse-overlayfs")
    option = f"xattr_permissions={value}"
    with getattr(bench, writer)(option) as mount:
        live_in(mount.at)
    with getattr(bench, writer)(option) as mount:
        expected = listing(mount, times=None, xattrs=False, links=False)
    # By the mark alone, for the value 2 means another attribute to its 1.10.
    with getattr(bench, reader)(*([option] if reader == "ours" else [])) as mount:
        assert_same(expected, listing(mount, times=None, xattrs=False, links=False))
    if reader == "ours":
        with bench.ours() as mount:
            assert_same(expected, listing(mount, times=None, xattrs=False, links=False))
        with bench.sandbox.plyfs([bench.upper, bench.low], form="o") as mount:
            assert_same(expected, listing(mount, times=None, xattrs=False, links=False))


# ---- an ordinary user ---------------------------------------------------------------------------

def image_tar(devices=True):
    """A rootfs of many owners."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        def add(name, kind=tarfile.REGTYPE, mode=0o644, uid=0, gid=0, data=b"", **more):
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.uid, info.gid, info.size = kind, mode, uid, gid, len(data)
            info.mtime = 1_000_000_000
            for key, value in more.items():
                setattr(info, key, value)
            tar.addfile(info, io.BytesIO(data) if data else None)
        for name, mode, uid, gid in (("etc", 0o755, 0, 0), ("var", 0o755, 0, 0), ("var/mail", 0o2775, 0, 8),
                                     ("tmp", 0o1777, 0, 0), ("root", 0o700, 0, 0), ("dev", 0o755, 0, 0)):
            add(name, tarfile.DIRTYPE, mode, uid, gid)
        add("etc/shadow", mode=0o640, gid=42, data=b"secret")
        add("etc/passwd", data=b"root")
        add("var/www", mode=0o600, uid=33, gid=33, data=b"www")
        add("var/su", mode=0o4755, data=b"program")
        add("var/hard", tarfile.LNKTYPE, linkname="var/www", uid=33, gid=33, mode=0o600)
        add("var/link", tarfile.SYMTYPE, mode=0o777, linkname="www")
        add("var/pipe", tarfile.FIFOTYPE, 0o622, 9, 10)
        if devices:
            add("dev/null", tarfile.CHRTYPE, 0o666, 0, 5, devmajor=1, devminor=3)
            add("dev/sda", tarfile.BLKTYPE, 0o660, 0, 6, devmajor=8, devminor=0)
    return stream.getvalue()


def members(data):
    """{name: what it is} of an archive, times aside; of hard links the name that came first."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {m.name: (m.type, m.mode, m.uid, m.gid, m.linkname, m.devmajor, m.devminor, m.size)
                for m in tar if m.name not in (".", "")}


def shown(at):
    """The same of a tree."""
    found = {}
    for where, names, files in os.walk(at):
        for name in names + files:
            path = os.path.join(where, name)
            st = os.lstat(path)
            link = stat.S_ISLNK(st.st_mode)
            found[os.path.relpath(path, at)] = (
                stat.S_IFMT(st.st_mode), stat.S_IMODE(st.st_mode),
                None if link else (st.st_uid, st.st_gid), st.st_rdev)
    return found


class Store:
    """A user's own store with the image in it, and the command line as that user."""

    def __init__(self, guest):
        self.guest = guest
        self.home = guest.box.directory("home")
        os.chown(self.home, NOBODY.pw_uid, NOBODY.pw_gid)
        self.who = {k: v for k, v in guest.who.items() if k != "program"}
        self.at = self.home / "at"
        put(self.home / "image.tar", image_tar())
        self.plyfs("image", "import", "many:1", "image.tar")
        as_guest(os.mkdir, str(self.at))
        guest.watch(self.at)

    def plyfs(self, *argv, check=True):
        return run(self.guest.who["program"], *argv, check=check,
                   **{**self.who, "cwd": self.home},
                   env={**os.environ, "PLYFS_ROOT": str(self.home / "store"), "HOME": str(self.home)})


@pytest.fixture
def store(guest):  # noqa: F811
    return Store(guest)


WAS = {"etc/shadow": (stat.S_IFREG, 0o640, (0, 42), 0), "var/www": (stat.S_IFREG, 0o600, (33, 33), 0),
       "var/mail": (stat.S_IFDIR, 0o2775, (0, 8), 0), "root": (stat.S_IFDIR, 0o700, (0, 0), 0),
       "var/su": (stat.S_IFREG, 0o4755, (0, 0), 0), "var/pipe": (stat.S_IFIFO, 0o622, (9, 10), 0),
       "dev/null": (stat.S_IFCHR, 0o666, (0, 5), os.makedev(1, 3)),
       "dev/sda": (stat.S_IFBLK, 0o660, (0, 6), os.makedev(8, 0))}


def test_an_imported_image_shows_an_ordinary_user_the_images_owners(store):
    store.plyfs("mount", "--name", "web", "many:1", store.at)
    found = as_guest(shown, str(store.at))
    assert {path: found[path] for path in WAS} == WAS
    flags = as_guest(os.statvfs, str(store.at)).f_flag
    assert flags & os.ST_NOSUID and flags & os.ST_NODEV
    assert as_guest(attempt, os.open, f"{store.at}/dev/null", os.O_RDONLY) == "EACCES"
    assert as_guest(get, f"{store.at}/etc/shadow") == b"secret"


def test_an_ordinary_user_may_do_everything_in_a_tree_of_many_owners(store):
    at = str(store.at)
    store.plyfs("mount", "--name", "web", "many:1", at)

    def act():
        put(f"{at}/etc/passwd", "changed")
        put(f"{at}/root/new", "new")
        os.chown(f"{at}/root/new", 0, 0)
        os.chown(f"{at}/etc/shadow", 1, 43)
        os.chmod(f"{at}/var/www", 0o400)
        with open(f"{at}/var/www", "ab") as file:
            file.write(b" more")
        os.unlink(f"{at}/var/su")
        os.mkdir(f"{at}/var/mail/box")
        os.rename(f"{at}/tmp", f"{at}/tmp2")
        os.mknod(f"{at}/dev/zero", stat.S_IFREG | 0o600)
        return shown(at)

    before = as_guest(act)
    assert before["etc/passwd"] == (stat.S_IFREG, 0o644, (0, 0), 0)
    assert before["root/new"][2] == (0, 0) and before["etc/shadow"][2] == (1, 43)
    assert before["var/www"] == before["var/hard"] == (stat.S_IFREG, 0o400, (33, 33), 0)
    assert before["var/mail/box"][1:3] == (0o2755, (NOBODY.pw_uid, 8))
    umount(at)
    mounts = store.home / "store/mounts"
    wait_for(lambda: not list(mounts.rglob("control")), "the daemon goes")
    for where, names, files in os.walk(mounts):
        for name in names + files:
            assert os.lstat(os.path.join(where, name)).st_uid == NOBODY.pw_uid
    store.plyfs("mount", "web", at)
    assert as_guest(shown, at) == before


def test_export_diff_and_commit_tell_the_owners_that_are_shown(store):
    at = str(store.at)
    store.plyfs("mount", "--name", "web", "many:1", at)
    assert json.loads(store.plyfs("inspect", "web").stdout)[0]["Served"]["Recorded"] == RECORD
    as_guest(os.chown, f"{at}/etc/passwd", 3, 4)
    as_guest(os.chmod, f"{at}/var/www", 0o640)
    store.plyfs("export", "-o", "all.tar", "web")
    exported = members(get(store.home / "all.tar"))
    original = members(image_tar())
    for name in ("etc/shadow", "dev/null", "dev/sda", "var/pipe", "var/su", "var/mail", "root"):
        assert exported[name] == original[name], name
    assert exported["etc/passwd"][2:4] == (3, 4)
    assert store.plyfs("diff", "web").stdout.splitlines() == [
        "C /etc", "C /etc/passwd", "C /var", "C /var/hard", "C /var/www"]
    store.plyfs("commit", "web", "many:2")
    umount(at)
    store.plyfs("image", "export", "--format", "docker-archive", "-o", "out.tar", "many:2")
    layers = []
    with tarfile.open(store.home / "out.tar") as tar:
        manifest = json.load(tar.extractfile("manifest.json"))
        layers = [members(tar.extractfile(layer).read()) for layer in manifest[0]["Layers"]]
    assert layers[0] == original
    assert layers[1]["etc/passwd"][1:4] == (0o644, 3, 4)
    assert layers[1]["etc"][1:4] == (0o755, 0, 0)
    assert layers[1]["var/www"][1:4] == (0o640, 33, 33)
    assert not set(layers[1]) & {"etc/shadow", "dev/null", "dev"}


def unpack(at, data):
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for member in tar:
            tar.extract(member, at, numeric_owner=True, set_attrs=False)
            path = os.path.join(at, member.name)
            if not member.issym():
                os.chown(path, member.uid, member.gid)
                os.chmod(path, member.mode)


def test_an_ordinary_user_unpacks_an_archive_of_many_owners_in_the_mount(guest):  # noqa: F811
    guest.mount(*guest.drop_in("-o", "xattr_permissions=2"), **guest.who)
    at = str(guest.at)
    data = image_tar(devices=False)
    as_guest(unpack, at, data)
    found = as_guest(shown, at)
    for name, (_, mode, uid, gid, *_) in members(data).items():
        if name != "var/link":
            assert found[name][1:3] == (mode, (uid, gid)), name
    umount(at)
    for where, names, files in os.walk(guest.upper):
        for name in names + files:
            st = os.lstat(os.path.join(where, name))
            assert st.st_uid == NOBODY.pw_uid and not st.st_mode & 0o6000
    guest.mount(*guest.drop_in(), **guest.who)
    assert as_guest(shown, at) == found


def test_where_others_are_let_in_the_kernel_checks_the_recorded_owners(bench):
    mark(bench.low)
    os.setxattr(bench.low / "f", RECORD, b"33:33:600:file")
    with bench.ours() as mount:
        assert as_user(get, f"{mount.at}/f") == "EACCES"
        assert as_user(get, f"{mount.at}/f", uid=33, gid=33) == b"lower"
        assert as_user(os.chown, f"{mount.at}/f", 1234, -1) == "EPERM"


# ---- a namespace of one id ----------------------------------------------------------------------

def in_a_namespace_of_one_id(home, script):
    """What the script prints, by root of a new user namespace that has no other user."""
    need(namespaces_allowed(), "needs user namespaces")
    env = {**os.environ, "PLYFS_ROOT": str(home / "store"), "PLYFS": str(PLYFS)}
    return run("unshare", "-Urm", "sh", "-ec", script, cwd=home, env=env).stdout


@pytest.fixture
def alone(sandbox):
    need_fuse()
    home = sandbox.directory("home")
    put(home / "image.tar", image_tar())
    os.mkdir(home / "at")
    return home


def test_in_a_namespace_of_one_id_an_image_of_many_owners_can_be_worked_in_and_keeps_them(alone):
    before = members(image_tar())
    said = in_a_namespace_of_one_id(alone, """
        $PLYFS image import many:1 image.tar > id; $PLYFS create --name web many:1 >> id
        $PLYFS export -o fresh.tar web
        $PLYFS mount web at
        find at -printf '%U:%G\\n' | sort -u
        echo more >> at/var/www; chmod 600 at/etc/shadow; touch at/var/mail/new; mv at/var/pipe at/etc/pipe; rm at/var/su
        ls -l at/dev/null | cut -c1
        $PLYFS export -o live.tar web
        $PLYFS umount web
        $PLYFS export -o later.tar web
        $PLYFS commit web many:2 >> id
        $PLYFS image export --format docker-archive -o many.tar many:2 >> id""").split()
    assert said[:2] == ["0:0", "c"]
    fresh = members(get(alone / "fresh.tar"))
    assert {name: facts[1:4] for name, facts in fresh.items()} == {name: facts[1:4] for name, facts in before.items()}
    changed = members(get(alone / "live.tar"))
    assert changed == members(get(alone / "later.tar"))
    assert {name: changed[name][1:4] for name in ("var/www", "etc/shadow", "etc/pipe", "var/mail", "var/mail/new")} == {
        "var/www": (0o600, 33, 33), "etc/shadow": (0o600, 0, 42), "etc/pipe": (0o622, 9, 10),
        "var/mail": (0o2775, 0, 8), "var/mail/new": (0o644, 0, 8)}
    assert changed["dev/null"] == before["dev/null"]
    with tarfile.open(alone / "many.tar") as tar:
        layer, added = json.load(tar.extractfile("manifest.json"))[0]["Layers"]
        assert members(tar.extractfile(layer).read()) == before
        assert members(tar.extractfile(added).read())["var/mail"][1:4] == (0o2775, 0, 8)


def test_what_was_imported_in_a_namespace_of_one_id_shows_its_owners_outside_of_it(alone):
    in_a_namespace_of_one_id(alone, "$PLYFS image import many:1 image.tar")
    run(PLYFS, "create", "--root", alone / "store", "--name", "web", "many:1")
    told = run(PLYFS, "ls", "--root", alone / "store", "--format", "{{.Name}} {{.Mode}} {{.Uid}}:{{.Gid}}", "web", "dev")
    assert told.stdout.splitlines() == ["null crw-rw-rw- 0:5", "sda brw-rw---- 0:6"]


def test_a_directory_that_is_imported_in_a_namespace_of_one_id_is_marked_as_recorded(alone):
    os.mkdir(alone / "tree")
    os.mknod(alone / "tree/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    in_a_namespace_of_one_id(alone, "$PLYFS layer import tree")
    made, = (alone / "store/layers").glob("*/tree")
    assert os.getxattr(made / "null", RECORD) == b"0:0:0644:char-1-3" and os.getxattr(made, RECORD) == b"0:0:0755:dir"
