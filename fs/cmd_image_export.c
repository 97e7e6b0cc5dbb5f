/* SPDX-License-Identifier: MIT
 *
 * Duty: `plyfs image export`. A tar appears under its name when it is whole (outfile.h), and so
 * does a directory: it is filled beside its place and renamed.
 */
#include "command.h"

#include "arguments.h"
#include "imageexport.h"
#include "imageword.h"
#include "log.h"
#include "named.h"
#include "outdir.h"
#include "outfile.h"
#include "progress.h"

#include <string.h>
#include <sys/stat.h>

struct wishes {
    const char *root, *output;
    int form;
    struct words words;
};

static const char *const FORMS[] = {
    [IMAGE_OCI] = "oci", [IMAGE_DOCKER_ARCHIVE] = "docker-archive", NULL};

static const struct argument TABLE[] = {
    {.name = "output",
     .letter = 'o',
     .kind = ARGUMENT_STRING,
     .at = offsetof(struct wishes, output),
     .value = "TARGET",
     .help = "a file, or a directory (that is there, or DIR/), and not stdout"},
    {.name = "format",
     .kind = ARGUMENT_CHOICE,
     .at = offsetof(struct wishes, form),
     .value = "FORM",
     .help = "how images are put together",
     .choices = FORMS},
    ARGUMENT_ROOT(struct wishes, root),
};

static const struct syntax SYNTAX = {
    .command = "image export",
    .words = "IMAGE...",
    .least = 1,
    .most = ARGUMENTS_ANY,
    .words_at = offsetof(struct wishes, words),
    ARGUMENTS(TABLE),
    .about =
        "Writes images as a tar, or as a directory, that podman, docker, skopeo and plyfs take:\n"
        "an OCI layout, or what docker save makes. An image that is meant by a name has that\n"
        "name there, one that is meant by its id has all of its names.\n",
    .example = "plyfs image export --format docker-archive -o base.tar debian:12",
};

/* ---- images ---- */

struct images {
    struct image_row *at;
    unsigned count;
};

static void images_finish(struct images *images)
{
    for (unsigned i = 0; i < images->count; i++)
        image_row_finish(&images->at[i]);
    free(images->at);
}

/* Leaves the row no name but the one that was said. */
static void keep_name(struct image_row *row, const char *name)
{
    for (unsigned i = 0; name && i < row->name_count; i++) {
        if (row->names[i] != name)
            continue;
        char *first = row->names[0];
        row->names[0] = row->names[i];
        row->names[i] = first;
        while (row->name_count > 1)
            free(row->names[--row->name_count]);
        return;
    }
}

static int find_images(const struct store *store, const struct words *words, struct images *images)
{
    const char *name;
    images->at = calloc(words->count, sizeof(*images->at));
    if (!images->at)
        return -ENOMEM;
    for (unsigned i = 0; i < words->count; i++) {
        struct image_row *row = &images->at[images->count++];
        int err = imageword_find(store, words->at[i], row, &name);
        if (err)
            return err;
        keep_name(row, name);
    }
    return 0;
}

/* ---- where it goes ---- */

static int write_images(struct store *store, struct image_export *export)
{
    uint64_t bytes;
    int err = image_export_size(store, export, &bytes);
    if (err) {
        log_error("the layers are not all in the catalog: %s", strerror(-err));
        return err;
    }
    cleanup_progress struct progress *progress = progress_start("exporting", bytes);
    export->seen = progress_at;
    export->context = progress;
    err = image_export(store, export);
    if (err)
        log_error("cannot export: %s", *export->words ? export->words : strerror(-err));
    return err;
}

static int export_file(struct store *store, const char *path, struct image_export *export)
{
    cleanup_outfile struct outfile out = {.fd = -1};
    int err = outfile_open(&out, path);
    if (err)
        return err;
    export->fd = out.fd;
    err = write_images(store, export);
    return err ? err : outfile_publish(&out);
}

static bool is_directory(const char *path)
{
    struct stat st;
    size_t length = strlen(path);
    return (length > 0 && path[length - 1] == '/') || (stat(path, &st) == 0 && S_ISDIR(st.st_mode));
}

static int export_directory(struct store *store, const char *path, struct image_export *export)
{
    cleanup_outdir struct outdir out;
    int err = outdir_open(&out, path);
    if (err)
        return err;
    export->dir = out.fd;
    err = write_images(store, export);
    return err ? err : outdir_publish(&out);
}

static int export_images(const struct wishes *wishes)
{
    cleanup(images_finish) struct images images = {0};
    cleanup_store struct store *store = NULL;
    int err = named_open_store(wishes->root, false, &store);
    if (!err)
        err = find_images(store, &wishes->words, &images);
    if (err)
        return err;
    struct image_export export = {
        .images = images.at,
        .count = images.count,
        .form = (enum image_form)wishes->form,
        .fd = -1,
        .dir = -1,
    };
    return wishes->output && is_directory(wishes->output)
               ? export_directory(store, wishes->output, &export)
               : export_file(store, wishes->output, &export);
}

static int run_export(int argc, char **argv)
{
    struct wishes wishes = {0};
    int err = arguments_parse(&SYNTAX, argc, argv, &wishes);
    if (!err)
        err = export_images(&wishes);
    arguments_finish(&SYNTAX, &wishes);
    return err < 0;
}

const struct command command_image_export = {
    .name = "export",
    .summary = "write images as an archive",
    .run = run_export,
};
