/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "nameset.h"

#include <stdio.h>
#include <string.h>

static void an_empty_set_finds_nothing(void **state)
{
    (void)state;
    struct nameset set = {0};
    assert_int_equal(nameset_find(&set, "name"), NAMESET_NONE);
    assert_int_equal(nameset_find(&set, ""), NAMESET_NONE);
    nameset_finish(&set);
}

static void a_name_added_twice_keeps_its_first_index(void **state)
{
    (void)state;
    struct nameset set = {0};
    uint32_t first, again;
    bool fresh;
    assert_int_equal(nameset_add(&set, "one", &first, &fresh), 0);
    assert_true(fresh);
    assert_int_equal(nameset_add(&set, "two", &again, &fresh), 0);
    assert_int_equal(nameset_add(&set, "one", &again, &fresh), 0);
    assert_false(fresh);
    assert_int_equal(again, first);
    assert_int_equal(set.used, 2);
    nameset_finish(&set);
}

static void names_keep_their_order_while_the_set_grows(void **state)
{
    (void)state;
    struct nameset set = {0};
    char name[32];
    uint32_t index;
    bool fresh;
    for (uint32_t i = 0; i < 20000; i++) {
        snprintf(name, sizeof(name), "name %u", i);
        assert_int_equal(nameset_add(&set, name, &index, &fresh), 0);
        assert_true(fresh);
        assert_int_equal(index, i);
    }
    for (uint32_t i = 0; i < 20000; i++) {
        snprintf(name, sizeof(name), "name %u", i);
        assert_int_equal(nameset_find(&set, name), i);
        assert_string_equal(nameset_name(&set, i), name);
    }
    assert_int_equal(nameset_find(&set, "name 20000"), NAMESET_NONE);
    assert_true(nameset_bytes(&set) >= 20000 * sizeof("name 1"));
    nameset_finish(&set);
}

static void names_that_begin_alike_are_told_apart(void **state)
{
    (void)state;
    struct nameset set = {0};
    uint32_t index;
    bool fresh;
    char name[256];
    for (size_t length = 0; length < sizeof(name); length++) {
        memset(name, 'x', length);
        name[length] = 0;
        assert_int_equal(nameset_add(&set, name, &index, &fresh), 0);
        assert_true(fresh);
        assert_int_equal(index, length);
    }
    nameset_finish(&set);
}

static void a_finished_set_is_empty_and_ready(void **state)
{
    (void)state;
    struct nameset set = {0};
    uint32_t index;
    bool fresh;
    assert_int_equal(nameset_add(&set, "name", &index, &fresh), 0);
    nameset_finish(&set);
    assert_int_equal(nameset_find(&set, "name"), NAMESET_NONE);
    assert_int_equal(nameset_bytes(&set), 0);
    assert_int_equal(nameset_add(&set, "name", &index, &fresh), 0);
    assert_int_equal(index, 0);
    nameset_finish(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_set_finds_nothing),
        cmocka_unit_test(a_name_added_twice_keeps_its_first_index),
        cmocka_unit_test(names_keep_their_order_while_the_set_grows),
        cmocka_unit_test(names_that_begin_alike_are_told_apart),
        cmocka_unit_test(a_finished_set_is_empty_and_ready),
    };
    return cmocka_run_group_tests_name("nameset", tests, NULL, NULL);
}
