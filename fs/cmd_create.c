/* SPDX-License-Identifier: MIT
 *
 * Duty: `plyfs create`: a mount with a name, its own upper and nothing mounted yet.
 */
#include "command.h"

#include "arguments.h"
#include "log.h"
#include "named.h"
#include "volumewish.h"

#include <stdio.h>
#include <string.h>

struct wishes {
    const char *root, *name;
    struct words lowers, options, words;
    struct volume_words volumes;
};

static const struct argument TABLE[] = {
    ARGUMENT_ROOT(struct wishes, root),
    {.name = "name",
     .kind = ARGUMENT_STRING,
     .at = offsetof(struct wishes, name),
     .value = "NAME",
     .help = "what it is called (else the first digits of its id)"},
    {.name = "lower",
     .kind = ARGUMENT_LIST,
     .at = offsetof(struct wishes, lowers),
     .value = "DIR",
     .help = "a layer, the topmost first; instead of an image"},
    {.name = "option",
     .letter = 'o',
     .kind = ARGUMENT_LIST,
     .at = offsetof(struct wishes, options),
     .value = "OPTION[,...]",
     .help = "for every mount of it, see plyfs(1)"},
    VOLUME_ARGUMENTS(struct wishes, volumes),
};

static const struct syntax SYNTAX = {
    .command = "create",
    .words = "[IMAGE]",
    .least = 0,
    .most = 1,
    .words_at = offsetof(struct wishes, words),
    ARGUMENTS(TABLE),
    .about = "Makes a mount with a name and a writable layer of its own, of an image or of\n"
             "directories, and prints its name. plyfs mount NAME MOUNTPOINT mounts it.\n"
             "Volumes are explained in plyfs-volumes(7).\n",
    .example = "plyfs create --name web -v data:/var/lib/data debian:12",
};

/* Options are tried on a struct of their own before they are kept. */
static int join_options(const struct words *said, char **joined)
{
    struct options trial;
    int err = 0;
    options_init(&trial);
    *joined = strdup("");
    for (unsigned i = 0; *joined && !err && i < said->count; i++) {
        char *longer = NULL;
        err = options_take(&trial, said->at[i]);
        if (asprintf(&longer, "%s%s%s", *joined, i ? "," : "", said->at[i]) < 0)
            longer = NULL;
        free(*joined);
        *joined = longer;
    }
    if (!err && (trial.lower_count > 0 || trial.upper || trial.work)) {
        log_error(
            "create: lowerdir, upperdir and workdir are not for a named mount: its layers are "
            "said with --lower, and its upper is its own");
        err = -EINVAL;
    }
    if (!err && trial.remount) {
        log_error("create: remount is for a mount that is there: mount -o remount MOUNTPOINT");
        err = -EINVAL;
    }
    options_finish(&trial);
    return *joined ? err : -ENOMEM;
}

/* Everything that can be read without the store is read before it is opened. *refused: what was
 * said of volumes is what is wrong. */
static int create(const struct wishes *wishes, bool *refused)
{
    cleanup_free char *options = NULL;
    cleanup_store struct store *store = NULL;
    cleanup_mount_row struct mount_row row = {0};
    cleanup_volume_specs struct volume_specs specs = {0};
    cleanup_volume_rows struct volume_rows volumes = {0};
    bool image = wishes->words.count > 0;
    if (image == (wishes->lowers.count > 0)) {
        log_error(image ? "create: either an image or --lower, not both"
                        : "create: say an image, or directories with --lower");
        return -EINVAL;
    }
    int err = join_options(&wishes->options, &options);
    if (!err) {
        err = volume_words_parse(&wishes->volumes, &specs);
        *refused = err == -EINVAL;
    }
    if (!err)
        err = named_open_store(wishes->root, !image, &store);
    if (!err)
        err = volume_words_resolve(store, &wishes->volumes, &specs,
                                   image ? wishes->words.at[0] : NULL, &volumes);
    const struct named_wish wish = {
        .name = wishes->name,
        .image = image ? wishes->words.at[0] : NULL,
        .lowers = wishes->lowers.at,
        .lower_count = wishes->lowers.count,
        .options = options,
        .volumes = &volumes,
    };
    if (!err)
        err = named_create(store, &wish, &row);
    if (!err)
        puts(row.name);
    *refused = *refused || volumes.refused;
    return err;
}

/* The status is 125 where volumes are refused, as of a container that is asked for in such words.
 */
static int run_create(int argc, char **argv)
{
    struct wishes wishes = {0};
    bool refused = false;
    int err = arguments_parse(&SYNTAX, argc, argv, &wishes);
    if (!err)
        err = create(&wishes, &refused);
    arguments_finish(&SYNTAX, &wishes);
    return err >= 0 ? 0 : refused ? 125 : 1;
}

const struct command command_create = {
    .name = "create",
    .summary = "make a named mount of an image or of directories",
    .run = run_create,
};
