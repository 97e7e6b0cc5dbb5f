/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "cell.h"

#include <stdlib.h>

static void assert_written(const char *text, const char *wanted)
{
    char *got = NULL;
    size_t size;
    FILE *out = open_memstream(&got, &size);
    assert_non_null(out);
    cell_write(out, text);
    assert_int_equal(fclose(out), 0);
    assert_string_equal(got, wanted);
    free(got);
}

static void what_can_be_printed_stays(void **state)
{
    (void)state;
    assert_written("", "");
    assert_written("plain text", "plain text");
    assert_written("gr\xc3\xbc\xc3\x9f \xe6\x97\xa5\xe6\x9c\xac \xf0\x9f\x90\xa7",
                   "gr\xc3\xbc\xc3\x9f \xe6\x97\xa5\xe6\x9c\xac \xf0\x9f\x90\xa7");
}

static void what_moves_a_cursor_is_escaped(void **state)
{
    (void)state;
    assert_written("a\nb\tc\rd", "a\\nb\\tc\\x0dd");
    assert_written("\033[31mred\x7f", "\\x1b[31mred\\x7f");
    assert_written("\xc2\x9b"
                   "2J",
                   "\\u{9b}2J");
}

static void a_mark_of_direction_is_escaped(void **state)
{
    (void)state;
    assert_written("a\xe2\x80\xae"
                   "b\xe2\x81\xa6",
                   "a\\u{202e}b\\u{2066}");
}

static void a_byte_that_is_no_utf8_is_escaped(void **state)
{
    (void)state;
    assert_written("a\xff"
                   "b\xc3",
                   "a\\xffb\\xc3");
    assert_written("\xc0\xaf\xed\xa0\x80", "\\xc0\\xaf\\xed\\xa0\\x80");
}

static void the_width_is_that_of_the_terminal(void **state)
{
    (void)state;
    assert_int_equal(cell_width(""), 0);
    assert_int_equal(cell_width("abc"), 3);
    assert_int_equal(cell_width("gr\xc3\xbc\xc3\x9f"), 4);
    assert_int_equal(cell_width("\xe6\x97\xa5\xe6\x9c\xac"), 4);
    assert_int_equal(cell_width("e\xcc\x81"), 1);
}

static void what_fits_ends_between_characters(void **state)
{
    (void)state;
    assert_int_equal(cell_fit("abc", 2), 2);
    assert_int_equal(cell_fit("abc", 3), 3);
    assert_int_equal(cell_fit("abc", 80), 3);
    assert_int_equal(cell_fit("gr\xc3\xbc\xc3\x9f", 3), 4);
    assert_int_equal(cell_fit("\xe6\x97\xa5\xe6\x9c\xac", 3), 3);
    assert_int_equal(cell_fit("e\xcc\x81x", 1), 3);
    assert_int_equal(cell_fit("a", 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_can_be_printed_stays),
        cmocka_unit_test(what_moves_a_cursor_is_escaped),
        cmocka_unit_test(a_mark_of_direction_is_escaped),
        cmocka_unit_test(a_byte_that_is_no_utf8_is_escaped),
        cmocka_unit_test(the_width_is_that_of_the_terminal),
        cmocka_unit_test(what_fits_ends_between_characters),
    };
    return cmocka_run_group_tests_name("cell", tests, NULL, NULL);
}
