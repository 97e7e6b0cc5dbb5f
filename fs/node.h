/* SPDX-License-Identifier: MIT
 *
 * The kernel's idea of a file: a node number. The table of nodes is flat; a number is an index with
 * a generation, so a stale one is answered ESTALE; names lie in an arena beside it. What identifies
 * a node holds no pointer. What a node caches about its place on disk can be found again.
 *
 * A node has one primary name (parent and name) and, when it is hard-linked, further ones: alias
 * slots of the same table. A node without any name is an orphan: unlinked, but still held open.
 *
 * Locks: one mutex inside the table, held for a few instructions and never over a system call.
 * Apart from it each node has a lock of its own (node_lock) for changes that take time: whoever
 * copies it up or removes it holds it. Its place in the order of locks is told in mount.h.
 */
#ifndef PLYFS_NODE_H
#define PLYFS_NODE_H

#include "entry.h"
#include "own.h"
#include "sources.h"

#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct node_table;

enum { NODE_ROOT = 1 };
#define NODE_NONE 0u

enum node_flag {
    NODE_UPPER = 1 << 0,       /* it has a part in the upper layer */
    NODE_LINKED = 1 << 1,      /* its primary name is in the upper directory */
    NODE_METACOPY = 1 << 2,    /* in the upper, but its data is still below */
    NODE_INDEXED = 1 << 3,     /* hard-linked below: in the upper it is reached through the index */
    NODE_ORPHAN = 1 << 4,      /* it has no name any more; a pinned descriptor stands for it */
    NODE_IMPURE = 1 << 5,      /* a directory marked impure */
    NODE_ALIAS = 1 << 6,       /* not a node: a further name of one */
    NODE_BUSY = 1 << 7,        /* somebody holds its lock */
    NODE_BY_INO = 1 << 8,      /* it is found by its inode number too */
    NODE_PRIVILEGED = 1 << 11, /* setuid or capabilities were set since it was made: see op_write */
    NODE_UNCAPPED = 1 << 10,   /* its capabilities were removed just now: see op_setattr */
    NODE_LONELY = 1 << 12,     /* on its way out, unless somebody looks it up first */
    NODE_WRITTEN = 1 << 9,     /* written in passthrough: cached pages may be stale */
    NODE_ROUTE = 1 << 13,      /* the root of a routed tree: route.h */
    NODE_WAY = 1 << 14,        /* a directory on the way to a route */
    NODE_STUB = 1 << 15,       /* shown for the sake of a route beneath: no layer has it yet */
    NODE_BARE = 1 << 16,       /* it showed no extended attribute, and was given none since */
    NODE_DRESSED = 1 << 17,    /* it showed some, or is being given one: it is never bare again */
    NODE_UNTOLD = 1 << 18,     /* the kernel does not keep its attributes, and never did: ahead.h */
    NODE_SAMPLE = 1 << 19,     /* it was listed, and is noted when it is read: ahead.h */
};

/* What a node that is not a directory needs beyond its layer; immutable and counted. */
struct filemore {
    atomic_uint users;
    uint16_t data_layer;
    char *data_path;  /* of a metacopy file; or NULL */
    char *index_name; /* of an indexed one; or NULL */
};
void filemore_release(struct filemore *more);

/* A snapshot of a node: a plain value that stays true to the moment it was taken. */
struct node_view {
    uint64_t id, ino;
    uint64_t upper_ino; /* the real number in the upper, where it has one there */
    uint64_t moves;     /* node_moves() then */
    uint32_t index, parent;
    uint32_t flags;
    uint16_t layer; /* of what is shown; 0 is the upper */
    uint8_t tree;
    mode_t type; /* S_IFMT bits */
    struct sources *sources;
    struct filemore *more;
    char name[NAME_MAX + 1];
};
void node_view_finish(struct node_view *view);
#define cleanup_view cleanup(node_view_finish)

static inline bool node_is(const struct node_view *view, unsigned flag)
{
    return (view->flags & flag) != 0;
}

/* The layer that the node's own inode lies in: find_spot() leads there. */
static inline unsigned node_layer(const struct node_view *view)
{
    return node_is(view, NODE_UPPER) ? 0 : view->layer;
}

/* `freed` is told the index and the tree of each node that dies, under no lock; until it returns
 * the node counts for its tree. NULL when out of memory. */
struct node_table *node_table_create(void (*freed)(void *context, uint32_t index, uint8_t tree),
                                     void *context);
void node_table_destroy(struct node_table *table);

/* Makes the root node, number 1, from its entry. Takes the entry's sources. */
must_check int node_make_root(struct node_table *table, struct entry *entry);

/* The snapshot of node `id`; -ESTALE when there is none. */
must_check int node_view(struct node_table *table, uint64_t id, struct node_view *view);

/* The same by index; -ESTALE for a free slot. */
must_check int node_view_index(struct node_table *table, uint32_t index, struct node_view *view);

/* The node of an entry found, or just made, under (parent, name), with one more lookup. Hard links
 * share one node. Takes the entry's sources and strings. */
must_check int node_intern(struct node_table *table, uint32_t parent, const char *name,
                           uint8_t tree, struct entry *entry, uint64_t *id);

/* The snapshot of the node that (parent, name), a link in the upper directory, leads to; -ENOENT
 * when no such name is known. */
must_check int node_view_linked(struct node_table *table, uint32_t parent, const char *name,
                                struct node_view *view);
/* One more lookup of node `id`, if (parent, name) still leads to it. */
must_check bool node_look_again(struct node_table *table, uint32_t parent, const char *name,
                                uint64_t id);

/* The same of an entry that was found after node_moves() was `moves`: -EAGAIN when a name has moved
 * since, for then it may be gone, or be that of something else. */
must_check int node_intern_since(struct node_table *table, uint64_t moves, uint32_t parent,
                                 const char *name, uint8_t tree, struct entry *entry, uint64_t *id);

/* How often a name was taken from a node. As long as this stays as it is a view's parent and name
 * lead to its node. */
uint64_t node_moves(const struct node_table *table);

/* Makes a node without a name (O_TMPFILE), with one lookup. */
must_check int node_make_orphan(struct node_table *table, uint8_t tree, const struct entry *entry,
                                uint64_t *id);

/* The index of the node that (parent, name) leads to, or NODE_NONE. */
uint32_t node_find(struct node_table *table, uint32_t parent, const char *name);

/* The kernel gives back `count` lookups. */
void node_forget(struct node_table *table, uint64_t id, uint64_t count);

/* Waits for and takes, or gives back, a node's own lock. */
void node_lock(struct node_table *table, uint32_t index);
void node_unlock(struct node_table *table, uint32_t index);
/* Takes it if that needs no waiting. */
must_check bool node_try_lock(struct node_table *table, uint32_t index);

/* The node is in the upper now: `set` and `clear` are flags, real is its inode number there. */
void node_promoted(struct node_table *table, uint32_t index, unsigned set, unsigned clear,
                   uint64_t upper_ino);
/* The node is shown under another inode number from now on. */
void node_set_ino(struct node_table *table, uint32_t index, uint64_t ino);
void node_set_flags(struct node_table *table, uint32_t index, unsigned set, unsigned clear);

/* Sets a flag of a node that the kernel has been told of by nothing but the lookup that is being
 * answered; false where it may know of it by another. */
must_check bool node_flag_new(struct node_table *table, uint64_t id, unsigned flag);
/* Whether node `id` is there and has that flag now. */
must_check bool node_has_flag(struct node_table *table, uint64_t id, unsigned flag);

/* It shows no extended attribute: NODE_BARE, unless it is NODE_DRESSED by now. */
void node_found_bare(struct node_table *table, uint32_t index);

/* Replaces what a file keeps beyond its layer (takes the reference; NULL clears it), or the sources
 * of a directory. */
void node_set_more(struct node_table *table, uint32_t index, struct filemore *more);
struct filemore *filemore_create(uint16_t data_layer, const char *data_path,
                                 const char *index_name);

/* The name (parent, name) of a node is linked in the upper directory now. */
void node_set_linked(struct node_table *table, uint32_t parent, const char *name);
bool node_name_is_linked(struct node_table *table, uint32_t parent, const char *name);

/* Gives the node a further name. */
must_check int node_add_name(struct node_table *table, uint32_t index, uint32_t parent,
                             const char *name, bool linked);

/* Takes the name away; true when the node has no name left and is an orphan now. */
bool node_drop_name(struct node_table *table, uint32_t parent, const char *name);

/* Moves, or exchanges, names. All of them are in the upper. */
void node_move_name(struct node_table *table, uint32_t from, const char *from_name, uint32_t to,
                    const char *to_name);
void node_exchange_names(struct node_table *table, uint32_t a, const char *a_name, uint32_t b,
                         const char *b_name);

/* A name of the node that is linked in the upper, as (parent, name). False when there is none. */
bool node_linked_name(struct node_table *table, uint32_t index, uint32_t *parent,
                      char name[NAME_MAX + 1]);

/* Of a directory: thread `asker`, by the kernel's number (0: it has none here), is told of it. */
void node_tell(struct node_table *table, uint32_t index, pid_t asker);
/* The number of a directory's node, if anybody but thread `changer` was told of it since this was
 * asked the last time and was so; else 0. */
must_check uint64_t node_told_others(struct node_table *table, uint32_t index, pid_t changer);

/* Opens, in the tracked profile only. All opens of a node at one time are of one kind: passthrough
 * with one backing id (> 0), or cached (0). The kernel holds the same rule (fs/fuse/iomode.c). */
struct node_opens {
    uint32_t count;
    uint32_t writers; /* of them, those that may write */
    int32_t backing;
};
struct node_opens node_opens(struct node_table *table, uint32_t index);
void node_opened(struct node_table *table, uint32_t index, bool writes, int32_t backing);
/* One more open of a node that is open already, and its backing; false, and nothing done, where it
 * is not. */
must_check bool node_opened_again(struct node_table *table, uint32_t index, bool writes,
                                  int32_t *backing);
/* One open less; returns the backing id that is to be closed now, or 0. */
int32_t node_released(struct node_table *table, uint32_t index, bool writes);

/* The path from the root to `name` in the directory `parent`, as it is now: "/etc/passwd"; "" when
 * the directory has lost its own name, or is none. The caller's to free; NULL when out of memory.
 */
char *node_path(struct node_table *table, uint32_t parent, const char *name);

/* How many nodes speak of a tree. */
uint32_t node_tree_count(struct node_table *table, uint8_t tree);

/* How many of them are open (tracked profile), and the name of one that is. */
uint32_t node_tree_opens(struct node_table *table, uint8_t tree, char name[NAME_MAX + 1]);

/* How many nodes there are, the root and all further names included. */
uint64_t node_table_count(struct node_table *table);

/* Bytes of memory that their names take. */
size_t node_table_name_bytes(struct node_table *table);

#endif
