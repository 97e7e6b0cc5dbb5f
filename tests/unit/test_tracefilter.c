/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "moment.h"
#include "tracefilter.h"

#include <errno.h>
#include <string.h>

static struct tracefilter *parse_all(const char *const *words, size_t count)
{
    struct tracefilter *filter;
    char why[256];
    assert_int_equal(tracefilter_parse(words, count, true, &filter, why), 0);
    return filter;
}

static bool passes(const char *word, const struct trace_note *note)
{
    cleanup_tracefilter struct tracefilter *filter = parse_all(&word, 1);
    return tracefilter_passes(filter, note);
}

static struct trace_note request(enum meter_op op, const char *cause, const char *path)
{
    return (struct trace_note){.kind = TRACE_REQUEST,
                               .op = op,
                               .event = {.cause = cause, .path = path, .pid = 7, .duration = 5000}};
}

static void without_a_filter_everything_passes(void **state)
{
    (void)state;
    const struct trace_note note = request(METER_READ, "read", "/a");
    cleanup_tracefilter struct tracefilter *filter = parse_all(NULL, 0);
    assert_true(tracefilter_passes(filter, &note));
    assert_int_equal(tracefilter_wants(filter), UINT64_MAX);
}

static void requests_pass_only_where_all_are_wanted(void **state)
{
    (void)state;
    char why[256];
    const struct trace_note note = request(METER_READ, "read", "/a");
    const struct trace_note event = {.kind = TRACE_EVENT, .event = {.cause = "write", .path = "/"}};
    cleanup_tracefilter struct tracefilter *filter = NULL;
    assert_int_equal(tracefilter_parse(NULL, 0, false, &filter, why), 0);
    assert_false(tracefilter_passes(filter, &note));
    assert_true(tracefilter_passes(filter, &event));
    assert_int_equal(tracefilter_wants(filter), TRACE_WANTS_EVENTS);
}

static void an_operation_is_known_by_both_its_names(void **state)
{
    (void)state;
    const struct trace_note chmod = request(METER_SETATTR, "chmod", "/a");
    assert_true(passes("op=chmod", &chmod));
    assert_true(passes("op=setattr", &chmod));
    assert_true(passes("op=write,chmod", &chmod));
    assert_false(passes("op=chown", &chmod));
    assert_false(passes("op=write,read", &chmod));
}

static void an_event_is_known_by_its_kind_and_its_cause(void **state)
{
    (void)state;
    const struct trace_note event = {
        .kind = TRACE_EVENT,
        .event = {.kind = EVENT_COPYUP, .cause = "write", .path = "/a"},
    };
    const struct trace_note route = {.kind = TRACE_ROUTE,
                                     .event = {.cause = "lookup", .path = "/"}};
    const struct trace_note chmod = {
        .kind = TRACE_EVENT,
        .event = {.kind = EVENT_COPYUP, .cause = "chmod", .path = "/a"},
    };
    assert_true(passes("op=copyup", &event));
    assert_true(passes("op=write", &event));
    assert_true(passes("op=setattr", &chmod));
    assert_false(passes("op=setattr", &event));
    assert_false(passes("op=whiteout", &event));
    assert_true(passes("op=route", &route));
    assert_false(passes("op=copyup", &route));
}

static void a_path_is_matched_on_either_side_of_a_rename(void **state)
{
    (void)state;
    struct trace_note rename = request(METER_RENAME, "rename", "/old/name");
    rename.to = "/new/name";
    assert_true(passes("path=/old/*", &rename));
    assert_true(passes("path=/new/**", &rename));
    assert_false(passes("path=/other/**", &rename));
}

static void what_a_volume_shows_is_no_path_of_the_mount(void **state)
{
    (void)state;
    const struct trace_note route = {
        .kind = TRACE_ROUTE, .event = {.cause = "lookup", .path = "/data"}, .to = "/srv/data"};
    assert_true(passes("path=/data", &route));
    assert_false(passes("path=/srv/**", &route));
}

static void a_process_and_a_time_are_matched(void **state)
{
    (void)state;
    const struct trace_note note = request(METER_READ, "read", "/a");
    assert_true(passes("pid=7", &note));
    assert_false(passes("pid=8", &note));
    assert_true(passes("pid=8,pid=7", &note));
    assert_true(passes("slow=5us", &note));
    assert_false(passes("slow=6us", &note));
}

static void filters_of_several_keys_must_all_be_met(void **state)
{
    (void)state;
    const struct trace_note note = request(METER_WRITE, "write", "/a,b");
    assert_true(passes("op=write,path=/a,b,pid=7,slow=1us", &note));
    assert_false(passes("op=write,path=/a,b,pid=8", &note));
    assert_true(passes("path=/x,path=/a,b", &note));
    static const char *const WORDS[] = {"op=write", "path=/a*", "pid=7"};
    cleanup_tracefilter struct tracefilter *filter = parse_all(WORDS, 3);
    assert_true(tracefilter_passes(filter, &note));
}

static void only_what_can_pass_is_asked_for(void **state)
{
    (void)state;
    static const char *const WORDS[] = {"op=chmod,write,copyup"};
    cleanup_tracefilter struct tracefilter *filter = parse_all(WORDS, 1);
    assert_int_equal(tracefilter_wants(filter), TRACE_WANTS_EVENTS |
                                                    trace_wants_request(METER_SETATTR) |
                                                    trace_wants_request(METER_WRITE));
}

static void what_is_no_filter_is_refused_with_words(void **state)
{
    (void)state;
    static const char *const WORDS[] = {
        "",         "op",        "op=",       "op=fly",  "op=write,fly",
        "path=",    "pid=",      "pid=0",     "pid=-1",  "pid=x",
        "pid=1x",   "slow=",     "slow=10",   "slow=ms", "slow=1h",
        "size=3",   "write",     "op=write,", "pid=1,2", "slow=-1ms",
        "slow=1.5", "slow= 1ms", "slow=1e3s", "=",       "pid=99999999999",
    };
    for (size_t i = 0; i < sizeof(WORDS) / sizeof(WORDS[0]); i++) {
        struct tracefilter *filter;
        char why[256];
        int err = tracefilter_parse(&WORDS[i], 1, true, &filter, why);
        if (err != -EINVAL || !*why || filter)
            fail_msg("'%s' gives %d: %s", WORDS[i], err, why);
    }
}

static void times_have_units(void **state)
{
    (void)state;
    int64_t time;
    static const struct {
        const char *text;
        int64_t nanoseconds;
    } CASES[] = {{"250ns", 250},       {"500us", 500000},         {"10ms", 10000000},
                 {"1.5s", 1500000000}, {"2s", 2 * MOMENT_SECOND}, {"0.5ms", 500000}};
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        assert_int_equal(tracefilter_time(CASES[i].text, &time), 0);
        assert_int_equal(time, CASES[i].nanoseconds);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_filter_everything_passes),
        cmocka_unit_test(requests_pass_only_where_all_are_wanted),
        cmocka_unit_test(an_operation_is_known_by_both_its_names),
        cmocka_unit_test(an_event_is_known_by_its_kind_and_its_cause),
        cmocka_unit_test(a_path_is_matched_on_either_side_of_a_rename),
        cmocka_unit_test(what_a_volume_shows_is_no_path_of_the_mount),
        cmocka_unit_test(a_process_and_a_time_are_matched),
        cmocka_unit_test(filters_of_several_keys_must_all_be_met),
        cmocka_unit_test(only_what_can_pass_is_asked_for),
        cmocka_unit_test(what_is_no_filter_is_refused_with_words),
        cmocka_unit_test(times_have_units),
    };
    return cmocka_run_group_tests_name("tracefilter", tests, NULL, NULL);
}
