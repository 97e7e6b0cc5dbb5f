/* SPDX-License-Identifier: MIT
 *
 * Duty: `plyfs volume`: its commands, and those of them that are one call.
 */
#include "command.h"

#include "arguments.h"
#include "log.h"
#include "named.h"
#include "progress.h"
#include "report.h"
#include "volume.h"
#include "volumeword.h"

#include <stdio.h>
#include <string.h>

struct wishes {
    const char *root, *format;
    bool force;
    struct words words;
};

/* ---- inspect ---- */

static const struct argument INSPECT_ARGUMENTS[] = {
    {.name = "format",
     .letter = 'f',
     .kind = ARGUMENT_STRING,
     .at = offsetof(struct wishes, format),
     .value = "FORM",
     .help = "json, or '{{.Field}} ...' for each"},
    ARGUMENT_ROOT(struct wishes, root),
};

static const struct syntax INSPECT = {
    .command = "volume inspect",
    .words = "VOLUME...",
    .least = 1,
    .most = ARGUMENTS_ANY,
    .words_at = offsetof(struct wishes, words),
    ARGUMENTS(INSPECT_ARGUMENTS),
    .about = "Tells everything about volumes, as a JSON array.\n",
    .example = "plyfs volume inspect --format '{{.Mountpoint}}' data",
};

static int inspect_one(void *context, const char *word, json_t *found)
{
    const struct store *store = context;
    cleanup_volume_row struct volume_row row = {0};
    int err = volume_find(context, word, false, &row);
    if (!err && json_array_append_new(found, volumeword_json(store, &row)) != 0)
        err = -ENOMEM;
    return err;
}

static int run_inspect(int argc, char **argv)
{
    struct wishes wishes = {0};
    cleanup_store struct store *store = NULL;
    int err = arguments_parse(&INSPECT, argc, argv, &wishes);
    if (!err)
        err = named_open_store(wishes.root, true, &store);
    if (!err)
        err = report_words(&wishes.words, wishes.format, inspect_one, store);
    arguments_finish(&INSPECT, &wishes);
    return err < 0;
}

/* ---- rm ---- */

static const struct argument RM_ARGUMENTS[] = {
    {.name = "force",
     .letter = 'f',
     .kind = ARGUMENT_FLAG,
     .at = offsetof(struct wishes, force),
     .help = "one that is not there is no error"},
    ARGUMENT_ROOT(struct wishes, root),
};

static const struct syntax RM = {
    .command = "volume rm",
    .words = "VOLUME...",
    .least = 1,
    .most = ARGUMENTS_ANY,
    .words_at = offsetof(struct wishes, words),
    ARGUMENTS(RM_ARGUMENTS),
    .about = "Removes volumes and all that they hold. One that a mount refers to stays, also with\n"
             "-f: remove the mount first.\n",
    .example = "plyfs volume rm data",
};

static int remove_one(struct store *store, const char *word, bool force)
{
    cleanup_volume_row struct volume_row row = {0};
    int err = volume_find(store, word, force, &row);
    bool found = !err;
    if (found)
        err = volume_remove(store, &row, false);
    if (err == -ENOENT && force)
        err = 0;
    else if (err == -ENOENT && found)
        log_error("get %s: no such volume", word);
    return !err && printf("%s\n", word) < 0 ? -EIO : err;
}

static int run_rm(int argc, char **argv)
{
    struct wishes wishes = {0};
    cleanup_store struct store *store = NULL;
    int err = arguments_parse(&RM, argc, argv, &wishes);
    if (!err)
        err = named_open_store(wishes.root, true, &store);
    bool failed = err < 0;
    for (unsigned i = 0; !err && i < wishes.words.count; i++)
        failed |= remove_one(store, wishes.words.at[i], wishes.force) != 0;
    arguments_finish(&RM, &wishes);
    return failed;
}

/* ---- rename and clone ---- */

static const struct argument ROOT_ARGUMENT[] = {
    ARGUMENT_ROOT(struct wishes, root),
};

static const struct syntax RENAME = {
    .command = "volume rename",
    .words = "VOLUME NAME",
    .least = 2,
    .most = 2,
    .words_at = offsetof(struct wishes, words),
    ARGUMENTS(ROOT_ARGUMENT),
    .about = "Gives a volume another name. Mounts that refer to it follow; it must not be mounted\n"
             "now, and only the driver local can do it.\n",
    .example = "plyfs volume rename 3f1c0b... data",
};

static const struct syntax CLONE = {
    .command = "volume clone",
    .words = "VOLUME NAME",
    .least = 2,
    .most = 2,
    .words_at = offsetof(struct wishes, words),
    ARGUMENTS(ROOT_ARGUMENT),
    .about = "Makes a new volume with the same content, options and labels, and prints its name.\n",
    .example = "plyfs volume clone data data-before-upgrade",
};

static int rename_volume(struct store *store, const char *word, const char *name)
{
    cleanup_volume_row struct volume_row row = {0};
    int err = volume_find(store, word, false, &row);
    return err ? err : volume_rename(store, &row, name);
}

static int clone_volume(struct store *store, const char *word, const char *name)
{
    cleanup_volume_row struct volume_row row = {0};
    uint64_t bytes, names;
    int err = volume_find(store, word, false, &row);
    if (err)
        return err;
    volume_usage(store, &row, &bytes, &names);
    struct progress *progress = progress_start(row.name, bytes);
    err = volume_clone(store, &row, name, progress_at, progress);
    progress_end(progress);
    return !err && printf("%s\n", name) < 0 ? -EIO : err;
}

/* What both are: a volume, and a name for it. */
static int run_named(const struct syntax *syntax, int argc, char **argv,
                     int (*act)(struct store *store, const char *word, const char *name))
{
    struct wishes wishes = {0};
    struct volume_fault fault;
    cleanup_store struct store *store = NULL;
    int err = arguments_parse(syntax, argc, argv, &wishes);
    if (!err && volume_name_check(wishes.words.at[1], &fault) != 0) {
        log_error("%s", fault.words);
        err = -EINVAL;
    }
    if (!err)
        err = named_open_store(wishes.root, true, &store);
    if (!err)
        err = act(store, wishes.words.at[0], wishes.words.at[1]);
    arguments_finish(syntax, &wishes);
    return err < 0;
}

static int run_rename(int argc, char **argv)
{
    return run_named(&RENAME, argc, argv, rename_volume);
}

static int run_clone(int argc, char **argv)
{
    return run_named(&CLONE, argc, argv, clone_volume);
}

/* ---- the group ---- */

static const struct command volume_inspect = {
    .name = "inspect", .summary = "tell everything about volumes", .run = run_inspect};
static const struct command volume_rm = {.name = "rm", .summary = "remove volumes", .run = run_rm};
static const struct command volume_rename_command = {
    .name = "rename", .summary = "give a volume another name", .run = run_rename};
static const struct command volume_clone_command = {
    .name = "clone", .summary = "make a volume with the content of another", .run = run_clone};

static const struct command *const CHILDREN[] = {
    &command_volume_create, &command_volume_ls,     &volume_inspect,        &volume_rm,
    &command_volume_prune,  &volume_rename_command, &volume_clone_command,  &command_volume_export,
    &command_volume_import, &command_volume_diff,   &command_volume_reseed, NULL,
};

const struct command command_volume = {
    .name = "volume",
    .summary = "make, list, fill and remove volumes",
    .children = CHILDREN,
};
