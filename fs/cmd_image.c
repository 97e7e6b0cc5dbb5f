/* SPDX-License-Identifier: MIT
 *
 * Duty: `plyfs image`: its commands, and those of them that ask and change the catalog.
 */
#include "command.h"

#include "arguments.h"
#include "imagename.h"
#include "imageremove.h"
#include "imageword.h"
#include "log.h"
#include "named.h"
#include "report.h"

#include <stdio.h>
#include <string.h>

struct wishes {
    const char *root;
    bool force;
    struct report report;
    struct words words;
};

/* ---- ls ---- */

static const struct column COLUMNS[] = {
    {"Id", "IMAGE ID", COLUMN_ID},       {"Names", "NAMES", COLUMN_LIST},
    {"Created", "CREATED", COLUMN_TIME}, {"Layers", "LAYERS", COLUMN_COUNT},
    {"Size", "SIZE", COLUMN_SIZE},       {"Platform", NULL, COLUMN_TEXT},
    {"ImportedAt", NULL, COLUMN_TIME},
};

static const struct argument LS_ARGUMENTS[] = {
    REPORT_ARGUMENTS(struct wishes, report),
    ARGUMENT_ROOT(struct wishes, root),
};

static const struct syntax LS = {
    .command = "image ls",
    ARGUMENTS(LS_ARGUMENTS),
    .about = "Lists the images of the store, the oldest first.\n",
    .example = "plyfs image ls --filter names=debian:12 --format '{{.Id}} {{.Size}}'",
};

static int take_image(void *context, const struct image_row *row)
{
    return json_array_append_new(context, imageword_json(row)) ? -ENOMEM : 0;
}

static int list(const struct wishes *wishes)
{
    cleanup_store struct store *store = NULL;
    int err = report_check(&wishes->report);
    if (!err)
        err = named_open_store(wishes->root, true, &store);
    if (err)
        return err;
    json_t *rows = json_array();
    err = catalog_each_image(store->catalog, take_image, rows);
    if (!err)
        err = report_print(&wishes->report, rows);
    json_decref(rows);
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
    .command = "image inspect",
    .words = "IMAGE...",
    .least = 1,
    .most = ARGUMENTS_ANY,
    .words_at = offsetof(struct wishes, words),
    ARGUMENTS(INSPECT_ARGUMENTS),
    .about = "Tells everything about images, as a JSON array.\n",
    .example = "plyfs image inspect --format '{{.Config.Cmd}}' debian:12",
};

static int inspect_one(void *context, const char *word, json_t *found)
{
    const struct store *store = context;
    cleanup_image_row struct image_row row;
    const char *name;
    int err = imageword_find(store, word, &row, &name);
    if (!err && json_array_append_new(found, imageword_json_fully(store, &row)) != 0)
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

/* ---- tag ---- */

static const struct argument TAG_ARGUMENTS[] = {
    ARGUMENT_ROOT(struct wishes, root),
};

static const struct syntax TAG = {
    .command = "image tag",
    .words = "IMAGE NAME",
    .least = 2,
    .most = 2,
    .words_at = offsetof(struct wishes, words),
    ARGUMENTS(TAG_ARGUMENTS),
    .about = "Gives an image one more name, taken from whatever has it.\n",
    .example = "plyfs image tag debian:12 base",
};

static int tag(const struct wishes *wishes)
{
    const char *word = wishes->words.at[0], *wish = wishes->words.at[1], *known;
    char name[IMAGENAME_SIZE];
    cleanup_store struct store *store = NULL;
    cleanup_image_row struct image_row row = {0};
    int err = imagename_normal(wish, name);
    if (err) {
        log_error("'%s' is no name for an image: write NAME[:TAG], in small letters", wish);
        return err;
    }
    err = named_open_store(wishes->root, false, &store);
    if (!err)
        err = imageword_find(store, word, &row, &known);
    if (err)
        return err;
    err = catalog_tag_image(store->catalog, row.id, name);
    if (err)
        log_error("cannot name %s %s: %s", word, name, strerror(-err));
    return err;
}

static int run_tag(int argc, char **argv)
{
    struct wishes wishes = {0};
    int err = arguments_parse(&TAG, argc, argv, &wishes);
    if (!err)
        err = tag(&wishes);
    arguments_finish(&TAG, &wishes);
    return err < 0;
}

/* ---- rm ---- */

static const struct argument RM_ARGUMENTS[] = {
    {.name = "force",
     .letter = 'f',
     .kind = ARGUMENT_FLAG,
     .at = offsetof(struct wishes, force),
     .help = "by an id: also an image of several names"},
    ARGUMENT_ROOT(struct wishes, root),
};

static const struct syntax RM = {
    .command = "image rm",
    .words = "IMAGE...",
    .least = 1,
    .most = ARGUMENTS_ANY,
    .words_at = offsetof(struct wishes, words),
    ARGUMENTS(RM_ARGUMENTS),
    .about = "Takes names away; an image that has lost its last name, or is meant by its id, is\n"
             "removed, with the layers that nothing else has. One that a mount needs stays.\n",
    .example = "plyfs image rm debian:12",
};

/* Those that keep an image from being removed. */
struct users {
    const struct store *store;
    const char *image;
    FILE *names;
};

static int is_route_to(void *context, const struct mount_volume_row *route)
{
    const struct users *users = context;
    return route->spec.kind == VOLUME_KIND_IMAGE && strcmp(route->spec.source, users->image) == 0;
}

static int name_user(void *context, const struct mount_row *mount)
{
    struct users *users = context;
    bool made_from = mount->image && strcmp(mount->image, users->image) == 0;
    int uses =
        made_from ? 1
                  : catalog_each_mount_volume(users->store->catalog, mount->id, is_route_to, users);
    if (uses > 0)
        fprintf(users->names, " %s", mount->name);
    return uses < 0 ? uses : 0;
}

static void tell_users(const struct store *store, const char *word, const struct image_row *row)
{
    cleanup_free char *names = NULL;
    size_t size;
    struct users users = {store, row->id, open_memstream(&names, &size)};
    if (!users.names)
        return;
    int err = catalog_each_mount(store->catalog, name_user, &users);
    if (fclose(users.names) == 0 && !err)
        log_error("cannot remove %s: mounts need it:%s; remove those first", word, names);
}

static int remove_image(struct store *store, const char *word, const struct image_row *row)
{
    struct image_removed removed;
    cleanup_image_row struct image_row again = {0};
    const char *name;
    int err = image_remove(store, row, &removed);
    if (err == -EBUSY)
        tell_users(store, word, row);
    /* Where somebody was faster, that it is not there is all there is to tell. */
    else if (err == -ENOENT && imageword_find(store, word, &again, &name) == -ENOENT)
        return err;
    else if (err)
        log_error("cannot remove all of %s: %s; plyfs doctor --repair clears what is left", word,
                  strerror(-err));
    return err;
}

static int untag(struct store *store, const char *name)
{
    int err = catalog_untag_image(store->catalog, name);
    if (err)
        log_error("cannot take the name %s away: %s", name, strerror(-err));
    return err;
}

static int remove_one(struct store *store, const char *word, bool force)
{
    cleanup_image_row struct image_row row;
    const char *name;
    int err = imageword_find(store, word, &row, &name);
    if (err)
        return err;
    if (name && row.name_count > 1)
        return untag(store, name);
    if (row.name_count > 1 && !force) {
        log_error("%s has %u names; say which, or -f for all of them", word, row.name_count);
        return -EBUSY;
    }
    return remove_image(store, word, &row);
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
        failed |= remove_one(store, wishes.words.at[i], wishes.force) != 0;
    arguments_finish(&RM, &wishes);
    return failed;
}

/* ---- the group ---- */

static const struct command image_ls = {.name = "ls", .summary = "list images", .run = run_ls};
static const struct command image_inspect = {
    .name = "inspect", .summary = "tell everything about images", .run = run_inspect};
static const struct command image_tag = {
    .name = "tag", .summary = "give an image one more name", .run = run_tag};
static const struct command image_rm = {.name = "rm", .summary = "remove images", .run = run_rm};

static const struct command *const CHILDREN[] = {
    &command_image_import, &image_ls, &image_inspect, &image_tag, &image_rm,
    &command_image_export, NULL,
};

const struct command command_image = {
    .name = "image",
    .summary = "import, list, name and export images",
    .children = CHILDREN,
};
