/* SPDX-License-Identifier: MIT
 *
 * Duty: `plyfs inspect`.
 */
#include "command.h"

#include "arguments.h"
#include "describe.h"
#include "named.h"
#include "report.h"

struct wishes {
    const char *root, *format;
    struct words words;
};

static const struct argument TABLE[] = {
    ARGUMENT_ROOT(struct wishes, root),
    {.name = "format",
     .kind = ARGUMENT_STRING,
     .at = offsetof(struct wishes, format),
     .value = "FORM",
     .help = "json, or '{{.Field}} ...' for each"},
};

static const struct syntax SYNTAX = {
    .command = "inspect",
    .words = "MOUNT...",
    .least = 1,
    .most = ARGUMENTS_ANY,
    .words_at = offsetof(struct wishes, words),
    ARGUMENTS(TABLE),
    .about = "Tells everything about named mounts, as a JSON array.\n",
    .example = "plyfs inspect --format '{{.State}} {{.UpperDir}}' web",
};

static int inspect_one(void *context, const char *word, json_t *found)
{
    struct store *store = context;
    cleanup_mount_row struct mount_row row = {0};
    int err = named_find(store, word, false, &row);
    json_t *line = err ? NULL : describe_mount_fully(store, &row, &err);
    if (line && json_array_append_new(found, line) != 0)
        err = -ENOMEM;
    return err;
}

static int inspect(const struct wishes *wishes)
{
    cleanup_store struct store *store = NULL;
    int err = named_open_store(wishes->root, false, &store);
    return err ? err : report_words(&wishes->words, wishes->format, inspect_one, store);
}

static int run_inspect(int argc, char **argv)
{
    struct wishes wishes = {0};
    int err = arguments_parse(&SYNTAX, argc, argv, &wishes);
    if (!err)
        err = inspect(&wishes);
    arguments_finish(&SYNTAX, &wishes);
    return err < 0 ? 1 : 0;
}

const struct command command_inspect = {
    .name = "inspect",
    .summary = "tell everything about a named mount",
    .run = run_inspect,
};
