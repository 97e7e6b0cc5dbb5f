/* SPDX-License-Identifier: MIT
 *
 * A mount as data: a set of trees, the table of nodes that speak of them, and the locks. The root
 * tree is number 0; every node says which tree it is in.
 *
 * Lock order, outermost first:
 *   1. node locks (node.h): directory before file, lower index before higher among files;
 *   2. mount.names (rwlock): held shared by whoever turns a node into a path or a descriptor, for
 *      the few system calls that this takes; held exclusively while a name is moved or removed;
 *      never over a copy of data, never taken twice by one thread;
 *   3. the mutexes in the node table, the caches and the merges: leaves, nothing is taken inside.
 * All are given back before a reply is sent; after a reply nothing touches the node.
 */
#ifndef PLYFS_MOUNT_H
#define PLYFS_MOUNT_H

#include "fdcache.h"
#include "node.h"
#include "stack.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* A stack and its rules. */
struct tree {
    struct stack stack;
    bool read_only;
};

enum profile { PROFILE_AUTO, PROFILE_STATELESS, PROFILE_TRACKED };

/* What was agreed on with the kernel. */
struct rules {
    enum profile profile; /* never AUTO once serving */
    bool passthrough;
    bool writeback;
    bool acl;
    bool uring;
    double timeout; /* seconds that names and attributes are good for */
};

struct listings;

struct mount {
    struct tree *trees;
    unsigned tree_count;
    struct node_table *nodes;
    struct fdcache *fds;
    struct listings *listings;
    pthread_rwlock_t names;
    struct rules rules;
    atomic_uint gone; /* nodes that died since memory was last given back to the kernel */
    /* A request that is about to take long says so, so that another thread takes the next ones. */
    void (*will_be_slow)(void);
};

/* Makes the table, the caches and the locks. The trees are the caller's; they are opened before the
 * root node is made. A mount that was initialised is finished in every case. */
must_check int mount_init(struct mount *mount, struct tree *trees, unsigned tree_count);
must_check int mount_make_root(struct mount *mount);
void mount_finish(struct mount *mount);

/* Gives freed memory back to the kernel when at least so many nodes have died since it last did. */
enum { TRIM_BUSY = 16384, TRIM_IDLE = 512 };
void mount_trim(struct mount *mount, unsigned least);

static inline struct stack *mount_stack(struct mount *mount, const struct node_view *view)
{
    return &mount->trees[view->tree].stack;
}

static inline void names_read(struct mount *mount)
{
    pthread_rwlock_rdlock(&mount->names);
}
static inline void names_write(struct mount *mount)
{
    pthread_rwlock_wrlock(&mount->names);
}
static inline void names_end(struct mount *mount)
{
    pthread_rwlock_unlock(&mount->names);
}

#endif
