/* SPDX-License-Identifier: MIT
 *
 * A file that may grow in a tree with a limit (quota.h): what it may need is taken before, and what
 * it did not need is given back after. Without a limit nothing happens, at no cost.
 */
#ifndef PLYFS_GROWTH_H
#define PLYFS_GROWTH_H

#include "mount.h"
#include "own.h"

#include <sys/types.h>

struct growth {
    bool locked;         /* to be set before: the node's lock is held by the caller */
    struct quota *quota; /* NULL: there is no limit */
    uint32_t index;
    uint64_t before, taken; /* bytes */
    bool held;              /* the file has no name any more */
    off_t size;             /* of the file, before */
};

/* The file of node `ino`, open at `fd`, is about to end at `end`, or, by `more` (end is ignored
 * then), that much behind its end. *most is where it may end: less than asked when there is not so
 * much room. The node's lock is held until growth_end(), which is to be called in every case, or,
 * where it was held before, beyond that. */
must_check int growth_begin(struct mount *mount, uint64_t ino, int fd, off_t end, size_t more,
                            off_t *most, struct growth *growth);
void growth_end(struct mount *mount, int fd, const struct growth *growth);

/* The file has lost its last name, or, `again`, has one once more. */
void growth_unnamed(struct mount *mount, uint8_t tree, int fd, bool again);

#endif
