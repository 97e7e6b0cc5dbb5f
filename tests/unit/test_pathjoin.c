/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "own.h"
#include "pathjoin.h"

static void assert_joined(const char *front, const char *tail, const char *expected)
{
    cleanup_free char *path = path_join(front, tail);
    assert_non_null(path);
    assert_string_equal(path, expected);
}

static void a_slash_comes_between_two_and_nowhere_else(void **state)
{
    (void)state;
    assert_joined("usr/lib", "x", "usr/lib/x");
    assert_joined("", "x", "x");
    assert_joined("usr", "", "usr");
    assert_joined("", "", "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slash_comes_between_two_and_nowhere_else),
    };
    return cmocka_run_group_tests_name("pathjoin", tests, NULL, NULL);
}
