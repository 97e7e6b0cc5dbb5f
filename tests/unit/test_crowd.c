/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "crowd.h"

enum { ONE = 1000, ANOTHER = 1001, THIRD = 1002 };
enum { MICROSECOND = 1000, APART = 40 * MICROSECOND, MANY = 100 };

/* The steady clock goes on with each call. */
static int64_t now;

static void ask(struct crowd *crowd, uint32_t client, unsigned times)
{
    for (unsigned i = 0; i < times; i++)
        crowd_note(crowd, client, now += APART);
}

static void ask_by_turns(struct crowd *crowd, const uint32_t *clients, unsigned count)
{
    for (unsigned i = 0; i < MANY; i++)
        ask(crowd, clients[i % count], 1);
}

static struct crowd of_two(void)
{
    struct crowd crowd = {0};
    ask_by_turns(&crowd, (const uint32_t[]){ONE, ANOTHER}, 2);
    assert_true(crowd_is_there(&crowd));
    return crowd;
}

static void one_client_is_none(void **state)
{
    (void)state;
    struct crowd crowd = {0};
    ask(&crowd, ONE, MANY);
    assert_false(crowd_is_there(&crowd));
}

static void clients_that_ask_by_turns_are_one(void **state)
{
    (void)state;
    struct crowd crowd = of_two();
    assert_true(crowd_lasts(&crowd, now));
    crowd = (struct crowd){0};
    ask_by_turns(&crowd, (const uint32_t[]){ONE, ANOTHER, THIRD}, 3);
    assert_true(crowd_is_there(&crowd));
}

static void clients_that_the_scheduler_lets_ask_for_a_while_each_are_one(void **state)
{
    (void)state;
    struct crowd crowd = of_two();
    for (unsigned i = 0; i < MANY; i++) {
        ask(&crowd, ONE, MANY);
        assert_true(crowd_lasts(&crowd, now));
        ask(&crowd, ANOTHER, MANY);
        assert_true(crowd_lasts(&crowd, now));
    }
}

/* As a shell does: each of its programs is a new client. */
static void a_client_that_starts_others_is_none(void **state)
{
    (void)state;
    struct crowd crowd = {0};
    for (uint32_t i = 0; i < MANY; i++) {
        ask(&crowd, ONE, 2);
        ask(&crowd, ANOTHER + i, 3);
        assert_false(crowd_is_there(&crowd));
    }
}

static void it_is_over_when_one_is_left(void **state)
{
    (void)state;
    struct crowd crowd = of_two();
    ask(&crowd, ONE, 3 * MANY);
    assert_false(crowd_lasts(&crowd, now));
    assert_false(crowd_is_there(&crowd));
}

static void it_is_over_when_nobody_asks(void **state)
{
    (void)state;
    struct crowd crowd = of_two();
    assert_false(crowd_lasts(&crowd, now + 1000 * MICROSECOND));
    now += 1000 * MICROSECOND;
    ask(&crowd, ONE, 1);
    assert_false(crowd_is_there(&crowd));
}

static void calls_that_two_threads_note_in_the_wrong_order_are_calls_all_the_same(void **state)
{
    (void)state;
    struct crowd crowd = of_two();
    crowd_note(&crowd, ONE, now + 3 * MICROSECOND);
    crowd_note(&crowd, ANOTHER, now + MICROSECOND);
    assert_true(crowd_is_there(&crowd));
    assert_true(crowd_lasts(&crowd, now));
}

static void clients_that_wait_for_a_disk_are_none_for_some_time(void **state)
{
    (void)state;
    struct crowd crowd = of_two();
    for (unsigned i = 0; i < MANY; i++)
        crowd_note_answer(&crowd, i % 4 == 0, now);
    assert_false(crowd_lasts(&crowd, now));
    ask_by_turns(&crowd, (const uint32_t[]){ONE, ANOTHER}, 2);
    assert_false(crowd_is_there(&crowd));
    now += 20000 * MICROSECOND;
    ask_by_turns(&crowd, (const uint32_t[]){ONE, ANOTHER}, 2);
    assert_true(crowd_is_there(&crowd));
}

static void a_wait_now_and_then_is_not_one_for_a_disk(void **state)
{
    (void)state;
    struct crowd crowd = of_two();
    for (unsigned i = 0; i < 10 * MANY; i++)
        crowd_note_answer(&crowd, i % 10 == 0, now);
    assert_true(crowd_lasts(&crowd, now));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_client_is_none),
        cmocka_unit_test(clients_that_ask_by_turns_are_one),
        cmocka_unit_test(clients_that_the_scheduler_lets_ask_for_a_while_each_are_one),
        cmocka_unit_test(a_client_that_starts_others_is_none),
        cmocka_unit_test(it_is_over_when_one_is_left),
        cmocka_unit_test(it_is_over_when_nobody_asks),
        cmocka_unit_test(calls_that_two_threads_note_in_the_wrong_order_are_calls_all_the_same),
        cmocka_unit_test(clients_that_wait_for_a_disk_are_none_for_some_time),
        cmocka_unit_test(a_wait_now_and_then_is_not_one_for_a_disk),
    };
    return cmocka_run_group_tests_name("crowd", tests, NULL, NULL);
}
