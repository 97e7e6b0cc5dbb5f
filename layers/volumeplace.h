/* SPDX-License-Identifier: MIT
 *
 * Where the content of a volume lies: in the store (STORE/volumes/NAME/_data), in a directory of
 * the host that it was given by name (the options type=none, o=bind, device=DIRECTORY), or
 * elsewhere until its driver mounts it.
 */
#ifndef PLYFS_VOLUMEPLACE_H
#define PLYFS_VOLUMEPLACE_H

#include "own.h"
#include "store.h"

enum volumeplace { VOLUMEPLACE_STORE, VOLUMEPLACE_HOST, VOLUMEPLACE_DRIVER };

enum volumeplace volumeplace_of(const struct volume_row *row);

/* What its option `size` allows in it, in bytes; 0: there is no limit. */
uint64_t volumeplace_limit(const struct volume_row *row);

/* The directory that holds its content, the caller's to free: _data, or the device of a bind.
 * -EREMOTE, not told: it is elsewhere until its driver mounts it. */
must_check int volume_content_path(const struct store *store, const struct volume_row *row,
                                   char **path);

/* The same, open: a descriptor. Of what a symlink leads to, where the device is one. */
must_check int volumeplace_open(const struct store *store, const struct volume_row *row);

#endif
