/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "tray.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>

enum { MANY = 500, ROUNDS = 20000 };

static void without_anybody_who_tends_it_a_descriptor_is_closed_at_once(void **state)
{
    (void)state;
    struct tray *tray = tray_create();
    int fd = kit_open_something();
    tray_close(tray, fd);
    assert_false(kit_is_open(fd));
    fd = kit_open_something();
    tray_close(NULL, fd);
    assert_false(kit_is_open(fd));
    tray_destroy(tray);
}

static void what_is_laid_is_closed_by_who_tends_it(void **state)
{
    (void)state;
    struct tray *tray = tray_create();
    int first = kit_open_something(), second = kit_open_something();
    tray_begin(tray);
    tray_close(tray, first);
    tray_close(tray, second);
    assert_true(kit_is_open(first) && kit_is_open(second));
    tray_clear(tray);
    assert_false(kit_is_open(first) || kit_is_open(second));
    tray_end(tray);
    tray_destroy(tray);
}

static void a_full_tray_puts_nothing_off(void **state)
{
    (void)state;
    struct tray *tray = tray_create();
    int fds[MANY], open_ones = 0;
    for (int i = 0; i < MANY; i++)
        fds[i] = kit_open_something();
    tray_begin(tray);
    for (int i = 0; i < MANY; i++)
        tray_close(tray, fds[i]);
    for (int i = 0; i < MANY; i++)
        open_ones += kit_is_open(fds[i]);
    assert_in_range(open_ones, 1, 64);
    tray_end(tray);
    for (int i = 0; i < MANY; i++)
        assert_false(kit_is_open(fds[i]));
    tray_destroy(tray);
}

static void who_stops_tending_it_leaves_nothing(void **state)
{
    (void)state;
    struct tray *tray = tray_create();
    int fd = kit_open_something();
    tray_begin(tray);
    tray_close(tray, fd);
    tray_end(tray);
    assert_false(kit_is_open(fd));
    tray_begin(tray);
    fd = kit_open_something();
    tray_close(tray, fd);
    tray_destroy(tray);
    assert_false(kit_is_open(fd));
}

/* Tends it now and then, as a thread does that spins and sleeps by turns. */
struct tending {
    struct tray *tray;
    atomic_bool over;
};

static void *tend(void *context)
{
    struct tending *tending = context;
    while (!atomic_load(&tending->over)) {
        tray_begin(tending->tray);
        tray_clear(tending->tray);
        tray_end(tending->tray);
    }
    return NULL;
}

static void *lay(void *context)
{
    for (int i = 0; i < ROUNDS; i++)
        tray_close(((struct tending *)context)->tray, kit_open_something());
    return NULL;
}

static void each_is_closed_once_whoever_comes_and_goes(void **state)
{
    (void)state;
    struct tending tending = {.tray = tray_create()};
    pthread_t tends, lays[2];
    const int before = kit_free_descriptor();
    assert_int_equal(pthread_create(&tends, NULL, tend, &tending), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&lays[i], NULL, lay, &tending), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(lays[i], NULL);
    /* Nobody tends it any more, so nothing may lie there. */
    atomic_store(&tending.over, true);
    pthread_join(tends, NULL);
    assert_int_equal(kit_free_descriptor(), before);
    tray_destroy(tending.tray);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_anybody_who_tends_it_a_descriptor_is_closed_at_once),
        cmocka_unit_test(what_is_laid_is_closed_by_who_tends_it),
        cmocka_unit_test(a_full_tray_puts_nothing_off),
        cmocka_unit_test(who_stops_tending_it_leaves_nothing),
        cmocka_unit_test(each_is_closed_once_whoever_comes_and_goes),
    };
    return cmocka_run_group_tests_name("tray", tests, NULL, NULL);
}
