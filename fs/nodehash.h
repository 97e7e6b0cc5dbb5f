/* SPDX-License-Identifier: MIT
 *
 * By what slots are found: the name under a parent, and the inode number in a tree. Two hashes
 * whose chains lie in the slots themselves. Not locked: the node table's lock protects them.
 *
 * (parent, name) leads to at most one slot. What is found by its number is not a directory, and its
 * shown number is its key.
 */
#ifndef PLYFS_NODEHASH_H
#define PLYFS_NODEHASH_H

#include "names.h"
#include "own.h"
#include "slots.h"

#include <stdint.h>

struct heads {
    uint32_t *at;
    uint32_t count, used;
};

struct nodehash {
    struct slots *slots;
    struct names *names;
    struct heads by_name, by_ino;
};

/* Borrows both. 0 or -ENOMEM, after which nodehash_finish() is still due. */
must_check int nodehash_init(struct nodehash *hash, struct slots *slots, struct names *names);
void nodehash_finish(struct nodehash *hash);

/* The slot that (parent, name) leads to, or NODE_NONE. */
uint32_t nodehash_find(const struct nodehash *hash, uint32_t parent, const char *name);
/* The first slot that a number may lead to, or NODE_NONE; others follow it by `ino_next`. */
uint32_t nodehash_first(const struct nodehash *hash, uint8_t tree, uint64_t ino);

/* A slot by the parent and the name that it has: it is found, or found no more. */
void nodehash_add_name(struct nodehash *hash, uint32_t slot);
void nodehash_remove_name(struct nodehash *hash, uint32_t slot);

/* A node by the tree and the number that it has (NODE_BY_INO): it is found, or, if it was, no more.
 */
void nodehash_add_ino(struct nodehash *hash, uint32_t index);
void nodehash_remove_ino(struct nodehash *hash, uint32_t index);

#endif
