/* SPDX-License-Identifier: MIT
 *
 * Which named mount a path of the host lies in.
 */
#ifndef PLYFS_MOUNTOF_H
#define PLYFS_MOUNTOF_H

#include "own.h"
#include "store.h"

/* The path from the root of the host, by where this process is: the caller's, or NULL. */
char *mountof_absolute(const char *path);

/* Finds the mount, by the mountpoints of the catalog, that a prefix of `path` is in: *inside (the
 * caller's) is the rest, with a slash in front, as it was said. Symlinks before the mountpoint are
 * followed, those in the mount are not. -ENOENT: it lies in none. */
must_check int mountof_find(struct store *store, const char *path, struct mount_row *row,
                            char **inside);

#endif
