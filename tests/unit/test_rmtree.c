/* SPDX-License-Identifier: MIT
 *
 * Where the tests run as root, what depends on modes runs with the user id of an ordinary user.
 */
#include "kit.h"

#include "fd.h"
#include "rmtree.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>

enum { ORDINARY = 65534, DEEP = 10000, WIDE = 300 };

/* Gives the test's directory to an ordinary user, as whom the rest of the test runs. */
static void become_ordinary(void)
{
    if (geteuid() != 0)
        return;
    assert_int_equal(fchown(kit_root(), ORDINARY, ORDINARY), 0);
    assert_int_equal(seteuid(ORDINARY), 0);
}

static int leave_as_before(void **state)
{
    if (getuid() == 0 && seteuid(0) < 0)
        return -1;
    return kit_leave(state);
}

#define ordinary_test(function)                                                                    \
    {                                                                                              \
#function, function, kit_enter, leave_as_before, NULL                                      \
    }

static void assert_removes(const char *name)
{
    assert_int_equal(rmtree(kit_root(), name), 0);
    assert_false(kit_exists(name));
}

static void a_tree_a_file_and_nothing_are_removed(void **state)
{
    (void)state;
    kit_tree("d tree/a/b/c, f tree/a/file text, f tree/a/b/file text, h tree/link tree/a/file,"
             "d empty, f file text, w tree/a/white");
    assert_removes("tree");
    assert_removes("empty");
    assert_removes("file");
    assert_removes("none");
    assert_int_equal(kit_entries("."), 0);
}

static void no_symlink_is_followed(void **state)
{
    (void)state;
    kit_tree("f outside/keep text, d tree/sub, l tree/link ../outside, l tree/up ..,"
             "l tree/sub/link ../../outside, l tree/file ../outside/keep, l alone outside");
    assert_removes("tree");
    assert_removes("alone");
    kit_assert_text("outside/keep", "text");
}

static void make_named(int dir, const char *name, bool directory)
{
    if (directory)
        assert_int_equal(mkdirat(dir, name, 0755), 0);
    else
        assert_int_equal(mknodat(dir, name, S_IFREG | 0644, 0), 0);
}

static void names_that_hurt_elsewhere_are_only_names(void **state)
{
    (void)state;
    char longest[256];
    memset(longest, 0xfe, 255);
    longest[255] = 0;
    const char *const names[] = {"-rf", "...", " ", "\n", "\\", "*", "\033[2J", "%s", "#", longest};
    const char *const places[] = {"tree", "tree/in", "tree/in/deep"};
    kit_dir("tree/in/deep");
    for (size_t i = 0; i < 3 * sizeof(names) / sizeof(names[0]); i++) {
        const char *name = names[i / 3];
        cleanup_fd int dir = kit_open(places[i % 3], O_RDONLY | O_DIRECTORY);
        make_named(dir, name, true);
        cleanup_fd int inner = fd_open_name(dir, name, O_RDONLY | O_DIRECTORY, 0);
        make_named(inner, name, true);
        make_named(inner, "file", false);
    }
    assert_removes("tree");
}

/* A chain of directories of which each holds the next one, a file, and a few more directories. */
static void make_deep(const char *top)
{
    kit_dir(top);
    cleanup_fd int at = kit_open(top, O_RDONLY | O_DIRECTORY);
    for (unsigned level = 0; level < DEEP; level++) {
        if (level % 100 == 0) {
            make_named(at, "file", false);
            make_named(at, "side", true);
            make_named(at, "#1", true);
        }
        make_named(at, "d", true);
        int next = fd_open_name(at, "d", O_RDONLY | O_DIRECTORY, 0);
        assert_true(next >= 0);
        own_close(&at);
        at = next;
    }
}

static void ten_thousand_levels_take_few_descriptors(void **state)
{
    (void)state;
    struct rlimit before, few = {.rlim_cur = 16};
    make_deep("deep");
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few.rlim_max = before.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    int err = rmtree(kit_root(), "deep");
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(err, 0);
    assert_false(kit_exists("deep"));
}

static void many_full_directories_are_removed(void **state)
{
    (void)state;
    char path[64];
    for (unsigned i = 0; i < WIDE; i++) {
        snprintf(path, sizeof(path), "wide/%u/%u/%u/file", i, i % 7, i % 3);
        kit_file(path, "");
    }
    assert_removes("wide");
}

static void modes_keep_no_owner_out(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        mode_t mode;
    } closed[] = {
        {"tree/readable/in/in", 0500}, {"tree/readable/in", 0500},
        {"tree/readable", 0500},       {"tree/blind/in", 0300},
        {"tree/blind", 0300},          {"tree/shut/in", 0000},
        {"tree/shut", 0000},           {"tree/list/in", 0400},
        {"tree/list", 0400},           {"tree", 0000},
    };
    become_ordinary();
    kit_tree("f tree/readable/in/in/file text, f tree/blind/in/file text, f tree/shut/in/file text,"
             "f tree/list/in/file text, d tree/list/in/deeper/still, f tree/shut/file text");
    for (size_t i = 0; i < sizeof(closed) / sizeof(closed[0]); i++)
        assert_int_equal(fd_chmod(kit_root(), closed[i].path, closed[i].mode), 0);
    assert_removes("tree");
}

static void a_shut_directory_is_moved_away(void **state)
{
    (void)state;
    become_ordinary();
    kit_tree("f from/tree/file text, d to");
    cleanup_fd int from = kit_open("from", O_RDONLY | O_DIRECTORY);
    cleanup_fd int to = kit_open("to", O_RDONLY | O_DIRECTORY);
    assert_int_equal(fd_chmod(from, "tree", 0500), 0);
    assert_int_equal(rmtree_move(from, "tree", to, "there"), 0);
    kit_assert_text("to/there/file", "text");
    assert_int_equal(rmtree_move(from, "tree", to, "there"), -ENOENT);
}

/* The tree cannot go, because what it lies in belongs to nobody who may write: its content can. */
static void a_failure_is_told_when_the_rest_is_gone(void **state)
{
    (void)state;
    become_ordinary();
    kit_tree("f fixed/tree/a/b/file text, f fixed/tree/file text");
    cleanup_fd int fixed = kit_open("fixed", O_RDONLY | O_DIRECTORY);
    assert_int_equal(fd_chmod(kit_root(), "fixed", 0500), 0);
    assert_int_equal(rmtree(fixed, "tree"), -EACCES);
    assert_int_equal(fd_chmod(kit_root(), "fixed", 0700), 0);
    assert_int_equal(rmtree(fixed, "tree"), 0);
}

/* What stays is called as the first directory that is moved up would be. */
static void another_users_files_stay_and_all_others_go(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    kit_tree("f tree/#0/file text, f tree/a/b/c/own text");
    static const char *const own[] = {"tree", "tree/a", "tree/a/b", "tree/a/b/c", "tree/a/b/c/own"};
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
        assert_int_equal(fchownat(kit_root(), own[i], ORDINARY, ORDINARY, 0), 0);
    become_ordinary();
    assert_int_equal(rmtree(kit_root(), "tree"), -EACCES);
    assert_int_equal(seteuid(0), 0);
    assert_int_equal(kit_entries("tree"), 1);
    kit_assert_text("tree/#0/file", "text");
    assert_removes("tree");
}

static bool set_immutable(const char *path, bool on)
{
    cleanup_fd int fd = kit_open(path, O_RDONLY);
    int flags = on ? FS_IMMUTABLE_FL : 0;
    return ioctl(fd, FS_IOC_SETFLAGS, &flags) == 0;
}

static void what_is_immutable_is_told_and_stays(void **state)
{
    (void)state;
    kit_tree("f tree/#0 text, f tree/a/b/file text");
    if (!set_immutable("tree/#0", true))
        skip();
    int err = rmtree(kit_root(), "tree");
    unsigned left = kit_entries("tree");
    assert_true(set_immutable("tree/#0", false));
    assert_int_equal(err, -EPERM);
    assert_int_equal(left, 1);
    assert_removes("tree");
}

/* In a mount namespace of its own: 0 when the content of what is mounted in the tree is kept; 1
 * when not; 2 when nothing can be mounted here. */
static int remove_around_mount(const char *outside, const char *inside)
{
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount(outside, inside, NULL, MS_BIND, NULL) < 0)
        return 2;
    int err = rmtree(kit_root(), "tree");
    return err == -EBUSY && kit_exists("outside/keep") && !kit_exists("tree/a/file") ? 0 : 1;
}

static void what_is_mounted_in_a_tree_is_kept(void **state)
{
    (void)state;
    int status;
    kit_tree("f outside/keep text, d tree/a/b/mnt, f tree/a/file text");
    cleanup_free char *outside = kit_path("outside"), *inside = kit_path("tree/a/b/mnt");
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(remove_around_mount(outside, inside));
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 2)
        skip();
    assert_int_equal(status, 0);
    kit_assert_text("outside/keep", "text");
    assert_removes("tree");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(a_tree_a_file_and_nothing_are_removed),
        kit_test(no_symlink_is_followed),
        kit_test(names_that_hurt_elsewhere_are_only_names),
        kit_test(ten_thousand_levels_take_few_descriptors),
        kit_test(many_full_directories_are_removed),
        ordinary_test(modes_keep_no_owner_out),
        ordinary_test(a_shut_directory_is_moved_away),
        ordinary_test(a_failure_is_told_when_the_rest_is_gone),
        ordinary_test(another_users_files_stay_and_all_others_go),
        kit_test(what_is_immutable_is_told_and_stays),
        kit_test(what_is_mounted_in_a_tree_is_kept),
    };
    return kit_run("rmtree", tests, sizeof(tests) / sizeof(tests[0]));
}
