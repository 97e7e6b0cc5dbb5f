/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "rhythm.h"

#include <linux/fuse.h>

enum { SOMEBODY = 1000, ANOTHER = 2000, LARGE = 128 * 1024, SMALL = 4096 };

struct request {
    struct fuse_in_header header;
    struct fuse_read_in read;
};

static void ask(struct rhythm *rhythm, uint32_t client, uint32_t opcode, bool close)
{
    const struct request request = {.header = {.opcode = opcode, .pid = client}};
    const struct beat beat = rhythm_beat(&request.header);
    rhythm_note(rhythm, &beat, close);
}

static void read_some(struct rhythm *rhythm, uint32_t size, unsigned times)
{
    const struct request request = {.header = {.opcode = FUSE_READ, .pid = SOMEBODY},
                                    .read = {.size = size}};
    const struct beat beat = rhythm_beat(&request.header);
    for (unsigned i = 0; i < times; i++)
        rhythm_note(rhythm, &beat, true);
}

static struct rhythm of_somebody_alone(void)
{
    struct rhythm rhythm = {0};
    for (unsigned i = 0; i < 20; i++)
        ask(&rhythm, SOMEBODY, FUSE_LOOKUP, true);
    return rhythm;
}

static void a_client_is_alone_after_some_requests(void **state)
{
    (void)state;
    struct rhythm rhythm = {0};
    ask(&rhythm, SOMEBODY, FUSE_LOOKUP, true);
    assert_false(rhythm_is_alone(&rhythm));
    rhythm = of_somebody_alone();
    assert_true(rhythm_is_alone(&rhythm));
    assert_int_equal(rhythm.client, SOMEBODY);
}

static void a_second_client_ends_that(void **state)
{
    (void)state;
    struct rhythm rhythm = of_somebody_alone();
    ask(&rhythm, ANOTHER, FUSE_LOOKUP, true);
    assert_false(rhythm_is_alone(&rhythm));
    for (unsigned i = 0; i < 100; i++)
        ask(&rhythm, i % 2 ? SOMEBODY : ANOTHER, FUSE_LOOKUP, true);
    assert_false(rhythm_is_alone(&rhythm));
}

static void a_client_that_takes_its_time_is_not_counted(void **state)
{
    (void)state;
    struct rhythm rhythm = of_somebody_alone();
    for (unsigned i = 0; i < 100; i++) {
        ask(&rhythm, SOMEBODY, FUSE_LOOKUP, false);
        assert_false(rhythm_is_alone(&rhythm));
    }
}

/* The kernel sends a FORGET in the name of nobody, and a RELEASE whenever it likes. */
static void what_nobody_waits_for_is_no_second_client(void **state)
{
    (void)state;
    static const uint32_t OPCODES[] = {FUSE_FORGET, FUSE_BATCH_FORGET, FUSE_RELEASE,
                                       FUSE_RELEASEDIR, FUSE_INTERRUPT};
    struct rhythm rhythm = of_somebody_alone();
    for (unsigned i = 0; i < sizeof(OPCODES) / sizeof(OPCODES[0]); i++) {
        const struct fuse_in_header header = {.opcode = OPCODES[i]};
        assert_false(rhythm_beat(&header).awaited);
        ask(&rhythm, 0, OPCODES[i], true);
        assert_true(rhythm_is_alone(&rhythm));
        assert_int_equal(rhythm.client, SOMEBODY);
    }
}

static void large_reads_are_a_stream_and_no_lone_client(void **state)
{
    (void)state;
    struct rhythm rhythm = of_somebody_alone();
    read_some(&rhythm, LARGE, 1);
    assert_false(rhythm_is_stream(&rhythm));
    assert_true(rhythm_is_alone(&rhythm)); /* one file of that size among small ones */
    read_some(&rhythm, LARGE, 20);
    assert_true(rhythm_is_stream(&rhythm));
    assert_false(rhythm_is_alone(&rhythm));
}

static void small_reads_are_none_and_anything_else_ends_it(void **state)
{
    (void)state;
    struct rhythm rhythm = {0};
    read_some(&rhythm, SMALL, 20);
    assert_false(rhythm_is_stream(&rhythm));
    read_some(&rhythm, LARGE, 20);
    ask(&rhythm, SOMEBODY, FUSE_GETATTR, true);
    assert_false(rhythm_is_stream(&rhythm));
}

static void large_reads_of_two_clients_are_no_stream(void **state)
{
    (void)state;
    struct rhythm rhythm = {0};
    for (uint32_t i = 0; i < 100; i++) {
        const struct beat beat = {.client = 1 + i % 2, .awaited = true, .large = true};
        rhythm_note(&rhythm, &beat, true);
        assert_false(rhythm_is_stream(&rhythm));
    }
}

/* It is sent in the name of nobody. */
static void what_the_page_cache_writes_back_is_no_second_client(void **state)
{
    (void)state;
    struct rhythm rhythm = {0};
    for (unsigned i = 0; i < 20; i++)
        ask(&rhythm, i % 2 ? 0 : SOMEBODY, FUSE_WRITE, true);
    assert_true(rhythm_is_alone(&rhythm));
    assert_int_equal(rhythm.client, SOMEBODY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(a_client_is_alone_after_some_requests),
        kit_test(a_second_client_ends_that),
        kit_test(a_client_that_takes_its_time_is_not_counted),
        kit_test(what_nobody_waits_for_is_no_second_client),
        kit_test(what_the_page_cache_writes_back_is_no_second_client),
        kit_test(large_reads_are_a_stream_and_no_lone_client),
        kit_test(small_reads_are_none_and_anything_else_ends_it),
        kit_test(large_reads_of_two_clients_are_no_stream),
    };
    return kit_run("rhythm", tests, sizeof(tests) / sizeof(tests[0]));
}
