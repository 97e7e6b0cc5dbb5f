/* SPDX-License-Identifier: MIT
 *
 * The kernel's idea of a file: a node number. The table of nodes is flat; a number is an index with
 * a generation, so a stale one is answered ESTALE; names lie in an arena beside it. What identifies
 * a node holds no pointer. What a node caches about its place on disk can be found again.
 *
 * A node has one primary name (parent and name) and, when it is hard-linked, further ones: alias
 * slots of the same table. A node without any name is an orphan: unlinked, but still held open.
 *
 * Here is which node a name leads to; what is noted of a node meanwhile is in nodestate.h.
 *
 * Locks: one mutex inside the table, held for a few instructions and never over a system call.
 */
#ifndef PLYFS_NODE_H
#define PLYFS_NODE_H

#include "entry.h"
#include "filemore.h"
#include "nodeflag.h"
#include "own.h"
#include "sources.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct node_table;

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

/* The snapshot of node `id` itself or, `above`, of the directory that it is in, which of the root
 * is the root; with one more lookup. -ESTALE when there is none. */
must_check int node_look_itself(struct node_table *table, uint64_t id, bool above,
                                struct node_view *view);

/* As node_intern() of an entry that was found after node_moves() was `moves`: -EAGAIN when a name
 * has moved since, for then it may be gone, or be that of something else. */
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

/* Makes this name of several the one by which its node is reached; false where it is that already,
 * or unknown. */
bool node_prefer_name(struct node_table *table, uint32_t parent, const char *name);

/* A name of the node that is linked in the upper, as (parent, name). False when there is none. */
bool node_linked_name(struct node_table *table, uint32_t index, uint32_t *parent,
                      char name[NAME_MAX + 1]);

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
