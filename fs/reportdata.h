/* SPDX-License-Identifier: MIT
 *
 * Everything that `plyfs report` tells of a named mount, mounted or not, as one JSON object:
 *
 *   {"Generated", "Version",
 *    "Mount": as plyfs inspect tells of it,
 *    "Layers": [{"Layer": "upper" or 2, "Name", "Id", "Path", "Source" (each of them or null),
 *                "Size", "Files"}], topmost first; Size and Files null where they cannot be read,
 *    "Ledger": as in eventcolumns.h,
 *    "Volumes": [{"Destination", "Type", "Source", "ReadOnly", "Hides", "Hidden" (as shadow_words()
 *                 and shadow_json() have them), "Paths": [{"Path", "Layer", "Size"}]}]}
 *
 * where Paths are the first hundred of the files that a volume hides.
 */
#ifndef PLYFS_REPORTDATA_H
#define PLYFS_REPORTDATA_H

#include "own.h"
#include "store.h"

#include <jansson.h>

/* NULL and *err, which is told on stderr. */
must_check json_t *reportdata_gather(struct store *store, const struct mount_row *row, int *err);

#endif
