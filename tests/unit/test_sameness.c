/* SPDX-License-Identifier: MIT
 *
 * What differs between the upper "u" and the layer "1" beneath it, as words behind each path.
 */
#include "kit.h"

#include "sameness.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>

static const struct {
    enum sameness what;
    const char *word;
} WORDS[] = {
    {SAMENESS_TYPE, "type"},   {SAMENESS_CONTENT, "content"},
    {SAMENESS_META, "meta"},   {SAMENESS_ATTRIBUTES, "attributes"},
    {SAMENESS_TIMES, "times"},
};

struct judging {
    const struct stack *stack;
    FILE *to;
    struct sameness_watch watch;
};

static int write_down(void *context, const struct change *change)
{
    struct judging *judging = context;
    unsigned differs;
    if (change->kind != CHANGE_CHANGED)
        return 0;
    assert_int_equal(sameness_find(judging->stack, change, &differs, &judging->watch), 0);
    fprintf(judging->to, "%s%s:", ftell(judging->to) > 0 ? ", " : "", change->path);
    for (size_t i = 0; i < sizeof(WORDS) / sizeof(WORDS[0]); i++) {
        if (differs & WORDS[i].what)
            fprintf(judging->to, " %s", WORDS[i].word);
    }
    return 0;
}

static void touch(const char *path, time_t seconds)
{
    const struct timespec times[2] = {{.tv_sec = seconds}, {.tv_sec = seconds}};
    assert_int_equal(utimensat(kit_root(), path, times, AT_SYMLINK_NOFOLLOW), 0);
}

/* The bytes that were read are returned. */
static uint64_t assert_differences(const char *expected)
{
    struct kit_union all;
    char *text = NULL;
    size_t size = 0;
    struct judging judging = {.stack = &all.stack, .to = open_memstream(&text, &size)};
    kit_union_open(&all, "u:1", true);
    assert_int_equal(changes_walk(&all.stack, write_down, &judging), 0);
    fclose(judging.to);
    assert_string_equal(text, expected);
    free(text);
    kit_union_close(&all);
    return judging.watch.bytes;
}

static void a_copy_differs_in_nothing(void **state)
{
    (void)state;
    kit_tree("f u/a text, f 1/a text, l u/b to, l 1/b to");
    for (const char *const *path = (const char *const[]){"u/a", "1/a", "u/b", "1/b", NULL}; *path;
         path++)
        touch(*path, 1000);
    assert_int_equal(assert_differences("a:, b:"), 4);
}

static void each_difference_is_told(void **state)
{
    (void)state;
    kit_tree("f u/attr x, f 1/attr x, f u/mode x, f 1/mode x, f u/same x, f 1/same y,"
             "f u/size xx, f 1/size y, f u/time x, f 1/time x, l u/link a, l 1/link b,"
             "l u/type x, f 1/type x");
    static const char *const NAMES[] = {"attr", "mode", "same", "size", "link"};
    char path[32];
    for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
        snprintf(path, sizeof(path), "u/%s", NAMES[i]);
        touch(path, 1000);
        snprintf(path, sizeof(path), "1/%s", NAMES[i]);
        touch(path, 1000);
    }
    touch("u/time", 1000);
    touch("1/time", 1001);
    assert_int_equal(fchmodat(kit_root(), "u/mode", 0600, 0), 0);
    assert_int_equal(fchmodat(kit_root(), "1/mode", 0644, 0), 0);
    cleanup_free char *attr = kit_path("u/attr");
    assert_int_equal(setxattr(attr, "user.x", "y", 1, 0), 0);
    touch("u/attr", 1000);
    assert_differences("attr: attributes, link: content, mode: meta, same: content,"
                       " size: content, time: times, type: type");
}

static void an_attribute_of_the_books_is_no_difference(void **state)
{
    (void)state;
    kit_tree("f u/a x, f 1/a x");
    kit_mark("u/a", OVLATTR_ORIGIN, "x");
    touch("u/a", 1000);
    touch("1/a", 1000);
    assert_differences("a:");
}

static void a_metacopy_file_has_the_content_beneath_and_it_is_not_read(void **state)
{
    (void)state;
    kit_tree("m u/a, f 1/a text");
    const int fd = kit_open("u/a", O_RDWR);
    assert_int_equal(ftruncate(fd, 4), 0);
    close(fd);
    assert_int_equal(fchmodat(kit_root(), "u/a", 0600, 0), 0);
    touch("u/a", 1000);
    touch("1/a", 1000);
    assert_int_equal(assert_differences("a: meta"), 0);
}

static void a_file_in_a_renamed_directory_is_held_against_what_was_there(void **state)
{
    (void)state;
    kit_tree("d u/d, r u/d /e, f u/d/a new, f 1/d/a old, f 1/e/a new, f 1/e/b x, f 1/d/b y");
    for (const char *const *path = (const char *const[]){"u/d/a", "1/d/a", "1/e/a", "1/e/b",
                                                         "1/d/b", "u/d", "1/d", "1/e", NULL};
         *path; path++)
        touch(*path, 1000);
    assert_differences("d:, d/a: content, d/b: content");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(a_copy_differs_in_nothing),
        kit_test(each_difference_is_told),
        kit_test(an_attribute_of_the_books_is_no_difference),
        kit_test(a_metacopy_file_has_the_content_beneath_and_it_is_not_read),
        kit_test(a_file_in_a_renamed_directory_is_held_against_what_was_there),
    };
    return kit_run("sameness", tests, sizeof(tests) / sizeof(tests[0]));
}
