/* SPDX-License-Identifier: MIT
 *
 * Volumes that come to a named mount, and go, after it was made: the row in the catalog, and the
 * route where it is served now. Every failure is told on stderr.
 */
#ifndef PLYFS_ATTACH_H
#define PLYFS_ATTACH_H

#include "named.h"
#include "own.h"
#include "volumespec.h"

#include <stdbool.h>

/* Adds the one volume of `specs`, which are used up. A volume that is missing is made, and one
 * without content filled, as when a mount is made. Where the daemon cannot show it nothing stays:
 * neither the row nor a volume that was made for it. */
must_check int attach_add(struct store *store, const struct mount_row *mount,
                          struct volume_specs *specs);

/* Takes the volume at `destination` (cleaned) away; what it holds stays. -EBUSY: files under it are
 * in use; `lazy` leaves them to those who have them. */
must_check int attach_remove(struct store *store, const struct mount_row *mount,
                             const char *destination, bool lazy);

#endif
