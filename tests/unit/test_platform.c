/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "platform.h"

#include <string.h>

static void this_machine_has_a_name(void **state)
{
    (void)state;
    struct platform here = platform_here();
    assert_string_equal(here.os, "linux");
    assert_true(*here.architecture);
    assert_int_equal(platform_fit(&here, &here), PLATFORM_FITS);
}

static void a_word_is_taken_apart_and_put_together(void **state)
{
    (void)state;
    char text[PLATFORM_TEXT_SIZE], again[PLATFORM_TEXT_SIZE];
    struct platform platform;
    assert_int_equal(platform_parse("linux/arm/v7", text, &platform), 0);
    assert_string_equal(platform.os, "linux");
    assert_string_equal(platform.architecture, "arm");
    assert_string_equal(platform.variant, "v7");
    assert_string_equal(platform_write(&platform, again), "linux/arm/v7");
    assert_int_equal(platform_parse("linux/amd64", text, &platform), 0);
    assert_string_equal(platform_write(&platform, again), "linux/amd64");
}

static void what_is_no_platform_is_refused(void **state)
{
    (void)state;
    char text[PLATFORM_TEXT_SIZE], too_long[200];
    struct platform platform;
    memset(too_long, 'a', sizeof(too_long));
    too_long[100] = '/';
    too_long[199] = 0;
    const char *const words[] = {"", "linux", "linux/", "/amd64", "a//b", "a/b/c/d", too_long};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        assert_int_equal(platform_parse(words[i], text, &platform), -EINVAL);
}

static void a_platform_of_any_length_is_written_into_its_room(void **state)
{
    (void)state;
    char text[PLATFORM_TEXT_SIZE], word[500];
    memset(word, 'x', sizeof(word) - 1);
    word[sizeof(word) - 1] = 0;
    struct platform platform = {word, word, word};
    assert_true(strlen(platform_write(&platform, text)) < PLATFORM_TEXT_SIZE);
    platform = (struct platform){"", "", ""};
    assert_string_equal(platform_write(&platform, text), "unknown");
}

static void nothing_said_is_better_than_wrong_and_worse_than_right(void **state)
{
    (void)state;
    const struct platform want = {"linux", "arm", "v7"}, wrong = {"linux", "amd64", ""},
                          unsaid = {"", "", ""}, older = {"linux", "arm", "v6"};
    assert_int_equal(platform_fit(&wrong, &want), PLATFORM_WRONG);
    assert_true(platform_fit(&unsaid, &want) > platform_fit(&wrong, &want));
    assert_true(platform_fit(&older, &want) > platform_fit(&unsaid, &want));
    assert_true(platform_fit(&want, &want) > platform_fit(&older, &want));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(this_machine_has_a_name),
        cmocka_unit_test(a_word_is_taken_apart_and_put_together),
        cmocka_unit_test(what_is_no_platform_is_refused),
        cmocka_unit_test(a_platform_of_any_length_is_written_into_its_room),
        cmocka_unit_test(nothing_said_is_better_than_wrong_and_worse_than_right),
    };
    return cmocka_run_group_tests_name("platform", tests, NULL, NULL);
}
