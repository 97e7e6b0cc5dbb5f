/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "merge.h"
#include "resolve.h"
#include "sources.h"

#include <dirent.h>
#include <stdio.h>

/* The merge of the roots of the layers "1", "2" and "3". */
static struct merge *merge_roots(struct kit_union *all, const char *words)
{
    int err = 0;
    kit_tree(words);
    kit_union_open(all, "1:2:3", false);
    struct merge *merge = merge_get(&all->stack, all->stack.root, &err);
    assert_int_equal(err, 0);
    assert_non_null(merge);
    return merge;
}

static void done(struct kit_union *all, struct merge *merge)
{
    merge_release(all->stack.merges, merge);
    kit_union_close(all);
}

static void assert_seen(const struct merge *merge, const char *name, int first, int last)
{
    const struct merge_name *known = merge_find(merge, name);
    assert_non_null(known);
    assert_false(known->hidden);
    assert_int_equal(known->first, first);
    assert_int_equal(known->last, last);
}

static void assert_hidden(const struct merge *merge, const char *name)
{
    const struct merge_name *known = merge_find(merge, name);
    assert_non_null(known);
    assert_true(known->hidden);
}

static void a_name_knows_the_first_and_the_last_source_that_has_it(void **state)
{
    (void)state;
    struct kit_union all;
    struct merge *merge = merge_roots(&all, "f 1/a, f 2/b, d 1/d, d 3/d, f 2/f, f 3/f");
    assert_seen(merge, "a", 0, 0);
    assert_seen(merge, "b", 1, 1);
    assert_seen(merge, "d", 0, 2);
    assert_seen(merge, "f", 1, 2);
    assert_null(merge_find(merge, "c"));
    assert_int_equal(merge_find(merge, "d")->dtype, DT_DIR);
    assert_int_equal(merge_find(merge, "a")->ino, kit_stat("1/a").st_ino);
    done(&all, merge);
}

static void a_whiteout_device_hides_what_lies_beneath_it(void **state)
{
    (void)state;
    struct kit_union all;
    struct merge *merge = merge_roots(&all, "w 1/a, f 2/a, f 1/b, w 2/b, f 3/b, f 3/c, w 2/c");
    assert_hidden(merge, "a");
    assert_seen(merge, "b", 0, 0);
    assert_hidden(merge, "c");
    done(&all, merge);
}

static void a_dot_wh_file_hides_beneath_its_own_source_only(void **state)
{
    (void)state;
    struct kit_union all;
    struct merge *merge =
        merge_roots(&all, "f 1/.wh.a, f 2/a, d 1/b, f 1/.wh.b, d 2/b, f 2/.wh.c, d 1/c, d 3/c");
    assert_hidden(merge, "a");
    assert_seen(merge, "b", 0, 0);
    assert_seen(merge, "c", 0, 0);
    assert_null(merge_find(merge, ".wh.a"));
    done(&all, merge);
}

static void an_attribute_whiteout_counts_where_the_root_says_so(void **state)
{
    (void)state;
    struct kit_union all;
    struct merge *merge = merge_roots(&all, "o 1 x, e 1/a, f 2/a, e 2/b, f 3/b");
    assert_hidden(merge, "a");
    assert_seen(merge, "b", 1, 2);
    done(&all, merge);
}

static void a_merge_is_made_once(void **state)
{
    (void)state;
    struct kit_union all;
    int err = 0;
    struct merge *merge = merge_roots(&all, "f 1/a, f 2/b");
    struct merge *again = merge_get(&all.stack, all.stack.root, &err);
    assert_ptr_equal(again, merge);
    merge_release(all.stack.merges, again);
    assert_true(mergecache_bytes(all.stack.merges) >= merge->bytes);
    done(&all, merge);
}

static void an_emptied_cache_keeps_only_what_is_in_use(void **state)
{
    (void)state;
    struct kit_union all;
    struct merge *merge = merge_roots(&all, "f 1/a, f 2/b");
    mergecache_empty(all.stack.merges);
    assert_int_equal(mergecache_bytes(all.stack.merges), merge->bytes);
    assert_seen(merge, "a", 0, 0);
    merge_release(all.stack.merges, merge);
    mergecache_empty(all.stack.merges);
    assert_int_equal(mergecache_bytes(all.stack.merges), 0);
    kit_union_close(&all);
}

static void many_names_are_all_found(void **state)
{
    (void)state;
    struct kit_union all;
    char path[32];
    for (int i = 0; i < 2000; i++) {
        snprintf(path, sizeof(path), "%d/name%d", i % 3 + 1, i);
        kit_file(path, "");
    }
    struct merge *merge = merge_roots(&all, "d 1");
    for (int i = 0; i < 2000; i++) {
        snprintf(path, sizeof(path), "name%d", i);
        assert_seen(merge, path, i % 3, i % 3);
    }
    done(&all, merge);
}

static void make_names(int count)
{
    char path[32];
    for (int i = 0; i < count; i++) {
        snprintf(path, sizeof(path), "%d/name%d", i % 3 + 1, i);
        kit_file(path, "");
    }
}

/* How many lookups are answered without a merge, up to 10,000. */
static int lookups_before_a_merge(struct kit_union *all)
{
    int err = 0;
    for (int n = 0; n < 10000; n++) {
        struct merge *merge = merge_if_worth(&all->stack, all->stack.root, &err);
        assert_int_equal(err, 0);
        merge_release(all->stack.merges, merge);
        if (merge)
            return n;
    }
    return 10000;
}

static void the_larger_a_directory_is_the_more_lookups_it_takes_to_read_it(void **state)
{
    (void)state;
    struct kit_union all;
    make_names(9);
    kit_union_open(&all, "1:2:3", false);
    int few = lookups_before_a_merge(&all);
    kit_union_close(&all);
    make_names(6000);
    kit_union_open(&all, "1:2:3", false);
    int many = lookups_before_a_merge(&all);
    kit_union_close(&all);
    assert_in_range(few, 1, 100);
    assert_in_range(many, few + 1, 9999);
}

static void a_directory_that_was_listed_is_not_asked_again(void **state)
{
    (void)state;
    struct kit_union all;
    make_names(6000);
    struct merge *merge = merge_roots(&all, "d 1");
    assert_int_equal(lookups_before_a_merge(&all), 0);
    done(&all, merge);
}

static bool shows(const struct kit_union *all, const char *name)
{
    int found = resolve_lower_shows(&all->stack, all->stack.root, name);
    assert_in_range(found, 0, 1);
    return found;
}

static bool is_read(const struct kit_union *all)
{
    struct merge *merge = merge_of_single(&all->stack, all->stack.root);
    merge_release(all->stack.merges, merge);
    return merge != NULL;
}

static void a_single_source_is_read_when_names_were_looked_for_in_vain(void **state)
{
    (void)state;
    const bool frozen[] = {true, false};
    kit_tree("f 1/a, w 1/gone, f 1/.wh.b, f 1/b");
    for (int i = 0; i < 2; i++) {
        struct kit_union all;
        kit_union_open(&all, "1", false);
        all.stack.frozen = frozen[i];
        for (int n = 0; n < 100; n++)
            assert_true(shows(&all, "a"));
        assert_false(is_read(&all));
        for (int n = 0; n < 100; n++)
            assert_false(shows(&all, "absent"));
        assert_int_equal(is_read(&all), frozen[i]);
        assert_true(shows(&all, "a"));
        assert_true(shows(&all, "b"));
        assert_false(shows(&all, "gone"));
        assert_false(shows(&all, ".wh.b"));
        /* Of a layer that others may change nothing is taken for granted. */
        kit_file("1/absent", "");
        assert_int_equal(shows(&all, "absent"), !frozen[i]);
        assert_int_equal(unlinkat(kit_root(), "1/absent", 0), 0);
        kit_union_close(&all);
    }
}

static void a_large_single_source_is_not_read_for_a_few_names(void **state)
{
    (void)state;
    struct kit_union all;
    make_names(6000);
    kit_union_open(&all, "1", false);
    all.stack.frozen = true;
    for (int n = 0; n < 100; n++)
        assert_false(shows(&all, "absent"));
    assert_false(is_read(&all));
    kit_union_close(&all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(a_name_knows_the_first_and_the_last_source_that_has_it),
        kit_test(a_whiteout_device_hides_what_lies_beneath_it),
        kit_test(a_dot_wh_file_hides_beneath_its_own_source_only),
        kit_test(an_attribute_whiteout_counts_where_the_root_says_so),
        kit_test(a_merge_is_made_once),
        kit_test(an_emptied_cache_keeps_only_what_is_in_use),
        kit_test(many_names_are_all_found),
        kit_test(the_larger_a_directory_is_the_more_lookups_it_takes_to_read_it),
        kit_test(a_directory_that_was_listed_is_not_asked_again),
        kit_test(a_single_source_is_read_when_names_were_looked_for_in_vain),
        kit_test(a_large_single_source_is_not_read_for_a_few_names),
    };
    return kit_run("merge", tests, sizeof(tests) / sizeof(tests[0]));
}
