/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "linkset.h"

#include <stdio.h>

static const char *ask(struct linkset *set, const struct stat *st, const char *path)
{
    const char *first;
    assert_int_equal(linkset_first(set, st, path, &first), 0);
    return first;
}

static void the_first_path_of_an_inode_is_remembered(void **state)
{
    (void)state;
    cleanup_linkset struct linkset *set = linkset_create();
    assert_non_null(set);
    char path[16];
    for (unsigned i = 0; i < 1000; i++) {
        const struct stat st = {.st_mode = S_IFREG, .st_nlink = 2, .st_dev = i % 7, .st_ino = i};
        snprintf(path, sizeof(path), "path%u", i);
        assert_null(ask(set, &st, path));
    }
    for (unsigned i = 0; i < 1000; i++) {
        const struct stat st = {.st_mode = S_IFREG, .st_nlink = 2, .st_dev = i % 7, .st_ino = i};
        snprintf(path, sizeof(path), "path%u", i);
        assert_string_equal(ask(set, &st, "another"), path);
        assert_string_equal(ask(set, &st, "a third"), path);
    }
}

static void one_number_on_two_devices_is_two_inodes(void **state)
{
    (void)state;
    cleanup_linkset struct linkset *set = linkset_create();
    assert_non_null(set);
    const struct stat here = {.st_mode = S_IFREG, .st_nlink = 2, .st_dev = 1, .st_ino = 5};
    const struct stat there = {.st_mode = S_IFREG, .st_nlink = 2, .st_dev = 2, .st_ino = 5};
    assert_null(ask(set, &here, "here"));
    assert_null(ask(set, &there, "there"));
    assert_string_equal(ask(set, &here, "x"), "here");
    assert_string_equal(ask(set, &there, "x"), "there");
}

static void a_single_name_and_a_directory_have_no_first_path(void **state)
{
    (void)state;
    cleanup_linkset struct linkset *set = linkset_create();
    assert_non_null(set);
    const struct stat single = {.st_mode = S_IFREG, .st_nlink = 1, .st_ino = 5};
    const struct stat dir = {.st_mode = S_IFDIR, .st_nlink = 9, .st_ino = 6};
    assert_null(ask(set, &single, "a"));
    assert_null(ask(set, &single, "b"));
    assert_null(ask(set, &dir, "c"));
    assert_null(ask(set, &dir, "d"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(the_first_path_of_an_inode_is_remembered),
        kit_test(one_number_on_two_devices_is_two_inodes),
        kit_test(a_single_name_and_a_directory_have_no_first_path),
    };
    return kit_run("linkset", tests, sizeof(tests) / sizeof(tests[0]));
}
