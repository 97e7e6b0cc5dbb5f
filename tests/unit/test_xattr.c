/* SPDX-License-Identifier: MIT
 *
 * Each case is run twice: with the kernel's *xattrat calls where it has them, and through /proc.
 */
#include "kit.h"

#include "xattr.h"

#include <fcntl.h>
#include <linux/limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

static int choose_way(void **state)
{
    xattr_use_proc(*state != NULL);
    return kit_enter(state);
}

static int leave_way(void **state)
{
    xattr_use_proc(false);
    return kit_leave(state);
}

#define both_ways(function)                                                                        \
    {#function, function, choose_way, leave_way, NULL},                                            \
    {                                                                                              \
#function " through /proc", function, choose_way, leave_way, through_proc                  \
    }
static char through_proc[] = "through /proc";

static void assert_round_trip(int dir, const char *name)
{
    char value[16], names[256];
    assert_int_equal(xattr_get(dir, name, "user.a", value, sizeof(value)), -ENODATA);
    assert_int_equal(xattr_set(dir, name, "user.a", "one", 3, 0), 0);
    assert_int_equal(xattr_set(dir, name, "user.a", "two", 3, XATTR_CREATE), -EEXIST);
    assert_int_equal(xattr_get(dir, name, "user.a", NULL, 0), 3);
    assert_int_equal(xattr_get(dir, name, "user.a", value, 2), -ERANGE);
    assert_int_equal(xattr_get(dir, name, "user.a", value, sizeof(value)), 3);
    assert_memory_equal(value, "one", 3);
    ssize_t length = xattr_list(dir, name, names, sizeof(names));
    assert_true(length > 0 && memmem(names, (size_t)length, "user.a", 7) != NULL);
    assert_int_equal(xattr_remove(dir, name, "user.a"), 0);
    assert_int_equal(xattr_remove(dir, name, "user.a"), -ENODATA);
}

static void a_name_in_a_directory(void **state)
{
    (void)state;
    kit_tree("f dir/file text, d dir/sub");
    cleanup_fd int dir = kit_open("dir", O_RDONLY | O_DIRECTORY);
    cleanup_fd int path = kit_open("dir", O_PATH | O_DIRECTORY);
    assert_round_trip(dir, "file");
    assert_round_trip(path, "file");
    assert_round_trip(dir, "sub");
    assert_int_equal(xattr_get(dir, "none", "user.a", NULL, 0), -ENOENT);
}

static void the_descriptor_itself(void **state)
{
    (void)state;
    kit_tree("f dir/file text");
    cleanup_fd int dir = kit_open("dir", O_RDONLY | O_DIRECTORY);
    cleanup_fd int dir_path = kit_open("dir", O_PATH | O_DIRECTORY);
    cleanup_fd int file = kit_open("dir/file", O_RDONLY);
    cleanup_fd int file_path = kit_open("dir/file", O_PATH);
    assert_round_trip(dir, "");
    assert_round_trip(dir_path, "");
    assert_round_trip(file, "");
    assert_round_trip(file_path, "");
}

/* Its own name "." cannot be looked up in it by whoever may not search it; its owner may
 * nevertheless ask for its attributes. */
static void a_directory_that_may_not_be_searched(void **state)
{
    (void)state;
    enum { SOMEBODY = 65534 };
    kit_tree("f dir/file text");
    cleanup_fd int dir = kit_open("dir", O_PATH | O_DIRECTORY);
    if (geteuid() == 0) {
        assert_int_equal(fchownat(kit_root(), "dir", SOMEBODY, SOMEBODY, 0), 0);
        assert_int_equal(fchmodat(kit_root(), "dir", 0600, 0), 0);
        assert_int_equal(seteuid(SOMEBODY), 0);
        assert_round_trip(dir, "");
        assert_int_equal(seteuid(0), 0);
    } else {
        assert_int_equal(fchmodat(kit_root(), "dir", 0600, 0), 0);
        assert_round_trip(dir, "");
        assert_int_equal(fchmodat(kit_root(), "dir", 0700, 0), 0);
    }
}

static void a_symlink_is_not_followed(void **state)
{
    (void)state;
    kit_tree("f dir/file text, l dir/link file");
    cleanup_fd int dir = kit_open("dir", O_RDONLY | O_DIRECTORY);
    assert_int_equal(xattr_set(dir, "file", "user.a", "one", 3, 0), 0);
    char *none = NULL;
    assert_int_equal(xattr_get(dir, "link", "user.a", NULL, 0), -ENODATA);
    assert_true(xattr_list_all(dir, "link", &none) <= 0);
    assert_null(none);
    /* The kernel refuses user.* on a symlink. */
    assert_int_equal(xattr_set(dir, "link", "user.a", "two", 3, 0), -EPERM);
    assert_int_equal(xattr_get(dir, "file", "user.a", NULL, 0), 3);
}

static void a_list_of_any_length_is_read(void **state)
{
    (void)state;
    kit_tree("f file text");
    char attr[32], *names;
    size_t expected = 0;
    for (int i = 0; i < 60; i++) {
        snprintf(attr, sizeof(attr), "user.attribute%02d", i);
        assert_int_equal(xattr_set(kit_root(), "file", attr, "v", 1, 0), 0);
        expected += strlen(attr) + 1;
        ssize_t length = xattr_list_all(kit_root(), "file", &names);
        assert_true(length >= (ssize_t)expected);
        assert_int_equal(length, xattr_list(kit_root(), "file", NULL, 0));
        assert_non_null(memmem(names, (size_t)length, attr, strlen(attr) + 1));
        free(names);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        both_ways(a_name_in_a_directory),
        both_ways(the_descriptor_itself),
        both_ways(a_directory_that_may_not_be_searched),
        both_ways(a_symlink_is_not_followed),
        both_ways(a_list_of_any_length_is_read),
    };
    return kit_run("xattr", tests, sizeof(tests) / sizeof(tests[0]));
}
