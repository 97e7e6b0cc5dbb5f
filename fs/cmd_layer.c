/* SPDX-License-Identifier: MIT
 *
 * Duty: `plyfs layer`: its commands, and those of them that ask the catalog alone.
 */
#include "command.h"

#include "arguments.h"
#include "layerword.h"
#include "log.h"
#include "named.h"
#include "report.h"

#include <string.h>

struct wishes {
    const char *root;
    struct report report;
    struct words words;
};

/* ---- ls ---- */

static const struct column COLUMNS[] = {
    {"Id", "LAYER ID", COLUMN_ID},       {"Name", "NAME", COLUMN_TEXT},
    {"Created", "CREATED", COLUMN_TIME}, {"Files", "FILES", COLUMN_COUNT},
    {"Size", "SIZE", COLUMN_SIZE},       {"Source", "SOURCE", COLUMN_TEXT},
    {"DiffID", NULL, COLUMN_TEXT},       {"TarSize", NULL, COLUMN_SIZE},
    {"Path", NULL, COLUMN_TEXT},
};

static const struct argument LS_ARGUMENTS[] = {
    REPORT_ARGUMENTS(struct wishes, report),
    ARGUMENT_ROOT(struct wishes, root),
};

static const struct syntax LS = {
    .command = "layer ls",
    ARGUMENTS(LS_ARGUMENTS),
    .about = "Lists the layers of the store, the oldest first.\n",
    .example = "plyfs layer ls --filter name=base --format '{{.Id}} {{.Size}}'",
};

struct listing {
    const struct store *store;
    json_t *rows;
};

static int take_layer(void *context, const struct layer_row *row)
{
    struct listing *listing = context;
    return json_array_append_new(listing->rows, layerword_json(listing->store, row)) ? -ENOMEM : 0;
}

static int list(const struct wishes *wishes)
{
    cleanup_store struct store *store = NULL;
    int err = report_check(&wishes->report);
    if (!err)
        err = named_open_store(wishes->root, true, &store);
    if (err)
        return err;
    struct listing listing = {store, json_array()};
    err = catalog_each_layer(store->catalog, take_layer, &listing);
    if (!err)
        err = report_print(&wishes->report, listing.rows);
    json_decref(listing.rows);
    return err;
}

static int run_ls(int argc, char **argv)
{
    struct wishes wishes = {.report = {REPORT_COLUMNS(COLUMNS)}};
    int err = arguments_parse(&LS, argc, argv, &wishes);
    if (!err)
        err = list(&wishes);
    arguments_finish(&LS, &wishes);
    return err < 0;
}

/* ---- inspect ---- */

static const struct argument INSPECT_ARGUMENTS[] = {
    {.name = "format",
     .kind = ARGUMENT_STRING,
     .at = offsetof(struct wishes, report.format),
     .value = "FORM",
     .help = "json, or '{{.Field}} ...' for each"},
    ARGUMENT_ROOT(struct wishes, root),
};

static const struct syntax INSPECT = {
    .command = "layer inspect",
    .words = "LAYER...",
    .least = 1,
    .most = ARGUMENTS_ANY,
    .words_at = offsetof(struct wishes, words),
    ARGUMENTS(INSPECT_ARGUMENTS),
    .about = "Tells everything about layers, as a JSON array.\n",
    .example = "plyfs layer inspect --format '{{.Path}}' base",
};

static int inspect_one(void *context, const char *word, json_t *found)
{
    const struct store *store = context;
    cleanup_layer_row struct layer_row row;
    int err = layerword_find(store, word, &row);
    if (!err && json_array_append_new(found, layerword_json(store, &row)) != 0)
        err = -ENOMEM;
    return err;
}

static int inspect(const struct wishes *wishes)
{
    cleanup_store struct store *store = NULL;
    int err = named_open_store(wishes->root, false, &store);
    return err ? err : report_words(&wishes->words, wishes->report.format, inspect_one, store);
}

static int run_inspect(int argc, char **argv)
{
    struct wishes wishes = {0};
    int err = arguments_parse(&INSPECT, argc, argv, &wishes);
    if (!err)
        err = inspect(&wishes);
    arguments_finish(&INSPECT, &wishes);
    return err < 0;
}

/* ---- rm ---- */

static const struct argument RM_ARGUMENTS[] = {
    ARGUMENT_ROOT(struct wishes, root),
};

static const struct syntax RM = {
    .command = "layer rm",
    .words = "LAYER...",
    .least = 1,
    .most = ARGUMENTS_ANY,
    .words_at = offsetof(struct wishes, words),
    ARGUMENTS(RM_ARGUMENTS),
    .about = "Removes layers. One that an image has is refused: remove the image first.\n",
    .example = "plyfs layer rm base",
};

/* Those that keep a layer from being removed. */
struct users {
    const char *layer;
    FILE *names;
};

static int name_user(void *context, const struct image_row *image)
{
    const struct users *users = context;
    for (unsigned i = 0; i < image->layer_count; i++) {
        if (strcmp(image->layers[i], users->layer) != 0)
            continue;
        if (image->name_count)
            fprintf(users->names, " %s", image->names[0]);
        else
            fprintf(users->names, " %.12s", image->id);
        break;
    }
    return 0;
}

static void tell_users(const struct store *store, const char *word, const struct layer_row *row)
{
    cleanup_free char *names = NULL;
    size_t size;
    struct users users = {row->id, open_memstream(&names, &size)};
    if (!users.names)
        return;
    int err = catalog_each_image(store->catalog, name_user, &users);
    if (fclose(users.names) == 0 && !err)
        log_error("cannot remove %s: it is a layer of%s; remove that first", word, names);
}

static int remove_one(struct store *store, const char *word)
{
    cleanup_layer_row struct layer_row row, again = {0};
    int err = layerword_find(store, word, &row);
    if (err)
        return err;
    err = catalog_remove_layer(store->catalog, row.id);
    if (err == -EBUSY)
        tell_users(store, word, &row);
    /* Where somebody was faster, that it is not there is all there is to tell. */
    else if (err == -ENOENT && layerword_find(store, word, &again) == -ENOENT)
        return err;
    else if (err)
        log_error("cannot remove %s from the catalog: %s", word, strerror(-err));
    if (err)
        return err;
    err = store_discard(store, store->layers, row.id);
    if (err)
        log_error("%s is removed, but not all of its files: %s; plyfs doctor --repair clears them",
                  word, strerror(-err));
    return err;
}

static int run_rm(int argc, char **argv)
{
    struct wishes wishes = {0};
    cleanup_store struct store *store = NULL;
    int err = arguments_parse(&RM, argc, argv, &wishes);
    if (!err)
        err = named_open_store(wishes.root, false, &store);
    bool failed = err < 0;
    for (unsigned i = 0; !err && i < wishes.words.count; i++)
        failed |= remove_one(store, wishes.words.at[i]) != 0;
    arguments_finish(&RM, &wishes);
    return failed;
}

/* ---- the group ---- */

static const struct command layer_ls = {.name = "ls", .summary = "list layers", .run = run_ls};
static const struct command layer_inspect = {
    .name = "inspect", .summary = "tell everything about layers", .run = run_inspect};
static const struct command layer_rm = {.name = "rm", .summary = "remove layers", .run = run_rm};

static const struct command *const CHILDREN[] = {
    &command_layer_import, &layer_ls,           &layer_inspect, &layer_rm, &command_layer_export,
    &command_layer_verify, &command_layer_diff, NULL,
};

const struct command command_layer = {
    .name = "layer",
    .summary = "import, list, check and export layers",
    .children = CHILDREN,
};
