/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "slots.h"

static struct slots slots;

static int set_up(void **state)
{
    (void)state;
    return slots_init(&slots);
}

static int tear_down(void **state)
{
    (void)state;
    slots_finish(&slots);
    return 0;
}

static void the_first_slot_is_the_roots_and_none_is_zero(void **state)
{
    (void)state;
    assert_int_equal(slots_used(&slots), 0);
    assert_int_equal(slots_take(&slots), NODE_ROOT);
    assert_int_equal(slots_id(&slots, NODE_ROOT), NODE_ROOT);
    assert_int_equal(slots_used(&slots), 1);
    assert_false(slots_have(&slots, NODE_NONE));
    assert_int_equal(slots_find(&slots, NODE_NONE), NODE_NONE);
}

static void a_number_is_not_given_twice_though_its_slot_is(void **state)
{
    (void)state;
    assert_int_equal(slots_take(&slots), NODE_ROOT);
    const uint32_t index = slots_take(&slots);
    const uint64_t id = slots_id(&slots, index);
    slots_give(&slots, index);
    assert_int_equal(slots_find(&slots, id), NODE_NONE);
    assert_int_equal(slots_take(&slots), index);
    assert_int_not_equal(slots_id(&slots, index), id);
    assert_int_equal(slots_find(&slots, id), NODE_NONE);
    assert_int_equal(slots_find(&slots, slots_id(&slots, index)), index);
}

static void another_table_gives_other_numbers(void **state)
{
    (void)state;
    struct slots other = {0};
    assert_int_equal(slots_init(&other), 0);
    assert_int_equal(slots_take(&slots), NODE_ROOT);
    assert_int_equal(slots_take(&other), NODE_ROOT);
    const uint32_t index = slots_take(&slots);
    assert_int_equal(slots_take(&other), index);
    assert_int_not_equal(slots_id(&slots, index), slots_id(&other, index));
    slots_finish(&other);
}

static void a_generation_that_has_come_round_is_not_that_of_a_free_slot(void **state)
{
    (void)state;
    slots.next_generation = UINT32_MAX;
    assert_int_equal(slots_take(&slots), NODE_ROOT);
    const uint32_t index = slots_take(&slots);
    assert_int_equal(slots.at[index].generation, 1);
}

static void an_alias_is_no_node_and_leads_to_its_own(void **state)
{
    (void)state;
    const uint32_t node = slots_take(&slots), alias = slots_take(&slots);
    slots.at[alias].flags = NODE_ALIAS;
    slots.at[alias].target = node;
    assert_true(slots_have(&slots, node));
    assert_false(slots_have(&slots, alias));
    assert_int_equal(slots_node(&slots, alias), node);
    assert_int_equal(slots_node(&slots, node), node);
    assert_int_equal(slots_node(&slots, NODE_NONE), NODE_NONE);
}

static void the_lowest_free_chunk_is_filled_first(void **state)
{
    (void)state;
    uint32_t last = 0;
    for (int i = 0; i < 3 * SLOTS_CHUNK; i++)
        last = slots_take(&slots);
    assert_int_equal(last, 3 * SLOTS_CHUNK);
    slots_give(&slots, 2 * SLOTS_CHUNK + 1);
    slots_give(&slots, 7);
    assert_int_equal(slots_take(&slots), 7);
    assert_int_equal(slots_take(&slots), 2 * SLOTS_CHUNK + 1);
    assert_int_equal(slots_used(&slots), 3 * SLOTS_CHUNK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_first_slot_is_the_roots_and_none_is_zero, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_number_is_not_given_twice_though_its_slot_is, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(another_table_gives_other_numbers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_generation_that_has_come_round_is_not_that_of_a_free_slot,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_alias_is_no_node_and_leads_to_its_own, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_lowest_free_chunk_is_filled_first, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("slots", tests, NULL, NULL);
}
