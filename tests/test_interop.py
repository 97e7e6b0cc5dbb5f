# SPDX-License-Identifier: MIT
"""Uppers go back and forth between plyfs and the kernel's overlayfs, and mean the same to both.

Each step of layers_kit is a test of its own in each direction, so that a failure names the kind of
change. Three claims are made of every step: what plyfs left reads the same under the kernel, what
the kernel left reads the same under plyfs, and both left the same on the disk.

PLYFS_INTEROP_AS=kernel puts the kernel in plyfs's place: the tests of these tests.
"""
import contextlib
import errno
import os
import pathlib
import re
import stat
import time

import pytest

import layers_kit as kit
from harness import (PLYFS, Mounted, Sandbox, assert_same, can_mount_kernel, listing, need, need_fuse,
                     need_root, need_tool, refusal, run, umount)
from test_cli import wait_for
from worlds import attempt, fill

OURS = os.environ.get("PLYFS_INTEROP_AS", "plyfs")
# The two sets of features: all that the kernel's format has, and what every reader understands.
ALL = ("redirect_dir=on", "metacopy=on", "index=on")
PLAIN = ("redirect_dir=off", "metacopy=off", "index=off")
PLAIN_STEPS = [name for name, (_, needs) in kit.STEPS.items() if needs != "redirect"]
CASES = [pytest.param(name, ALL, id=f"{name}-all") for name in kit.STEPS] + \
        [pytest.param(name, PLAIN, id=f"{name}-plain") for name in PLAIN_STEPS]


@pytest.fixture(params=["stateless", "tracked"])
def profile(request):
    """What lies on disk does not depend on the writeback cache."""
    return request.param



@pytest.fixture(autouse=True)
def _needs():
    need_root()
    need(can_mount_kernel(), "needs overlayfs in the kernel")
    if OURS == "plyfs":
        need_fuse()


@pytest.fixture(scope="session")
def ext4(tmp_path_factory):
    """A directory on ext4, where file handles and their uuid are those of a disk."""
    need_tool("mkfs.ext4", "losetup")
    where = tmp_path_factory.mktemp("ext4")
    (where / "mnt").mkdir()
    run("truncate", "-s", "400M", where / "image")
    run("mkfs.ext4", "-q", "-F", where / "image")
    need(run("mount", "-o", "loop", where / "image", where / "mnt", check=False).returncode == 0,
         "needs a loop device for ext4")
    yield where / "mnt"
    run("umount", where / "mnt")
    os.unlink(where / "image")


@pytest.fixture
def listless(sandbox):
    """A directory of a filesystem that holds attributes, but no access list."""
    need_tool("mkfs.btrfs", "losetup")
    image, at = sandbox.path / "image", sandbox.directory("listless")
    run("truncate", "-s", "64M", image)
    run("mkfs.btrfs", "-q", "--mixed", image)
    need(run("mount", "-o", "loop,noacl", image, at, check=False).returncode == 0,
         "needs btrfs")
    yield at
    wait_for(lambda: attempt(umount, at) is None, "the end of what was mounted on it")


@pytest.fixture(params=["tmpfs", "ext4"])
def any_sandbox(request):
    """A sandbox on each of two backing filesystems."""
    box = Sandbox(request.getfixturevalue("ext4") if request.param == "ext4" else None)
    yield box
    box.close()


class Patient(Mounted):
    """A kernel mount that waits for the upper: a mount namespace that somebody else's process made
    while it was mounted keeps it in use for a moment longer than our umount."""

    def mount(self):
        deadline = time.monotonic() + 20
        while True:
            try:
                return super().mount()
            except AssertionError as error:
                if "already mounted" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)


class Bench:
    """Three layers, one upper, and the mounts of either kind over them, at one mountpoint."""

    def __init__(self, sandbox, names, features, layers=None, profile=None, kind_ours=OURS):
        self.sandbox, self.features, self.profile = sandbox, list(features), profile
        self.ours_kind = kind_ours
        if layers is None:
            layers = [sandbox.directory(f"layer{n}") for n in range(3)]
            for name in names:
                kit.specimen(layers, name)
        self.layers = layers
        home = sandbox.directory("bench")
        self.upper, self.work, self.at = home / "upper", home / "work", home / "mnt"
        for path in (self.upper, self.work, self.at):
            path.mkdir()
        # Filesystems stamp with a clock that lags behind; what the layers hold is years older.
        self.start = time.time_ns() - 10 * 10**9

    def mount(self, kind):
        return (Patient if kind == "kernel" else Mounted)(
            self.sandbox, kind, self.layers, self.upper, self.work, at=self.at, form="o",
            options=self.features, profile=self.profile if kind == "plyfs" else None)

    def ours(self):
        return self.mount(self.ours_kind)

    def kernel(self):
        return self.mount("kernel")


def seen(mount):
    return listing(mount, times="ns")


# ---- what the one left, the other reads ---------------------------------------------------------

@pytest.mark.parametrize("name, features", CASES)
def test_the_kernel_reads_what_plyfs_left(sandbox, profile, name, features):
    bench = Bench(sandbox, [name], features, profile=profile)
    with bench.ours() as mount:
        kit.run_step(name, mount)
        live = seen(mount)
    with bench.ours() as mount:
        assert_same(live, seen(mount), "the same, after a remount")
    with bench.kernel() as mount:
        assert_same(live, seen(mount), "plyfs shows (left), the kernel shows (right)")


@pytest.mark.parametrize("name, features", CASES)
def test_plyfs_reads_what_the_kernel_left(sandbox, name, features):
    bench = Bench(sandbox, [name], features)
    with bench.kernel() as mount:
        kit.run_step(name, mount)
    with bench.kernel() as mount:
        theirs = seen(mount)
    with bench.ours() as mount:
        assert_same(theirs, seen(mount), "the kernel shows (left), plyfs shows (right)")
    with bench.kernel() as mount:
        assert_same(theirs, seen(mount), "the kernel again, after plyfs had it")


@pytest.mark.parametrize("first", ["plyfs", "kernel"])
@pytest.mark.parametrize("name, features", CASES)
def test_a_change_begun_by_one_is_ended_by_the_other(sandbox, name, features, first):
    """The step's parts are done in turns; the end is what the kernel makes of it alone."""
    bench = Bench(sandbox, [name], features)
    alone = Bench(sandbox, [name], features, bench.layers)
    with alone.kernel() as mount:
        kit.run_step(name, mount)
    with alone.kernel() as mount:
        expected = kit.forget_recent(seen(mount), alone.start)
    turns = [bench.ours(), bench.kernel()]
    if first == "kernel":
        turns.reverse()
    parts = kit.STEPS[name][0](bench.at / name)
    turn, ended = 0, False
    while not ended:
        with turns[turn % 2] as mount:
            ended = next(parts, parts) is parts
            left = seen(mount)
        with turns[(turn + 1) % 2] as mount:
            assert_same(left, seen(mount), f"after part {turn + 1}, done by {turns[turn % 2].kind}"
                                           f" (left), seen by {mount.kind}")
        turn += 1
    assert_same(expected, kit.forget_recent(left, bench.start), "the kernel alone (left), in turns")


@pytest.mark.parametrize("features", [ALL, PLAIN], ids=["all", "plain"])
def test_the_whole_script_in_turns(any_sandbox, profile, features):
    """Every step's parts over one upper, the mount changing hands after each round."""
    names = list(kit.STEPS) if features is ALL else PLAIN_STEPS
    bench = Bench(any_sandbox, names, features, profile=profile)
    parts = {name: kit.STEPS[name][0](bench.at / name) for name in names}
    turn = 0
    while parts:
        with (bench.ours, bench.kernel)[turn % 2]() as mount:
            parts = {name: part for name, part in parts.items() if next(part, part) is not part}
            left = seen(mount)
        with (bench.kernel, bench.ours)[turn % 2]() as mount:
            assert_same(left, seen(mount), f"round {turn + 1}, seen by {mount.kind} (right)")
        turn += 1


def test_the_own_form_writes_every_format(sandbox):
    """`plyfs mount` has redirect_dir, metacopy and index on without being asked."""
    if OURS != "plyfs":
        pytest.skip("about plyfs's own form")
    names = ["directory_renamed_elsewhere", "mode_then_rename", "linked_file_mode"]
    bench = Bench(sandbox, names, ALL)
    with sandbox.plyfs(bench.layers, bench.upper, bench.work, at=bench.at) as mount:
        for name in names:
            kit.run_step(name, mount)
        left = seen(mount)
    with bench.kernel() as mount:
        assert_same(left, seen(mount))


# ---- the same on the disk -----------------------------------------------------------------------

WHITEOUT_KIND = (oct(stat.S_IFCHR), 0)
NLINK = "trusted.overlay.nlink"
# What may differ in two uppers that mean the same, and why.
BY_RIGHT = [
    # (attribute, where, reason); where: "root" of the upper, "any", or "new" (no such directory in
    # any layer below, so that there is nothing that it could hide)
    ("trusted.overlay.uuid", "root", "the kernel's own identity for fsid; random"),
    ("trusted.overlay.impure", "any", "a hint for the kernel's readdir; absence costs nothing with"
                                      " origin in each entry"),
    ("trusted.overlay.origin", "root", "ties the upper to its lower root; set at mount, not by a"
                                       " change"),
    ("trusted.overlay.opaque", "new", "the kernel marks every new directory in a merged one: a"
                                      " saved lookup"),
]


def count_as_shown(record):
    """An indexed inode's link count is told relative to its own: here it becomes what is shown."""
    relative = record["xattrs"].get(NLINK)
    if relative:
        kind, count = re.fullmatch("([UL])([+-][0-9]+)", bytes.fromhex(relative).decode()).groups()
        assert kind == "U", "written once the inode is in the upper"
        record["xattrs"][NLINK] = f"shows {int(count) + record.pop('nlink')}"
        record.pop("links", None)


def lies_below(bench, path):
    return any(os.path.lexists(pathlib.Path(layer) / path) for layer in bench.layers)


def forget_names_of_the_index(records, bench):
    """FUSE says which inode is changed and not by which of its names. So plyfs copies an inode with
    several names up into the index, which all of them lead to, where the kernel links the name that
    was used into the upper besides. Such names are left out, and directories that are there for
    their sake alone."""
    for path in [path for path, record in records.items()
                 if NLINK in record["xattrs"] and lies_below(bench, path)]:
        del records[path]
        where = os.path.dirname(path)
        while where and records[where]["mtime"] != "recent" and \
                not any(other.startswith(where + "/") for other in records):
            del records[where]
            where = os.path.dirname(where)


def on_disk(bench):
    """The upper as it lies there, overlay attributes included, without what may differ."""
    records = kit.forget_recent(listing(bench.upper, times="ns"), bench.start)
    forget_names_of_the_index(records, bench)
    for path, record in records.items():
        if (record["type"], record.get("rdev")) == WHITEOUT_KIND:
            # The kernel links all whiteouts to one inode; whose it is and when does not matter.
            for key in ("nlink", "links", "mtime", "mode", "owner"):
                record.pop(key, None)
        elif "links" in record:
            # The index's own name is listed apart.
            record["links"] = sorted(record["links"])
        count_as_shown(record)
        if "origin" in str(record.get("xattrs")) and path == ".":
            record["mtime"] = "root"
        below = any((pathlib.Path(layer) / path).is_dir() and
                    not (pathlib.Path(layer) / path).is_symlink() for layer in bench.layers)
        for name, where, _ in BY_RIGHT:
            if where == "any" or (where == "root" and path == ".") or \
                    (where == "new" and path != "." and not below and
                     record["type"] == oct(stat.S_IFDIR)):
                record["xattrs"].pop(name, None)
    records["."].pop("mtime")
    return records


def index_of(bench):
    """The index: {name: what it holds}, without the links that lead to it from the upper."""
    index = bench.work / "index"
    if not index.is_dir():
        return {}
    records = kit.forget_recent(listing(index, times="ns"), bench.start)
    records.pop(".")
    for record in records.values():
        count_as_shown(record)
    # With an index the kernel works inside it, and leaves the whiteout there that it links.
    return {name: record for name, record in records.items()
            if (record["type"], record.get("rdev")) != WHITEOUT_KIND}


@pytest.mark.parametrize("name, features", CASES)
def test_both_leave_the_same_on_disk(any_sandbox, name, features):
    ours = Bench(any_sandbox, [name], features)
    theirs = Bench(any_sandbox, [name], features, ours.layers)
    with ours.ours() as mount:
        kit.run_step(name, mount)
    with theirs.kernel() as mount:
        kit.run_step(name, mount)
    assert_same(on_disk(theirs), on_disk(ours), "the kernel's upper (left), plyfs's (right)")
    assert_same(index_of(theirs), index_of(ours), "the kernel's index (left), plyfs's (right)")
    # The kernel keeps the whiteout that it links to new names; so may plyfs.
    assert not [name for name in os.listdir(ours.work / "work")
                if not kit.is_whiteout(ours.work / "work" / name)]


# ---- each format, to the byte -------------------------------------------------------------------

def attribute(path, name):
    return os.getxattr(path, f"trusted.overlay.{name}", follow_symlinks=False)


def attributes(path):
    return {name for name in os.listxattr(path, follow_symlinks=False)
            if name.startswith("trusted.overlay.")}


@pytest.fixture
def plain(sandbox):
    return Bench(sandbox, ["d"], PLAIN)


@pytest.fixture
def full(any_sandbox):
    return Bench(any_sandbox, ["d"], ALL)


def test_a_whiteout_is_a_character_device_0_0(plain):
    with plain.ours() as mount:
        os.unlink(mount / "d/file")
    st = os.lstat(plain.upper / "d/file")
    assert stat.S_ISCHR(st.st_mode) and st.st_rdev == 0
    assert not [n for n in os.listdir(plain.upper / "d") if n.startswith(".wh.")]


def test_no_whiteout_where_nothing_lies_below(plain):
    with plain.ours() as mount:
        kit.put(mount / "d/new", "new")
        os.unlink(mount / "d/new")
        kit.put(mount / "d/new", "new")
        os.rename(mount / "d/new", mount / "d/newer")
        os.unlink(mount / "d/newer")
        (mount / "d/newdir").mkdir()
        (mount / "d/newdir").rmdir()
        os.unlink(mount / "d/dir/c") if (mount / "d/dir/c").exists() else None
    assert not [n for n in os.listdir(plain.upper / "d") if n.startswith("new")]


def test_no_whiteout_left_inside_an_opaque_directory(plain):
    with plain.ours() as mount:
        kit.shutil.rmtree(mount / "d/dir")
        (mount / "d/dir").mkdir()
        kit.put(mount / "d/dir/a", "mine")
        os.unlink(mount / "d/dir/a")
    assert os.listdir(plain.upper / "d/dir") == []
    assert attribute(plain.upper / "d/dir", "opaque") == b"y"


def test_a_directory_made_over_a_removed_one_is_opaque(plain):
    with plain.ours() as mount:
        kit.shutil.rmtree(mount / "d/dir")
        (mount / "d/dir").mkdir()
    assert attribute(plain.upper / "d/dir", "opaque") == b"y"


def test_a_plain_copied_up_directory_is_not_opaque(plain):
    with plain.ours() as mount:
        os.chmod(mount / "d/dir", 0o700)
        kit.put(mount / "d/dir/sub/new", "new")
    for path in ("d", "d/dir", "d/dir/sub"):
        assert "trusted.overlay.opaque" not in attributes(plain.upper / path)


def test_redirect_in_the_same_directory_is_a_name(full):
    with full.ours() as mount:
        os.rename(mount / "d/dir", mount / "d/moved")
    assert attribute(full.upper / "d/moved", "redirect") == b"dir"
    assert kit.is_whiteout(full.upper / "d/dir")


def test_redirect_to_another_directory_is_a_path_from_the_root(full):
    with full.ours() as mount:
        os.rename(mount / "d/dir", mount / "d/other/two/moved")
    assert attribute(full.upper / "d/other/two/moved", "redirect") == b"/d/dir"


def test_redirect_of_a_child_of_a_renamed_directory_names_the_lower_path(full):
    with full.ours() as mount:
        os.rename(mount / "d/dir", mount / "d/moved")
        os.rename(mount / "d/moved/sub", mount / "d/sub")
    assert attribute(full.upper / "d/sub", "redirect") == b"/d/dir/sub"


def test_redirect_of_a_file_follows_the_redirects_of_the_layers_from_above(sandbox):
    """The path that it names is looked for from the topmost layer on, so a redirect that a directory of a
    layer carries has no part in it."""
    top, base, upper = sandbox.directory("top"), sandbox.directory("base"), sandbox.directory("upper")
    (base / "before").mkdir()
    (base / "before/kept").write_text("kept")
    (top / "moved").mkdir()
    os.setxattr(top / "moved", "trusted.overlay.redirect", b"/before")
    (top / "moved/one").write_text("data")
    (top / "other").mkdir()
    os.link(top / "moved/one", top / "other/two")
    union = sandbox.plyfs([top, base], upper, sandbox.directory("work"))
    with union:
        os.chmod(union / "other/two", 0o600)
    with union:     # where the name without a redirect above it is the first that is asked for
        assert (union / "moved/one").stat().st_mode & 0o777 == 0o600
        os.link(union / "moved/one", union / "three")
    assert attribute(upper / "three", "redirect") == b"/moved/one"
    with union:
        shown = listing(union)
        assert [(union / name).read_text() for name in ("moved/one", "other/two", "three")] == ["data"] * 3
    if can_mount_kernel():
        with sandbox.kernel([top, base], upper, sandbox.path / "work", options=ALL) as native:
            assert_same(shown, listing(native), "plyfs (left), the kernel (right)")


def linked_metacopy_layers(sandbox):
    """A metacopy file of two names over the file of its data, and that again in the upper: by the kernel."""
    base, top, upper = (sandbox.directory(name) for name in ("base", "top", "upper"))
    (base / "f").write_text("data" * 1000)
    os.link(base / "f", base / "g")
    with sandbox.kernel([base], top, sandbox.directory("work"), options=ALL) as union:
        os.chmod(union / "f", 0o600)
        os.link(union / "f", union / "h")
    work = sandbox.directory("work")
    with sandbox.kernel([top, base], upper, work, options=ALL) as union:
        os.chmod(union / "f", 0o640)
    return [top, base], upper, work


def test_the_data_of_a_metacopy_over_another_is_found_through_the_index(sandbox, profile):
    """What a name of the index shows beneath may be a metacopy itself, which has no data to give."""
    layers, upper, work = linked_metacopy_layers(sandbox)
    with sandbox.kernel(layers, upper, work, options=ALL) as native:
        shown = listing(native)
    with sandbox.plyfs(layers, upper, work, profile=profile) as union:
        for name in ("h", "f", "g"):    # the one that was not copied up is the first to be looked up
            assert (union / name).read_text() == "data" * 1000, name
        assert_same(shown, listing(union), "the kernel (left), plyfs (right)")
        with open(union / "h", "a") as file:
            file.write("more")
    with sandbox.kernel(layers, upper, work, options=ALL) as native:
        for name in ("f", "h"):
            assert (native / name).read_text() == "data" * 1000 + "more", name
        assert (native / "g").read_text() == "data" * 1000


def test_without_an_index_no_name_is_given_to_a_file_of_a_layer(sandbox, profile):
    """Whose names part at copy-up, its file is gone with the name, as in the kernel. One more name in the
    upper would be a way for writes into the layer."""
    layer = sandbox.directory("layer")
    (layer / "one").write_text("data")
    os.link(layer / "one", layer / "two")
    kinds = ["kernel"] * can_mount_kernel() + [OURS]
    for kind in kinds:
        home = sandbox.directory(kind)
        for name in ("upper", "work"):
            (home / name).mkdir()
        with Mounted(sandbox, kind, [layer], home / "upper", home / "work", form="o", options=PLAIN,
                     profile=profile if kind == "plyfs" else None) as union:
            fd = os.open(union / "one", os.O_RDONLY)
            os.unlink(union / "one")
            try:
                with pytest.raises(FileNotFoundError):
                    kit.link_descriptor(fd, union / "three")
            finally:
                os.close(fd)
            assert os.listdir(union) == ["two"]
        assert (layer / "two").stat().st_nlink == 2


def test_a_directory_rename_moves_no_data(full):
    with full.ours() as mount:
        os.rename(mount / "d/dir", mount / "d/moved")
    assert os.listdir(full.upper / "d/moved") == []


def test_without_redirects_a_merged_directory_gives_exdev(plain):
    with plain.ours() as mount:
        with pytest.raises(OSError) as caught:
            os.rename(mount / "d/dir", mount / "d/moved")
        assert caught.value.errno == errno.EXDEV
    assert not (plain.upper / "d/moved").exists()


def test_metacopy_is_sparse_and_keeps_the_size(full):
    with full.ours() as mount:
        os.chmod(mount / "d/big", 0o600)
    st = os.lstat(full.upper / "d/big")
    assert (st.st_size, stat.S_IMODE(st.st_mode)) == (len(kit.BIG), 0o600)
    assert st.st_blocks <= 8  # the attributes' own block, where the filesystem counts it
    assert attribute(full.upper / "d/big", "metacopy") == b""


def test_a_metacopy_of_a_lower_layer_has_the_blocks_of_its_data(sandbox):
    need_root()
    base, middle, work = (sandbox.directory(name) for name in ("base", "middle", "work"))
    (base / "f").write_bytes(b"x" * 100_000)
    with sandbox.kernel([base], middle, work, options=ALL) as kernel:
        (kernel / "f").chmod(0o600)
    with sandbox.plyfs([middle, base]) as union:
        for words in ("%b", "%b %w", "%b"):  # the time of birth comes in another way
            blocks = run("stat", "-c", words, union / "f").stdout.split()[0]
            assert int(blocks) == os.stat(base / "f").st_blocks, words


def test_the_data_write_ends_the_metacopy(full):
    with full.ours() as mount:
        os.chmod(mount / "d/big", 0o600)
        with open(mount / "d/big", "r+b") as file:
            file.write(b"changed")
    assert "trusted.overlay.metacopy" not in attributes(full.upper / "d/big")
    assert (full.upper / "d/big").read_bytes() == b"changed" + kit.BIG[7:]


def test_without_metacopy_chmod_copies_all(plain):
    with plain.ours() as mount:
        os.chmod(mount / "d/big", 0o600)
    assert (plain.upper / "d/big").read_bytes() == kit.BIG
    assert "trusted.overlay.metacopy" not in attributes(plain.upper / "d/big")


@pytest.mark.parametrize("path", ["file", "dir", "symlink", "fifo", "link1", "dir/b", "top", "null"])
def test_origin_is_the_kernels_to_the_byte(any_sandbox, path):
    ours = Bench(any_sandbox, ["d"], ALL)
    theirs = Bench(any_sandbox, ["d"], ALL, ours.layers)
    found = []
    for bench, make in ((theirs, theirs.kernel), (ours, ours.ours)):
        with make() as mount:
            os.utime(mount / "d" / path, ns=(1, 1), follow_symlinks=False)
        found.append(attribute(bench.upper / "d" / path, "origin").hex())
    assert found[0] == found[1]


def test_the_index_is_named_by_the_origin(full):
    with full.ours() as mount:
        with open(mount / "d/link1", "ab") as file:
            file.write(b"changed")
    origin = attribute(full.upper / "d/link1", "origin")
    assert os.listdir(full.work / "index") == [origin.hex()]
    entry, name = os.lstat(full.work / "index" / origin.hex()), os.lstat(full.upper / "d/link1")
    assert (entry.st_ino, entry.st_nlink) == (name.st_ino, 2)
    # Three names are seen and the inode has two: one more than the upper's own count says.
    assert attribute(full.upper / "d/link1", "nlink") == b"U+1"


def test_a_file_with_one_name_is_not_in_the_index(full):
    with full.ours() as mount:
        with open(mount / "d/file", "ab") as file:
            file.write(b"changed")
    assert not (full.work / "index").is_dir() or os.listdir(full.work / "index") == []


def test_no_attribute_of_ours_is_shown(full):
    with full.ours() as mount:
        for name in ("linked_file_mode", "mode_then_rename", "directory_renamed_twice"):
            for _ in kit.STEPS[name][0](mount / "d"):
                pass
        shown = {name for record in listing(mount).values() for name in record["xattrs"]}
    assert not [name for name in shown if "overlay." in name]


def test_a_nested_overlays_attribute_is_escaped_on_disk(plain):
    with plain.ours() as mount:
        os.setxattr(mount / "d/file", "trusted.overlay.opaque", b"y")
        assert os.getxattr(mount / "d/file", "trusted.overlay.opaque") == b"y"
        assert "trusted.overlay.overlay.opaque" not in os.listxattr(mount / "d/file")
    assert os.getxattr(plain.upper / "d/file", "trusted.overlay.overlay.opaque") == b"y"
    assert "trusted.overlay.opaque" not in os.listxattr(plain.upper / "d/file")


# ---- other writers' layers ----------------------------------------------------------------------

def layer_of_lists(sandbox):
    """Where a mode alone would give the owning group what the list gives to one user."""
    layer = sandbox.directory("layer")
    for name in ("plain", "listed"):
        (layer / name).write_text("text")
    (layer / "d").mkdir()
    given = [("user", 7, 1234), ("g", 0, None), ("mask", 7, None), ("o", 0, None)]
    kit.set_acl(layer / "listed", "access", [("u", 6, None), *given])
    kit.set_acl(layer / "d", "default", [("u", 7, None), *given])
    return layer


def refusals(mount):
    """What the acts end with that copy up from such a layer."""
    acts = [(os.chmod, mount / "plain", 0o600), (os.chmod, mount / "listed", 0o600), (os.mkdir, mount / "d/new"),
            (os.truncate, mount / "listed", 1), (os.rename, mount / "listed", mount / "moved")]
    return [attempt(*act) for act in acts]


def test_an_access_list_that_the_upper_cannot_hold_keeps_its_file_below(sandbox, listless, profile):
    """Without it the mode would say more than the list did."""
    layer = layer_of_lists(sandbox)
    for kind in ("kernel", OURS):
        upper, work = (listless / f"{kind}-{name}" for name in ("upper", "work"))
        upper.mkdir()
        work.mkdir()
        with Patient(sandbox, kind, [layer], upper, work, form="o", options=ALL,
                     profile=profile if kind == "plyfs" else None) as mount:
            assert refusals(mount) == [None] + ["ENOTSUP"] * 4, kind
            assert (mount / "listed").read_text() == "text"
        assert os.listdir(upper) == ["plain"], kind


def test_where_access_lists_do_not_count_a_file_leaves_its_own_behind(sandbox, listless, profile):
    """Such a mount asks the mode alone, and that stays the same."""
    _only_ours()
    layer, upper, work = layer_of_lists(sandbox), listless / "upper", listless / "work"
    upper.mkdir()
    work.mkdir()
    with sandbox.plyfs([layer], upper, work, form="o", options=(*ALL, "noacl"), profile=profile) as mount:
        mode = (mount / "listed").stat().st_mode
        with open(mount / "listed", "a") as file:
            file.write(" and more")
        (mount / "d/new").mkdir()
        assert (mount / "listed").stat().st_mode == mode


def names_of(mount, at="."):
    top = mount / at
    return sorted(os.path.relpath(os.path.join(where, name), top)
                  for where, dirs, files in os.walk(top) for name in dirs + files)


def test_a_zero_size_file_with_the_whiteout_attribute_hides(sandbox):
    """The form for filesystems and users that cannot make devices: as the kernel, in a lower layer
    only, and in a directory that says so with `x`. A file with content is a file."""
    top, bottom = sandbox.directory("top"), sandbox.directory("bottom")
    for name in ("hidden", "full", "seen"):
        kit.put(bottom / "marked" / name, "below")
    kit.put(bottom / "marked/hiddendir/inside", "below")
    for name in ("hidden", "hiddendir", "full"):
        kit.put(top / "marked" / name, "content" if name == "full" else "")
        os.setxattr(top / "marked" / name, "trusted.overlay.whiteout", b"y")
    os.setxattr(top / "marked", "trusted.overlay.opaque", b"x")
    views = []
    for kind in ("kernel", OURS):
        with Mounted(sandbox, kind, [top, bottom], form="o", options=["ro"]) as mount:
            assert names_of(mount, "marked") == ["full", "seen"], kind
            views.append(listing(mount, times="ns"))
    assert_same(*views)


def test_attribute_whiteouts_below_can_be_made_over(sandbox):
    upper, work = sandbox.directory("upper"), sandbox.directory("work")
    top, bottom = sandbox.directory("top"), sandbox.directory("bottom")
    kit.put(bottom / "d/file", "below")
    kit.put(bottom / "d/dir/inside", "below")
    for name in ("file", "dir"):
        os.setxattr(kit.put(top / f"d/{name}"), "trusted.overlay.whiteout", b"y")
    os.setxattr(top / "d", "trusted.overlay.opaque", b"x")
    with Mounted(sandbox, OURS, [top, bottom], upper, work, form="o") as mount:
        assert os.listdir(mount / "d") == []
        (mount / "d/dir").mkdir()
        kit.put(mount / "d/file", "new")
        left = seen(mount)
        assert names_of(mount) == ["d", "d/dir", "d/file"]
    with sandbox.kernel([top, bottom], upper, work) as mount:
        assert_same(left, seen(mount))


def _image_layers(sandbox):
    """Layers as image tools unpack them on disk, with whiteouts by name."""
    top, middle, bottom = (sandbox.directory(n) for n in ("top", "middle", "bottom"))
    for path in ("d/a", "d/b", "d/sub/x", "o/old1", "o/sub/old2", "dir/inside", "w/1", "w/2"):
        kit.put(bottom / path, "bottom " + path)
    kit.put(middle / "d/.wh.a")
    kit.put(middle / "d/.wh.sub")
    kit.put(middle / "d/c", "middle")
    kit.put(middle / "o/.wh..wh..opq")
    kit.put(middle / "o/new", "middle")
    kit.put(middle / "o/sub/new2", "middle")
    kit.put(middle / ".wh.dir")
    kit.put(top / "d/sub/y", "top: made again over the middle's whiteout")
    kit.put(top / "w/.wh.1")
    kit.put(top / "w/1", "both the whiteout and the file: the file's own layer wins")
    kit.put(top / "o/top", "top")
    return [top, middle, bottom]


IMAGE_NAMES = ["d", "d/b", "d/c", "d/sub", "d/sub/y", "o", "o/new", "o/sub", "o/sub/new2", "o/top",
               "w", "w/1", "w/2"]


def _only_ours():
    if OURS != "plyfs":
        pytest.skip("the kernel does not read this form")


def test_whiteouts_by_name_in_lower_layers_are_honoured(sandbox, profile):
    _only_ours()
    with sandbox.plyfs(_image_layers(sandbox), profile=profile) as mount:
        assert names_of(mount) == IMAGE_NAMES
        for path in ("d/a", "dir", "o/old1", "o/sub/old2", "d/.wh.a", "o/.wh..wh..opq"):
            assert not os.path.lexists(mount / path), path
        assert (mount / "w/1").read_text().startswith("both")


def test_an_upper_over_whiteouts_by_name_is_the_kernels_format(sandbox, profile):
    """Removing and making again over such layers writes devices and attributes, never names."""
    _only_ours()
    layers = _image_layers(sandbox)
    upper, work = sandbox.directory("upper"), sandbox.directory("work")
    with sandbox.plyfs(layers, upper, work, profile=profile, form="o") as mount:
        kit.put(mount / "d/a", "again")
        (mount / "dir").mkdir()
        os.unlink(mount / "d/b")
        os.unlink(mount / "d/sub/y")
        os.rmdir(mount / "d/sub")
        kit.shutil.rmtree(mount / "o")
        (mount / "o").mkdir()
        left = names_of(mount)
        assert left == ["d", "d/a", "d/c", "dir", "o", "w", "w/1", "w/2"]
    with sandbox.plyfs(layers, upper, work, profile=profile, form="o") as mount:
        assert names_of(mount) == left
    raw = names_of(upper)
    assert not [name for name in raw if ".wh." in name]
    assert kit.is_whiteout(upper / "d/b")
    assert attribute(upper / "o", "opaque") == b"y"


def test_fuse_overlayfs_opaque_attribute_is_read(sandbox):
    _only_ours()
    top, bottom = sandbox.directory("top"), sandbox.directory("bottom")
    for name in ("user", "none"):
        kit.put(bottom / name / "old", "below")
        kit.put(top / name / "new", "above")
    os.setxattr(top / "user", "user.fuseoverlayfs.opaque", b"y")
    with sandbox.plyfs([top, bottom]) as mount:
        assert names_of(mount) == ["none", "none/new", "none/old", "user", "user/new"]
        assert os.listxattr(mount / "user") == []


def _fuse_overlayfs_changes(d):
    os.unlink(d / "file")
    kit.shutil.rmtree(d / "dir")
    (d / "dir").mkdir()
    kit.put(d / "dir/own", "own")
    kit.shutil.rmtree(d / "dir2")
    with open(d / "big", "ab") as file:
        file.write(b"end")
    os.rename(d / "top", d / "opaque/top")


def _left_by_fuse_overlayfs(mount):
    """What it shows of its changes at the next mount: until then it tells some times otherwise."""
    with mount:
        _fuse_overlayfs_changes(mount / "d")
    with mount:
        return listing(mount, times="ns", links=False)


@pytest.mark.parametrize("use", ["upper", "lower"])
def test_layers_left_by_fuse_overlayfs_are_read(sandbox, use):
    _only_ours()  # it leaves a device named .wh..opq in what it marks opaque: the kernel stumbles
    need_tool("fuse-overlayfs")
    bench = Bench(sandbox, ["d"], PLAIN)
    theirs = _left_by_fuse_overlayfs(Mounted(sandbox, "fuse-overlayfs", bench.layers, bench.upper,
                                             bench.work, form="o"))
    if use == "upper":
        view = bench.ours()
    else:
        view = Mounted(sandbox, OURS, [bench.upper] + bench.layers, form="o", options=["ro"])
    with view as mount:
        assert_same(theirs, listing(mount, times="ns", links=False))


@contextlib.contextmanager
def tmpfs_at(*places):
    with contextlib.ExitStack() as mounted:
        for place in places:
            run("mount", "-t", "tmpfs", "tmpfs", place)
            # A daemon lets go of it a moment after its own mount has gone.
            mounted.callback(wait_for, lambda at=place: refusal(umount, at) is None, f"{place} is free")
        yield


def test_what_is_mounted_in_a_lower_layer_is_left_out_as_by_the_kernel(sandbox, profile):
    need_root()
    told = []
    for kind in (sandbox.kernel, sandbox.plyfs):
        lower, upper, work = (sandbox.directory(n) for n in ("lower", "upper", "work"))
        fill(lower, {"in": {"covered": "c"}, "deep": {"a b": {"covered": "c"}}, "inner": {"x": "x"}})
        before = listing(lower)
        with tmpfs_at(lower / "in", lower / "deep/a b"):
            (lower / "in/mounted").write_text("m")
            with kind([lower], upper, work, **({"profile": profile} if kind == sandbox.plyfs else {})) as mount:
                for path in ("in", "deep/a b"):
                    with open(mount / path / "covered", "a") as file:
                        file.write("opied up")
                told.append(listing(mount, times=None))
                if kind == sandbox.plyfs:
                    why = run(PLYFS, "explain", "--json", mount / "in/covered").stdout
                    assert str(lower) in why and '"hidden"' in why
        sandbox.regard(lower)  # without what was mounted there
        assert listing(lower)["in/covered"] == before["in/covered"] and len(listing(lower)) == len(before)
    assert_same(*told)


def test_the_upper_may_lie_on_what_is_mounted_in_a_lower_layer(sandbox, profile):
    """As where all of a system is the layer: mount --lower / --upper of a tmpfs."""
    need_root()
    lower = sandbox.directory("lower")
    fill(lower, {"etc": {"conf": "c"}, "run": {}})
    with tmpfs_at(lower / "run"):
        for name in ("upper", "work", "layer"):
            (lower / "run" / name).mkdir()
        (lower / "run/layer/more").write_text("more")
        with sandbox.plyfs([lower / "run/layer", lower], lower / "run/upper", lower / "run/work",
                           profile=profile) as mount:
            assert os.listdir(mount / "run") == [] and (mount / "more").read_text() == "more"
            (mount / "etc/conf").write_text("new")
            (mount / "run/new").write_text("new")
        assert (lower / "run/upper/etc/conf").read_text() == (lower / "run/upper/run/new").read_text() == "new"
    sandbox.guarded.pop(str(lower / "run/layer"))
    sandbox.regard(lower)
    assert (lower / "etc/conf").read_text() == "c" and os.listdir(lower / "run") == []


def test_the_mount_can_be_a_lower_layer_of_the_kernels_overlayfs(sandbox, profile):
    """Which counts how many filesystems lie on each other, and takes no more than two."""
    below, own, work, upper, theirs, at = (
        sandbox.directory(n) for n in ("below", "own", "work", "upper", "theirs", "at"))
    (below / "f").write_text("below")
    with Mounted(sandbox, OURS, [below], own, work, form="o",
                 profile=profile if OURS == "plyfs" else None) as mount:
        (mount / "new").write_text("new")
        run("mount", "-t", "overlay", "overlay", at, "-o",
            f"lowerdir={mount.at},upperdir={upper},workdir={theirs}")
        try:
            (at / "f").write_text("above")
            assert (at / "new").read_text() == "new"
        finally:
            umount(at)
        assert (mount / "f").read_text() == "below" and (upper / "f").read_text() == "above"


def test_what_fuse_overlayfs_deletes_in_an_upper_on_the_mount_stays_deleted(sandbox, profile):
    """It believes the whiteout that a rename is said to have left."""
    need_tool("fuse-overlayfs")
    below, lower, upper, work = (sandbox.directory(n) for n in ("below", "lower", "upper", "work"))
    (below / "d").mkdir()
    for name in ("kept", "gone", "d/gone"):
        (below / name).write_text(name)
    for name in ("upper", "work"):
        (lower / name).mkdir()
    with Mounted(sandbox, OURS, [lower], upper, work, form="o",
                 profile=profile if OURS == "plyfs" else None) as mount:
        with Mounted(sandbox, "fuse-overlayfs", [below], mount / "upper", mount / "work",
                     form="o") as theirs:
            for _ in range(2):
                for name in ("gone", "d/gone"):
                    (theirs / name).unlink(missing_ok=True)
                assert sorted(os.listdir(theirs)) == ["d", "kept"]
                assert os.listdir(theirs / "d") == []
                theirs.remount()
        # Their daemon holds files of the mount until it has ended.
        wait_for(lambda: refusal(mount.unmount) is None, "the mount is not busy any more")


def test_layers_left_by_fuse_overlayfs_without_privilege_are_read(sandbox):
    """In a user namespace it marks opaque directories in ways of its own (attribute and name)."""
    _only_ours()
    need_tool("fuse-overlayfs")
    need(kit.namespaces_allowed(), "needs user namespaces")
    layers = [sandbox.directory(f"layer{n}") for n in range(3)]
    kit.specimen(layers, "d", devices=False)
    home = sandbox.directory("home")
    upper, work, at = home / "upper", home / "work", home / "mnt"
    for path in (upper, work, at):
        path.mkdir()

    def change():
        return _left_by_fuse_overlayfs(Mounted(sandbox, "fuse-overlayfs", layers, upper, work,
                                               at=at, form="o"))

    def go_on():
        """As the upper again, by the same user."""
        with Mounted(sandbox, OURS, layers, upper, work, at=at, form="o") as mount:
            return listing(mount, times="ns", links=False)

    theirs = kit.in_child(change, kit.become_root_of_a_namespace)
    with sandbox.plyfs([upper] + layers) as mount:
        assert_same(theirs, listing(mount, times="ns", links=False))
    assert_same(theirs, kit.in_child(go_on, kit.become_root_of_a_namespace))


def _by_fuse_overlayfs_2(upper, opaque):
    """What its second series leaves, by hand: devices for whiteouts, the first opaque attribute that
    it may write and a file of mode 0700 besides, and an origin of its own."""
    kit.put(upper / "d/new", "new")
    kit.whiteout(upper / "d/a")
    kit.whiteout(upper / "dir")
    os.setxattr(kit.put(upper / "changed", "changed"), "user.fuseoverlayfs.origin", b"changed")
    kit.put(upper / "o/own", "own")
    os.setxattr(upper / "o", opaque, b"y")
    os.chmod(kit.put(upper / "o/.wh..wh..opq"), 0o700)
    # made where nothing lies below
    kit.put(upper / "fresh/inside", "inside")
    os.setxattr(upper / "fresh", opaque, b"y")
    os.chmod(kit.put(upper / "fresh/.wh..wh..opq"), 0o700)


@pytest.mark.parametrize("use", ["upper", "lower"])
@pytest.mark.parametrize("privileged", [True, False], ids=["root", "user"])
def test_layers_in_the_form_of_fuse_overlayfs_2_are_read(sandbox, use, privileged):
    _only_ours()
    low, upper, work = (sandbox.directory(n) for n in ("low", "upper", "work"))
    for path in ("d/a", "d/b", "dir/x", "changed", "o/old", "o/sub/old"):
        kit.put(low / path, "below")
    _by_fuse_overlayfs_2(upper, "trusted.overlay.opaque" if privileged else "user.overlay.opaque")
    if use == "lower":
        view = sandbox.plyfs([upper, low], form="o")
    else:
        view = sandbox.plyfs([low], upper, work, form="o", options=[] if privileged else ["userxattr"])
    with view as mount:
        assert names_of(mount) == ["changed", "d", "d/b", "d/new", "fresh", "fresh/inside", "o", "o/own"]
        assert (mount / "changed").read_text() == "changed"
        assert not [path for path in names_of(mount) if os.listxattr(mount / path)]
        if use == "upper":
            kit.shutil.rmtree(mount / "o")
            (mount / "o").mkdir()
            assert os.listdir(mount / "o") == []


# ---- without privilege: user.overlay.* ----------------------------------------------------------

USER_STEPS = [name for name, (_, needs) in kit.STEPS.items() if needs == ""]


@pytest.mark.parametrize("writer", ["plyfs", "kernel"])
def test_uppers_of_a_user_namespace_are_read_by_both(sandbox, writer):
    """In a user namespace the kernel takes user.overlay.* (userxattr) and the plain format."""
    need(kit.namespaces_allowed(), "needs user namespaces")
    layers = [sandbox.directory(f"layer{n}") for n in range(3)]
    for name in USER_STEPS:
        kit.specimen(layers, name, devices=False)
    home = sandbox.directory("home")
    upper, work, at = home / "upper", home / "work", home / "mnt"
    for path in (upper, work, at):
        path.mkdir()

    def mount(kind):
        options = ["userxattr"] if kind == "kernel" else []
        return Mounted(sandbox, kind, layers, upper, work, at=at, form="o", options=options)

    def act():
        pair = [mount(OURS), mount("kernel")]
        if writer == "kernel":
            pair.reverse()
        with pair[0] as view:
            for name in USER_STEPS:
                kit.run_step(name, view)
        with pair[0] as view:
            left = seen(view)
        with pair[1] as view:
            return left, seen(view)

    left, right = kit.in_child(act, kit.become_root_of_a_namespace)
    assert_same(left, right, f"written by {writer} (left)")
    shown = {name for record in left.values() for name in record["xattrs"]}
    assert not [name for name in shown if re.match(r"(user|trusted)\.overlay\.", name)]
    if OURS == "plyfs":     # and as a lower layer of root's, whose own books are others
        with sandbox.plyfs([upper] + layers, form="o") as view:
            assert_same(left, seen(view), f"written by {writer} (left), a lower layer of root's (right)")


def test_marks_of_the_other_kind_are_not_copied_up_with_what_they_mark(sandbox):
    """A layer that was written without privilege has its books in user.overlay.*. Where root copies up
    what they are on and makes a layer of that in turn, they would speak again, in the wrong place."""
    base, middle, upper = sandbox.directory("base"), sandbox.directory("middle"), sandbox.directory("upper")
    (base / "file").write_text("old data")
    (base / "moved").mkdir()
    (base / "moved" / "within").write_text("moved")
    (base / "there").mkdir()
    (base / "there" / "beneath").write_text("not to be seen")
    (middle / "opaque").mkdir()
    (middle / "opaque" / "kept").write_text("kept")
    os.setxattr(middle / "opaque", "user.overlay.opaque", b"y")
    (middle / "there").mkdir()
    os.setxattr(middle / "there", "user.overlay.redirect", b"/moved")
    (middle / "file").touch()
    os.truncate(middle / "file", 8)
    os.setxattr(middle / "file", "user.overlay.metacopy", b"")
    work = sandbox.directory("work")
    with sandbox.plyfs([middle, base], upper, work, at=sandbox.directory("first")) as union:
        assert [os.listxattr(union / name) for name in ("opaque", "there", "file")] == [[]] * 3
        for name in ("opaque", "there"):
            (union / name).chmod(0o711)
        (union / "file").write_text("new data")
        shown = listing(union)
    with sandbox.plyfs([upper, middle, base], at=sandbox.directory("second")) as union:
        assert_same(shown, listing(union), "as a layer it shows something else")
        assert (union / "file").read_text() == "new data"
        assert (union / "opaque" / "kept").read_text() == "kept"
        assert os.listdir(union / "there") == ["within"]


def test_a_users_attribute_does_not_become_a_mark_when_the_upper_becomes_a_layer(sandbox):
    base, upper = sandbox.directory("base"), sandbox.directory("upper")
    for name in ("own", "secret"):
        (base / name).mkdir()
        (base / name / name).write_text(name)
    (base / "file").write_text("data")
    marks = {"own": ("redirect", b"/secret"), "file": ("metacopy", b""), "new": ("opaque", b"y")}
    with sandbox.plyfs([base], upper, sandbox.directory("work"), at=sandbox.directory("first")) as union:
        (union / "new").mkdir()
        for name, (mark, value) in marks.items():
            os.setxattr(union / name, f"user.overlay.{mark}", value)
        (union / "file").write_text("changed")
        shown = listing(union)
    with sandbox.plyfs([upper, base], at=sandbox.directory("second")) as union:
        assert os.listdir(union / "own") == ["own"]
        assert_same(shown, listing(union), "as a layer it shows something else")
        for name, (mark, value) in marks.items():
            assert os.getxattr(union / name, f"user.overlay.{mark}") == value
