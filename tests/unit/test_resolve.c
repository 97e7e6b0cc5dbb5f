/* SPDX-License-Identifier: MIT
 *
 * What the table of situations says is what is found; and what a table cannot tell.
 */
#include "kit.h"
#include "situations.h"

#include "fd.h"
#include "merge.h"
#include "resolve.h"
#include "sources.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

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

/* Reads a directory's sources, as a listing of it does, so that lookups in it are answered from
 * what was read. */
static void merge_now(const struct stack *stack, const struct sources *sources)
{
    int err = 0;
    if (sources && sources->count > 1)
        merge_release(stack->merges, merge_get(stack, sources, &err));
    assert_int_equal(err, 0);
}

/* Resolves each component of `path` in what the one before it was found to be; `merged`: in
 * directories that have been listed. */
static int find(const struct stack *stack, const char *path, bool merged, struct entry *entry)
{
    cleanup_free char *copy = strdup(path);
    cleanup_fd int upper = fd_reopen(stack->layers[0].root, O_RDONLY | O_DIRECTORY);
    char *rest = NULL;
    int err = resolve_root(stack, entry);
    for (char *name = strtok_r(copy, "/", &rest); name && !err; name = strtok_r(NULL, "/", &rest)) {
        struct entry next;
        if (!S_ISDIR(entry->st.st_mode) || !entry->present)
            break;
        if (merged)
            merge_now(stack, entry->sources);
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

static void hold_to_the_table(const struct situation *row, bool merged)
{
    struct kit_union all;
    cleanup_entry struct entry entry = {0};
    char found[256];
    kit_tree(row->words);
    kit_union_open(&all, "u:1:2:3", true);
    all.stack.able.whiteform = row->files ? WHITEFORM_FILE : WHITEFORM_DEVICE;
    int err = find(&all.stack, row->path, merged, &entry);
    tell(&entry, err, found, sizeof(found));
    assert_string_equal(found, row->shows);
    kit_union_close(&all);
}

static void what_is_found_is_what_the_table_says(void **state)
{
    hold_to_the_table(*state, false);
}

static void what_is_found_in_a_listed_directory_is_what_the_table_says(void **state)
{
    hold_to_the_table(*state, true);
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
    assert_int_equal(find(&all.stack, "n", false, &entry), -EIO);
    entry_finish(&entry);
    kit_union_close(&all);
}

/* As in the kernel (fs/overlayfs/namei.c, ovl_lookup_single): an opaque directory on the way ends
 * it, whatever its layer has of the rest. */
static void a_redirect_through_an_opaque_directory_that_lacks_the_way_ends_there(void **state)
{
    (void)state;
    struct kit_union all;
    struct entry entry;
    kit_tree("d u/x, d 1/n, d 2/n/way/old, f 2/n/way/old/hidden");
    assert_int_equal(
        ovlattr_set(OVLSPACE_USER, kit_root(), "u/x", OVLATTR_REDIRECT, "/n/way/old", 10), 0);
    assert_int_equal(ovlattr_set(OVLSPACE_USER, kit_root(), "1/n", OVLATTR_OPAQUE, "y", 1), 0);
    kit_union_open(&all, "u:1:2", true);
    assert_int_equal(find(&all.stack, "x", false, &entry), 0);
    assert_null(entry.sources);
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
    assert_int_equal(find(&all.stack, "d", false, &entry), 0);
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
        assert_int_equal(find(&all.stack, "a", false, &a), 0);
        assert_int_equal(find(&all.stack, "b", false, &b), 0);
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
        assert_int_equal(find(&all.stack, "a", false, &entry), 0);
        snprintf(path, sizeof(path), "work/index/%s", entry.index_name);
        ino_t shown = entry.ino;
        kit_file(path, "changed");
        kit_mark(path, OVLATTR_NLINK, "U+1");
        entry_finish(&entry);
        assert_int_equal(find(&all.stack, "b", false, &entry), 0);
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
        assert_int_equal(find(&all.stack, "a", false, &entry), 0);
        snprintf(path, sizeof(path), "work/index/%s", entry.index_name);
        kit_symlink(path, "/etc/passwd");
        entry_finish(&entry);
        assert_int_equal(find(&all.stack, "b", false, &entry), 0);
        assert_int_equal(entry.layer, 1);
    }
    entry_finish(&entry);
    kit_union_close(&all);
}

enum { ROWS = sizeof(SITUATIONS) / sizeof(SITUATIONS[0]), OTHERS = 8 };

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
    struct CMUnitTest tests[2 * ROWS + OTHERS] = {
        kit_test(directories_of_short_names_are_told_apart_in_every_layer),
        kit_test(a_name_with_a_nul_in_its_redirect_is_refused),
        kit_test(a_redirect_through_an_opaque_directory_that_lacks_the_way_ends_there),
        kit_test(the_inode_number_of_a_merged_directory_is_its_topmost_lower_ones),
        kit_test(the_root_has_every_layer_as_a_source),
        kit_test(what_lies_beneath_decides_whether_a_whiteout_is_needed),
        kit_test(the_names_of_a_linked_file_share_one_index_entry),
        kit_test(a_linked_file_in_the_index_is_shown_under_every_name),
        kit_test(an_index_entry_of_another_kind_is_not_believed),
    };
    size_t count = OTHERS;
    for (size_t i = 0; i < ROWS; i++) {
        rows[i] = SITUATIONS[i];
        tests[count++] = kit_test_of(rows[i].claim, what_is_found_is_what_the_table_says, &rows[i]);
        tests[count++] = kit_test_of(
            rows[i].claim, what_is_found_in_a_listed_directory_is_what_the_table_says, &rows[i]);
    }
    return kit_run("resolve", tests, count);
}
