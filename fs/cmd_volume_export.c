/* SPDX-License-Identifier: MIT
 *
 * Duty: `plyfs volume export`: what a volume holds as a plain tar, its root as "./". While it is
 * read nobody replaces or removes the volume; who writes into it is not held up.
 */
#include "command.h"

#include "arguments.h"
#include "log.h"
#include "named.h"
#include "outfile.h"
#include "pack.h"
#include "progress.h"
#include "volume.h"
#include "volumeword.h"

#include <string.h>

struct wishes {
    const char *root, *output;
    int compress;
    struct words words;
};

static const struct argument TABLE[] = {
    {.name = "output",
     .letter = 'o',
     .kind = ARGUMENT_STRING,
     .at = offsetof(struct wishes, output),
     .value = "FILE",
     .help = "write there, and not to stdout"},
    {.name = "compress",
     .kind = ARGUMENT_CHOICE,
     .at = offsetof(struct wishes, compress),
     .value = "WAY",
     .help = "how it is compressed",
     .choices = TAR_FILTER_WORDS},
    ARGUMENT_ROOT(struct wishes, root),
};

static const struct syntax SYNTAX = {
    .command = "volume export",
    .words = "VOLUME",
    .least = 1,
    .most = 1,
    .words_at = offsetof(struct wishes, words),
    ARGUMENTS(TABLE),
    .about = "Writes what a volume holds as a tar, to a file or to stdout. A file that is written\n"
             "to meanwhile ends it: stop its writers first.\n",
    .example = "plyfs volume export -o data.tar.zst --compress zstd data",
};

static int pack(struct store *store, const struct volume_row *row, int tree,
                struct tar_writer *writer)
{
    uint64_t bytes, names;
    volume_usage(store, row, &bytes, &names);
    struct progress *progress = progress_start(row->name, bytes);
    int err = pack_tree(tree, TREEKIND_PLAIN, writer, progress_at, progress);
    if (!err)
        err = tar_writer_finish(writer, NULL);
    progress_end(progress);
    if (err)
        log_error("cannot export %s: %s", row->name,
                  err == -ESTALE ? "a file was changed while it was read; stop its writers first"
                                 : strerror(-err));
    return err;
}

static int export_volume(struct store *store, const struct wishes *wishes)
{
    cleanup_volume_row struct volume_row row = {0};
    cleanup_volumeword_view struct volumeword_view view = VOLUMEWORD_VIEW_NONE;
    cleanup_outfile struct outfile out = {.fd = -1};
    int err = volume_find(store, wishes->words.at[0], false, &row);
    if (!err)
        err = outfile_open(&out, wishes->output);
    if (!err)
        err = volumeword_view_open(store, &row, &view);
    if (err)
        return err;
    cleanup_tar_writer struct tar_writer *writer =
        tar_writer_open(out.fd, (enum tar_filter)wishes->compress);
    if (!writer)
        return -ENOMEM;
    tar_writer_own(writer, outfile_name(&out));
    err = pack(store, &row, view.tree, writer);
    return err ? err : outfile_publish(&out);
}

static int run_export(int argc, char **argv)
{
    struct wishes wishes = {0};
    cleanup_store struct store *store = NULL;
    int err = arguments_parse(&SYNTAX, argc, argv, &wishes);
    if (!err)
        err = named_open_store(wishes.root, true, &store);
    if (!err)
        err = export_volume(store, &wishes);
    arguments_finish(&SYNTAX, &wishes);
    return err < 0;
}

const struct command command_volume_export = {
    .name = "export",
    .summary = "write a volume's content as a tar",
    .run = run_export,
};
