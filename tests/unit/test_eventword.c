/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "eventword.h"
#include "moment.h"

#include <errno.h>
#include <string.h>

#define NOW (1700000000 * MOMENT_SECOND)

static void moments_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *word;
        int64_t seconds;
    } CASES[] = {
        {"90s", 1700000000 - 90},
        {"10m", 1700000000 - 600},
        {"2h", 1700000000 - 7200},
        {"3d", 1700000000 - 3 * 86400},
        {"0s", 1700000000},
        {"9999999s", 1700000000 - 9999999},
        {"999999d", 1700000000 - INT64_MAX / MOMENT_SECOND},
        {"9999999999d", 1700000000 - INT64_MAX / MOMENT_SECOND},
        {"2024-02-29", 1709164800},
        {"@1600000000", 1600000000},
        {"2023-11-14T22:13:20Z", 1700000000},
        {"2023-11-14T22:13:20", 1700000000},
        {"2023-11-14", 1699920000},
        {"2999-01-01", INT64_MAX / MOMENT_SECOND},
        {"0001-01-01", -(INT64_MAX / MOMENT_SECOND)},
    };
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        int64_t moment = 0;
        assert_int_equal(eventword_moment(CASES[i].word, NOW, &moment), 0);
        assert_int_equal(moment, CASES[i].seconds * MOMENT_SECOND);
    }
}

static void what_is_no_moment_is_refused(void **state)
{
    (void)state;
    static const char *const WORDS[] = {"",
                                        "10",
                                        "m",
                                        "10x",
                                        "-5m",
                                        "10 m",
                                        "10mm",
                                        "@",
                                        "@12x",
                                        "99999999999s",
                                        "@-1",
                                        "now",
                                        "2023-11-14T22",
                                        "2023-13-01",
                                        "2023-11-14 x",
                                        "2023-02-29",
                                        "2023-04-31T12:00:00",
                                        "2023-02-00"};
    for (size_t i = 0; i < sizeof(WORDS) / sizeof(WORDS[0]); i++) {
        int64_t moment;
        assert_int_equal(eventword_moment(WORDS[i], NOW, &moment), -EINVAL);
    }
}

static void assert_caller(const struct event *event, const char *words)
{
    char text[40];
    assert_string_equal(eventword_caller(text, event), words);
}

static void a_caller_is_named_or_said_to_be_unknown(void **state)
{
    (void)state;
    assert_caller(&(struct event){.pid = 12, .command = "dpkg"}, "dpkg[12]");
    assert_caller(&(struct event){.pid = 12}, "?[12]");
    assert_caller(&(struct event){.writeback = true}, "unknown (writeback)");
    assert_caller(&(struct event){.writeback = false}, "unknown");
}

static void what_is_not_known_is_null(void **state)
{
    (void)state;
    const struct event event = {.path = "/a\xff", .cause = "write"};
    json_t *row = eventword_json(&event);
    assert_non_null(row);
    static const char *const NULLS[] = {"Layer", "Type", "Pid", "Command", "Uid"};
    for (size_t i = 0; i < sizeof(NULLS) / sizeof(NULLS[0]); i++)
        assert_true(json_is_null(json_object_get(row, NULLS[i])));
    assert_string_equal(json_string_value(json_object_get(row, "Path")), "/a\\xff");
    json_decref(row);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(moments_are_read),
        cmocka_unit_test(what_is_no_moment_is_refused),
        cmocka_unit_test(a_caller_is_named_or_said_to_be_unknown),
        cmocka_unit_test(what_is_not_known_is_null),
    };
    return cmocka_run_group_tests_name("eventword", tests, NULL, NULL);
}
