/* SPDX-License-Identifier: MIT
 *
 * What a thread that spins for want of requests (vigil.h) does meanwhile, so that nobody who waits
 * for an answer waits for it: it closes descriptors, and makes blanks ahead of their need; and it
 * sends another thread on its errand.
 */
#ifndef PLYFS_CHORES_H
#define PLYFS_CHORES_H

#include "blank.h"
#include "errand.h"
#include "fdcache.h"
#include "tray.h"

/* All NULL: there are none. */
struct chores {
    struct fdcache *fds;
    struct tray *tray;     /* of the mount's descriptors */
    struct blanks *blanks; /* of the stage */
    struct errand *errand; /* sent by the thread that spins. Borrowed */
};

/* Makes them for the mount whose descriptors these are, which are borrowed. Out of memory there are
 * fewer. */
void chores_init(struct chores *chores, struct fdcache *fds);

/* Nobody does them any more. */
void chores_finish(struct chores *chores);

/* One thread at a time does them, from chores_begin() to chores_end(), again and again. */
void chores_begin(const struct chores *chores);
void chores_do(const struct chores *chores);
void chores_end(const struct chores *chores);

#endif
