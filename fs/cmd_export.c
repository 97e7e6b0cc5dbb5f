/* SPDX-License-Identifier: MIT
 *
 * Duty: `plyfs export`: the tree of a named mount as a tar.
 */
#include "command.h"

#include "arguments.h"
#include "changeset.h"
#include "log.h"
#include "named.h"
#include "outfile.h"
#include "progress.h"

#include <string.h>

struct wishes {
    const char *root, *output;
    struct words words;
};

static const struct argument TABLE[] = {
    ARGUMENT_ROOT(struct wishes, root),
    {.name = "output",
     .letter = 'o',
     .kind = ARGUMENT_STRING,
     .at = offsetof(struct wishes, output),
     .value = "FILE",
     .help = "write there instead of to standard output"},
};

static const struct syntax SYNTAX = {
    .command = "export",
    .words = "MOUNT",
    .least = 1,
    .most = 1,
    .words_at = offsetof(struct wishes, words),
    ARGUMENTS(TABLE),
    .about = "Writes everything that a named mount shows, mounted or not, as a tar.\n",
    .example = "plyfs export web | tar t",
};

static int pack(const struct stack *stack, const struct outfile *out)
{
    cleanup_tar_writer struct tar_writer *writer = tar_writer_open(out->fd, TAR_PLAIN);
    struct progress *progress = progress_start("exporting", 0);
    if (writer)
        tar_writer_own(writer, outfile_name(out));
    int err = writer ? changeset_pack(stack, true, writer, progress_at, progress) : -ENOMEM;
    if (!err)
        err = tar_writer_finish(writer, NULL);
    progress_end(progress);
    return err;
}

static int export(struct store *store, const struct mount_row *row, const char *output)
{
    struct named_view view;
    cleanup_outfile struct outfile out = {.fd = -1};
    int err = named_view_flushed(store, row, &view);
    if (err)
        return err;
    err = outfile_open(&out, output);
    if (!err) {
        err = pack(&view.stack, &out);
        if (err)
            log_error("cannot export %s: %s", row->name,
                      err == -EAGAIN ? "it is being changed; try again, or unmount it"
                                     : strerror(-err));
    }
    named_view_close(&view);
    return err ? err : outfile_publish(&out);
}

static int find_and_export(const struct wishes *wishes)
{
    cleanup_store struct store *store = NULL;
    cleanup_mount_row struct mount_row row = {0};
    int err = named_open_store(wishes->root, false, &store);
    if (!err)
        err = named_find(store, wishes->words.at[0], false, &row);
    if (!err)
        err = export(store, &row, wishes->output);
    return err;
}

static int run_export(int argc, char **argv)
{
    struct wishes wishes = {0};
    int err = arguments_parse(&SYNTAX, argc, argv, &wishes);
    if (!err)
        err = find_and_export(&wishes);
    arguments_finish(&SYNTAX, &wishes);
    return err < 0 ? 1 : 0;
}

const struct command command_export = {
    .name = "export",
    .summary = "write the tree of a named mount as a tar",
    .run = run_export,
};
