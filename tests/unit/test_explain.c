/* SPDX-License-Identifier: MIT
 *
 * The account of a path against the resolver: on every situation of the table, and on stacks that
 * are made at random. And what it says of each layer, in words:
 *   LAYER STATE[:PATH, where it is another][ FORM][ opaque][ < REASON LAYER:PATH]
 * "u" is the upper, "1" to "3" are the sealed layers, the topmost first; layers that have nothing
 * and are not hindered are left out.
 */
#include "kit.h"
#include "situations.h"

#include "explain.h"
#include "rootpath.h"

#include <stdio.h>
#include <string.h>

enum { ROWS = sizeof(SITUATIONS) / sizeof(SITUATIONS[0]) };

/* ---- telling ---- */

static void print_layer(FILE *to, const struct stack *stack, const char *path,
                        const struct explain_layer *layer)
{
    fprintf(to, "%c %s", layer->slot == 0 && stack->writable ? 'u' : '0' + (char)layer->slot,
            explain_state_word(layer->state));
    if (strcmp(path, layer->path) != 0)
        fprintf(to, ":%s", layer->path);
    if (layer->form)
        fprintf(to, " %s", layer->form);
    if (*layer->mark)
        fputs(" opaque", to);
    if (layer->by.reason != EXPLAIN_FREE)
        fprintf(to, " < %s %c:%s", explain_reason_word(layer->by.reason),
                layer->by.slot == 0 ? 'u' : '0' + (char)layer->by.slot, layer->by.path);
}

static void print_account(FILE *to, const struct stack *stack, const char *path,
                          const struct explain *explain)
{
    const char *before = "";
    for (unsigned i = 0; i < explain->count; i++) {
        const struct explain_layer *layer = &explain->at[i];
        if (layer->state == EXPLAIN_ABSENT && layer->by.reason == EXPLAIN_FREE)
            continue;
        fputs(before, to);
        print_layer(to, stack, path, layer);
        before = ", ";
    }
    if (explain->err)
        fprintf(to, "%s%s %c:%s", before, strerrorname_np(-explain->err),
                explain->why.slot == 0 ? 'u' : '0' + (char)explain->why.slot, explain->why.path);
}

static char *account_words(const struct stack *stack, const char *path,
                           const struct explain *explain)
{
    char *words = NULL;
    size_t size;
    FILE *to = open_memstream(&words, &size);
    assert_non_null(to);
    print_account(to, stack, path, explain);
    assert_int_equal(fclose(to), 0);
    return words;
}

/* Accounts for `path` and holds it to what the resolver says. */
static char *account(const struct stack *stack, const char *path)
{
    cleanup_explain struct explain explain = {0};
    cleanup_rootpath struct rootpath found = ROOTPATH_NONE;
    int err = rootpath_find(stack, path, false, &found);
    const char *resolved = err ? path : found.path;
    assert_int_equal(explain_path(stack, resolved, err ? NULL : &found.entry, &explain), 0);
    char *words = account_words(stack, resolved, &explain);
    if (err != -ENOTDIR && err != -ELOOP && !explain_agrees(&explain, &found.entry, err))
        fail_msg("%s: resolved to %s, layer %u of %u, accounted for as: %s", path,
                 err                   ? strerrorname_np(-err)
                 : found.entry.present ? "present"
                                       : "absent",
                 found.entry.layer, stack->count, words);
    return words;
}

static void the_account_agrees_with_the_resolver(void **state)
{
    const struct situation *row = *state;
    struct kit_union all;
    kit_tree(row->words);
    kit_union_open(&all, "u:1:2:3", true);
    all.stack.able.whiteform = row->files ? WHITEFORM_FILE : WHITEFORM_DEVICE;
    free(account(&all.stack, row->path));
    kit_union_close(&all);
}

/* ---- what it says ---- */

struct expected {
    const char *claim, *words, *path, *says;
};

static const struct expected EXPECTED[] = {
    {"a_file_hides_what_lies_beneath", "f u/a, f 1/a, d 2/a", "a",
     "u wins, 1 hidden < file u:a, 2 hidden < file u:a, 3 absent < file u:a"},
    {"directories_merge", "d u/d, d 1/d, d 3/d", "d", "u wins, 1 merged, 3 merged"},
    {"a_file_among_directories_is_hidden_and_hides", "d 1/d, f 2/d, d 3/d", "d",
     "1 wins, 2 hidden < directory 1:d, 3 hidden < file 2:d"},
    {"a_whiteout_hides_beneath", "w 1/a, f 2/a", "a",
     "1 whiteout device 0:0, 2 hidden < whiteout 1:a, 3 absent < whiteout 1:a"},
    {"whiteouts_tell_their_form", "w u/a, f 1/.wh.a, o 2 x, e 2/a, f 3/a", "a",
     "u whiteout device 0:0, 1 whiteout .wh. file < whiteout u:a, "
     "2 whiteout overlay.whiteout attribute < whiteout u:a, 3 hidden < whiteout u:a"},
    {"a_whiteout_of_the_parent_hides_what_is_in_it", "w 1/d, f 2/d/x", "d/x",
     "2 hidden < whiteout 1:d, 3 absent < whiteout 1:d"},
    {"an_opaque_parent_hides_what_is_in_those_beneath", "o 1/d, f 2/d/x", "d/x",
     "2 hidden < opaque 1:d, 3 absent < opaque 1:d"},
    {"an_opaque_directory_is_marked", "o u/d, d 1/d", "d",
     "u wins opaque, 1 hidden < opaque u:d, 2 absent < opaque u:d, 3 absent < opaque u:d"},
    {"a_file_in_the_place_of_the_parent_hides", "f u/d, f 1/d/x", "d/x",
     "1 hidden < file u:d, 2 absent < file u:d, 3 absent < file u:d"},
    {"a_redirect_is_followed", "d u/new, r u/new old, d 1/old", "new", "u wins, 1 merged:old"},
    {"what_a_redirect_passes_by_is_hidden", "d u/new, r u/new old, d 1/new, d 2/old", "new",
     "u wins, 1 hidden < redirect u:new, 2 merged:old"},
    {"a_whiteout_among_the_parents_of_a_redirect_bars_it", "d u/n, r u/n /p/q, w 1/p, d 2/p/q", "n",
     "u wins, 1 absent:p/q < whiteout 1:p, 2 hidden:p/q < whiteout 1:p, 3 absent:p/q < whiteout "
     "1:p"},
    {"data_is_told_apart_from_metadata", "m u/f, m 1/f, f 2/f text, f 3/f", "f",
     "u wins, 1 hidden < file u:f, 2 data, 3 hidden < file 2:f"},
    {"a_hostile_redirect_is_named", "d u/n, r u/n ../.., d 1/n", "n",
     "u wins, 1 hidden < fault u:n, 2 absent < fault u:n, 3 absent < fault u:n, EIO u:n"},
    {"missing_data_is_named", "m u/f", "f", "u wins, EIO u:f"},
    {"the_root_is_merged_of_all", "d u, d 1, d 2, d 3", "", "u wins, 1 merged, 2 merged, 3 merged"},
};

static void what_is_told_is_what_the_table_says(void **state)
{
    const struct expected *row = *state;
    struct kit_union all;
    kit_tree(row->words);
    kit_union_open(&all, "u:1:2:3", true);
    cleanup_free char *says = account(&all.stack, row->path);
    assert_string_equal(says, row->says);
    kit_union_close(&all);
}

static void a_stack_without_an_upper_is_accounted_for(void **state)
{
    (void)state;
    struct kit_union all;
    kit_tree("f 1/a, f 2/a, w 1/b, f 2/b");
    kit_union_open(&all, "1:2", false);
    cleanup_free char *a = account(&all.stack, "a"), *b = account(&all.stack, "b");
    cleanup_free char *root = account(&all.stack, "");
    assert_string_equal(a, "1 wins, 2 hidden < file 1:a");
    assert_string_equal(b, "1 whiteout device 0:0, 2 hidden < whiteout 1:b");
    assert_string_equal(root, "1 wins, 2 merged");
    kit_union_close(&all);
}

static void a_hard_link_that_was_copied_up_by_another_name_is_told(void **state)
{
    (void)state;
    struct kit_union all;
    kit_tree("d u, f 1/a text, h 1/b 1/a");
    kit_union_open_upper(&all, "u:1", (struct features){.index = true});
    cleanup_rootpath struct rootpath found = ROOTPATH_NONE;
    if (all.stack.index >= 0) {
        char path[400];
        assert_int_equal(rootpath_find(&all.stack, "a", false, &found), 0);
        snprintf(path, sizeof(path), "work/index/%s", found.entry.index_name);
        kit_file(path, "changed");
        cleanup_free char *says = account(&all.stack, "b");
        assert_string_equal(says, "u wins, 1 hidden < hard link u:b");
    }
    kit_union_close(&all);
}

/* ---- at random ---- */

static unsigned long draw(unsigned long *seed, unsigned long among)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (*seed >> 33) % among;
}

/* A path of up to three of the names a, b and c. */
static void draw_path(unsigned long *seed, char path[8])
{
    unsigned long depth = 1 + draw(seed, 3), length = 0;
    for (unsigned long i = 0; i < depth; i++) {
        if (i > 0)
            path[length++] = '/';
        path[length++] = (char)('a' + draw(seed, 3));
    }
    path[length] = 0;
}

/* Makes something at a place in a layer, where there is room for it. */
static void make_something(unsigned long *seed)
{
    static const char *const REDIRECTS[] = {"a", "b", "c", "/a", "/b/c", "/c/a", "/a/b/c", "../.."};
    char at[32], white[40], path[8], *slash;
    draw_path(seed, path);
    snprintf(at, sizeof(at), "%c/%s", "u1234"[draw(seed, 5)], path);
    const unsigned long kind = draw(seed, 10);
    if (kit_exists(at) && kind < 8) {
        if (S_ISDIR(kit_stat(at).st_mode))
            kit_mark(at, kind < 3 ? OVLATTR_OPAQUE : OVLATTR_REDIRECT,
                     kind < 2   ? "y"
                     : kind < 3 ? "x"
                                : REDIRECTS[draw(seed, 8)]);
        return;
    }
    for (slash = strchr(at, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        bool barred = kit_exists(at) && !S_ISDIR(kit_stat(at).st_mode);
        *slash = '/';
        if (barred)
            return;
    }
    slash = strrchr(at, '/');
    snprintf(white, sizeof(white), "%.*s/.wh.%s", (int)(slash - at), at, slash + 1);
    if (kind == 0 && !kit_exists(at))
        kit_whiteout(at);
    else if (kind == 9)
        kit_file(white, "");
    else if (kind == 8 && !kit_exists(at)) {
        kit_file(at, "");
        kit_mark(at, OVLATTR_WHITEOUT, "y");
    } else if (kind < 3 && !kit_exists(at))
        kit_file(at, "text");
    else if (kind < 5 && !kit_exists(at)) {
        kit_file(at, "");
        kit_mark(at, OVLATTR_METACOPY, "");
        if (kind == 4)
            kit_mark(at, OVLATTR_REDIRECT, REDIRECTS[draw(seed, 8)]);
    } else if (!kit_exists(at)) {
        kit_dir(at);
    }
}

static void assert_all_paths(const struct stack *stack)
{
    char path[8];
    for (unsigned a = 0; a < 3; a++) {
        snprintf(path, sizeof(path), "%c", 'a' + a);
        free(account(stack, path));
        for (unsigned b = 0; b < 12; b++) {
            if (b < 3)
                snprintf(path, sizeof(path), "%c/%c", 'a' + a, 'a' + b);
            else
                snprintf(path, sizeof(path), "%c/%c/%c", 'a' + a, 'a' + (b - 3) / 3,
                         'a' + (b - 3) % 3);
            free(account(stack, path));
        }
    }
}

static void stacks_made_at_random_are_accounted_for_as_they_are_resolved(void **state)
{
    (void)state;
    unsigned long seed = 42;
    for (unsigned round = 0; round < 150; round++) {
        struct kit_union all;
        kit_tree("d u, d 1, d 2, d 3, d 4");
        for (unsigned layer = 1; layer <= 4 && round % 3 == 0; layer++)
            kit_mark((const char *[]){"1", "2", "3", "4"}[layer - 1], OVLATTR_OPAQUE, "x");
        for (unsigned i = 0; i < 40 + 20 * (round % 3); i++)
            make_something(&seed);
        kit_union_open(&all, "u:1:2:3:4", true);
        all.stack.able.whiteform = round % 4 == 0 ? WHITEFORM_FILE : WHITEFORM_DEVICE;
        assert_all_paths(&all.stack);
        kit_union_close(&all);
        void *again = NULL;
        assert_int_equal(kit_leave(&again), 0);
        assert_int_equal(kit_enter(&again), 0);
    }
}

enum { TOLD = sizeof(EXPECTED) / sizeof(EXPECTED[0]), OTHERS = 3 };

int main(void)
{
    /* cmocka wants the state writable; nothing writes it. */
    static struct situation rows[ROWS];
    static struct expected told[TOLD];
    struct CMUnitTest tests[ROWS + TOLD + OTHERS] = {
        kit_test(a_stack_without_an_upper_is_accounted_for),
        kit_test(a_hard_link_that_was_copied_up_by_another_name_is_told),
        kit_test(stacks_made_at_random_are_accounted_for_as_they_are_resolved),
    };
    size_t count = OTHERS;
    for (size_t i = 0; i < ROWS; i++) {
        rows[i] = SITUATIONS[i];
        tests[count++] = kit_test_of(rows[i].claim, the_account_agrees_with_the_resolver, &rows[i]);
    }
    for (size_t i = 0; i < TOLD; i++) {
        told[i] = EXPECTED[i];
        tests[count++] = kit_test_of(told[i].claim, what_is_told_is_what_the_table_says, &told[i]);
    }
    return kit_run("explain", tests, count);
}
