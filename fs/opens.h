/* SPDX-License-Identifier: MIT
 *
 * How a node is open, in the tracked profile only: a plain value, which the node table's lock
 * protects. All opens of a node at one time are of one kind: passthrough with one backing id (> 0),
 * or cached (0). The kernel holds the same rule (fs/fuse/iomode.c).
 */
#ifndef PLYFS_OPENS_H
#define PLYFS_OPENS_H

#include "own.h"

#include <stdbool.h>
#include <stdint.h>

struct node_opens {
    uint32_t count;
    uint32_t writers; /* of them, those that may write */
    int32_t backing;
};

static inline void opens_add(struct node_opens *opens, bool writes, int32_t backing)
{
    opens->count++;
    opens->writers += writes;
    opens->backing = backing;
}

/* One open less; returns the backing id that is to be closed now, or 0. */
static inline must_check int32_t opens_remove(struct node_opens *opens, bool writes)
{
    const bool was_last = opens->count == 1;
    const int32_t closed = was_last ? opens->backing : 0;
    opens->writers -= writes && opens->writers > 0;
    opens->count -= opens->count > 0;
    if (was_last)
        opens->backing = 0;
    return closed;
}

#endif
