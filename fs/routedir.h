/* SPDX-License-Identifier: MIT
 *
 * What a route of a named mount shows, on the host and without the mount.
 */
#ifndef PLYFS_ROUTEDIR_H
#define PLYFS_ROUTEDIR_H

#include "own.h"
#include "store.h"

/* Opens what is routed: an O_PATH descriptor of a directory or a file. -ENXIO: nothing on the host
 * (a tmpfs, the tree of an image); -EREMOTE: a plug-in has it. Nothing else is told on stderr than
 * that a volume's row is missing. */
must_check int routedir_open(struct store *store, const struct mount_volume_row *route);

#endif
