/* SPDX-License-Identifier: MIT
 *
 * The volumes that the daemon of a named mount has in use, from before it serves until nothing of
 * them is open any more. Failures are told on stderr.
 */
#ifndef PLYFS_INUSE_H
#define PLYFS_INUSE_H

#include "own.h"
#include "routes.h"
#include "store.h"

struct inuse_item;

struct inuse {
    struct inuse_item *first;
};

/* Takes all volumes of the mount into use, and adds what is to be routed to `wishes`. On failure
 * those that were are released. */
must_check int inuse_begin(struct store *store, const struct mount_row *row, struct inuse *inuse,
                           struct route_wishes *wishes);

/* The same of the one at `destination`. */
must_check int inuse_add(struct store *store, const struct mount_row *row, const char *destination,
                         struct inuse *inuse, struct route_wish *wish);

/* The end of one; of all. */
void inuse_drop(struct inuse *inuse, const char *destination);
void inuse_end(struct inuse *inuse);

#endif
