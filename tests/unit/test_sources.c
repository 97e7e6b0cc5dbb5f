/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "sources.h"

#include <stdio.h>

static void an_empty_list_is_no_list(void **state)
{
    (void)state;
    struct sources_builder builder = {0};
    int err = -1;
    assert_null(sources_build(&builder, &err));
    assert_int_equal(err, 0);
    sources_release(NULL);
    assert_null(sources_hold(NULL));
}

static void a_list_keeps_layers_and_paths_in_order(void **state)
{
    (void)state;
    struct sources_builder builder = {0};
    int err;
    assert_int_equal(sources_add(&builder, 1, "usr/lib", false), 0);
    assert_int_equal(sources_add(&builder, 2, "usr/lib", true), 0);
    assert_int_equal(sources_add(&builder, 7, "lib", false), 0);
    cleanup_sources struct sources *list = sources_build(&builder, &err);
    assert_non_null(list);
    assert_int_equal(list->count, 3);
    assert_int_equal(list->at[0].layer, 1);
    assert_int_equal(list->at[2].layer, 7);
    assert_string_equal(list->at[0].path, "usr/lib");
    assert_string_equal(list->at[1].path, "usr/lib");
    assert_string_equal(list->at[2].path, "lib");
    assert_true(list->at[1].xwhiteouts && !list->at[2].xwhiteouts);
    assert_ptr_equal(list->at[0].path, list->at[1].path);
    assert_int_equal(builder.count, 0);
}

static void each_list_has_a_number_of_its_own(void **state)
{
    (void)state;
    uint64_t last = 0;
    for (int i = 0; i < 100; i++) {
        struct sources_builder builder = {0};
        int err;
        assert_int_equal(sources_add(&builder, 1, "", false), 0);
        struct sources *list = sources_build(&builder, &err);
        assert_true(list->id > last);
        last = list->id;
        sources_release(list);
    }
}

static void a_list_lives_until_its_last_user_lets_go(void **state)
{
    (void)state;
    struct sources_builder builder = {0};
    int err;
    assert_int_equal(sources_add(&builder, 3, "d", false), 0);
    struct sources *list = sources_build(&builder, &err);
    assert_ptr_equal(sources_hold(list), list);
    sources_release(list);
    assert_string_equal(list->at[0].path, "d");
    sources_release(list);
}

static void many_sources_fit(void **state)
{
    (void)state;
    struct sources_builder builder = {0};
    char path[16];
    int err;
    for (uint16_t i = 0; i < 4096; i++) {
        snprintf(path, sizeof(path), "d%d", i / 3);
        assert_int_equal(sources_add(&builder, i, path, false), 0);
    }
    cleanup_sources struct sources *list = sources_build(&builder, &err);
    assert_int_equal(list->count, 4096);
    assert_string_equal(list->at[4095].path, "d1365");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_list_is_no_list),
        cmocka_unit_test(a_list_keeps_layers_and_paths_in_order),
        cmocka_unit_test(each_list_has_a_number_of_its_own),
        cmocka_unit_test(a_list_lives_until_its_last_user_lets_go),
        cmocka_unit_test(many_sources_fit),
    };
    return cmocka_run_group_tests_name("sources", tests, NULL, NULL);
}
