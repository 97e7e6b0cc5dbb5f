/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "nodehash.h"

#include <stdio.h>

static struct slots slots;
static struct names *names;
static struct nodehash hash;

static int set_up(void **state)
{
    (void)state;
    names = names_create();
    return names && slots_init(&slots) == 0 && nodehash_init(&hash, &slots, names) == 0 ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    nodehash_finish(&hash);
    slots_finish(&slots);
    names_destroy(names);
    return 0;
}

static uint32_t named(uint32_t parent, const char *name)
{
    uint32_t slot = slots_take(&slots);
    slots.at[slot].parent = parent;
    slots.at[slot].name = names_add(names, name);
    nodehash_add_name(&hash, slot);
    return slot;
}

static void one_name_under_two_parents_is_two(void **state)
{
    (void)state;
    const uint32_t first = named(1, "name"), second = named(2, "name");
    assert_int_equal(nodehash_find(&hash, 1, "name"), first);
    assert_int_equal(nodehash_find(&hash, 2, "name"), second);
    assert_int_equal(nodehash_find(&hash, 3, "name"), NODE_NONE);
    nodehash_remove_name(&hash, first);
    assert_int_equal(nodehash_find(&hash, 1, "name"), NODE_NONE);
    assert_int_equal(nodehash_find(&hash, 2, "name"), second);
}

static void all_of_one_number_follow_each_other(void **state)
{
    (void)state;
    uint32_t nodes[3];
    unsigned found = 0;
    for (int i = 0; i < 3; i++) {
        nodes[i] = slots_take(&slots);
        slots.at[nodes[i]].ino = 77;
        nodehash_add_ino(&hash, nodes[i]);
    }
    nodehash_remove_ino(&hash, nodes[1]);
    nodehash_remove_ino(&hash, nodes[1]); /* it is in none any more */
    for (uint32_t at = nodehash_first(&hash, 0, 77); at; at = slots.at[at].ino_next)
        found |= 1u << at;
    assert_int_equal(found, 1u << nodes[0] | 1u << nodes[2]);
}

static void everything_is_found_while_a_hash_grows_and_shrinks(void **state)
{
    (void)state;
    enum { COUNT = 20000 };
    char name[16];
    static uint32_t nodes[COUNT];
    const uint32_t chains = hash.by_name.count;
    for (int i = 0; i < COUNT; i++) {
        snprintf(name, sizeof(name), "%d", i);
        nodes[i] = named(1, name);
    }
    assert_true(hash.by_name.count >= COUNT / 2);
    for (int i = 0; i < COUNT; i += 2)
        nodehash_remove_name(&hash, nodes[i]);
    for (int i = 0; i < COUNT; i++) {
        snprintf(name, sizeof(name), "%d", i);
        assert_int_equal(nodehash_find(&hash, 1, name), i % 2 ? nodes[i] : NODE_NONE);
    }
    for (int i = 1; i < COUNT; i += 2)
        nodehash_remove_name(&hash, nodes[i]);
    assert_int_equal(hash.by_name.used, 0);
    assert_true(hash.by_name.count <= chains);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_name_under_two_parents_is_two, set_up, tear_down),
        cmocka_unit_test_setup_teardown(all_of_one_number_follow_each_other, set_up, tear_down),
        cmocka_unit_test_setup_teardown(everything_is_found_while_a_hash_grows_and_shrinks, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests_name("nodehash", tests, NULL, NULL);
}
