/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "override.h"

#include <string.h>
#include <sys/sysmacros.h>

static const struct stat FILE_ON_DISK = {.st_mode = S_IFREG | 0600, .st_uid = 7, .st_gid = 8};
static const struct stat DIR_ON_DISK = {.st_mode = S_IFDIR | 0700, .st_uid = 7, .st_gid = 8};

static void what_was_recorded_is_found_again(void **state)
{
    (void)state;
    const struct stat recorded[] = {
        {.st_mode = S_IFREG | 04755, .st_uid = 0, .st_gid = 42},
        {.st_mode = S_IFIFO | 0, .st_uid = UINT32_MAX - 1, .st_gid = UINT32_MAX - 1},
        {.st_mode = S_IFSOCK | 0777, .st_uid = 1, .st_gid = 2},
        {.st_mode = S_IFCHR | 0666, .st_uid = 0, .st_gid = 5, .st_rdev = makedev(1, 3)},
        {.st_mode = S_IFBLK | 0660, .st_uid = 0, .st_gid = 6, .st_rdev = makedev(4095, 1048575)},
    };
    for (size_t i = 0; i < sizeof(recorded) / sizeof(recorded[0]); i++) {
        char text[OVERRIDE_MAX];
        struct stat st = FILE_ON_DISK;
        size_t size = override_format(text, &recorded[i]);
        assert_int_equal(size, strlen(text));
        assert_true(override_apply(text, size, &st));
        assert_int_equal(st.st_mode, recorded[i].st_mode);
        assert_int_equal(st.st_uid, recorded[i].st_uid);
        assert_int_equal(st.st_gid, recorded[i].st_gid);
        assert_int_equal(st.st_rdev, recorded[i].st_rdev);
    }
}

static void the_form_is_that_of_other_tools(void **state)
{
    (void)state;
    char text[OVERRIDE_MAX];
    struct stat st = {.st_mode = S_IFCHR | 0666, .st_gid = 5, .st_rdev = makedev(1, 3)};
    override_format(text, &st);
    assert_string_equal(text, "0:5:0666:char-1-3");
    st.st_mode = S_IFDIR | 01777;
    override_format(text, &st);
    assert_string_equal(text, "0:5:1777:dir");
}

static void a_type_may_be_left_out(void **state)
{
    (void)state;
    struct stat st = DIR_ON_DISK;
    assert_true(override_apply("1:2:755", 7, &st));
    assert_int_equal(st.st_mode, S_IFDIR | 0755);
    assert_int_equal(st.st_uid, 1);
    assert_int_equal(st.st_gid, 2);
}

static void the_bits_of_the_type_may_be_in_the_mode_if_they_are_true(void **state)
{
    (void)state;
    struct stat st = DIR_ON_DISK;
    assert_true(override_apply("9:10:41755", 10, &st));
    assert_int_equal(st.st_mode, S_IFDIR | 01755);
    st = FILE_ON_DISK;
    assert_true(override_apply("9:10:100644", 11, &st));
    assert_int_equal(st.st_mode, S_IFREG | 0644);
    assert_true(override_apply("9:10:020600:char-1-3", 20, &st));
    assert_int_equal(st.st_mode, S_IFCHR | 0600);
    st = FILE_ON_DISK;
    assert_false(override_apply("9:10:40755", 10, &st));
    assert_false(override_apply("9:10:120777", 11, &st));
    assert_false(override_apply("0:0:644:char-0-0", 16, &st));
}

static void nonsense_changes_nothing(void **state)
{
    (void)state;
    const char *const nonsense[] = {"", ":", "0", "0:0", "0:0:", "0:0:8", "0:0:10000", "0:0:-1",
                                    "-1:0:0", "0: 0:0", "0:0:0:", "0:0:0:fil", "0:0:0:files",
                                    "0:0:0:char", "0:0:0:char-1", "0:0:0:x:", "0:0:0:pipe-",
                                    "0:0:0:block-1-2-3", "4294967295:0:0",
                                    "0:99999999999999999999:0", "0:0:0:char-1-4294967296",
                                    /* What a file cannot stand for. */
                                    "0:0:0:dir", "0:0:0:symlink"};
    for (size_t i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++) {
        struct stat st = FILE_ON_DISK;
        if (override_apply(nonsense[i], strlen(nonsense[i]), &st))
            fail_msg("taken: %s", nonsense[i]);
        assert_memory_equal(&st, &FILE_ON_DISK, sizeof(st));
    }
    struct stat st = DIR_ON_DISK;
    assert_false(override_apply("0:0:0:file", 10, &st));
    assert_false(override_apply("0:0:0:pipe", 10, &st));
}

static void a_value_need_not_end_in_nul_and_may_hold_one(void **state)
{
    (void)state;
    struct stat st = FILE_ON_DISK;
    char endless[4096];
    memset(endless, '0', sizeof(endless));
    assert_false(override_apply(endless, sizeof(endless), &st));
    assert_false(override_apply("0:0:0\0:file", 11, &st));
    assert_true(override_apply("0:0:0junk", 5, &st));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(what_was_recorded_is_found_again),
        kit_test(the_form_is_that_of_other_tools),
        kit_test(a_type_may_be_left_out),
        kit_test(the_bits_of_the_type_may_be_in_the_mode_if_they_are_true),
        kit_test(nonsense_changes_nothing),
        kit_test(a_value_need_not_end_in_nul_and_may_hold_one),
    };
    return kit_run("override", tests, sizeof(tests) / sizeof(tests[0]));
}
