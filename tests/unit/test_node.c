/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "node.h"
#include "nodestate.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

static struct node_table *table;
static unsigned freed_count;

static void count_freed(void *context, uint32_t index, uint8_t tree)
{
    assert_int_equal(tree, 0);
    assert_ptr_equal(context, &freed_count);
    assert_true(index > NODE_ROOT);
    freed_count++;
}

static struct entry entry_of(mode_t type, uint64_t ino, uint16_t layer)
{
    return (struct entry){
        .present = true,
        .linked = layer == 0,
        .st = {.st_mode = type | 0644, .st_ino = ino, .st_nlink = 1},
        .ino = ino,
        .layer = layer,
    };
}

static int set_up(void **state)
{
    (void)state;
    struct entry root = entry_of(S_IFDIR, 2, 0);
    freed_count = 0;
    table = node_table_create(count_freed, &freed_count);
    return table ? node_make_root(table, &root) : -1;
}

static int tear_down(void **state)
{
    (void)state;
    node_table_destroy(table);
    return 0;
}

static uint64_t intern_entry(uint32_t parent, const char *name, struct entry entry)
{
    uint64_t id = 0;
    assert_int_equal(node_intern(table, parent, name, 0, &entry, &id), 0);
    entry_finish(&entry);
    return id;
}

static uint64_t intern(uint32_t parent, const char *name, mode_t type, uint64_t ino)
{
    return intern_entry(parent, name, entry_of(type, ino, 0));
}

static uint32_t index_of(uint64_t id)
{
    return (uint32_t)id;
}

static bool lives(uint64_t id)
{
    struct node_view view;
    int err = node_view(table, id, &view);
    assert_true(err == 0 || err == -ESTALE);
    node_view_finish(&view);
    return err == 0;
}

/* The nodes that there are but for the root. */
static uint64_t alive(void)
{
    return node_table_count(table) - 1;
}

static void a_node_is_what_its_entry_said(void **state)
{
    (void)state;
    struct node_view view;
    struct entry entry = entry_of(S_IFREG, 77, 3);
    entry.metacopy = true;
    entry.data = (struct datasite){.layer = 4, .path = strdup("d/f")};
    uint64_t id = intern_entry(NODE_ROOT, "f", entry);
    assert_int_equal(node_view(table, id, &view), 0);
    assert_int_equal(view.id, id);
    assert_int_equal(view.ino, 77);
    assert_int_equal(view.layer, 3);
    assert_int_equal(view.type, S_IFREG);
    assert_int_equal(view.parent, NODE_ROOT);
    assert_string_equal(view.name, "f");
    assert_true(node_is(&view, NODE_METACOPY));
    assert_false(node_is(&view, NODE_UPPER | NODE_LINKED));
    assert_int_equal(view.more->data_layer, 4);
    assert_string_equal(view.more->data_path, "d/f");
    node_view_finish(&view);
}

static void assert_path(uint32_t parent, const char *name, const char *path)
{
    cleanup_free char *found = node_path(table, parent, name);
    assert_non_null(found);
    assert_string_equal(found, path);
}

static void a_path_is_told_from_the_root(void **state)
{
    (void)state;
    uint64_t dir = intern(NODE_ROOT, "usr", S_IFDIR, 10);
    uint64_t sub = intern(index_of(dir), "lib", S_IFDIR, 11);
    assert_path(NODE_ROOT, "f", "/f");
    assert_path(index_of(sub), "f", "/usr/lib/f");
    node_move_name(table, index_of(dir), "lib", NODE_ROOT, "moved");
    assert_path(index_of(sub), "f", "/moved/f");
    node_drop_name(table, NODE_ROOT, "moved");
    assert_path(index_of(sub), "f", "");
    assert_path(NODE_NONE, "f", "");
}

static void a_path_may_be_longer_than_the_kernel_takes(void **state)
{
    (void)state;
    char name[201];
    uint32_t at = NODE_ROOT;
    memset(name, 'n', 200);
    name[200] = 0;
    for (uint64_t i = 0; i < 50; i++)
        at = index_of(intern(at, name, S_IFDIR, 100 + i));
    cleanup_free char *path = node_path(table, at, "end");
    assert_int_equal(strlen(path), 50 * 201 + 4);
    assert_string_equal(path + 50 * 201, "/end");
    assert_int_equal(strspn(path, "/n"), 50 * 201 + 1);
}

static void a_name_looked_up_again_is_the_same_node(void **state)
{
    (void)state;
    uint64_t id = intern(NODE_ROOT, "f", S_IFREG, 10);
    assert_int_equal(intern(NODE_ROOT, "f", S_IFREG, 10), id);
    assert_int_equal(node_find(table, NODE_ROOT, "f"), index_of(id));
    node_forget(table, id, 1);
    assert_true(lives(id));
    node_forget(table, id, 1);
    assert_false(lives(id));
    assert_int_equal(freed_count, 1);
    assert_int_equal(node_find(table, NODE_ROOT, "f"), NODE_NONE);
}

static void a_number_that_is_used_again_is_stale_under_its_old_id(void **state)
{
    (void)state;
    uint64_t old = intern(NODE_ROOT, "f", S_IFREG, 10);
    node_forget(table, old, 1);
    uint64_t new = intern(NODE_ROOT, "f", S_IFREG, 10);
    assert_int_equal(index_of(new), index_of(old));
    assert_int_not_equal(new, old);
    assert_false(lives(old));
    assert_true(lives(new));
    node_forget(table, old, 1);
    assert_true(lives(new));
}

static void an_id_that_was_never_given_is_stale(void **state)
{
    (void)state;
    static const uint64_t IDS[] = {
        0, 2, 12345, UINT64_MAX, UINT64_C(1) << 32, UINT64_C(1) << 32 | NODE_ROOT};
    for (size_t i = 0; i < sizeof(IDS) / sizeof(IDS[0]); i++) {
        assert_false(lives(IDS[i]));
        node_forget(table, IDS[i], 1);
    }
    assert_true(lives(NODE_ROOT));
    node_forget(table, NODE_ROOT, 100);
    assert_true(lives(NODE_ROOT));
}

static void another_file_under_the_same_name_is_another_node(void **state)
{
    (void)state;
    uint64_t old = intern(NODE_ROOT, "f", S_IFREG, 10);
    uint64_t new = intern(NODE_ROOT, "f", S_IFREG, 11);
    assert_int_not_equal(new, old);
    assert_int_equal(node_find(table, NODE_ROOT, "f"), index_of(new));
    assert_true(lives(old));
    uint64_t dir = intern(NODE_ROOT, "f", S_IFDIR, 11);
    assert_int_not_equal(dir, new);
    node_forget(table, old, 1);
    node_forget(table, new, 1);
    assert_int_equal(alive(), 1);
}

/* ---- hard links ---- */

static struct entry linked_entry(uint64_t ino)
{
    struct entry entry = entry_of(S_IFREG, ino, 0);
    entry.st.st_nlink = 2;
    return entry;
}

static void hard_links_share_one_node(void **state)
{
    (void)state;
    uint64_t a = intern_entry(NODE_ROOT, "a", linked_entry(10));
    uint64_t b = intern_entry(NODE_ROOT, "b", linked_entry(10));
    assert_int_equal(a, b);
    assert_int_equal(node_find(table, NODE_ROOT, "a"), node_find(table, NODE_ROOT, "b"));
    node_forget(table, a, 2);
    assert_false(lives(a));
    assert_int_equal(node_find(table, NODE_ROOT, "b"), NODE_NONE);
    assert_int_equal(alive(), 0);
}

static void a_forged_number_does_not_make_two_files_one(void **state)
{
    (void)state;
    struct entry forged = linked_entry(11);
    forged.ino = 10;
    uint64_t a = intern_entry(NODE_ROOT, "a", linked_entry(10));
    assert_int_not_equal(intern_entry(NODE_ROOT, "b", forged), a);
}

static void one_name_dropped_leaves_the_others(void **state)
{
    (void)state;
    uint32_t parent;
    char name[NAME_MAX + 1];
    uint64_t id = intern_entry(NODE_ROOT, "a", linked_entry(10));
    intern_entry(NODE_ROOT, "b", linked_entry(10));
    assert_int_equal(node_add_name(table, index_of(id), NODE_ROOT, "c", true), 0);
    assert_false(node_drop_name(table, NODE_ROOT, "a"));
    assert_int_equal(node_find(table, NODE_ROOT, "a"), NODE_NONE);
    assert_int_equal(node_find(table, NODE_ROOT, "b"), index_of(id));
    assert_true(node_linked_name(table, index_of(id), &parent, name));
    assert_int_equal(parent, NODE_ROOT);
    assert_false(node_drop_name(table, NODE_ROOT, "c"));
    assert_true(node_drop_name(table, NODE_ROOT, "b"));
    assert_false(node_linked_name(table, index_of(id), &parent, name));
}

static void only_linked_names_are_told_as_such(void **state)
{
    (void)state;
    uint32_t parent;
    char name[NAME_MAX + 1];
    struct entry entry = entry_of(S_IFREG, 10, 1);
    entry.indexed = true;
    uint64_t id = intern_entry(NODE_ROOT, "a", entry);
    assert_int_equal(intern_entry(NODE_ROOT, "b", entry), id);
    assert_false(node_linked_name(table, index_of(id), &parent, name));
    node_set_linked(table, NODE_ROOT, "b");
    assert_true(node_name_is_linked(table, NODE_ROOT, "b"));
    assert_false(node_name_is_linked(table, NODE_ROOT, "a"));
    assert_true(node_linked_name(table, index_of(id), &parent, name));
    assert_string_equal(name, "b");
}

/* ---- orphans ---- */

static void an_unlinked_file_lives_until_it_is_forgotten(void **state)
{
    (void)state;
    struct node_view view;
    uint64_t id = intern(NODE_ROOT, "f", S_IFREG, 10);
    assert_true(node_drop_name(table, NODE_ROOT, "f"));
    assert_int_equal(node_view(table, id, &view), 0);
    assert_true(node_is(&view, NODE_ORPHAN));
    assert_int_equal(view.parent, NODE_NONE);
    assert_string_equal(view.name, "");
    assert_int_equal(node_find(table, NODE_ROOT, "f"), NODE_NONE);
    assert_false(node_drop_name(table, NODE_ROOT, "f"));
    node_forget(table, id, 1);
    assert_false(lives(id));
}

static void a_file_made_without_a_name_may_get_one(void **state)
{
    (void)state;
    struct node_view view;
    uint64_t id;
    struct entry entry = entry_of(S_IFREG, 10, 0);
    assert_int_equal(node_make_orphan(table, 0, &entry, &id), 0);
    assert_int_equal(node_add_name(table, index_of(id), NODE_ROOT, "f", true), 0);
    assert_int_equal(node_view(table, id, &view), 0);
    assert_false(node_is(&view, NODE_ORPHAN));
    assert_true(node_is(&view, NODE_LINKED));
    assert_int_equal(node_find(table, NODE_ROOT, "f"), index_of(id));
}

/* ---- moves ---- */

static void a_moved_name_takes_its_node_along(void **state)
{
    (void)state;
    struct node_view view;
    uint32_t d = index_of(intern(NODE_ROOT, "d", S_IFDIR, 5));
    uint64_t id = intern(NODE_ROOT, "f", S_IFREG, 10);
    node_move_name(table, NODE_ROOT, "f", d, "g");
    assert_int_equal(node_find(table, NODE_ROOT, "f"), NODE_NONE);
    assert_int_equal(node_view(table, id, &view), 0);
    assert_int_equal(view.parent, d);
    assert_string_equal(view.name, "g");
}

static void a_move_makes_an_orphan_of_what_was_there(void **state)
{
    (void)state;
    struct node_view view;
    uint64_t from = intern(NODE_ROOT, "from", S_IFREG, 10);
    uint64_t to = intern(NODE_ROOT, "to", S_IFREG, 11);
    node_move_name(table, NODE_ROOT, "from", NODE_ROOT, "to");
    assert_int_equal(node_find(table, NODE_ROOT, "to"), index_of(from));
    assert_int_equal(node_view(table, to, &view), 0);
    assert_true(node_is(&view, NODE_ORPHAN));
}

static void an_exchange_swaps_two_names(void **state)
{
    (void)state;
    uint32_t d = index_of(intern(NODE_ROOT, "d", S_IFDIR, 5));
    uint64_t a = intern(NODE_ROOT, "a", S_IFREG, 10), b = intern(d, "b", S_IFDIR, 11);
    node_exchange_names(table, NODE_ROOT, "a", d, "b");
    assert_int_equal(node_find(table, NODE_ROOT, "a"), index_of(b));
    assert_int_equal(node_find(table, d, "b"), index_of(a));
    node_exchange_names(table, NODE_ROOT, "a", NODE_ROOT, "unknown");
    assert_int_equal(node_find(table, NODE_ROOT, "a"), NODE_NONE);
    assert_int_equal(node_find(table, NODE_ROOT, "unknown"), index_of(b));
}

static void the_name_that_is_preferred_is_the_one_that_a_view_has(void **state)
{
    (void)state;
    struct node_view view;
    uint32_t d = index_of(intern(NODE_ROOT, "d", S_IFDIR, 5));
    uint64_t id = intern_entry(NODE_ROOT, "a", linked_entry(10));
    intern_entry(d, "b", linked_entry(10));
    intern_entry(NODE_ROOT, "c", linked_entry(10));
    assert_false(node_prefer_name(table, NODE_ROOT, "a"));
    assert_false(node_prefer_name(table, NODE_ROOT, "unknown"));
    assert_true(node_prefer_name(table, d, "b"));
    assert_int_equal(node_view(table, id, &view), 0);
    assert_int_equal(view.parent, d);
    assert_string_equal(view.name, "b");
    assert_int_equal(node_find(table, NODE_ROOT, "a"), index_of(id));
    assert_int_equal(node_find(table, d, "b"), index_of(id));
    assert_int_equal(node_find(table, NODE_ROOT, "c"), index_of(id));
    assert_false(node_drop_name(table, d, "b"));
    assert_false(node_drop_name(table, NODE_ROOT, "a"));
    assert_true(node_drop_name(table, NODE_ROOT, "c"));
}

static void an_exchange_with_a_hard_link_keeps_both_what_they_are(void **state)
{
    (void)state;
    uint64_t id = intern_entry(NODE_ROOT, "a", linked_entry(10));
    intern_entry(NODE_ROOT, "b", linked_entry(10));
    uint64_t other = intern(NODE_ROOT, "c", S_IFREG, 11);
    node_exchange_names(table, NODE_ROOT, "b", NODE_ROOT, "c");
    assert_int_equal(node_find(table, NODE_ROOT, "b"), index_of(other));
    assert_int_equal(node_find(table, NODE_ROOT, "c"), index_of(id));
    assert_int_equal(node_find(table, NODE_ROOT, "a"), index_of(id));
}

/* ---- burial ---- */

static void a_parent_outlives_its_children(void **state)
{
    (void)state;
    uint64_t d = intern(NODE_ROOT, "d", S_IFDIR, 5);
    uint64_t f = intern(index_of(d), "f", S_IFREG, 6);
    node_forget(table, d, 1);
    assert_true(lives(d));
    node_forget(table, f, 1);
    assert_false(lives(d));
    assert_int_equal(freed_count, 2);
}

static void a_chain_of_parents_of_any_depth_is_buried(void **state)
{
    (void)state;
    enum { DEPTH = 1000 };
    uint64_t ids[DEPTH];
    uint32_t parent = NODE_ROOT;
    for (int i = 0; i < DEPTH; i++) {
        ids[i] = intern(parent, "d", S_IFDIR, 100 + (uint64_t)i);
        parent = index_of(ids[i]);
    }
    for (int i = 0; i < DEPTH; i++)
        node_forget(table, ids[i], 1);
    assert_int_equal(alive(), 0);
    assert_int_equal(freed_count, DEPTH);
}

static void the_parent_of_a_further_name_is_buried_with_it(void **state)
{
    (void)state;
    uint64_t d = intern(NODE_ROOT, "d", S_IFDIR, 5);
    uint64_t f = intern_entry(NODE_ROOT, "a", linked_entry(10));
    intern_entry(index_of(d), "b", linked_entry(10));
    node_forget(table, d, 1);
    assert_true(lives(d));
    node_forget(table, f, 2);
    assert_false(lives(d));
    assert_int_equal(alive(), 0);
}

static void a_parent_is_buried_when_its_last_child_moves_away(void **state)
{
    (void)state;
    uint64_t d = intern(NODE_ROOT, "d", S_IFDIR, 5);
    uint64_t f = intern(index_of(d), "f", S_IFREG, 10);
    node_forget(table, d, 1);
    node_move_name(table, index_of(d), "f", NODE_ROOT, "f");
    assert_false(lives(d));
    assert_true(lives(f));
}

static void a_parent_is_buried_when_its_last_child_is_unlinked(void **state)
{
    (void)state;
    uint64_t d = intern(NODE_ROOT, "d", S_IFDIR, 5);
    uint64_t f = intern(index_of(d), "f", S_IFREG, 10);
    node_forget(table, d, 1);
    assert_true(node_drop_name(table, index_of(d), "f"));
    assert_false(lives(d));
    node_forget(table, f, 1);
    assert_int_equal(alive(), 0);
}

static void a_locked_node_is_buried_when_its_lock_is_given_back(void **state)
{
    (void)state;
    uint64_t id = intern(NODE_ROOT, "f", S_IFREG, 10);
    node_lock(table, index_of(id));
    node_forget(table, id, 1);
    assert_true(lives(id));
    node_unlock(table, index_of(id));
    assert_false(lives(id));
}

/* Whoever keeps something by a node's index is told before another node has that index. */
static uint32_t reborn;
static void look_up_another(void *context, uint32_t index, uint8_t tree)
{
    (void)context;
    (void)tree;
    char name[16];
    snprintf(name, sizeof(name), "n%u", index);
    if (!reborn)
        reborn = index_of(intern(NODE_ROOT, name, S_IFREG, 1000 + index));
    assert_int_not_equal(reborn, index);
}

static void an_index_is_not_used_again_before_its_owner_was_told(void **state)
{
    (void)state;
    struct entry root = entry_of(S_IFDIR, 2, 0);
    node_table_destroy(table);
    table = node_table_create(look_up_another, NULL);
    assert_int_equal(node_make_root(table, &root), 0);
    reborn = 0;
    node_forget(table, intern(NODE_ROOT, "f", S_IFREG, 10), 1);
    assert_int_not_equal(reborn, 0);
}

static void memory_of_forgotten_nodes_goes_back(void **state)
{
    (void)state;
    enum { COUNT = 200000 };
    uint64_t *ids = calloc(COUNT, sizeof(*ids));
    char name[64];
    memset(ids, 1, COUNT * sizeof(*ids)); /* resident before it is measured */
    size_t before = kit_resident_bytes();
    for (int i = 0; i < COUNT; i++) {
        snprintf(name, sizeof(name), "a file of many %d", i);
        ids[i] = intern(NODE_ROOT, name, S_IFREG, 1000 + (uint64_t)i);
    }
    assert_int_equal(alive(), COUNT);
    assert_true(kit_resident_bytes() > before + 16000000);
    for (int i = 0; i < COUNT; i++)
        node_forget(table, ids[i], 1);
    assert_int_equal(alive(), 0);
    assert_int_equal(freed_count, COUNT);
    /* The sanitizers keep freed hashes back for a while. */
    assert_true(kit_resident_bytes() < before + 8000000);
    free(ids);
}

/* Wherever the slots in use end. */
static void a_node_that_comes_and_goes_takes_its_memory_once(void **state)
{
    (void)state;
    char name[64];
    long most = 0;
    for (int i = 0; i < 1100; i++) {
        snprintf(name, sizeof(name), "a file that stays %d", i);
        intern(NODE_ROOT, name, S_IFREG, 1000 + (uint64_t)i);
        long before = kit_page_faults();
        for (int again = 0; again < 20; again++)
            node_forget(table, intern(NODE_ROOT, "temporary", S_IFREG, 10), 1);
        long took = kit_page_faults() - before;
        most = took > most ? took : most;
    }
    assert_true(most < 15);
}

/* ---- locks and opens ---- */

static int shared_value;
static void *add_under_lock(void *index)
{
    for (int i = 0; i < 10000; i++) {
        node_lock(table, *(uint32_t *)index);
        shared_value++;
        node_unlock(table, *(uint32_t *)index);
    }
    return NULL;
}

static void a_node_lock_lets_one_in_at_a_time(void **state)
{
    (void)state;
    uint32_t index = index_of(intern(NODE_ROOT, "f", S_IFREG, 10));
    pthread_t threads[4];
    shared_value = 0;
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, add_under_lock, &index), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(shared_value, 40000);
}

static void the_last_close_hands_the_backing_back(void **state)
{
    (void)state;
    uint32_t index = index_of(intern(NODE_ROOT, "f", S_IFREG, 10));
    int32_t backing = 0;
    assert_false(node_opened_again(table, index, true, &backing));
    node_opened(table, index, true, 7);
    assert_true(node_opened_again(table, index, false, &backing));
    assert_int_equal(backing, 7);
    assert_int_equal(node_opens(table, index).count, 2);
    assert_int_equal(node_opens(table, index).writers, 1);
    assert_int_equal(node_released(table, index, true), 0);
    assert_int_equal(node_opens(table, index).writers, 0);
    assert_int_equal(node_released(table, index, false), 7);
    assert_int_equal(node_released(table, index, false), 0);
    assert_int_equal(node_opens(table, index).backing, 0);
}

static void a_copied_up_node_is_in_the_upper_and_keeps_its_number(void **state)
{
    (void)state;
    struct node_view view;
    uint64_t id = intern_entry(NODE_ROOT, "f", entry_of(S_IFREG, 10, 2));
    node_promoted(table, index_of(id), NODE_LINKED, NODE_METACOPY, 99);
    assert_int_equal(node_view(table, id, &view), 0);
    assert_true(node_is(&view, NODE_UPPER) && node_is(&view, NODE_LINKED));
    assert_int_equal(view.layer, 0);
    assert_int_equal(view.ino, 10);
    assert_int_equal(view.upper_ino, 99);
    struct entry upper = entry_of(S_IFREG, 99, 0);
    upper.ino = 10;
    assert_int_equal(intern_entry(NODE_ROOT, "f", upper), id);
}

static void a_linked_name_is_found_without_an_entry_and_counted_once_more(void **state)
{
    (void)state;
    struct node_view view;
    struct entry upper = entry_of(S_IFREG, 99, 0);
    upper.linked = true;
    uint64_t id = intern_entry(NODE_ROOT, "up", upper);
    uint64_t low = intern_entry(NODE_ROOT, "low", entry_of(S_IFREG, 10, 3));
    assert_int_equal(node_view_linked(table, NODE_ROOT, "low", &view), -ENOENT);
    assert_int_equal(node_view_linked(table, NODE_ROOT, "absent", &view), -ENOENT);
    assert_int_equal(node_view_linked(table, NODE_ROOT, "up", &view), 0);
    assert_int_equal(view.id, id);
    node_view_finish(&view);
    assert_true(node_look_again(table, NODE_ROOT, "up", id));
    assert_false(node_look_again(table, NODE_ROOT, "low", id));
    node_forget(table, id, 1);
    assert_true(lives(id));
    node_move_name(table, NODE_ROOT, "up", NODE_ROOT, "moved");
    assert_false(node_look_again(table, NODE_ROOT, "up", id));
    node_forget(table, id, 1);
    assert_false(lives(id));
    node_forget(table, low, 1);
}

static void a_node_is_looked_up_by_itself_and_from_what_is_in_it(void **state)
{
    (void)state;
    struct node_view view;
    uint64_t dir = intern_entry(NODE_ROOT, "dir", entry_of(S_IFDIR, 10, 3));
    uint64_t sub = intern_entry((uint32_t)dir, "sub", entry_of(S_IFDIR, 11, 3));
    assert_int_equal(node_look_itself(table, sub, true, &view), 0);
    assert_int_equal(view.id, dir);
    node_view_finish(&view);
    assert_int_equal(node_look_itself(table, sub, false, &view), 0);
    assert_int_equal(view.id, sub);
    node_view_finish(&view);
    assert_int_equal(node_look_itself(table, NODE_ROOT, true, &view), 0);
    assert_int_equal(view.id, NODE_ROOT);
    node_view_finish(&view);
    node_forget(table, sub, 2);
    assert_false(lives(sub));
    assert_int_equal(node_look_itself(table, sub, true, &view), -ESTALE);
    node_forget(table, dir, 1);
    assert_true(lives(dir));
    node_forget(table, dir, 1);
    assert_false(lives(dir));
}

static unsigned flags_of(uint64_t id)
{
    struct node_view view;
    assert_int_equal(node_view(table, id, &view), 0);
    node_view_finish(&view);
    return view.flags & (NODE_BARE | NODE_DRESSED);
}

static void what_was_given_an_attribute_is_not_found_bare_by_who_looked_before(void **state)
{
    (void)state;
    uint64_t id = intern(NODE_ROOT, "f", S_IFREG, 10);
    node_found_bare(table, index_of(id));
    assert_int_equal(flags_of(id), NODE_BARE);
    node_set_flags(table, index_of(id), NODE_DRESSED, NODE_BARE);
    node_found_bare(table, index_of(id));
    assert_int_equal(flags_of(id), NODE_DRESSED);
}

/* Between the two something else may have got the name. */
static void what_was_found_before_a_name_moved_is_not_taken(void **state)
{
    (void)state;
    uint64_t id = 0, moves = node_moves(table);
    struct entry entry = entry_of(S_IFREG, 100, 0);
    (void)intern(NODE_ROOT, "name", S_IFREG, 100);
    assert_int_equal(node_intern_since(table, moves, NODE_ROOT, "name", 0, &entry, &id), 0);
    (void)intern(NODE_ROOT, "other", S_IFLNK, 101);
    node_drop_name(table, NODE_ROOT, "name");
    assert_int_equal(node_intern_since(table, moves, NODE_ROOT, "name", 0, &entry, &id), -EAGAIN);
    moves = node_moves(table);
    node_move_name(table, NODE_ROOT, "other", NODE_ROOT, "name");
    assert_int_equal(node_intern_since(table, moves, NODE_ROOT, "name", 0, &entry, &id), -EAGAIN);
    struct node_view view = {0};
    assert_int_equal(node_view_linked(table, NODE_ROOT, "name", &view), 0);
    assert_int_equal(view.type, S_IFLNK);
    node_view_finish(&view);
    entry_finish(&entry);
}

static void of_a_directory_who_changes_it_knows_whether_others_were_told(void **state)
{
    enum { ME = 100, ANOTHER = 200, NAMELESS = 0 };
    (void)state;
    const uint64_t id = intern(NODE_ROOT, "d", S_IFDIR, 10);
    const uint32_t index = index_of(id);
    assert_int_equal(node_told_others(table, index, ME), 0);
    node_tell(table, index, ME);
    assert_int_equal(node_told_others(table, index, ME), 0);
    assert_int_equal(node_told_others(table, index, ANOTHER), id);
    assert_int_equal(node_told_others(table, index, ANOTHER), 0);
    node_tell(table, index, ME);
    node_tell(table, index, ANOTHER);
    assert_int_equal(node_told_others(table, index, ANOTHER), id);
    node_tell(table, index, NAMELESS);
    assert_int_equal(node_told_others(table, index, NAMELESS), id);
    assert_int_equal(node_told_others(table, NODE_NONE, ME), 0);
}

/* Its place is that of a file in a hash by number. */
static void of_a_file_nobody_is_told(void **state)
{
    (void)state;
    const uint64_t id = intern_entry(NODE_ROOT, "f", linked_entry(10));
    node_tell(table, index_of(id), 100);
    assert_int_equal(node_told_others(table, index_of(id), 200), 0);
    assert_int_equal(intern_entry(NODE_ROOT, "another", linked_entry(10)), id);
}

#define node_test(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        node_test(a_node_is_what_its_entry_said),
        node_test(a_path_is_told_from_the_root),
        node_test(a_path_may_be_longer_than_the_kernel_takes),
        node_test(a_name_looked_up_again_is_the_same_node),
        node_test(a_number_that_is_used_again_is_stale_under_its_old_id),
        node_test(an_id_that_was_never_given_is_stale),
        node_test(another_file_under_the_same_name_is_another_node),
        node_test(hard_links_share_one_node),
        node_test(a_forged_number_does_not_make_two_files_one),
        node_test(one_name_dropped_leaves_the_others),
        node_test(only_linked_names_are_told_as_such),
        node_test(an_unlinked_file_lives_until_it_is_forgotten),
        node_test(a_file_made_without_a_name_may_get_one),
        node_test(a_moved_name_takes_its_node_along),
        node_test(a_move_makes_an_orphan_of_what_was_there),
        node_test(an_exchange_swaps_two_names),
        node_test(the_name_that_is_preferred_is_the_one_that_a_view_has),
        node_test(an_exchange_with_a_hard_link_keeps_both_what_they_are),
        node_test(a_parent_outlives_its_children),
        node_test(a_chain_of_parents_of_any_depth_is_buried),
        node_test(the_parent_of_a_further_name_is_buried_with_it),
        node_test(a_parent_is_buried_when_its_last_child_moves_away),
        node_test(a_parent_is_buried_when_its_last_child_is_unlinked),
        node_test(a_locked_node_is_buried_when_its_lock_is_given_back),
        node_test(an_index_is_not_used_again_before_its_owner_was_told),
        node_test(memory_of_forgotten_nodes_goes_back),
        node_test(a_node_that_comes_and_goes_takes_its_memory_once),
        node_test(a_node_lock_lets_one_in_at_a_time),
        node_test(the_last_close_hands_the_backing_back),
        node_test(a_copied_up_node_is_in_the_upper_and_keeps_its_number),
        node_test(a_linked_name_is_found_without_an_entry_and_counted_once_more),
        node_test(a_node_is_looked_up_by_itself_and_from_what_is_in_it),
        node_test(what_was_given_an_attribute_is_not_found_bare_by_who_looked_before),
        node_test(what_was_found_before_a_name_moved_is_not_taken),
        node_test(of_a_directory_who_changes_it_knows_whether_others_were_told),
        node_test(of_a_file_nobody_is_told),
    };
    return cmocka_run_group_tests_name("node", tests, NULL, NULL);
}
