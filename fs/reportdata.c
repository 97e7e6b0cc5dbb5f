/* SPDX-License-Identifier: MIT
 *
 * Duty: from the catalog and the disk to what the page shows. Cost: a walk of the upper, of each
 * layer that is a directory outside the store, and two of what each volume hides.
 */
#include "reportdata.h"

#include "account.h"
#include "describe.h"
#include "eventcolumns.h"
#include "log.h"
#include "moment.h"
#include "named.h"
#include "report.h"
#include "shadow.h"
#include "usage.h"

#include <fcntl.h>
#include <string.h>

enum { PATHS = 100 };

/* ---- layers ---- */

/* A directory that is walked; one that cannot be is told and has no numbers. */
static json_t *directory_json(json_t *number, const char *path, bool upper)
{
    struct usage usage = {0};
    cleanup_fd int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int err = dir < 0 ? -errno : usage_of(dir, &usage);
    if (err)
        log_warning("cannot look at how large %s is: %s", path, strerror(-err));
    return json_pack("{s:o, s:n, s:n, s:o, s:n, s:o, s:o}", "Layer", number, "Name", "Id", "Path",
                     report_text(path), "Source", "Size",
                     err ? json_null()
                         : json_integer((json_int_t)(upper ? usage.held : usage.bytes)),
                     "Files", err ? json_null() : json_integer((json_int_t)usage.names));
}

static json_t *layer_json(struct store *store, unsigned number, const char *id)
{
    cleanup_layer_row struct layer_row row = {0};
    cleanup_free char *path = store_layer_path(store, id);
    int err = catalog_find_layer(store->catalog, id, &row);
    if (err || !path) {
        log_error("cannot look up layer %u, %s: %s", number, id, strerror(err ? -err : ENOMEM));
        return NULL;
    }
    return json_pack("{s:i, s:o, s:s, s:o, s:o, s:I, s:I}", "Layer", (int)number, "Name",
                     report_text(row.name), "Id", row.id, "Path", report_text(path), "Source",
                     report_text(row.source), "Size", (json_int_t)row.bytes, "Files",
                     (json_int_t)row.files);
}

/* The layers of its image, or its directories: topmost first, numbered from below. */
static int add_lowers(struct store *store, const struct mount_row *row, json_t *list)
{
    cleanup_image_row struct image_row image = {0};
    int err = row->image ? catalog_find_image(store->catalog, row->image, &image) : 0;
    for (unsigned n = image.layer_count; n > 0 && !err; n--) {
        if (json_array_append_new(list, layer_json(store, n, image.layers[n - 1])) != 0)
            err = -ENOENT;
    }
    for (unsigned i = 0; i < row->lower_count && !err; i++) {
        json_t *number = json_integer(row->lower_count - i);
        if (json_array_append_new(list, directory_json(number, row->lowers[i], false)) != 0)
            err = -ENOMEM;
    }
    return err;
}

static json_t *layers_json(struct store *store, const struct mount_row *row, const json_t *mount,
                           int *err)
{
    json_t *list = json_array();
    const char *upper = json_string_value(json_object_get(mount, "UpperDir"));
    if (upper)
        json_array_append_new(list, directory_json(json_string("upper"), upper, true));
    *err = list ? add_lowers(store, row, list) : -ENOMEM;
    return list;
}

/* ---- the ledger ---- */

static int take_event(void *context, const struct event *event)
{
    return eventcolumns_add(context, event);
}

static json_t *ledger_json(struct store *store, const struct mount_row *row, int *err)
{
    uint64_t lost = 0;
    const struct event_wish wish = {0};
    cleanup_eventcolumns struct eventcolumns *columns = eventcolumns_create();
    *err = columns ? account_each(store, row, &wish, take_event, columns) : -ENOMEM;
    if (!*err)
        *err = catalog_lost_events(store->catalog, row->id, &lost);
    json_t *ledger = *err ? NULL : eventcolumns_json(columns, lost);
    if (!*err && !ledger)
        *err = -ENOMEM;
    return ledger;
}

/* ---- volumes ---- */

struct hiding {
    const char *destination;
    json_t *paths;
};

static int take_hidden(void *context, const struct shadow_item *item)
{
    struct hiding *hiding = context;
    cleanup_free char *path = NULL;
    if (S_ISDIR(item->change->entry->st.st_mode))
        return 0;
    if (asprintf(&path, "%s%s%s", hiding->destination, *item->beneath ? "/" : "", item->beneath) <
        0)
        return path = NULL, -ENOMEM;
    json_t *one = json_pack("{s:o, s:o, s:I}", "Path", report_text(path), "Layer",
                            shadow_layer_word((int)item->layer), "Size", (json_int_t)item->bytes);
    if (json_array_append_new(hiding->paths, one) != 0)
        return -ENOMEM;
    return json_array_size(hiding->paths) == PATHS; /* enough */
}

static json_t *volume_json(const struct volume_spec *spec, const struct shadow_count *count,
                           json_t *paths)
{
    cleanup_free char *words = shadow_words(count);
    return json_pack("{s:o, s:s, s:o, s:b, s:o, s:o, s:O}", "Destination",
                     report_text(spec->destination), "Type", volume_kind_word(spec->kind), "Source",
                     report_text(spec->source), "ReadOnly", spec->read_only, "Hides",
                     report_text(words), "Hidden", shadow_json(count), "Paths", paths);
}

static int add_volume(const struct stack *stack, const struct volume_spec *spec, json_t *list)
{
    cleanup_shadow_count struct shadow_count count = {0};
    struct hiding hiding = {.destination = spec->destination, .paths = json_array()};
    int err = shadow_count(stack, spec->destination, &count);
    if (!err)
        err = shadow_walk(stack, spec->destination, take_hidden, &hiding);
    if (err >= 0)
        err = json_array_append_new(list, volume_json(spec, &count, hiding.paths)) ? -ENOMEM : 0;
    if (err)
        log_error("cannot look at what the volume at %s hides: %s", spec->destination,
                  strerror(-err));
    json_decref(hiding.paths);
    return err;
}

static int add_volumes(struct store *store, const struct mount_row *row, json_t *list)
{
    struct named_view view;
    cleanup_volume_rows struct volume_rows volumes = {0};
    int err = volume_rows_load(store, row->id, &volumes);
    if (err || volumes.count == 0)
        return err;
    err = named_view_open(store, row, &view);
    if (err)
        return err;
    for (unsigned i = 0; i < volumes.count && !err; i++)
        err = add_volume(&view.stack, &volumes.at[i].spec, list);
    named_view_close(&view);
    return err;
}

static json_t *volumes_json(struct store *store, const struct mount_row *row, int *err)
{
    json_t *list = json_array();
    *err = list ? add_volumes(store, row, list) : -ENOMEM;
    return list;
}

/* ---- all of it ---- */

json_t *reportdata_gather(struct store *store, const struct mount_row *row, int *err)
{
    char now[36];
    json_t *ledger = NULL, *layers = NULL, *volumes = NULL;
    named_flush(store, row);
    json_t *mount = describe_mount_fully(store, row, err);
    if (*err)
        log_error("cannot look at %s: %s", row->name, strerror(-*err));
    else
        ledger = ledger_json(store, row, err);
    if (!*err)
        layers = layers_json(store, row, mount, err);
    if (!*err)
        volumes = volumes_json(store, row, err);
    if (*err) {
        json_decref(mount);
        json_decref(ledger);
        json_decref(layers);
        json_decref(volumes);
        return NULL;
    }
    json_t *data = json_pack("{s:s, s:s, s:o, s:o, s:o, s:o}", "Generated",
                             report_time(now, moment_now()), "Version", PLYFS_VERSION, "Mount",
                             mount, "Layers", layers, "Ledger", ledger, "Volumes", volumes);
    *err = data ? 0 : -ENOMEM;
    return data;
}
