# SPDX-License-Identifier: MIT
"""The commands of `plyfs volume`, each rule by name. What a mounted volume shows is test_volume's."""
import contextlib
import fcntl
import io
import json
import os
import pathlib
import pty
import re
import shutil
import signal
import socket
import sqlite3
import stat
import subprocess
import tarfile
import time

import pytest

from harness import PLYFS, assert_same, listing, need_root, need_tool, run
from storekit import Store, facts, wait_for

ANONYMOUS = "com.docker.volume.anonymous"


class Volumes(Store):
    """A store, and `plyfs volume` called on it."""

    def __call__(self, *argv, **kwargs):
        return self.plyfs("volume", *argv, **kwargs)

    def refuse(self, *argv, says, **kwargs):
        done = self.plyfs("volume", *argv, check=False, **kwargs)
        assert done.returncode == 1, (argv, done)
        assert says in done.stderr, (says, done.stderr)
        assert done.stderr.startswith("plyfs: "), done.stderr
        return done

    def create(self, *argv):
        return self("create", *argv).stdout.strip()

    def names(self, *argv):
        return self("ls", "-q", *argv).stdout.split()

    def rows(self, *argv):
        return [json.loads(line) for line in self("ls", "--format", "json", *argv).stdout.splitlines()]

    def inspect(self, name):
        found, = json.loads(self("inspect", name).stdout)
        return found

    def data(self, name):
        return self.path / "volumes" / name / "_data"

    def export(self, name, *argv):
        """The tar, which is no text."""
        return subprocess.run([PLYFS, "volume", "export", "--root", self.path, *argv, name],
                              stdout=subprocess.PIPE, check=True, timeout=60).stdout

    def feed(self, archive, *argv, check=True):
        done = subprocess.run([PLYFS, "volume", "import", "--root", self.path, *argv], input=archive,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False, timeout=60)
        assert not check or done.returncode == 0, done.stderr
        return done

    def used_by(self, name, volume, *argv):
        """A mount that refers to the volume."""
        lower = self.sandbox.directory()
        self.plyfs("create", "--name", name, "--lower", lower, *argv, "-v", f"{volume}:/data")

    def staged(self):
        return list((self.path / "stage").iterdir())


@pytest.fixture
def volumes(sandbox):
    volumes = Volumes(sandbox)
    yield volumes
    volumes.close()


def archive(*entries):
    """A tar of (name, content or type, more fields)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content, *fields in entries:
            info = tarfile.TarInfo(name)
            info.mode, info.mtime = 0o644, 1_600_000_000
            info.uid, info.gid = os.geteuid(), os.getegid()
            if isinstance(content, str):
                info.size = len(content)
            else:
                info.type = content
                info.mode = 0o755
            for key, value in dict(*fields).items():
                setattr(info, key, value)
            tar.addfile(info, io.BytesIO(content.encode()) if isinstance(content, str) else None)
    return out.getvalue()


def contents(tar):
    with tarfile.open(fileobj=io.BytesIO(tar)) as opened:
        return {member.name: member for member in opened}


# ---- create -------------------------------------------------------------------------------------

def test_create_prints_the_name_and_makes_an_empty_directory(volumes):
    assert volumes("create", "data").stdout == "data\n"
    st = os.stat(volumes.data("data"))
    assert stat.S_IMODE(st.st_mode) == 0o755 and st.st_uid == os.geteuid()
    assert list(volumes.data("data").iterdir()) == [] and volumes.staged() == []


def test_a_volume_without_a_name_is_anonymous(volumes):
    name = volumes.create()
    assert re.fullmatch("[0-9a-f]{64}", name)
    assert volumes.inspect(name)["Labels"] == {ANONYMOUS: ""}


def test_creating_what_is_there_succeeds_and_changes_nothing(volumes):
    volumes.create("--label", "a=1", "data")
    (volumes.data("data") / "kept").write_text("kept")
    for said in (("--label", "a=1"), ()):
        done = volumes("create", *said, "data")
        assert (done.stdout, done.stderr) == ("data\n", "")
    assert (volumes.data("data") / "kept").read_text() == "kept"


@pytest.mark.parametrize("other", [("--label", "a=2"), ("-o", "size=1m")])
def test_creating_what_is_there_with_other_labels_or_options_warns(volumes, other):
    volumes.create("--label", "a=1", "data")
    done = volumes("create", *other, "data")
    assert done.stdout == "data\n" and "data" in done.stderr
    assert volumes.inspect("data")["Labels"] == {"a": "1"}


def test_creating_what_another_driver_has_is_an_error(volumes):
    volumes.create("data")
    volumes.refuse("create", "-d", "elsewhere", "data", says="")
    assert volumes.inspect("data")["Driver"] == "local"


@pytest.mark.parametrize("name,says", [
    ("ab$", 'create ab$: "ab$" includes invalid characters for a local volume name, only '
            '"[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path'),
    ("a", "create a: volume name is too short, names should be at least two alphanumeric characters"),
    ("-", ""), ("..", "includes invalid characters"), ("a/b", "includes invalid characters"),
    (".a", "includes invalid characters"), ("n" * 256, ""),
])
def test_names_that_no_volume_can_have_are_refused(volumes, name, says):
    volumes.refuse("create", "--", name, says=says)
    assert volumes.names() == []


def test_an_unknown_option_is_named(volumes):
    volumes.refuse("create", "-o", "foo=bar", "data", says='invalid option: "foo"')
    assert volumes.names() == []


def test_labels_and_options_are_kept(volumes):
    volumes.create("--label", "stage=test", "--label", "plain", "-o", "size=20M", "data")
    found = volumes.inspect("data")
    assert found["Labels"] == {"stage": "test", "plain": ""} and found["Options"] == {"size": "20M"}
    volumes.refuse("create", "--label", "=x", "other", says="--label '=x': write KEY=VALUE")


def test_the_owner_and_mode_of_the_root_may_be_chosen(volumes):
    need_root()
    volumes.create("--uid", "123", "--gid", "456", "--mode", "2770", "data")
    st = os.stat(volumes.data("data"))
    assert (st.st_uid, st.st_gid, stat.S_IMODE(st.st_mode)) == (123, 456, 0o2770)


@pytest.mark.parametrize("option,value", [("--uid", "x"), ("--gid", "-1"), ("--mode", "9"), ("--mode", "10000"),
                                          ("--uid", "4294967295"), ("--uid", "")])
def test_an_owner_or_mode_that_is_no_number_is_refused(volumes, option, value):
    volumes.refuse("create", option, value, "data", says=f"{option} '{value}': write ")


# ---- ls -----------------------------------------------------------------------------------------

def test_volumes_are_listed_by_name_and_numbers_count_as_numbers(volumes):
    for name in ("v10", "v2", "v1", "other"):
        volumes.create(name)
    assert volumes.names() == ["other", "v1", "v2", "v10"]


def test_the_table_begins_with_driver_and_name(volumes):
    volumes.create("data")
    title, line = volumes("ls").stdout.splitlines()
    assert re.match(r"DRIVER +VOLUME NAME ", title) and re.match(r"local +data\b", line)
    assert volumes("ls", "--format", "{{.Driver}}/{{.Name}}/{{.Scope}}").stdout == "local/data/local\n"


def test_a_listing_has_dockers_fields(volumes):
    volumes.create("--label", "a=1", "--label", "b=2", "data")
    row, = volumes.rows()
    assert (row["Name"], row["Driver"], row["Scope"]) == ("data", "local", "local")
    assert row["Labels"] == "a=1,b=2" and row["Links"] == 0
    assert row["Mountpoint"] == str(volumes.data("data"))


def test_filters_of_a_listing(volumes):
    volumes.create("--label", "stage=test", "--label", "x=1", "one")
    volumes.create("--label", "stage=live", "two")
    volumes.used_by("web", "two")
    for filters, expected in {
            ("label=stage",): ["one", "two"], ("label=stage=live",): ["two"], ("label=sta",): [],
            ("label=stage", "label=x=1"): ["one"], ("name=o",): ["one", "two"], ("name=ne",): ["one"],
            ("name=one", "name=two"): ["one", "two"], ("driver=local",): ["one", "two"], ("driver=loc",): [],
            ("dangling=true",): ["one"], ("dangling=0",): ["two"], ("dangling=1", "name=two"): [],
            ("mount=web",): []}.items():
        words = [word for one in filters for word in ("-f", one)]
        assert volumes.names(*words) == expected, filters
    volumes.refuse("ls", "-f", "dangling=maybe", says="write true or false")
    volumes.refuse("ls", "-f", "colour=red", says="colour=red")


def test_a_listing_tells_who_a_volume_was_made_for(volumes):
    volumes.used_by("web", "data")
    row, = volumes.rows()
    assert (row["Mount"], row["Destination"], row["Links"], row["UsedAt"]) == ("web", "/data", 1, None)
    assert "web" in volumes("ls").stdout and "/data" in volumes("ls").stdout


def test_a_plug_in_that_is_not_there_does_not_hold_up_a_listing(volumes):
    for name in ("one", "two", "three"):
        volumes.create(name)
    with sqlite3.connect(volumes.path / "catalog.db") as catalog:
        catalog.execute("UPDATE volume SET driver = 'plyfs-test-gone' WHERE name <> 'one'")
    begun = time.monotonic()
    rows = {row["Name"]: row for row in volumes.rows()}
    assert time.monotonic() - begun < 10
    assert "unreachable" in rows["two"]["Status"] and "unreachable" in rows["three"]["Status"]
    assert rows["one"]["Status"] == ""
    assert volumes.inspect("two")["Status"]["Trouble"]


@pytest.fixture
def silent_plug_ins():
    """The names of plug-ins that take a connection and say nothing."""
    need_root()
    place = pathlib.Path("/run/docker/plugins")
    names = [f"plyfs-test-{os.getpid()}-{number}" for number in range(8)]
    made = not place.exists()
    place.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as sockets:
        for name in names:
            listening = sockets.enter_context(socket.socket(socket.AF_UNIX))
            listening.bind(str(place / f"{name}.sock"))
            sockets.callback(os.unlink, place / f"{name}.sock")
            listening.listen(50)
        yield names
    if made:
        place.rmdir()


@pytest.mark.parametrize("dead", [1, 8])
def test_plug_ins_that_say_nothing_hold_a_listing_up_once(volumes, silent_plug_ins, dead):
    """One is waited for a second, however many volumes it has; all of them three."""
    for number in range(9):
        volumes.create(f"v{number}")
    with sqlite3.connect(volumes.path / "catalog.db") as catalog:
        for number in range(1, 9):
            catalog.execute("UPDATE volume SET driver = ? WHERE name = ?",
                            (silent_plug_ins[number % dead], f"v{number}"))
    begun = time.monotonic()
    rows = volumes.rows()
    assert time.monotonic() - begun < 7  # 3 s, and what a busy machine adds
    assert ["unreachable" in row["Status"] for row in rows] == [False] + 8 * [True]


# ---- inspect ------------------------------------------------------------------------------------

def test_inspect_has_dockers_fields(volumes):
    volumes.create("--label", "a=1", "data")
    found = volumes.inspect("data")
    assert list(found) == ["CreatedAt", "Driver", "Labels", "Mountpoint", "Name", "Options", "Scope", "Status"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.\d]*Z", found["CreatedAt"])
    assert (found["Driver"], found["Scope"], found["Name"]) == ("local", "local", "data")
    assert found["Labels"] == {"a": "1"} and found["Options"] == {}
    assert found["Mountpoint"] == str(volumes.data("data"))


def test_inspect_of_what_is_missing_says_so_and_prints_the_rest(volumes):
    done = volumes.refuse("inspect", "gone", says="get gone: no such volume")
    assert json.loads(done.stdout) == []
    volumes.create("data")
    done = volumes.refuse("inspect", "gone", "data", says="get gone: no such volume")
    assert [found["Name"] for found in json.loads(done.stdout)] == ["data"]


def test_inspect_takes_a_format(volumes):
    volumes.create("data")
    assert volumes("inspect", "-f", "{{.Name}} {{.Status.CopiedImage}}", "data").stdout == "data \n"


# ---- rm -----------------------------------------------------------------------------------------

def test_rm_prints_what_it_removed(volumes):
    volumes.create("data")
    (volumes.data("data") / "file").write_text("text")
    assert volumes("rm", "data").stdout == "data\n"
    assert volumes.names() == [] and list((volumes.path / "volumes").iterdir()) == []


def test_rm_of_what_is_missing_is_an_error_unless_forced(volumes):
    volumes.refuse("rm", "gone", says="get gone: no such volume")
    assert volumes("rm", "-f", "gone").stderr == ""


def test_rm_goes_on_after_an_error(volumes):
    for name in ("one", "two"):
        volumes.create(name)
    assert volumes.refuse("rm", "one", "gone", "two", says="no such volume").stdout == "one\ntwo\n"
    assert volumes.names() == []


@pytest.mark.parametrize("force", [(), ("-f",)])
def test_rm_of_what_a_mount_refers_to_is_refused(volumes, force):
    volumes.used_by("web", "data")
    volumes.refuse("rm", *force, "data", says="remove data: volume is in use - [web]")
    volumes.plyfs("rm", "web")
    volumes("rm", "data")


# ---- prune --------------------------------------------------------------------------------------

def test_prune_removes_unused_anonymous_volumes_alone(volumes):
    volumes.create("named")
    anonymous = volumes.create()
    (volumes.data(anonymous) / "file").write_text("x" * 36)
    os.link(volumes.data(anonymous) / "file", volumes.data(anonymous) / "again")
    assert volumes("prune", "-f").stdout == \
        f"Deleted Volumes:\n{anonymous}\n\nTotal reclaimed space: 36B\n"
    assert volumes.names() == ["named"]


def test_prune_with_all_takes_named_ones_too(volumes):
    volumes.create("one")
    volumes.used_by("web", "two")
    assert volumes("prune", "-af").stdout == "Deleted Volumes:\none\n\nTotal reclaimed space: 0B\n"
    assert volumes.names() == ["two"]


def test_prune_with_nothing_to_do_says_so(volumes):
    assert volumes("prune", "-f").stdout == "Total reclaimed space: 0B\n"


def test_prune_leaves_volumes_with_options_and_those_of_plug_ins(volumes):
    volumes.create("-o", "size=1m", "limited")
    volumes.create("elsewhere")
    with sqlite3.connect(volumes.path / "catalog.db") as catalog:
        catalog.execute("UPDATE volume SET driver = 'plyfs-test-gone' WHERE name = 'elsewhere'")
    assert volumes("prune", "-af").stdout == "Total reclaimed space: 0B\n"
    assert volumes.names() == ["elsewhere", "limited"]


@pytest.mark.parametrize("filters,left", [
    (["label=stage"], ["none"]), (["label=stage=live"], ["none", "test"]), (["label!=stage"], ["live", "test"]),
    (["label!=stage=test"], ["test"]), (["label=stage", "label!=stage=test"], ["none", "test"]),
    (["label!=stage=test", "label!=stage=live"], []), (["label!=stage", "label!=stage=live"], ["live"]),
    (["label=stage=live", "label!=stage", "label!=gone"], ["none", "test"]),
])
def test_prune_takes_filters_of_labels(volumes, filters, left):
    volumes.create("--label", "stage=test", "test")
    volumes.create("--label", "stage=live", "live")
    volumes.create("none")
    volumes("prune", "-af", *(word for one in filters for word in ("--filter", one)))
    assert volumes.names() == left


def test_prune_refuses_other_filters(volumes):
    volumes.create("data")
    volumes.refuse("prune", "-af", "--filter", "name=data", says="there are label=KEY[=VALUE] and label!=")
    assert volumes.names() == ["data"]


def answer(volumes, text, *argv):
    """Runs a command whose stdin is a terminal on which somebody writes."""
    ours, theirs = pty.openpty()
    os.write(ours, text.encode())
    done = run(PLYFS, "volume", argv[0], "--root", volumes.path, *argv[1:], check=False, stdin=theirs, timeout=60)
    os.close(ours)
    os.close(theirs)
    return done


def test_prune_asks_first(volumes):
    anonymous = volumes.create()
    done = volumes("prune")
    assert done.stdout == "" and "-f" in done.stderr and volumes.names() == [anonymous]
    done = answer(volumes, "n\n", "prune")
    assert "Are you sure you want to continue? [y/N]" in done.stderr and volumes.names() == [anonymous]
    assert "WARNING! This will remove anonymous local volumes" in done.stderr
    assert anonymous in answer(volumes, "y\n", "prune").stdout and volumes.names() == []


# ---- rename and clone ---------------------------------------------------------------------------

def test_rename_keeps_content_labels_and_references(volumes):
    volumes.create("--label", "a=1", "data")
    (volumes.data("data") / "file").write_text("text")
    volumes.used_by("web", "data")
    volumes("rename", "data", "kept")
    assert volumes.names() == ["kept"] and volumes.inspect("kept")["Labels"] == {"a": "1"}
    assert (volumes.data("kept") / "file").read_text() == "text" and not volumes.data("data").exists()
    volumes.refuse("rm", "kept", says="remove kept: volume is in use - [web]")
    volumes.refuse("rm", "data", says="no such volume")


def test_rename_refuses_names_that_are_taken_or_impossible(volumes):
    for name in ("one", "two"):
        volumes.create(name)
    volumes.refuse("rename", "one", "two", says="rename one: the new name is taken")
    volumes.refuse("rename", "one", "a/b", says="includes invalid characters")
    volumes.refuse("rename", "gone", "three", says="get gone: no such volume")
    assert volumes.names() == ["one", "two"]


def fill_specimen(top):
    """A bit of everything that one user may make."""
    (top / "dir/deep").mkdir(parents=True)
    (top / "file").write_text("text")
    os.link(top / "file", top / "dir/link")
    os.symlink("../nowhere", top / "dir/symlink")
    os.mkfifo(top / "pipe", 0o640)
    (top / ".wh.file").write_text("a name like any other")
    (top / "dir/.wh..wh..opq").write_text("")
    (top / "dir/tool").write_bytes(b"\0" * 300_000)
    os.setxattr(top / "file", "user.mine", b"\0=%")
    os.setxattr(top / "dir", "user.overlay.opaque", b"y")
    os.chmod(top / "dir/tool", 0o755)
    os.chmod(top / "dir/deep", 0o2750)
    os.chmod(top, 0o2771)
    for path in [*top.rglob("*"), top]:
        os.utime(path, ns=(0, 1_500_000_000_123_456_789), follow_symlinks=False)


def test_a_clone_is_the_same_and_its_own(volumes):
    volumes.create("--label", "a=1", "data")
    fill_specimen(volumes.data("data"))
    assert volumes("clone", "data", "copy").stdout == "copy\n"
    assert_same(listing(volumes.data("data")), listing(volumes.data("copy")))
    assert volumes.inspect("copy")["Labels"] == {"a": "1"}
    (volumes.data("copy") / "file").write_text("changed")
    assert (volumes.data("data") / "file").read_text() == "text"
    volumes.refuse("clone", "data", "copy", says="clone data: the name is taken")
    volumes.refuse("clone", "gone", "other", says="get gone: no such volume")


# ---- export and import --------------------------------------------------------------------------

def test_what_is_exported_comes_back_as_it_was(volumes):
    volumes.create("data")
    fill_specimen(volumes.data("data"))
    tar = volumes.export("data")
    volumes.feed(tar, "copy")
    assert_same(listing(volumes.data("data")), listing(volumes.data("copy")))
    assert volumes.export("copy") == tar
    assert volumes.staged() == []


def test_an_export_of_a_privileged_volume_keeps_devices_owners_and_set_id_bits(volumes):
    need_root()
    volumes.create("data")
    top = volumes.data("data")
    os.mknod(top / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod(top / "white", stat.S_IFCHR | 0o600, os.makedev(0, 0))
    (top / "su").write_text("x")
    os.chown(top / "su", 12, 34)
    os.chmod(top / "su", 0o6755)
    os.setxattr(top / "su", "trusted.overlay.metacopy", b"")
    os.chown(top, 999, 999)
    os.chmod(top, 0o700)
    volumes.feed(volumes.export("data"), "copy")
    assert_same(listing(top), listing(volumes.data("copy")))
    assert os.getxattr(volumes.data("copy") / "su", "trusted.overlay.metacopy") == b""


def test_an_export_begins_with_the_root_and_other_tools_read_it(volumes, sandbox):
    need_tool("tar")
    volumes.create("data")
    fill_specimen(volumes.data("data"))
    (sandbox.path / "data.tar").write_bytes(volumes.export("data"))
    names = run("tar", "tf", sandbox.path / "data.tar").stdout.split()
    assert names[0] == "./" and ".wh.file" in names and "dir/.wh..wh..opq" in names


def test_an_export_goes_to_a_file_or_a_pipe_but_not_to_a_terminal(volumes, sandbox):
    volumes.create("data")
    (volumes.data("data") / "file").write_text("text")
    out = sandbox.path / "data.tar.gz"
    volumes("export", "-o", out, "--compress", "gzip", "data")
    assert out.read_bytes()[:2] == b"\x1f\x8b" and "file" in contents(out.read_bytes())
    ours, theirs = pty.openpty()
    done = subprocess.run([PLYFS, "volume", "export", "--root", volumes.path, "data"], stdin=subprocess.DEVNULL,
                          stdout=theirs, stderr=subprocess.PIPE, text=True, check=False, timeout=60)
    assert done.returncode == 1 and "nothing for a terminal" in done.stderr
    os.close(ours)
    os.close(theirs)
    volumes.refuse("export", "gone", says="get gone: no such volume")


def test_an_export_into_the_volume_itself_leaves_itself_out(volumes, sandbox):
    """As it lies in the store, and through a mount."""
    volumes.create("data")
    (volumes.data("data") / "file").write_bytes(os.urandom(3000000))
    volumes.used_by("web", "data")
    at = volumes.mount("web")
    for out in (volumes.data("data") / "data.tar", at / "data/data.tar"):
        volumes("export", "-o", out, "data")
        with tarfile.open(out) as tar:
            assert [member.name for member in tar] == [".", "file"]
        out.unlink()


def test_an_import_makes_the_volume_or_fills_an_empty_one(volumes, sandbox):
    tar = archive(("file", "text"))
    volumes.feed(tar, "new")
    assert (volumes.data("new") / "file").read_text() == "text"
    volumes.create("--label", "a=1", "empty")
    (volumes.data("empty") / "lost+found").mkdir()
    (sandbox.path / "in.tar").write_bytes(tar)
    volumes("import", "empty", sandbox.path / "in.tar")
    assert (volumes.data("empty") / "file").read_text() == "text"
    assert volumes.inspect("empty")["Labels"] == {"a": "1"}


def test_an_import_over_content_needs_force_and_replaces_all_of_it(volumes):
    volumes.create("data")
    (volumes.data("data") / "old").write_text("old")
    done = volumes.feed(archive(("new", "new")), "data", check=False)
    assert done.returncode == 1 and b"holds something already; -f" in done.stderr
    assert os.listdir(volumes.data("data")) == ["old"]
    volumes.feed(archive(("new", "new")), "-f", "data")
    assert os.listdir(volumes.data("data")) == ["new"]
    assert volumes.staged() == []


def test_an_import_says_why_it_cannot_reach_or_fill_a_volume(volumes):
    volumes.create("-o", "type=tmpfs", "passing")
    done = volumes.feed(archive(("new", "new")), "passing", check=False)
    assert done.returncode == 1 and b"its driver alone reaches what it holds" in done.stderr
    volumes.create("-o", "size=4k", "small")
    done = volumes.feed(archive(("new", "n" * 9000)), "small", check=False)
    assert done.returncode == 1 and b"with this content it has" in done.stderr and b"may hold 4096" in done.stderr
    assert os.listdir(volumes.data("small")) == [] and volumes.staged() == []


def test_the_root_is_as_the_archive_says_or_as_it_was(volumes):
    volumes.create("data")
    os.chmod(volumes.data("data"), 0o1777)
    volumes.feed(archive(("file", "text")), "data")
    assert stat.S_IMODE(volumes.data("data").stat().st_mode) == 0o1777
    volumes.feed(archive(("./", tarfile.DIRTYPE, {"mode": 0o2750}), ("file", "text")), "-f", "data")
    assert stat.S_IMODE(volumes.data("data").stat().st_mode) == 0o2750
    assert volumes.data("data").stat().st_mtime == 1_600_000_000


HOSTILE = {
    "a path upward": [("../out", "x")],
    "an absolute path": [("/tmp/plyfs-test-out", "x")],
    "through a symlink": [("link", tarfile.SYMTYPE, {"linkname": "/tmp"}), ("link/plyfs-test-out", "x")],
    "a hard link out": [("link", tarfile.LNKTYPE, {"linkname": "../../../catalog.db"})],
    "a hard link to nothing": [("link", tarfile.LNKTYPE, {"linkname": "nothing"})],
    "a file as a directory": [("file", "x"), ("file/in", "x")],
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_archive_is_refused_and_leaves_nothing(volumes, what):
    volumes.create("data")
    before = sorted(os.listdir(volumes.path))
    for name in ("data", "new"):
        done = volumes.feed(archive(("first", "x"), *HOSTILE[what]), name, check=False)
        assert done.returncode == 1 and b"cannot import stdin: " in done.stderr, done.stderr
    assert volumes.names() == ["data"] and os.listdir(volumes.data("data")) == []
    assert sorted(os.listdir(volumes.path)) == before and volumes.staged() == []
    assert os.listdir(volumes.path / "volumes") == ["data"]
    assert not os.path.exists("/tmp/plyfs-test-out")


@pytest.mark.parametrize("broken", [
    pytest.param(b"", id="empty"), pytest.param(b"this is no tar at all" * 100, id="text"),
    pytest.param(archive(("file", "text"))[:700], id="cut in a file"),
    pytest.param(archive(("file", "text"))[:1024], id="without its end"),
])
def test_a_broken_archive_leaves_the_volume_as_it_was(volumes, broken):
    volumes.create("data")
    (volumes.data("data") / "old").write_text("old")
    done = volumes.feed(broken, "-f", "data", check=False)
    assert done.returncode == 1 and b"cannot import stdin: " in done.stderr
    assert (volumes.data("data") / "old").read_text() == "old" and volumes.staged() == []
    assert volumes.feed(broken, "new", check=False).returncode == 1 and volumes.names() == ["data"]


@pytest.mark.parametrize("name", ["data", "new"])
def test_an_import_that_is_killed_leaves_the_old_content_or_no_volume(volumes, name):
    volumes.create("data")
    (volumes.data("data") / "old").write_text("old")
    tar = archive(*((f"f{number:04}", "x" * 1000) for number in range(500)))
    with subprocess.Popen([PLYFS, "volume", "import", "--root", volumes.path, "-f", name],
                          stdin=subprocess.PIPE) as importing:
        importing.stdin.write(tar[:len(tar) // 2])
        importing.stdin.flush()
        wait_for(lambda: any(volumes.path.glob("stage/**/f0100")), "some of it is unpacked")
        importing.send_signal(signal.SIGKILL)
    assert volumes.names() == ["data"]
    assert {path.name: path.read_text() for path in volumes.data("data").iterdir()} == {"old": "old"}
    volumes.plyfs("prune", "-f")
    assert volumes.staged() == [] and os.listdir(volumes.path / "volumes") == ["data"]


def test_an_import_is_limited_where_a_limit_is_said(volumes):
    done = volumes.feed(archive(("file", "x" * 2000)), "--max-size", "1k", "data", check=False)
    assert done.returncode == 1 and b"--max-size lets in more" in done.stderr and volumes.names() == []


def test_an_import_takes_compressed_archives(volumes, sandbox):
    need_tool("tar", "zstd")
    top = sandbox.directory("in")
    (top / "file").write_text("text")
    run("tar", "--zstd", "-cf", sandbox.path / "in.tar.zst", "-C", top, ".")
    volumes("import", "data", sandbox.path / "in.tar.zst")
    assert (volumes.data("data") / "file").read_text() == "text"


def test_an_import_of_what_is_no_file_is_refused(volumes, sandbox):
    volumes.refuse("import", "data", sandbox.path / "gone.tar", says="gone.tar: No such file or directory")
    volumes.refuse("import", "data", sandbox.path, says="Is a directory")
    done = answer(volumes, "", "import", "data")
    assert done.returncode == 1 and "a terminal has no tar to give" in done.stderr
    volumes.refuse("import", "a/b", says="includes invalid characters")
    assert volumes.names() == []


@pytest.mark.parametrize("choice", [("--uid", "1000"), ("--gid", "1000"), ("--mode", "700")], ids=lambda c: c[0][2:])
@pytest.mark.parametrize("options", [("type=none", "o=bind", "device={host}"), ("type=tmpfs", "device=tmpfs")],
                         ids=["bind", "mount"])
def test_an_owner_or_mode_for_a_directory_elsewhere_is_refused_and_not_forgotten(volumes, sandbox, options, choice):
    host = sandbox.directory("host")
    was = host.stat()
    words = [word for option in options for word in ("-o", option.format(host=host))]
    done = volumes.refuse("create", *choice, *words, "data", says="--uid, --gid and --mode")
    assert "data" in done.stderr and volumes.names() == [] and volumes.staged() == []
    assert (host.stat().st_uid, host.stat().st_gid, host.stat().st_mode) == (was.st_uid, was.st_gid, was.st_mode)
    volumes("create", *words, "data")
    assert volumes("create", *choice, *words, "data").stdout == "data\n", "one that is there stays as it is"


# ---- diff and reseed ----------------------------------------------------------------------------

@pytest.fixture
def seeded(volumes, sandbox):
    """The volume "data", filled from /data of app:1, and app:1 tagged anew with other content."""
    for version, files in (("1", {"kept": "1", "changed": "1", "gone": "1"}), ("2", {"kept": "1", "changed": "2",
                                                                                     "fresh": "2"})):
        tree = sandbox.directory(f"app{version}")
        (tree / "data").mkdir()
        for name, text in files.items():
            (tree / "data" / name).write_text(text)
            os.utime(tree / "data" / name, (0, 1_600_000_000 + (text == "2")))
        os.utime(tree / "data", (0, 1_600_000_000 + int(version)))
        run("tar", "-cf", sandbox.path / f"app{version}.tar", "-C", tree, ".")
    volumes.plyfs("image", "import", "app:1", sandbox.path / "app1.tar")
    volumes.plyfs("create", "--name", "web", "-v", "data:/data", "app:1")
    return volumes


def import_upgrade(volumes, name):
    volumes.plyfs("image", "import", name, volumes.sandbox.path / "app2.tar")


def test_diff_tells_what_the_volume_and_what_the_image_changed(seeded):
    assert seeded("diff", "data").stdout == ""
    (seeded.data("data") / "changed").write_text("mine")
    (seeded.data("data") / "added").write_text("mine")
    os.unlink(seeded.data("data") / "gone")
    import_upgrade(seeded, "app:1")
    lines = {tuple(line.split()) for line in seeded("diff", "data").stdout.splitlines()}
    assert {("A", "volume", "/added"), ("C", "both", "/changed"), ("A", "image", "/fresh"),
            ("D", "both", "/gone"), ("C", "both", "/")} == lines
    rows = [json.loads(line) for line in seeded("diff", "--format", "json", "data").stdout.splitlines()]
    assert {"Kind": "A", "By": "volume", "Path": "/added"} in rows


def test_diff_of_what_no_image_filled_is_refused(volumes):
    volumes.create("data")
    volumes.refuse("diff", "data", says="data")


def test_reseed_gives_the_content_of_the_image_again(seeded):
    (seeded.data("data") / "changed").write_text("mine")
    (seeded.data("data") / "added").write_text("mine")
    done = seeded.refuse("reseed", "data", says="use -f to go ahead")
    assert (seeded.data("data") / "added").exists()
    seeded("reseed", "-f", "data")
    assert sorted(os.listdir(seeded.data("data"))) == ["changed", "gone", "kept"]
    assert (seeded.data("data") / "changed").read_text() == "1" and done.stdout == ""
    assert seeded("diff", "data").stdout == ""


@pytest.mark.parametrize("there", ["nothing", "a file"])
def test_reseed_from_an_image_without_that_directory_is_refused_and_keeps_the_content(seeded, sandbox, there):
    tree = sandbox.directory("bare")
    (tree / "other").mkdir()
    if there == "a file":
        (tree / "data").write_text("no directory")
    run("tar", "-cf", sandbox.path / "bare.tar", "-C", tree, ".")
    (seeded.data("data") / "added").write_text("mine")
    was = facts(seeded.data("data"))
    seeded.plyfs("image", "import", "bare:1", sandbox.path / "bare.tar")
    done = seeded.refuse("reseed", "-f", "--image", "bare:1", "data", says="the image bare:1 has no directory at /data")
    assert "--image" in done.stderr and facts(seeded.data("data")) == was
    seeded.plyfs("image", "import", "app:1", sandbox.path / "bare.tar")
    seeded.refuse("reseed", "-f", "data", says="the image app:1 has no directory at /data")
    assert facts(seeded.data("data")) == was


def test_reseed_takes_what_the_name_means_now_or_another_image(seeded):
    import_upgrade(seeded, "app:2")
    seeded("reseed", "-f", "--image", "app:2", "data")
    assert sorted(os.listdir(seeded.data("data"))) == ["changed", "fresh", "kept"]
    seeded.refuse("reseed", "-f", "--image", "gone:1", "data", says="gone:1")


def test_a_volume_keeps_the_name_of_its_image_and_follows_it(seeded):
    """Of several names the one that was said; a tag that moved is what reseed takes."""
    assert [row["Image"] for row in seeded.rows()] == ["app:1"]
    seeded.plyfs("image", "tag", "app:1", "zz:1")
    seeded.plyfs("create", "--name", "other", "-v", "second:/data", "zz:1")
    assert {row["Name"]: row["Image"] for row in seeded.rows()}["second"] == "zz:1"
    import_upgrade(seeded, "app:1")
    seeded("reseed", "-f", "data")
    assert sorted(os.listdir(seeded.data("data"))) == ["changed", "fresh", "kept"]


def test_reseed_asks_on_a_terminal(seeded):
    (seeded.data("data") / "added").write_text("mine")
    done = answer(seeded, "n\n", "reseed", "data")
    assert done.returncode == 1 and "throws away all that the volume data holds" in done.stderr
    assert (seeded.data("data") / "added").exists()
    assert answer(seeded, "y\n", "reseed", "data").returncode == 0
    assert not (seeded.data("data") / "added").exists()


# ---- mounted volumes ----------------------------------------------------------------------------

def test_a_volume_that_is_mounted_is_exported_but_neither_replaced_nor_renamed(volumes):
    volumes.used_by("web", "data")
    at = volumes.mount("web")
    (at / "data/file").write_text("text")
    assert "file" in contents(volumes.export("data"))
    done = volumes.feed(archive(("other", "x")), "-f", "data", check=False)
    assert done.returncode == 1 and b"mounted" in done.stderr, done.stderr
    volumes.refuse("rename", "data", "other", says="mounted")
    volumes.refuse("rm", "-f", "data", says="remove data: volume is in use - [web]")
    assert volumes("prune", "-af").stdout == "Total reclaimed space: 0B\n"
    assert (at / "data/file").read_text() == "text"
    assert volumes.rows()[0]["UsedAt"] and volumes.inspect("data")["Status"]["UsedBy"] == ["web"]
    volumes.plyfs("umount", "web")
    volumes.feed(archive(("other", "x")), "-f", "data")
    assert os.listdir(volumes.mount("web") / "data") == ["other"]
    volumes.plyfs("umount", "web")


def test_a_reseed_of_what_is_mounted_is_refused(seeded):
    at = seeded.mount("web")
    seeded.refuse("reseed", "-f", "data", says="mounted")
    assert sorted(os.listdir(at / "data")) == ["changed", "gone", "kept"]
    seeded.plyfs("umount", "web")


# ---- the shell ----------------------------------------------------------------------------------

def complete(volumes, line):
    """What bash offers behind a line."""
    need_tool("bash")
    script = (f"PATH={os.path.dirname(PLYFS)}:$PATH; source {pathlib.Path(__file__).parents[1]}"
              "/fs/completion/plyfs.bash; COMP_LINE=$1; COMP_POINT=${#COMP_LINE}; "
              "compopt() { :; }; _plyfs; printf '%s\\n' \"${COMPREPLY[@]}\"")
    return run("bash", "-c", script, "bash", line,
               env={**os.environ, "PLYFS_ROOT": str(volumes.path)}).stdout.split()


def test_the_shell_completes_commands_and_names_of_volumes(volumes):
    volumes.create("data")
    volumes.used_by("web", "data")
    for line, expected in {
            "plyfs volume resee": ["reseed"], "plyfs volume rm da": ["data"], "plyfs volume inspect ": ["data"],
            "plyfs volume import da": ["data"], "plyfs volume create --lab": ["--label"],
            "plyfs create -v da": ["data:"], "plyfs create --volume data:/x:r": ["ro", "rw", "rprivate",
                                                                                "rshared", "rslave"],
            "plyfs create --mount source=da": ["data"], "plyfs create --mount ty": ["type="],
            "plyfs create --mount type=volume,so": ["volume,source="],
            "plyfs create --volumes-from w": ["web"], "plyfs rm -v w": ["web"]}.items():
        assert complete(volumes, line) == expected, line


def test_every_command_tells_of_itself(volumes):
    listed = volumes("--help").stdout
    for name in ("create", "ls", "inspect", "rm", "prune", "rename", "clone", "export", "import", "diff", "reseed"):
        assert re.search(rf"^  {name} ", listed, re.M), name
        assert f"plyfs volume {name}" in volumes(name, "--help").stdout


def test_a_full_disk_ends_an_export_with_an_error(volumes):
    volumes.create("data")
    (volumes.data("data") / "file").write_bytes(b"x" * 100_000)
    with open("/dev/full", "wb") as full:
        done = subprocess.run([PLYFS, "volume", "export", "--root", volumes.path, "data"], stdout=full,
                              stderr=subprocess.PIPE, text=True, check=False, timeout=60)
    assert done.returncode == 1 and "No space left" in done.stderr


def test_a_clone_that_fails_leaves_nothing(volumes):
    volumes.create("data")
    volumes.refuse("clone", "data", "a/b", says="includes invalid characters")
    shutil.rmtree(volumes.data("data"))
    volumes.refuse("clone", "data", "copy", says="data")
    assert volumes.names() == ["data"] and volumes.staged() == []


# ---- several at once ----------------------------------------------------------------------------

def test_of_several_prunes_at_once_none_fails_and_each_volume_is_told_once(volumes):
    for _ in range(3):
        made = [volumes.create(f"v{number}") for number in range(20)]
        done = volumes.at_once("volume", "prune", "-af")
        assert [(said, status) for _, said, status in done] == [("", 0)] * 3
        told = [line for out, _, _ in done for line in out.splitlines() if re.fullmatch(r"v\d+", line)]
        assert sorted(told) == sorted(made) and volumes.names() == []


def test_a_volume_that_somebody_else_removes_first_is_gone_for_who_forces_it_and_missing_for_others(volumes):
    for _ in range(3):
        made = [volumes.create(f"v{number}") for number in range(20)]
        assert [(said, status) for _, said, status in volumes.at_once("volume", "rm", "-f", *made)] == [("", 0)] * 3
        for name in made:
            volumes.create(name)
        done = volumes.at_once("volume", "rm", *made)
        assert sorted(line for out, _, _ in done for line in out.splitlines()) == sorted(made)
        assert {line for _, said, _ in done for line in said.splitlines()} <= {
            f"plyfs: get {name}: no such volume" for name in made}


def test_a_volume_that_is_filled_for_long_is_not_pruned_and_no_error(volumes):
    volumes.create("busy")
    lock = os.open(volumes.path / "volumes" / "busy" / "lock", os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    done = volumes("prune", "-af")
    assert (done.stdout, done.stderr) == ("Total reclaimed space: 0B\n", "") and volumes.names() == ["busy"]
    volumes.refuse("rm", "busy", says="volume is in use - [it is being used at this moment]")
    os.close(lock)
