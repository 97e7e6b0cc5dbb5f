/* SPDX-License-Identifier: MIT
 *
 * A volume as words of a command line, and as a row of what commands tell.
 */
#ifndef PLYFS_VOLUMEWORD_H
#define PLYFS_VOLUMEWORD_H

#include "arguments.h"
#include "own.h"
#include "store.h"
#include "volumedriver.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* Words KEY=VALUE as pairs, the last one of a key counting; KEY alone has the value "". `option` is
 * how they were said, for the message about one without a key. */
must_check int volumeword_pairs(const struct words *words, const char *option,
                                struct volume_pairs *pairs);

/* Whether "KEY" or "KEY=VALUE" is true of them. */
bool volumeword_has(const struct volume_pairs *pairs, const char *wanted);

/* How many mounts refer to a volume. */
must_check int volumeword_users(const struct store *store, const struct volume_row *row,
                                unsigned *count);

/* A line of a listing: Docker's Driver, Name, Scope, Mountpoint, Labels ("k=v,k=v") and Links, and
 * CreatedAt, UsedAt, Mount, Image, Destination and Status, which is `trouble` or "". */
must_check json_t *volumeword_line(const struct store *store, const struct volume_row *row,
                                   const char *trouble);

/* What inspect tells: Docker's fields, and plyfs's own facts in Status. */
must_check json_t *volumeword_json(const struct store *store, const struct volume_row *row);

/* Its content, open to be read, and kept from being replaced or removed until the end. A failure is
 * told. */
struct volumeword_view {
    struct volume_use use;
    int tree;
};
must_check int volumeword_view_open(struct store *store, const struct volume_row *row,
                                    struct volumeword_view *view);
/* Whether it has no entry: 1 or 0, or -errno, told. "lost+found" does not count. */
must_check int volumeword_is_empty(const struct volumeword_view *view,
                                   const struct volume_row *row);
void volumeword_view_close(struct volumeword_view *view);
#define cleanup_volumeword_view cleanup(volumeword_view_close)
#define VOLUMEWORD_VIEW_NONE ((struct volumeword_view){.use = {.lock = -1}, .tree = -1})

#endif
