/* SPDX-License-Identifier: MIT
 *
 * Taking a mount away, as root or through fusermount3.
 */
#ifndef PLYFS_UNMOUNT_H
#define PLYFS_UNMOUNT_H

#include "own.h"
#include "store.h"

#include <stdbool.h>

/* Unmounts what is mounted on `at`; `lazy`: out of sight at once, ended when the last one has left.
 * A failure is told on stderr. */
must_check int unmount_path(const char *at, bool lazy);

/* Whether the mountpoint of a named mount shows something else here: another filesystem was mounted
 * over it, or this is not the mount namespace that it was mounted in. Its daemon tells; where that
 * does not answer, no. */
bool unmount_is_elsewhere(const struct store *store, const struct mount_row *row);

/* Unmounts a named mount, which has a mountpoint, and nothing that is there instead of it: -EBUSY.
 * A failure is told on stderr. */
must_check int unmount_named(const struct store *store, const struct mount_row *row, bool lazy);

/* Takes a mount away whose daemon is dead. Where nothing is mounted, or something that is alive,
 * nothing is done or told. */
void unmount_dead_path(const char *at);

#endif
