/* SPDX-License-Identifier: MIT
 *
 * Duty: `plyfs volume import`: a tar becomes the content of a volume, which is made when it is
 * missing. Everything is unpacked in the stage, so that whatever goes wrong leaves the volume as it
 * was, or none.
 */
#include "command.h"

#include "arguments.h"
#include "log.h"
#include "named.h"
#include "progress.h"
#include "unpack.h"
#include "volume.h"
#include "volumeword.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct wishes {
    const char *root;
    bool force;
    uint64_t size_max;
    struct words words;
};

static const struct argument TABLE[] = {
    {.name = "force",
     .letter = 'f',
     .kind = ARGUMENT_FLAG,
     .at = offsetof(struct wishes, force),
     .help = "throw away what the volume holds"},
    {.name = "max-size",
     .kind = ARGUMENT_SIZE,
     .at = offsetof(struct wishes, size_max),
     .value = "SIZE",
     .help = "refuse an archive whose files are larger in all"},
    ARGUMENT_ROOT(struct wishes, root),
};

static const struct syntax SYNTAX = {
    .command = "volume import",
    .words = "VOLUME [FILE]",
    .least = 1,
    .most = 2,
    .words_at = offsetof(struct wishes, words),
    ARGUMENTS(TABLE),
    .about = "Fills a volume from a tar (plain, gzip, zstd, xz or bzip2), of FILE or of stdin. It\n"
             "is made when it is missing. One that holds something is refused; -f replaces all\n"
             "that it holds. Either the whole tar arrives or nothing.\n",
    .example = "plyfs volume export data | plyfs volume import data-2",
};

/* What is imported, and where to. */
struct import {
    const char *word; /* the file as it was said; "stdin" */
    bool opened;      /* the descriptor is ours */
    int fd;
    uint64_t size, size_max; /* of the file, 0: not known; what is let in */
    struct stat old;         /* the root of the volume that is there; st_mode 0: none is */
};

static void import_finish(struct import *import)
{
    if (import->opened)
        own_close(&import->fd);
}

static int import_open(struct import *import, const struct words *words)
{
    struct stat st;
    import->word = words->count > 1 ? words->at[1] : "-";
    import->opened = strcmp(import->word, "-") != 0;
    import->fd =
        import->opened ? open(import->word, O_RDONLY | O_CLOEXEC | O_NOCTTY) : STDIN_FILENO;
    if (!import->opened)
        import->word = "stdin";
    int err = import->fd < 0 || fstat(import->fd, &st) < 0 ? -errno : 0;
    if (!err && S_ISDIR(st.st_mode))
        err = -EISDIR;
    if (err) {
        log_error("cannot read %s: %s", import->word, strerror(-err));
        return err;
    }
    import->size = S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
    if (!isatty(import->fd))
        return 0;
    log_error("a terminal has no tar to give; say FILE, or use a pipe");
    return -ENOTTY;
}

/* ---- content ---- */

static int tell_broken(const struct import *import, int err, const char *words)
{
    const char *hint = err == -EFBIG ? "; --max-size lets in more" : "";
    log_error("cannot import %s: %s%s", import->word, *words ? words : strerror(-err), hint);
    return err;
}

/* Where the archive says nothing of the root, it stays as the volume had it. */
static int keep_root(const struct import *import, int tree)
{
    if (import->old.st_mode == 0)
        return 0;
    if (fchown(tree, import->old.st_uid, import->old.st_gid) < 0 && errno != EPERM)
        return -errno;
    return fchmod(tree, import->old.st_mode & 07777) < 0 ? -errno : 0;
}

static int unpack_into(const struct import *import, struct unpack *unpack,
                       struct progress *progress)
{
    struct tar_sums sums;
    int err = keep_root(import, unpack->tree);
    if (err)
        return err;
    cleanup_tar_reader struct tar_reader *reader =
        tar_reader_open(import->fd, progress_at, progress, &err);
    return reader ? unpack_tree(unpack, reader, &sums) : err;
}

/* A volume_filler. */
static int fill(void *context, int tree)
{
    const struct import *import = context;
    struct unpack unpack = {
        .kind = TREEKIND_PLAIN, .tree = tree, .books = -1, .size_max = import->size_max};
    struct progress *progress = progress_start(import->word, import->size);
    int err = unpack_into(import, &unpack, progress);
    progress_end(progress);
    return err ? tell_broken(import, err, unpack.words) : 0;
}

/* ---- the volume ---- */

/* Whether its content may be replaced, and what its root is like. */
static int look_at(struct store *store, const struct volume_row *row, bool force,
                   struct import *import)
{
    cleanup_volumeword_view struct volumeword_view view = VOLUMEWORD_VIEW_NONE;
    int err = volumeword_view_open(store, row, &view);
    if (err)
        return err;
    int empty = volumeword_is_empty(&view, row);
    if (empty < 0)
        return empty;
    if (fstat(view.tree, &import->old) < 0)
        return -errno;
    if (empty || force)
        return 0;
    log_error("the volume %s holds something already; -f throws that away", row->name);
    return -ENOTEMPTY;
}

static int replace(struct store *store, const struct volume_row *row, bool force,
                   struct import *import)
{
    int err = look_at(store, row, force, import);
    return err ? err : volume_replace(store, row, fill, import);
}

static int create(struct store *store, const char *name, struct import *import)
{
    cleanup_volume_row struct volume_row row = {0};
    bool existed = false;
    const struct volume_wish wish = {.name = name, .fill = fill, .context = import};
    int err = volume_create(store, &wish, &row, &existed);
    if (err || !existed)
        return err;
    log_error("somebody else made the volume %s meanwhile; try again", name);
    return -EEXIST;
}

static int import_volume(const struct wishes *wishes)
{
    const char *name = wishes->words.at[0];
    cleanup_store struct store *store = NULL;
    cleanup_volume_row struct volume_row row = {0};
    cleanup(import_finish) struct import import = {.fd = -1, .size_max = wishes->size_max};
    int err = import_open(&import, &wishes->words);
    if (!err)
        err = named_open_store(wishes->root, true, &store);
    if (err)
        return err;
    err = volume_find(store, name, true, &row);
    if (err == -ENOENT)
        return create(store, name, &import);
    return err ? err : replace(store, &row, wishes->force, &import);
}

static int run_import(int argc, char **argv)
{
    struct wishes wishes = {0};
    int err = arguments_parse(&SYNTAX, argc, argv, &wishes);
    if (!err)
        err = import_volume(&wishes);
    arguments_finish(&SYNTAX, &wishes);
    return err < 0;
}

const struct command command_volume_import = {
    .name = "import",
    .summary = "fill a volume from a tar",
    .run = run_import,
};
