/* SPDX-License-Identifier: MIT
 *
 * Duty: rows of volumes in Docker's words. Cost: one or two questions to the catalog for each.
 */
#include "volumeword.h"

#include "log.h"
#include "report.h"
#include "volume.h"
#include "volumeinplace.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/* How long a listing waits for a driver. */
enum { PATIENCE = 2 };

/* ---- words ---- */

static int add_pair(const char *word, const char *option, struct volume_pairs *pairs)
{
    size_t length = strcspn(word, "=");
    cleanup_free char *key = strndup(word, length);
    if (!key)
        return -ENOMEM;
    if (length > 0)
        return volume_pairs_set(pairs, key, word[length] ? word + length + 1 : "");
    log_error("%s '%s': write KEY=VALUE", option, word);
    return -EINVAL;
}

int volumeword_pairs(const struct words *words, const char *option, struct volume_pairs *pairs)
{
    int err = 0;
    for (unsigned i = 0; !err && i < words->count; i++)
        err = add_pair(words->at[i], option, pairs);
    return err;
}

bool volumeword_has(const struct volume_pairs *pairs, const char *wanted)
{
    size_t length = strcspn(wanted, "=");
    for (unsigned i = 0; i < pairs->count; i++) {
        const struct volume_pair *pair = &pairs->at[i];
        if (strncmp(pair->key, wanted, length) == 0 && pair->key[length] == 0)
            return !wanted[length] || strcmp(pair->value, wanted + length + 1) == 0;
    }
    return false;
}

/* ---- facts ---- */

static int count_user(void *context, const char *mount)
{
    (void)mount;
    ++*(unsigned *)context;
    return 0;
}

int volumeword_users(const struct store *store, const struct volume_row *row, unsigned *count)
{
    *count = 0;
    return catalog_each_volume_user(store->catalog, row->name, count_user, count);
}

static int name_user(void *context, const char *mount)
{
    return json_array_append_new(context, report_text(mount)) == 0 ? 0 : -ENOMEM;
}

/* The names of those mounts; NULL when they cannot be told. */
static json_t *users_json(const struct store *store, const struct volume_row *row)
{
    json_t *names = json_array();
    if (names && catalog_each_volume_user(store->catalog, row->name, name_user, names) == 0)
        return names;
    json_decref(names);
    return NULL;
}

static json_t *time_json(int64_t when)
{
    char text[36];
    return when ? json_string(report_time(text, when)) : json_null();
}

static json_t *pairs_json(const struct volume_pairs *pairs)
{
    json_t *object = json_object();
    int failed = object ? 0 : -1;
    for (unsigned i = 0; !failed && i < pairs->count; i++) {
        json_t *key = report_text(pairs->at[i].key);
        failed =
            json_object_set_new(object, json_string_value(key), report_text(pairs->at[i].value));
        json_decref(key);
    }
    if (!failed)
        return object;
    json_decref(object);
    return NULL;
}

static json_t *pairs_text(const struct volume_pairs *pairs)
{
    cleanup_free char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return NULL;
    for (unsigned i = 0; i < pairs->count; i++)
        fprintf(out, "%s%s=%s", i ? "," : "", pairs->at[i].key, pairs->at[i].value);
    return fclose(out) == 0 ? report_text(text) : NULL;
}

/* Where its content is on this machine; "" for what its driver has not mounted. */
static json_t *mountpoint_json(const struct store *store, const struct volume_row *row)
{
    cleanup_free char *path = NULL;
    int err = volume_content_path(store, row, &path);
    if (err)
        path = NULL;
    return err == -ENOMEM ? NULL : report_text(path ? path : "");
}

/* ---- rows ---- */

json_t *volumeword_line(const struct store *store, const struct volume_row *row,
                        const char *trouble)
{
    unsigned users;
    if (volumeword_users(store, row, &users) != 0)
        return NULL;
    return json_pack("{s:s, s:s, s:s, s:o, s:o, s:i, s:o, s:o, s:o, s:o, s:o, s:o}", "Driver",
                     row->driver, "Name", row->name, "Scope", "local", "Mountpoint",
                     mountpoint_json(store, row), "Labels", pairs_text(&row->labels), "Links",
                     (int)users, "CreatedAt", time_json(row->created), "UsedAt",
                     time_json(row->used), "Mount", report_text(row->by_mount), "Image",
                     report_text(row->by_image), "Destination", report_text(row->by_destination),
                     "Status", report_text(trouble ? trouble : ""));
}

static json_t *status_json(const struct store *store, const struct volume_row *row)
{
    cleanup_free char *trouble = volumedriver_trouble(store, row, PATIENCE);
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "Mount",
                     report_text(row->by_mount), "Image", report_text(row->by_image), "Destination",
                     report_text(row->by_destination), "UsedAt", time_json(row->used),
                     "CopiedImage", report_text(row->copied_image), "CopiedPath",
                     report_text(row->copied_path), "UsedBy", users_json(store, row), "Trouble",
                     report_text(trouble));
}

json_t *volumeword_json(const struct store *store, const struct volume_row *row)
{
    return json_pack("{s:o, s:s, s:o, s:o, s:s, s:o, s:s, s:o}", "CreatedAt",
                     time_json(row->created), "Driver", row->driver, "Labels",
                     pairs_json(&row->labels), "Mountpoint", mountpoint_json(store, row), "Name",
                     row->name, "Options", pairs_json(&row->options), "Scope", "local", "Status",
                     status_json(store, row));
}

/* ---- content ---- */

int volumeword_view_open(struct store *store, const struct volume_row *row,
                         struct volumeword_view *view)
{
    char id[STORE_ID_SIZE];
    *view = VOLUMEWORD_VIEW_NONE;
    int err = store_new_id(id);
    if (!err)
        err = volumedriver_use(store, row, id, &view->use);
    if (err)
        return err;
    view->tree = open(view->use.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    err = view->tree < 0 ? -errno : 0;
    if (err)
        log_error("cannot read the volume %s in %s: %s", row->name, view->use.path, strerror(-err));
    return err;
}

int volumeword_is_empty(const struct volumeword_view *view, const struct volume_row *row)
{
    int empty = volumeinplace_is_empty(view->tree);
    if (empty < 0)
        log_error("cannot read the volume %s: %s", row->name, strerror(-empty));
    return empty;
}

void volumeword_view_close(struct volumeword_view *view)
{
    own_close(&view->tree);
    volumedriver_release(&view->use);
}
