/* SPDX-License-Identifier: MIT
 *
 * Duty: `plyfs volume reseed`: the content of an image once more, in place of what became of it.
 */
#include "command.h"

#include "arguments.h"
#include "named.h"
#include "progress.h"
#include "report.h"
#include "volume.h"
#include "volumeword.h"

#include <stdio.h>
#include <string.h>

struct wishes {
    const char *root, *image;
    bool force;
    struct words words;
};

static const struct argument TABLE[] = {
    {.name = "image",
     .kind = ARGUMENT_STRING,
     .at = offsetof(struct wishes, image),
     .value = "IMAGE",
     .help = "take the content of that one"},
    {.name = "force",
     .letter = 'f',
     .kind = ARGUMENT_FLAG,
     .at = offsetof(struct wishes, force),
     .help = "do not ask before content is thrown away"},
    ARGUMENT_ROOT(struct wishes, root),
};

static const struct syntax SYNTAX = {
    .command = "volume reseed",
    .words = "VOLUME",
    .least = 1,
    .most = 1,
    .words_at = offsetof(struct wishes, words),
    ARGUMENTS(TABLE),
    .about = "Throws away what a volume holds and gives it the content that the image it was\n"
             "first filled from shows there now, or another one. It must not be mounted.\n",
    .example = "plyfs volume reseed --image app:2 data",
};

/* 1 when its content may go. Nobody is asked where nothing is lost. */
static int agreed(struct store *store, const struct volume_row *row)
{
    uint64_t bytes, names;
    char question[512], size[16];
    cleanup_volumeword_view struct volumeword_view view = VOLUMEWORD_VIEW_NONE;
    int err = volumeword_view_open(store, row, &view);
    if (err)
        return err;
    int empty = volumeword_is_empty(&view, row);
    if (empty)
        return empty;
    volume_usage(store, row, &bytes, &names);
    snprintf(question, sizeof(question),
             "This throws away all that the volume %s holds: %llu names, %s.\nAre you sure you "
             "want to continue?",
             row->name, (unsigned long long)names, report_size(size, bytes));
    return progress_confirm(question);
}

static int reseed(const struct wishes *wishes)
{
    cleanup_store struct store *store = NULL;
    cleanup_volume_row struct volume_row row = {0};
    int err = named_open_store(wishes->root, true, &store);
    if (!err)
        err = volume_find(store, wishes->words.at[0], false, &row);
    if (err)
        return err;
    int yes = wishes->force ? 1 : agreed(store, &row);
    if (yes <= 0)
        return yes ? yes : -ECANCELED;
    struct progress *progress = progress_start(row.name, 0);
    err = volume_reseed(store, &row, wishes->image, progress_at, progress);
    progress_end(progress);
    return err;
}

static int run_reseed(int argc, char **argv)
{
    struct wishes wishes = {0};
    int err = arguments_parse(&SYNTAX, argc, argv, &wishes);
    if (!err)
        err = reseed(&wishes);
    arguments_finish(&SYNTAX, &wishes);
    return err < 0;
}

const struct command command_volume_reseed = {
    .name = "reseed",
    .summary = "give a volume the content of its image again",
    .run = run_reseed,
};
