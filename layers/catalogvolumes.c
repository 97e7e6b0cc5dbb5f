/* SPDX-License-Identifier: MIT
 *
 * Duty: volumes, and what mounts have of them, as rows in and out of the database. The invariants
 * are those of catalog.c. What is one of several words there is a number here.
 *
 * A name is taken by the volume that has it and by one that is about to have it. Whoever takes one
 * looks and writes in one transaction.
 */
#include "catalog.h"

#include "catalogdb.h"

#include <string.h>

/* ---- words ---- */

static const char *const origin_words[] = {
    [VOLUME_ORIGIN_ASKED] = "asked",
    [VOLUME_ORIGIN_FROM] = "from",
    [VOLUME_ORIGIN_IMAGE] = "image",
    [VOLUME_ORIGIN_ATTACHED] = "attached",
};

static const char *origin_word(unsigned origin)
{
    return origin <= VOLUME_ORIGIN_ATTACHED ? origin_words[origin] : NULL;
}

static const char *kind_word(unsigned kind)
{
    return kind <= VOLUME_KIND_IMAGE ? volume_kind_word((enum volume_kind)kind) : NULL;
}

/* Takes a word and finds its number. One that is not known here fails the query. */
static unsigned take_word(struct query *query, const char *(*word_of)(unsigned number))
{
    cleanup_free char *word = query_take_text(query);
    for (unsigned number = 0; word && word_of(number); number++) {
        if (strcmp(word, word_of(number)) == 0)
            return number;
    }
    if (!query->err)
        query->err = -EIO;
    return 0;
}

/* ---- pairs ---- */

/* Adds pairs of one kind ("option", "label") to the row that the statement's first parameters, of
 * which the second may be NULL, name. */
static int add_pairs(struct catalog *catalog, enum statement which, const char *const owner[2],
                     const char *kind, const struct volume_pairs *pairs)
{
    int err = 0;
    for (unsigned i = 0; i < pairs->count && !err; i++) {
        cleanup_query struct query query = query_ask(catalog, which);
        query_give_text(&query, owner[0]);
        if (owner[1])
            query_give_text(&query, owner[1]);
        query_give_text(&query, kind);
        query_give_text(&query, pairs->at[i].key);
        query_give_text(&query, pairs->at[i].value);
        err = query_step(&query);
    }
    return err;
}

static int take_pairs(struct catalog *catalog, enum statement which, const char *const owner[2],
                      const char *kind, struct volume_pairs *pairs)
{
    int more;
    cleanup_query struct query query = query_ask(catalog, which);
    query_give_text(&query, owner[0]);
    if (owner[1])
        query_give_text(&query, owner[1]);
    query_give_text(&query, kind);
    while ((more = query_step(&query)) > 0) {
        cleanup_free char *key = query_take_text(&query), *value = query_take_text(&query);
        int err = key && value ? volume_pairs_set(pairs, key, value) : -ENOMEM;
        if (err)
            return err;
    }
    return more;
}

/* ---- volumes ---- */

void volume_row_finish(struct volume_row *row)
{
    free(row->name);
    free(row->driver);
    volume_pairs_finish(&row->options);
    volume_pairs_finish(&row->labels);
    free(row->by_mount);
    free(row->by_image);
    free(row->by_destination);
    free(row->copied_image);
    free(row->copied_path);
    free(row->copied);
    free(row->renaming);
    *row = (struct volume_row){0};
}

int catalog_volume_taken(struct catalog *catalog, const char *name)
{
    cleanup_query struct query query = query_ask(catalog, VOLUME_TAKEN);
    query_give_text(&query, name);
    return query_step(&query);
}

static int check_free(struct catalog *catalog, const char *name)
{
    int taken = catalog_volume_taken(catalog, name);
    return taken > 0 ? -EEXIST : taken;
}

static int add_volume_row(struct catalog *catalog, const struct volume_row *row)
{
    cleanup_query struct query query = query_ask(catalog, VOLUME_ADD);
    query_give_text(&query, row->name);
    query_give_text(&query, row->driver);
    query_give_number(&query, row->created);
    query_give_text(&query, row->by_mount);
    query_give_text(&query, row->by_image);
    query_give_text(&query, row->by_destination);
    query_give_number(&query, row->used);
    query_give_text(&query, row->copied_image);
    query_give_text(&query, row->copied_path);
    query_give_text(&query, row->copied);
    return query_step(&query);
}

static int add_volume(struct catalog *catalog, const struct volume_row *row)
{
    const char *const owner[2] = {row->name, NULL};
    int err = check_free(catalog, row->name);
    if (!err)
        err = add_volume_row(catalog, row);
    if (!err)
        err = add_pairs(catalog, VOLUME_ADD_PAIR, owner, "option", &row->options);
    if (!err)
        err = add_pairs(catalog, VOLUME_ADD_PAIR, owner, "label", &row->labels);
    return err;
}

int catalog_add_volume(struct catalog *catalog, const struct volume_row *row)
{
    bool own;
    int err = catalogdb_change_begin(catalog, &own);
    return err ? err : catalogdb_change_end(catalog, own, add_volume(catalog, row));
}

static int take_volume(struct query *query, struct volume_row *row)
{
    row->name = query_take_text(query);
    row->driver = query_take_text(query);
    row->created = query_take_number(query);
    row->by_mount = query_take_text(query);
    row->by_image = query_take_text(query);
    row->by_destination = query_take_text(query);
    row->used = query_take_number(query);
    row->copied_image = query_take_text(query);
    row->copied_path = query_take_text(query);
    row->copied = query_take_text(query);
    row->renaming = query_take_text(query);
    return query->err;
}

int catalog_find_volume(struct catalog *catalog, const char *name, struct volume_row *row)
{
    const char *const owner[2] = {name, NULL};
    cleanup_query struct query query = query_ask(catalog, VOLUME_ROW);
    *row = (struct volume_row){0};
    query_give_text(&query, name);
    int found = query_step(&query);
    if (found <= 0)
        return found ? found : -ENOENT;
    int err = take_volume(&query, row);
    if (!err)
        err = take_pairs(catalog, VOLUME_PAIRS, owner, "option", &row->options);
    if (!err)
        err = take_pairs(catalog, VOLUME_PAIRS, owner, "label", &row->labels);
    if (err)
        volume_row_finish(row);
    return err;
}

int catalog_remove_volume(struct catalog *catalog, const char *name)
{
    return query_change_by_id(catalog, VOLUME_REMOVE, name);
}

static int begin_rename(struct catalog *catalog, const char *name, const char *to)
{
    cleanup(volume_row_finish) struct volume_row row = {0};
    cleanup_query struct query query = query_ask(catalog, VOLUME_BEGIN_RENAME);
    query_give_text(&query, to);
    query_give_text(&query, name);
    int err = check_free(catalog, to);
    if (!err)
        err = query_change_one(&query);
    if (err != -ENOENT)
        return err;
    err = catalog_find_volume(catalog, name, &row);
    return err ? err : -EBUSY;
}

int catalog_begin_rename_volume(struct catalog *catalog, const char *name, const char *to)
{
    bool own;
    int err = catalogdb_change_begin(catalog, &own);
    return err ? err : catalogdb_change_end(catalog, own, begin_rename(catalog, name, to));
}

int catalog_end_rename_volume(struct catalog *catalog, const char *name, bool done)
{
    return query_change_by_id(catalog, done ? VOLUME_RENAME : VOLUME_KEEP_NAME, name);
}

int catalog_set_volume_used(struct catalog *catalog, const char *name, int64_t when)
{
    cleanup_query struct query query = query_ask(catalog, VOLUME_SET_USED);
    query_give_number(&query, when);
    query_give_text(&query, name);
    return query_change_one(&query);
}

int catalog_set_volume_copied(struct catalog *catalog, const struct volume_row *row)
{
    cleanup_query struct query query = query_ask(catalog, VOLUME_SET_COPIED);
    query_give_text(&query, row->copied_image);
    query_give_text(&query, row->copied_path);
    query_give_text(&query, row->copied);
    query_give_text(&query, row->name);
    return query_change_one(&query);
}

static int each_volume_of(struct catalog *catalog, enum statement which,
                          int (*each)(void *context, const struct volume_row *row), void *context)
{
    cleanup_textlist struct textlist names = {0};
    int result = query_take_list(catalog, which, NULL, &names.at, &names.count);
    for (unsigned i = 0; i < names.count && result == 0; i++) {
        cleanup(volume_row_finish) struct volume_row row = {0};
        result = catalog_find_volume(catalog, names.at[i], &row);
        if (result == 0)
            result = each(context, &row);
        else if (result == -ENOENT) /* removed since */
            result = 0;
    }
    return result;
}

int catalog_each_volume(struct catalog *catalog,
                        int (*each)(void *context, const struct volume_row *row), void *context)
{
    return each_volume_of(catalog, VOLUME_ALL, each, context);
}

int catalog_each_renamed_volume(struct catalog *catalog,
                                int (*each)(void *context, const struct volume_row *row),
                                void *context)
{
    return each_volume_of(catalog, VOLUME_RENAMING, each, context);
}

int catalog_each_volume_user(struct catalog *catalog, const char *name,
                             int (*each)(void *context, const char *mount), void *context)
{
    cleanup_textlist struct textlist mounts = {0};
    int result = query_take_list(catalog, VOLUME_USERS, name, &mounts.at, &mounts.count);
    for (unsigned i = 0; i < mounts.count && result == 0; i++)
        result = each(context, mounts.at[i]);
    return result;
}

/* ---- the volumes of a mount ---- */

void mount_volume_row_finish(struct mount_volume_row *row)
{
    volume_spec_finish(&row->spec);
    *row = (struct mount_volume_row){0};
}

static int add_route_row(struct catalog *catalog, const char *mount,
                         const struct mount_volume_row *row)
{
    const struct volume_spec *spec = &row->spec;
    bool volume = spec->kind == VOLUME_KIND_VOLUME, image = spec->kind == VOLUME_KIND_IMAGE;
    cleanup_query struct query query = query_ask(catalog, ROUTE_ADD);
    query_give_text(&query, mount);
    query_give_text(&query, spec->destination);
    query_give_text(&query, kind_word(spec->kind));
    query_give_text(&query, volume ? spec->source : NULL);
    query_give_text(&query, image ? spec->source : NULL);
    query_give_text(&query, volume || image ? NULL : spec->source);
    query_give_text(&query, spec->mode);
    query_give_text(&query, spec->propagation);
    query_give_text(&query, spec->subpath);
    query_give_text(&query, spec->driver);
    query_give_number(&query, (int64_t)spec->size);
    query_give_number(&query, spec->perm);
    query_give_number(&query, spec->read_only);
    query_give_number(&query, spec->nocopy);
    query_give_number(&query, spec->make_source);
    query_give_number(&query, spec->one_filesystem);
    query_give_text(&query, origin_word(row->origin));
    query_give_number(&query, row->anonymous);
    return query_referred(query_step(&query));
}

static int add_route(struct catalog *catalog, const char *mount, const struct mount_volume_row *row)
{
    const char *const owner[2] = {mount, row->spec.destination};
    int err = add_route_row(catalog, mount, row);
    if (!err)
        err = add_pairs(catalog, ROUTE_ADD_PAIR, owner, "option", &row->spec.options);
    if (!err)
        err = add_pairs(catalog, ROUTE_ADD_PAIR, owner, "label", &row->spec.labels);
    return err;
}

int catalog_add_mount_volume(struct catalog *catalog, const char *mount,
                             const struct mount_volume_row *row)
{
    bool own;
    int err = catalogdb_change_begin(catalog, &own);
    return err ? err : catalogdb_change_end(catalog, own, add_route(catalog, mount, row));
}

int catalog_remove_mount_volume(struct catalog *catalog, const char *mount, const char *destination)
{
    cleanup_query struct query query = query_ask(catalog, ROUTE_REMOVE);
    query_give_text(&query, mount);
    query_give_text(&query, destination);
    return query_change_one(&query);
}

static int take_route(struct query *query, struct mount_volume_row *row)
{
    struct volume_spec *spec = &row->spec;
    spec->destination = query_take_text(query);
    spec->kind = (enum volume_kind)take_word(query, kind_word);
    spec->source = query_take_text(query);
    spec->mode = query_take_text(query);
    spec->propagation = query_take_text(query);
    spec->subpath = query_take_text(query);
    spec->driver = query_take_text(query);
    spec->size = (uint64_t)query_take_number(query);
    spec->perm = (mode_t)query_take_number(query);
    spec->read_only = query_take_number(query);
    spec->nocopy = query_take_number(query);
    spec->make_source = query_take_number(query);
    spec->one_filesystem = query_take_number(query);
    row->origin = (enum volume_origin)take_word(query, origin_word);
    row->anonymous = query_take_number(query);
    return query->err;
}

static int read_route(struct catalog *catalog, const char *mount, const char *destination,
                      struct mount_volume_row *row)
{
    const char *const owner[2] = {mount, destination};
    cleanup_query struct query query = query_ask(catalog, ROUTE_ROW);
    query_give_text(&query, mount);
    query_give_text(&query, destination);
    int found = query_step(&query);
    if (found <= 0)
        return found ? found : -ENOENT;
    int err = take_route(&query, row);
    if (!err)
        err = take_pairs(catalog, ROUTE_PAIRS, owner, "option", &row->spec.options);
    if (!err)
        err = take_pairs(catalog, ROUTE_PAIRS, owner, "label", &row->spec.labels);
    return err;
}

int catalog_each_mount_volume(struct catalog *catalog, const char *mount,
                              int (*each)(void *context, const struct mount_volume_row *row),
                              void *context)
{
    cleanup_textlist struct textlist at = {0};
    int result = query_take_list(catalog, ROUTE_ALL, mount, &at.at, &at.count);
    if (at.count > 1)
        qsort(at.at, at.count, sizeof(*at.at), volume_destination_order);
    for (unsigned i = 0; i < at.count && result == 0; i++) {
        cleanup(mount_volume_row_finish) struct mount_volume_row row = {0};
        result = read_route(catalog, mount, at.at[i], &row);
        if (result == 0)
            result = each(context, &row);
        else if (result == -ENOENT) /* removed since */
            result = 0;
    }
    return result;
}
