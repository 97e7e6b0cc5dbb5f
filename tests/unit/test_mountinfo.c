/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "mountinfo.h"

#include <errno.h>

static void a_path_tells_the_device_that_stat_tells(void **state)
{
    (void)state;
    dev_t device = 0;
    kit_file("file", "x");
    cleanup_free char *path = kit_path("file");
    assert_int_equal(mountinfo_device(path, &device), 0);
    assert_int_equal(device, kit_stat("file").st_dev);
}

static void what_is_not_there_is_in_no_filesystem(void **state)
{
    (void)state;
    dev_t device;
    cleanup_free char *path = kit_path("nothing");
    assert_int_equal(mountinfo_device(path, &device), -ENOENT);
}

static void what_no_daemon_serves_has_no_owner(void **state)
{
    (void)state;
    dev_t device = 0;
    uid_t owner;
    assert_int_equal(mountinfo_device("/proc", &device), 0);
    assert_int_equal(mountinfo_fuse_owner(device, &owner), -ENOENT);
}

static void a_directory_is_crossed_by_what_is_mounted_beneath_it(void **state)
{
    (void)state;
    cleanup_free char *plain = kit_path("d");
    kit_dir("d");
    char root[] = "/", proc[] = "/proc/self", front[] = "/pro";
    char *const directories[] = {root, proc, front, NULL, plain};
    const bool expected[] = {true, false, false, false, false};
    bool crossed[5];
    mountinfo_crossed(directories, 5, crossed);
    assert_memory_equal(crossed, expected, sizeof(expected));
}

static void what_is_mounted_nowhere_is_not_private(void **state)
{
    (void)state;
    assert_false(mountinfo_is_private((dev_t)-1));
}

static void a_path_is_told_from_the_root_of_its_filesystem(void **state)
{
    (void)state;
    dev_t device;
    static const struct {
        const char *real, *inside; /* NULL: it is not in it */
    } CASES[] = {
        {"/proc", "/"},
        {"/proc/sys/kernel", "/sys/kernel"},
        {"/proc/not/there", "/not/there"},
        {"/", NULL},
        {"/procession", NULL},
    };
    assert_int_equal(mountinfo_device("/proc", &device), 0);
    for (unsigned i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        cleanup_free char *inside = NULL;
        int err = mountinfo_inside(CASES[i].real, device, &inside);
        assert_int_equal(err, CASES[i].inside ? 0 : -ENOENT);
        if (CASES[i].inside)
            assert_string_equal(inside, CASES[i].inside);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(a_path_tells_the_device_that_stat_tells),
        kit_test(what_is_not_there_is_in_no_filesystem),
        kit_test(what_no_daemon_serves_has_no_owner),
        kit_test(a_directory_is_crossed_by_what_is_mounted_beneath_it),
        kit_test(what_is_mounted_nowhere_is_not_private),
        kit_test(a_path_is_told_from_the_root_of_its_filesystem),
    };
    return kit_run("mountinfo", tests, sizeof(tests) / sizeof(tests[0]));
}
