/* SPDX-License-Identifier: MIT
 *
 * What --format may say besides its fixed words: text with {{.Field}}, {{.Field.Part}}, {{json .}}
 * and {{json .Field}} in it. \t and \n in the text are a tab and a new line.
 */
#ifndef PLYFS_TEMPLATE_H
#define PLYFS_TEMPLATE_H

#include "own.h"

#include <jansson.h>
#include <stdbool.h>

struct template_piece {
    char *text; /* as it is, or for a field its path without the first dot: "A.B", "" for all */
    bool field;
    bool json; /* a field as JSON, whatever it is */
};

struct template
{
    struct template_piece *pieces;
    unsigned count;
};

/* -EINVAL with a message on stderr, or -ENOMEM; there is nothing to finish then. */
must_check int template_parse(const char *text, struct template *template);
void template_finish(struct template *template);
#define cleanup_template cleanup(template_finish)

/* What a path names in an object, and NULL where there is nothing of that name. Borrowed. */
const json_t *template_find(const json_t *object, const char *path);

/* Whether `name` is the first part of `path`. */
bool template_begins(const char *path, const char *name);

#endif
