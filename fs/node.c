/* SPDX-License-Identifier: MIT
 *
 * Duty: the identity of files. Invariants:
 * - slot 0 is never used, slot 1 is the root;
 * - a slot in use has a generation that no other slot ever had;
 * - a slot lives while the kernel holds lookups on it, or children have it as their parent;
 * - (parent, name) leads to at most one slot; an alias slot leads on to its node (`target`);
 * - a node in the inode hash is not a directory, and its shown number is its key.
 *
 * Memory: 88 bytes a node, and its name. Chunks of 1,024 free slots go back to the kernel.
 */
#include "node.h"

#include "brief.h"
#include "hash.h"
#include "names.h"

#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

enum { CHUNK = 1024, LOCK_SHARDS = 64, HEADS_MIN = 1024 };
#define SLOTS_MAX (UINT32_C(1) << 27)

struct node {
    uint64_t ino, upper_ino, lookups;
    uint32_t generation; /* 0: free */
    uint32_t parent;
    nameref name;
    uint32_t name_next; /* chain of the name hash; of a free slot the next free one */
    union {
        uint32_t ino_next; /* chain of the inode hash */
        uint32_t told;     /* of a directory, which is in none: see node_tell(); 0: nobody */
    };
    uint32_t aliases;  /* of a node its first alias; of an alias the next one */
    uint32_t target;   /* of an alias its node; of a lonely node the next such */
    uint32_t children; /* names that have this as their parent */
    struct node_opens opens;
    uint32_t flags;
    uint16_t layer;
    uint8_t tree, type; /* type: S_IFMT >> 12 */
    union {
        struct sources *sources; /* of a directory */
        struct filemore *more;   /* of anything else */
    };
};

struct chunk {
    uint32_t used, fresh, free; /* in use; handed out in order so far; first freed slot */
};

struct heads {
    uint32_t *at;
    uint32_t count, used;
};

struct node_table {
    pthread_mutex_t lock;
    pthread_cond_t unlocked[LOCK_SHARDS];
    struct node *at;
    struct chunk *chunks;
    uint32_t chunk_count, lowest; /* no chunk below `lowest` has room */
    uint32_t spare;               /* the chunk that was emptied last; it may be in use again */
    uint32_t next_generation;
    uint32_t in_tree[UINT8_MAX + 1]; /* nodes of each tree */
    uint32_t lonely; /* nodes that nobody may hold any more, looked at before the lock is left */
    atomic_uint_least64_t moves; /* changed under the lock */
    struct names *names;
    struct heads by_name, by_ino;
    void (*freed)(void *context, uint32_t index, uint8_t tree);
    void *context;
};

/* ---- counted extras ---- */

struct filemore *filemore_create(uint16_t data_layer, const char *data_path, const char *index_name)
{
    struct filemore *more = calloc(1, sizeof(*more));
    if (!more)
        return NULL;
    atomic_init(&more->users, 1);
    more->data_layer = data_layer;
    more->data_path = data_path ? strdup(data_path) : NULL;
    more->index_name = index_name ? strdup(index_name) : NULL;
    if ((data_path && !more->data_path) || (index_name && !more->index_name)) {
        filemore_release(more);
        return NULL;
    }
    return more;
}

void filemore_release(struct filemore *more)
{
    if (!more || atomic_fetch_sub(&more->users, 1) != 1)
        return;
    free(more->data_path);
    free(more->index_name);
    free(more);
}

static struct filemore *filemore_hold(struct filemore *more)
{
    if (more)
        atomic_fetch_add(&more->users, 1);
    return more;
}

static bool is_dir(const struct node *node)
{
    return node->type == S_IFDIR >> 12;
}

void node_view_finish(struct node_view *view)
{
    sources_release(view->sources);
    filemore_release(view->more);
    view->sources = NULL;
    view->more = NULL;
}

/* ---- slots ---- */

struct node_table *node_table_create(void (*freed)(void *context, uint32_t index, uint8_t tree),
                                     void *context)
{
    struct node_table *table = calloc(1, sizeof(*table));
    if (!table)
        return NULL;
    brief_init(&table->lock);
    for (int i = 0; i < LOCK_SHARDS; i++)
        pthread_cond_init(&table->unlocked[i], NULL);
    table->freed = freed;
    table->context = context;
    table->next_generation = 1;
    table->names = names_create();
    table->chunks = calloc(SLOTS_MAX / CHUNK, sizeof(*table->chunks));
    table->by_name.at = calloc(HEADS_MIN, sizeof(uint32_t));
    table->by_ino.at = calloc(HEADS_MIN, sizeof(uint32_t));
    table->by_name.count = table->by_ino.count = HEADS_MIN;
    table->at = mmap(NULL, SLOTS_MAX * sizeof(struct node), PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (table->at == MAP_FAILED)
        table->at = NULL;
    if (!table->names || !table->chunks || !table->by_name.at || !table->by_ino.at || !table->at) {
        node_table_destroy(table);
        return NULL;
    }
    return table;
}

static void node_release_extras(struct node *node)
{
    if (is_dir(node))
        sources_release(node->sources);
    else
        filemore_release(node->more);
}

void node_table_destroy(struct node_table *table)
{
    if (!table)
        return;
    for (uint32_t i = 1; table->at && i < table->chunk_count * CHUNK; i++) {
        if (table->at[i].generation && !(table->at[i].flags & NODE_ALIAS))
            node_release_extras(&table->at[i]);
    }
    if (table->at)
        munmap(table->at, SLOTS_MAX * sizeof(struct node));
    names_destroy(table->names);
    free(table->chunks);
    free(table->by_name.at);
    free(table->by_ino.at);
    for (int i = 0; i < LOCK_SHARDS; i++)
        pthread_cond_destroy(&table->unlocked[i]);
    pthread_mutex_destroy(&table->lock);
    free(table);
}

/* A fresh slot, all zero but for its generation; NODE_NONE when there is no room. */
static uint32_t slot_take(struct node_table *table)
{
    uint32_t at = table->lowest;
    while (at < table->chunk_count && table->chunks[at].free == 0 &&
           table->chunks[at].fresh == CHUNK)
        at++;
    table->lowest = at;
    if (at == SLOTS_MAX / CHUNK)
        return NODE_NONE;
    struct chunk *chunk = &table->chunks[at];
    if (at == table->chunk_count) {
        table->chunk_count++;
        /* Slot 0 means no node. */
        *chunk = (struct chunk){.fresh = at == 0, .used = at == 0};
    }
    uint32_t index = chunk->free;
    if (index)
        chunk->free = table->at[index].name_next;
    else
        index = at * CHUNK + chunk->fresh++;
    chunk->used++;
    table->at[index] = (struct node){.generation = table->next_generation};
    if (++table->next_generation == 0)
        table->next_generation = 1;
    return index;
}

static void chunk_give_back(struct node_table *table, uint32_t at)
{
    table->chunks[at] = (struct chunk){0};
    madvise(&table->at[at * CHUNK], CHUNK * sizeof(struct node), MADV_DONTNEED);
}

/* The chunk that was emptied last keeps its memory: a node that comes and goes, as that of a
 * temporary file, would have it given back and taken again each time. */
static void slot_give(struct node_table *table, uint32_t index)
{
    uint32_t at = index / CHUNK;
    struct chunk *chunk = &table->chunks[at];
    table->at[index] = (struct node){.name_next = chunk->free};
    chunk->free = index;
    if (at < table->lowest)
        table->lowest = at;
    if (--chunk->used > 0)
        return;
    if (table->spare != at && table->chunks[table->spare].used == 0)
        chunk_give_back(table, table->spare);
    table->spare = at;
}

/* ---- the two hashes ---- */

static uint64_t name_hash(uint32_t parent, const char *name)
{
    return hash_bytes(name, strlen(name), parent);
}

static uint64_t ino_hash(uint8_t tree, uint64_t ino)
{
    return (ino + tree) * 0x9e3779b97f4a7c15u >> 24;
}

static uint32_t *name_head(struct node_table *table, uint32_t parent, const char *name)
{
    return &table->by_name.at[name_hash(parent, name) & (table->by_name.count - 1)];
}

static uint32_t *ino_head(struct node_table *table, uint8_t tree, uint64_t ino)
{
    return &table->by_ino.at[ino_hash(tree, ino) & (table->by_ino.count - 1)];
}

/* Doubles or halves a hash. Out of memory it stays as it is: slower, not wrong. */
static void heads_resize(struct node_table *table, struct heads *heads, uint32_t count)
{
    bool names = heads == &table->by_name;
    uint32_t *old = heads->at, old_count = heads->count;
    uint32_t *fresh = calloc(count, sizeof(*fresh));
    if (!fresh)
        return;
    heads->at = fresh;
    heads->count = count;
    for (uint32_t i = 0; i < old_count; i++) {
        for (uint32_t index = old[i], next; index; index = next) {
            struct node *node = &table->at[index];
            next = names ? node->name_next : node->ino_next;
            uint32_t *head =
                names ? name_head(table, node->parent, names_text(table->names, node->name))
                      : ino_head(table, node->tree, node->ino);
            *(names ? &node->name_next : &node->ino_next) = *head;
            *head = index;
        }
    }
    free(old);
}

static void heads_grown(struct node_table *table, struct heads *heads)
{
    if (++heads->used > heads->count)
        heads_resize(table, heads, heads->count * 2);
}

static void heads_shrunk(struct node_table *table, struct heads *heads)
{
    if (--heads->used < heads->count / 8 && heads->count > HEADS_MIN)
        heads_resize(table, heads, heads->count / 4);
}

static uint32_t find_slot(struct node_table *table, uint32_t parent, const char *name)
{
    uint32_t index = *name_head(table, parent, name);
    while (index && (table->at[index].parent != parent ||
                     strcmp(names_text(table->names, table->at[index].name), name) != 0))
        index = table->at[index].name_next;
    return index;
}

static uint32_t slot_node(const struct node_table *table, uint32_t slot)
{
    return slot && (table->at[slot].flags & NODE_ALIAS) ? table->at[slot].target : slot;
}

static int name_attach(struct node_table *table, uint32_t slot, uint32_t parent, const char *name)
{
    struct node *node = &table->at[slot];
    nameref ref = names_add(table->names, name);
    if (!ref)
        return -ENOMEM;
    node->name = ref;
    node->parent = parent;
    uint32_t *head = name_head(table, parent, name);
    node->name_next = *head;
    *head = slot;
    table->at[parent].children++;
    heads_grown(table, &table->by_name);
    return 0;
}

static bool node_is_held(const struct node *node)
{
    return node->lookups > 0 || node->children > 0 || (node->flags & NODE_BUSY);
}

/* To be called for a node that has just lost a lookup, a child or its lock. */
static void node_let_go(struct node_table *table, uint32_t index)
{
    struct node *node = &table->at[index];
    if (index <= NODE_ROOT || node_is_held(node) || (node->flags & NODE_LONELY))
        return;
    node->flags |= NODE_LONELY;
    node->target = table->lonely;
    table->lonely = index;
}

/* Takes a slot's name out of the hash and gives its parent up. */
static void name_detach(struct node_table *table, uint32_t slot)
{
    struct node *node = &table->at[slot];
    uint32_t *at = name_head(table, node->parent, names_text(table->names, node->name));
    while (*at != slot)
        at = &table->at[*at].name_next;
    *at = node->name_next;
    names_remove(table->names, node->name);
    table->at[node->parent].children--;
    node_let_go(table, node->parent);
    node->name = 0;
    node->parent = NODE_NONE;
    heads_shrunk(table, &table->by_name);
}

static void ino_attach(struct node_table *table, uint32_t index)
{
    struct node *node = &table->at[index];
    uint32_t *head = ino_head(table, node->tree, node->ino);
    node->ino_next = *head;
    *head = index;
    node->flags |= NODE_BY_INO;
    heads_grown(table, &table->by_ino);
}

static void ino_detach(struct node_table *table, uint32_t index)
{
    struct node *node = &table->at[index];
    if (!(node->flags & NODE_BY_INO))
        return;
    uint32_t *at = ino_head(table, node->tree, node->ino);
    while (*at != index)
        at = &table->at[*at].ino_next;
    *at = node->ino_next;
    node->flags &= ~(unsigned)NODE_BY_INO;
    heads_shrunk(table, &table->by_ino);
}

/* ---- life and death ---- */

static void alias_free(struct node_table *table, uint32_t slot)
{
    name_detach(table, slot);
    slot_give(table, slot);
}

/* Everything of a node but its slot, which nobody finds any more. */
static void node_free(struct node_table *table, uint32_t index)
{
    struct node *node = &table->at[index];
    while (node->aliases) {
        uint32_t alias = node->aliases;
        node->aliases = table->at[alias].aliases;
        alias_free(table, alias);
    }
    if (node->name)
        name_detach(table, index);
    ino_detach(table, index);
    node_release_extras(node);
    node->generation = 0;
}

/* The indices of nodes that died under the lock, to be told outside it. */
struct obituary {
    uint32_t at[64];
    uint8_t tree[64];
    unsigned count;
};

/* Frees nodes that nobody holds any more; their parents, if that was what kept them, come next. */
static unsigned bury_lonely(struct node_table *table, struct obituary *dead)
{
    dead->count = 0;
    while (table->lonely && dead->count < sizeof(dead->at) / sizeof(dead->at[0])) {
        uint32_t index = table->lonely;
        struct node *node = &table->at[index];
        table->lonely = node->target;
        node->flags &= ~(unsigned)NODE_LONELY;
        if (node_is_held(node))
            continue;
        node_free(table, index);
        dead->tree[dead->count] = node->tree;
        dead->at[dead->count++] = index;
    }
    return dead->count;
}

/* Leaves the lock, which is held. The dead are buried first, and a slot serves again only when
 * whoever keeps something by its index has been told. */
static void table_leave(struct node_table *table)
{
    struct obituary dead;
    while (bury_lonely(table, &dead) > 0) {
        pthread_mutex_unlock(&table->lock);
        for (unsigned i = 0; i < dead.count; i++)
            table->freed(table->context, dead.at[i], dead.tree[i]);
        pthread_mutex_lock(&table->lock);
        for (unsigned i = 0; i < dead.count; i++) {
            table->in_tree[dead.tree[i]]--;
            slot_give(table, dead.at[i]);
        }
    }
    pthread_mutex_unlock(&table->lock);
}

static uint64_t slot_id(const struct node_table *table, uint32_t index)
{
    return index == NODE_ROOT ? NODE_ROOT : (uint64_t)table->at[index].generation << 32 | index;
}

/* The index of a live node, or NODE_NONE. The lock is held. */
static uint32_t id_slot(const struct node_table *table, uint64_t id)
{
    uint32_t index = (uint32_t)id;
    if (index == NODE_NONE || index >= table->chunk_count * CHUNK ||
        table->at[index].generation == 0 || (table->at[index].flags & NODE_ALIAS))
        return NODE_NONE;
    return slot_id(table, index) == id ? index : NODE_NONE;
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
                   (entry->impure ? NODE_IMPURE : 0) | (entry->stub ? NODE_STUB : 0));
    if (is_dir(node)) {
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
    uint32_t index = slot_take(table);
    struct node *node = &table->at[index];
    if (index != NODE_ROOT)
        return -EINVAL;
    node->lookups = 1;
    return node_fill(node, 0, entry);
}

/* Gives back a node that was only just made, and nobody has seen. */
static void node_unmake(struct node_table *table, uint32_t index)
{
    node_release_extras(&table->at[index]);
    table->in_tree[table->at[index].tree]--;
    slot_give(table, index);
}

static int node_add(struct node_table *table, uint8_t tree, struct entry *entry, uint32_t *index)
{
    *index = slot_take(table);
    if (*index == NODE_NONE)
        return -ENOMEM;
    int err = node_fill(&table->at[*index], tree, entry);
    if (err) {
        slot_give(table, *index);
        return err;
    }
    table->at[*index].lookups = 1;
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
    uint32_t index = *ino_head(table, tree, entry->ino);
    while (index && !node_matches(&table->at[index], tree, entry))
        index = table->at[index].ino_next;
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
    bool same = entry_is_shared(entry) || (table->at[index].flags & held) == held;
    return index && same ? index : NODE_NONE;
}

static int add_alias(struct node_table *table, uint32_t index, uint32_t parent, const char *name,
                     bool linked)
{
    uint32_t slot = slot_take(table);
    if (slot == NODE_NONE)
        return -ENOMEM;
    struct node *alias = &table->at[slot];
    alias->flags = NODE_ALIAS | (linked ? (unsigned)NODE_LINKED : 0);
    alias->target = index;
    int err = name_attach(table, slot, parent, name);
    if (err) {
        slot_give(table, slot);
        return err;
    }
    alias->aliases = table->at[index].aliases;
    table->at[index].aliases = slot;
    return 0;
}

static int attach_any(struct node_table *table, uint32_t index, uint32_t parent, const char *name,
                      bool linked)
{
    struct node *node = &table->at[index];
    if (node->name)
        return add_alias(table, index, parent, name, linked);
    int err = name_attach(table, index, parent, name);
    if (!err)
        node->flags = (node->flags & ~(unsigned)(NODE_ORPHAN | NODE_LINKED)) |
                      (linked ? (unsigned)NODE_LINKED : 0);
    return err;
}

/* Forgets that (parent, name) leads to slot: something else is there now. */
static bool detach_any(struct node_table *table, uint32_t slot)
{
    struct node *entry = &table->at[slot];
    if (entry->flags & NODE_ALIAS) {
        uint32_t *at = &table->at[entry->target].aliases;
        while (*at != slot)
            at = &table->at[*at].aliases;
        *at = entry->aliases;
        alias_free(table, slot);
        return false;
    }
    name_detach(table, slot);
    if (!entry->aliases) {
        entry->flags = (entry->flags | NODE_ORPHAN) & ~(unsigned)NODE_LINKED;
        return true;
    }
    /* An alias becomes the primary name. */
    uint32_t alias = entry->aliases;
    uint32_t parent = table->at[alias].parent;
    char name[NAME_MAX + 1];
    strcpy(name, names_text(table->names, table->at[alias].name));
    unsigned linked = table->at[alias].flags & NODE_LINKED;
    entry->aliases = table->at[alias].aliases;
    alias_free(table, alias);
    entry->flags = (entry->flags & ~(unsigned)NODE_LINKED) | linked;
    /* The room for it was given back just now, so this cannot fail. */
    return name_attach(table, slot, parent, name) != 0;
}

static int intern_locked(struct node_table *table, uint32_t parent, const char *name, uint8_t tree,
                         struct entry *entry, uint32_t *index)
{
    uint32_t slot = find_slot(table, parent, name);
    *index = slot_node(table, slot);
    if (slot && !name_still_matches(&table->at[*index], tree, entry)) {
        /* Not made by us: the tree was changed on the host. The node there keeps living without it.
         */
        detach_any(table, slot);
        slot = NODE_NONE;
    }
    if (slot) {
        table->at[*index].lookups++;
        return 0;
    }
    int err = 0;
    *index = find_same(table, tree, entry);
    if (*index) {
        err = attach_any(table, *index, parent, name, entry->linked);
        if (!err)
            table->at[*index].lookups++;
        return err;
    }
    err = node_add(table, tree, entry, index);
    if (err)
        return err;
    err = name_attach(table, *index, parent, name);
    if (err) {
        node_unmake(table, *index);
        return err;
    }
    if (!is_dir(&table->at[*index]))
        ino_attach(table, *index);
    return 0;
}

/* The lock is held, and left. */
static int intern_and_leave(struct node_table *table, uint32_t parent, const char *name,
                            uint8_t tree, struct entry *entry, uint64_t *id)
{
    uint32_t index;
    int err = intern_locked(table, parent, name, tree, entry, &index);
    if (!err)
        *id = slot_id(table, index);
    table_leave(table);
    return err;
}

int node_intern(struct node_table *table, uint32_t parent, const char *name, uint8_t tree,
                struct entry *entry, uint64_t *id)
{
    pthread_mutex_lock(&table->lock);
    return intern_and_leave(table, parent, name, tree, entry, id);
}

int node_intern_since(struct node_table *table, uint64_t moves, uint32_t parent, const char *name,
                      uint8_t tree, struct entry *entry, uint64_t *id)
{
    pthread_mutex_lock(&table->lock);
    if (node_moves(table) == moves)
        return intern_and_leave(table, parent, name, tree, entry, id);
    pthread_mutex_unlock(&table->lock);
    return -EAGAIN;
}

int node_make_orphan(struct node_table *table, uint8_t tree, const struct entry *entry,
                     uint64_t *id)
{
    uint32_t index;
    struct entry copy = *entry;
    pthread_mutex_lock(&table->lock);
    int err = node_add(table, tree, &copy, &index);
    if (!err) {
        table->at[index].flags |= NODE_ORPHAN;
        ino_attach(table, index);
        *id = slot_id(table, index);
    }
    pthread_mutex_unlock(&table->lock);
    return err;
}

/* ---- asking ---- */

uint64_t node_moves(const struct node_table *table)
{
    return atomic_load_explicit(&table->moves, memory_order_relaxed);
}

static void fill_view(struct node_table *table, uint32_t index, struct node_view *view)
{
    struct node *node = &table->at[index];
    view->id = slot_id(table, index);
    view->ino = node->ino;
    view->upper_ino = node->upper_ino;
    view->moves = node_moves(table);
    view->index = index;
    view->parent = node->parent;
    view->flags = node->flags;
    view->layer = node->layer;
    view->tree = node->tree;
    view->type = (mode_t)node->type << 12;
    view->sources = is_dir(node) ? sources_hold(node->sources) : NULL;
    view->more = is_dir(node) ? NULL : filemore_hold(node->more);
    view->name[0] = 0;
    if (node->name)
        strcpy(view->name, names_text(table->names, node->name));
}

int node_view(struct node_table *table, uint64_t id, struct node_view *view)
{
    view->sources = NULL;
    view->more = NULL;
    pthread_mutex_lock(&table->lock);
    uint32_t index = id_slot(table, id);
    if (index)
        fill_view(table, index, view);
    pthread_mutex_unlock(&table->lock);
    return index ? 0 : -ESTALE;
}

int node_view_index(struct node_table *table, uint32_t index, struct node_view *view)
{
    view->sources = NULL;
    view->more = NULL;
    pthread_mutex_lock(&table->lock);
    bool live = index && index < table->chunk_count * CHUNK && table->at[index].generation &&
                !(table->at[index].flags & NODE_ALIAS);
    if (live)
        fill_view(table, index, view);
    pthread_mutex_unlock(&table->lock);
    return live ? 0 : -ESTALE;
}

int node_view_linked(struct node_table *table, uint32_t parent, const char *name,
                     struct node_view *view)
{
    view->sources = NULL;
    view->more = NULL;
    pthread_mutex_lock(&table->lock);
    uint32_t slot = find_slot(table, parent, name);
    bool linked = slot && (table->at[slot].flags & NODE_LINKED);
    if (linked)
        fill_view(table, slot_node(table, slot), view);
    pthread_mutex_unlock(&table->lock);
    return linked ? 0 : -ENOENT;
}

bool node_look_again(struct node_table *table, uint32_t parent, const char *name, uint64_t id)
{
    pthread_mutex_lock(&table->lock);
    uint32_t index = slot_node(table, find_slot(table, parent, name));
    bool same = index && slot_id(table, index) == id;
    if (same)
        table->at[index].lookups++;
    pthread_mutex_unlock(&table->lock);
    return same;
}

uint32_t node_find(struct node_table *table, uint32_t parent, const char *name)
{
    pthread_mutex_lock(&table->lock);
    uint32_t index = slot_node(table, find_slot(table, parent, name));
    pthread_mutex_unlock(&table->lock);
    return index;
}

bool node_name_is_linked(struct node_table *table, uint32_t parent, const char *name)
{
    pthread_mutex_lock(&table->lock);
    uint32_t slot = find_slot(table, parent, name);
    bool linked = slot && (table->at[slot].flags & NODE_LINKED);
    pthread_mutex_unlock(&table->lock);
    return linked;
}

bool node_linked_name(struct node_table *table, uint32_t index, uint32_t *parent,
                      char name[NAME_MAX + 1])
{
    bool found = false;
    pthread_mutex_lock(&table->lock);
    for (uint32_t slot = index; slot && !found; slot = table->at[slot].aliases) {
        found = table->at[slot].name && (table->at[slot].flags & NODE_LINKED);
        if (found) {
            *parent = table->at[slot].parent;
            strcpy(name, names_text(table->names, table->at[slot].name));
        }
    }
    pthread_mutex_unlock(&table->lock);
    return found;
}

/* Writes the path so that it ends at `end`, and returns how long it is; not more than `room` bytes
 * are written. 0: the directory has no name. */
static size_t path_upwards(const struct node_table *table, uint32_t parent, const char *name,
                           char *end, size_t room)
{
    size_t length = 0;
    for (uint32_t at = parent; name; at = table->at[at].parent) {
        size_t part = strlen(name) + 1;
        length += part;
        if (length <= room) {
            memcpy(end - length + 1, name, part - 1);
            end[-(ptrdiff_t)length] = '/';
        }
        if (at == NODE_ROOT)
            return length;
        name = at && table->at[at].generation && table->at[at].name
                   ? names_text(table->names, table->at[at].name)
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
        pthread_mutex_lock(&table->lock);
        size_t length = path_upwards(table, parent, name, path + room, room);
        pthread_mutex_unlock(&table->lock);
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
    pthread_mutex_lock(&table->lock);
    uint32_t count = table->in_tree[tree];
    pthread_mutex_unlock(&table->lock);
    return count;
}

uint32_t node_tree_opens(struct node_table *table, uint8_t tree, char name[NAME_MAX + 1])
{
    uint32_t opens = 0;
    pthread_mutex_lock(&table->lock);
    for (uint32_t i = 1; i < table->chunk_count * CHUNK; i++) {
        const struct node *node = &table->at[i];
        if (!node->generation || node->tree != tree || node->opens.count == 0)
            continue;
        if (opens++ == 0)
            strcpy(name, node->name ? names_text(table->names, node->name) : "(removed)");
    }
    pthread_mutex_unlock(&table->lock);
    return opens;
}

uint64_t node_table_count(struct node_table *table)
{
    uint64_t used = 0;
    pthread_mutex_lock(&table->lock);
    for (uint32_t i = 0; i < table->chunk_count; i++)
        used += table->chunks[i].used;
    pthread_mutex_unlock(&table->lock);
    return used - 1; /* slot 0 is none */
}

size_t node_table_name_bytes(struct node_table *table)
{
    pthread_mutex_lock(&table->lock);
    size_t bytes = names_bytes(table->names);
    pthread_mutex_unlock(&table->lock);
    return bytes;
}

/* ---- changing ---- */

void node_forget(struct node_table *table, uint64_t id, uint64_t count)
{
    pthread_mutex_lock(&table->lock);
    uint32_t index = id_slot(table, id);
    if (index > NODE_ROOT) {
        struct node *node = &table->at[index];
        node->lookups -= count < node->lookups ? count : node->lookups;
        node_let_go(table, index);
    }
    table_leave(table);
}

bool node_try_lock(struct node_table *table, uint32_t index)
{
    pthread_mutex_lock(&table->lock);
    bool taken = !(table->at[index].flags & NODE_BUSY);
    table->at[index].flags |= NODE_BUSY;
    pthread_mutex_unlock(&table->lock);
    return taken;
}

void node_lock(struct node_table *table, uint32_t index)
{
    pthread_mutex_lock(&table->lock);
    while (table->at[index].flags & NODE_BUSY)
        pthread_cond_wait(&table->unlocked[index % LOCK_SHARDS], &table->lock);
    table->at[index].flags |= NODE_BUSY;
    pthread_mutex_unlock(&table->lock);
}

void node_unlock(struct node_table *table, uint32_t index)
{
    pthread_mutex_lock(&table->lock);
    table->at[index].flags &= ~(unsigned)NODE_BUSY;
    pthread_cond_broadcast(&table->unlocked[index % LOCK_SHARDS]);
    node_let_go(table, index);
    table_leave(table);
}

void node_set_flags(struct node_table *table, uint32_t index, unsigned set, unsigned clear)
{
    pthread_mutex_lock(&table->lock);
    struct node *node = &table->at[index];
    node->flags = (node->flags | set) & ~clear;
    pthread_mutex_unlock(&table->lock);
}

bool node_flag_new(struct node_table *table, uint64_t id, unsigned flag)
{
    pthread_mutex_lock(&table->lock);
    uint32_t index = id_slot(table, id);
    bool new = index && table->at[index].lookups == 1;
    if (new)
        table->at[index].flags |= flag;
    pthread_mutex_unlock(&table->lock);
    return new;
}

bool node_has_flag(struct node_table *table, uint64_t id, unsigned flag)
{
    pthread_mutex_lock(&table->lock);
    uint32_t index = id_slot(table, id);
    bool has = index && (table->at[index].flags & flag);
    pthread_mutex_unlock(&table->lock);
    return has;
}

void node_found_bare(struct node_table *table, uint32_t index)
{
    pthread_mutex_lock(&table->lock);
    struct node *node = &table->at[index];
    if (!(node->flags & NODE_DRESSED))
        node->flags |= NODE_BARE;
    pthread_mutex_unlock(&table->lock);
}

void node_promoted(struct node_table *table, uint32_t index, unsigned set, unsigned clear,
                   uint64_t upper_ino)
{
    pthread_mutex_lock(&table->lock);
    struct node *node = &table->at[index];
    node->flags = (node->flags | set | NODE_UPPER) & ~clear;
    node->layer = 0;
    node->upper_ino = upper_ino;
    pthread_mutex_unlock(&table->lock);
}

void node_set_ino(struct node_table *table, uint32_t index, uint64_t ino)
{
    pthread_mutex_lock(&table->lock);
    bool listed = table->at[index].flags & NODE_BY_INO;
    ino_detach(table, index);
    table->at[index].ino = ino;
    if (listed)
        ino_attach(table, index);
    pthread_mutex_unlock(&table->lock);
}

void node_set_more(struct node_table *table, uint32_t index, struct filemore *more)
{
    pthread_mutex_lock(&table->lock);
    struct filemore *old = table->at[index].more;
    table->at[index].more = more;
    pthread_mutex_unlock(&table->lock);
    filemore_release(old);
}

void node_set_linked(struct node_table *table, uint32_t parent, const char *name)
{
    pthread_mutex_lock(&table->lock);
    uint32_t slot = find_slot(table, parent, name);
    if (slot)
        table->at[slot].flags |= NODE_LINKED;
    pthread_mutex_unlock(&table->lock);
}

int node_add_name(struct node_table *table, uint32_t index, uint32_t parent, const char *name,
                  bool linked)
{
    pthread_mutex_lock(&table->lock);
    uint32_t slot = find_slot(table, parent, name);
    if (slot)
        detach_any(table, slot);
    int err = attach_any(table, index, parent, name, linked);
    table_leave(table);
    return err;
}

bool node_drop_name(struct node_table *table, uint32_t parent, const char *name)
{
    pthread_mutex_lock(&table->lock);
    atomic_fetch_add_explicit(&table->moves, 1, memory_order_relaxed);
    uint32_t slot = find_slot(table, parent, name);
    bool orphan = slot && detach_any(table, slot);
    table_leave(table);
    return orphan;
}

/* Renames a slot in place: it keeps being primary or alias. */
static void slot_move(struct node_table *table, uint32_t slot, uint32_t parent, const char *name)
{
    name_detach(table, slot);
    table->at[slot].flags |= NODE_LINKED;
    if (name_attach(table, slot, parent, name) != 0 && !(table->at[slot].flags & NODE_ALIAS))
        table->at[slot].flags |= NODE_ORPHAN;
}

void node_move_name(struct node_table *table, uint32_t from, const char *from_name, uint32_t to,
                    const char *to_name)
{
    pthread_mutex_lock(&table->lock);
    atomic_fetch_add_explicit(&table->moves, 1, memory_order_relaxed);
    uint32_t target = find_slot(table, to, to_name);
    if (target)
        detach_any(table, target);
    uint32_t slot = find_slot(table, from, from_name);
    if (slot)
        slot_move(table, slot, to, to_name);
    table_leave(table);
}

void node_exchange_names(struct node_table *table, uint32_t a, const char *a_name, uint32_t b,
                         const char *b_name)
{
    pthread_mutex_lock(&table->lock);
    atomic_fetch_add_explicit(&table->moves, 1, memory_order_relaxed);
    uint32_t a_slot = find_slot(table, a, a_name), b_slot = find_slot(table, b, b_name);
    if (a_slot)
        slot_move(table, a_slot, b, b_name);
    if (b_slot)
        slot_move(table, b_slot, a, a_name);
    table_leave(table);
}

#define TOLD_SEVERAL UINT32_MAX /* or one without a number */

static uint32_t told_as(pid_t thread)
{
    return thread > 0 ? (uint32_t)thread : TOLD_SEVERAL;
}

void node_tell(struct node_table *table, uint32_t index, pid_t asker)
{
    const uint32_t who = told_as(asker);
    pthread_mutex_lock(&table->lock);
    struct node *node = &table->at[index];
    if (is_dir(node))
        node->told = node->told == 0 || node->told == who ? who : TOLD_SEVERAL;
    pthread_mutex_unlock(&table->lock);
}

uint64_t node_told_others(struct node_table *table, uint32_t index, pid_t changer)
{
    pthread_mutex_lock(&table->lock);
    struct node *node = &table->at[index];
    bool others = is_dir(node) && node->told &&
                  (node->told == TOLD_SEVERAL || node->told != told_as(changer));
    const uint64_t id = others ? slot_id(table, index) : 0;
    if (others)
        node->told = 0;
    pthread_mutex_unlock(&table->lock);
    return id;
}

struct node_opens node_opens(struct node_table *table, uint32_t index)
{
    pthread_mutex_lock(&table->lock);
    struct node_opens opens = table->at[index].opens;
    pthread_mutex_unlock(&table->lock);
    return opens;
}

void node_opened(struct node_table *table, uint32_t index, bool writes, int32_t backing)
{
    pthread_mutex_lock(&table->lock);
    table->at[index].opens.count++;
    table->at[index].opens.writers += writes;
    table->at[index].opens.backing = backing;
    pthread_mutex_unlock(&table->lock);
}

bool node_opened_again(struct node_table *table, uint32_t index, bool writes, int32_t *backing)
{
    pthread_mutex_lock(&table->lock);
    struct node_opens *opens = &table->at[index].opens;
    const bool again = opens->count > 0;
    opens->count += again;
    opens->writers += again && writes;
    *backing = again ? opens->backing : 0;
    pthread_mutex_unlock(&table->lock);
    return again;
}

int32_t node_released(struct node_table *table, uint32_t index, bool writes)
{
    int32_t closed = 0;
    pthread_mutex_lock(&table->lock);
    struct node_opens *opens = &table->at[index].opens;
    opens->writers -= writes && opens->writers > 0;
    if (opens->count > 0 && --opens->count == 0) {
        closed = opens->backing;
        opens->backing = 0;
    }
    pthread_mutex_unlock(&table->lock);
    return closed;
}
