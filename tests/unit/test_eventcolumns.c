/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "eventcolumns.h"
#include "moment.h"

#include <string.h>
#include <sys/stat.h>

static struct event event_at(int64_t time, const char *path)
{
    return (struct event){.time = time * MOMENT_SECOND,
                          .path = path,
                          .layer = 1,
                          .type = S_IFREG,
                          .cause = "write",
                          .pid = 7,
                          .command = "sed"};
}

static json_t *columns_of(const struct event *events, size_t count)
{
    cleanup_eventcolumns struct eventcolumns *columns = eventcolumns_create();
    assert_non_null(columns);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(eventcolumns_add(columns, &events[i]), 0);
    json_t *json = eventcolumns_json(columns, 3);
    assert_non_null(json);
    return json;
}

static void assert_json(const json_t *all, const char *field, const char *expected)
{
    const json_t *value = json_object_get(all, field);
    if (!value)
        value = json_object_get(json_object_get(all, "Events"), field);
    cleanup_free char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    assert_string_equal(text, expected);
}

static void an_empty_ledger_has_every_column(void **state)
{
    (void)state;
    json_t *json = columns_of(NULL, 0);
    assert_json(json, "Count", "0");
    assert_json(json, "Lost", "3");
    assert_json(json, "From", "null");
    assert_json(json, "Time", "[]");
    assert_json(json, "Directories", "[]");
    assert_json(json, "Kinds",
                "[\"copyup\",\"whiteout\",\"opaque\",\"redirect\",\"warned\",\"denied\"]");
    json_decref(json);
}

static void a_path_is_a_directory_and_a_name_that_are_kept_once(void **state)
{
    (void)state;
    const struct event events[] = {event_at(1, "/etc/a"), event_at(2, "/etc/b"),
                                   event_at(3, "/a"),     event_at(4, "/usr/etc/a"),
                                   event_at(5, "/"),      event_at(6, "")};
    json_t *json = columns_of(events, 6);
    assert_json(json, "Directories", "[\"/etc\",\"/\",\"/usr/etc\",\"\"]");
    assert_json(json, "Names", "[\"a\",\"b\",\"\"]");
    assert_json(json, "Directory", "[0,0,1,2,1,3]");
    assert_json(json, "Name", "[0,1,0,0,2,2]");
    json_decref(json);
}

static void times_are_told_after_the_earliest(void **state)
{
    (void)state;
    const struct event events[] = {event_at(1700000002, "/a"), event_at(1700000000, "/b")};
    json_t *json = columns_of(events, 2);
    assert_json(json, "From", "\"2023-11-14T22:13:20.000000000Z\"");
    assert_json(json, "Time", "[2000000000,0]");
    json_decref(json);
}

static void a_process_is_one_for_each_user_that_it_was(void **state)
{
    (void)state;
    struct event events[] = {event_at(1, "/a"), event_at(2, "/b"), event_at(3, "/c"),
                             event_at(4, "/d")};
    events[1].uid = 1000;
    events[2].pid = 0;
    events[2].writeback = true;
    events[2].command[0] = 0;
    json_t *json = columns_of(events, 4);
    assert_json(json, "Process", "[0,1,2,0]");
    assert_json(json, "Processes",
                "[{\"Command\":\"sed\",\"Pid\":7,\"Uid\":0,\"Caller\":\"sed[7]\"},"
                "{\"Command\":\"sed\",\"Pid\":7,\"Uid\":1000,\"Caller\":\"sed[7]\"},"
                "{\"Command\":null,\"Pid\":null,\"Uid\":null,\"Caller\":\"unknown (writeback)\"}]");
    json_decref(json);
}

static void no_layer_is_null_and_bytes_that_are_no_text_are_written_out(void **state)
{
    (void)state;
    struct event events[] = {event_at(1, "/a\xff"), event_at(2, "/b")};
    events[1].layer = 0;
    events[1].type = S_IFDIR;
    json_t *json = columns_of(events, 2);
    assert_json(json, "Layer", "[1,null]");
    assert_json(json, "Types", "[\"file\",\"directory\"]");
    assert_json(json, "Names", "[\"a\\\\xff\",\"b\"]");
    json_decref(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_ledger_has_every_column),
        cmocka_unit_test(a_path_is_a_directory_and_a_name_that_are_kept_once),
        cmocka_unit_test(times_are_told_after_the_earliest),
        cmocka_unit_test(a_process_is_one_for_each_user_that_it_was),
        cmocka_unit_test(no_layer_is_null_and_bytes_that_are_no_text_are_written_out),
    };
    return cmocka_run_group_tests_name("eventcolumns", tests, NULL, NULL);
}
