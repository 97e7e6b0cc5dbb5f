/* SPDX-License-Identifier: MIT
 *
 * What is noted of a node, bit by bit, and the two indices that have a meaning of their own.
 */
#ifndef PLYFS_NODEFLAG_H
#define PLYFS_NODEFLAG_H

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
    NODE_WRITTEN = 1 << 9,     /* written in passthrough: cached pages may be stale */
    NODE_UNCAPPED = 1 << 10,   /* its capabilities were removed just now: see op_setattr */
    NODE_PRIVILEGED = 1 << 11, /* setuid or capabilities were set since it was made: see op_write */
    NODE_LONELY = 1 << 12,     /* on its way out, unless somebody looks it up first */
    NODE_ROUTE = 1 << 13,      /* the root of a routed tree: route.h */
    NODE_WAY = 1 << 14,        /* a directory on the way to a route */
    NODE_STUB = 1 << 15,       /* shown for the sake of a route beneath: no layer has it yet */
    NODE_BARE = 1 << 16,       /* it showed no extended attribute, and was given none since */
    NODE_DRESSED = 1 << 17,    /* it showed some, or is being given one: it is never bare again */
    NODE_UNTOLD = 1 << 18,     /* the kernel does not keep its attributes, and never did: ahead.h */
    NODE_SAMPLE = 1 << 19,     /* it was listed, and is noted when it is read: ahead.h */
    NODE_SYNCED = 1 << 20, /* it was synced, its name with it, since its data came up: op_fsync */
    NODE_IMMUTABLE = 1 << 21, /* chattr(1) has made it so: held.h */
    NODE_APPEND = 1 << 22,    /* nothing of it is changed, but more may come: held.h */
};

#endif
