/* SPDX-License-Identifier: MIT
 *
 * A named mount as JSON, for listings and for inspect.
 */
#ifndef PLYFS_DESCRIBE_H
#define PLYFS_DESCRIBE_H

#include "named.h"
#include "own.h"

#include <jansson.h>

/* One line of `plyfs ps`: Id, Name, Image, State, Mountpoint, MountedAt, CreatedAt, Size (of the
 * upper), Ephemeral. NULL and *err. */
must_check json_t *describe_mount(struct store *store, const struct mount_row *row, int *err);

/* The same and what only inspect tells: Layers, UpperDir, WorkDir, ImageId, Options, Pid, Mounts,
 * and Served: what its daemon says of itself (control.h), or null. */
must_check json_t *describe_mount_fully(struct store *store, const struct mount_row *row, int *err);

#endif
