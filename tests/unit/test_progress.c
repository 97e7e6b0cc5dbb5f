/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "cell.h"
#include "progress.h"

#include <string.h>

static const struct progress_state HALF = {
    .what = "importing base.tar",
    .done = 50000000,
    .total = 100000000,
    .seconds = 5,
    .columns = 120,
};

static void assert_line(struct progress_state state, const char *wanted)
{
    char line[512];
    assert_string_equal(progress_render(&state, line, sizeof(line)), wanted);
}

static void a_line_has_a_bar_bytes_rate_and_time_left(void **state)
{
    (void)state;
    assert_line(HALF, "importing base.tar  [===================>                  ]  "
                      "50MB / 100MB  10MB/s  5s left");
}

static void the_time_left_is_told_in_words_that_fit(void **state)
{
    (void)state;
    struct progress_state now = HALF;
    char line[512];
    now.seconds = 125;
    assert_non_null(strstr(progress_render(&now, line, sizeof(line)), "  2m05s left"));
    now.seconds = 3720;
    assert_non_null(strstr(progress_render(&now, line, sizeof(line)), "  1h02m left"));
    now.seconds = 1e9;
    assert_null(strstr(progress_render(&now, line, sizeof(line)), "left"));
}

static void without_a_total_there_is_no_bar_and_no_time_left(void **state)
{
    (void)state;
    struct progress_state now = HALF;
    now.total = 0;
    assert_line(now, "importing base.tar  50MB  10MB/s");
}

static void a_narrow_terminal_loses_the_bar_first_and_then_what_is_done(void **state)
{
    (void)state;
    struct progress_state now = HALF;
    now.columns = 60;
    assert_line(now, "importing base.tar  50MB / 100MB  10MB/s  5s left");
    now.columns = 40;
    assert_line(now, "50MB / 100MB  10MB/s  5s left");
    now.columns = 10;
    assert_line(now, "50MB / 10");
}

static void nothing_is_divided_by_zero(void **state)
{
    (void)state;
    assert_line((struct progress_state){.what = "x", .columns = 80}, "x  0B  0B/s");
    assert_line((struct progress_state){.what = "x", .total = 10, .columns = 80},
                "x  [>                                     ]  0B / 10B  0B/s");
}

static void more_than_all_is_a_full_bar(void **state)
{
    (void)state;
    struct progress_state now = HALF;
    char line[512];
    now.done = 2 * now.total;
    assert_non_null(strstr(progress_render(&now, line, sizeof(line)), "[======"));
    assert_null(strchr(line, '>'));
    assert_null(strstr(line, "left"));
}

static void colour_takes_no_room(void **state)
{
    (void)state;
    struct progress_state now = HALF;
    char line[512], plain[512];
    progress_render(&now, plain, sizeof(plain));
    now.colour = true;
    for (now.done = 0; now.done <= now.total; now.done += now.total / 8) {
        progress_render(&now, line, sizeof(line));
        assert_non_null(strstr(line, "\033[32m"));
        assert_non_null(strstr(line, "\033[0m"));
    }
    now.done = HALF.done;
    progress_render(&now, line, sizeof(line));
    assert_int_equal(strlen(line), strlen(plain) + strlen("\033[32m") + strlen("\033[0m"));
}

static void no_line_is_wider_than_its_terminal(void **state)
{
    (void)state;
    struct progress_state now = HALF;
    char line[512];
    now.what = "\xe6\x97\xa5\xe6\x9c\xac\xe6\x97\xa5\xe6\x9c\xac";
    for (now.columns = 1; now.columns < 300; now.columns++)
        assert_true(cell_width(progress_render(&now, line, sizeof(line))) < now.columns ||
                    *line == 0);
}

static void a_small_buffer_is_not_overrun(void **state)
{
    (void)state;
    struct progress_state now = HALF;
    char line[512];
    now.colour = true;
    for (size_t room = 1; room < sizeof(line); room++) {
        memset(line, '#', sizeof(line));
        progress_render(&now, line, room);
        assert_true(memchr(line, 0, room) != NULL);
        for (size_t i = room; i < sizeof(line); i++)
            assert_int_equal(line[i], '#');
    }
}

static void nothing_is_said_where_there_is_no_terminal(void **state)
{
    (void)state;
    int before = dup(STDERR_FILENO), ends[2];
    assert_int_equal(pipe(ends), 0);
    dup2(ends[1], STDERR_FILENO);
    struct progress *progress = progress_start("x", 10);
    progress_at(progress, 5);
    progress_end(progress);
    dup2(before, STDERR_FILENO);
    close(before);
    close(ends[1]);
    assert_null(progress);
    char byte;
    assert_int_equal(read(ends[0], &byte, 1), 0);
    close(ends[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_has_a_bar_bytes_rate_and_time_left),
        cmocka_unit_test(the_time_left_is_told_in_words_that_fit),
        cmocka_unit_test(without_a_total_there_is_no_bar_and_no_time_left),
        cmocka_unit_test(a_narrow_terminal_loses_the_bar_first_and_then_what_is_done),
        cmocka_unit_test(nothing_is_divided_by_zero),
        cmocka_unit_test(more_than_all_is_a_full_bar),
        cmocka_unit_test(colour_takes_no_room),
        cmocka_unit_test(no_line_is_wider_than_its_terminal),
        cmocka_unit_test(a_small_buffer_is_not_overrun),
        cmocka_unit_test(nothing_is_said_where_there_is_no_terminal),
    };
    return cmocka_run_group_tests_name("progress", tests, NULL, NULL);
}
