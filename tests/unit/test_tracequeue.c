/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "tracequeue.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

static void own_queue(struct tracequeue **queue)
{
    tracequeue_destroy(*queue);
}
#define cleanup_queue cleanup(own_queue)

static void put(struct tracequeue *queue, const char *path, const char *to)
{
    const struct trace_note note = {
        .kind = TRACE_REQUEST, .op = METER_RENAME, .event = {.path = path, .cause = "x"}, .to = to};
    tracequeue_put(queue, &note);
}

static bool is_awake(const struct tracequeue *queue)
{
    struct pollfd wake = {.fd = queue->wake, .events = POLLIN};
    return poll(&wake, 1, 0) == 1;
}

static void nobody_wants_anything_at_first(void **state)
{
    (void)state;
    cleanup_queue struct tracequeue *queue = tracequeue_create();
    assert_false(tracequeue_wants(queue, UINT64_MAX));
    assert_false(tracequeue_wants(NULL, UINT64_MAX));
    atomic_store(&queue->wanted, trace_wants_request(METER_READ));
    assert_true(tracequeue_wants(queue, trace_wants_request(METER_READ)));
    assert_false(tracequeue_wants(queue, trace_wants_request(METER_WRITE) | TRACE_WANTS_EVENTS));
}

static void notes_come_out_whole_and_in_order(void **state)
{
    (void)state;
    char path[64], to[64];
    struct trace_batch batch;
    cleanup_queue struct tracequeue *queue = tracequeue_create();
    for (int i = 0; i < 3000; i++) {
        snprintf(path, sizeof(path), "/from/%d", i);
        snprintf(to, sizeof(to), "/to/%d", i);
        put(queue, path, i % 2 ? to : NULL);
    }
    tracequeue_take(queue, &batch);
    assert_int_equal(batch.count, 3000);
    assert_int_equal(batch.lost, 0);
    for (int i = 0; i < 3000; i++) {
        snprintf(path, sizeof(path), "/from/%d", i);
        snprintf(to, sizeof(to), "/to/%d", i);
        assert_string_equal(batch.notes[i].event.path, path);
        if (i % 2)
            assert_string_equal(batch.notes[i].to, to);
        else
            assert_null(batch.notes[i].to);
    }
    tracequeue_take(queue, &batch);
    assert_int_equal(batch.count, 0);
}

static void the_first_of_a_batch_wakes_the_reader(void **state)
{
    (void)state;
    struct trace_batch batch;
    cleanup_queue struct tracequeue *queue = tracequeue_create();
    assert_false(is_awake(queue));
    put(queue, "/a", NULL);
    assert_true(is_awake(queue));
    tracequeue_take(queue, &batch);
    assert_false(is_awake(queue));
    tracequeue_wake(queue);
    assert_true(is_awake(queue));
}

static void what_finds_no_room_is_counted_as_lost(void **state)
{
    (void)state;
    struct trace_batch batch;
    cleanup_queue struct tracequeue *queue = tracequeue_create();
    for (int i = 0; i < TRACEQUEUE_MOST + 100; i++)
        put(queue, "/a", NULL);
    tracequeue_take(queue, &batch);
    assert_int_equal(batch.count, TRACEQUEUE_MOST);
    assert_int_equal(batch.lost, 100);
    put(queue, "/b", NULL);
    tracequeue_take(queue, &batch);
    assert_int_equal(batch.count, 1);
    assert_int_equal(batch.lost, 0);
}

static void *put_many(void *queue)
{
    for (int i = 0; i < 20000; i++)
        put(queue, "/some/path", "/some/other");
    return NULL;
}

static void nothing_is_lost_count_of_between_many_writers_and_a_reader(void **state)
{
    (void)state;
    enum { THREADS = 4 };
    pthread_t threads[THREADS];
    struct trace_batch batch;
    uint64_t seen = 0;
    cleanup_queue struct tracequeue *queue = tracequeue_create();
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, put_many, queue), 0);
    while (seen < THREADS * 20000) {
        struct pollfd wake = {.fd = queue->wake, .events = POLLIN};
        assert_int_equal(poll(&wake, 1, 30000), 1);
        tracequeue_take(queue, &batch);
        for (size_t i = 0; i < batch.count; i++)
            assert_string_equal(batch.notes[i].to, "/some/other");
        seen += batch.count + batch.lost;
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(seen, THREADS * 20000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_wants_anything_at_first),
        cmocka_unit_test(notes_come_out_whole_and_in_order),
        cmocka_unit_test(the_first_of_a_batch_wakes_the_reader),
        cmocka_unit_test(what_finds_no_room_is_counted_as_lost),
        cmocka_unit_test(nothing_is_lost_count_of_between_many_writers_and_a_reader),
    };
    return cmocka_run_group_tests_name("tracequeue", tests, NULL, NULL);
}
