# SPDX-License-Identifier: MIT
"""What is asked of volumes when a mount is made: grammar, precedence, refusals, first content, and their lives."""
import errno
import json
import os
import pathlib
import re
import signal
import subprocess
import threading

import pytest

import procfs
from harness import need_root, need_tool, run
from storekit import facts, wait_for
from strace_kit import Strace


@pytest.fixture
def base(store):
    """A plain rootfs, which is a layer of mounts and the image "base"."""
    rootfs = store.sandbox.directory("rootfs")
    (rootfs / "data/sub").mkdir(parents=True)
    (rootfs / "data/file").write_text("of the image")
    (rootfs / "data/sub/deep").write_text("deep")
    os.link(rootfs / "data/file", rootfs / "data/again")
    os.symlink("nowhere", rootfs / "data/link")
    os.mkfifo(rootfs / "data/fifo")
    os.chmod(rootfs / "data", 0o2750)
    os.chmod(rootfs / "data/file", 0o4711)
    os.utime(rootfs / "data/sub", (1, 1))
    (rootfs / "etc").mkdir()
    (rootfs / "etc/conf").write_text("conf")
    os.symlink("/data", rootfs / "alias")
    tar = store.sandbox.path / "base.tar"
    run("tar", "--format=posix", "-cpf", tar, "-C", rootfs, ".")
    store.plyfs("image", "import", "base", tar)
    return rootfs


@pytest.fixture
def boxed(store, base):
    """The image "boxed": as "base", with volumes at /data, /log and /data/sub."""
    store.plyfs("create", "--name", "maker", "base")
    store.plyfs("commit", "--change", "VOLUME /data /log /data/sub", "maker", "boxed")
    store.plyfs("rm", "maker")
    return base


def create(store, *argv, name="web", image="base"):
    return store.plyfs("create", "--name", name, *argv, image)


def mounts(store, name="web"):
    """{destination: what inspect tells of it}."""
    told, = json.loads(store.plyfs("inspect", name).stdout)
    return {mount["Destination"]: mount for mount in told["Mounts"]}


def volumes(store):
    place = store.path / "volumes"
    return sorted(os.listdir(place)) if place.exists() else []


def content(store, volume):
    return store.path / "volumes" / volume / "_data"


def refused(store, *argv, words, name="web", image="base"):
    """Refused with status 125, and nothing was made."""
    before = volumes(store), sorted(os.listdir(store.path / "mounts"))
    done = store.plyfs("create", "--name", name, *argv, image, check=False)
    assert done.returncode == 125 and words in done.stderr, done
    assert done.stdout == "" and (volumes(store), sorted(os.listdir(store.path / "mounts"))) == before
    assert os.listdir(store.path / "stage") == []
    return done


# ---- inspect -----------------------------------------------------------------------------------

def test_inspect_tells_every_field_of_every_kind(store, base, sandbox):
    host = sandbox.directory("host")
    create(store, "-v", "/anon", "-v", "db:/db", "-v", "ro:/ro:ro,Z", "-v", f"{host}:/host:ro,rslave",
           "--mount", f"type=bind,src={host},dst=/long", "--tmpfs", "/tmpfs:size=1m")
    told = mounts(store)
    anonymous = told["/anon"].pop("Name")
    assert re.fullmatch("[0-9a-f]{64}", anonymous)
    volume = {"Type": "volume", "Driver": "local", "Propagation": ""}
    assert told == {
        "/anon": {**volume, "Source": str(content(store, anonymous)), "Destination": "/anon", "Mode": "", "RW": True},
        "/db": {**volume, "Name": "db", "Source": str(content(store, "db")), "Destination": "/db",
                "Mode": "z", "RW": True},
        "/ro": {**volume, "Name": "ro", "Source": str(content(store, "ro")), "Destination": "/ro",
                "Mode": "ro,Z", "RW": False},
        "/host": {"Type": "bind", "Source": str(host), "Destination": "/host", "Mode": "ro,rslave", "RW": False,
                  "Propagation": "rslave"},
        "/long": {"Type": "bind", "Source": str(host), "Destination": "/long", "Mode": "", "RW": True,
                  "Propagation": "rprivate"},
        "/tmpfs": {"Type": "tmpfs", "Source": "", "Destination": "/tmpfs", "Mode": "", "RW": True, "Propagation": ""},
    }


def test_destinations_are_told_in_the_order_of_their_depth(store, base):
    create(store, "-v", "/z/b", "-v", "/z", "-v", "/a/b/c", "-v", "/a/b")
    told, = json.loads(store.plyfs("inspect", "web").stdout)
    assert [mount["Destination"] for mount in told["Mounts"]] == ["/z", "/a/b", "/z/b", "/a/b/c"]


def test_a_path_of_the_host_is_meant_from_where_one_is(store, base, sandbox):
    host = sandbox.directory("host")
    (host / "in").mkdir()
    store.plyfs("create", "--name", "web", "-v", "./in:/a", "-v", "..:/b", "base", cwd=host)
    assert mounts(store)["/a"]["Source"] == str(host / "in")
    assert mounts(store)["/b"]["Source"] == str(host.parent)


# ---- refusals ----------------------------------------------------------------------------------

@pytest.mark.parametrize("argv,words", [
    (["-v", "rel"], "invalid mount path: 'rel' mount path must be absolute"),
    (["-v", "db:/"], "invalid specification: destination can't be '/'"),
    (["-v", "db:/x", "-v", "other:/x/"], "Duplicate mount point: /x"),
    (["-v", "db:/x", "--tmpfs", "/x"], "Duplicate mount point: /x"),
    (["-v", "db:/x", "--mount", "src=db,dst=/x"], "Duplicate mount point: /x"),
    (["-v", "ab$:/x"], "create ab$: \"ab$\" includes invalid characters for a local volume name"),
    (["-v", "a:/x"], "create a: volume name is too short"),
    (["-v", "~/x:/x"], "If you intended to pass a host directory, use absolute path"),
    (["-v", "db:/x:ro,rw"], "invalid mode: ro,rw"),
    (["-v", "db:/x:rshared"], "invalid mode: rshared"),
    (["-v", "/etc:/x:nocopy"], "invalid mode: nocopy"),
    (["-v", "db::/x"], "empty section between colons"),
    (["-v", "a:b:c:d"], "too many colons"),
    (["--mount", "type=bind,dst=/x"], "field Source must not be empty"),
    (["--mount", "type=tmpfs,src=db,dst=/x"], "field Source must not be specified"),
    (["--mount", "type=odd,dst=/x"], "mount type unknown"),
    (["--mount", "dst=/x,odd=1"], "unknown option 'odd' in 'odd=1'"),
    (["--mount", "dst=/x,odd"], "invalid field 'odd' must be a key=value pair"),
    (["--mount", "dst=/x,volume-subpath=in"], "must not set Subpath when using anonymous volumes"),
    (["--mount", "src=db,dst=/x,volume-subpath=../x"], "subpath must be a relative path"),
    (["--mount", "src=db,dst=/x,volume-subpath=in"], "cannot take in of the volume db: the volume is not there yet"),
    (["--mount", "type=image,src=none,dst=/x"], "none: no such image"),
    (["--mount", "type=image,src=base,dst=/x,image-subpath=gone"], "cannot take gone of the image for /x"),
    (["--mount", "type=image,src=base,dst=/x,image-subpath=etc/conf"], "cannot take etc/conf of the image"),
    (["--mount", "type=image,src=base,dst=/etc/conf"], "cannot mount volume over existing file"),
    (["--tmpfs", "/x:huge=always"], 'invalid tmpfs option "huge=always"'),
    (["--volumes-from", "nobody"], "no such mount: nobody"),
    (["--volumes-from", "nobody:nocopy"], "invalid mode: nocopy"),
    (["--volumes-from", "nobody:rshared"], "invalid mode: rshared"),
    (["-v", "db:/etc/conf"], "cannot mount volume over existing file, file exists /etc/conf"),
    (["-v", "db:/etc/conf/in"], "a file is in the way"),
    (["-v", "fine:/fine", "-v", "db:/etc/conf"], "cannot mount volume over existing file"),
    (["--mount", "src=db,dst=/x,volume-opt=foo=bar"], 'invalid option: "foo"'),
    ([word for i in range(128) for word in ("-v", f"v{i}:/x{i}")], "128 volumes are too many: a mount has room for 127"),
], ids=lambda value: " ".join(value[:6]) if isinstance(value, list) else "")
def test_what_makes_no_sense_is_refused_with_its_words_and_makes_nothing(store, base, argv, words):
    refused(store, *argv, words=words)


def test_a_mount_is_made_with_as_many_volumes_as_it_can_show(store, base):
    create(store, *(word for i in range(127) for word in ("--tmpfs", f"/x/{i}")))
    store.refused("attach", "web", "more:/more", words="128 volumes are too many")
    at = store.mount("web")
    assert len(os.listdir(at / "x")) == 127
    store.refused("attach", "web", "more:/more", words="128 volumes are too many: a mount has room for 127")
    assert volumes(store) == []
    store.plyfs("detach", "web", "/x/5")
    store.plyfs("attach", "web", "more:/more")
    assert "more" in os.listdir(at)


def test_the_status_is_125_for_volumes_alone(store, base, sandbox):
    """What else goes wrong where volumes are asked for has the status that it has without them."""
    at = sandbox.directory("mnt")
    for argv, status in ((["create", "-v", "db:/x", "none"], 1), (["create", "-v", "rel", "base"], 125),
                         (["create", "--name", "a/b", "-v", "db:/x", "base"], 1),
                         (["create", "--volumes-from", "nobody", "base"], 125),
                         (["create", "--root", base, "-v", "db:/x", "base"], 1),
                         (["mount", "-v", "rel", "base", at], 125), (["mount", "-v", "db:/x", "none", at], 1),
                         (["mount", "-v", "db:/etc/conf", "base", at], 125),
                         (["mount", "--lower", base / "none", "-v", f"{base}:/x", at], 1),
                         (["mount", "--lower", base, "-v", "rel", at], 125)):
        done = store.plyfs(*argv, check=False)
        assert done.returncode == status, (argv, done)
    assert volumes(store) == [] and store.listed("-a") == []


def test_a_directory_of_the_host_that_is_missing_is_made_by_v_alone(store, base, sandbox):
    host = sandbox.directory("host")
    missing = host / "a/b"
    does_not_exist = f'invalid mount config for type "bind": bind source path does not exist: {missing}'
    refused(store, "--mount", f"type=bind,src={missing},dst=/x", words=does_not_exist)
    refused(store, "--strict", "-v", f"{missing}:/x", words=does_not_exist)
    refused(store, "-v", f"{missing}:/x", "--mount", f"type=bind,src={host}/other,dst=/y", words="does not exist")
    assert list(host.iterdir()) == []
    old = os.umask(0o077)
    try:
        done = create(store, "-v", f"{missing}:/x")
    finally:
        os.umask(old)
    assert f"warning: {missing} was not there" in done.stderr
    assert [path.stat().st_mode & 0o7777 for path in (host / "a", missing)] == [0o755, 0o755]
    create(store, "--mount", f"type=bind,src={host}/c,dst=/x,bind-create-src", name="other")
    assert (host / "c").is_dir()


def test_identical_words_collapse(store, base):
    create(store, "-v", "db:/x", "-v", "db:/x")
    assert list(mounts(store)) == ["/x"]


def test_a_file_of_the_host_may_hide_a_file(store, base, sandbox):
    host = sandbox.directory("host") / "conf"
    host.write_text("host")
    done = create(store, "-v", f"{host}:/etc/conf")
    assert mounts(store)["/etc/conf"]["Type"] == "bind"
    assert "volume /etc/conf hides 1 file" in done.stderr


def test_a_driver_other_than_the_volumes_is_refused(store, base):
    create(store, "-v", "db:/x")
    refused(store, "--mount", "src=db,dst=/x,volume-driver=other", words="of the driver local", name="second")


# ---- precedence --------------------------------------------------------------------------------

def test_volumes_of_an_image_are_made_where_nothing_else_is(store, boxed, sandbox):
    host = sandbox.directory("host")
    create(store, "-v", f"{host}:/data", image="boxed")
    told = mounts(store)
    assert told["/data"]["Type"] == "bind" and told["/log"]["Mode"] == ""
    assert {told[path]["Type"] for path in ("/log", "/data/sub")} == {"volume"}
    assert sorted(volumes(store)) == sorted(told[path]["Name"] for path in ("/log", "/data/sub"))
    assert (content(store, told["/data/sub"]["Name"]) / "deep").read_text() == "deep"


def test_of_two_places_that_are_one_the_image_gives_way_and_two_asked_for_are_refused(store, boxed):
    done = create(store, "-v", "named:/alias", image="boxed")
    assert "volume /data is left out: it leads to the same place as /alias" in done.stderr
    assert sorted(mounts(store)) == ["/alias", "/data/sub", "/log"]
    assert len(volumes(store)) == 3
    at = store.mount("web")
    (at / "data/new").write_text("new")
    assert (content(store, "named") / "new").read_text() == "new"
    store.plyfs("umount", "web")
    refused(store, "-v", "one:/data", "-v", "two:/alias", words="Duplicate mount point: /alias and /data", name="second")
    done = create(store, "--volumes-from", "web", "-v", "other:/data", "-v", "/alias/sub", name="third")
    assert sorted(mounts(store, "third")) == ["/data", "/data/sub", "/log"]
    assert mounts(store, "third")["/data"]["Name"] == "other"
    store.mount("third")
    store.plyfs("umount", "third")


def test_a_place_that_leads_to_the_root_is_refused_and_nothing_is_copied(store, base):
    store.plyfs("create", "--name", "maker", "base")
    at = store.mount("maker")
    os.symlink("..", at / "etc/up")
    store.plyfs("commit", "maker", "upward")
    store.plyfs("umount", "maker")
    refused(store, "-v", "all:/etc/up", words="leads to '/'", image="upward")


def test_volumes_of_an_image_are_tmpfs_or_ignored_where_that_is_said(store, boxed):
    create(store, "--image-volume=tmpfs", image="boxed")
    assert {mount["Type"] for mount in mounts(store).values()} == {"tmpfs"} and volumes(store) == []
    create(store, "--image-volume=ignore", name="none", image="boxed")
    assert mounts(store, "none") == {} and volumes(store) == []


def test_what_is_asked_for_hides_what_comes_from_others_and_the_later_of_these_the_earlier(store, base):
    create(store, "-v", "one:/a", "-v", "one:/b", "-v", "one:/c", name="first")
    create(store, "-v", "two:/b", "-v", "two:/c", name="second")
    create(store, "--volumes-from", "first", "--volumes-from", "second", "-v", "three:/c", "-v", "/a")
    assert {path: mount["Name"] for path, mount in mounts(store).items()} == {"/a": "one", "/b": "two", "/c": "three"}


def test_volumes_from_can_only_be_made_narrower_and_outlive_their_source(store, base):
    create(store, "-v", "rw:/rw", "-v", "ro:/ro:ro", "-v", "/anon", "--tmpfs", "/t", name="source")
    anonymous = mounts(store, "source")["/anon"]["Name"]
    create(store, "--volumes-from", "source:rw", name="wide")
    create(store, "--volumes-from", "source:ro", name="narrow")
    assert {path: mount["RW"] for path, mount in mounts(store, "wide").items()} == {
        "/rw": True, "/ro": False, "/anon": True, "/t": True}
    assert {mount["RW"] for mount in mounts(store, "narrow").values()} == {False}
    assert {mount["Mode"] for mount in mounts(store, "narrow").values()} == {""}
    store.plyfs("rm", "-v", "source")
    assert mounts(store, "wide")["/anon"]["Name"] == anonymous and anonymous in volumes(store)
    create(store, "--volumes-from", "wide", name="third")
    assert set(mounts(store, "third")) == {"/rw", "/ro", "/anon", "/t"}


def test_a_tmpfs_is_made_as_it_was_asked_for_each_time_and_for_those_who_take_it_over(store, base):
    create(store, "--tmpfs", "/t:uid=1234,gid=77,mode=700,nr_inodes=50,size=1m", name="source")
    create(store, "--volumes-from", "source")
    for name in ("source", "web", "web"):
        at = store.mount(name)
        st, room = os.stat(at / "t"), os.statvfs(at / "t")
        assert (st.st_uid, st.st_gid, st.st_mode & 0o7777) == (1234, 77, 0o700)
        assert (room.f_files, room.f_blocks * room.f_frsize) == (50, 1 << 20)
        store.plyfs("umount", name)


def test_volumes_from_never_fill(store, base):
    create(store, "-v", "db:/data:nocopy", name="source")
    assert list(content(store, "db").iterdir()) == []
    create(store, "--volumes-from", "source")
    assert list(content(store, "db").iterdir()) == []


# ---- first content -----------------------------------------------------------------------------

def test_a_new_volume_gets_what_the_image_has_there(store, base):
    create(store, "-v", "db:/data:ro", "-v", "/data/sub")
    assert facts(content(store, "db")) == facts(base / "data")
    was, now = os.lstat(base / "data"), os.lstat(content(store, "db"))
    assert (now.st_mode, now.st_uid, now.st_gid, now.st_mtime_ns) == (
        was.st_mode, was.st_uid, was.st_gid, was.st_mtime_ns)
    assert os.stat(content(store, "db") / "file").st_ino == os.stat(content(store, "db") / "again").st_ino
    nested = content(store, mounts(store)["/data/sub"]["Name"])
    assert (nested / "deep").read_text() == "deep" and nested.stat().st_mtime == 1


def test_links_in_the_way_are_followed_inside_the_image(store, base):
    create(store, "-v", "db:/alias")
    assert facts(content(store, "db")) == facts(base / "data")


def test_an_empty_directory_of_a_volume_gets_first_content(store, base):
    """What is not empty, is a file or was said to stay empty does; what is beside it too."""
    store.plyfs("volume", "create", "db")
    data = content(store, "db")
    for name in ("a/empty", "full", "plain"):
        (data / name).mkdir(parents=True)
    (data / "full/own").write_text("own")
    (data / "file").write_text("file")
    for number, (name, more) in enumerate((("a/empty", ""), ("full", ""), ("plain", ",volume-nocopy"))):
        create(store, "--mount", f"src=db,dst=/data,volume-subpath={name}{more}", name=f"web{number}")
    assert (data / "a/empty/file").read_text() == "of the image" and (data / "a/empty/sub/deep").exists()
    assert (data / "a/empty").stat().st_mode & 0o7777 == 0o2750
    assert os.listdir(data / "full") == ["own"] and os.listdir(data / "plain") == []
    assert sorted(os.listdir(data)) == ["a", "file", "full", "plain"] and os.listdir(data / "a") == ["empty"]
    refused(store, "--mount", "src=db,dst=/data,volume-subpath=gone", words="cannot take gone of the volume db")
    assert os.listdir(store.path / "stage") == [] and store.plyfs("doctor").stdout == ""


def test_first_content_past_the_limit_of_a_volume_is_refused(store, base, sandbox):
    """A new one is not made; one that is there stays as it was; hard links count once."""
    with open(base / "data/file", "r+b") as file:
        file.truncate(3 << 20)
    low = ("--lower", base)
    done = store.plyfs("create", "--name", "web", "--mount", "src=db,dst=/data,volume-opt=size=2m", *low, check=False)
    assert done.returncode == 1 and "No space left on device" in done.stderr, done
    assert volumes(store) == [] and os.listdir(store.path / "stage") == []
    store.plyfs("volume", "create", "-o", "size=2m", "small")
    done = store.plyfs("create", "--name", "web", "-v", "small:/data", *low, check=False)
    assert done.returncode == 1 and "No space left on device" in done.stderr, done
    assert os.listdir(content(store, "small")) == [] and store.state("web") is None
    store.plyfs("create", "--name", "web", "--mount", "src=db,dst=/data,volume-opt=size=4m", *low)
    assert (content(store, "db") / "again").stat().st_size == 3 << 20


def test_a_name_that_is_taken_is_refused_before_a_directory_of_the_host_is_filled(store, base, sandbox):
    host = sandbox.directory("host")
    create(store)
    store.refused("create", "--name", "web", "--mount", "src=db,dst=/data,volume-opt=type=none,volume-opt=o=bind,"
                  f"volume-opt=device={host}", "base", words="the name web is taken")
    assert os.listdir(host) == [] and volumes(store) == []


def test_what_the_image_does_not_have_is_an_empty_directory(store, base):
    create(store, "-v", "db:/not/there")
    st = content(store, "db").stat()
    assert list(content(store, "db").iterdir()) == [] and st.st_mode & 0o7777 == 0o755
    assert not (store.path / "mounts" / os.listdir(store.path / "mounts")[0] / "upper/not").exists()


def test_nocopy_leaves_it_empty(store, base):
    create(store, "-v", "db:/data:nocopy", "--mount", "src=other,dst=/etc,volume-nocopy")
    assert [list(content(store, name).iterdir()) for name in ("db", "other")] == [[], []]


def test_an_empty_volume_is_filled_and_one_with_content_never_again(store, base):
    create(store, "-v", "db:/not/there", name="first")
    create(store, "-v", "db:/data", name="second")
    assert facts(content(store, "db")) == facts(base / "data")
    (content(store, "db") / "file").write_text("mine")
    create(store, "-v", "db:/data", name="third")
    create(store, "-v", "db:/etc", name="fourth")
    assert (content(store, "db") / "file").read_text() == "mine" and not (content(store, "db") / "conf").exists()


def test_the_same_volume_at_two_places_is_filled_from_the_first(store, base):
    create(store, "-v", "db:/etc", "-v", "db:/data")
    assert facts(content(store, "db")) == facts(base / "data")


def test_two_creates_at_once_copy_once(store, base):
    failures = []

    def one(number):
        done = store.plyfs("create", "--name", f"web{number}", "-v", "db:/data", "base", check=False)
        failures.extend([done] if done.returncode else [])
    threads = [threading.Thread(target=one, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == [] and volumes(store) == ["db"]
    assert facts(content(store, "db")) == facts(base / "data")
    assert os.listdir(store.path / "stage") == []


def test_a_create_that_fails_leaves_no_volume(store, base):
    create(store)
    done = store.plyfs("create", "--name", "web", "-v", "leak:/x", "-v", "/y", "base", check=False)
    assert done.returncode == 1 and "the name web is taken" in done.stderr and volumes(store) == []


# ---- what is told ------------------------------------------------------------------------------

def test_it_is_told_what_a_volume_hides_and_nothing_of_what_it_was_given(store, base, sandbox):
    host = sandbox.directory("host")
    assert "volume /data hides 5 files, " in create(store, "-v", f"{host}:/data").stderr
    assert create(store, "-v", "db:/data", name="second").stderr == ""


def test_another_owner_or_mode_than_the_hidden_directory_has_is_told(store, base, sandbox):
    host = sandbox.directory("host")
    os.chmod(host, 0o700)
    told = create(store, "-v", f"{host}:/data").stderr
    assert re.search(rf"warning: {host} is \d+:\d+ 0700, and the /data that it hides is \d+:\d+ 2750", told)


# ---- removing ----------------------------------------------------------------------------------

def test_rm_v_takes_anonymous_volumes_that_nobody_else_has(store, boxed, sandbox):
    host = sandbox.directory("host")
    create(store, "-v", "db:/db", "-v", "/anon", "-v", f"{host}:/host", image="boxed")
    create(store, "--volumes-from", "web", name="other", image="base")
    assert len(volumes(store)) == 5
    assert store.plyfs("rm", "-v", "web").stderr == "" and len(volumes(store)) == 5
    assert store.plyfs("rm", "-v", "other").stderr == "" and volumes(store) == ["db"] and host.is_dir()


def test_rm_alone_leaves_every_volume(store, base):
    create(store, "-v", "/anon", "-v", "db:/db")
    store.plyfs("rm", "web")
    assert len(volumes(store)) == 2


def test_a_mount_that_is_never_mounted_holds_data(store, base):
    create(store, "-v", "db:/data", "-v", "/anon", name="holder")
    anonymous = mounts(store, "holder")["/anon"]["Name"]
    for name in ("db", anonymous):
        store.refused("volume", "rm", name, words=f"remove {name}: volume is in use")
    create(store, "--volumes-from", "holder")
    assert {mount["Name"] for mount in mounts(store).values()} == {"db", anonymous}


# ---- mount and commit --------------------------------------------------------------------------

def test_volumes_are_said_when_a_mount_is_made_and_not_later(store, base):
    create(store)
    done = store.plyfs("mount", "-v", "db:/x", "web", store.sandbox.directory("mnt"), check=False)
    assert done.returncode == 125 and "web is there already" in done.stderr and volumes(store) == []


def test_directories_with_volumes_of_the_store_take_no_upper_of_their_own(store, base, sandbox):
    done = store.plyfs("mount", "--lower", base, "--upper", sandbox.directory("upper"), "-v", "/x",
                       sandbox.directory("mnt"), check=False)
    assert done.returncode == 125 and "leave out --upper" in done.stderr and volumes(store) == []


def test_a_commit_has_the_images_volumes_and_those_without_a_name(store, boxed, sandbox):
    create(store, "-v", "/anon", "-v", "db:/db", "-v", f"{sandbox.directory('host')}:/host", "--tmpfs", "/t",
           image="boxed")
    store.plyfs("commit", "--change", "VOLUME /changed", "web", "made")
    told, = json.loads(store.plyfs("image", "inspect", "made").stdout)
    assert sorted(told["Config"]["Volumes"]) == ["/anon", "/changed", "/data", "/data/sub", "/log"]


# ---- live --------------------------------------------------------------------------------------

def mount_with(store, *argv, status=0):
    at = store.sandbox.directory("mnt")
    store.watched.append(at)
    done = store.plyfs("mount", *argv, at, check=False)
    assert done.returncode == status, done.stderr
    return pathlib.Path(at)


def test_an_ephemeral_mount_takes_its_anonymous_volumes_with_it(store, boxed):
    at = mount_with(store, "--rm", "-v", "db:/db", "boxed")
    assert (at / "data/file").read_text() == "of the image" and len(volumes(store)) == 4
    (at / "log/line").write_text("x")
    store.plyfs("umount", at)
    assert volumes(store) == ["db"]


@pytest.mark.parametrize("ending", (["umount", "short"], ["rm", "-f", "short"]))
def test_who_ends_an_ephemeral_mount_waits_until_its_volumes_are_gone(store, boxed, ending):
    """The daemon takes its time for them, and who unmounts looks after it when its row is gone."""
    need_tool("strace")
    at = mount_with(store, "--rm", "--name", "short", "-v", "db:/db", "boxed")
    daemon, = procfs.daemons(at)
    with Strace(daemon, os.devnull, "inject=/^rename:delay_enter=300000"):  # us
        run("strace", "-qq", "-o", os.devnull, "-e", "inject=umount2:delay_exit=400000",
            store.program, *ending, env={**os.environ, "PLYFS_ROOT": str(store.path)})
        assert volumes(store) == ["db"] and not os.path.ismount(at)


@pytest.mark.parametrize("clearing", (["prune", "-f"], ["doctor", "--repair"], ["rm", "short"]))
def test_whoever_clears_an_ephemeral_mount_takes_its_anonymous_volumes(store, boxed, clearing):
    """Its daemon was killed; what another mount has, and what has a name, stays."""
    at = mount_with(store, "--rm", "--name", "short", "-v", "db:/db", "boxed")
    (at / "log/line").write_text("x")
    store.plyfs("create", "--name", "long", "-v", "/own", "--volumes-from", "short", "base")
    kept = volumes(store)
    low = store.sandbox.directory()
    also = mount_with(store, "--rm", "--name", "also", "-v", "/gone", "-v", "/too", "--lower", low)
    assert len(kept) == 5 and len(volumes(store)) == 7
    for name in ("short", "also"):
        told, = json.loads(store.plyfs("inspect", name).stdout)
        os.kill(told["Pid"], signal.SIGKILL)
        wait_for(lambda name=name: store.state(name) == "dead", f"{name} is dead")
    if clearing[0] == "rm":
        store.plyfs("rm", "also")
    store.plyfs(*clearing)
    for where in (at, also):
        run("umount", "-l", where, check=False)
    assert store.state("short") is None and volumes(store) == kept
    store.plyfs("rm", "-v", "long")
    assert volumes(store) == ["db"]


def test_directories_of_the_host_need_no_store(store, base, sandbox):
    host = sandbox.directory("host")
    (host / "file").write_text("host")
    at = mount_with(store, "--lower", base, "-v", f"{host}:/data:ro", "--tmpfs", "/t:size=64k")
    assert (at / "data/file").read_text() == "host" and list((at / "t").iterdir()) == []
    with pytest.raises(OSError):
        (at / "data/file").write_text("x")
    store.plyfs("umount", at)


def test_directories_with_a_volume_are_a_mount_of_the_store(store, base):
    at = mount_with(store, "--name", "dirs", "--lower", base, "-v", "db:/data")
    (at / "data/new").write_text("new")
    store.plyfs("umount", "dirs")
    assert (content(store, "db") / "new").read_text() == "new" and store.state("dirs") == "unmounted"
    assert store.diff("dirs") == []


def test_a_directory_of_the_host_that_went_is_told_and_the_mount_refused(store, base, sandbox):
    host = sandbox.directory("host")
    create(store, "-v", f"{host}:/x")
    host.rmdir()
    done = store.plyfs("mount", "web", sandbox.directory("mnt"), check=False)
    assert done.returncode != 0 and str(host) in done.stderr


def test_a_backup_is_made_through_the_volumes_of_another_mount(store, base, sandbox):
    need_root()
    create(store, "-v", "db:/data", name="holder")
    host = sandbox.directory("host")
    at = mount_with(store, "--rm", "--volumes-from", "holder:ro", "-v", f"{host}:/backup", "base")
    subprocess.run(["tar", "-cf", at / "backup/data.tar", "-C", at / "data", "."], check=True)
    store.plyfs("umount", at)
    assert "./sub/deep" in run("tar", "-tf", host / "data.tar").stdout.splitlines()


# ---- images ------------------------------------------------------------------------------------

def read_only(action, *argv):
    with pytest.raises(OSError) as caught:
        action(*argv)
    return caught.value.errno == errno.EROFS


def test_an_image_is_shown_as_it_is_and_cannot_be_changed(store, base, sandbox):
    layers = {path: facts(path) for path in (store.path / "layers").iterdir()}
    at = mount_with(store, "--name", "web", "--mount", "type=image,src=base,dst=/data/image", "--mount",
                    "type=image,src=base,dst=/part,image-subpath=data/sub", "base")
    (at / "data/mine").write_text("mine")
    assert (at / "data/image/data/file").read_text() == "of the image"
    assert os.listdir(at / "part") == ["deep"] and (at / "part/deep").read_text() == "deep"
    assert os.readlink(at / "data/image/data/link") == "nowhere"
    assert sorted(os.listdir(at / "data/image")) == sorted(os.listdir(base))
    for top in (at / "data/image/data", at / "part"):
        assert read_only(os.mkdir, top / "new") and read_only(os.chmod, top, 0o700)
        assert read_only(os.open, top / "new", os.O_CREAT | os.O_WRONLY)
    assert read_only(os.open, at / "part/deep", os.O_WRONLY) and read_only(os.unlink, at / "part/deep")
    assert read_only(os.rename, at / "part/deep", at / "part/new") and read_only(os.utime, at / "part/deep")
    told = mounts(store)["/part"]
    assert (told["Type"], told["Source"], told["RW"], told["Subpath"]) == ("image", "base:latest", False, "data/sub")
    store.plyfs("umount", "web")
    assert store.diff("web") == ["C /data", "A /data/mine"]
    assert {path: facts(path) for path in (store.path / "layers").iterdir()} == layers


def test_an_image_that_is_shown_stays_and_the_mounts_are_named(store, base, sandbox):
    """From the moment a mount is made until the last is removed."""
    create(store, "--mount", "type=image,src=base,dst=/x", name="shows", image="base")
    low = sandbox.directory()
    store.plyfs("create", "--name", "dirs", "--lower", low, "--mount", "type=image,src=base,dst=/x")
    store.plyfs("create", "--name", "copy", "--lower", low, "--volumes-from", "dirs")
    store.plyfs("rm", "shows")
    store.refused("image", "rm", "base", words="mounts need it: dirs copy;")
    store.plyfs("rm", "dirs")
    store.refused("image", "rm", "base", words="mounts need it: copy;")
    store.plyfs("rm", "copy")
    store.plyfs("image", "rm", "base")
    assert os.listdir(store.path / "layers") == []


def test_an_image_is_attached_and_detached(store, base, sandbox):
    low = sandbox.directory()
    store.plyfs("create", "--name", "dirs", "--lower", low)
    at = store.mount("dirs")
    store.plyfs("attach", "dirs", "type=image,source=base,target=/image")
    assert (at / "image/etc/conf").read_text() == "conf"
    store.refused("image", "rm", "base", words="mounts need it: dirs;")
    store.refused("attach", "dirs", "type=image,source=none,target=/other", words="none: no such image")
    store.plyfs("detach", "dirs", "/image")
    assert os.listdir(at) == []
    store.plyfs("umount", "dirs")
    store.plyfs("image", "rm", "base")


def test_an_image_is_shown_over_directories_without_a_name(store, base, sandbox):
    low = sandbox.directory()
    (low / "own").write_text("own")
    at = mount_with(store, "--lower", low, "--mount", "type=image,source=base,target=/image")
    assert (at / "own").read_text() == "own" and (at / "image/etc/conf").read_text() == "conf"
    store.plyfs("umount", at)


# ---- what somebody else may write into a volume ------------------------------------------------

def test_no_name_inside_a_volume_is_taken_for_a_record(store, base, sandbox):
    """A user in a directory that is everybody's, and an image, can make any name: nothing is removed
    for it, and nothing becomes theirs."""
    need_root()
    public = sandbox.directory("public")
    (public / "precious").write_text("precious")
    public.chmod(0o1777)
    store.plyfs("volume", "create", "-o", "type=none", "-o", "o=bind", "-o", f"device={public}", "public")
    create(store, "-v", "public:/data", "-v", "own:/log")
    own = content(store, "own")
    (own / "precious").write_text("precious")
    for name in (".plyfs-filling", ".plyfs-replacing", ".plyfs-filled"):
        for place in (public, own):
            (place / name).mkdir()
            os.chown(place / name, 65534, 65534)
    was = facts(public), facts(own)
    store.mount("web")
    create(store, "-v", "public:/data", "-v", "own:/data/sub", name="other")
    assert (facts(public), facts(own)) == was
    assert public.stat().st_uid == 0 and own.stat().st_uid == 0
