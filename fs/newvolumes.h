/* SPDX-License-Identifier: MIT
 *
 * The volumes of a mount that is being made: each is looked at against what the mount's layers show
 * at its destination, new ones are made in the mount's own stage, with what the layers have there,
 * and all of them come into the catalog with the mount or not at all. A volume that is there
 * already, and empty, gets its first content before; that is its alone, and stays.
 *
 * newvolumes_stage(), then inside store_publishing() and a transaction newvolumes_publish(); if it
 * came to nothing newvolumes_discard(), after the transaction is rolled back; newvolumes_finish()
 * in the end. Failures are told on stderr, but -EEXIST of newvolumes_publish().
 */
#ifndef PLYFS_NEWVOLUMES_H
#define PLYFS_NEWVOLUMES_H

#include "own.h"
#include "stack.h"
#include "volume.h"
#include "volumerows.h"

struct newvolumes {
    struct store *store;
    struct volume_rows *rows;      /* borrowed; those of new anonymous volumes get their names */
    const struct mount_row *mount; /* borrowed, as is what follows */
    const char *image;             /* the word that its image was asked for with; or NULL */
    const struct stack *layers;    /* the mount's, without an upper */
    struct volume_staged *at;
    unsigned count;
    unsigned published;
    char *image_name; /* what the volumes keep of the mount's image */
    bool told;        /* a failure of these functions was told */
};

/* -EINVAL, told on stderr, where a mount cannot show so many volumes. */
must_check int newvolumes_check_count(unsigned count);

must_check int newvolumes_stage(struct newvolumes *volumes, struct stage *stage);
/* -EEXIST: somebody made one of these volumes meanwhile. */
must_check int newvolumes_publish(struct newvolumes *volumes, struct stage *stage);
void newvolumes_discard(struct newvolumes *volumes);
void newvolumes_finish(struct newvolumes *volumes);

/* Says on stderr what the volumes hide of the layers, where a directory of the host has another
 * owner or mode than the one it hides, and what of the host cannot be used through the mount. */
void newvolumes_tell(const struct newvolumes *volumes);

#endif
