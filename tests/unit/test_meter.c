/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "meter.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

static void own_meter(struct meter **meter)
{
    meter_destroy(*meter);
}
#define cleanup_meter cleanup(own_meter)

static void a_bucket_is_within_a_thirty_second_of_what_falls_into_it(void **state)
{
    (void)state;
    for (int64_t time = 1; time < INT64_C(1) << 39; time += time / 37 + 1) {
        int64_t told = meter_bucket_time(meter_bucket_of(time));
        int64_t off = told > time ? told - time : time - told;
        assert_true(off * 32 <= time);
    }
}

static void buckets_follow_each_other_without_a_gap(void **state)
{
    (void)state;
    unsigned before = 0;
    for (int64_t time = 0; time < 200000; time++) {
        unsigned bucket = meter_bucket_of(time);
        assert_true(bucket == before || bucket == before + 1);
        before = bucket;
    }
    for (unsigned bucket = 0; bucket < METER_BUCKETS; bucket++)
        assert_int_equal(meter_bucket_of(meter_bucket_time(bucket)), bucket);
}

static void what_no_bucket_holds_is_in_the_first_or_the_last(void **state)
{
    (void)state;
    assert_int_equal(meter_bucket_of(-5), 0);
    assert_int_equal(meter_bucket_of(INT64_MIN), 0);
    assert_int_equal(meter_bucket_of(INT64_C(1) << 40), METER_BUCKETS - 1);
    assert_int_equal(meter_bucket_of(INT64_MAX), METER_BUCKETS - 1);
}

static void assert_near(int64_t told, int64_t true_value)
{
    int64_t off = told > true_value ? told - true_value : true_value - told;
    assert_true(off * 16 <= true_value);
}

static void percentiles_are_those_of_what_was_added(void **state)
{
    (void)state;
    struct meter_reading reading;
    cleanup_meter struct meter *meter = meter_create();
    for (int64_t i = 1; i <= 1000; i++)
        meter_add(meter, METER_LOOKUP, i * 1000, false);
    meter_read(meter, METER_LOOKUP, &reading);
    assert_int_equal(reading.count, 1000);
    assert_int_equal(reading.total, 500500 * 1000);
    assert_near(meter_percentile(&reading, 0.5), 500 * 1000);
    assert_near(meter_percentile(&reading, 0.99), 990 * 1000);
    assert_near(meter_percentile(&reading, 1), 1000 * 1000);
    assert_near(meter_percentile(&reading, 0), 1000);
}

static void one_slow_request_in_a_hundred_is_not_the_99th_percentile(void **state)
{
    (void)state;
    struct meter_reading reading;
    cleanup_meter struct meter *meter = meter_create();
    for (int i = 0; i < 99; i++)
        meter_add(meter, METER_READ, 10000, false);
    meter_add(meter, METER_READ, 5000000, false);
    meter_read(meter, METER_READ, &reading);
    assert_near(meter_percentile(&reading, 0.99), 10000);
    assert_near(meter_percentile(&reading, 0.995), 5000000);
}

static void nothing_has_no_percentile(void **state)
{
    (void)state;
    struct meter_reading reading;
    cleanup_meter struct meter *meter = meter_create();
    meter_read(meter, METER_WRITE, &reading);
    assert_int_equal(reading.count, 0);
    assert_int_equal(meter_percentile(&reading, 0.5), 0);
}

static void operations_and_failures_are_counted_apart(void **state)
{
    (void)state;
    struct meter_reading reading;
    cleanup_meter struct meter *meter = meter_create();
    meter_add(meter, METER_UNLINK, 100, true);
    meter_add(meter, METER_UNLINK, 100, false);
    meter_add(meter, METER_RMDIR, 100, true);
    meter_read(meter, METER_UNLINK, &reading);
    assert_int_equal(reading.count, 2);
    assert_int_equal(reading.errors, 1);
    meter_read(meter, METER_RMDIR, &reading);
    assert_int_equal(reading.count, 1);
    assert_int_equal(reading.errors, 1);
}

static void an_interval_is_what_came_since(void **state)
{
    (void)state;
    struct meter_reading before, now;
    cleanup_meter struct meter *meter = meter_create();
    for (int i = 0; i < 1000; i++)
        meter_add(meter, METER_OPEN, 1000, true);
    meter_read(meter, METER_OPEN, &before);
    for (int i = 0; i < 10; i++)
        meter_add(meter, METER_OPEN, 1000000, false);
    meter_read(meter, METER_OPEN, &now);
    meter_subtract(&now, &before);
    assert_int_equal(now.count, 10);
    assert_int_equal(now.errors, 0);
    assert_int_equal(now.total, 10000000);
    assert_near(meter_percentile(&now, 0.5), 1000000);
}

static void a_meter_made_anew_has_no_negative_interval(void **state)
{
    (void)state;
    struct meter_reading before = {.count = 5, .errors = 5, .total = 5, .buckets = {[7] = 5}};
    struct meter_reading now = {.count = 1, .total = 9, .buckets = {[7] = 1}};
    meter_subtract(&now, &before);
    assert_int_equal(now.count, 0);
    assert_int_equal(now.errors, 0);
    assert_int_equal(now.total, 4);
}

static void *add_many(void *argument)
{
    for (int i = 0; i < 100000; i++)
        meter_add(argument, METER_GETATTR, i, i % 10 == 0);
    return NULL;
}

static void threads_lose_no_count(void **state)
{
    (void)state;
    enum { THREADS = 4 };
    pthread_t threads[THREADS];
    struct meter_reading reading;
    cleanup_meter struct meter *meter = meter_create();
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, add_many, meter), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    meter_read(meter, METER_GETATTR, &reading);
    assert_int_equal(reading.count, THREADS * 100000);
    assert_int_equal(reading.errors, THREADS * 10000);
}

static void copyups_are_counted(void **state)
{
    (void)state;
    uint64_t count, moved;
    cleanup_meter struct meter *meter = meter_create();
    meter_add_copyup(meter, 4096);
    meter_add_copyup(meter, 0);
    meter_read_copyups(meter, &count, &moved);
    assert_int_equal(count, 2);
    assert_int_equal(moved, 4096);
}

static void every_operation_has_a_word_of_its_own(void **state)
{
    (void)state;
    for (int op = 0; op < METER_OPS; op++)
        assert_int_equal(meter_op_of(meter_op_word((enum meter_op)op)), op);
    assert_int_equal(meter_op_of("chmod"), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bucket_is_within_a_thirty_second_of_what_falls_into_it),
        cmocka_unit_test(buckets_follow_each_other_without_a_gap),
        cmocka_unit_test(what_no_bucket_holds_is_in_the_first_or_the_last),
        cmocka_unit_test(percentiles_are_those_of_what_was_added),
        cmocka_unit_test(one_slow_request_in_a_hundred_is_not_the_99th_percentile),
        cmocka_unit_test(nothing_has_no_percentile),
        cmocka_unit_test(operations_and_failures_are_counted_apart),
        cmocka_unit_test(an_interval_is_what_came_since),
        cmocka_unit_test(a_meter_made_anew_has_no_negative_interval),
        cmocka_unit_test(threads_lose_no_count),
        cmocka_unit_test(copyups_are_counted),
        cmocka_unit_test(every_operation_has_a_word_of_its_own),
    };
    return cmocka_run_group_tests_name("meter", tests, NULL, NULL);
}
