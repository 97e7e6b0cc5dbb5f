/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "pace.h"

enum { MICROSECOND = 1000, MANY = 4096 };

/* Waits `MANY` times where a spin and a sleep take what they are said to take; how many were spun.
 */
static unsigned wait_many(struct pace *pace, int64_t spin, int64_t sleep)
{
    unsigned spun = 0;
    for (unsigned i = 0; i < MANY; i++) {
        bool spins = pace_spins(pace);
        spun += spins;
        pace_note(pace, spins, spins ? spin : sleep);
    }
    return spun;
}

static void the_first_wait_is_spun(void **state)
{
    (void)state;
    const struct pace pace = {0};
    assert_true(pace_spins(&pace));
    assert_true(pace_prefers_to_spin(&pace));
}

static void the_better_way_is_taken_and_the_other_tried(void **state)
{
    (void)state;
    struct pace pace = {0};
    unsigned spun = wait_many(&pace, 15 * MICROSECOND, 40 * MICROSECOND);
    assert_in_range(spun, MANY * 95 / 100, MANY - 1);
    assert_true(pace_prefers_to_spin(&pace));
}

static void it_changes_when_the_client_comes_to_the_same_processor_and_back(void **state)
{
    (void)state;
    struct pace pace = {0};
    (void)wait_many(&pace, 15 * MICROSECOND, 40 * MICROSECOND);
    unsigned spun = wait_many(&pace, 35 * MICROSECOND, 8 * MICROSECOND);
    assert_in_range(spun, 1, MANY * 15 / 100);
    assert_false(pace_prefers_to_spin(&pace));
    spun = wait_many(&pace, 15 * MICROSECOND, 40 * MICROSECOND);
    assert_in_range(spun, MANY * 85 / 100, MANY - 1);
}

static void a_client_that_takes_its_time_says_nothing(void **state)
{
    (void)state;
    struct pace pace = {0};
    (void)wait_many(&pace, 15 * MICROSECOND, 40 * MICROSECOND);
    const int64_t before = pace.cost[true];
    pace_note(&pace, true, PACE_MOST_NS + 1);
    assert_int_equal(pace.cost[true], before);
}

static void a_processor_that_others_want_is_left_to_them(void **state)
{
    (void)state;
    struct pace pace = {0};
    (void)wait_many(&pace, 15 * MICROSECOND, 40 * MICROSECOND);
    pace_note(&pace, true, PACE_MOST_NS);
    pace_note(&pace, true, PACE_MOST_NS);
    assert_false(pace_prefers_to_spin(&pace));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_wait_is_spun),
        cmocka_unit_test(the_better_way_is_taken_and_the_other_tried),
        cmocka_unit_test(it_changes_when_the_client_comes_to_the_same_processor_and_back),
        cmocka_unit_test(a_client_that_takes_its_time_says_nothing),
        cmocka_unit_test(a_processor_that_others_want_is_left_to_them),
    };
    return cmocka_run_group_tests_name("pace", tests, NULL, NULL);
}
