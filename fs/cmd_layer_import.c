/* SPDX-License-Identifier: MIT
 *
 * Duty: `plyfs layer import`: a tar or a directory becomes a sealed layer. Everything is made in
 * the stage, so that whatever goes wrong leaves nothing in the store. stdout gets the id alone.
 */
#include "command.h"

#include "arguments.h"
#include "copytree.h"
#include "fd.h"
#include "layerword.h"
#include "log.h"
#include "moment.h"
#include "named.h"
#include "progress.h"
#include "seal.h"
#include "unpack.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct wishes {
    const char *root, *name;
    uint64_t size_max;
    struct words words;
};

static const struct argument TABLE[] = {
    {.name = "name",
     .letter = 'n',
     .kind = ARGUMENT_STRING,
     .at = offsetof(struct wishes, name),
     .value = "NAME",
     .help = "what to call the layer"},
    {.name = "max-size",
     .kind = ARGUMENT_SIZE,
     .at = offsetof(struct wishes, size_max),
     .value = "SIZE",
     .help = "refuse an archive whose files are larger in all"},
    ARGUMENT_ROOT(struct wishes, root),
};

static const struct syntax SYNTAX = {
    .command = "layer import",
    .words = "SOURCE",
    .least = 1,
    .most = 1,
    .words_at = offsetof(struct wishes, words),
    ARGUMENTS(TABLE),
    .about =
        "Makes a layer of SOURCE and prints its id. SOURCE is a layer tar (plain, gzip, zstd,\n"
        "xz or bzip2), a directory, or - for a tar on stdin. A layer that the store has already\n"
        "is not stored again.\n",
    .example = "plyfs layer import --name base --max-size 10G base.tar.zst",
};

/* What is imported. */
struct input {
    const char *word; /* as it was said; "stdin" for - */
    char *path;       /* absolute; NULL for stdin */
    int fd;
    struct stat st;
};

static void input_finish(struct input *from)
{
    if (from->path)
        own_close(&from->fd);
    free(from->path);
}

static int input_open(struct input *from)
{
    if (strcmp(from->word, "-") == 0) {
        from->word = "stdin";
        from->fd = STDIN_FILENO;
    } else {
        from->path = realpath(from->word, NULL);
        from->fd = from->path ? open(from->path, O_RDONLY | O_CLOEXEC) : -1;
    }
    int err = from->fd < 0 || fstat(from->fd, &from->st) < 0 ? -errno : 0;
    if (err)
        log_error("cannot read %s: %s", from->word, strerror(-err));
    else if (!from->path && isatty(from->fd)) {
        log_error("a terminal has no tar to give; write - with a pipe or a file behind <");
        err = -ENOTTY;
    }
    return err;
}

/* A source becomes a layer in the stage, "layer", with the tree in it. */
struct import {
    struct store *store;
    const struct input *from;
    uint64_t size_max;
    struct stage stage;
    int layer, tree;
    struct tar_sums sums; /* of a tar */
    uint64_t bytes;       /* of content; 0: not known */
};

static void import_finish(struct import *import)
{
    own_close(&import->tree);
    own_close(&import->layer);
    store_unstage(import->store, &import->stage);
}

static int prepare(struct import *import)
{
    int err = store_stage(import->store, &import->stage);
    if (!err)
        err = seal_make_staged(&import->stage, "layer", &import->layer, &import->tree);
    if (err)
        log_error("cannot prepare a layer in %s: %s", import->store->path, strerror(-err));
    return err;
}

/* ---- a tar ---- */

static int tell_broken(const struct import *import, int err, const char *words)
{
    const char *word = import->from->word;
    if (err == -EFBIG)
        log_error("%s: %s; --max-size lets in more", word, *words ? words : "it is too large");
    else
        log_error("cannot import %s: %s", word, *words ? words : strerror(-err));
    return err;
}

static int unpack_tar(struct import *import, struct unpack *unpack, struct progress *progress)
{
    int err = 0;
    cleanup_tar_reader struct tar_reader *reader =
        tar_reader_open(import->from->fd, progress_at, progress, &err);
    return reader ? unpack_tree(unpack, reader, &import->sums) : err;
}

static int take_tar(struct import *import)
{
    const struct stat *st = &import->from->st;
    struct unpack unpack = {
        .tree = import->tree, .books = import->layer, .size_max = import->size_max};
    struct progress *progress =
        progress_start(import->from->word, S_ISREG(st->st_mode) ? (uint64_t)st->st_size : 0);
    int err = unpack_tar(import, &unpack, progress);
    progress_end(progress);
    import->bytes = unpack.bytes;
    return err ? tell_broken(import, err, unpack.words) : 0;
}

/* ---- a directory ---- */

static int take_directory(struct import *import)
{
    struct progress *progress = progress_start(import->from->word, 0);
    struct copytree job = {
        .from = import->from->fd, .to = import->tree, .seen = progress_at, .context = progress};
    int err = copytree_copy(&job);
    progress_end(progress);
    return err ? tell_broken(import, err, job.words) : 0;
}

/* ---- both ---- */

static int seal(struct import *import, const char *name, struct layer_row *row)
{
    bool tar = !S_ISDIR(import->from->st.st_mode);
    struct progress *progress = progress_start("sealing", import->bytes);
    struct seal wish = {
        .staged = "layer",
        .sums = tar ? &import->sums : NULL,
        .source = import->from->path ? import->from->path : import->from->word,
        .name = name,
        .seen = progress_at,
        .context = progress,
    };
    int err = seal_layer(import->store, &import->stage, &wish, row);
    progress_end(progress);
    if (err == -EEXIST)
        log_error("the name %s is taken by another layer; choose another, or remove that", name);
    else if (err)
        log_error("cannot keep %s as a layer: %s", import->from->word, strerror(-err));
    return err;
}

static int import_one(struct import *import, const char *name)
{
    cleanup_layer_row struct layer_row row = {0};
    int64_t started = moment_now();
    int err = prepare(import);
    if (err)
        return err;
    err = S_ISDIR(import->from->st.st_mode) ? take_directory(import) : take_tar(import);
    if (!err)
        err = seal(import, name, &row);
    if (err)
        return err;
    if (row.created < started)
        log_error("the store has this layer already%s%s", row.name ? ", as " : "",
                  row.name ? row.name : "");
    return printf("%s\n", row.id) < 0 || fflush(stdout) != 0 ? -EIO : 0;
}

static int import_word(const struct wishes *wishes)
{
    cleanup_store struct store *store = NULL;
    cleanup(input_finish) struct input from = {.word = wishes->words.at[0], .fd = -1};
    int err = wishes->name ? layerword_check_name(wishes->name) : 0;
    if (!err)
        err = input_open(&from);
    if (!err)
        err = named_open_store(wishes->root, true, &store);
    if (err)
        return err;
    cleanup(import_finish) struct import import = {
        .store = store,
        .from = &from,
        .size_max = wishes->size_max,
        .stage = STAGE_NONE,
        .layer = -1,
        .tree = -1,
    };
    return import_one(&import, wishes->name);
}

static int run_import(int argc, char **argv)
{
    struct wishes wishes = {0};
    int err = arguments_parse(&SYNTAX, argc, argv, &wishes);
    if (!err)
        err = import_word(&wishes);
    arguments_finish(&SYNTAX, &wishes);
    return err < 0;
}

const struct command command_layer_import = {
    .name = "import",
    .summary = "make a layer of a tar or a directory",
    .run = run_import,
};
