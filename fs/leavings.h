/* SPDX-License-Identifier: MIT
 *
 * The anonymous volumes of mounts that go: they are noted while the mounts have their rows, and
 * removed when those are gone. Who dies in between leaves volumes that `plyfs volume prune` takes.
 */
#ifndef PLYFS_LEAVINGS_H
#define PLYFS_LEAVINGS_H

#include "own.h"
#include "store.h"

/* All zero: none. */
struct leavings {
    char **names;
    unsigned count;
};
void leavings_finish(struct leavings *leavings);
#define cleanup_leavings cleanup(leavings_finish)

/* Notes those of the mount with this id. A failure is told. */
must_check int leavings_note(struct leavings *leavings, struct store *store, const char *mount);

/* Removes what no other mount has; of what another has nothing is said. What cannot be removed is
 * told, and stays. */
void leavings_remove(const struct leavings *leavings, struct store *store);

#endif
