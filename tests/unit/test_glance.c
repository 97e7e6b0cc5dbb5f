/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "glance.h"

enum { INDICES = 32768 }; /* as many as there are places */

static uint64_t id_of(uint32_t generation, uint32_t index)
{
    return (uint64_t)generation << 32 | index;
}

static struct stat looks(off_t size)
{
    return (struct stat){.st_size = size, .st_mode = S_IFREG | 0644, .st_mtim = {5, 6}};
}

static void what_was_kept_is_told_for_as_long_as_is_asked(void **state)
{
    (void)state;
    struct stat st = looks(10), told;
    struct glances *glances = glances_create();
    assert_non_null(glances);
    assert_false(glance_get(glances, id_of(1, 7), 1000, &told));
    glance_keep(glances, id_of(1, 7), &st);
    assert_true(glance_get(glances, id_of(1, 7), 1000, &told));
    assert_memory_equal(&told, &st, sizeof(st));
    assert_false(glance_get(glances, id_of(1, 7), 0, &told));
    st = looks(11);
    glance_keep(glances, id_of(1, 7), &st);
    assert_true(glance_get(glances, id_of(1, 7), 1000, &told));
    assert_int_equal(told.st_size, 11);
    glances_destroy(glances);
}

static void an_index_that_is_used_again_is_another_node(void **state)
{
    (void)state;
    struct stat st = looks(10), told;
    struct glances *glances = glances_create();
    assert_non_null(glances);
    glance_keep(glances, id_of(1, 7), &st);
    assert_false(glance_get(glances, id_of(2, 7), 1000, &told));
    assert_false(glance_get(glances, 0, 1000, &told));
    glances_destroy(glances);
}

/* One node for each place, the size of each its index. */
static void fill(struct glances *glances)
{
    for (uint32_t i = 1; i <= INDICES; i++) {
        const struct stat st = looks(i);
        glance_keep(glances, id_of(1, i), &st);
    }
}

static void as_many_nodes_as_there_are_places_do_not_meet(void **state)
{
    (void)state;
    struct stat told;
    struct glances *glances = glances_create();
    assert_non_null(glances);
    fill(glances);
    for (uint32_t i = 1; i <= INDICES; i++) {
        assert_true(glance_get(glances, id_of(1, i), 1000, &told));
        assert_int_equal(told.st_size, i);
    }
    const struct stat one_more = looks(5);
    glance_keep(glances, id_of(9, INDICES + 1), &one_more);
    assert_false(glance_get(glances, id_of(1, 1), 1000, &told));
    glances_destroy(glances);
}

static void what_is_dropped_is_not_told_and_takes_no_memory(void **state)
{
    (void)state;
    struct stat told;
    struct glances *glances = glances_create();
    assert_non_null(glances);
    size_t before = kit_resident_bytes();
    fill(glances);
    assert_true(kit_resident_bytes() > before + 4000000);
    glances_drop(glances);
    assert_true(kit_resident_bytes() < before + 1000000);
    for (uint32_t i = 1; i <= INDICES; i++)
        assert_false(glance_get(glances, id_of(1, i), 1000, &told));
    glances_destroy(glances);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(what_was_kept_is_told_for_as_long_as_is_asked),
        kit_test(an_index_that_is_used_again_is_another_node),
        kit_test(what_is_dropped_is_not_told_and_takes_no_memory),
        kit_test(as_many_nodes_as_there_are_places_do_not_meet),
    };
    return kit_run("glance", tests, sizeof(tests) / sizeof(tests[0]));
}
