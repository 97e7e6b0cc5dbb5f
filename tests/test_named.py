# SPDX-License-Identifier: MIT
"""Named mounts: made, mounted, looked at, changed, unmounted, removed; and what their diff says."""
import json
import os
import pathlib
import pty
import pwd
import random
import shutil
import signal
import stat
import subprocess

import pytest

from harness import PLYFS, is_mounted, need, need_root, need_tool, run
from storekit import Store, change_at_random, facts, wait_for


@pytest.fixture
def layers(sandbox):
    """Two directories: "top" over "base"."""
    top, base = sandbox.directory("top"), sandbox.directory("base")
    for path, text in ((base / "etc/a", "base a"), (base / "etc/b", "base b"), (base / "usr/x", "x"),
                       (base / "usr/lib/deep/file", "deep"), (top / "etc/a", "top a"), (top / "new", "n")):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    sandbox.guard(top, base)
    return [top, base]


def lowers(layers):
    return [word for layer in layers for word in ("--lower", layer)]


def test_a_named_mount_keeps_its_changes_from_one_mount_to_the_next(store, layers):
    assert store.plyfs("create", "--name", "web", *lowers(layers)).stdout == "web\n"
    at = store.mount("web")
    assert (at / "etc/a").read_text() == "top a"
    (at / "etc/b").write_text("changed")
    store.plyfs("umount", "web")
    assert not is_mounted(at)
    assert (store.mount("web") / "etc/b").read_text() == "changed"
    store.plyfs("umount", "web")


def test_a_mount_is_found_by_every_path_of_its_mountpoint(store, layers):
    store.plyfs("create", "--name", "web", *lowers(layers))
    at = store.mount("web")
    (at / "made").write_text("made")
    link = at.parent / "link"
    link.symlink_to(at.name)
    for word in (at, f"{at}/", f"./{at.name}", f"{at.parent}/./{at.name}", link):
        assert store.plyfs("diff", word, cwd=at.parent).stdout == "A /made\n", word
        assert json.loads(store.plyfs("inspect", word, cwd=at.parent).stdout)[0]["Name"] == "web"
    store.refused("inspect", f"{at}/etc", words="no such mount")
    store.plyfs("rm", "-f", f"{link}/")
    assert store.state("web") is None


def test_a_name_unmounts_nothing_that_is_seen_in_its_place(store, layers):
    need_root()
    store.plyfs("create", "--name", "web", *lowers(layers))
    at = store.mount("web")
    run("mount", "-t", "tmpfs", "over", at)
    store.watched.append(at)
    (at / "kept").write_text("kept")
    store.refused("umount", "web", words="it is not what is seen at")
    store.refused("rm", "-f", "web", words="it is not what is seen at")
    assert (at / "kept").read_text() == "kept" and store.state("web") == "mounted"
    store.plyfs("umount", at)  # a path means what is seen there
    assert not (at / "kept").exists() and (at / "etc/a").read_text() == "top a"
    store.plyfs("umount", "web")
    assert not is_mounted(at)


def test_a_name_unmounts_nothing_in_a_mount_namespace_that_does_not_see_it(store, layers):
    need_root()
    at = store.sandbox.directory("mnt")
    store.plyfs("create", "--name", "web", *lowers(layers))
    inside = subprocess.Popen(
        ["unshare", "-m", "--propagation", "private", "sh", "-c", f"{PLYFS} mount web {at} && echo up && read end; "
         f"{PLYFS} umount web"], env={**os.environ, "PLYFS_ROOT": str(store.path)}, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True)
    assert inside.stdout.readline() == "up\n"
    run("mount", "-t", "tmpfs", "other", at)
    store.watched.append(at)
    store.refused("umount", "web", words="it is not what is seen at")
    store.refused("rm", "-f", "web", words="it is not what is seen at")
    assert is_mounted(at) and store.state("web") == "mounted"
    inside.communicate("\n")
    assert inside.returncode == 0 and store.state("web") == "unmounted"


def test_who_removes_what_another_just_removed_is_told_or_content(store, layers):
    def remove(*words):
        return subprocess.Popen([PLYFS, "rm", *words, "web"], env={**os.environ, "PLYFS_ROOT": str(store.path)},
                                stderr=subprocess.PIPE, text=True)

    for _ in range(25):
        store.plyfs("create", "--name", "web", *lowers(layers))
        at_once = [remove(*words) for words in ((), (), (), ("-f",), ("-f",), ("-f",))]
        words = [one.communicate()[1] for one in at_once]
        for one, said in zip(at_once, words):
            assert bool(said) == (one.returncode != 0), words
            assert not said or "no such mount" in said or "it is mounted" in said, words
        assert not any(said for said in words[3:]), words


def test_removing_and_creating_again_starts_from_the_layers(store, layers):
    for _ in range(2):
        store.plyfs("create", "--name", "web", *lowers(layers))
        at = store.mount("web")
        assert not (at / "made").exists()
        (at / "made").write_text("made")
        store.plyfs("umount", "web")
        store.plyfs("rm", "web")
    assert not list((store.path / "mounts").iterdir())


def test_the_root_looks_as_the_topmost_layer_says(store, layers):
    os.chmod(layers[0], 0o2750)
    store.sandbox.regard(*layers)
    store.plyfs("create", "--name", "web", *lowers(layers))
    at = store.mount("web")
    assert stat.S_IMODE(os.stat(at).st_mode) == 0o2750
    assert os.stat(at).st_mtime_ns == os.stat(layers[0]).st_mtime_ns
    store.plyfs("umount", "web")


def test_states_are_told(store, layers):
    store.plyfs("create", "--name", "web", *lowers(layers))
    assert store.state("web") == "created"
    assert store.listed() == []
    at = store.mount("web")
    line, = store.listed()
    assert line["State"] == "mounted" and line["Mountpoint"] == str(at) and line["MountedAt"]
    store.plyfs("umount", "web")
    assert store.state("web") == "unmounted"


def test_a_mount_whose_daemon_was_killed_is_dead_and_mounts_again(store, layers):
    store.plyfs("create", "--name", "web", *lowers(layers))
    at = store.mount("web")
    (at / "kept").write_text("kept")
    pid = json.loads(store.plyfs("inspect", "web").stdout)[0]["Pid"]
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: store.state("web") == "dead", "the mount is dead")
    store.plyfs("umount", "web")
    assert (store.mount("web") / "kept").read_text() == "kept"
    store.plyfs("umount", "web")


def test_what_is_mounted_is_not_mounted_twice(store, layers):
    store.plyfs("create", "--name", "web", *lowers(layers))
    at = store.mount("web")
    store.refused("mount", "web", store.sandbox.directory("other"), words=f"mounted on {at} already")
    assert store.state("web") == "mounted"
    store.plyfs("umount", "web")


def test_removing_what_is_mounted_needs_force(store, layers):
    store.plyfs("create", "--name", "web", *lowers(layers))
    at = store.mount("web")
    store.refused("rm", "web", words="it is mounted on")
    assert is_mounted(at)
    store.plyfs("rm", "-f", "web")
    assert not is_mounted(at) and store.listed("-a") == []
    assert not list((store.path / "mounts").iterdir())


def test_removal_goes_on_after_an_error(store, layers):
    for name in ("one", "two"):
        store.plyfs("create", "--name", name, *lowers(layers))
    done = store.refused("rm", "one", "missing", "two", words="no such mount: missing")
    assert done.returncode == 1 and store.listed("-a") == []
    store.plyfs("rm", "-f", "missing")


def test_names_are_unique_and_checked(store, layers):
    store.plyfs("create", "--name", "web", *lowers(layers))
    store.refused("create", "--name", "web", *lowers(layers), words="the name web is taken")
    store.refused("create", "--name", "a/b", *lowers(layers), words="no name for a mount")
    store.refused("create", "--name", "", *lowers(layers), words="no name for a mount")
    assert len(list((store.path / "mounts").iterdir())) == 1


def test_a_mount_is_found_by_the_beginning_of_its_id_and_by_its_mountpoint(store, layers):
    name = store.plyfs("create", *lowers(layers)).stdout.strip()
    id, = store.plyfs("ps", "-aq", "--no-trunc").stdout.split()
    assert len(id) == 64 and id.startswith(name)
    at = store.mount(id[:5])
    assert store.plyfs("inspect", "--format", "{{.Id}}", at).stdout.strip() == id
    store.plyfs("umount", at)
    assert store.state(name) == "unmounted"


def test_a_directory_that_is_said_without_a_slash_is_unmounted_with_its_daemon(store, layers):
    """When it returns the mount can be removed: its daemon has ended. A name comes first."""
    at = store.sandbox.directory("tree")
    for _ in range(10):
        store.plyfs("create", "--name", "web", *lowers(layers))
        store.mount("web", at)
        store.plyfs("umount", "tree", cwd=at.parent)
        store.plyfs("rm", "web")
    store.plyfs("create", "--name", "web", *lowers(layers))
    store.plyfs("create", "--name", "tree", *lowers(layers))
    store.mount("web", at)
    store.refused("umount", "tree", words="tree is not mounted")
    store.plyfs("umount", at)


@pytest.mark.parametrize("kind", ["layer", "image"])
def test_of_what_somebody_else_removes_first_it_is_told_that_it_is_not_there(store, sandbox, kind):
    for number in range(24):
        content = sandbox.directory(f"content{number}")
        (content / "file").write_text(f"{kind} {number}")
        archive = sandbox.path / f"{number}.tar"
        run("tar", "cf", archive, "-C", content, ".")
        words = ("--name", f"n{number}", archive) if kind == "layer" else (f"n{number}", archive)
        store.plyfs(kind, "import", *words)
    done = store.at_once(kind, "rm", *(f"n{number}" for number in range(24)))
    missing = {f"plyfs: n{number}: no such {kind}; plyfs {kind} ls lists those there are" for number in range(24)}
    assert {line for _, said, _ in done for line in said.splitlines()} <= missing
    assert store.plyfs(kind, "ls", "-q").stdout == "" and not list((store.path / "layers").iterdir())


def test_a_mount_is_renamed_while_it_is_in_use(store, layers):
    store.plyfs("create", "--name", "web", *lowers(layers))
    store.plyfs("create", "--name", "other", *lowers(layers))
    at = store.mount("web")
    store.plyfs("rename", "web", "shop")
    store.refused("rename", "shop", "other", words="the name other is taken")
    assert is_mounted(at) and store.state("shop") == "mounted" and store.state("web") is None
    store.plyfs("umount", "shop")


def test_options_are_kept_for_every_mount(store, layers):
    store.plyfs("create", "--name", "web", "-o", "ro,profile=stateless", *lowers(layers))
    at = store.mount("web")
    with pytest.raises(OSError, match="Read-only"):
        (at / "x").write_text("x")
    store.plyfs("umount", "web")
    store.refused("create", "--name", "bad", "-o", "nonsense=1", *lowers(layers), words="nonsense")
    store.refused("create", "--name", "bad", "-o", "upperdir=/tmp", *lowers(layers), words="its upper is its own")


def test_a_mount_that_fails_leaves_nothing_behind(store, layers):
    store.plyfs("create", "--name", "web", *lowers(layers))
    store.refused("mount", "web", store.sandbox.path / "missing", words="missing")
    assert store.state("web") in ("created", "unmounted")
    store.plyfs("rm", "web")


def test_without_a_store_the_message_says_so(store):
    store.refused("mount", "web", store.sandbox.directory("mnt"), words="there is no store in")
    store.refused("diff", "web", words="there is no store in")
    assert not store.path.exists()


def test_a_store_of_the_future_keeps_nothing_mounted(store, layers):
    store.plyfs("create", "--name", "web", *lowers(layers))
    at = store.sandbox.directory("mnt")
    store.watched.append(at)
    store.plyfs("mount", *lowers(layers), at)
    run("sqlite3", store.path / "catalog.db", "PRAGMA user_version = 99")
    store.refused("ps", words="newer")
    store.plyfs("umount", at)
    assert not is_mounted(at)


def test_inspect_tells_what_it_found_and_fails_for_the_rest(store, layers):
    store.plyfs("create", "--name", "web", *lowers(layers))
    done = store.refused("inspect", "web", "missing", words="no such mount: missing")
    found, = json.loads(done.stdout)
    assert found["Layers"] == [str(layer) for layer in layers]
    assert pathlib.Path(found["UpperDir"]).is_dir() and pathlib.Path(found["WorkDir"]).is_dir()
    assert json.loads(store.plyfs("inspect", "missing", check=False).stdout) == []


def test_the_size_is_that_of_the_upper(store, layers):
    store.plyfs("create", "--name", "web", *lowers(layers))
    at = store.mount("web")
    (at / "big").write_bytes(b"x" * 100_000)
    os.link(at / "big", at / "again")
    store.plyfs("umount", "web")
    assert store.listed("-a")[0]["Size"] == 100_000


def test_the_size_of_the_upper_is_what_it_holds(store, layers):
    """Neither holes nor what a copy of metadata alone leaves in the layers."""
    (layers[0] / "large").write_bytes(b"x" * 500_000)
    store.sandbox.regard(layers[0])
    store.plyfs("create", "--name", "web", *lowers(layers))
    at = store.mount("web")
    os.chmod(at / "large", 0o600)
    with open(at / "sparse", "wb") as file:
        file.truncate(10_000_000)
    (at / "new").write_bytes(b"y" * 70)
    store.plyfs("umount", "web")
    assert store.listed("-a")[0]["Size"] == 70
    layers_told = json.loads(store.plyfs("report", "--json", "web").stdout)["Layers"]
    assert layers_told[0]["Size"] == 70 and max(layer["Size"] for layer in layers_told) >= 500_000


def test_a_filter_by_a_word_means_all_of_it(store, layers):
    """Who unmounts what is mounted is not to be told of what is unmounted."""
    for name in ("one", "two"):
        store.plyfs("create", "--name", name, *lowers(layers))
        at = store.mount(name, store.sandbox.directory(name))
    store.plyfs("umount", "one")
    assert [mount["Name"] for mount in store.listed("-a", "-f", "state=mounted")] == ["two"]
    assert [mount["Name"] for mount in store.listed("-a", "-f", "state=unmounted")] == ["one"]
    assert [mount["Name"] for mount in store.listed("-a", "-f", "name=w")] == ["two"], "of a name a part is enough"
    os.link(at / "etc/b", at / "etc/link")
    os.unlink(at / "etc/a")
    told = store.plyfs("copyups", "--all", "--json", "-f", "cause=link", "two").stdout.splitlines()
    assert {json.loads(line)["Path"] for line in told} == {"/etc", "/etc/b"}


# ---- diff ---------------------------------------------------------------------------------------

def test_diff_tells_added_changed_and_deleted(store, layers):
    store.plyfs("create", "--name", "web", *lowers(layers))
    at = store.mount("web")
    (at / "etc/b").write_text("changed")
    (at / "usr/x").unlink()
    (at / "made").mkdir()
    (at / "made/file").write_text("made")
    expected = ["C /etc", "C /etc/b", "A /made", "A /made/file", "C /usr", "D /usr/x"]
    assert store.diff("web") == expected
    store.plyfs("umount", "web")
    assert store.diff("web") == expected


def test_diff_of_an_untouched_mount_is_empty(store, layers):
    store.plyfs("create", "--name", "web", *lowers(layers))
    assert store.diff("web") == []
    at = store.mount("web")
    for path in sorted(at.rglob("*")):
        path.is_file() and path.read_bytes()
    store.plyfs("umount", "web")
    assert store.diff("web") == []


def test_diff_of_a_change_deep_down_has_every_directory_on_its_way(store, layers):
    store.plyfs("create", "--name", "web", *lowers(layers))
    at = store.mount("web")
    os.chmod(at / "usr/lib/deep/file", 0o600)
    store.plyfs("umount", "web")
    assert store.diff("web") == ["C /usr", "C /usr/lib", "C /usr/lib/deep", "C /usr/lib/deep/file"]


def test_diff_tells_every_name_of_a_changed_inode(store, layers):
    os.link(layers[1] / "usr/x", layers[1] / "usr/lib/other")
    store.sandbox.regard(*layers)
    store.plyfs("create", "--name", "web", *lowers(layers))
    at = store.mount("web")
    (at / "usr/x").write_text("changed")
    assert (at / "usr/lib/other").read_text() == "changed"
    assert store.diff("web") == ["C /usr", "C /usr/lib", "C /usr/lib/other", "C /usr/x"]
    os.unlink(at / "usr/lib/other")
    assert store.diff("web") == ["C /usr", "C /usr/lib", "D /usr/lib/other", "C /usr/x"]
    store.plyfs("umount", "web")


def test_diff_of_a_renamed_directory_is_a_removal_and_an_addition(store, layers):
    store.plyfs("create", "--name", "web", *lowers(layers))
    at = store.mount("web")
    os.rename(at / "usr", at / "opt")
    store.plyfs("umount", "web")
    assert store.diff("web") == ["A /opt", "A /opt/lib", "A /opt/lib/deep", "A /opt/lib/deep/file",
                                 "A /opt/x", "D /usr"]


@pytest.mark.parametrize("seed", range(3))
def test_diff_of_a_mount_without_a_name_is_that_of_a_named_one(store, layers, seed):
    store.plyfs("create", "--name", "web", *lowers(layers))
    named, union = store.mount("web"), store.sandbox.plyfs(layers, *map(store.sandbox.directory, ("upper", "work")))
    with union as nameless:
        assert store.diff(nameless / "etc") == []
        for at in (named, nameless.at):
            change_at_random(at, random.Random(seed), 60)
        assert store.diff(nameless / ".") == store.diff("web") != []
    store.refused("diff", nameless / ".", words="no such mount")
    store.plyfs("umount", "web")


def test_a_mount_that_nothing_can_be_changed_in_has_no_diff(store, layers):
    with store.sandbox.plyfs(layers) as mount:
        assert store.diff(mount / ".") == []


def expected_diff(before, after):
    """By comparing everything: what the diff must say at least, and no more than copy-ups beyond."""
    deleted = {p for p in before if p not in after}
    lines = {("D", p) for p in deleted if os.path.dirname(p) not in deleted}
    lines |= {("A", p) for p in after if p not in before}
    lines |= {("C", p) for p in after if p in before and before[p] != after[p]}
    for _, path in list(lines):
        while path := os.path.dirname(path):
            if path in before and path in after:
                lines.add(("C", path))
    return lines


@pytest.mark.parametrize("seed", range(8))
def test_diff_is_what_a_comparison_of_everything_says(store, layers, seed):
    rng = random.Random(seed)
    for layer in layers:
        for i in range(30):
            path = layer / "/".join(rng.choice("abc") for _ in range(rng.randint(1, 3))) / f"file{i % 12}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{layer.name} {i}")
    store.sandbox.regard(*layers)
    store.plyfs("create", "--name", "web", *lowers(layers))
    at = store.mount("web")
    before = facts(at)
    change_at_random(at, rng, 60)
    after = facts(at)
    told = {(line[0], line[3:]) for line in store.diff("web")}
    expected = expected_diff(before, after)
    assert expected <= told, f"not told: {sorted(expected - told)}"
    for kind, path in told - expected:
        # A file that was copied up and is as before, and the directories on its way.
        assert kind == "C" and path in before and path in after, f"{kind} {path}"
    store.plyfs("umount", "web")


# ---- export -------------------------------------------------------------------------------------

def test_a_mount_in_which_the_store_is_seen_is_unmounted(store, sandbox):
    home, upper, at = (sandbox.directory(name) for name in ("home", "upper", "at"))
    store.plyfs("volume", "create", "kept", env={**os.environ, "PLYFS_ROOT": f"{home}/store"})
    store.plyfs("mount", "--lower", home, "--upper", upper, at)
    store.watched.append(at)
    store.plyfs("umount", at, env={**os.environ, "PLYFS_ROOT": f"{at}/store"})
    assert not is_mounted(at)


def test_export_is_the_whole_tree(store, layers):
    store.plyfs("create", "--name", "web", *lowers(layers))
    at = store.mount("web")
    (at / "etc/b").write_text("changed")
    os.rename(at / "usr", at / "opt")
    os.link(at / "new", at / "again")
    os.symlink("new", at / "link")
    os.mkfifo(at / "pipe")
    os.chmod(at / "etc", 0o2711)
    os.setxattr(at / "new", "user.colour", b"red")
    expected = facts(at)
    target = store.sandbox.directory("out")
    store.plyfs("export", "-o", store.sandbox.path / "web.tar", "web")
    run("tar", "-xpf", store.sandbox.path / "web.tar", "--xattrs", "-C", target)
    assert facts(target) == expected
    assert os.stat(target / "new").st_ino == os.stat(target / "again").st_ino
    assert os.getxattr(target / "new", "user.colour") == b"red"
    store.plyfs("umount", "web")
    store.plyfs("export", "-o", store.sandbox.path / "later.tar", "web")
    assert (store.sandbox.path / "later.tar").read_bytes() == (store.sandbox.path / "web.tar").read_bytes()


def test_an_export_into_the_mount_itself_leaves_itself_out(store, layers):
    store.plyfs("create", "--name", "web", *lowers(layers))
    at = store.mount("web")
    store.plyfs("export", "-o", store.sandbox.path / "before.tar", "web")
    for _ in range(2):
        store.plyfs("export", "-o", at / "etc/web.tar", "web")
        expected = run("tar", "tf", store.sandbox.path / "before.tar").stdout.splitlines()
        assert run("tar", "tf", at / "etc/web.tar").stdout.splitlines() == expected
        os.unlink(at / "etc/web.tar")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_export_that_is_interrupted_leaves_nothing(store, sandbox, how):
    big, out = sandbox.directory("big"), sandbox.directory("out")
    with open(big / "file", "wb") as file:
        file.truncate(1 << 36)
    store.plyfs("create", "--name", "big", "--lower", big)
    with subprocess.Popen([PLYFS, "export", "-o", out / "big.tar", "big"],
                          env={**os.environ, "PLYFS_ROOT": str(store.path)}) as running:
        files = pathlib.Path(f"/proc/{running.pid}/fd")
        wait_for(lambda: any(os.readlink(fd).startswith(f"{out}/") for fd in files.iterdir()), "it writes")
        running.send_signal(how)
        assert running.wait(60) == -how
    assert os.listdir(out) == []


def test_export_that_fails_leaves_no_file(store, layers):
    store.plyfs("create", "--name", "web", *lowers(layers))
    target = store.sandbox.path / "missing" / "web.tar"
    store.refused("export", "-o", target, "web", words="cannot write")
    store.refused("export", "-o", store.sandbox.path / "web.tar", "nobody", words="no such mount")
    assert not (store.sandbox.path / "web.tar").exists()
    store.refused("export", "-o", "/dev/full", "web", words="No space left")


# ---- prune --------------------------------------------------------------------------------------

def kill_daemon(store, name):
    pid = json.loads(store.plyfs("inspect", name).stdout)[0]["Pid"]
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: store.state(name) == "dead", f"{name} is dead")


def test_prune_clears_dead_mountpoints_and_asks_first(store, layers):
    store.plyfs("create", "--name", "web", *lowers(layers))
    at = store.mount("web")
    (at / "kept").write_text("kept")
    kill_daemon(store, "web")
    done = store.plyfs("prune")
    assert "its daemon died" in done.stdout
    assert is_mounted(at) and store.state("web") == "dead", "nobody said yes"
    store.plyfs("prune", "-f")
    assert not is_mounted(at) and store.state("web") == "unmounted"
    assert store.plyfs("prune", "-f").stdout == ""
    assert (store.mount("web") / "kept").read_text() == "kept"
    store.plyfs("umount", "web")


def test_a_dead_mount_is_removed_with_its_mountpoint(store, layers):
    store.plyfs("create", "--name", "web", *lowers(layers))
    at = store.mount("web")
    kill_daemon(store, "web")
    store.plyfs("rm", "web")
    assert not is_mounted(at) and store.listed("-a") == []


def test_prune_tells_how_much_it_gave_back(store, layers):
    store.plyfs("create", "--name", "web", *lowers(layers))
    rubbish = store.path / "layers" / ("1" * 64)
    rubbish.mkdir()
    (rubbish / "big").write_bytes(b"x" * 1_200)
    assert store.plyfs("prune", "-f").stdout.splitlines()[-1] == "Total reclaimed space: 1.2kB"
    assert not rubbish.exists()


def test_prune_leaves_what_is_alive_alone(store, layers):
    store.plyfs("create", "--name", "web", *lowers(layers))
    at = store.mount("web")
    store.plyfs("prune", "-f")
    assert is_mounted(at) and store.state("web") == "mounted"
    store.plyfs("umount", "web")


# ---- doctor -------------------------------------------------------------------------------------

def test_doctor_finds_nothing_in_a_healthy_store(store, layers):
    store.plyfs("create", "--name", "web", *lowers(layers))
    at = store.mount("web")
    assert store.plyfs("doctor").stdout == ""
    store.plyfs("umount", at)
    assert store.plyfs("doctor", "--layers").stdout == ""


def test_doctor_tells_what_does_not_fit_and_mends_it(store, layers):
    store.plyfs("create", "--name", "web", *lowers(layers))
    store.plyfs("create", "--name", "lost", *lowers(layers))
    lost, = store.plyfs("inspect", "--format", "{{.Id}}", "lost").stdout.split()
    run("rm", "-rf", store.path / "mounts" / lost)
    unknown = store.path / "mounts" / ("0" * 64)
    unknown.mkdir()
    (unknown / "upper").mkdir()
    rubbish = store.path / "layers" / ("1" * 64)
    rubbish.mkdir()
    done = store.plyfs("doctor", check=False)
    assert done.returncode == 1
    assert sorted(line.partition(" ")[0] for line in done.stdout.splitlines()) == sorted(
        [lost, unknown.name, rubbish.name])
    assert unknown.exists() and rubbish.exists(), "without --repair nothing is changed"
    assert store.plyfs("doctor", "--repair").stdout.count("mended") == 3
    assert not unknown.exists() and not rubbish.exists()
    assert [line["Name"] for line in store.listed("-a")] == ["web"]
    assert store.plyfs("doctor").stdout == ""


def test_doctor_without_a_store_cannot_tell(store):
    assert store.refused("doctor", words="there is no store in").returncode == 2


# ---- a standard output that takes nothing -------------------------------------------------------

@pytest.mark.parametrize("argv", [
    ("--version",), ("--help",), ("create", "--help"), ("create", "base"), ("commit", "web", "web:2"),
    ("ps", "-a"), ("inspect", "web"), ("diff", "web"), ("prune", "-f"), ("doctor",), ("volume", "create"),
    ("volume", "clone", "data", "copy"), ("volume", "rm", "data"), ("volume", "prune", "-f"), ("layer", "ls")],
    ids="-".join)
def test_what_cannot_be_written_to_stdout_is_told_once_and_a_failure(store, layers, argv):
    archive = store.sandbox.path / "base.tar"
    run("tar", "-cf", archive, "-C", layers[0], ".")
    store.plyfs("image", "import", "base", archive)
    store.plyfs("create", "--name", "web", "base")
    store.plyfs("volume", "create", "data")
    identity, = store.plyfs("inspect", "--format", "{{.Id}}", "web").stdout.split()
    (store.path / "mounts" / identity / "upper" / "new").write_text("new")
    (store.path / "stage" / "left").mkdir()
    with open("/dev/full", "wb") as full:
        done = subprocess.run([store.program, *argv], env={**os.environ, "PLYFS_ROOT": str(store.path)}, check=False,
                              stdin=subprocess.DEVNULL, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 1 and done.stderr.count("could not be written to stdout") == 1, done


def test_that_stdout_is_full_is_not_told_of_the_file(store, layers):
    store.plyfs("create", "--name", "web", *lowers(layers))
    with open("/dev/full", "wb") as full:
        done = subprocess.run([store.program, "cat", "web", "/etc/a", "/etc/b"], check=False, stdout=full, text=True,
                              env={**os.environ, "PLYFS_ROOT": str(store.path)}, stderr=subprocess.PIPE, timeout=60)
    assert (done.returncode, done.stderr) == (1, "plyfs: cat: cannot write to stdout: No space left on device\n")


def on_a_terminal(store, *argv):
    leader, follower = pty.openpty()
    with os.fdopen(leader, "rb") as terminal:
        done = subprocess.run([store.program, *argv], env={**os.environ, "PLYFS_ROOT": str(store.path)}, check=False,
                              stdin=subprocess.DEVNULL, stdout=follower, timeout=60)
        os.close(follower)
        assert done.returncode == 0
        return os.read(terminal.fileno(), 65536).decode()


def test_a_name_that_was_made_in_a_mount_moves_no_cursor(store, layers):
    """To a program the bytes of a path are told as they are."""
    store.plyfs("create", "--name", "web", *lowers(layers))
    at = store.mount("web")
    (at / "\x1b]0;title\x07").write_text("new")
    assert on_a_terminal(store, "diff", "web") == "A /\\x1b]0;title\\x07\r\n"
    assert store.diff("web") == ["A /\x1b]0;title\x07"]
    old, new = (store.plyfs("layer", "import", layer).stdout.strip() for layer in (layers[1], at))
    assert "A /\\x1b]0;title\\x07\r\n" in on_a_terminal(store, "layer", "diff", old, new)
    assert "A /\x1b]0;title\x07" in store.plyfs("layer", "diff", old, new).stdout.splitlines()
    store.plyfs("umount", "web")


def with_closed(store, number, *argv):
    """What the shell's N>&- leaves a program with."""
    return subprocess.run(["sh", "-c", f'exec "$@" {number}>&-', "sh", store.program, *map(str, argv)], check=False,
                          env={**os.environ, "PLYFS_ROOT": str(store.path)}, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("argv", [("--version",), ("ps", "-a"), ("cat", "web", "/etc/a"), ("export", "web"),
                                  ("volume", "create")], ids="-".join)
def test_a_stdout_that_is_closed_takes_nothing(store, layers, argv):
    store.plyfs("create", "--name", "web", *lowers(layers))
    done = with_closed(store, 1, *argv)
    assert done.returncode == 1 and "plyfs: " in done.stderr, done


def test_what_tells_nothing_needs_no_standard_streams(store, layers):
    store.plyfs("create", "--name", "web", *lowers(layers))
    at = store.sandbox.directory("mnt")
    store.watched.append(at)
    for number in range(3):
        assert with_closed(store, number, "mount", "web", at).returncode == 0 and is_mounted(at)
        assert with_closed(store, number, "umount", "web").returncode == 0
    assert "Bad file descriptor" in with_closed(store, 0, "layer", "import", "-").stderr


# ---- an ordinary user ---------------------------------------------------------------------------

@pytest.fixture
def guest(sandbox):
    """A store of nobody's own; /dev/fuse is open to all meanwhile."""
    need_root()
    need_tool("fusermount3")
    need(os.stat(shutil.which("fusermount3")).st_mode & stat.S_ISUID, "fusermount3 is not setuid")
    nobody = pwd.getpwnam("nobody")
    store = Store(sandbox)
    store.who = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": [], "cwd": "/"}
    store.program = shutil.copy(PLYFS, sandbox.path / "plyfs")
    home = sandbox.directory("home")
    os.chown(home, nobody.pw_uid, nobody.pw_gid)
    store.path = home / "store"
    before = stat.S_IMODE(os.stat("/dev/fuse").st_mode)
    os.chmod("/dev/fuse", 0o666)
    yield store
    store.close()
    os.chmod("/dev/fuse", before)


def test_an_ordinary_user_has_named_mounts_of_their_own(guest, layers):
    guest.plyfs("create", "--name", "web", *lowers(layers))
    assert stat.S_IMODE(os.stat(guest.path).st_mode) == 0o700
    at = guest.path.parent / "mnt"
    at.mkdir()
    os.chown(at, guest.who["user"], guest.who["group"])
    guest.watched.append(at)
    guest.plyfs("mount", "web", at)
    run("touch", at / "made", **guest.who)
    run("rm", at / "etc/b", check=False, **guest.who)
    assert guest.state("web") == "mounted"
    assert guest.diff("web") == ["A /made"], "what root owns is not theirs to change"
    guest.plyfs("umount", "web")
    assert guest.state("web") == "unmounted" and guest.diff("web") == ["A /made"]
    guest.plyfs("rm", "web")
    assert guest.plyfs("doctor").stdout == ""
