/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "whiteout.h"

static void only_device_zero_zero_is_a_whiteout(void **state)
{
    (void)state;
    struct stat st = {.st_mode = S_IFCHR, .st_rdev = makedev(0, 0)};
    assert_true(whiteout_is_device(&st));
    st.st_mode = S_IFCHR | 0666;
    assert_true(whiteout_is_device(&st));
    st.st_rdev = makedev(1, 3);
    assert_false(whiteout_is_device(&st));
    st = (struct stat){.st_mode = S_IFBLK};
    assert_false(whiteout_is_device(&st));
    st = (struct stat){.st_mode = S_IFREG};
    assert_false(whiteout_is_device(&st));
}

static void a_dot_wh_file_hides_the_name_behind_its_prefix(void **state)
{
    (void)state;
    assert_string_equal(whiteout_hidden_name(".wh.name"), "name");
    assert_string_equal(whiteout_hidden_name(".wh..hidden"), ".hidden");
    assert_string_equal(whiteout_hidden_name(".wh.a b"), "a b");
    assert_string_equal(whiteout_hidden_name(".wh...."), "...");
    assert_true(whiteout_is_name(".wh.name"));
}

static void the_books_of_a_layer_hide_no_name(void **state)
{
    (void)state;
    static const char *const BOOKS[] = {WHITEOUT_OPAQUE, ".wh..wh.aufs", ".wh..wh.plnk",
                                        ".wh.",          ".wh..",        ".wh..."};
    for (size_t i = 0; i < sizeof(BOOKS) / sizeof(BOOKS[0]); i++) {
        assert_true(whiteout_is_name(BOOKS[i]));
        assert_null(whiteout_hidden_name(BOOKS[i]));
    }
}

static void an_ordinary_name_is_no_whiteout(void **state)
{
    (void)state;
    static const char *const NAMES[] = {"", ".", "..", ".wh", "wh.name", "a.wh.name", ".WH.name"};
    for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
        assert_false(whiteout_is_name(NAMES[i]));
        assert_null(whiteout_hidden_name(NAMES[i]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_device_zero_zero_is_a_whiteout),
        cmocka_unit_test(a_dot_wh_file_hides_the_name_behind_its_prefix),
        cmocka_unit_test(the_books_of_a_layer_hide_no_name),
        cmocka_unit_test(an_ordinary_name_is_no_whiteout),
    };
    return cmocka_run_group_tests_name("whiteout", tests, NULL, NULL);
}
