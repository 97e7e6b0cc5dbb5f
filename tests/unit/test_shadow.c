/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "shadow.h"

#include <string.h>

/* The upper is slot 0; "top" is layer 2 and "base" layer 1. */
static struct kit_union open_layers(void)
{
    struct kit_union all;
    kit_tree("d upper, d top, d base");
    kit_union_open(&all, "upper:top:base", true);
    return all;
}

static void assert_words(const char *destination, const char *words)
{
    struct kit_union all = open_layers();
    cleanup_shadow_count struct shadow_count count;
    assert_int_equal(shadow_count(&all.stack, destination, &count), 0);
    cleanup_free char *said = shadow_words(&count);
    assert_string_equal(said, words);
    kit_union_close(&all);
}

static void each_layer_is_counted_for_what_it_shows(void **state)
{
    (void)state;
    kit_tree("f base/data/a 12345, f base/data/b 1, f top/data/a 123, f top/data/sub/c 12,"
             "f upper/data/d 1234567, w upper/data/b");
    assert_words("/data", "3 files, 12B: 1 file, 7B of the changes; 2 files, 5B of layer 2");
}

static void one_layer_is_told_without_a_sum(void **state)
{
    (void)state;
    kit_tree("f base/data/a 12345, l base/data/l a, f top/other x");
    assert_words("/data", "2 files, 5B of layer 1");
    assert_words("/other", "1 file, 1B of layer 2");
}

static void where_nothing_is_nothing_is_hidden(void **state)
{
    (void)state;
    kit_tree("f base/data/a 12345, w upper/data, d base/empty");
    assert_words("/data", "nothing");
    assert_words("/none/at/all", "nothing");
    assert_words("/empty", "nothing");
}

static void a_file_in_the_way_is_an_error(void **state)
{
    (void)state;
    kit_tree("f base/file x");
    struct kit_union all = open_layers();
    cleanup_shadow_count struct shadow_count count;
    assert_int_equal(shadow_count(&all.stack, "/file/data", &count), -ENOTDIR);
    kit_union_close(&all);
}

static void a_destination_behind_a_symlink_is_found_inside(void **state)
{
    (void)state;
    kit_tree("f base/real/a 123, l top/link /../../real");
    assert_words("/link", "1 file, 3B of layer 1");
}

static void hard_links_are_counted_as_files_and_their_bytes_once(void **state)
{
    (void)state;
    kit_tree("f base/data/a 12345, h base/data/b base/data/a");
    assert_words("/data", "2 files, 5B of layer 1");
}

static int remember(void *context, const struct shadow_item *item)
{
    char *line = context;
    strcat(strcat(line, *item->beneath ? item->beneath : "."), " ");
    return 0;
}

static void paths_are_told_from_the_destination(void **state)
{
    (void)state;
    char line[256] = "";
    kit_tree("f base/a/data/x 1, d base/a/data/sub, f base/a/data/sub/y 1, f base/a/database 1");
    struct kit_union all = open_layers();
    assert_int_equal(shadow_walk(&all.stack, "/a/data", remember, line), 0);
    assert_string_equal(line, "sub sub/y x ");
    *line = 0;
    assert_int_equal(shadow_walk(&all.stack, "/a/database", remember, line), 0);
    assert_string_equal(line, ". ");
    kit_union_close(&all);
}

static void json_has_the_topmost_layer_first(void **state)
{
    (void)state;
    kit_tree("f base/data/a 12345, f top/data/b 1, f upper/data/c 12, d base/data/sub");
    struct kit_union all = open_layers();
    cleanup_shadow_count struct shadow_count count;
    assert_int_equal(shadow_count(&all.stack, "/data", &count), 0);
    json_t *said = shadow_json(&count);
    json_t *expected = json_pack("{s:i, s:i, s:i, s:[{s:i, s:i, s:i}, {s:i, s:i, s:i}, {s:i, s:i,"
                                 " s:i}]}",
                                 "Files", 3, "Bytes", 8, "Directories", 1, "Layers", "Layer", 0,
                                 "Files", 1, "Bytes", 2, "Layer", 2, "Files", 1, "Bytes", 1,
                                 "Layer", 1, "Files", 1, "Bytes", 5);
    assert_true(json_equal(said, expected));
    json_decref(said);
    json_decref(expected);
    kit_union_close(&all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(each_layer_is_counted_for_what_it_shows),
        kit_test(one_layer_is_told_without_a_sum),
        kit_test(where_nothing_is_nothing_is_hidden),
        kit_test(a_file_in_the_way_is_an_error),
        kit_test(a_destination_behind_a_symlink_is_found_inside),
        kit_test(hard_links_are_counted_as_files_and_their_bytes_once),
        kit_test(paths_are_told_from_the_destination),
        kit_test(json_has_the_topmost_layer_first),
    };
    return kit_run("shadow", tests, sizeof(tests) / sizeof(tests[0]));
}
