/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "pathglob.h"

#include <errno.h>
#include <string.h>

struct line {
    const char *glob, *path;
    bool is_dir, named;
};

static const struct line LINES[] = {
    /* A whole path, with or without its first slash. */
    {"/etc/passwd", "/etc/passwd", false, true},
    {"etc/passwd", "/etc/passwd", false, true},
    {"/etc/passwd", "/etc/passwd-", false, false},
    {"/etc/passwd", "/srv/etc/passwd", false, false},
    {"etc/passwd", "/srv/etc/passwd", false, false},
    {"//etc//passwd", "/etc/passwd", false, true},
    /* A directory names what is beneath it, at any depth. */
    {"/etc", "/etc", true, true},
    {"/etc", "/etc/passwd", false, true},
    {"/etc", "/etc/ssl/certs/ca.pem", false, true},
    {"/etc", "/etcetera", false, false},
    {"/", "/etc", true, true},
    {"/", "/a", false, true},
    /* A name alone is looked for in every directory. */
    {"*.log", "/var/log/a.log", false, true},
    {"*.log", "/a.log", false, true},
    {"*.log", "/a.log/deep/file", false, true},
    {"*.log", "/var/a.logs", false, false},
    {"node_modules", "/srv/app/node_modules/x/y", false, true},
    {"/*.log", "/var/a.log", false, false},
    {"/*.log", "/a.log", false, true},
    /* No wildcard reaches over a slash. */
    {"/var/*", "/var/log", true, true},
    {"/var/*/a", "/var/log/deep/a", false, false},
    {"/var/?og", "/var/log", true, true},
    {"/var?log", "/var/log", true, false},
    {"/[a-c]/x", "/b/x", false, true},
    {"/[!a-c]/x", "/b/x", false, false},
    {"/.*", "/.profile", false, true},
    {"/*", "/.profile", false, true},
    {"/a\\*b", "/a*b", false, true},
    {"/a\\*b", "/axb", false, false},
    /* Two stars stand for any number of names. */
    {"**", "/etc", true, true},
    {"**", "/etc/passwd", false, true},
    {"/**", "/etc/passwd", false, true},
    {"/etc/**", "/etc/passwd", false, true},
    {"/etc/**", "/etc/ssl/certs", true, true},
    {"/etc/**", "/etc", true, false},
    {"/**/passwd", "/etc/passwd", false, true},
    {"/**/passwd", "/passwd", false, true},
    {"/srv/**/log", "/srv/log", true, true},
    {"/srv/**/log", "/srv/a/b/log/x", false, true},
    {"/srv/**/log", "/srv/a/b/lag", false, false},
    {"/**/a/**/b", "/x/a/y/a/z/b", false, true},
    {"/**/a/**/b", "/x/b/y/a", false, false},
    {"/**/a/b", "/a/a/b", false, true},
    {"/**/*.so", "/usr/lib/libc.so", false, true},
    {"/a**b", "/a/b", false, false},
    {"/a**b", "/axxb", false, true},
    /* A slash at the end speaks of directories. */
    {"/tmp/", "/tmp", true, true},
    {"/tmp/", "/tmp", false, false},
    {"/tmp/", "/tmp/x", false, true},
    {"cache/", "/srv/cache", false, false},
    {"cache/", "/srv/cache/x", false, true},
    {"/**/cache/", "/srv/cache", false, false},
    /* A character of several bytes is one, in any locale. */
    {"/?rger", "/Ärger", false, true},
    {"/[äö]l", "/öl", false, true},
    {"/[!äö]l", "/ül", false, true},
    {"/[!äö]l", "/öl", false, false},
    {"/[а-я]*", "/мир", false, true},
    {"*ß.txt", "/srv/Fuß.txt", false, true},
    /* Of what is no UTF-8 bytes are bytes. */
    {"/\xff*", "/\xff\xfe", false, true},
    {"/?.txt", "/\xff.txt", false, true},
    {"/a?", "/a\xe4", false, true},
    /* What has lost its name is named by nothing. */
    {"**", "", false, false},
    {"/", "", false, false},
};

static void a_glob_names_what_it_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(LINES) / sizeof(LINES[0]); i++) {
        const struct line *line = &LINES[i];
        if (pathglob_names(line->glob, line->path, line->is_dir) != line->named)
            fail_msg("%s should %sname %s", line->glob, line->named ? "" : "not ", line->path);
    }
}

static void many_stars_cost_no_more_than_both_lengths(void **state)
{
    (void)state;
    char glob[1024] = "", path[1024] = "";
    for (int i = 0; i < 60; i++) {
        strcat(glob, "/**/a");
        strcat(path, "/a/a");
    }
    strcat(glob, "/z");
    assert_false(pathglob_names(glob, path, false));
}

static void a_glob_that_names_nothing_is_refused(void **state)
{
    (void)state;
    static const char *const GLOBS[] = {"", ".", "..", "./a", "/a/../b", "/a/."};
    for (size_t i = 0; i < sizeof(GLOBS) / sizeof(GLOBS[0]); i++)
        assert_int_equal(pathglob_check(GLOBS[i]), -EINVAL);
    assert_int_equal(pathglob_check("..a"), 0);
    assert_int_equal(pathglob_check("/"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_glob_names_what_it_says),
        cmocka_unit_test(many_stars_cost_no_more_than_both_lengths),
        cmocka_unit_test(a_glob_that_names_nothing_is_refused),
    };
    return cmocka_run_group_tests_name("pathglob", tests, NULL, NULL);
}
