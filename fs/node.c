/* SPDX-License-Identifier: MIT
 *
 * Duty: the identity of files: which node a name leads to, and which a newly found entry is. The
 * invariants are those of the parts: slots.h, nodehash.h, nodetable.h.
 */
#include "node.h"

#include "brief.h"
#include "nodetable.h"

#include <string.h>

struct node_table *node_table_create(void (*freed)(void *context, uint32_t index, uint8_t tree),
                                     void *context)
{
    struct node_table *table = calloc(1, sizeof(*table));
    if (!table)
        return NULL;
    brief_init(&table->lock);
    for (int i = 0; i < NODE_LOCK_SHARDS; i++)
        pthread_cond_init(&table->unlocked[i], NULL);
    table->freed = freed;
    table->context = context;
    table->names = names_create();
    int err = slots_init(&table->slots);
    if (!err)
        err = nodehash_init(&table->hash, &table->slots, table->names);
    if (err || !table->names) {
        node_table_destroy(table);
        return NULL;
    }
    return table;
}

void node_table_destroy(struct node_table *table)
{
    if (!table)
        return;
    for (uint32_t i = 1; i < slots_end(&table->slots); i++) {
        if (slots_have(&table->slots, i))
            nodetable_release_extras(&table->slots.at[i]);
    }
    slots_finish(&table->slots);
    nodehash_finish(&table->hash);
    names_destroy(table->names);
    for (int i = 0; i < NODE_LOCK_SHARDS; i++)
        pthread_cond_destroy(&table->unlocked[i]);
    pthread_mutex_destroy(&table->lock);
    free(table);
}

void node_view_finish(struct node_view *view)
{
    sources_release(view->sources);
    filemore_release(view->more);
    view->sources = NULL;
    view->more = NULL;
}

/* ---- making ---- */

static int node_fill(struct node *node, uint8_t tree, struct entry *entry)
{
    node->ino = entry->ino;
    node->upper_ino = entry->layer == 0 ? entry->st.st_ino : 0;
    node->layer = entry->layer;
    node->tree = tree;
    node->type = (uint8_t)(entry->st.st_mode >> 12);
    node->flags =
        (unsigned)((entry->layer == 0 ? NODE_UPPER : 0) | (entry->linked ? NODE_LINKED : 0) |
                   (entry->metacopy ? NODE_METACOPY : 0) | (entry->indexed ? NODE_INDEXED : 0) |
                   (entry->impure ? NODE_IMPURE : 0) | (entry->stub ? NODE_STUB : 0) |
                   (entry->held & HELD_IMMUTABLE ? NODE_IMMUTABLE : 0) |
                   (entry->held & HELD_APPEND ? NODE_APPEND : 0));
    if (slot_is_dir(node)) {
        node->sources = steal_ptr(&entry->sources);
        return 0;
    }
    if (!entry->data.path && !entry->index_name)
        return 0;
    node->more = filemore_create(entry->data.layer, entry->data.path, entry->index_name);
    return node->more ? 0 : -ENOMEM;
}

int node_make_root(struct node_table *table, struct entry *entry)
{
    uint32_t index = slots_take(&table->slots);
    struct node *node = &table->slots.at[index];
    if (index != NODE_ROOT)
        return -EINVAL;
    node->lookups = 1;
    return node_fill(node, 0, entry);
}

/* Gives back a node that was only just made, and nobody has seen. */
static void node_unmake(struct node_table *table, uint32_t index)
{
    nodetable_release_extras(&table->slots.at[index]);
    table->in_tree[table->slots.at[index].tree]--;
    slots_give(&table->slots, index);
}

static int node_add(struct node_table *table, uint8_t tree, struct entry *entry, uint32_t *index)
{
    *index = slots_take(&table->slots);
    if (*index == NODE_NONE)
        return -ENOMEM;
    int err = node_fill(&table->slots.at[*index], tree, entry);
    if (err) {
        slots_give(&table->slots, *index);
        return err;
    }
    table->slots.at[*index].lookups = 1;
    table->in_tree[tree]++;
    return 0;
}

/* Whether a node is what the entry speaks of: the same kind and number, and the same inode where
 * both are in the upper (a forged origin must not make two files one). */
static bool node_matches(const struct node *node, uint8_t tree, const struct entry *entry)
{
    if (node->tree != tree || node->type != entry->st.st_mode >> 12 || node->ino != entry->ino)
        return false;
    return entry->layer != 0 || !(node->flags & NODE_UPPER) || node->upper_ino == entry->st.st_ino;
}

/* Whether a node that has the entry's name already is still what is there. More is forgiven than
 * above, because every change but the host's own goes through this table: a copy-up under way, or
 * one that could not keep the number, leaves the node what it was. */
static bool name_still_matches(const struct node *node, uint8_t tree, const struct entry *entry)
{
    if (node->tree != tree || node->type != entry->st.st_mode >> 12)
        return false;
    if ((node->flags & NODE_UPPER) && entry->layer == 0)
        return node->upper_ino == entry->st.st_ino;
    return node->ino == entry->ino || (node->flags & (NODE_BUSY | NODE_UPPER));
}

static bool entry_is_shared(const struct entry *entry)
{
    return !S_ISDIR(entry->st.st_mode) &&
           (entry->indexed || (entry->layer == 0 && entry->st.st_nlink > 1));
}

static uint32_t find_by_ino(struct node_table *table, uint8_t tree, const struct entry *entry)
{
    uint32_t index = nodehash_first(&table->hash, tree, entry->ino);
    while (index && !node_matches(&table->slots.at[index], tree, entry))
        index = table->slots.at[index].ino_next;
    return index;
}

/* The node that an entry's inode has already under another name, or without one: a file that is
 * open may have lost the only name that was known of it, and its last link is not told from a
 * first. */
static uint32_t find_same(struct node_table *table, uint8_t tree, const struct entry *entry)
{
    if (S_ISDIR(entry->st.st_mode) || (!entry_is_shared(entry) && entry->layer != 0))
        return NODE_NONE;
    uint32_t index = find_by_ino(table, tree, entry);
    const unsigned held = NODE_ORPHAN | NODE_UPPER;
    bool same = entry_is_shared(entry) || (table->slots.at[index].flags & held) == held;
    return index && same ? index : NODE_NONE;
}

static int add_alias(struct node_table *table, uint32_t index, uint32_t parent, const char *name,
                     bool linked)
{
    uint32_t slot = slots_take(&table->slots);
    if (slot == NODE_NONE)
        return -ENOMEM;
    struct node *alias = &table->slots.at[slot];
    alias->flags = NODE_ALIAS | (linked ? (unsigned)NODE_LINKED : 0);
    alias->target = index;
    int err = nodetable_attach(table, slot, parent, name);
    if (err) {
        slots_give(&table->slots, slot);
        return err;
    }
    alias->aliases = table->slots.at[index].aliases;
    table->slots.at[index].aliases = slot;
    return 0;
}

static int attach_any(struct node_table *table, uint32_t index, uint32_t parent, const char *name,
                      bool linked)
{
    struct node *node = &table->slots.at[index];
    if (node->name)
        return add_alias(table, index, parent, name, linked);
    int err = nodetable_attach(table, index, parent, name);
    if (!err)
        node->flags = (node->flags & ~(unsigned)(NODE_ORPHAN | NODE_LINKED)) |
                      (linked ? (unsigned)NODE_LINKED : 0);
    return err;
}

/* Forgets that (parent, name) leads to slot: something else is there now. */
static bool detach_any(struct node_table *table, uint32_t slot)
{
    struct node *entry = &table->slots.at[slot];
    if (entry->flags & NODE_ALIAS) {
        uint32_t *at = &table->slots.at[entry->target].aliases;
        while (*at != slot)
            at = &table->slots.at[*at].aliases;
        *at = entry->aliases;
        nodetable_free_alias(table, slot);
        return false;
    }
    nodetable_detach(table, slot);
    if (!entry->aliases) {
        entry->flags = (entry->flags | NODE_ORPHAN) & ~(unsigned)NODE_LINKED;
        return true;
    }
    /* An alias becomes the primary name. */
    uint32_t alias = entry->aliases;
    uint32_t parent = table->slots.at[alias].parent;
    char name[NAME_MAX + 1];
    strcpy(name, names_text(table->names, table->slots.at[alias].name));
    unsigned linked = table->slots.at[alias].flags & NODE_LINKED;
    entry->aliases = table->slots.at[alias].aliases;
    nodetable_free_alias(table, alias);
    entry->flags = (entry->flags & ~(unsigned)NODE_LINKED) | linked;
    /* The room for it was given back just now, so this cannot fail. */
    return nodetable_attach(table, slot, parent, name) != 0;
}

static int intern_locked(struct node_table *table, uint32_t parent, const char *name, uint8_t tree,
                         struct entry *entry, uint32_t *index)
{
    uint32_t slot = nodehash_find(&table->hash, parent, name);
    *index = slots_node(&table->slots, slot);
    if (slot && !name_still_matches(&table->slots.at[*index], tree, entry)) {
        /* Not made by us: the tree was changed on the host. The node there keeps living without it.
         */
        detach_any(table, slot);
        slot = NODE_NONE;
    }
    if (slot) {
        table->slots.at[*index].lookups++;
        return 0;
    }
    int err = 0;
    *index = find_same(table, tree, entry);
    if (*index) {
        err = attach_any(table, *index, parent, name, entry->linked);
        if (!err)
            table->slots.at[*index].lookups++;
        return err;
    }
    err = node_add(table, tree, entry, index);
    if (err)
        return err;
    err = nodetable_attach(table, *index, parent, name);
    if (err) {
        node_unmake(table, *index);
        return err;
    }
    if (!slot_is_dir(&table->slots.at[*index]))
        nodehash_add_ino(&table->hash, *index);
    return 0;
}

/* The lock is held, and left. */
static int intern_and_leave(struct node_table *table, uint32_t parent, const char *name,
                            uint8_t tree, struct entry *entry, uint64_t *id)
{
    uint32_t index;
    int err = intern_locked(table, parent, name, tree, entry, &index);
    if (!err)
        *id = slots_id(&table->slots, index);
    nodetable_leave(table);
    return err;
}

int node_intern(struct node_table *table, uint32_t parent, const char *name, uint8_t tree,
                struct entry *entry, uint64_t *id)
{
    nodetable_enter(table);
    return intern_and_leave(table, parent, name, tree, entry, id);
}

int node_intern_since(struct node_table *table, uint64_t moves, uint32_t parent, const char *name,
                      uint8_t tree, struct entry *entry, uint64_t *id)
{
    nodetable_enter(table);
    if (node_moves(table) == moves)
        return intern_and_leave(table, parent, name, tree, entry, id);
    nodetable_exit(table);
    return -EAGAIN;
}

int node_make_orphan(struct node_table *table, uint8_t tree, const struct entry *entry,
                     uint64_t *id)
{
    uint32_t index;
    struct entry copy = *entry;
    nodetable_enter(table);
    int err = node_add(table, tree, &copy, &index);
    if (!err) {
        table->slots.at[index].flags |= NODE_ORPHAN;
        nodehash_add_ino(&table->hash, index);
        *id = slots_id(&table->slots, index);
    }
    nodetable_exit(table);
    return err;
}

/* ---- asking ---- */

uint64_t node_moves(const struct node_table *table)
{
    return atomic_load_explicit(&table->moves, memory_order_relaxed);
}

static void fill_view(struct node_table *table, uint32_t index, struct node_view *view)
{
    struct node *node = &table->slots.at[index];
    view->id = slots_id(&table->slots, index);
    view->ino = node->ino;
    view->upper_ino = node->upper_ino;
    view->moves = node_moves(table);
    view->index = index;
    view->parent = node->parent;
    view->flags = node->flags;
    view->layer = node->layer;
    view->tree = node->tree;
    view->type = (mode_t)node->type << 12;
    view->sources = slot_is_dir(node) ? sources_hold(node->sources) : NULL;
    view->more = slot_is_dir(node) ? NULL : filemore_hold(node->more);
    view->name[0] = 0;
    if (node->name)
        strcpy(view->name, names_text(table->names, node->name));
}

int node_view(struct node_table *table, uint64_t id, struct node_view *view)
{
    view->sources = NULL;
    view->more = NULL;
    nodetable_enter(table);
    uint32_t index = slots_find(&table->slots, id);
    if (index)
        fill_view(table, index, view);
    nodetable_exit(table);
    return index ? 0 : -ESTALE;
}

int node_view_index(struct node_table *table, uint32_t index, struct node_view *view)
{
    view->sources = NULL;
    view->more = NULL;
    nodetable_enter(table);
    const bool live = slots_have(&table->slots, index);
    if (live)
        fill_view(table, index, view);
    nodetable_exit(table);
    return live ? 0 : -ESTALE;
}

int node_view_linked(struct node_table *table, uint32_t parent, const char *name,
                     struct node_view *view)
{
    view->sources = NULL;
    view->more = NULL;
    nodetable_enter(table);
    uint32_t slot = nodehash_find(&table->hash, parent, name);
    bool linked = slot && (table->slots.at[slot].flags & NODE_LINKED);
    if (linked)
        fill_view(table, slots_node(&table->slots, slot), view);
    nodetable_exit(table);
    return linked ? 0 : -ENOENT;
}

bool node_look_again(struct node_table *table, uint32_t parent, const char *name, uint64_t id)
{
    nodetable_enter(table);
    uint32_t index = slots_node(&table->slots, nodehash_find(&table->hash, parent, name));
    bool same = index && slots_id(&table->slots, index) == id;
    if (same)
        table->slots.at[index].lookups++;
    nodetable_exit(table);
    return same;
}

int node_look_itself(struct node_table *table, uint64_t id, bool above, struct node_view *view)
{
    view->sources = NULL;
    view->more = NULL;
    nodetable_enter(table);
    uint32_t index = slots_find(&table->slots, id);
    if (above && index > NODE_ROOT)
        index = table->slots.at[index].parent;
    if (index) {
        table->slots.at[index].lookups++;
        fill_view(table, index, view);
    }
    nodetable_exit(table);
    return index ? 0 : -ESTALE;
}

uint32_t node_find(struct node_table *table, uint32_t parent, const char *name)
{
    nodetable_enter(table);
    uint32_t index = slots_node(&table->slots, nodehash_find(&table->hash, parent, name));
    nodetable_exit(table);
    return index;
}

bool node_name_is_linked(struct node_table *table, uint32_t parent, const char *name)
{
    nodetable_enter(table);
    uint32_t slot = nodehash_find(&table->hash, parent, name);
    bool linked = slot && (table->slots.at[slot].flags & NODE_LINKED);
    nodetable_exit(table);
    return linked;
}

bool node_linked_name(struct node_table *table, uint32_t index, uint32_t *parent,
                      char name[NAME_MAX + 1])
{
    bool found = false;
    nodetable_enter(table);
    for (uint32_t slot = index; slot && !found; slot = table->slots.at[slot].aliases) {
        found = table->slots.at[slot].name && (table->slots.at[slot].flags & NODE_LINKED);
        if (found) {
            *parent = table->slots.at[slot].parent;
            strcpy(name, names_text(table->names, table->slots.at[slot].name));
        }
    }
    nodetable_exit(table);
    return found;
}

/* Writes the path so that it ends at `end`, and returns how long it is; not more than `room` bytes
 * are written. 0: the directory has no name. */
static size_t path_upwards(const struct node_table *table, uint32_t parent, const char *name,
                           char *end, size_t room)
{
    size_t length = 0;
    for (uint32_t at = parent; name; at = table->slots.at[at].parent) {
        size_t part = strlen(name) + 1;
        length += part;
        if (length <= room) {
            memcpy(end - length + 1, name, part - 1);
            end[-(ptrdiff_t)length] = '/';
        }
        if (at == NODE_ROOT)
            return length;
        name = at && table->slots.at[at].generation && table->slots.at[at].name
                   ? names_text(table->names, table->slots.at[at].name)
                   : NULL;
    }
    return 0;
}

char *node_path(struct node_table *table, uint32_t parent, const char *name)
{
    size_t room = 512;
    for (;;) {
        char *path = malloc(room + 1);
        if (!path)
            return NULL;
        nodetable_enter(table);
        size_t length = path_upwards(table, parent, name, path + room, room);
        nodetable_exit(table);
        if (length <= room) {
            memmove(path, path + room - length, length);
            path[length] = 0;
            return path;
        }
        free(path);
        room = 2 * length;
    }
}

uint32_t node_tree_count(struct node_table *table, uint8_t tree)
{
    nodetable_enter(table);
    uint32_t count = table->in_tree[tree];
    nodetable_exit(table);
    return count;
}

uint32_t node_tree_opens(struct node_table *table, uint8_t tree, char name[NAME_MAX + 1])
{
    uint32_t opens = 0;
    nodetable_enter(table);
    for (uint32_t i = 1; i < slots_end(&table->slots); i++) {
        const struct node *node = &table->slots.at[i];
        if (!node->generation || node->tree != tree || node->opens.count == 0)
            continue;
        if (opens++ == 0)
            strcpy(name, node->name ? names_text(table->names, node->name) : "(removed)");
    }
    nodetable_exit(table);
    return opens;
}

uint64_t node_table_count(struct node_table *table)
{
    nodetable_enter(table);
    const uint64_t used = slots_used(&table->slots);
    nodetable_exit(table);
    return used;
}

size_t node_table_name_bytes(struct node_table *table)
{
    nodetable_enter(table);
    size_t bytes = names_bytes(table->names);
    nodetable_exit(table);
    return bytes;
}

/* ---- changing ---- */

void node_forget(struct node_table *table, uint64_t id, uint64_t count)
{
    nodetable_enter(table);
    uint32_t index = slots_find(&table->slots, id);
    if (index > NODE_ROOT) {
        struct node *node = &table->slots.at[index];
        node->lookups -= count < node->lookups ? count : node->lookups;
        nodetable_let_go(table, index);
    }
    nodetable_leave(table);
}

void node_set_linked(struct node_table *table, uint32_t parent, const char *name)
{
    nodetable_enter(table);
    uint32_t slot = nodehash_find(&table->hash, parent, name);
    if (slot)
        table->slots.at[slot].flags |= NODE_LINKED;
    nodetable_exit(table);
}

int node_add_name(struct node_table *table, uint32_t index, uint32_t parent, const char *name,
                  bool linked)
{
    nodetable_enter(table);
    uint32_t slot = nodehash_find(&table->hash, parent, name);
    if (slot)
        detach_any(table, slot);
    int err = attach_any(table, index, parent, name, linked);
    nodetable_leave(table);
    return err;
}

bool node_drop_name(struct node_table *table, uint32_t parent, const char *name)
{
    nodetable_enter(table);
    atomic_fetch_add_explicit(&table->moves, 1, memory_order_relaxed);
    uint32_t slot = nodehash_find(&table->hash, parent, name);
    bool orphan = slot && detach_any(table, slot);
    nodetable_leave(table);
    return orphan;
}

/* Renames a slot in place: it keeps being primary or alias. */
static void slot_move(struct node_table *table, uint32_t slot, uint32_t parent, const char *name)
{
    nodetable_detach(table, slot);
    table->slots.at[slot].flags |= NODE_LINKED;
    if (nodetable_attach(table, slot, parent, name) != 0 &&
        !(table->slots.at[slot].flags & NODE_ALIAS))
        table->slots.at[slot].flags |= NODE_ORPHAN;
}

void node_move_name(struct node_table *table, uint32_t from, const char *from_name, uint32_t to,
                    const char *to_name)
{
    nodetable_enter(table);
    atomic_fetch_add_explicit(&table->moves, 1, memory_order_relaxed);
    uint32_t target = nodehash_find(&table->hash, to, to_name);
    if (target)
        detach_any(table, target);
    uint32_t slot = nodehash_find(&table->hash, from, from_name);
    if (slot)
        slot_move(table, slot, to, to_name);
    nodetable_leave(table);
}

void node_exchange_names(struct node_table *table, uint32_t a, const char *a_name, uint32_t b,
                         const char *b_name)
{
    nodetable_enter(table);
    atomic_fetch_add_explicit(&table->moves, 1, memory_order_relaxed);
    uint32_t a_slot = nodehash_find(&table->hash, a, a_name),
             b_slot = nodehash_find(&table->hash, b, b_name);
    if (a_slot)
        slot_move(table, a_slot, b, b_name);
    if (b_slot)
        slot_move(table, b_slot, a, a_name);
    nodetable_leave(table);
}

bool node_prefer_name(struct node_table *table, uint32_t parent, const char *name)
{
    nodetable_enter(table);
    const uint32_t slot = nodehash_find(&table->hash, parent, name);
    struct node *alias = &table->slots.at[slot];
    const bool other = slot && (alias->flags & NODE_ALIAS);
    if (other) {
        struct node *node = &table->slots.at[alias->target];
        const struct node was = *node;
        nodehash_remove_name(&table->hash, slot);
        nodehash_remove_name(&table->hash, alias->target);
        node->name = alias->name;
        node->parent = alias->parent;
        node->flags = (was.flags & ~(unsigned)NODE_LINKED) | (alias->flags & NODE_LINKED);
        alias->name = was.name;
        alias->parent = was.parent;
        alias->flags = NODE_ALIAS | (was.flags & NODE_LINKED);
        nodehash_add_name(&table->hash, slot);
        nodehash_add_name(&table->hash, alias->target);
    }
    nodetable_exit(table);
    return other;
}
