/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "pathglob.h"

#include <string.h>

struct match {
    const char *pattern, *path;
};

static void these_match(void **state)
{
    (void)state;
    static const struct match CASES[] = {
        {"/etc/passwd", "/etc/passwd"},
        {"/etc/*", "/etc/passwd"},
        {"/e?c/pass[vw]d", "/etc/passwd"},
        {"/etc/**", "/etc/passwd"},
        {"/etc/**", "/etc/apt/sources.list"},
        {"/etc/**", "/etc"},
        {"/**", "/"},
        {"/**", "/a/b/c"},
        {"**", "/a/b/c"},
        {"/", "/"},
        {"/**/x", "/x"},
        {"/**/x", "/a/b/x"},
        {"/a/**/x/**/y", "/a/x/b/x/c/y"},
        {"/a/**/b/c", "/a/b/d/b/c"},
        {"/**/**/x", "/x"},
        {"*.conf", "/etc/a.conf"},
        {"*.conf", "/a.conf"},
        {"apt/*.list", "/etc/apt/sources.list"},
        {"etc", "/a/etc"},
        {"/etc/", "/etc"},
        {"/a\\*b", "/a*b"},
        {"/.*", "/.hidden"},
        {"/*", "/.hidden"},
    };
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        if (!pathglob_matches(CASES[i].pattern, CASES[i].path))
            fail_msg("%s does not match %s", CASES[i].pattern, CASES[i].path);
    }
}

static void these_do_not_match(void **state)
{
    (void)state;
    static const struct match CASES[] = {
        {"/etc/*", "/etc/apt/sources.list"},
        {"/etc/*", "/etc"},
        {"/etc", "/etc/passwd"},
        {"/etc/**", "/etcetera"},
        {"/etc/**/x", "/etc/y"},
        {"/", "/a"},
        {"/a\\*b", "/axb"},
        {"*.conf", "/a.conf/b"},
        {"apt/*.list", "/etc/apt/d/sources.list"},
        {"/passwd", "/etc/passwd"},
        {"/a?b", "/a/b"},
        {"/etc", ""},
        {"/etc/passwd", ""},
        {"/a/**/b/c", "/a/b/d/b"},
    };
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        if (pathglob_matches(CASES[i].pattern, CASES[i].path))
            fail_msg("%s matches %s", CASES[i].pattern, CASES[i].path);
    }
}

static void many_of_any_cost_no_more_than_pattern_times_path(void **state)
{
    (void)state;
    char pattern[1024] = "", path[2048] = "";
    for (int i = 0; i < 100; i++)
        strcat(pattern, "/**/a");
    for (int i = 0; i < 500; i++)
        strcat(path, "/a");
    strcat(pattern, "/b");
    assert_false(pathglob_matches(pattern, path));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(these_match),
        cmocka_unit_test(these_do_not_match),
        cmocka_unit_test(many_of_any_cost_no_more_than_pattern_times_path),
    };
    return cmocka_run_group_tests_name("pathglob", tests, NULL, NULL);
}
