/* SPDX-License-Identifier: MIT
 *
 * Which filesystem a path is in, without asking that filesystem anything: a daemon may ask it of
 * its own mount before it serves, and anybody of a mount whose daemon hangs.
 */
#ifndef PLYFS_MOUNTINFO_H
#define PLYFS_MOUNTINFO_H

#include "own.h"

#include <stdbool.h>
#include <sys/types.h>

/* The number of the filesystem's device, as st_dev. 0 or -errno. */
must_check int mountinfo_device(const char *path, dev_t *device);

/* Whose daemon serves a FUSE filesystem, as the kernel tells it. -ENOENT: it is none, or is not
 * mounted in this mount namespace. */
must_check int mountinfo_fuse_owner(dev_t device, uid_t *owner);

/* Where `real`, an absolute path without symlinks, is in the filesystem of that device: its path
 * from the filesystem's root, with a slash in front; the caller's. -ENOENT: it is not in it. */
must_check int mountinfo_inside(const char *real, dev_t device, char **inside);

/* Marks which of the directories have something mounted beneath them: absolute paths without
 * symlinks, or NULL. Where it cannot be told, none. */
void mountinfo_crossed(char *const *directories, unsigned count, bool *crossed);

/* Whether the filesystem is mounted in this mount namespace, and nowhere in it as a shared mount:
 * what is done to it here is done to no other namespace (the field "shared:N", proc(5)). */
bool mountinfo_is_private(dev_t device);

#endif
