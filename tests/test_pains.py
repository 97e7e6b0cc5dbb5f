# SPDX-License-Identifier: MIT
"""What has gone wrong in other union filesystems, each with the tests that hold plyfs to doing better.

The table below is the list; a test checks that every line of it has tests, and that these exist. What no
other suite has is tested here.
"""
import ast
import os
import re
import shutil
import signal
import stat

from harness import ROOT, need_root, need_tool, run, umount
from test_cli import place  # noqa: F401  (a fixture)
from worlds import attempt, get, put

TESTS = ROOT / "tests"

PAINS = {
    "old content or zeros after a copy-up": [
        "test_io.py: random_io_over_a_lower_file_matches_its_model", "test_semantics.py: private_and_shared_mappings_of_a_lower_file",
        "test_io.py: sqlite_wal_database_from_a_lower_layer_survives_a_killed_writer",
        "test_io.py: package_database_updated_through_mappings_equals_its_twin"],
    "a daemon that asserts, and the mount with it": [
        "test_pains.py: no_request_meets_an_assertion_or_an_exit", "test_hostile.py: nothing_gets_out_of_layers_in_which",
        "test_callers.py: what_is_said_wrongly_to_the_control_socket_does_not_touch_the_daemon"],
    "daemons without a mount and mounts without a daemon": [
        "test_cli.py: the_daemon_ends_with_its_mount", "test_named.py: prune_clears_dead_mountpoints_and_asks_first",
        "test_named.py: a_mount_whose_daemon_was_killed_is_dead_and_mounts_again"],
    "deleted content that comes back, depending on who looks first": [
        "test_semantics.py: deleted_content_stays_gone_in_a_recreated_directory_listed_first",
        "test_semantics.py: deleted_content_stays_gone_in_a_recreated_directory_looked_up_first",
        "test_semantics.py: opaque_directory_hides_what_lies_below_when_looked_up_first"],
    "uppers that the kernel cannot mount": [
        "test_interop.py: the_kernel_reads_what_plyfs_left", "test_interop.py: both_leave_the_same_on_disk"],
    "a mknod that succeeds and makes no whiteout": [
        "test_pains.py: a_filesystem_that_makes_something_else_of_a_whiteout_is_found_out",
        "unit/test_upper.c: opening_finds_out_what_the_filesystem_can_do"],
    "whiteouts missing, left over or needless after a rename": [
        "test_semantics.py: whiteouts_are_where_a_lower_name_must_be_hidden_and_nowhere_else",
        "test_interop.py: no_whiteout_where_nothing_lies_below", "test_semantics.py: exchange_of_a_lower_directory_and_a_file"],
    "EXDEV when a directory is renamed": [
        "test_semantics.py: rename_of_a_lower_directory_needs_no_copy_and_gives_no_exdev",
        "test_cli.py: an_ordinary_users_work_survives_a_remount"],
    "a rename of a directory that copies it": ["test_interop.py: a_directory_rename_moves_no_data"],
    "wrong link counts, and hard links that part": [
        "test_semantics.py: hard_links_of_a_lower_file_stay_one_inode_over_copy_up",
        "test_semantics.py: link_counts_follow_unlink_and_link_of_lower_names"],
    "inode numbers that change or meet": [
        "test_identity.py: inode_numbers_are_unique_over_all_layers", "test_identity.py: inode_numbers_stay_over_copy_up",
        "test_identity.py: inode_numbers_stay_over_remount", "test_deep.py: inode_numbers_are_unique_over_500_layers"],
    "errors of names that are renamed meanwhile": ["test_pains.py: a_name_that_is_always_there_is_always_found"],
    "times that change while nobody writes": [
        "test_semantics.py: reading_and_listing_change_no_time",
        "test_semantics.py: copied_up_parents_keep_mode_owner_times_and_xattrs_exactly"],
    "copies into read-only files": [
        "test_semantics.py: copy_file_range_out_of_a_0444_file", "test_semantics.py: a_read_only_file_can_be_written_by_its_open_descriptor",
        "test_io.py: file_created_read_only_takes_every_change_through_its_descriptor"],
    "large directories": ["test_semantics.py: a_directory_of_many_names_is_listed_looked_up_and_emptied", "unit/test_merge.c: many_names_are_all_found"],
    "memory that only grows": [
        "test_memory.py: memory_after_a_walk_of_many_files_falls_back_when_caches_are_dropped",
        "test_memory.py: files_removed_through_the_mount_are_forgotten"],
    "a commit that walks the whole root": ["test_commit.py: the_layer_of_a_commit_holds_the_changes_alone", "test_named.py: diff_of_an_untouched_mount_is_empty"],
    "slowness, and one thread": [
        "test_bench.py: a_ratio_worse_by_more_than_half_is_found", "test_io.py: a_layer_that_does_not_answer_holds_up_only_who_asks_for_it"],
    "a change of mode that copies a large file": [
        "test_interop.py: metacopy_is_sparse_and_keeps_the_size", "test_io.py: changes_that_need_no_old_content_copy_none"],
    "ids that are mapped by changing every file": [
        "test_mapping.py: owners_of_both_layers_are_shown_as_fuse_overlayfs_shows_them",
        "test_mapping.py: what_is_made_and_given_away_lands_on_the_disk_as_with_fuse_overlayfs"],
    "layers edited underneath that are not seen": [
        "test_pains.py: what_was_edited_underneath_is_seen_at_the_next_mount", "test_routes.py: a_change_of_the_host_is_seen_at_the_very_next_stat",
        "test_hostile.py: layers_that_are_changed_while_they_are_mounted_end_no_daemon_and_let_nothing_out"],
    "descriptors that run out": [
        "test_memory.py: descriptors_stay_bounded_over_many_files_opened_in_turn", "test_memory.py: many_files_held_open_at_once_stay_usable"],
    "options that are ignored": ["test_cli.py: an_unknown_option_is_named", "test_cli.py: a_value_that_means_nothing_is_refused_with_its_option"],
    "nothing to look at but system calls": [
        "test_explain.py: a_situation_is_explained", "test_trace.py: every_kind_of_event_is_told",
        "test_copyups.py: the_first_change_of_a_file_is_told_with_its_cause_and_caller"],
    "parents whose mode is widened": ["test_semantics.py: copied_up_parents_keep_mode_owner_times_and_xattrs_exactly"],
    "a layer beneath its own mountpoint": [
        "test_cli.py: a_mountpoint_that_would_cover_a_layer_is_refused", "test_cli.py: layers_that_overlap_are_refused"],
    "unlinked files that are still open": [
        "test_semantics.py: an_unlinked_open_file_keeps_all_its_operations", "test_io.py: unlinked_open_file_is_still_a_whole_file"],
    "a rewind that shows an old listing": ["test_semantics.py: rewinddir_shows_new_entries_and_not_the_deleted"],
    "a lower layer that is written": ["test_io.py: lower_file_with_an_early_reader_is_never_written"],
    "temporary files left by a kill": [
        "unit/test_upper.c: opening_sweeps_what_a_killed_daemon_left", "test_cli.py: an_upper_whose_daemon_was_killed_can_be_mounted_again"],
    "attributes set through a symlink": [
        "test_semantics.py: xattr_calls_on_a_symlink_never_follow_it", "test_confined.py: no_call_of_the_daemon_follows_a_name_of_a_layer",
        "test_hostile.py: nothing_gets_out_of_directories_that_are_swapped_for_symlinks_while_they_are_walked"],
    "subtrees that are lost from view": [
        "test_model.py: the_own_form_equals_the_plain_tree_and_the_kernel",
        "test_hostile.py: a_name_that_is_broken_is_listed_and_fails_as_in_the_kernel_where"],
    "the longest names and paths": [
        "test_semantics.py: names_of_252_to_255_bytes_work_and_256_are_too_long", "test_semantics.py: paths_near_path_max_work_step_by_step",
        "test_hostile.py: a_path_of_4095_bytes_is_made_and_changed_and_one_more_is_refused"],
    "groups and modes of what is made": [
        "test_identity.py: a_setgid_directory_gives_its_group_to_a_stranger",
        "test_identity.py: a_default_acl_is_inherited_and_sets_the_umask_aside"],
    "setuid and capabilities that stay": [
        "test_identity.py: setuid_and_capabilities_fall_when_a_stranger_writes",
        "test_callers.py: every_way_of_writing_by_another_takes_setuid_and_capabilities_too"],
}
COUNT = 35      # of the complaints that were collected: none loses its line


# ---- the table ------------------------------------------------------------------------------------

def named_in(suite):
    """What a suite tests, without the test_ of Python."""
    text = (TESTS / suite).read_text(encoding="utf-8")
    if suite.endswith(".c"):
        return set(re.findall(r"(?:cmocka_unit|kit)_test\((\w+)\)", text))
    return {node.name.removeprefix("test_") for node in ast.parse(text).body
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def test_every_complaint_has_tests_that_exist():
    assert len(PAINS) == COUNT and all(PAINS.values())
    known = {suite: named_in(suite) for tests in PAINS.values() for suite in (one.split(": ")[0] for one in tests)}
    missing = [f"{pain}: {suite}: {test}" for pain, tests in PAINS.items() for suite, test in (one.split(": ") for one in tests)
               if test not in known[suite]]
    assert not missing, "\n".join(missing)


# ---- what no other suite has ------------------------------------------------------------------------

def test_no_request_meets_an_assertion_or_an_exit():
    """What serves requests answers with an errno; a daemon ends by its signal, or with its mount."""
    allowed = {("layers/digest.c", "assert"),    # of images, in commands
               ("fs/ready.c", "_exit"), ("fs/ending.c", "_exit"), ("fs/scratch.c", "_exit"), ("fs/unmount.c", "_exit")}
    found = []
    for file in sorted([*(ROOT / "layers").glob("*.c"), *(ROOT / "fs").glob("*.c")]):
        name = f"{file.parent.name}/{file.name}"
        code = re.sub(r"/\*.*?\*/", "", file.read_text(encoding="utf-8"), flags=re.S)
        found += [(name, call) for call in re.findall(r"(?<![\w.>])(assert|abort|exit|_exit|raise|__builtin_trap)\(", code)
                  if not name.startswith("fs/cmd_") and (name, call) not in allowed]
    assert not found


FALSE_MKNOD = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/stat.h>

/* As some shared filesystems do: a device 0:0 is made without an error, and is a file. */
int mknodat(int dir, const char *name, mode_t mode, dev_t device)
{
    int (*real)(int, const char *, mode_t, dev_t) = (int (*)(int, const char *, mode_t, dev_t))dlsym(RTLD_NEXT, "mknodat");
    return real(dir, name, S_ISCHR(mode) && device == 0 ? S_IFREG | (mode & 07777) : mode, device);
}
"""


def test_a_filesystem_that_makes_something_else_of_a_whiteout_is_found_out(place):
    need_tool("gcc")
    (place.box.path / "false.c").write_text(FALSE_MKNOD, encoding="ascii")
    run("gcc", "-shared", "-fPIC", "-o", place.box.path / "false.so", place.box.path / "false.c", "-ldl")
    place.mount(*place.own(), env={**os.environ, "LD_PRELOAD": str(place.box.path / "false.so")})
    os.unlink(f"{place.at}/gone")
    shutil.rmtree(f"{place.at}/d")
    assert os.listdir(place.at) == ["f"]
    umount(place.at)
    assert {name for name in os.listdir(place.upper) if stat.S_ISREG(os.lstat(place.upper / name).st_mode)} == {".wh.gone", ".wh.d"}
    place.mount(*place.own(lowers=[place.upper, place.low], upper=False, work=False))
    assert os.listdir(place.at) == ["f"]


def rename_for_ever(at):
    while True:
        os.rename(f"{at}/there", f"{at}/d/there")
        os.rename(f"{at}/d/there", f"{at}/there")
        put(f"{at}/new", "whole")
        os.rename(f"{at}/new", f"{at}/replaced")
        os.rename(f"{at}/moving", f"{at}/moved")
        os.rename(f"{at}/moved", f"{at}/moving")


def test_a_name_that_is_always_there_is_always_found(sandbox, profile):
    """A file that is replaced by a rename, and what lies in a directory that is held open and renamed."""
    need_root()
    lower, upper, work = (sandbox.directory(name) for name in ("lower", "upper", "work"))
    for path in ("there", "replaced", "moving/inside"):
        (lower / path).parent.mkdir(exist_ok=True)
        put(lower / path, "whole")
    (lower / "d").mkdir()
    with sandbox.plyfs([lower], upper, work, profile=profile) as mount:
        held = os.open(mount / "moving", os.O_RDONLY | os.O_DIRECTORY)
        renamer = os.fork()
        if renamer == 0:
            rename_for_ever(mount.at)
        try:
            for _ in range(1500):
                assert get(mount / "replaced") == b"whole"
                with os.fdopen(os.open("inside", os.O_RDONLY, dir_fd=held), "rb") as file:
                    assert file.read() == b"whole"
                assert attempt(os.stat, mount / "there") not in ("ESTALE", "EIO")
                assert "replaced" in os.listdir(mount.at)
        finally:
            os.kill(renamer, signal.SIGKILL)
            os.waitpid(renamer, 0)
            os.close(held)


def test_what_was_edited_underneath_is_seen_at_the_next_mount(sandbox, profile):
    """A layer belongs to the mount while it lasts; what may change meanwhile is a volume."""
    need_root()
    lower, upper, work = (sandbox.directory(name) for name in ("lower", "upper", "work"))
    put(lower / "f", "before")
    put(lower / "gone", "x")
    with sandbox.plyfs([lower], upper, work, profile=profile) as mount:
        assert get(mount / "f") == b"before" and sorted(os.listdir(mount.at)) == ["f", "gone"]
        put(lower / "f", "after, and longer")
        os.unlink(lower / "gone")
        put(lower / "new", "n")
        sandbox.regard(lower)
        mount.remount()
        assert get(mount / "f") == b"after, and longer" and sorted(os.listdir(mount.at)) == ["f", "new"]
