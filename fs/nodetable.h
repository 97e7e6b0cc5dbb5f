/* SPDX-License-Identifier: MIT
 *
 * The table of nodes, as the modules that work on it see it (node.h, nodestate.h): its lock, the
 * names by which its slots hang together, and how a node dies. Everybody else knows the struct by
 * name alone.
 *
 * A node lives while the kernel holds lookups on it, names have it as their parent, or somebody has
 * its lock. Whoever may have taken the last of these away says so (nodetable_let_go), and the dead
 * are buried when the table is left.
 */
#ifndef PLYFS_NODETABLE_H
#define PLYFS_NODETABLE_H

#include "names.h"
#include "nodehash.h"
#include "own.h"
#include "slots.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

enum { NODE_LOCK_SHARDS = 64 };

struct node_table {
    pthread_mutex_t lock;
    pthread_cond_t unlocked[NODE_LOCK_SHARDS]; /* a node's own lock was given back */
    struct slots slots;
    struct names *names;
    struct nodehash hash;
    uint32_t in_tree[UINT8_MAX + 1]; /* nodes of each tree */
    uint32_t lonely; /* nodes that nobody may hold any more, looked at before the lock is left */
    atomic_uint_least64_t moves; /* changed under the lock */
    void (*freed)(void *context, uint32_t index, uint8_t tree);
    void *context;
};

/* Under the lock, held for a few instructions and never over a system call. */
static inline void nodetable_enter(struct node_table *table)
{
    pthread_mutex_lock(&table->lock);
}

/* Leaves it as it was entered, after a look or a change that let nothing go. */
static inline void nodetable_exit(struct node_table *table)
{
    pthread_mutex_unlock(&table->lock);
}

/* Leaves it after a change: the dead are buried first, and a slot serves again only when whoever
 * keeps something by its index has been told. */
void nodetable_leave(struct node_table *table);

/* Gives a slot its name and its parent one more. 0 or -ENOMEM. */
must_check int nodetable_attach(struct node_table *table, uint32_t slot, uint32_t parent,
                                const char *name);
/* Takes both away again. */
void nodetable_detach(struct node_table *table, uint32_t slot);
/* The same of an alias, whose slot that is the end of. */
void nodetable_free_alias(struct node_table *table, uint32_t slot);

/* To be called for a node that has just lost a lookup, a child or its lock. */
void nodetable_let_go(struct node_table *table, uint32_t index);

/* What a node holds by a pointer is given back. */
void nodetable_release_extras(struct node *node);

#endif
