/* SPDX-License-Identifier: MIT
 *
 * A table of situations: layers made by hand (kit_tree() knows the words), a path in the union, and
 * what is to be found there. "u" is the upper, "1" to "3" are the sealed layers, the topmost first.
 * What is found is told as
 *   absent    whiteout    error EIO    file LAYER    file LAYER data LAYER:PATH    symlink LAYER
 *   dir [0] LAYER:PATH...      (0: it has an upper part)
 */
#include "kit.h"

#include "fd.h"
#include "resolve.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

struct situation {
    const char *claim, *words, *path, *shows;
    bool files; /* the upper writes `.wh.` files */
};

static const struct situation SITUATIONS[] = {
    /* merging */
    {"a_name_that_no_layer_has_is_absent", "f 1/a", "b", "absent"},
    {"the_upper_hides_the_layers", "f u/a, f 1/a", "a", "file 0"},
    {"the_topmost_layer_hides_those_beneath", "f 2/a, f 3/a", "a", "file 2"},
    {"directories_of_all_layers_merge", "d u/d, d 1/d, d 3/d", "d", "dir 0 1:d 3:d"},
    {"a_name_is_found_in_any_part_of_a_merged_directory", "d u/d, d 1/d, f 3/d/x", "d/x", "file 3"},
    {"a_file_hides_a_directory", "f u/d, d 1/d", "d", "file 0"},
    {"a_file_among_directories_ends_the_merge", "d 1/d, f 2/d, d 3/d", "d", "dir 1:d"},
    {"a_symlink_is_shown_and_not_followed", "l 1/s d, d 2/s", "s", "symlink 1"},
    {"a_symlink_among_directories_ends_the_merge", "d 1/d, l 2/d 3, f 3/d/x", "d", "dir 1:d"},
    {"nothing_is_found_behind_a_symlink", "d 1/d, l 2/d /, f 3/d/x", "d/x", "absent"},

    /* whiteouts */
    {"a_whiteout_of_the_upper_hides_all", "w u/a, f 1/a", "a", "whiteout"},
    {"a_whiteout_device_hides_beneath", "w 1/a, f 2/a", "a", "absent"},
    {"a_whiteout_device_does_not_hide_above", "f 1/a, w 2/a", "a", "file 1"},
    {"a_whiteout_cuts_a_merge", "d 1/d, w 2/d, d 3/d", "d", "dir 1:d"},
    {"nothing_is_found_in_a_directory_that_is_whited_out", "w 1/d, f 2/d/x", "d/x", "absent"},
    {"a_dot_wh_file_hides_beneath", "f 1/.wh.a, f 2/a", "a", "absent"},
    {"a_dot_wh_file_does_not_hide_its_neighbour", "f 1/.wh.a, f 1/a, f 2/a", "a", "file 1"},
    {"a_dot_wh_file_cuts_a_merge", "f 1/.wh.d, d 1/d, d 2/d", "d", "dir 1:d"},
    {"a_dot_wh_file_hides_in_the_only_source", "f 1/d/.wh.a, o 1/d, f 2/d/a", "d/a", "absent"},
    {"a_dot_wh_file_of_a_layer_is_never_shown", "f 1/.wh.a", ".wh.a", "absent"},
    {"an_attribute_whiteout_hides_beneath", "o 1 x, e 1/a, f 2/a", "a", "absent"},
    {"an_attribute_whiteout_hides_in_directories_too", "o 1 x, o 1/d x, e 1/d/a, f 2/d/a", "d/a",
     "absent"},
    {"an_attribute_whiteout_is_a_file_where_the_root_has_no_mark", "e 1/a, f 2/a", "a", "file 1"},
    {"a_file_with_content_is_no_attribute_whiteout", "o 1 x, e 1/a, f 1/a text", "a", "file 1"},
    {"an_upper_of_dot_wh_files_hides_by_them", "f u/.wh.a, f 1/a", "a", "whiteout", true},
    {"in_such_an_upper_the_object_counts_before_the_mark", "f u/.wh.a, f u/a, f 1/a", "a", "file 0",
     true},
    {"in_such_an_upper_the_marks_are_not_shown", "f u/.wh.a", ".wh.a", "absent", true},
    {"in_an_upper_of_devices_a_dot_wh_file_is_a_file", "f u/.wh.a, f 1/a", ".wh.a", "file 0"},

    /* opaque directories */
    {"an_opaque_directory_hides_all_beneath", "o u/d, d 1/d", "d", "dir 0"},
    {"nothing_is_found_beneath_an_opaque_directory", "o u/d, f 1/d/x", "d/x", "absent"},
    {"an_opaque_layer_ends_the_merge_with_itself", "d u/d, o 1/d, d 2/d", "d", "dir 0 1:d"},
    {"an_opaque_file_does_the_same", "f 1/d/.wh..wh..opq, d 2/d", "d", "dir 1:d"},
    {"an_opaque_mark_of_another_value_is_none", "o 1/d x, d 2/d", "d", "dir 1:d 2:d"},

    /* redirects of directories */
    {"a_relative_redirect_leads_to_a_sibling", "d u/new, r u/new old, d 1/old, d 2/old", "new",
     "dir 0 1:old 2:old"},
    {"a_relative_redirect_stays_in_its_directory", "d u/d/new, r u/d/new old, d 1/d/old, d 1/old",
     "d/new", "dir 0 1:d/old"},
    {"an_absolute_redirect_leads_from_the_root", "d u/new, r u/new /a/old, d 1/a/old", "new",
     "dir 0 1:a/old"},
    {"the_old_name_beneath_a_redirect_is_not_merged", "d 1/new, r 1/new old, d 2/old, d 2/new",
     "new", "dir 1:new 2:old"},
    {"a_redirect_looks_beneath_its_own_layer", "d 1/new, r 1/new /p, d 1/p, d 2/p", "new",
     "dir 1:new 2:p"},
    {"redirects_follow_one_another", "d u/c, r u/c b, d 1/b, r 1/b a, d 2/a", "c", "dir 0 1:b 2:a"},
    {"a_redirected_parent_sends_the_layers_beneath_elsewhere",
     "d u/new, r u/new /p/q, d 1/p, r 1/p /o, d 2/o/q, d 2/p/q", "new", "dir 0 2:o/q"},
    {"a_parent_redirected_to_its_sibling_does_so_too",
     "d u/new, r u/new /a/p/q, d 1/a/p/q, r 1/a/p o, d 2/a/o/q", "new", "dir 0 1:a/p/q 2:a/o/q"},
    {"both_a_parent_and_the_leaf_may_be_redirected",
     "d u/n, r u/n /p/q, d 1/p/q, r 1/p /o, r 1/p/q z, d 2/o/z, d 2/o/q", "n", "dir 0 1:p/q 2:o/z"},
    {"a_redirect_goes_on_past_a_layer_without_its_target",
     "d u/new, r u/new /a/old, d 1/a, d 3/a/old", "new", "dir 0 3:a/old"},
    {"an_opaque_parent_ends_a_redirect", "d u/n, r u/n /p/q, d 1/p/q, o 1/p, d 2/p/q", "n",
     "dir 0 1:p/q"},
    {"a_whiteout_among_the_parents_ends_a_redirect", "d u/n, r u/n /p/q, w 1/p, d 2/p/q", "n",
     "dir 0"},
    {"a_dot_wh_file_among_the_parents_ends_a_redirect",
     "d u/n, r u/n /p/q, f 1/.wh.p, d 1/z, d 2/p/q", "n", "dir 0"},
    {"a_file_among_the_parents_ends_a_redirect", "d u/n, r u/n /p/q, f 1/p, d 2/p/q", "n", "dir 0"},
    {"a_symlink_among_the_parents_ends_a_redirect", "d u/n, r u/n /p/q, l 1/p z, d 1/z/q, d 2/p/q",
     "n", "dir 0"},
    {"a_whiteout_at_its_target_ends_a_redirect", "d u/n, r u/n old, w 1/old, d 2/old", "n",
     "dir 0"},
    {"a_dot_wh_file_at_its_target_ends_a_redirect", "d u/n, r u/n old, f 1/.wh.old, d 2/old", "n",
     "dir 0"},
    {"a_file_at_its_target_ends_a_redirect", "d u/n, r u/n old, f 1/old, d 2/old", "n", "dir 0"},
    {"an_opaque_directory_has_no_use_for_its_redirect", "o u/n, r u/n old, d 1/old", "n", "dir 0"},

    /* hostile ones */
    {"a_redirect_that_climbs_is_refused", "d u/n, r u/n ../..", "n", "error EIO"},
    {"a_redirect_to_the_parent_is_refused", "d u/n, r u/n ..", "n", "error EIO"},
    {"a_redirect_to_itself_by_a_dot_is_refused", "d u/n, r u/n .", "n", "error EIO"},
    {"a_redirect_to_the_root_is_refused", "d u/n, r u/n /", "n", "error EIO"},
    {"an_absolute_redirect_that_climbs_is_refused", "d u/n, r u/n /../../etc", "n", "error EIO"},
    {"an_absolute_redirect_that_climbs_at_its_end_is_refused", "d u/n, r u/n /a/..", "n",
     "error EIO"},
    {"a_redirect_with_a_dot_in_it_is_refused", "d u/n, r u/n /a/./b", "n", "error EIO"},
    {"a_redirect_with_an_empty_component_is_refused", "d u/n, r u/n /a//b", "n", "error EIO"},
    {"a_redirect_that_ends_in_a_slash_is_refused", "d u/n, r u/n /a/", "n", "error EIO"},
    {"a_relative_redirect_of_two_components_is_refused", "d u/n, r u/n a/b", "n", "error EIO"},
    {"a_hostile_redirect_of_a_layer_is_refused", "d 1/n, r 1/n ../.., d 2/n", "n", "error EIO"},
    {"a_hostile_redirect_of_a_parent_is_refused",
     "d u/n, r u/n /p/q, d 1/p/q, r 1/p ../../etc, d 2/p/q", "n", "error EIO"},
    {"redirects_in_a_circle_end", "d u/a, r u/a b, d 1/b, r 1/b a, d 2/a, r 2/a b, d 3/b", "a",
     "dir 0 1:b 2:a 3:b"},
    {"a_redirect_to_its_own_name_ends", "d 1/a, r 1/a /a, d 2/a, r 2/a /a, d 3/a", "a",
     "dir 1:a 2:a 3:a"},

    /* metacopy */
    {"a_metacopy_file_has_its_data_beneath", "m u/f, f 1/f text", "f", "file 0 data 1:f"},
    {"a_chain_of_metacopy_files_ends_at_the_data", "m u/f, m 1/f, m 2/f, f 3/f text", "f",
     "file 0 data 3:f"},
    {"a_metacopy_file_of_a_layer_has_its_data_beneath_that", "m 1/f, f 2/f text", "f",
     "file 1 data 2:f"},
    {"a_renamed_metacopy_file_finds_its_data", "m u/new, r u/new old, f 1/old text", "new",
     "file 0 data 1:old"},
    {"a_moved_metacopy_file_finds_its_data", "m u/new, r u/new /d/old, f 2/d/old text", "new",
     "file 0 data 2:d/old"},
    {"a_metacopy_chain_follows_each_redirect",
     "m u/c, r u/c b, m 1/b, r 1/b /d/a, f 2/d/a text, f 2/b", "c", "file 0 data 2:d/a"},
    {"a_metacopy_file_of_a_layer_follows_its_redirect", "m 1/f, r 1/f g, f 2/g text, f 2/f", "f",
     "file 1 data 2:g"},
    {"data_is_found_through_a_redirected_parent",
     "m u/f, r u/f /p/q, d 1/p, r 1/p /o, f 2/o/q text", "f", "file 0 data 2:o/q"},
    {"a_metacopy_file_in_a_renamed_directory_finds_its_data",
     "m u/new/f, r u/new old, f 1/old/f text", "new/f", "file 0 data 1:old/f"},
    {"a_metacopy_file_without_data_is_an_error", "m u/f", "f", "error EIO"},
    {"a_metacopy_file_of_a_layer_without_data_is_an_error", "m 1/f", "f", "error EIO"},
    {"a_directory_is_no_data", "m u/f, d 1/f, f 2/f", "f", "error EIO"},
    {"a_symlink_is_no_data", "m u/f, l 1/f ../2/f, f 2/f", "f", "error EIO"},
    {"data_beneath_a_whiteout_is_not_found", "m u/f, w 1/f, f 2/f", "f", "error EIO"},
    {"a_hostile_redirect_of_a_file_is_refused", "m u/f, r u/f ../../etc/passwd, f 1/f", "f",
     "error EIO"},
    {"a_redirect_of_a_file_that_is_no_metacopy_says_nothing", "f u/f, r u/f g, f 1/g", "f",
     "file 0"},
};

/* ---- telling what is found ---- */

static void tell(const struct entry *entry, int err, char *text, size_t size)
{
    int used = 0;
    if (err) {
        snprintf(text, size, err == -EIO ? "error EIO" : "error %d", err);
    } else if (!entry->present) {
        snprintf(text, size, entry->whiteout ? "whiteout" : "absent");
    } else if (S_ISDIR(entry->st.st_mode)) {
        used = snprintf(text, size, entry->layer == 0 ? "dir 0" : "dir");
        for (unsigned i = 0; entry->sources && i < entry->sources->count; i++)
            used += snprintf(text + used, size - (size_t)used, " %u:%s",
                             entry->sources->at[i].layer, entry->sources->at[i].path);
    } else {
        used = snprintf(text, size, "%s %u", S_ISLNK(entry->st.st_mode) ? "symlink" : "file",
                        entry->layer);
        if (entry->metacopy)
            snprintf(text + used, size - (size_t)used, " data %u:%s", entry->data.layer,
                     entry->data.path);
    }
}

/* Resolves each component of `path` in what the one before it was found to be. */
static int find(const struct stack *stack, const char *path, struct entry *entry)
{
    cleanup_free char *copy = strdup(path);
    cleanup_fd int upper = fd_reopen(stack->layers[0].root, O_RDONLY | O_DIRECTORY);
    char *rest = NULL;
    int err = resolve_root(stack, entry);
    for (char *name = strtok_r(copy, "/", &rest); name && !err; name = strtok_r(NULL, "/", &rest)) {
        struct entry next;
        if (!S_ISDIR(entry->st.st_mode) || !entry->present)
            break;
        err = resolve_name(stack, upper, entry->sources, name, &next);
        int below = !err && next.present && next.layer == 0 && S_ISDIR(next.st.st_mode)
                        ? fd_open_name(upper, name, O_RDONLY | O_DIRECTORY, 0)
                        : -1;
        own_close(&upper);
        upper = below;
        entry_finish(entry);
        *entry = next;
    }
    return err;
}

static void what_is_found_is_what_the_table_says(void **state)
{
    const struct situation *row = *state;
    struct kit_union all;
    cleanup_entry struct entry entry = {0};
    char found[256];
    kit_tree(row->words);
    kit_union_open(&all, "u:1:2:3", true);
    all.stack.able.whiteform = row->files ? WHITEFORM_FILE : WHITEFORM_DEVICE;
    int err = find(&all.stack, row->path, &entry);
    tell(&entry, err, found, sizeof(found));
    assert_string_equal(found, row->shows);
    kit_union_close(&all);
}

/* ---- what the table cannot tell ---- */

static void a_name_with_a_nul_in_its_redirect_is_refused(void **state)
{
    (void)state;
    struct kit_union all;
    struct entry entry;
    kit_tree("d u/n, d 1/old");
    assert_int_equal(ovlattr_set(OVLSPACE_USER, kit_root(), "u/n", OVLATTR_REDIRECT, "old\0x", 5),
                     0);
    kit_union_open(&all, "u:1", true);
    assert_int_equal(find(&all.stack, "n", &entry), -EIO);
    entry_finish(&entry);
    kit_union_close(&all);
}

static void the_inode_number_of_a_merged_directory_is_its_topmost_lower_ones(void **state)
{
    (void)state;
    struct kit_union all;
    struct entry entry;
    kit_tree("d u/d, d 1/d, d 2/d");
    kit_union_open(&all, "u:1:2", true);
    assert_int_equal(find(&all.stack, "d", &entry), 0);
    assert_int_equal(entry.ino, kit_stat("1/d").st_ino);
    assert_int_equal(entry.st.st_ino, kit_stat("u/d").st_ino);
    entry_finish(&entry);
    kit_union_close(&all);
}

static void the_root_has_every_layer_as_a_source(void **state)
{
    (void)state;
    struct kit_union all;
    struct entry entry;
    char found[64];
    kit_union_open(&all, "u:1:2:3", true);
    assert_int_equal(resolve_root(&all.stack, &entry), 0);
    tell(&entry, 0, found, sizeof(found));
    assert_string_equal(found, "dir 0 1: 2: 3:");
    entry_finish(&entry);
    kit_union_close(&all);
}

static void what_lies_beneath_decides_whether_a_whiteout_is_needed(void **state)
{
    (void)state;
    struct kit_union all;
    kit_tree("f u/a, f u/b, f 2/b, w 1/c, f 2/c, f 1/.wh.d, f 2/d, f 2/e");
    kit_union_open(&all, "u:1:2", true);
    const struct stack *stack = &all.stack;
    assert_int_equal(resolve_lower_shows(stack, stack->root, "a"), 0);
    assert_int_equal(resolve_lower_shows(stack, stack->root, "b"), 1);
    assert_int_equal(resolve_lower_shows(stack, stack->root, "c"), 0);
    assert_int_equal(resolve_lower_shows(stack, stack->root, "d"), 0);
    assert_int_equal(resolve_lower_shows(stack, stack->root, "e"), 1);
    assert_int_equal(resolve_lower_shows(stack, NULL, "e"), 0);
    kit_union_close(&all);
}

static void assert_nlink(const char *value, unsigned long expected)
{
    const struct stack stack = {.able.space = OVLSPACE_USER};
    kit_mark("f", OVLATTR_NLINK, value);
    assert_int_equal(resolve_nlink(&stack, kit_root(), "f", 3, 5, 42), expected);
}

static void the_link_count_is_relative_to_the_upper_or_the_lower_inode(void **state)
{
    (void)state;
    kit_file("f", "");
    assert_nlink("U+1", 4);
    assert_nlink("U-1", 2);
    assert_nlink("U+0", 3);
    assert_nlink("L-2", 3);
    assert_nlink("L+10", 15);
}

static void an_absurd_link_count_is_not_believed(void **state)
{
    (void)state;
    const struct stack stack = {.able.space = OVLSPACE_USER};
    kit_file("f", "");
    static const char *const ABSURD[] = {"U-3", "U-100", "L-9", "X+1", "U", "", "U+99999999999999"};
    for (size_t i = 0; i < sizeof(ABSURD) / sizeof(ABSURD[0]); i++)
        assert_nlink(ABSURD[i], 42);
    assert_int_equal(ovlattr_remove(OVLSPACE_USER, kit_root(), "f", OVLATTR_NLINK), 0);
    assert_int_equal(resolve_nlink(&stack, kit_root(), "f", 3, 5, 42), 42);
}

/* The index needs file handles and a filesystem that tells its uuid (Linux 6.9). */
static bool open_indexed(struct kit_union *all)
{
    kit_tree("d u, f 1/a text, h 1/b 1/a");
    kit_union_open_upper(all, "u:1", (struct features){.index = true});
    return all->stack.index >= 0;
}

static void the_names_of_a_linked_file_share_one_index_entry(void **state)
{
    (void)state;
    struct kit_union all;
    struct entry a = {0}, b = {0};
    if (open_indexed(&all)) {
        assert_int_equal(find(&all.stack, "a", &a), 0);
        assert_int_equal(find(&all.stack, "b", &b), 0);
        assert_true(a.indexed && b.indexed);
        assert_string_equal(a.index_name, b.index_name);
        assert_int_equal(a.layer, 1);
    }
    entry_finish(&a);
    entry_finish(&b);
    kit_union_close(&all);
}

static void a_linked_file_in_the_index_is_shown_under_every_name(void **state)
{
    (void)state;
    struct kit_union all;
    struct entry entry = {0};
    if (open_indexed(&all)) {
        char path[400];
        assert_int_equal(find(&all.stack, "a", &entry), 0);
        snprintf(path, sizeof(path), "work/index/%s", entry.index_name);
        ino_t shown = entry.ino;
        kit_file(path, "changed");
        kit_mark(path, OVLATTR_NLINK, "U+1");
        entry_finish(&entry);
        assert_int_equal(find(&all.stack, "b", &entry), 0);
        assert_int_equal(entry.layer, 0);
        assert_false(entry.linked);
        assert_int_equal(entry.st.st_ino, kit_stat(path).st_ino);
        assert_int_equal(entry.st.st_nlink, 2);
        assert_int_equal(entry.ino, shown);
    }
    entry_finish(&entry);
    kit_union_close(&all);
}

static void an_index_entry_of_another_kind_is_not_believed(void **state)
{
    (void)state;
    struct kit_union all;
    struct entry entry = {0};
    if (open_indexed(&all)) {
        char path[400];
        assert_int_equal(find(&all.stack, "a", &entry), 0);
        snprintf(path, sizeof(path), "work/index/%s", entry.index_name);
        kit_symlink(path, "/etc/passwd");
        entry_finish(&entry);
        assert_int_equal(find(&all.stack, "b", &entry), 0);
        assert_int_equal(entry.layer, 1);
    }
    entry_finish(&entry);
    kit_union_close(&all);
}

enum { ROWS = sizeof(SITUATIONS) / sizeof(SITUATIONS[0]), OTHERS = 9 };

/* Where the key of an open directory stood for another layer's directory of another name. */
static void directories_of_short_names_are_told_apart_in_every_layer(void **state)
{
    (void)state;
    struct kit_union all;
    char path[16];
    for (int layer = 1; layer <= 4; layer++) {
        for (char c = 'a'; c <= 'z'; c++) {
            snprintf(path, sizeof(path), "%d/b/%c", layer, c);
            kit_dir(path);
        }
    }
    kit_union_open(&all, "1:2:3:4", false);
    for (int round = 0; round < 2; round++) {
        for (unsigned layer = 1; layer <= 4; layer++) {
            for (char c = 'a'; c <= 'z'; c++) {
                struct stat st;
                int err = 0;
                snprintf(path, sizeof(path), "%u/b/%c", layer, c);
                struct fdref *ref = stack_lower_dir(&all.stack, layer, path + 2, &err);
                assert_non_null(ref);
                assert_int_equal(fstat(ref->fd, &st), 0);
                assert_int_equal(st.st_ino, kit_stat(path).st_ino);
                fdref_release(all.fds, ref);
            }
        }
    }
    kit_union_close(&all);
}

int main(void)
{
    /* cmocka wants the state writable; nothing writes it. */
    static struct situation rows[ROWS];
    struct CMUnitTest tests[ROWS + OTHERS] = {
        kit_test(directories_of_short_names_are_told_apart_in_every_layer),
        kit_test(a_name_with_a_nul_in_its_redirect_is_refused),
        kit_test(the_inode_number_of_a_merged_directory_is_its_topmost_lower_ones),
        kit_test(the_root_has_every_layer_as_a_source),
        kit_test(what_lies_beneath_decides_whether_a_whiteout_is_needed),
        kit_test(the_link_count_is_relative_to_the_upper_or_the_lower_inode),
        kit_test(an_absurd_link_count_is_not_believed),
        kit_test(the_names_of_a_linked_file_share_one_index_entry),
        kit_test(a_linked_file_in_the_index_is_shown_under_every_name),
        kit_test(an_index_entry_of_another_kind_is_not_believed),
    };
    size_t count = OTHERS;
    for (size_t i = 0; i < ROWS; i++) {
        rows[i] = SITUATIONS[i];
        tests[count++] = kit_test_of(rows[i].claim, what_is_found_is_what_the_table_says, &rows[i]);
    }
    return kit_run("resolve", tests, count);
}
