/* SPDX-License-Identifier: MIT
 *
 * Duty: `plyfs commit`: the changes of a named mount become a layer, and an image of it and of what
 * lies beneath.
 */
#include "command.h"

#include "arguments.h"
#include "commit.h"
#include "imagename.h"
#include "log.h"
#include "moment.h"
#include "named.h"
#include "ocicommit.h"
#include "progress.h"
#include "volumerows.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

struct wishes {
    const char *root, *message;
    struct words changes, words;
};

static const struct argument TABLE[] = {
    ARGUMENT_ROOT(struct wishes, root),
    {.name = "change",
     .letter = 'c',
     .kind = ARGUMENT_LIST,
     .at = offsetof(struct wishes, changes),
     .value = "INSTRUCTION",
     .help = "CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, USER, VOLUME or WORKDIR"},
    {.name = "message",
     .letter = 'm',
     .kind = ARGUMENT_STRING,
     .at = offsetof(struct wishes, message),
     .value = "TEXT",
     .help = "a comment for the image's history"},
};

static const struct syntax SYNTAX = {
    .command = "commit",
    .words = "MOUNT [IMAGE]",
    .least = 1,
    .most = 2,
    .words_at = offsetof(struct wishes, words),
    ARGUMENTS(TABLE),
    .about = "Makes a layer of what a named mount changed, and an image of it and of the layers\n"
             "beneath, and prints the image's id. The mount may be in use.\n",
    .example = "plyfs commit -m 'nginx installed' web web:2",
};

/* What a commit is made of, and what it makes. */
struct work {
    struct store *store;
    const struct wishes *wishes;
    struct mount_row mount;
    struct image_row base; /* of an image with layers; or all zero */
    struct oci_config base_config, config;
    struct layer_row layer;
    bool told;                 /* what went wrong */
    char name[IMAGENAME_SIZE]; /* of the new image; or "" */
    char *volumes;             /* an instruction for the mount's anonymous volumes; or NULL */
    struct words changes;      /* that, and those that were said */
};

static void work_finish(struct work *work)
{
    mount_row_finish(&work->mount);
    image_row_finish(&work->base);
    layer_row_finish(&work->layer);
    oci_config_finish(&work->base_config);
    oci_config_finish(&work->config);
    free(work->volumes);
    free(work->changes.at);
}

static int find_base(struct work *work)
{
    struct oci_fault fault;
    if (!work->mount.image) {
        log_error("cannot commit %s: it stands on directories, which are no layers of the store; "
                  "plyfs layer import makes them such, or plyfs export gives its tree as a tar",
                  work->mount.name);
        return -EINVAL;
    }
    int err = catalog_find_image(work->store->catalog, work->mount.image, &work->base);
    if (err) {
        log_error("cannot commit %s: its image %s is not in the store; see plyfs doctor",
                  work->mount.name, work->mount.image);
        return err;
    }
    err =
        oci_config_parse(work->base.config, strlen(work->base.config), &work->base_config, &fault);
    if (err)
        log_error("cannot commit %s: the config of its image makes no sense: %s", work->mount.name,
                  fault.words);
    return err;
}

/* "VOLUME [...]" for what was asked for without a name: it belongs to what the mount is, where a
 * named volume or a directory of the host belongs to how it was called. */
static int write_volumes(struct work *work, const struct volume_rows *rows)
{
    json_t *list = json_array();
    for (unsigned i = 0; list && i < rows->count; i++) {
        const struct mount_volume_row *row = &rows->at[i];
        if (!row->anonymous || row->origin != VOLUME_ORIGIN_ASKED)
            continue;
        if (json_array_append_new(list, json_string(row->spec.destination)) < 0)
            log_warning("commit: the volume at %s is left out: an image's config is UTF-8",
                        row->spec.destination);
    }
    bool none = json_array_size(list) == 0;
    char *text = list && !none ? json_dumps(list, 0) : NULL;
    json_decref(list);
    if (!text)
        return list && none ? 0 : -ENOMEM;
    int err = asprintf(&work->volumes, "VOLUME %s", text) < 0 ? -ENOMEM : 0;
    free(text);
    if (err)
        work->volumes = NULL;
    return err;
}

/* What was said comes last, and has the last word. */
static int gather_changes(struct work *work)
{
    cleanup_volume_rows struct volume_rows rows = {0};
    const struct words *said = &work->wishes->changes;
    int err = volume_rows_load(work->store, work->mount.id, &rows);
    if (!err)
        err = write_volumes(work, &rows);
    if (!err && work->volumes)
        err = words_add(&work->changes, work->volumes);
    for (unsigned i = 0; i < said->count && !err; i++)
        err = words_add(&work->changes, said->at[i]);
    return err;
}

static int make_config(struct work *work, const char *diff_id)
{
    struct oci_fault fault;
    const struct oci_commit commit = {
        .base = &work->base_config,
        .diff_id = diff_id,
        .created = moment_now(),
        .created_by = "plyfs commit",
        .comment = work->wishes->message,
        .changes = work->changes.at,
        .change_count = work->changes.count,
    };
    int err = oci_config_commit(&commit, &work->config, &fault);
    if (err)
        log_error("commit: %s", fault.words);
    return err;
}

/* The instructions are tried before the work is done that they are for. */
static int try_changes(struct work *work)
{
    static const char NOTHING[] =
        "0000000000000000000000000000000000000000000000000000000000000000";
    int err = make_config(work, NOTHING);
    oci_config_finish(&work->config);
    return err;
}

static int add_image(struct work *work, char *layer)
{
    unsigned count = work->base.layer_count + 1;
    cleanup_free char **layers = calloc(count, sizeof(*layers));
    if (!layers)
        return -ENOMEM;
    memcpy(layers, work->base.layers, work->base.layer_count * sizeof(*layers));
    layers[count - 1] = layer;
    char *names[] = {work->name};
    const struct image_row image = {
        .id = work->config.id,
        .config = work->config.text,
        .layers = layers,
        .layer_count = count,
        .names = names,
        .name_count = *work->name ? 1 : 0,
        .created = moment_now(),
    };
    int err = catalog_add_image(work->store->catalog, &image);
    if (err)
        log_error("cannot add the image to the catalog: %s", strerror(-err));
    return err;
}

/* The image comes into the catalog with its layer. */
static int add_with_layer(void *context, const struct layer_row *layer)
{
    struct work *work = context;
    int err = make_config(work, layer->id);
    if (!err)
        err = add_image(work, layer->id);
    work->told = err != 0;
    return err;
}

static int make_layer(struct work *work)
{
    struct named_view view;
    char source[160];
    int err = named_view_flushed(work->store, &work->mount, &view);
    if (err)
        return err;
    snprintf(source, sizeof(source), "commit of %s", work->mount.name);
    struct progress *progress = progress_start("committing", 0);
    const struct commit commit = {.stack = &view.stack,
                                  .source = source,
                                  .seen = progress_at,
                                  .context = progress,
                                  .with_row = add_with_layer,
                                  .row_context = work};
    err = commit_layer(work->store, &commit, &work->layer);
    progress_end(progress);
    named_view_close(&view);
    if (err && !work->told)
        log_error("cannot commit %s: %s", work->mount.name,
                  err == -EAGAIN ? "it is being changed all the time; try again, or unmount it"
                                 : strerror(-err));
    return err;
}

static int commit(struct work *work)
{
    int err = find_base(work);
    if (!err)
        err = gather_changes(work);
    if (!err)
        err = try_changes(work);
    if (!err)
        err = make_layer(work);
    if (!err)
        puts(work->config.id);
    return err;
}

static int find_and_commit(const struct wishes *wishes)
{
    cleanup_store struct store *store = NULL;
    struct work work = {.wishes = wishes};
    int err = 0;
    if (wishes->words.count > 1 && imagename_normal(wishes->words.at[1], work.name) != 0) {
        log_error("commit: '%s' is no name for an image; it takes name, name:tag or host/name:tag",
                  wishes->words.at[1]);
        err = -EINVAL;
    }
    if (!err)
        err = named_open_store(wishes->root, false, &store);
    work.store = store;
    if (!err)
        err = named_find(store, wishes->words.at[0], false, &work.mount);
    if (!err)
        err = commit(&work);
    work_finish(&work);
    return err;
}

static int run_commit(int argc, char **argv)
{
    struct wishes wishes = {0};
    int err = arguments_parse(&SYNTAX, argc, argv, &wishes);
    if (!err)
        err = find_and_commit(&wishes);
    arguments_finish(&SYNTAX, &wishes);
    return err < 0 ? 1 : 0;
}

const struct command command_commit = {
    .name = "commit",
    .summary = "make an image of what a named mount changed",
    .run = run_commit,
};
