/* SPDX-License-Identifier: MIT
 *
 * The volumes of one mount, as a list of rows with one for each destination, in the order in which
 * they are mounted.
 */
#ifndef PLYFS_VOLUMEROWS_H
#define PLYFS_VOLUMEROWS_H

#include "own.h"
#include "store.h"

#include <jansson.h>
#include <stdbool.h>

struct volume_rows {
    struct mount_volume_row *at;
    unsigned count;
    bool refused; /* what was asked of them makes no sense: told, and nothing was made */
};
void volume_rows_finish(struct volume_rows *rows);
#define cleanup_volume_rows cleanup(volume_rows_finish)

/* The row of a destination (cleaned), or NULL. */
struct mount_volume_row *volume_rows_find(const struct volume_rows *rows, const char *destination);

/* Puts a row in its place, and takes it over: the one that had its destination goes. */
must_check int volume_rows_put(struct volume_rows *rows, struct mount_volume_row *row);

/* Takes a row out. */
void volume_rows_remove(struct volume_rows *rows, unsigned index);

/* A row of its own with the same content. */
must_check int volume_rows_copy(const struct mount_volume_row *from, struct mount_volume_row *to);

/* Those that the catalog has of the mount `id`; the list is the caller's to finish, also after a
 * failure, which is told on stderr. */
must_check int volume_rows_load(struct store *store, const char *id, struct volume_rows *rows);

/* What inspect tells of them: an array of objects with Type, Name, Source, Destination, Driver,
 * Mode, RW and Propagation, as of a container's mounts. NULL when out of memory. */
json_t *volume_rows_json(struct store *store, const struct volume_rows *rows);

#endif
