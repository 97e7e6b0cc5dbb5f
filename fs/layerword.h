/* SPDX-License-Identifier: MIT
 *
 * A layer as a word on a command line, and as a row of what commands tell.
 */
#ifndef PLYFS_LAYERWORD_H
#define PLYFS_LAYERWORD_H

#include "own.h"
#include "store.h"

#include <jansson.h>

/* The layer that a word means: a name, an id or the beginning of one. Every failure is told on
 * stderr. The row is the caller's to finish, also after a failure. */
must_check int layerword_find(const struct store *store, const char *word, struct layer_row *row);

/* Whether a layer may have that name: 0, or -EINVAL with a message. */
must_check int layerword_check_name(const char *name);

/* Opens the layer's directory, and in it the one that it shows. A failure is told. */
must_check int layerword_open(const struct store *store, const struct layer_row *row, int *books,
                              int *tree);

/* Id, Name, DiffID, Created, Source, Files, Size, TarSize, Path. NULL when out of memory. */
json_t *layerword_json(const struct store *store, const struct layer_row *row);

#endif
