/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "eventqueue.h"
#include "moment.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

static void own_queue(struct eventqueue **queue)
{
    eventqueue_destroy(*queue);
}
#define cleanup_queue cleanup(own_queue)

static void put(struct eventqueue *queue, const char *path, uint64_t size)
{
    const struct event event = {.path = path, .cause = "write", .size = size};
    eventqueue_put(queue, &event);
}

static void events_come_out_whole_and_in_order(void **state)
{
    (void)state;
    char path[64];
    struct eventbatch batch;
    cleanup_queue struct eventqueue *queue = eventqueue_create();
    for (unsigned i = 0; i < 5000; i++) {
        snprintf(path, sizeof(path), "/a/path/of/number/%u", i);
        put(queue, path, i);
    }
    assert_true(eventqueue_take(queue, -1, &batch));
    assert_int_equal(batch.count, 5000);
    assert_int_equal(batch.lost, 0);
    for (unsigned i = 0; i < 5000; i++) {
        snprintf(path, sizeof(path), "/a/path/of/number/%u", i);
        assert_string_equal(batch.events[i].path, path);
        assert_string_equal(batch.events[i].cause, "write");
        assert_int_equal(batch.events[i].size, i);
    }
}

static void what_is_put_while_a_batch_is_read_is_in_the_next(void **state)
{
    (void)state;
    struct eventbatch batch;
    cleanup_queue struct eventqueue *queue = eventqueue_create();
    put(queue, "/first", 1);
    assert_true(eventqueue_take(queue, -1, &batch));
    put(queue, "/second", 2);
    assert_string_equal(batch.events[0].path, "/first");
    assert_true(eventqueue_take(queue, -1, &batch));
    assert_int_equal(batch.count, 1);
    assert_string_equal(batch.events[0].path, "/second");
}

static void an_idle_queue_gives_an_empty_batch(void **state)
{
    (void)state;
    struct eventbatch batch;
    cleanup_queue struct eventqueue *queue = eventqueue_create();
    assert_true(eventqueue_take(queue, 1000, &batch));
    assert_int_equal(batch.count, 0);
}

static void a_closed_queue_gives_what_is_left_and_then_ends(void **state)
{
    (void)state;
    struct eventbatch batch;
    cleanup_queue struct eventqueue *queue = eventqueue_create();
    eventqueue_set_patience(queue, 3600 * MOMENT_SECOND);
    put(queue, "/left", 1);
    eventqueue_close(queue);
    assert_true(eventqueue_take(queue, -1, &batch));
    assert_int_equal(batch.count, 1);
    assert_false(eventqueue_take(queue, -1, &batch));
    assert_int_equal(batch.count, 0);
}

static void what_comes_too_late_is_counted_as_lost(void **state)
{
    (void)state;
    struct eventbatch batch;
    cleanup_queue struct eventqueue *queue = eventqueue_create();
    eventqueue_close(queue);
    put(queue, "/late", 1);
    assert_true(eventqueue_take(queue, -1, &batch));
    assert_int_equal(batch.count, 0);
    assert_int_equal(batch.lost, 1);
}

static void what_finds_no_room_is_counted_as_lost(void **state)
{
    (void)state;
    struct eventbatch batch;
    cleanup_queue struct eventqueue *queue = eventqueue_create();
    for (unsigned i = 0; i < EVENTQUEUE_MOST + 10; i++)
        put(queue, "/f", i);
    assert_true(eventqueue_take(queue, -1, &batch));
    assert_int_equal(batch.count, EVENTQUEUE_MOST);
    assert_int_equal(batch.lost, 10);
    put(queue, "/f", 7);
    assert_true(eventqueue_take(queue, -1, &batch));
    assert_int_equal(batch.count, 1);
    assert_int_equal(batch.lost, 0);
}

/* ---- a reader in a thread ---- */

struct reader {
    struct eventqueue *queue;
    uint64_t count, sum;
};

static void *read_all(void *argument)
{
    struct reader *reader = argument;
    struct eventbatch batch;
    while (eventqueue_take(reader->queue, -1, &batch)) {
        for (size_t i = 0; i < batch.count; i++) {
            reader->count++;
            reader->sum += batch.events[i].size;
        }
    }
    return NULL;
}

static void a_flush_returns_when_all_before_it_was_dealt_with(void **state)
{
    (void)state;
    pthread_t thread;
    cleanup_queue struct eventqueue *queue = eventqueue_create();
    struct reader reader = {.queue = queue};
    eventqueue_set_patience(queue, 3600 * MOMENT_SECOND);
    assert_int_equal(pthread_create(&thread, NULL, read_all, &reader), 0);
    for (unsigned round = 1; round <= 100; round++) {
        put(queue, "/f", 1);
        put(queue, "/g", 2);
        eventqueue_flush(queue);
        assert_int_equal(reader.count, 2 * round);
        eventqueue_flush(queue);
    }
    eventqueue_close(queue);
    eventqueue_flush(queue);
    pthread_join(thread, NULL);
}

enum { WRITERS = 4, EACH = 50000 };

static void *put_many(void *argument)
{
    for (unsigned i = 0; i < EACH; i++)
        put(argument, "/f", 1);
    return NULL;
}

static void nothing_is_lost_between_many_writers_and_a_reader(void **state)
{
    (void)state;
    pthread_t writers[WRITERS], thread;
    cleanup_queue struct eventqueue *queue = eventqueue_create();
    struct reader reader = {.queue = queue};
    assert_int_equal(pthread_create(&thread, NULL, read_all, &reader), 0);
    for (unsigned i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_create(&writers[i], NULL, put_many, queue), 0);
    for (unsigned i = 0; i < WRITERS; i++)
        pthread_join(writers[i], NULL);
    eventqueue_close(queue);
    pthread_join(thread, NULL);
    assert_int_equal(reader.count, WRITERS * EACH);
    assert_int_equal(reader.sum, WRITERS * EACH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_come_out_whole_and_in_order),
        cmocka_unit_test(what_is_put_while_a_batch_is_read_is_in_the_next),
        cmocka_unit_test(an_idle_queue_gives_an_empty_batch),
        cmocka_unit_test(a_closed_queue_gives_what_is_left_and_then_ends),
        cmocka_unit_test(what_comes_too_late_is_counted_as_lost),
        cmocka_unit_test(what_finds_no_room_is_counted_as_lost),
        cmocka_unit_test(a_flush_returns_when_all_before_it_was_dealt_with),
        cmocka_unit_test(nothing_is_lost_between_many_writers_and_a_reader),
    };
    return cmocka_run_group_tests_name("eventqueue", tests, NULL, NULL);
}
