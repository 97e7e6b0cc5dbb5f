/* SPDX-License-Identifier: MIT
 *
 * Duty: `plyfs layer export`. What goes out is held against the layer's id, which is its digest, so
 * a layer that was changed behind the store's back is not passed on as what it was.
 */
#include "command.h"

#include "arguments.h"
#include "layerword.h"
#include "log.h"
#include "named.h"
#include "outfile.h"
#include "pack.h"
#include "progress.h"

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
    .command = "layer export",
    .words = "LAYER",
    .least = 1,
    .most = 1,
    .words_at = offsetof(struct wishes, words),
    ARGUMENTS(TABLE),
    .about = "Writes a layer as an OCI layer tar. Its sha256, uncompressed, is the layer's id: a\n"
             "layer that came as a tar goes out as the same bytes.\n",
    .example = "plyfs layer export -o base.tar.zst --compress zstd base",
};

/* Whatever failed in packing, or came out as something else than the layer. */
static int tell_pack_failure(const char *word, int err)
{
    if (err == -EBADMSG)
        log_error("%s: this is not what was imported any more; plyfs layer verify %s tells what "
                  "differs",
                  word, word);
    else
        log_error("cannot export %s: %s", word, strerror(-err));
    return err;
}

/* Packs the layer, and looks whether it is the layer still. */
static int pack(const struct layer_row *row, int books, int tree, int fd, enum tar_filter filter)
{
    struct tar_sums sums;
    cleanup_progress struct progress *progress =
        progress_start(row->name ? row->name : "exporting", row->bytes);
    struct pack job = {
        .tree = tree,
        .books = books,
        .skeleton = row->skeleton,
        .fd = fd,
        .filter = filter,
        .seen = progress_at,
        .context = progress,
    };
    int err = pack_layer(&job, &sums);
    return !err && strcmp(sums.diff_id, row->id) != 0 ? -EBADMSG : err;
}

static int export_layer(const struct store *store, const struct wishes *wishes)
{
    const char *word = wishes->words.at[0];
    cleanup_layer_row struct layer_row row;
    cleanup_outfile struct outfile out = {.fd = -1};
    cleanup_fd int books = -1, tree = -1;
    int err = layerword_find(store, word, &row);
    if (!err)
        err = layerword_open(store, &row, &books, &tree);
    if (!err)
        err = outfile_open(&out, wishes->output);
    if (err)
        return err;
    err = pack(&row, books, tree, out.fd, (enum tar_filter)wishes->compress);
    return err ? tell_pack_failure(word, err) : outfile_publish(&out);
}

static int export(const struct wishes *wishes)
{
    cleanup_store struct store *store = NULL;
    int err = named_open_store(wishes->root, false, &store);
    return err ? err : export_layer(store, wishes);
}

static int run_export(int argc, char **argv)
{
    struct wishes wishes = {0};
    int err = arguments_parse(&SYNTAX, argc, argv, &wishes);
    if (!err)
        err = export(&wishes);
    arguments_finish(&SYNTAX, &wishes);
    return err < 0;
}

const struct command command_layer_export = {
    .name = "export",
    .summary = "write a layer as a tar",
    .run = run_export,
};
