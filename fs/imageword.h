/* SPDX-License-Identifier: MIT
 *
 * An image as a word on a command line, and as a row of what commands tell.
 */
#ifndef PLYFS_IMAGEWORD_H
#define PLYFS_IMAGEWORD_H

#include "own.h"
#include "store.h"

#include <jansson.h>

/* The image that a word means: a name, an id or the beginning of one. *name is the one of its names
 * that the word is, or NULL; it belongs to the row, which is the caller's to finish, also after a
 * failure. Every failure is told on stderr. */
must_check int imageword_find(const struct store *store, const char *word, struct image_row *row,
                              const char **name);

/* What people call the image that a word means: the name that the word is, else its first name,
 * else its id. The caller's to free; NULL: there is none, or out of memory. Nothing is told. */
char *imageword_call(const struct store *store, const char *word);

/* Id, Names, Created, ImportedAt, Platform, Layers (how many), Size. NULL when out of memory. */
json_t *imageword_json(const struct image_row *row);

/* The same and what its config says: Config, History, RootFS, and the directories of the layers,
 * the topmost first, LayerPaths. */
json_t *imageword_json_fully(const struct store *store, const struct image_row *row);

#endif
