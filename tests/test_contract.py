# SPDX-License-Identifier: MIT
"""What container engines do with their mount program: each row of that contract, and its tests.

The table names, for each row, the tests that hold plyfs to it; many are in the suite of what they
are about, and this file has those that are about the contract alone. A name that is in no suite
fails here.
"""
import ast
import ctypes
import os
import pathlib
import select
import shutil
import stat
import subprocess

import pytest

import layers_kit as kit
from harness import (LIBC, PLYFS, Sandbox, assert_same, is_mounted, listing, need, need_fuse, need_root,
                     need_tool, run, umount)
from test_cli import (daemon_of, gone, named, place, plyfs, wait_for)  # noqa: F401  (fixtures)
from worlds import as_user, attempt, fill, get, put

ROWS = {
    "1 the program is found by its name and tells its version": [
        "cli:test_under_the_name_fuse_overlayfs_it_tells_its_version",
        "cli:test_version_is_told_on_stdout"],
    "2 it detaches, keeps nothing, is mounted when it returns, and says what is wrong": [
        "cli:test_the_mount_is_visible_when_the_parent_returns",
        "cli:test_the_daemon_is_detached_and_keeps_nothing_of_its_caller",
        "contract:test_a_descriptor_that_the_caller_left_open_is_not_kept",
        "contract:test_a_caller_without_standard_streams_is_served",
        "contract:test_the_reason_of_a_failure_is_on_stderr_and_nothing_stays",
        "cli:test_a_missing_layer_is_named"],
    "3 it knows every option that engines send": [
        "cli:test_the_drop_in_form_accepts",
        "cli:test_the_drop_in_form_accepts_what_engines_send_together",
        "cli:test_an_unknown_option_is_named",
        "cli:test_ro_needs_no_upper_and_changes_nothing",
        "mapping:test_owners_of_both_layers_are_shown_as_fuse_overlayfs_shows_them",
        "mapping:test_what_is_made_and_given_away_lands_on_the_disk_as_with_fuse_overlayfs",
        "contract:test_without_an_upper_every_change_is_refused_as_read_only"],
    "4 layers are opened as they are written, hundreds of them": [
        "deep:test_layers_may_be_absolute_symlinks",
        "deep:test_dotdot_after_a_symlink_is_walked_and_not_cut_out_of_the_text",
        "deep:test_layers_with_odd_names",
        "deep:test_500_layers_are_changed"],
    "5 containerd and mount(8) call it their way": [
        "contract:test_containerds_call_of_mount_fuse3",
        "contract:test_mount_finds_it_by_its_type",
        "contract:test_a_line_of_fstab_mounts_it",
        "contract:test_mount_fuse3_finds_it_by_the_source",
        "cli:test_a_dummy_source_and_several_o_are_understood"],
    "6 it is recognised as mounted; as root it is everybody's": [
        "cli:test_the_mount_is_visible_when_the_parent_returns",
        "cli:test_roots_mount_is_for_all_users_within_the_modes",
        "contract:test_the_kernel_is_told_the_defaults_of_root",
        "identity:test_a_setuid_program_of_a_lower_layer_runs_as_its_owner"],
    "7 marks of image layers are honoured in each of them": [
        "interop:test_whiteouts_by_name_in_lower_layers_are_honoured"],
    "8 a walk of two read-only mounts tells a diff": [
        "contract:test_a_walk_of_layer_and_parent_finds_the_change_and_nothing_else",
        "interop:test_no_attribute_of_ours_is_shown",
        "semantics:test_copied_up_parents_keep_mode_owner_times_and_xattrs_exactly"],
    "9 the upper is read, removed, given away and made a lower": [
        "contract:test_an_upper_holds_what_was_changed_and_no_file_of_ours",
        "contract:test_a_whole_layer_is_given_away_and_its_links_made_anew",
        "interop:test_a_whiteout_is_a_character_device_0_0",
        "records:test_each_kind_is_recorded_and_stands_as_its_makers_file_on_disk"],
    "10 owners are recorded where they cannot be given": [
        "records:test_each_kind_is_recorded_and_stands_as_its_makers_file_on_disk",
        "records:test_what_one_of_the_two_recorded_the_other_reads",
        "records:test_an_ordinary_user_unpacks_an_archive_of_many_owners_in_the_mount"],
    "11 all is in the upper when it is unmounted, and nothing comes after": [
        "cli:test_all_data_is_in_the_upper_when_the_unmount_returns",
        "contract:test_after_syncfs_and_a_lazy_unmount_the_layer_can_be_removed_at_once",
        "cli:test_the_daemon_ends_with_its_mount"],
    "12 a volatile mount leaves the kernel's mark": [
        "contract:test_the_mark_of_a_volatile_mount_stays_and_stops_the_next"],
    "13 layers lie on filesystems that lack much": [
        "contract:test_layers_on_other_filesystems_are_served_the_same"],
    "14 the programs that fill the trackers of its peers work": [
        "rootfs:test_root_gets_the_kernels_tree",
        "identity:test_link_groups_and_counts_survive_copy_up_by_chown_as_in_chown_r",
        "identity:test_tail_f_follows_a_lower_file_over_its_copy_up",
        "io:test_git_repository_from_a_lower_layer_takes_commits_and_equals_its_twin",
        "semantics:test_rename_of_a_lower_directory_needs_no_copy_and_gives_no_exdev",
        "contract:test_tar_and_rsync_carry_a_tree_through_the_mount"],
}


@pytest.fixture(autouse=True)
def _needs():
    need_root()
    need_fuse()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split()[0])
def test_each_row_has_tests_that_are_there(row):
    for name in ROWS[row]:
        suite, test = name.split(":")
        tree = ast.parse((pathlib.Path(__file__).parent / f"test_{suite}.py").read_text())
        assert test in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, name


# ---- 2: how it is run ---------------------------------------------------------------------------

def test_a_descriptor_that_the_caller_left_open_is_not_kept(place):  # noqa: F811
    reading, writing = os.pipe()
    place.watch(place.at)
    process = subprocess.Popen([PLYFS, *map(str, place.drop_in())], pass_fds=[writing],
                               stdin=subprocess.DEVNULL)
    os.close(writing)
    try:
        assert process.wait(60) == 0
        assert select.select([reading], [], [], 20)[0], "somebody still holds the other end"
        assert os.read(reading, 1) == b""
    finally:
        os.close(reading)
    assert get(place.at / "f") == b"lower"


def test_a_caller_without_standard_streams_is_served(place):  # noqa: F811
    argv = place.drop_in()
    assert run("sh", "-c", 'exec "$0" "$@" 0<&- 1>&- 2>&-', PLYFS, *argv, timeout=60).returncode == 0
    put(place.at / "new", "new")
    assert get(place.at / "f") == b"lower"
    pid = daemon_of(place.at)
    assert {os.readlink(f"/proc/{pid}/fd/{n}") for n in (0, 1, 2)} == {"/dev/null"}
    umount(place.at)
    assert get(place.upper / "new") == b"new"


def test_the_reason_of_a_failure_is_on_stderr_and_nothing_stays(place):  # noqa: F811
    for options, words in ((f"lowerdir={place.low}/none", f"{place.low}/none"),
                           (f"lowerdir={place.low},upperdir={place.upper}", "workdir"),
                           (f"lowerdir={place.low},nonsense=1", "nonsense")):
        done = plyfs("-o", options, place.at)
        assert done.returncode > 0 and done.stdout == "" and words in done.stderr
        assert not is_mounted(place.at)


# ---- 3: options ---------------------------------------------------------------------------------

def test_without_an_upper_every_change_is_refused_as_read_only(place):  # noqa: F811
    place.mount(*place.drop_in(upper=False, work=False))
    at = os.fspath(place.at)
    acts = [(put, f"{at}/new"), (os.mkdir, f"{at}/new"), (os.symlink, "x", f"{at}/new"),
            (os.mkfifo, f"{at}/new"), (os.unlink, f"{at}/f"), (os.rmdir, f"{at}/d"),
            (os.rename, f"{at}/f", f"{at}/g"), (os.link, f"{at}/f", f"{at}/g"),
            (os.chmod, f"{at}/f", 0o600), (os.chown, f"{at}/f", 1, 1), (os.truncate, f"{at}/f", 0),
            (os.utime, f"{at}/f"), (os.setxattr, f"{at}/f", "user.x", b"x"),
            (os.open, f"{at}/f", os.O_RDWR), (os.open, at, os.O_TMPFILE | os.O_RDWR)]
    assert [attempt(*act) for act in acts] == ["EROFS"] * len(acts)


# ---- 5: mount.fuse3, mount(8), fstab ------------------------------------------------------------

def test_containerds_call_of_mount_fuse3(place, named):  # noqa: F811
    need_tool("mount.fuse3")
    place.watch(place.at)
    env = {**os.environ, "PATH": f"{named.parent}:{os.environ['PATH']}"}
    run("mount.fuse3", "overlay", place.at, "-o", f"workdir={place.work}", "-o",
        f"upperdir={place.upper}", "-o", f"lowerdir={place.low}", "-t", "fuse-overlayfs", env=env)
    put(place.at / "new", "new")
    command = pathlib.Path(f"/proc/{daemon_of(place.at)}/cmdline").read_bytes().split(b"\0")
    assert os.path.basename(command[0]) == b"fuse-overlayfs"
    assert command[1:3] == [b"overlay", os.fsencode(place.at)] and b"dev,suid" in command[-2]
    umount(place.at)
    assert get(place.upper / "new") == b"new"


def in_helpers_namespace(place, script, *argv, helper="mount.fuse.plyfs"):  # noqa: F811
    """Runs sh where /usr/sbin has mount.fuse.plyfs too, and PATH a plyfs."""
    need(os.path.realpath("/sbin") == "/usr/sbin", "needs /sbin in /usr")
    helpers = place.box.directory("helpers")
    for name in {helper, "plyfs"} - {"mount.fuse"}:
        os.symlink(PLYFS, helpers / name)
    return run("unshare", "-m", "--propagation", "private", "sh", "-ec",
               f"mount -t overlay overlay -o lowerdir={helpers}:/usr/sbin /usr/sbin\n{script}",
               "sh", *argv, env={**os.environ, "PATH": f"{os.environ['PATH']}:{helpers}"})


def test_mount_finds_it_by_its_type(place):  # noqa: F811
    options = place.drop_in()[1]
    done = in_helpers_namespace(place, """
        mount -t fuse.plyfs -s -n -v -o "$1" any "$2"
        cat "$2/f"; echo new > "$2/new"
        findmnt -n -o FSTYPE "$2"
        umount "$2"
        mount -f -t fuse.plyfs -o "$1" any "$2"
        ! mountpoint -q "$2"
    """, options, place.at)
    assert done.stdout.split() == ["lowerfuse.plyfs"]
    assert get(place.upper / "new") == b"new\n"


def test_a_line_of_fstab_mounts_it(place):  # noqa: F811
    options = place.drop_in()[1]
    table = place.box.path / "fstab"
    words = "defaults,noauto,nofail,_netdev,user,exec,dev,suid,relatime,comment=c,x-systemd.automount,"
    table.write_text(f"plyfs {place.at} fuse.plyfs {words}{options} 0 0\n")
    done = in_helpers_namespace(place, """
        mount -T "$1" "$2"
        cat "$2/f"
        findmnt -n -o OPTIONS "$2"
        umount "$2"
    """, table, place.at)
    assert done.stdout.startswith("lowerrw,") and "nosuid" not in done.stdout


REMOUNTS = """
        at=$2
        flags() { findmnt -n -o VFS-OPTIONS "$at" | cut -d, -f1-3; }
        mount -T "$1" "$2"; flags
        for words in remount,ro remount,nosuid remount,rw,suid; do
            mount -o $words "$2"; flags
            touch "$2/made" && echo made || echo refused
        done
        mount -o remount,ro,lowerdir=/nowhere "$2"; flags
        mount -T "$1" -o remount "$2"; flags
        exec 5>>"$2/f"
        mount -o remount,ro "$2" || flags
        exec 5>&-
        mount -o remount,noatime "$2" || flags
        mount -o remount,nonsense "$2" || flags
        umount "$2"
"""


@pytest.mark.parametrize("helper", ["mount.fuse.plyfs", "mount.fuse"])
def test_a_mount_is_given_other_flags(place, helper):  # noqa: F811
    """By its own helper, and by libfuse's, which is there in any case."""
    need_tool("mount.fuse3")
    options = place.drop_in()[1]
    table = place.box.path / "fstab"
    table.write_text(f"plyfs {place.at} fuse.plyfs noauto,nodev,{options} 0 0\n")
    done = in_helpers_namespace(place, REMOUNTS, table, place.at, helper=helper)
    assert done.stdout.split() == [
        "rw,nodev,relatime", "ro,nodev,relatime", "refused", "ro,nosuid,nodev", "refused",
        "rw,nodev,relatime", "made", "ro,nodev,relatime", "rw,nodev,relatime",
        "rw,nodev,relatime", "rw,nodev,relatime", "rw,nodev,relatime"]
    for words in ("open for writing", "noatime and nodiratime are taken when it is mounted", "'nonsense'"):
        assert words in done.stderr


@pytest.mark.parametrize("options", ["lowerdir={0.low}", "lowerdir={0.low},upperdir={0.upper},workdir={0.work},ro"],
                         ids=["no upper", "ro"])
def test_what_was_mounted_to_be_read_is_not_made_writable(place, options):  # noqa: F811
    place.mount("-o", options.format(place), place.at)
    done = run(PLYFS, "-o", "remount,rw", place.at, check=False)
    assert done.returncode and "it was mounted read-only, or without an upper layer" in done.stderr
    assert os.statvfs(place.at).f_flag & os.ST_RDONLY


def test_what_is_no_mount_of_plyfs_is_given_no_flags(place):  # noqa: F811
    assert "no mount of plyfs" in run(PLYFS, "-o", "remount,ro", place.at, check=False).stderr
    place.mount(*place.drop_in())
    assert "it is no mountpoint" in run(PLYFS, "-o", "remount,ro", place.at / "d", check=False).stderr


def test_mount_fuse3_finds_it_by_the_source(place):  # noqa: F811
    need_tool("mount.fuse3")
    done = in_helpers_namespace(place, """
        mount.fuse3 plyfs#overlay "$2" -o "$1,noauto,_netdev"
        cat "$2/f"
        umount "$2"
        mount -t fuse.nothing plyfs#overlay "$2" -o "$1" || echo refused
    """, place.drop_in()[1], place.at)
    assert done.stdout.startswith("lower")


# ---- 6: what the kernel is told -----------------------------------------------------------------

def told_to_the_kernel(at):
    with open("/proc/self/mountinfo", encoding="utf-8") as table:
        line = next(line.split() for line in table if line.split()[4] == os.fspath(at))
    return set(line[5].split(",")), set(line[-1].split(","))


def test_the_kernel_is_told_the_defaults_of_root(place):  # noqa: F811
    place.mount(*place.drop_in())
    flags, words = told_to_the_kernel(place.at)
    assert not flags & {"nosuid", "nodev", "ro"}
    assert {"allow_other", "default_permissions"} <= words


# ---- 8: how a diff is made ----------------------------------------------------------------------

CAPABILITY = "security.capability"


def walk(root):
    """As the engines' changes walk: for every file lstat, one attribute, all names of attributes."""
    found = {}
    for where, names, files in os.walk(root):
        for name in names + files:
            path = os.path.join(where, name)
            st = os.lstat(path)
            capability = attempt(os.getxattr, path, CAPABILITY, follow_symlinks=False)
            names_of = sorted(os.listxattr(path, follow_symlinks=False))
            found[os.path.relpath(path, root)] = (
                st.st_mode, st.st_uid, st.st_gid, st.st_rdev, st.st_mtime_ns,
                0 if stat.S_ISDIR(st.st_mode) else st.st_size, capability, names_of)
    return found


def test_a_walk_of_layer_and_parent_finds_the_change_and_nothing_else(sandbox, profile):
    low, upper, work = (sandbox.directory(n) for n in ("low", "upper", "work"))
    fill(low, {"kept": {"a": "a", "b": "b"}, "d": {"old": "old", "file": "file", "cap": "cap"}, "gone": "x"})
    for path, _, files in os.walk(low):
        for name in [*files, ""]:
            os.utime(os.path.join(path, name), ns=(10**18, 10**18))
    with sandbox.plyfs([low], upper, work, form="o", profile=profile) as mount:
        put(f"{mount.at}/d/new", "new")
        with open(f"{mount.at}/d/file", "ab") as file:
            file.write(b"!")
        os.setxattr(f"{mount.at}/d/cap", CAPABILITY, bytes.fromhex("0000000200200000000000000000000000000000"))
        os.unlink(f"{mount.at}/gone")
        os.chmod(f"{mount.at}/kept/a", 0o644)   # as it was: copied up, and no change
        os.utime(f"{mount.at}/d", ns=(2 * 10**18, 2 * 10**18))
    parent = sandbox.plyfs([low], form="o", profile=profile)
    layer = sandbox.plyfs([upper, low], form="o", profile=profile)
    with parent, layer:
        before, after = walk(parent.at), walk(layer.at)
    assert set(after) - set(before) == {"d/new"} and set(before) - set(after) == {"gone"}
    changed = {path for path in set(before) & set(after) if before[path] != after[path]}
    assert changed == {"d", "d/file", "d/cap"}
    assert not [name for record in after.values() for name in record[-1]
                if name.startswith(("trusted.", "user."))]
    assert after["d/cap"][6] and before["d/cap"][6] == "ENODATA"


# ---- 9: what is done with an upper --------------------------------------------------------------

def changes(at):
    put(f"{at}/made", "made")
    os.unlink(f"{at}/gone")
    shutil.rmtree(f"{at}/tree")
    os.mkdir(f"{at}/tree")
    os.rename(f"{at}/f", f"{at}/g")
    os.chown(f"{at}/one", 5, 6)
    os.mkfifo(f"{at}/pipe")


LAYER = {"f": "lower", "gone": "gone", "tree": {"x": "x", "sub": {"y": "y"}}, "one": "linked", "d": {}}


def test_an_upper_holds_what_was_changed_and_no_file_of_ours(sandbox):
    low, upper, work = (sandbox.directory(n) for n in ("low", "upper", "work"))
    fill(low, LAYER)
    with sandbox.plyfs([low], upper, work, form="o") as mount:
        changes(mount.at)
        shown = set(os.listdir(mount.at))
    held = {os.path.relpath(os.path.join(where, name), upper)
            for where, names, files in os.walk(upper) for name in names + files}
    assert held == {"made", "gone", "tree", "f", "g", "one", "pipe"}
    whiteouts = {name for name in held if kit.is_whiteout(upper / name)}
    assert whiteouts == {"gone", "f"} and held - whiteouts <= shown
    assert os.getxattr(upper / "tree", "trusted.overlay.opaque") == b"y"
    shutil.rmtree(upper)
    shutil.rmtree(work)


def give_away(root, uid, gid):
    """As storage gives a layer to another user: names of one inode are linked anew."""
    first = {}
    for where, names, files in os.walk(root, topdown=False):
        for name in names + files:
            path = os.path.join(where, name)
            st = os.lstat(path)
            if not stat.S_ISDIR(st.st_mode) and st.st_nlink > 1:
                if st.st_ino in first:
                    os.unlink(path)
                    os.link(first[st.st_ino], path, follow_symlinks=False)
                    continue
                first[st.st_ino] = path
            os.chown(path, uid, gid, follow_symlinks=False)
    os.chown(root, uid, gid)


def test_a_whole_layer_is_given_away_and_its_links_made_anew(sandbox, profile):
    low, upper, work = (sandbox.directory(n) for n in ("low", "upper", "work"))
    fill(low, LAYER)
    for number in range(3):
        os.link(low / "one", low / f"d/link{number}")
    os.symlink("one", low / "symlink")
    expected = listing(low)
    with sandbox.plyfs([low], upper, work, form="o", profile=profile) as mount:
        give_away(mount.at, 1000, 1001)
        found = listing(mount)
    for path, record in expected.items():
        record["owner"] = "1000:1001"
        if path == "d":
            record["mtime"] = found[path]["mtime"]      # names were taken out of it and put back
        if path == ".":
            record["mtime"] = found[path]["mtime"]
            record["mode"] = found[path]["mode"]        # the root's are the upper's
    assert_same(expected, found)


# ---- 11: the end --------------------------------------------------------------------------------

def test_after_syncfs_and_a_lazy_unmount_the_layer_can_be_removed_at_once(place, profile):  # noqa: F811
    profile = ("profile=stateless,writeback=on" if profile == "writeback" else f"profile={profile}")
    pid = place.mount(*place.drop_in("-o", profile))
    for number in range(200):
        put(place.at / f"new{number}", os.urandom(5000))
    with open(place.at / "f", "ab") as file:
        file.write(b" and more")
    fd = os.open(place.at, os.O_RDONLY)
    assert LIBC.syncfs(ctypes.c_int(fd)) == 0
    os.close(fd)
    umount(place.at, lazy=True)
    assert get(place.upper / "f") == b"lower and more"
    assert len(get(place.upper / "new199")) == 5000
    for path in (place.upper, place.work):
        shutil.rmtree(path)
        path.mkdir()
    wait_for(lambda: gone(pid), "the daemon's end")
    assert os.listdir(place.upper) == [] and os.listdir(place.work) == []


# ---- 12: volatile -------------------------------------------------------------------------------

def test_the_mark_of_a_volatile_mount_stays_and_stops_the_next(place):  # noqa: F811
    mark = place.work / "work/incompat/volatile"
    place.mount(*place.drop_in("-o", "volatile"))
    put(place.at / "new", "new")
    umount(place.at)
    assert mark.exists()
    for option in ("volatile", "rw"):
        done = plyfs(*place.drop_in("-o", option))
        assert done.returncode > 0 and "volatile" in done.stderr
    shutil.rmtree(mark.parent)      # as the engines do before each mount
    place.mount(*place.drop_in("-o", "volatile"))
    assert get(place.at / "new") == b"new"


# ---- 13: filesystems beneath --------------------------------------------------------------------

def on_ramfs(box):
    """No extended attributes at all."""
    at = box.directory("ramfs")
    run("mount", "-t", "ramfs", "ramfs", at)
    return at


def on_overlayfs(box):
    """Its own attributes are the kernel's, and no O_TMPFILE of ours is one of its."""
    at, lower, upper, work = (box.directory(n) for n in ("overlay", "ol", "ou", "ow"))
    run("mount", "-t", "overlay", "overlay", "-o", f"lowerdir={lower},upperdir={upper},workdir={work}", at)
    return at


def on_fuse(box):
    """No rename flags, no O_TMPFILE, no file handles. To bindfs two names of a file are two files: what it
    told of one would stay for a second when the other goes."""
    need_tool("bindfs")
    at, source = box.directory("fuse"), box.directory("source")
    run("bindfs", "-o", "attr_timeout=0", source, at)
    return at


def on_plyfs(box):
    at, lower, upper, work = (box.directory(n) for n in ("union", "pl", "pu", "pw"))
    run(PLYFS, "-o", f"lowerdir={lower},upperdir={upper},workdir={work}", at)
    return at


BACKINGS = {"ramfs": on_ramfs, "overlayfs": on_overlayfs, "fuse": on_fuse, "plyfs": on_plyfs}
TREE = {"f": "lower", "gone": "gone", "one": "linked", "big": "b" * 300000, "empty": "",
        "tree": {"x": "x", "sub": {"y": "y"}}, "again": {"x": "x", "sub": {"y": "y"}},
        "kept": {"x": "x"}, "d": {"a": "a", "b": "b"}, "becomes-file": {"x": "x"}, "becomes-dir": "x",
        "target": {"x": "x"}, "emptied": {"x": "x"}}
# What a filesystem without attributes cannot keep is not compared.
COMPARED = {"times": None, "xattrs": False, "links": False}


def live(at):
    put(f"{at}/new", "new")
    os.symlink("new", f"{at}/link")
    os.mkfifo(f"{at}/pipe")
    os.makedirs(f"{at}/d/new/deeper")
    with open(f"{at}/big", "r+b") as file:
        file.seek(150000)
        file.write(b"changed")
    os.truncate(f"{at}/empty", 10)
    os.unlink(f"{at}/gone")
    put(f"{at}/again2")
    os.unlink(f"{at}/again2")
    shutil.rmtree(f"{at}/tree")
    shutil.rmtree(f"{at}/again")
    os.mkdir(f"{at}/again")
    put(f"{at}/again/x", "new x")
    shutil.rmtree(f"{at}/becomes-file")
    put(f"{at}/becomes-file", "file")
    os.unlink(f"{at}/becomes-dir")
    os.mkdir(f"{at}/becomes-dir", 0o700)
    os.rename(f"{at}/f", f"{at}/d/moved")
    os.rename(f"{at}/d/a", f"{at}/d/b")
    os.unlink(f"{at}/emptied/x")
    os.mkdir(f"{at}/made")
    os.rename(f"{at}/made", f"{at}/emptied")
    os.mkdir(f"{at}/made")
    put(f"{at}/made/inside")
    shutil.rmtree(f"{at}/target")
    os.rename(f"{at}/made", f"{at}/target")
    os.link(f"{at}/one", f"{at}/two")
    os.chmod(f"{at}/kept/x", 0o600)
    os.chown(f"{at}/kept", 5, 6)
    os.utime(f"{at}/two", (1, 1))


def live_on(box, base, **words):
    """The same changes in layers under `base`: what is seen, and what remounts see."""
    layers = [base / "layer0", base / "layer1"]
    upper, work = base / "upper", base / "work"
    for path in (*layers, upper, work):
        path.mkdir()
    fill(layers[1], TREE)
    fill(layers[0], {"kept": {"y": "y"}, "tree": {"z": "z"}})
    seen = []
    with box.plyfs(layers, upper, work, form="o", **words) as mount:
        live(mount.at)
        seen.append(listing(mount, **COMPARED))
        mount.remount()
        seen.append(listing(mount, **COMPARED))
    with box.plyfs([upper, *layers], form="o") as mount:
        seen.append(listing(mount, **COMPARED))
    return seen


@pytest.mark.parametrize("backing", BACKINGS)
def test_layers_on_other_filesystems_are_served_the_same(backing, profile):
    outer, inner = Sandbox(), Sandbox()
    at = None
    try:
        at = BACKINGS[backing](outer)
        plain = inner.directory("plain")
        expected = live_on(inner, plain)[0]
        inner.close()
        inner = Sandbox()
        for number, found in enumerate(live_on(inner, pathlib.Path(at), profile=profile)):
            assert_same(expected, found, f"on tmpfs (left), on {backing} (right), look {number}")
    finally:
        inner.close()
        if at:
            wait_for(lambda: attempt(umount, at) is None, "the daemons' end")
        outer.close()


# ---- 14: programs -------------------------------------------------------------------------------

@pytest.mark.parametrize("tool", ["tar", "rsync"])
def test_tar_and_rsync_carry_a_tree_through_the_mount(sandbox, profile, tool):
    """Out of a lower layer, with its hard links, and into the mount again over what is there."""
    need_tool(tool)
    low, upper, work = (sandbox.directory(n) for n in ("low", "upper", "work"))
    fill(low, {"from": LAYER, "to": {"f": "other", "tree": "a file"}})
    for number in range(3):
        os.link(low / "from/one", low / f"from/d/link{number}")
    os.symlink("one", low / "from/symlink")
    os.mkfifo(low / "from/pipe")
    os.chown(low / "from/f", 5, 6)
    os.chmod(low / "from/one", 0o4755)
    script = ('tar -C "$1/from" -cpf - . | tar -C "$1/to" -xpf - --recursive-unlink --numeric-owner'
              if tool == "tar" else 'rsync -acH --numeric-ids --delete "$1/from/" "$1/to/"')
    def same(mount):
        trees = [listing(f"{mount.at}/{name}") for name in ("from", "to")]
        for records in trees:
            records["."].pop("mtime")   # tar does not set it with --recursive-unlink, anywhere
        assert_same(*trees)

    with sandbox.plyfs([low], upper, work, form="o", profile=profile) as mount:
        run("sh", "-ec", script, "sh", mount.at)
        same(mount)
    with sandbox.plyfs([low], upper, work, form="o", profile=profile) as mount:
        same(mount)
