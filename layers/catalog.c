/* SPDX-License-Identifier: MIT
 *
 * Duty: layers, images and mounts as rows in and out of the database.
 *
 * Invariants: no statement is left stepped when a function of this file returns, or when it calls
 * back; so a callback may do anything with the catalog. A row is read with its children while its
 * own statement still holds the snapshot, so the two agree.
 *
 * Cost: finding is one or two looks into an index; a listing reads all ids, and then a row for each
 * call.
 */
#include "catalog.h"

#include "catalogdb.h"
#include "moment.h"

#include <stdio.h>
#include <string.h>

enum { ID_DIGITS = 64 };

/* ---- words that mean a row ---- */

static bool is_hex(const char *word)
{
    return *word && strspn(word, "0123456789abcdef") == strlen(word);
}

static int take_id(struct query *query, char **id)
{
    int found = query_step(query);
    if (found <= 0)
        return found ? found : -ENOENT;
    *id = query_take_text(query);
    return query->err;
}

static int find_by_prefix(struct catalog *catalog, enum statement by_prefix, const char *word,
                          char **id)
{
    cleanup_query struct query query = query_ask(catalog, by_prefix);
    query_give_text(&query, word);
    int err = take_id(&query, id);
    if (err)
        return err;
    int more = query_step(&query);
    if (more) {
        free(*id);
        *id = NULL;
    }
    return more > 0 ? -ENOTUNIQ : more;
}

static int find_by_text(struct catalog *catalog, enum statement by_text, const char *text,
                        char **id)
{
    cleanup_query struct query query = query_ask(catalog, by_text);
    query_give_text(&query, text);
    return take_id(&query, id);
}

/* A whole id comes before a name, so that no name can hide a row; a shortened one after it. */
static int find_id(struct catalog *catalog, enum statement by_name, enum statement by_prefix,
                   const char *word, const char *name, char **id)
{
    const char algorithm[] = "sha256:";
    bool marked = strncmp(word, algorithm, sizeof(algorithm) - 1) == 0;
    const char *digits = marked ? word + sizeof(algorithm) - 1 : word;
    bool hex = is_hex(digits);
    int err = -ENOENT;
    *id = NULL;
    if (hex && strlen(digits) == ID_DIGITS)
        err = find_by_prefix(catalog, by_prefix, digits, id);
    if (err == -ENOENT && !marked)
        err = find_by_text(catalog, by_name, name, id);
    if (err == -ENOENT && hex)
        err = find_by_prefix(catalog, by_prefix, digits, id);
    return err;
}

/* ---- layers ---- */

void layer_row_finish(struct layer_row *row)
{
    free(row->id);
    free(row->name);
    free(row->source);
    free(row->entries);
    *row = (struct layer_row){0};
}

int catalog_add_layer(struct catalog *catalog, const struct layer_row *row)
{
    cleanup_query struct query query = query_ask(catalog, LAYER_ADD);
    query_give_text(&query, row->id);
    query_give_text(&query, row->name);
    query_give_text(&query, row->source);
    query_give_text(&query, row->entries);
    query_give_number(&query, row->created);
    query_give_number(&query, (int64_t)row->files);
    query_give_number(&query, (int64_t)row->bytes);
    query_give_number(&query, (int64_t)row->tar_bytes);
    query_give_number(&query, row->skeleton);
    return query_step(&query);
}

static int read_layer(struct catalog *catalog, const char *id, struct layer_row *row)
{
    cleanup_query struct query query = query_ask(catalog, LAYER_ROW);
    query_give_text(&query, id);
    int found = query_step(&query);
    if (found <= 0)
        return found ? found : -ENOENT;
    row->id = query_take_text(&query);
    row->name = query_take_text(&query);
    row->source = query_take_text(&query);
    row->entries = query_take_text(&query);
    row->created = query_take_number(&query);
    row->files = (uint64_t)query_take_number(&query);
    row->bytes = (uint64_t)query_take_number(&query);
    row->tar_bytes = (uint64_t)query_take_number(&query);
    row->skeleton = query_take_number(&query);
    if (query.err)
        layer_row_finish(row);
    return query.err;
}

int catalog_find_layer(struct catalog *catalog, const char *word, struct layer_row *row)
{
    cleanup_free char *id = NULL;
    *row = (struct layer_row){0};
    int err = find_id(catalog, LAYER_BY_NAME, LAYER_BY_PREFIX, word, word, &id);
    return err ? err : read_layer(catalog, id, row);
}

int catalog_name_layer(struct catalog *catalog, const char *id, const char *name)
{
    cleanup_query struct query query = query_ask(catalog, LAYER_NAME);
    query_give_text(&query, name);
    query_give_text(&query, id);
    return query_change_one(&query);
}

int catalog_remove_layer(struct catalog *catalog, const char *id)
{
    return query_change_by_id(catalog, LAYER_REMOVE, id);
}

int catalog_each_layer(struct catalog *catalog,
                       int (*each)(void *context, const struct layer_row *row), void *context)
{
    cleanup_textlist struct textlist ids = {0};
    int result = query_take_list(catalog, LAYER_ALL, NULL, &ids.at, &ids.count);
    for (unsigned i = 0; i < ids.count && result == 0; i++) {
        cleanup(layer_row_finish) struct layer_row row = {0};
        result = read_layer(catalog, ids.at[i], &row);
        if (result == 0)
            result = each(context, &row);
        else if (result == -ENOENT) /* removed since */
            result = 0;
    }
    return result;
}

/* ---- images ---- */

void image_row_finish(struct image_row *row)
{
    free(row->id);
    free(row->config);
    textlist_finish(row->layers, row->layer_count);
    textlist_finish(row->names, row->name_count);
    *row = (struct image_row){0};
}

/* "name" as the name that it is short for: a colon before the last slash is that of a port. */
static char *whole_name(const char *name)
{
    const char *slash = strrchr(name, '/');
    char *whole = NULL;
    bool tagged = strchr(slash ? slash : name, ':');
    return asprintf(&whole, "%s%s", name, tagged ? "" : ":latest") < 0 ? NULL : whole;
}

static int add_image_layer(struct catalog *catalog, const char *image, unsigned position,
                           const char *layer)
{
    cleanup_query struct query query = query_ask(catalog, IMAGE_ADD_LAYER);
    query_give_text(&query, image);
    query_give_number(&query, position);
    query_give_text(&query, layer);
    return query_referred(query_step(&query));
}

/* 1: it was not there before. */
static int add_image_row(struct catalog *catalog, const struct image_row *row)
{
    cleanup_query struct query query = query_ask(catalog, IMAGE_ADD);
    query_give_text(&query, row->id);
    query_give_text(&query, row->config);
    query_give_number(&query, row->created);
    int err = query_step(&query);
    return err ? err : query_changed(&query);
}

static int add_image(struct catalog *catalog, const struct image_row *row)
{
    int added = add_image_row(catalog, row), err = added < 0 ? added : 0;
    for (unsigned i = 0; i < row->layer_count && added == 1 && !err; i++)
        err = add_image_layer(catalog, row->id, i, row->layers[i]);
    for (unsigned i = 0; i < row->name_count && !err; i++)
        err = catalog_tag_image(catalog, row->id, row->names[i]);
    return err;
}

int catalog_add_image(struct catalog *catalog, const struct image_row *row)
{
    bool own;
    int err = catalogdb_change_begin(catalog, &own);
    return err ? err : catalogdb_change_end(catalog, own, add_image(catalog, row));
}

static int read_image(struct catalog *catalog, const char *id, struct image_row *row)
{
    cleanup_query struct query query = query_ask(catalog, IMAGE_ROW);
    query_give_text(&query, id);
    int found = query_step(&query);
    if (found <= 0)
        return found ? found : -ENOENT;
    row->id = query_take_text(&query);
    row->config = query_take_text(&query);
    row->created = query_take_number(&query);
    row->bytes = (uint64_t)query_take_number(&query);
    int err = query.err;
    if (!err)
        err = query_take_list(catalog, IMAGE_LAYERS, id, &row->layers, &row->layer_count);
    if (!err)
        err = query_take_list(catalog, IMAGE_NAMES, id, &row->names, &row->name_count);
    if (err)
        image_row_finish(row);
    return err;
}

int catalog_find_image(struct catalog *catalog, const char *word, struct image_row *row)
{
    cleanup_free char *id = NULL, *name = whole_name(word);
    *row = (struct image_row){0};
    if (!name)
        return -ENOMEM;
    int err = find_id(catalog, IMAGE_BY_NAME, IMAGE_BY_PREFIX, word, name, &id);
    return err ? err : read_image(catalog, id, row);
}

int catalog_tag_image(struct catalog *catalog, const char *id, const char *name)
{
    cleanup_free char *whole = whole_name(name);
    if (!whole)
        return -ENOMEM;
    cleanup_query struct query query = query_ask(catalog, IMAGE_TAG);
    query_give_text(&query, whole);
    query_give_text(&query, id);
    return query_referred(query_step(&query));
}

int catalog_untag_image(struct catalog *catalog, const char *name)
{
    cleanup_free char *whole = whole_name(name);
    return whole ? query_change_by_id(catalog, IMAGE_UNTAG, whole) : -ENOMEM;
}

int catalog_remove_image(struct catalog *catalog, const char *id)
{
    return query_change_by_id(catalog, IMAGE_REMOVE, id);
}

int catalog_each_image(struct catalog *catalog,
                       int (*each)(void *context, const struct image_row *row), void *context)
{
    cleanup_textlist struct textlist ids = {0};
    int result = query_take_list(catalog, IMAGE_ALL, NULL, &ids.at, &ids.count);
    for (unsigned i = 0; i < ids.count && result == 0; i++) {
        cleanup(image_row_finish) struct image_row row = {0};
        result = read_image(catalog, ids.at[i], &row);
        if (result == 0)
            result = each(context, &row);
        else if (result == -ENOENT)
            result = 0;
    }
    return result;
}

/* ---- mounts ---- */

void mount_row_finish(struct mount_row *row)
{
    free(row->id);
    free(row->name);
    free(row->image);
    textlist_finish(row->lowers, row->lower_count);
    free(row->options);
    free(row->mountpoint);
    free(row->boot);
    *row = (struct mount_row){0};
}

static int add_lower(struct catalog *catalog, const char *mount, unsigned position,
                     const char *path)
{
    cleanup_query struct query query = query_ask(catalog, MOUNT_ADD_LOWER);
    query_give_text(&query, mount);
    query_give_number(&query, position);
    query_give_text(&query, path);
    return query_step(&query);
}

static int add_mount_row(struct catalog *catalog, const struct mount_row *row)
{
    cleanup_query struct query query = query_ask(catalog, MOUNT_ADD);
    query_give_text(&query, row->id);
    query_give_text(&query, row->name);
    query_give_text(&query, row->image);
    query_give_text(&query, row->options ? row->options : "");
    query_give_number(&query, row->ephemeral);
    query_give_number(&query, row->created);
    return query_referred(query_step(&query));
}

int catalog_add_mount(struct catalog *catalog, const struct mount_row *row)
{
    bool own;
    int err = catalogdb_change_begin(catalog, &own);
    if (err)
        return err;
    err = add_mount_row(catalog, row);
    for (unsigned i = 0; i < row->lower_count && !err; i++)
        err = add_lower(catalog, row->id, i, row->lowers[i]);
    return catalogdb_change_end(catalog, own, err);
}

static int read_mount(struct catalog *catalog, const char *id, struct mount_row *row)
{
    cleanup_query struct query query = query_ask(catalog, MOUNT_ROW);
    query_give_text(&query, id);
    int found = query_step(&query);
    if (found <= 0)
        return found ? found : -ENOENT;
    row->id = query_take_text(&query);
    row->name = query_take_text(&query);
    row->image = query_take_text(&query);
    row->options = query_take_text(&query);
    row->ephemeral = query_take_number(&query);
    row->created = query_take_number(&query);
    row->mountpoint = query_take_text(&query);
    row->mounted = query_take_number(&query);
    row->pid = query_take_number(&query);
    row->boot = query_take_text(&query);
    int err = query.err;
    if (!err)
        err = query_take_list(catalog, MOUNT_LOWERS, id, &row->lowers, &row->lower_count);
    if (err)
        mount_row_finish(row);
    return err;
}

int catalog_find_mount(struct catalog *catalog, const char *word, struct mount_row *row)
{
    cleanup_free char *id = NULL;
    *row = (struct mount_row){0};
    int err = *word == '/' ? find_by_text(catalog, MOUNT_BY_MOUNTPOINT, word, &id)
                           : find_id(catalog, MOUNT_BY_NAME, MOUNT_BY_PREFIX, word, word, &id);
    return err ? err : read_mount(catalog, id, row);
}

int catalog_rename_mount(struct catalog *catalog, const char *id, const char *name)
{
    cleanup_query struct query query = query_ask(catalog, MOUNT_RENAME);
    query_give_text(&query, name);
    query_give_text(&query, id);
    return query_change_one(&query);
}

int catalog_set_mounted(struct catalog *catalog, const char *id, const char *mountpoint,
                        int64_t pid, const char *boot)
{
    cleanup_query struct query query = query_ask(catalog, MOUNT_SET_MOUNTED);
    query_give_text(&query, mountpoint);
    query_give_number(&query, moment_now());
    query_give_number(&query, pid);
    query_give_text(&query, boot);
    query_give_text(&query, id);
    return query_change_one(&query);
}

int catalog_set_unmounted(struct catalog *catalog, const char *id)
{
    return query_change_by_id(catalog, MOUNT_SET_UNMOUNTED, id);
}

int catalog_remove_mount(struct catalog *catalog, const char *id)
{
    return query_change_by_id(catalog, MOUNT_REMOVE, id);
}

int catalog_each_mount(struct catalog *catalog,
                       int (*each)(void *context, const struct mount_row *row), void *context)
{
    cleanup_textlist struct textlist ids = {0};
    int result = query_take_list(catalog, MOUNT_ALL, NULL, &ids.at, &ids.count);
    for (unsigned i = 0; i < ids.count && result == 0; i++) {
        cleanup(mount_row_finish) struct mount_row row = {0};
        result = read_mount(catalog, ids.at[i], &row);
        if (result == 0)
            result = each(context, &row);
        else if (result == -ENOENT)
            result = 0;
    }
    return result;
}
