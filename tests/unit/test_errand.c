/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "errand.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

static atomic_int begun, done;
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

/* As long as somebody holds the gate it is at work. */
static void work(void *context)
{
    assert_ptr_equal(context, &gate);
    atomic_fetch_add(&begun, 1);
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
    atomic_fetch_add(&done, 1);
}

static int set_up(void **state)
{
    atomic_store(&begun, 0);
    atomic_store(&done, 0);
    *state = errand_start(work, &gate);
    return *state ? 0 : -1;
}

static int tear_down(void **state)
{
    errand_stop(*state);
    return 0;
}

static void wait_for(atomic_int *count, int least)
{
    while (atomic_load(count) < least)
        sched_yield();
}

/* Both forms of where: on this processor, and anywhere. */
static void send(struct errand *errand)
{
    errand_send(errand, sched_getcpu());
    errand_send(errand, -1);
}

static void what_nobody_wants_is_not_done(void **state)
{
    send(*state);
    assert_false(errand_was_busy(*state));
    assert_int_equal(atomic_load(&begun), 0);
}

static void what_is_wanted_is_done_when_it_is_sent(void **state)
{
    errand_want(*state);
    assert_false(errand_was_busy(*state));
    send(*state);
    wait_for(&done, 1);
    while (!errand_was_busy(*state))
        sched_yield();
}

static void what_is_wanted_meanwhile_is_done_the_next_time(void **state)
{
    pthread_mutex_lock(&gate);
    errand_want(*state);
    send(*state);
    wait_for(&begun, 1);
    assert_true(errand_was_busy(*state));
    assert_true(errand_was_busy(*state)); /* it still is */
    errand_want(*state);
    send(*state);
    pthread_mutex_unlock(&gate);
    wait_for(&done, 1);
    assert_int_equal(atomic_load(&begun), 1);
    while (atomic_load(&done) < 2)
        send(*state);
    assert_int_equal(atomic_load(&begun), 2);
}

static void where_there_is_none_nothing_is_done(void **state)
{
    (void)state;
    errand_want(NULL);
    errand_send(NULL, 0);
    assert_false(errand_was_busy(NULL));
    errand_stop(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_nobody_wants_is_not_done, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_wanted_is_done_when_it_is_sent, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_wanted_meanwhile_is_done_the_next_time, set_up,
                                        tear_down),
        cmocka_unit_test(where_there_is_none_nothing_is_done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
