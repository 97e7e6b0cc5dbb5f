/* SPDX-License-Identifier: MIT
 *
 * New content for a volume that is there: what volume_fill(), volume_replace() and volume_reseed()
 * have in common. For the files that implement volume.h.
 */
#ifndef PLYFS_VOLUMECHANGE_H
#define PLYFS_VOLUMECHANGE_H

#include "own.h"
#include "store.h"
#include "volumemake.h"

#include <stdbool.h>

/* Makes the content and puts it in the place of the old; the record of what was copied goes into
 * `row`, which is written. `only_empty`: only a volume that holds nothing ("lost+found" does not
 * count) gets any, if there is any to get; then 1 says that it did, 0 that it did not. -EBUSY (not
 * told): it is in use. -EREMOTE: its content is elsewhere. */
must_check int volumechange_put(struct store *store, struct volumemake *make,
                                struct volume_row *row, bool only_empty);

#endif
