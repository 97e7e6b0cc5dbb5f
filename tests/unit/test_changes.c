/* SPDX-License-Identifier: MIT
 *
 * What an upper layer changes, as words: "A path", "C path", "D path"; "- path" for a directory on
 * the way, "R path" for a replaced one. The upper is "u", the layers beneath are "1" and "2".
 */
#include "kit.h"

#include "changes.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

static int write_down(void *context, const struct change *change)
{
    FILE *to = context;
    char kind = change->on_the_way ? '-' : change->replaced ? 'R' : (char)change->kind;
    fprintf(to, "%s%c %s", ftell(to) > 0 ? ", " : "", kind, change->path);
    return 0;
}

/* All directories get one time, so that only what a test does on purpose differs. */
static void level_times(const char *words)
{
    cleanup_free char *copy = strdup(words);
    char *rest = NULL;
    const struct timespec times[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    for (char *path = strtok_r(copy, " ", &rest); path; path = strtok_r(NULL, " ", &rest))
        assert_int_equal(utimensat(kit_root(), path, times, 0), 0);
}

static void assert_changes_at(const char *expected)
{
    struct kit_union all;
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);
    kit_union_open(&all, "u:1:2", true);
    assert_int_equal(changes_walk(&all.stack, write_down, to), 0);
    fclose(to);
    assert_string_equal(text, expected);
    free(text);
    kit_union_close(&all);
}

static void assert_changes(const char *tree, const char *level, const char *expected)
{
    kit_tree(tree);
    level_times(level);
    assert_changes_at(expected);
}

static void an_untouched_mount_changes_nothing(void **state)
{
    (void)state;
    assert_changes("d u, f 1/a, d 2/b", "", "");
}

static void files_are_added_changed_and_deleted(void **state)
{
    (void)state;
    assert_changes("f u/new, f u/old text, w u/gone, f 1/old, f 2/gone", "",
                   "D gone, A new, C old");
}

static void a_whiteout_of_nothing_is_no_change(void **state)
{
    (void)state;
    assert_changes("w u/never, w u/hidden, w 1/hidden, f 2/hidden", "", "");
}

static void an_added_tree_is_told_name_by_name(void **state)
{
    (void)state;
    assert_changes("f u/d/e/f, f u/d/a", "", "A d, A d/a, A d/e, A d/e/f");
}

static void a_deleted_tree_is_one_change(void **state)
{
    (void)state;
    assert_changes("w u/d, f 1/d/a, f 2/d/b", "", "D d");
}

static void a_directory_that_was_only_passed_is_on_the_way(void **state)
{
    (void)state;
    assert_changes("f u/d/e/f text, f 1/d/e/f, f 1/d/e/g", "u/d u/d/e 1/d 1/d/e",
                   "- d, - d/e, C d/e/f");
}

static void a_directory_whose_own_time_or_mode_differs_is_changed(void **state)
{
    (void)state;
    kit_tree("d u/d, d u/e, d 1/d, d 1/e");
    level_times("u/d u/e 1/d");
    cleanup_free char *mode = kit_path("u/d");
    assert_int_equal(chmod(mode, 0700), 0);
    assert_changes_at("C d, C e");
}

static void attributes_of_a_directory_count_and_the_books_do_not(void **state)
{
    (void)state;
    kit_tree("d u/d, d u/e, d 1/d, d 1/e");
    kit_mark("u/e", OVLATTR_IMPURE, "y");
    cleanup_fd int dir = kit_open("u/d", O_RDONLY | O_DIRECTORY);
    assert_int_equal(fsetxattr(dir, "user.colour", "red", 3, 0), 0);
    level_times("u/d 1/d u/e 1/e");
    assert_changes_at("C d");
}

static void a_file_in_the_place_of_a_directory_is_one_change(void **state)
{
    (void)state;
    assert_changes("f u/d text, f 1/d/a", "", "C d");
}

static void a_directory_in_the_place_of_a_file_is_changed_and_filled(void **state)
{
    (void)state;
    assert_changes("f u/d/a, f 1/d text", "", "C d, A d/a");
}

static void an_opaque_directory_is_compared_with_what_it_hides(void **state)
{
    (void)state;
    assert_changes("o u/d, f u/d/kept text, f u/d/new, f 1/d/kept, f 2/d/gone", "",
                   "R d, D d/gone, C d/kept, A d/new");
}

static void a_renamed_directory_is_deleted_and_added_with_all_it_shows(void **state)
{
    (void)state;
    assert_changes("w u/old, d u/new, r u/new /old, f u/new/more, f 1/old/a, f 2/old/b/c", "",
                   "A new, A new/a, A new/b, A new/b/c, A new/more, D old");
}

static void a_directory_moved_over_another_is_compared_with_it(void **state)
{
    (void)state;
    assert_changes("w u/a, d u/b, r u/b /a, f 1/a/x, f 1/a/y, f 1/b/x, f 1/b/z", "",
                   "D a, R b, C b/x, A b/y, D b/z");
}

static void names_come_in_the_order_of_their_bytes(void **state)
{
    (void)state;
    assert_changes("f u/b, f u/B, f u/a/z, f u/a-b, f u/\xc3\xa9, f u/10, f u/9", "",
                   "A 10, A 9, A B, A a, A a/z, A a-b, A b, A \xc3\xa9");
}

static void a_deep_tree_is_walked(void **state)
{
    (void)state;
    enum { DEPTH = 300 };
    char path[2 * DEPTH + 8] = "u", expected[DEPTH * (DEPTH + 8)] = "";
    for (int i = 0; i < DEPTH; i++)
        strcat(path, "/d");
    kit_dir(path);
    char *end = expected;
    for (int i = 1; i <= DEPTH; i++)
        end += sprintf(end, "%sA %.*s", i > 1 ? ", " : "", 2 * i - 1, path + 2);
    assert_changes_at(expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(an_untouched_mount_changes_nothing),
        kit_test(files_are_added_changed_and_deleted),
        kit_test(a_whiteout_of_nothing_is_no_change),
        kit_test(an_added_tree_is_told_name_by_name),
        kit_test(a_deleted_tree_is_one_change),
        kit_test(a_directory_that_was_only_passed_is_on_the_way),
        kit_test(a_directory_whose_own_time_or_mode_differs_is_changed),
        kit_test(attributes_of_a_directory_count_and_the_books_do_not),
        kit_test(a_file_in_the_place_of_a_directory_is_one_change),
        kit_test(a_directory_in_the_place_of_a_file_is_changed_and_filled),
        kit_test(an_opaque_directory_is_compared_with_what_it_hides),
        kit_test(a_renamed_directory_is_deleted_and_added_with_all_it_shows),
        kit_test(a_directory_moved_over_another_is_compared_with_it),
        kit_test(names_come_in_the_order_of_their_bytes),
        kit_test(a_deep_tree_is_walked),
    };
    return kit_run("changes", tests, sizeof(tests) / sizeof(tests[0]));
}
