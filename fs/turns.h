/* SPDX-License-Identifier: MIT
 *
 * Turns at a directory of the upper. A copy-up puts the times of its directory back to what they
 * were just before (publish() in layers/copyup.c); whatever gave it others in between would be
 * undone, and what another copy-up took for its times then would be put back for good. So a copy-up
 * has the directory to itself for that moment. Whoever makes, links, moves or removes a name in it,
 * or sets its times, shares it with others of those. A plain tree has no copy-ups and no turns.
 */
#ifndef PLYFS_TURNS_H
#define PLYFS_TURNS_H

#include "mount.h"

void turns_init(struct turns *turns);
void turns_finish(struct turns *turns);

/* The turn at directory `index` of a tree, for somebody else to take; NULL in a plain tree. */
pthread_rwlock_t *turn_of(struct mount *mount, uint8_t tree, uint32_t index);

/* Takes it alone, or shares it, until turn_end() is called with what this returns. */
must_check pthread_rwlock_t *turn_take(struct mount *mount, uint8_t tree, uint32_t index);
must_check pthread_rwlock_t *turn_share(struct mount *mount, const struct node_view *dir);
void turn_end(pthread_rwlock_t *turn);

/* The turns at both ends of a rename. */
struct turn_ends {
    pthread_rwlock_t *first, *second;
};

must_check struct turn_ends turn_share_ends(struct mount *mount, const struct node_view *from,
                                            const struct node_view *to);
void turn_end_ends(struct turn_ends ends);

#endif
