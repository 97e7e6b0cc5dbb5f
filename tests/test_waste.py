# SPDX-License-Identifier: MIT
"""What was copied up in vain: hand-made situations whose bytes are written out."""
import json
import os
import random

import pytest

from harness import need_root, run
from storekit import change_at_random
from test_layer import complete


class Web:
    """The mount "web" of one layer of files of known sizes."""

    def __init__(self, store, options=()):
        sandbox = store.sandbox
        self.store, self.lower = store, sandbox.directory("lower")
        for name, size in (("same", 100_000), ("touched", 50_000), ("mode", 30_000), ("attr", 20_000),
                           ("written", 10_000), ("longer", 8_000), ("cut", 5_000), ("alone", 70_000),
                           ("dir/renamed", 900), ("replaced", 600)):
            path = self.lower / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(os.urandom(size))
        os.symlink("same", self.lower / "link")
        os.link(self.lower / "alone", self.lower / "other")
        sandbox.guard(self.lower)
        argv = [word for option in options for word in ("-o", option)]
        store.plyfs("create", "--name", "web", "--lower", self.lower, *argv)
        self.at = store.mount("web", sandbox.directory("mnt"))

    def __truediv__(self, name):
        return self.at / name

    def waste(self, *argv):
        return json.loads(self.store.plyfs("waste", "--json", *argv, "web").stdout)

    def files(self):
        return {file["Path"]: (file["State"], file["Wasted"]) for file in self.waste()["Files"]}


@pytest.fixture
def full(store):
    """Without metacopy, so that every copy-up moves data."""
    return Web(store, ["metacopy=off", "profile=stateless"])


def keep_times(path, act):
    st = os.stat(path, follow_symlinks=False)
    act(path)
    os.utime(path, ns=(st.st_atime_ns, st.st_mtime_ns), follow_symlinks=False)


def rewrite(path):
    """The first byte over itself."""
    with open(path, "r+b") as file:
        byte = file.read(1)
        file.seek(0)
        file.write(byte)


def make_every_state(web):
    keep_times(web / "same", rewrite)
    os.utime(web / "touched", (1, 1))
    os.chmod(web / "mode", 0o600)
    keep_times(web / "attr", lambda path: os.setxattr(path, "user.x", b"y"))
    with open(web / "written", "r+b") as file:
        file.write(b"another")
    with open(web / "longer", "ab") as file:
        file.write(b"x" * 2000)
    os.truncate(web / "cut", 1000)
    keep_times(web / "link", lambda path: os.lchown(path, 0, 0))


def test_each_file_has_the_state_that_its_differences_make(full):
    make_every_state(full)
    assert full.files() == {
        "/same": ("identical", 100_000), "/touched": ("touched", 50_000), "/mode": ("metadata", 30_000),
        "/attr": ("metadata", 20_000), "/link": ("identical", 0)}
    totals = full.waste()["Totals"]
    assert totals["Identical"] == {"Files": 2, "Bytes": 100_000}
    assert totals["Touched"] == {"Files": 1, "Bytes": 50_000}
    assert totals["Metadata"] == {"Files": 2, "Bytes": 50_000}
    # What was written, made longer and cut: 10,000 and 8,000 + 2,000 and 1,000.
    assert totals["Changed"] == {"Files": 3, "Bytes": 21_000}
    assert totals["Wasted"] == 200_000


def test_what_metacopy_would_have_saved_is_what_metadata_moved(full):
    make_every_state(full)
    totals = full.waste()["Totals"]
    # utimens, chmod and setxattr moved 50,000 and 30,000 and 20,000; a write moved the 100,000 of "same".
    assert totals["MetacopySaves"] == 100_000
    # And besides those 200,000 what was written, made longer and cut: 10,000 and 8,000 and 1,000.
    assert totals["Moved"] == 219_000
    assert totals["ReflinkSaves"] == 219_000
    assert totals["Copyups"] == 8


def test_with_metacopy_nothing_is_held_for_metadata(store):
    web = Web(store, ["profile=stateless"])
    make_every_state(web)
    assert web.files() == {
        "/same": ("identical", 100_000), "/touched": ("touched", 0), "/mode": ("metadata", 0),
        "/attr": ("metadata", 0), "/link": ("identical", 0)}
    totals = web.waste()["Totals"]
    assert totals["MetacopySaves"] == 0 and totals["Moved"] == 119_000
    assert totals["Wasted"] == 100_000


def test_a_file_that_was_changed_after_its_metadata_saves_nothing(full):
    os.chmod(full / "written", 0o600)
    rewrite(full / "written")
    with open(full / "written", "r+b") as file:
        file.write(b"another")
    totals = full.waste()["Totals"]
    assert totals["MetacopySaves"] == 0 and totals["Moved"] == 10_000 and totals["Wasted"] == 0


def test_hard_links_are_one_file(full):
    os.chmod(full / "alone", 0o600)
    os.chmod(full / "other", 0o600)
    assert full.files() == {"/alone": ("metadata", 70_000)}
    assert full.waste()["Totals"]["Metadata"] == {"Files": 1, "Bytes": 70_000}


def test_a_hard_link_is_as_changed_as_the_most_changed_of_its_names(full):
    """What /same and /mode show is as before, and what is their inode's other name could not be shown without it."""
    keep_times(full / "same", rewrite)
    os.unlink(full / "touched")
    os.link(full / "same", full / "touched")
    os.utime(full / "mode", (1, 1))
    os.unlink(full / "longer")
    os.link(full / "mode", full / "longer")
    os.unlink(full / "written")
    (full / "written").write_bytes((full.lower / "written").read_bytes())
    os.chmod(full / "written", 0o600)
    assert full.files() == {"/written": ("metadata", 10_000)}
    assert full.waste()["Totals"]["Changed"] == {"Files": 2, "Bytes": 130_000}


@pytest.mark.parametrize("name", ["0-before-it", "zz-behind-it"])
def test_what_was_brought_up_for_a_new_hard_link_is_not_in_vain(full, name):
    os.link(full / "same", full / name)
    assert full.files() == {} and full.waste()["Totals"]["Changed"] == {"Files": 1, "Bytes": 100_000}
    os.unlink(full / name)
    assert full.files() == {"/same": ("identical", 100_000)}


@pytest.mark.parametrize("act", [lambda web: None, lambda web: os.unlink(web / "other")],
                         ids=["both there", "the one that it came up by gone"])
def test_whoever_brought_a_hard_link_by_any_of_its_names_is_told(full, act):
    run("chmod", "600", full / "other")
    run("touch", "-d", "@1", full / "alone")
    act(full)
    waste = full.waste()
    assert [(file["Path"], file["Moved"], file["Cause"]) for file in waste["Files"]] == [("/alone", 70_000, "chmod")]
    assert waste["Processes"] == [{"Process": "chmod", "Files": 1, "Wasted": 70_000}]
    assert waste["Totals"]["MetacopySaves"] == 70_000


def test_what_was_put_in_the_place_of_a_copy_is_nobodys(full):
    """As a package that is installed again does it: the same content, renamed over what somebody copied up."""
    os.chmod(full / "same", 0o600)
    (full / "new").write_bytes((full / "same").read_bytes())
    os.rename(full / "new", full / "same")
    waste = full.waste()
    assert [(file["Path"], file["Moved"], file["Cause"]) for file in waste["Files"]] == [("/same", None, None)]
    assert waste["Processes"] == [{"Process": "(no copy-up)", "Files": 1, "Wasted": 100_000}]
    assert waste["Totals"]["MetacopySaves"] == 0 and waste["Totals"]["Moved"] == 100_000


def test_a_hard_link_of_a_metacopy_is_compared_by_its_data(store):
    """What a layer has of the name may be a metacopy, which holds zeros."""
    need_root()
    base, top = store.sandbox.directory("base"), store.sandbox.directory("top")
    (base / "linked").write_bytes(os.urandom(40_000))
    (top / "linked").touch()
    os.truncate(top / "linked", 40_000)
    os.setxattr(top / "linked", "trusted.overlay.metacopy", b"")
    os.setxattr(top / "linked", "trusted.overlay.redirect", b"/linked")
    os.link(top / "linked", top / "other")
    store.plyfs("create", "--name", "web", "--lower", top, "--lower", base, "-o", "metacopy=off")
    web = store.mount("web", store.sandbox.directory("mnt"))
    os.chmod(web / "other", 0o600)
    files = json.loads(store.plyfs("waste", "--json", "web").stdout)["Files"]
    assert [(file["State"], file["Wasted"]) for file in files] == [("metadata", 40_000)]


def test_what_is_new_deleted_or_of_another_type_is_no_waste(full):
    (full / "new").write_text("new")
    os.unlink(full / "same")
    os.unlink(full / "replaced")
    os.symlink("same", full / "replaced")
    os.chmod(full / "dir", 0o700)
    assert full.files() == {}
    assert full.waste()["Totals"]["Changed"]["Files"] == 1


def test_a_renamed_file_is_new_where_it_is(full):
    os.rename(full / "dir/renamed", full / "moved")
    assert full.files() == {}
    assert full.waste()["Totals"]["Moved"] == 900


def test_what_was_written_anew_as_it_was_is_nobodys(full):
    content = (full / "same").read_bytes()
    st = os.stat(full / "same")
    os.unlink(full / "same")
    (full / "same").write_bytes(content)
    os.chmod(full / "same", st.st_mode & 0o7777)
    waste = full.waste()
    assert [(file["State"], file["Wasted"], file["Moved"], file["Caller"]) for file in waste["Files"]] == [
        ("touched", 100_000, None, None)]
    assert waste["Processes"] == [{"Process": "(no copy-up)", "Files": 1, "Wasted": 100_000}]


def test_whoever_brought_it_is_told(full):
    run("chmod", "600", full / "mode", full / "attr")
    run("touch", "-d", "@1", full / "touched")
    waste = full.waste()
    assert waste["Processes"] == [{"Process": "chmod", "Files": 2, "Wasted": 50_000},
                                  {"Process": "touch", "Files": 1, "Wasted": 50_000}]
    by_path = {file["Path"]: file for file in waste["Files"]}
    assert by_path["/mode"]["Cause"] == "chmod" and by_path["/mode"]["Moved"] == 30_000
    assert by_path["/mode"]["Caller"].startswith("chmod[")


def test_the_largest_come_first_and_top_cuts(full):
    make_every_state(full)
    assert [file["Path"] for file in full.waste("--top", "2")["Files"]] == ["/same", "/touched"]
    text = full.store.plyfs("waste", "--top", "1", "web").stdout
    assert "and 4 more; --top 5 tells all" in text


def test_people_get_tables_and_totals(full):
    make_every_state(full)
    lines = full.store.plyfs("waste", "web").stdout.splitlines()
    assert lines[0].split() == ["STATE", "WASTED", "SIZE", "MOVED", "CAUSE", "CALLER", "PATH"]
    assert lines[1].split()[0:2] == ["identical", "100kB"] and lines[1].endswith("/same")
    assert any(line.split()[:4] == ["identical", "2", "files", "100kB"] for line in lines)
    assert any(line.split()[:4] == ["changed", "3", "files", "21kB"] for line in lines)
    assert lines[-2].startswith("200kB of the upper are wasted. 8 copy-ups moved 219kB; metacopy would "
                                "have saved 100kB, an")


def test_it_is_the_same_after_the_unmount(full):
    make_every_state(full)
    live = full.waste()
    full.store.plyfs("umount", "web")
    assert full.waste() == live


def test_a_mount_that_changed_nothing_wastes_nothing(full):
    waste = full.waste()
    assert waste["Files"] == [] and waste["Processes"] == []
    assert waste["Totals"]["Wasted"] == 0 and waste["Totals"]["Moved"] == 0
    text = full.store.plyfs("waste", "web").stdout
    assert "PATH" not in text and "0B of the upper are wasted" in text


def test_a_sparse_file_counts_with_what_it_holds(full):
    need_root()
    with open(full.lower / "sparse", "wb") as file:
        file.truncate(1_000_000)
        file.write(b"x" * 4096)
    full.store.sandbox.regard(full.lower)
    full.store.plyfs("umount", "web")
    full.store.mount("web", full.at)
    os.chmod(full / "sparse", 0o600)
    state, wasted = full.files()["/sparse"]
    assert state == "metadata" and 0 < wasted < 100_000


@pytest.mark.parametrize("seed", range(4))
def test_after_random_work_it_is_what_both_directories_have_alike(store, sandbox, seed):
    rng = random.Random(seed)
    lower = sandbox.directory("lower")
    for number in range(80):
        path = lower / f"d{number % 5}" / f"f{number}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bytes([number]) * rng.choice((0, 1, 5000, 20000)))
    sandbox.guard(lower)
    options = [word for option in ("metacopy=off", "redirect_dir=off", "index=off") for word in ("-o", option)]
    store.plyfs("create", "--name", "web", "--lower", lower, *options)
    at = store.mount("web", sandbox.directory("mnt"))
    change_at_random(at, rng, 150)
    # And some that is in vain.
    for path in filter(os.path.isfile, (at / file.relative_to(lower) for file in sorted(lower.glob("*/*")))):
        rng.choice([str, rewrite, lambda path: keep_times(path, rewrite), lambda path: os.chmod(path, 0o640),
                    lambda path: os.utime(path, (1, 1))])(path)
    store.plyfs("umount", "web")
    upper = next((store.path / "mounts").iterdir()) / "upper"
    wanted, totals = {}, {"identical": 0, "touched": 0, "metadata": 0}
    for path in upper.rglob("*"):
        below, rel = lower / path.relative_to(upper), path.relative_to(upper)
        if not (path.is_file() and below.is_file()) or path.is_symlink() or path.read_bytes() != below.read_bytes():
            continue
        now, was = os.stat(path), os.stat(below)
        state = ("metadata" if (now.st_mode, now.st_uid, now.st_gid) != (was.st_mode, was.st_uid, was.st_gid)
                 else "touched" if now.st_mtime_ns != was.st_mtime_ns else "identical")
        wanted[f"/{rel}"] = (state, now.st_size)
        totals[state] += now.st_size
    waste = json.loads(store.plyfs("waste", "--json", "web").stdout)
    assert wanted and {file["Path"]: (file["State"], file["Wasted"]) for file in waste["Files"]} == wanted
    assert {state: waste["Totals"][state.capitalize()]["Bytes"] for state in totals} == totals


def test_progress_is_for_a_terminal_alone(full):
    make_every_state(full)
    done = full.store.plyfs("waste", "web")
    assert done.stderr == ""


def test_a_mount_that_is_not_there_is_told(store):
    Web(store)
    store.refused("waste", "other", words="other")


def test_the_shell_completes_the_command(store):
    Web(store)
    assert complete(store, "plyfs was") == ["waste"]
    assert complete(store, "plyfs waste w") == ["web"]
    assert complete(store, "plyfs waste --to") == ["--top"]
