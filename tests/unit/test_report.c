/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "report.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const char *const STATES[] = {"mounted", "dead", NULL};

static const struct column COLUMNS[] = {
    {"Id", "ID", COLUMN_ID},
    {"Name", "NAME", COLUMN_TEXT},
    {"Created", NULL, COLUMN_TIME},
    {"Size", "SIZE", COLUMN_SIZE},
    {"Files", "FILES", COLUMN_COUNT},
    {"Tags", "TAGS", COLUMN_LIST},
    {"Labels", NULL, COLUMN_TEXT},
    {"Mounted", NULL, COLUMN_TRUTH},
    {"State", NULL, COLUMN_WORD, STATES},
};

static const struct report PLAIN = {REPORT_COLUMNS(COLUMNS)};

#define ID_A "aaaaaaaaaaaabbbbccccddddeeeeffff00001111222233334444555566667777"
#define ID_B "bbbbbbbbbbbbbbbbccccddddeeeeffff00001111222233334444555566667777"

static json_t *two_rows(void)
{
    json_error_t error;
    json_t *rows = json_loads(
        "[{\"Id\": \"" ID_A
        "\", \"Name\": \"web\", \"Created\": \"2026-01-02T03:04:05.000000006Z\","
        "  \"Size\": 1234, \"Files\": 7, \"Tags\": [\"one\", \"two\"],"
        "  \"Labels\": {\"a\": \"x\", \"n\": {\"m\": 3}}, \"Mounted\": true,"
        "  \"State\": \"mounted\"},"
        " {\"Id\": \"" ID_B "\", \"Name\": null, \"Created\": null, \"Size\": 36, \"Files\": 12,"
        "  \"Tags\": [], \"Labels\": {}, \"Mounted\": false,"
        "  \"State\": \"dead\"}]",
        0, &error);
    assert_non_null(rows);
    return rows;
}

/* What is told on `fd` (stdout or stderr) from one call to the other. */
struct capture {
    int fd, before;
    FILE *file;
};

static struct capture capture_start(int fd)
{
    struct capture capture = {.fd = fd, .file = tmpfile()};
    assert_non_null(capture.file);
    fflush(stdout);
    capture.before = dup(fd);
    dup2(fileno(capture.file), fd);
    return capture;
}

static char *capture_end(struct capture *capture)
{
    fflush(stdout);
    dup2(capture->before, capture->fd);
    close(capture->before);
    char *text = calloc(1, 8192);
    assert_non_null(text);
    rewind(capture->file);
    size_t size = fread(text, 1, 8191, capture->file);
    (void)size;
    fclose(capture->file);
    return text;
}

static void assert_prints(const struct report *report, json_t *rows, const char *wanted)
{
    assert_int_equal(report_check(report), 0);
    struct capture capture = capture_start(STDOUT_FILENO);
    int err = report_print(report, rows);
    char *text = capture_end(&capture);
    json_decref(rows);
    assert_int_equal(err, 0);
    assert_string_equal(text, wanted);
    free(text);
}

static void assert_format(const char *format, const char *wanted)
{
    struct report report = PLAIN;
    report.format = format;
    assert_prints(&report, two_rows(), wanted);
}

static void assert_refused(const struct report *report, const char *words)
{
    struct capture capture = capture_start(STDERR_FILENO);
    int err = report_check(report);
    char *text = capture_end(&capture);
    assert_int_equal(err, -EINVAL);
    if (!strstr(text, words))
        fail_msg("'%s' is not in: %s", words, text);
    free(text);
}

/* ---- forms ---- */

static void a_table_has_aligned_columns_two_blanks_apart(void **state)
{
    (void)state;
    assert_prints(&PLAIN, two_rows(),
                  "ID            NAME  SIZE    FILES  TAGS\n"
                  "aaaaaaaaaaaa  web   1.23kB  7      one,two\n"
                  "bbbbbbbbbbbb  -     36B     12     -\n");
}

static void wide_characters_and_control_characters_keep_the_columns(void **state)
{
    (void)state;
    struct report report = PLAIN;
    report.format = "table {{.Name}}\t{{.Size}}";
    json_t *rows =
        json_pack("[{s:s, s:i}, {s:s, s:i}, {s:s, s:i}]", "Name", "\xe6\x97\xa5\xe6\x9c\xac",
                  "Size", 1, "Name", "\033[2J\n", "Size", 2, "Name", "a\tb", "Size", 3);
    assert_prints(&report, rows,
                  "NAME       SIZE\n"
                  "\xe6\x97\xa5\xe6\x9c\xac       1B\n"
                  "\\x1b[2J\\n  2B\n"
                  "a\\tb       3B\n");
}

static void an_empty_table_is_its_titles(void **state)
{
    (void)state;
    assert_prints(&PLAIN, json_array(), "ID  NAME  SIZE  FILES  TAGS\n");
}

static void quiet_is_the_first_column_alone(void **state)
{
    (void)state;
    struct report report = PLAIN;
    report.quiet = true;
    assert_prints(&report, two_rows(), "aaaaaaaaaaaa\nbbbbbbbbbbbb\n");
    report.no_trunc = true;
    assert_prints(&report, two_rows(), ID_A "\n" ID_B "\n");
    assert_prints(&report, json_array(), "");
}

static void json_is_one_whole_object_in_a_line(void **state)
{
    (void)state;
    assert_format(
        "json", "{\"Id\":\"" ID_A "\",\"Name\":\"web\","
                "\"Created\":\"2026-01-02T03:04:05.000000006Z\",\"Size\":1234,"
                "\"Files\":7,\"Tags\":[\"one\",\"two\"],"
                "\"Labels\":{\"a\":\"x\",\"n\":{\"m\":3}},\"Mounted\":true,\"State\":\"mounted\"}\n"
                "{\"Id\":\"" ID_B "\",\"Name\":null,\"Created\":null,\"Size\":36,"
                "\"Files\":12,\"Tags\":[],\"Labels\":{},\"Mounted\":false,\"State\":\"dead\"}\n");
}

static void a_template_shows_what_the_table_shows(void **state)
{
    (void)state;
    assert_format("{{.Id}}: {{ .Name }} has {{.Size}}",
                  "aaaaaaaaaaaa: web has 1.23kB\nbbbbbbbbbbbb:  has 36B\n");
    assert_format("{{.Tags}}\\t{{.Mounted}}\\n", "one,two\ttrue\n\n\tfalse\n\n");
}

static void json_in_a_template_is_the_value_itself(void **state)
{
    (void)state;
    assert_format("{{json .Size}} {{json .Name}} {{json .Tags}}",
                  "1234 \"web\" [\"one\",\"two\"]\n36 null []\n");
    assert_format("{{json .Labels.a}} {{.Labels.n.m}}{{.Labels.n}}", "\"x\" 3{\"m\":3}\nnull \n");
}

static void a_table_of_chosen_columns_has_their_titles(void **state)
{
    (void)state;
    assert_format("table {{.Name}}\t{{.Files}}\\t{{.Labels.a}}", "NAME  FILES  Labels.a\n"
                                                                 "web   7      x\n"
                                                                 "-     12     -\n");
}

static void an_unknown_field_is_told_with_those_there_are(void **state)
{
    (void)state;
    struct report report = PLAIN;
    report.format = "{{.Nonsense}}";
    assert_refused(&report, "no field 'Nonsense'; there are Id, Name, Created, Size");
    report.format = "table {{.Id}}\t{{.name}}";
    assert_refused(&report, "no field 'name'");
}

static void a_template_that_is_none_is_refused(void **state)
{
    (void)state;
    static const char *const WRONG[] = {"{{Id}}",      "{{.Id",      "{{}}",     "{{..}}",
                                        "{{.A..B}}",   "{{.Id.}}",   "{{json}}", "{{len .Id}}",
                                        "{{jsonx .}}", "{{range .}}"};
    for (size_t i = 0; i < sizeof(WRONG) / sizeof(WRONG[0]); i++) {
        struct report report = PLAIN;
        report.format = WRONG[i];
        assert_refused(&report, "--format: '{{");
    }
}

static void quiet_and_a_format_exclude_each_other(void **state)
{
    (void)state;
    struct report report = PLAIN;
    report.quiet = true;
    report.format = "json";
    assert_refused(&report, "-q and --format");
}

/* ---- filters ---- */

static void assert_filtered(const char *one, const char *two, const char *wanted)
{
    const char *filters[] = {one, two};
    struct report report = PLAIN;
    report.format = "{{.Files}}";
    report.filters = (struct words){filters, two ? 2 : 1};
    assert_prints(&report, two_rows(), wanted);
}

static void a_filter_keeps_the_rows_that_have_the_value(void **state)
{
    (void)state;
    assert_filtered("name=we", NULL, "7\n");
    assert_filtered("Name=nothing", NULL, "");
    assert_filtered("id=bbbb", NULL, "12\n");
    assert_filtered("id=sha256:aaaa", NULL, "7\n");
    assert_filtered("id=bbcc", NULL, "");
    assert_filtered("files=12", NULL, "12\n");
    assert_filtered("files=1", NULL, "");
    assert_filtered("tags=two", NULL, "7\n");
    assert_filtered("tags=tw", NULL, "");
    assert_filtered("mounted=false", NULL, "12\n");
}

static void filters_of_one_key_are_alternatives_and_those_of_several_conditions(void **state)
{
    (void)state;
    assert_filtered("id=aaaa", "id=bbbb", "7\n12\n");
    assert_filtered("id=aaaa", "mounted=true", "7\n");
    assert_filtered("id=aaaa", "mounted=false", "");
}

static void a_filter_that_makes_no_sense_is_told(void **state)
{
    (void)state;
    static const char *const WRONG[] = {"name", "nonsense=1", "=x", ""};
    for (size_t i = 0; i < sizeof(WRONG) / sizeof(WRONG[0]); i++) {
        const char *filters[] = {WRONG[i]};
        struct report report = PLAIN;
        report.filters = (struct words){filters, 1};
        assert_refused(&report, "is not KEY=VALUE with a key that there is: Id, Name");
    }
}

static void a_value_that_no_row_can_have_is_told_with_those_that_there_are(void **state)
{
    (void)state;
    static const struct {
        const char *filter, *words;
    } WRONG[] = {
        {"files=x", "--filter Files='x': write a number"},
        {"files=7x", "write a number"},
        {"files= 7", "write a number"},
        {"files=-7", "write a number"},
        {"files=", "write a number"},
        {"files=99999999999999999999", "write a number"},
        {"size=big", "--filter Size='big': write a size: 512, 64k, 1.2kB"},
        {"size=1.2kBx", "write a size"},
        {"mounted=xyz", "--filter Mounted='xyz': write true or false"},
        {"mounted=TRUE", "write true or false"},
        {"state=running", "--filter State='running': write mounted, dead"},
        {"state=", "write mounted, dead"},
    };
    for (size_t i = 0; i < sizeof(WRONG) / sizeof(WRONG[0]); i++) {
        const char *filters[] = {WRONG[i].filter};
        struct report report = PLAIN;
        report.filters = (struct words){filters, 1};
        assert_refused(&report, WRONG[i].words);
    }
    assert_filtered("mounted=0", NULL, "12\n");
    assert_filtered("state=dead", NULL, "12\n");
    assert_filtered("size=36", NULL, "12\n");
    assert_filtered("size=1234", NULL, "7\n");
    assert_filtered("size=1.23kB", NULL, "7\n");
    assert_filtered("size=36B", NULL, "12\n");
}

/* ---- inspect ---- */

static void assert_value(const char *format, const char *wanted)
{
    json_t *rows = two_rows();
    struct capture capture = capture_start(STDOUT_FILENO);
    int err = report_print_value(format, rows);
    char *text = capture_end(&capture);
    json_decref(rows);
    assert_int_equal(err, 0);
    assert_string_equal(text, wanted);
    free(text);
}

static void inspect_shows_whole_values(void **state)
{
    (void)state;
    assert_value("{{.Id}} {{.Size}}", ID_A " 1234\n" ID_B " 36\n");
    assert_value("{{json .Labels}}{{.Labels.a}}", "{\"a\":\"x\",\"n\":{\"m\":3}}x\n{}\n");
}

static void inspect_without_a_format_is_an_indented_array(void **state)
{
    (void)state;
    json_t *none = json_array(), *one = json_pack("[{s:i}]", "Size", 3);
    struct capture capture = capture_start(STDOUT_FILENO);
    int err = report_print_value(NULL, none);
    err = err ? err : report_print_value(NULL, one);
    char *text = capture_end(&capture);
    assert_int_equal(err, 0);
    assert_string_equal(text, "[]\n[\n    {\n        \"Size\": 3\n    }\n]\n");
    free(text);
    json_decref(none);
    json_decref(one);
}

static void inspect_names_the_fields_of_what_it_has(void **state)
{
    (void)state;
    json_t *rows = two_rows();
    struct capture capture = capture_start(STDERR_FILENO);
    int err = report_print_value("{{.Nonsense.a}}", rows);
    char *text = capture_end(&capture);
    json_decref(rows);
    assert_int_equal(err, -EINVAL);
    assert_non_null(strstr(text, "no field 'Nonsense.a'; there are Id, Name, Created"));
    free(text);
}

static void a_full_disk_is_an_error_that_is_left_to_be_told(void **state)
{
    (void)state;
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC), before = dup(STDOUT_FILENO);
    json_t *rows = two_rows();
    struct capture capture = capture_start(STDERR_FILENO);
    dup2(full, STDOUT_FILENO);
    int err = report_print(&PLAIN, rows);
    dup2(before, STDOUT_FILENO);
    clearerr(stdout);
    char *text = capture_end(&capture);
    close(before);
    close(full);
    json_decref(rows);
    assert_int_equal(err, -EIO);
    assert_string_equal(text, "");
    free(text);
}

/* ---- numbers, times, texts ---- */

static void assert_size(uint64_t bytes, const char *wanted)
{
    char text[16];
    assert_string_equal(report_size(text, bytes), wanted);
}

static void sizes_are_decimal_with_three_digits(void **state)
{
    (void)state;
    assert_size(0, "0B");
    assert_size(36, "36B");
    assert_size(999, "999B");
    assert_size(1200, "1.2kB");
    assert_size(3450000, "3.45MB");
    assert_size(999499, "999kB");
    assert_size(999500, "1MB");
    assert_size(UINT64_MAX, "18.4EB");
}

static void times_are_told_to_the_nanosecond_in_utc(void **state)
{
    (void)state;
    char text[36];
    assert_string_equal(report_time(text, 0), "1970-01-01T00:00:00.000000000Z");
    assert_string_equal(report_time(text, 1767323045000000006), "2026-01-02T03:04:05.000000006Z");
    assert_string_equal(report_time(text, -1), "1969-12-31T23:59:59.999999999Z");
}

static void assert_ago(int64_t seconds, const char *wanted)
{
    const int64_t now = 1767323045, second = 1000000000;
    char text[36];
    assert_string_equal(report_ago(text, (now - seconds) * second, now * second), wanted);
}

static void how_long_ago_is_told_in_the_largest_unit_that_was_twice(void **state)
{
    (void)state;
    assert_ago(-5, "just now");
    assert_ago(0, "just now");
    assert_ago(1, "1 second ago");
    assert_ago(119, "119 seconds ago");
    assert_ago(120, "2 minutes ago");
    assert_ago(5400, "90 minutes ago");
    assert_ago(3 * 3600 + 59, "3 hours ago");
    assert_ago(2 * 86400, "2 days ago");
    assert_ago(15 * 86400, "2 weeks ago");
    assert_ago(100 * 86400, "3 months ago");
    assert_ago(800 * 86400, "2 years ago");
}

static void a_column_of_times_says_how_long_ago(void **state)
{
    (void)state;
    struct report report = PLAIN;
    char text[36];
    report.format = "{{.Created}}";
    int64_t then = ((int64_t)time(NULL) - 3 * 3600 - 60) * 1000000000;
    assert_prints(&report, json_pack("[{s:s}]", "Created", report_time(text, then)),
                  "3 hours ago\n");
}

static void a_text_of_any_bytes_becomes_json(void **state)
{
    (void)state;
    json_t *plain = report_text("gr\xc3\xbc\xc3\x9f\n"),
           *odd = report_text("a\xff"
                              "b"),
           *none = report_text(NULL);
    assert_string_equal(json_string_value(plain), "gr\xc3\xbc\xc3\x9f\n");
    assert_string_equal(json_string_value(odd), "a\\xffb");
    assert_true(json_is_null(none));
    json_decref(plain);
    json_decref(odd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_table_has_aligned_columns_two_blanks_apart),
        cmocka_unit_test(wide_characters_and_control_characters_keep_the_columns),
        cmocka_unit_test(an_empty_table_is_its_titles),
        cmocka_unit_test(quiet_is_the_first_column_alone),
        cmocka_unit_test(json_is_one_whole_object_in_a_line),
        cmocka_unit_test(a_template_shows_what_the_table_shows),
        cmocka_unit_test(json_in_a_template_is_the_value_itself),
        cmocka_unit_test(a_table_of_chosen_columns_has_their_titles),
        cmocka_unit_test(an_unknown_field_is_told_with_those_there_are),
        cmocka_unit_test(a_template_that_is_none_is_refused),
        cmocka_unit_test(quiet_and_a_format_exclude_each_other),
        cmocka_unit_test(a_filter_keeps_the_rows_that_have_the_value),
        cmocka_unit_test(filters_of_one_key_are_alternatives_and_those_of_several_conditions),
        cmocka_unit_test(a_filter_that_makes_no_sense_is_told),
        cmocka_unit_test(a_value_that_no_row_can_have_is_told_with_those_that_there_are),
        cmocka_unit_test(inspect_shows_whole_values),
        cmocka_unit_test(inspect_without_a_format_is_an_indented_array),
        cmocka_unit_test(inspect_names_the_fields_of_what_it_has),
        cmocka_unit_test(a_full_disk_is_an_error_that_is_left_to_be_told),
        cmocka_unit_test(sizes_are_decimal_with_three_digits),
        cmocka_unit_test(times_are_told_to_the_nanosecond_in_utc),
        cmocka_unit_test(how_long_ago_is_told_in_the_largest_unit_that_was_twice),
        cmocka_unit_test(a_column_of_times_says_how_long_ago),
        cmocka_unit_test(a_text_of_any_bytes_becomes_json),
    };
    return cmocka_run_group_tests_name("report", tests, NULL, NULL);
}
