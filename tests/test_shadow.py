# SPDX-License-Identifier: MIT
"""What volumes hide and hold: shadow, ls and cat, and volumes that come and go with attach and detach."""
import json
import os
import socket
import stat
import subprocess

import pytest

from test_layer import complete


@pytest.fixture
def web(store, sandbox):
    """The mount "web" of two directories, where base is layer 1 and top layer 2."""
    top, base = sandbox.directory("top"), sandbox.directory("base")
    for path, text in ((base / "site/index", "base index"), (base / "site/same", "same"),
                       (base / "site/sub/deep", "deep"), (top / "site/index", "top index"),
                       (base / "etc/conf", "conf")):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    os.symlink("index", base / "site/link")
    os.symlink("/site", base / "www")
    os.symlink("../../../../../../etc/conf", base / "site/up")
    os.mkfifo(base / "site/fifo")
    sandbox.guard(top, base)
    store.plyfs("create", "--name", "web", "--lower", top, "--lower", base)
    return "web"


@pytest.fixture
def host(sandbox):
    """A directory that is bound over the site: one file as in the layers, one of another content, one new."""
    host = sandbox.directory("host")
    (host / "same").write_text("same")
    (host / "index").write_text("host index")
    (host / "new").write_text("12345")
    return host


def rows(store, *argv):
    return [json.loads(line) for line in store.plyfs(*argv, "--format", "json").stdout.splitlines()]


def states(store, *argv):
    return {row["Path"]: row["State"] for row in rows(store, "shadow", *argv)}


# ---- shadow -------------------------------------------------------------------------------------

def test_a_mount_without_volumes_hides_nothing(store, web):
    assert rows(store, "shadow", web) == []


def test_what_a_bind_hides_is_counted_by_layer(store, web, host):
    store.plyfs("attach", web, f"{host}:/site")
    row, = rows(store, "shadow", web)
    assert (row["Destination"], row["Type"], row["Source"]) == ("/site", "bind", str(host))
    assert row["Hides"] == "6 files, 17B: 1 file, 9B of layer 2; 5 files, 8B of layer 1"
    assert row["Hidden"] == {"Files": 6, "Bytes": 17, "Directories": 1,
                             "Layers": [{"Layer": 2, "Files": 1, "Bytes": 9}, {"Layer": 1, "Files": 5, "Bytes": 8}]}
    assert (row["Names"], row["Bytes"], row["Same"], row["Differs"], row["New"]) == (3, 19, 1, 1, 1)


def test_each_path_is_listed_with_its_state(store, web, host):
    os.symlink("index", host / "link")
    (host / "sub").write_text("a file where the layers have a directory")
    store.plyfs("attach", web, f"{host}:/site")
    assert states(store, web, "/site") == {
        "/site/index": "differs", "/site/same": "same", "/site/new": "new", "/site/link": "same",
        "/site/sub": "differs", "/site/sub/deep": "hidden", "/site/fifo": "hidden", "/site/up": "hidden"}
    assert states(store, web, "/site//") == states(store, web, "-l")
    layers = {row["Path"]: row["Layer"] for row in rows(store, "shadow", web, "/site")}
    assert (layers["/site/index"], layers["/site/same"], layers["/site/new"]) == ("2", "1", "host")


def test_a_volume_that_was_filled_is_the_same_until_it_is_written_to(store, web):
    store.plyfs("attach", web, "data:/site")
    assert set(states(store, web, "/site").values()) == {"same"}
    content = store.path / "volumes" / "data" / "_data"
    (content / "same").write_text("SAME")
    (content / "index").unlink()
    assert states(store, web, "/site") == {
        "/site/index": "hidden", "/site/same": "differs", "/site/sub/deep": "same", "/site/link": "same",
        "/site/fifo": "same", "/site/up": "same"}


def test_what_a_volume_hides_of_the_changes_is_told(store, web, host):
    at = store.mount(web)
    (at / "site/made").write_text("made")
    (at / "site/same").unlink()
    store.plyfs("umount", web)
    store.plyfs("attach", web, f"{host}:/site")
    assert states(store, web, "/site")["/site/made"] == "hidden"
    assert states(store, web, "/site")["/site/same"] == "new"
    row, = rows(store, "shadow", web)
    assert row["Hidden"]["Layers"][0] == {"Layer": 0, "Files": 1, "Bytes": 4}


def test_a_file_bound_over_a_file_is_compared_with_it(store, web, host):
    store.plyfs("attach", web, f"{host}/same:/etc/conf")
    assert states(store, web, "/etc/conf") == {"/etc/conf": "differs"}
    row, = rows(store, "shadow", web)
    assert row["Hides"] == "1 file, 4B of layer 1" and row["Names"] == 1


def test_a_tmpfs_hides_and_holds_nothing_that_is_known(store, web):
    store.plyfs("attach", web, "type=tmpfs,target=/site")
    row, = rows(store, "shadow", web)
    assert row["Type"] == "tmpfs" and row["Hidden"]["Files"] == 6 and row["Names"] is None


def test_shadow_of_a_path_that_is_no_destination_is_refused(store, web):
    store.refused("shadow", web, "/site", words="web has no volume at /site")
    store.refused("shadow", web, "site", words="absolute")
    store.refused("shadow", "missing", words="no such mount: missing")


# ---- ls and cat ---------------------------------------------------------------------------------

def names(store, *argv):
    return store.plyfs("ls", "--format", "{{.Name}}", *argv).stdout.split()


def test_a_mount_is_read_without_being_mounted(store, web):
    assert names(store, web) == ["etc", "site", "www"]
    assert names(store, web, "site") == ["fifo", "index", "link", "same", "sub", "up"]
    assert store.plyfs("cat", web, "/site/index").stdout == "top index"
    assert store.plyfs("cat", web, "/www/link", "etc/conf").stdout == "top indexconf"


def test_links_are_resolved_inside_the_mount(store, web):
    assert store.plyfs("cat", web, "/site/up").stdout == "conf"
    assert store.plyfs("cat", web, "/../../www/../etc/conf").stdout == "conf"


def test_a_link_itself_is_listed_with_its_target(store, web):
    row, = rows(store, "ls", web, "/site/link")
    assert (row["Mode"], row["Name"], row["Target"], row["Shown"]) == ("lrwxrwxrwx", "link", "index", "link -> index")


def test_a_covered_path_is_read_from_the_host_and_under_it_from_the_layers(store, web, host):
    store.plyfs("attach", web, f"{host}:/site")
    assert names(store, web, "/site") == ["index", "new", "same"]
    assert names(store, "--under", web, "/site") == ["fifo", "index", "link", "same", "sub", "up"]
    assert store.plyfs("cat", web, "/site/index").stdout == "host index"
    assert store.plyfs("cat", web, "/www/index").stdout == "host index"
    assert store.plyfs("cat", "--under", web, "/site/index").stdout == "top index"
    store.refused("cat", web, "/site/sub/deep", words="there is no such file")
    assert {row["Layer"] for row in rows(store, "ls", web, "/site")} == {"host"}


def test_a_slash_behind_it_asks_for_a_directory(store, web, host):
    (host / "file").write_text("host")
    store.plyfs("attach", web, f"{host}:/data")
    for path in ("/site/index/", "/etc/conf/.", "/site/link/", "/data/file/", "/data/file/."):
        for command in ("ls", "cat"):
            store.refused(command, web, path, words="Not a directory")
    assert names(store, web, "/www/") == names(store, web, "/site/.") == ["fifo", "index", "link", "same", "sub", "up"]
    store.plyfs("expect", web, "absent", "/data/file/")


def test_dots_behind_a_link_go_back_from_where_it_leads(store, sandbox):
    base, host = sandbox.directory("base"), sandbox.directory("host")
    (base / "a/b").mkdir(parents=True)
    (base / "link").symlink_to("a/b")
    (base / "a/x").write_text("beside where it leads")
    (base / "x").write_text("beside the link")
    (host / "x").write_text("of a volume")
    store.plyfs("create", "--name", "dots", "--lower", base, "-v", f"{host}/x:/x")
    assert store.plyfs("cat", "dots", "/link/../x").stdout == "beside where it leads"
    assert names(store, "dots", "/link/..") == ["b", "x"]
    assert json.loads(store.plyfs("explain", "--json", "dots", "/link/../x").stdout)["Volume"] is None
    assert store.plyfs("cat", "dots", "/a/../x").stdout == "of a volume"


def test_the_deepest_route_covers(store, web, host, sandbox):
    inner = sandbox.directory("inner")
    (inner / "file").write_text("inner")
    store.plyfs("attach", web, f"{inner}:/site/sub")
    store.plyfs("attach", web, f"{host}:/site")
    assert names(store, web, "/site/sub") == ["file"]
    assert names(store, web, "/site") == ["index", "new", "same", "sub"]
    store.refused("ls", web, "/sites", words="there is no such file")


def test_no_link_leads_out_of_a_volume(store, web, host, sandbox):
    secret = sandbox.directory("secret")
    (secret / "file").write_text("secret")
    os.symlink(secret, host / "dir")
    os.symlink(secret / "file", host / "file")
    store.plyfs("attach", web, f"{host}:/site")
    for path in ("/site/dir/file", "/site/file"):
        assert "secret" not in store.refused("cat", web, path, words="cannot look at").stdout
    assert names(store, web, "/site/dir") == ["dir"]


def test_cat_gives_bytes_as_they_are_and_refuses_what_is_no_file(store, web, host):
    content = bytes(range(256)) * 5000
    (host / "bytes").write_bytes(content)
    store.plyfs("attach", web, f"{host}:/data")
    env = {**os.environ, "PLYFS_ROOT": str(store.path)}
    done = subprocess.run([store.program, "cat", web, "/data/bytes"], stdout=subprocess.PIPE, env=env, timeout=60)
    assert done.returncode == 0 and done.stdout == content
    store.refused("cat", web, "/site/fifo", words="no regular file")
    store.refused("cat", web, "/site", words="Is a directory")
    os.mkfifo(host / "pipe")
    store.refused("cat", web, "/data/pipe", words="no regular file")


def test_modes_are_written_as_ls_writes_them(store, web, host):
    for mode in (0o0000, 0o4755, 0o4644, 0o2711, 0o1777, 0o7000):
        (host / f"m{mode:o}").write_text("")
        os.chmod(host / f"m{mode:o}", mode)
    store.plyfs("attach", web, f"{host}:/data")
    found = {row["Name"]: row["Mode"] for row in rows(store, "ls", web, "/data")}
    for name in os.listdir(host):
        assert found[name] == subprocess.run(["stat", "-c", "%A", host / name], stdout=subprocess.PIPE,
                                             text=True).stdout.strip()


# ---- attach and detach, not mounted -------------------------------------------------------------

def test_a_destination_has_one_volume(store, web, host):
    store.plyfs("attach", web, f"{host}:/site")
    store.refused("attach", web, "data:/site/", words="Duplicate mount point: /site")
    assert len(rows(store, "shadow", web)) == 1
    assert not (store.path / "volumes" / "data").exists(), "what was made for it is gone again"


def test_what_cannot_be_said_is_refused(store, web, sandbox):
    store.refused("attach", web, "relative/path", words="mount path must be absolute")
    store.refused("attach", web, f"type=bind,source={sandbox.path}/none,target=/x", words="bind source path does not exist")
    store.refused("attach", web, "data:/etc/conf", words="cannot mount volume over existing file, file exists /etc/conf")
    store.refused("detach", web, "/site", words="web has no volume at /site")
    store.refused("detach", web, "site", words="mount path must be absolute")
    store.refused("attach", web, f"{sandbox.path}:/etc/conf", words="cannot mount volume over existing file")
    assert rows(store, "shadow", web) == [] and not list((store.path / "volumes").iterdir())


def test_attaching_tells_what_is_hidden(store, web, host):
    assert "volume /site hides 6 files, 17B" in store.plyfs("attach", web, f"{host}:/site").stderr


def test_attaching_tells_that_a_socket_or_a_pipe_does_not_reach_the_host(store, web, host):
    os.mkfifo(host / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"{host}/socket")
        for name in ("pipe", "socket"):
            done = store.plyfs("attach", web, f"{host}/{name}:/run/{name}")
            assert f"{host}/{name} is a {name}: through /run/{name} nobody reaches" in done.stderr
    assert "nobody reaches" not in store.plyfs("attach", web, f"{host}/new:/run/new").stderr


def test_a_missing_bind_source_is_made_with_a_warning(store, web, sandbox):
    done = store.plyfs("attach", web, f"{sandbox.path}/a/b:/site")
    assert "was not there" in done.stderr and (sandbox.path / "a/b").is_dir()


def test_an_anonymous_volume_stays_after_a_detach(store, web):
    store.plyfs("attach", web, "/site")
    name, = os.listdir(store.path / "volumes")
    done = store.plyfs("detach", web, "/site")
    assert name in done.stderr and "stays" in done.stderr
    assert (store.path / "volumes" / name / "_data/same").read_text() == "same"
    assert rows(store, "shadow", web) == []


def test_the_shell_completes_mounts_and_the_destinations_of_their_volumes(store, web, host):
    store.plyfs("attach", web, f"{host}:/site")
    store.plyfs("attach", web, "data:/etc")
    for command in ("shadow", "ls", "cat", "attach", "detach"):
        assert complete(store, f"plyfs {command} w") == ["web"], command
    assert complete(store, "plyfs detach web /") == ["/etc", "/site"]
    assert complete(store, "plyfs ls --u") == ["--under"]


# ---- attach and detach, mounted -----------------------------------------------------------------

def test_a_volume_is_seen_as_soon_as_it_is_attached_and_what_it_hid_when_it_is_detached(store, web, host):
    at = store.mount(web)
    assert (at / "site/index").read_text() == "top index"
    store.plyfs("attach", web, f"{host}:/site")
    assert sorted(os.listdir(at / "site")) == ["index", "new", "same"]
    assert (at / "site/index").read_text() == "host index"
    (at / "site/index").write_text("written")
    assert (host / "index").read_text() == "written"
    assert store.plyfs("cat", "--under", web, "/site/index").stdout == "top index"
    assert states(store, web, "/site")["/site/index"] == "differs"
    store.plyfs("detach", web, "/site")
    assert (at / "site/index").read_text() == "top index" and not (at / "site/new").exists()
    store.plyfs("umount", web)
    assert store.diff(web) == []


def test_what_was_attached_is_there_at_the_next_mount(store, web, host):
    at = store.mount(web)
    store.plyfs("attach", web, f"{host}:/site:ro")
    store.plyfs("umount", web)
    store.mount(web, at)
    assert (at / "site/index").read_text() == "host index"
    with pytest.raises(OSError, match="Read-only"):
        (at / "site/index").write_text("written")
    store.plyfs("umount", web)


def test_who_is_in_a_volume_is_named_when_it_cannot_be_detached(store, web, host):
    at = store.mount(web)
    store.plyfs("attach", web, f"{host}:/site")
    with open(at / "site/index") as held:
        done = store.refused("detach", web, "/site", words="cannot detach /site from web")
        assert f"({os.getpid()})" in done.stderr and "--lazy" in done.stderr
        assert (at / "site/index").read_text() == "host index" and len(rows(store, "shadow", web)) == 1
        store.plyfs("detach", "--lazy", web, "/site")
        assert (at / "site/index").read_text() == "top index"
        assert held.read() == "host index"
    assert rows(store, "shadow", web) == []
    store.plyfs("umount", web)


def test_what_the_daemon_cannot_show_leaves_nothing_behind(store, web):
    store.mount(web)
    store.refused("attach", web, "type=image,source=none,target=/img", words="none: no such image")
    options = "volume-nocopy,volume-opt=type=nosuchtype,volume-opt=device=none"
    store.refused("attach", web, f"type=volume,source=data,target=/data,{options}", words="cannot attach /data to web")
    assert rows(store, "shadow", web) == [] and not list((store.path / "volumes").iterdir())
    store.plyfs("umount", web)


def test_a_volume_that_is_attached_live_is_filled_with_what_it_hides(store, web):
    at = store.mount(web)
    (at / "site/made").write_text("made")
    store.plyfs("attach", web, "data:/site")
    assert (at / "site/index").read_text() == "top index" and (at / "site/made").read_text() == "made"
    (at / "site/more").write_text("more")
    assert (store.path / "volumes/data/_data/more").read_text() == "more"
    store.plyfs("detach", web, "/site")
    assert not (at / "site/more").exists() and (at / "site/made").exists()
    store.plyfs("umount", web)


def test_a_tmpfs_comes_and_goes(store, web):
    at = store.mount(web)
    store.plyfs("attach", web, "type=tmpfs,target=/scratch")
    (at / "scratch/file").write_text("file")
    store.plyfs("detach", web, "/scratch")
    assert not (at / "scratch").exists()
    store.plyfs("umount", web)
    assert store.diff(web) == []


# ---- what no layer has --------------------------------------------------------------------------

def listed_alike(store, web, at, *paths):
    """ls tells of each directory what the mount shows: names, modes, owners and links."""
    for path in paths:
        told = {row["Name"]: (row["Mode"], row["Uid"], row["Gid"], row["Target"]) for row in rows(store, "ls", web, path)}
        seen = {}
        for name in os.listdir(f"{at}{path}"):
            status = os.lstat(f"{at}{path}/{name}")
            seen[name] = (stat.filemode(status.st_mode), status.st_uid, status.st_gid,
                          os.readlink(f"{at}{path}/{name}") if stat.S_ISLNK(status.st_mode) else None)
        assert told == seen, path


def test_mountpoints_that_no_layer_has_are_listed_as_the_mount_shows_them(store, web, host, sandbox):
    inner = sandbox.directory("inner")
    os.chmod(inner, 0o2750)
    (host / "sub").mkdir()
    for volume in (f"{host}:/srv/new/data", f"{inner}:/site/fresh", f"{inner}:/srv/new/data/in/ner",
                   "type=tmpfs,target=/scratch,tmpfs-mode=1770", f"{host}/same:/etc/added", "data:/www/sub/vol"):
        store.plyfs("attach", web, volume)
    at = store.mount(web)
    listed_alike(store, web, at, "/", "/srv", "/srv/new", "/srv/new/data", "/srv/new/data/in", "/site", "/site/sub",
                 "/etc", "/site/fresh")
    layer = {row["Name"]: row["Layer"] for row in rows(store, "ls", web, "/")}
    assert (layer["etc"], layer["srv"], layer["scratch"]) == ("1", "none", "host")
    assert names(store, "--under", web, "/") == ["etc", "site", "www"]
    store.refused("ls", "--under", web, "/srv", words="there is no such file")
    store.refused("cat", web, "/srv/new", words="Is a directory")
    store.refused("ls", web, "/srv/none", words="there is no such file")
    store.plyfs("expect", web, "present", "/srv/new", "from-layer", "host", "/srv/new/data", "absent", "/srv/none")
    assert store.plyfs("explain", "--format", "{{.Verdict.State}}", web, "/srv/new").stdout.strip() == "visible"


def test_a_volume_in_a_volume_is_where_it_is_said_whatever_link_the_layers_have_there(store, web, host, sandbox):
    top, inner = sandbox.directory("more"), sandbox.directory("inner")
    (top / "site").mkdir()
    (top / "site/way").symlink_to("/etc")
    (inner / "file").write_text("inner")
    (host / "way").mkdir()
    store.plyfs("create", "--name", "links", "--lower", top, "--lower", sandbox.path / "base")
    store.plyfs("attach", "links", f"{host}:/site")
    store.plyfs("attach", "links", f"{inner}:/site/way")
    listed_alike(store, "links", store.mount("links"), "/", "/etc", "/site", "/site/way")
    assert store.plyfs("cat", "links", "/etc/conf", "/site/way/file").stdout == "confinner"
    assert store.plyfs("explain", "--format", "{{.Verdict.State}}", "links", "/etc/conf").stdout == "visible\n"
    store.plyfs("expect", "links", "from-layer", "1", "/etc/conf", "from-layer", "host", "/site/way/file")
    store.refused("expect", "links", "shadowed", "/etc/conf", words="no volume covers it")


def test_a_mountpoint_that_a_layer_has_is_listed_as_what_lies_over_it(store, web, host):
    os.chmod(host, 0o711)
    store.plyfs("attach", web, f"{host}:/site")
    store.plyfs("attach", web, f"{host}/index:/etc/conf")
    listed_alike(store, web, store.mount(web), "/", "/etc", "/site")
    site, = (row for row in rows(store, "ls", web, "/") if row["Name"] == "site")
    conf, = rows(store, "ls", web, "/etc")
    assert (site["Mode"], site["Layer"], conf["Size"], conf["Layer"]) == ("drwx--x--x", "host", 10, "host")
    under, = (row for row in rows(store, "ls", "--under", web, "/") if row["Name"] == "site")
    assert under["Layer"] == "2"
