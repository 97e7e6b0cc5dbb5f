/* SPDX-License-Identifier: MIT
 *
 * Duty: rows in and out of SQLite; no other file knows that there is such a thing.
 *
 * Every statement is a line of one table, prepared at its first use and kept. A query gives its
 * values in the order of the statement's parameters and takes its columns in their order; the first
 * failure stays in it and is told by the next step, so a caller looks once.
 *
 * Invariants: no statement is left stepped when a function of this file returns, or when it calls
 * back; so a callback may do anything with the catalog. A row is read with its children while its
 * own statement still holds the snapshot, so the two agree. What changes several rows is whole or
 * nothing, in the caller's transaction as well.
 *
 * Cost: finding is one or two looks into an index; a listing reads all ids, and then a row for each
 * call. A commit waits for the disk once.
 */
#include "catalog.h"

#include "fd.h"
#include "log.h"
#include "moment.h"
#include "schema.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

enum { BUSY_MILLISECONDS = 30000, ID_DIGITS = 64 };

/* ---- the statements ---- */

enum statement {
    VERSION,
    BEGIN,
    COMMIT,
    ROLLBACK,
    SAVE,
    SAVE_KEEP,
    SAVE_UNDO,

    LAYER_ADD,
    LAYER_NAME,
    LAYER_REMOVE,
    LAYER_ROW,
    LAYER_BY_NAME,
    LAYER_BY_PREFIX,
    LAYER_ALL,

    IMAGE_ADD,
    IMAGE_ADD_LAYER,
    IMAGE_TAG,
    IMAGE_UNTAG,
    IMAGE_REMOVE,
    IMAGE_ROW,
    IMAGE_LAYERS,
    IMAGE_NAMES,
    IMAGE_BY_NAME,
    IMAGE_BY_PREFIX,
    IMAGE_ALL,

    MOUNT_ADD,
    MOUNT_ADD_LOWER,
    MOUNT_RENAME,
    MOUNT_SET_MOUNTED,
    MOUNT_SET_UNMOUNTED,
    MOUNT_REMOVE,
    MOUNT_ROW,
    MOUNT_LOWERS,
    MOUNT_BY_NAME,
    MOUNT_BY_PREFIX,
    MOUNT_BY_MOUNTPOINT,
    MOUNT_ALL,

    STATEMENT_COUNT,
};

/* Ids are lower-case hex digits, so 'g' ends the range of all that begin with ?1. */
#define BY_PREFIX(table) "SELECT id FROM " table " WHERE id >= ?1 AND id < ?1 || 'g' LIMIT 2"

static const char *const texts[STATEMENT_COUNT] = {
    [VERSION] = "PRAGMA user_version",
    [BEGIN] = "BEGIN IMMEDIATE",
    [COMMIT] = "COMMIT",
    [ROLLBACK] = "ROLLBACK",
    [SAVE] = "SAVEPOINT change",
    [SAVE_KEEP] = "RELEASE change",
    [SAVE_UNDO] = "ROLLBACK TO change",

    [LAYER_ADD] = "INSERT INTO layer"
                  " (id, name, source, entries, created, files, bytes, tar_bytes, skeleton)"
                  " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [LAYER_NAME] = "UPDATE layer SET name = ? WHERE id = ?",
    [LAYER_REMOVE] = "DELETE FROM layer WHERE id = ?",
    [LAYER_ROW] = "SELECT id, name, source, entries, created, files, bytes, tar_bytes, skeleton"
                  " FROM layer WHERE id = ?",
    [LAYER_BY_NAME] = "SELECT id FROM layer WHERE name = ?",
    [LAYER_BY_PREFIX] = BY_PREFIX("layer"),
    [LAYER_ALL] = "SELECT id FROM layer ORDER BY created, id",

    [IMAGE_ADD] = "INSERT INTO image (id, config, created) VALUES (?, ?, ?)"
                  " ON CONFLICT (id) DO NOTHING",
    [IMAGE_ADD_LAYER] = "INSERT INTO image_layer (image, position, layer) VALUES (?, ?, ?)",
    [IMAGE_TAG] = "INSERT INTO tag (name, image) VALUES (?, ?)"
                  " ON CONFLICT (name) DO UPDATE SET image = excluded.image",
    [IMAGE_UNTAG] = "DELETE FROM tag WHERE name = ?",
    [IMAGE_REMOVE] = "DELETE FROM image WHERE id = ?",
    [IMAGE_ROW] = "SELECT id, config, created, (SELECT coalesce(sum(bytes), 0) FROM layer"
                  " WHERE id IN (SELECT layer FROM image_layer WHERE image = this.id))"
                  " FROM image AS this WHERE id = ?",
    [IMAGE_LAYERS] = "SELECT layer FROM image_layer WHERE image = ? ORDER BY position",
    [IMAGE_NAMES] = "SELECT name FROM tag WHERE image = ? ORDER BY name",
    [IMAGE_BY_NAME] = "SELECT image FROM tag WHERE name = ?",
    [IMAGE_BY_PREFIX] = BY_PREFIX("image"),
    [IMAGE_ALL] = "SELECT id FROM image ORDER BY created, id",

    [MOUNT_ADD] = "INSERT INTO mount (id, name, image, options, ephemeral, created)"
                  " VALUES (?, ?, ?, ?, ?, ?)",
    [MOUNT_ADD_LOWER] = "INSERT INTO mount_lower (mount, position, path) VALUES (?, ?, ?)",
    [MOUNT_RENAME] = "UPDATE mount SET name = ? WHERE id = ?",
    [MOUNT_SET_MOUNTED] = "UPDATE mount SET mountpoint = ?, mounted = ?, pid = ?, boot = ?"
                          " WHERE id = ?",
    [MOUNT_SET_UNMOUNTED] = "UPDATE mount SET mountpoint = NULL WHERE id = ?",
    [MOUNT_REMOVE] = "DELETE FROM mount WHERE id = ?",
    [MOUNT_ROW] = "SELECT id, name, image, options, ephemeral, created, mountpoint, mounted, pid,"
                  " boot FROM mount WHERE id = ?",
    [MOUNT_LOWERS] = "SELECT path FROM mount_lower WHERE mount = ? ORDER BY position",
    [MOUNT_BY_NAME] = "SELECT id FROM mount WHERE name = ?",
    [MOUNT_BY_PREFIX] = BY_PREFIX("mount"),
    [MOUNT_BY_MOUNTPOINT] = "SELECT id FROM mount WHERE mountpoint = ?"
                            " ORDER BY mounted DESC LIMIT 1",
    [MOUNT_ALL] = "SELECT id FROM mount ORDER BY created, id",
};

struct catalog {
    sqlite3 *db;
    sqlite3_stmt *statements[STATEMENT_COUNT];
};

/* ---- errors ---- */

/* -errno for a result code of SQLite. The user's mistakes are the caller's to tell; the rest is
 * told here, where the words are. */
static int errno_of(const struct catalog *catalog, int code)
{
    switch (code) {
    case SQLITE_CONSTRAINT_UNIQUE:
    case SQLITE_CONSTRAINT_PRIMARYKEY:
        return -EEXIST;
    case SQLITE_CONSTRAINT_FOREIGNKEY:
        return -EBUSY;
    case SQLITE_CONSTRAINT_CHECK:
    case SQLITE_CONSTRAINT_NOTNULL:
        return -EINVAL;
    }
    log_error("catalog: %s", catalog->db ? sqlite3_errmsg(catalog->db) : sqlite3_errstr(code));
    switch (code & 0xff) {
    case SQLITE_NOMEM:
        return -ENOMEM;
    case SQLITE_FULL:
        return -ENOSPC;
    case SQLITE_READONLY:
        return -EROFS;
    default:
        return -EIO;
    }
}

/* What a row that is written refers to is not there. */
static int referred(int err)
{
    return err == -EBUSY ? -ENOENT : err;
}

/* ---- queries ---- */

struct query {
    struct catalog *catalog;
    sqlite3_stmt *statement;
    int next; /* the parameter to give or the column to take next */
    int err;  /* the first failure */
};

static struct query ask(struct catalog *catalog, enum statement which)
{
    sqlite3_stmt **kept = &catalog->statements[which];
    int code = SQLITE_OK;
    if (!*kept)
        code = sqlite3_prepare_v3(catalog->db, texts[which], -1, SQLITE_PREPARE_PERSISTENT, kept,
                                  NULL);
    return (struct query){
        .catalog = catalog,
        .statement = *kept,
        .next = 1,
        .err = code ? errno_of(catalog, code) : 0,
    };
}

static void query_finish(struct query *query)
{
    if (!query->statement)
        return;
    /* What reset() returns was told by the step. The values are borrowed: none may stay. */
    sqlite3_reset(query->statement);
    sqlite3_clear_bindings(query->statement);
}
#define cleanup_query cleanup(query_finish)

static void given(struct query *query, int code)
{
    query->next++;
    if (code && !query->err)
        query->err = errno_of(query->catalog, code);
}

/* NULL is SQL's NULL. */
static void give_text(struct query *query, const char *text)
{
    given(query, sqlite3_bind_text(query->statement, query->next, text, -1, SQLITE_STATIC));
}

static void give_number(struct query *query, int64_t number)
{
    given(query, sqlite3_bind_int64(query->statement, query->next, number));
}

/* 1: a row can be taken; 0: there are no more. */
static int step(struct query *query)
{
    if (query->err)
        return query->err;
    query->next = 0;
    int code = sqlite3_step(query->statement);
    if (code == SQLITE_ROW)
        return 1;
    if (code != SQLITE_DONE)
        query->err = errno_of(query->catalog, code);
    return query->err;
}

static char *take_text(struct query *query)
{
    int column = query->next++;
    if (sqlite3_column_type(query->statement, column) == SQLITE_NULL)
        return NULL;
    const unsigned char *text = sqlite3_column_text(query->statement, column);
    char *copy = text ? strdup((const char *)text) : NULL;
    if (!copy)
        query->err = -ENOMEM;
    return copy;
}

static int64_t take_number(struct query *query)
{
    return sqlite3_column_int64(query->statement, query->next++);
}

static int run(struct catalog *catalog, enum statement which)
{
    cleanup_query struct query query = ask(catalog, which);
    return step(&query);
}

/* Runs a change of one row, of which the statement says which it is. */
static int change_one(struct query *query)
{
    int err = step(query);
    if (err)
        return err;
    return sqlite3_changes(query->catalog->db) ? 0 : -ENOENT;
}

static int change_by_id(struct catalog *catalog, enum statement which, const char *id)
{
    cleanup_query struct query query = ask(catalog, which);
    give_text(&query, id);
    return change_one(&query);
}

/* ---- lists of strings ---- */

static void list_finish(char **list, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        free(list[i]);
    free(list);
}

/* Appends; the room doubles whenever the count is a power of two. Takes `word` on success. */
static int list_add(char ***list, unsigned *count, char *word)
{
    if ((*count & (*count - 1)) == 0) {
        char **larger = reallocarray(*list, *count ? 2 * *count : 1, sizeof(**list));
        if (!larger)
            return -ENOMEM;
        *list = larger;
    }
    (*list)[(*count)++] = word;
    return 0;
}

/* The first column of all rows; `id` is the statement's parameter, if it has one. What was read
 * before a failure is the caller's as well. */
static int take_list(struct catalog *catalog, enum statement which, const char *id, char ***list,
                     unsigned *count)
{
    cleanup_query struct query query = ask(catalog, which);
    if (id)
        give_text(&query, id);
    int more;
    while ((more = step(&query)) > 0) {
        cleanup_free char *word = take_text(&query);
        int err = word ? list_add(list, count, word) : -ENOMEM;
        if (err)
            return err;
        word = NULL;
    }
    return more;
}

/* All ids of a table, so that its statement is at rest when a caller's function is called. */
struct ids {
    char **at;
    unsigned count;
};

static void ids_finish(struct ids *ids)
{
    list_finish(ids->at, ids->count);
}
#define cleanup_ids cleanup(ids_finish)

/* ---- words that mean a row ---- */

static bool is_hex(const char *word)
{
    return *word && strspn(word, "0123456789abcdef") == strlen(word);
}

static int take_id(struct query *query, char **id)
{
    int found = step(query);
    if (found <= 0)
        return found ? found : -ENOENT;
    *id = take_text(query);
    return query->err;
}

static int find_by_prefix(struct catalog *catalog, enum statement by_prefix, const char *word,
                          char **id)
{
    cleanup_query struct query query = ask(catalog, by_prefix);
    give_text(&query, word);
    int err = take_id(&query, id);
    if (err)
        return err;
    int more = step(&query);
    if (more) {
        free(*id);
        *id = NULL;
    }
    return more > 0 ? -ENOTUNIQ : more;
}

static int find_by_text(struct catalog *catalog, enum statement by_text, const char *text,
                        char **id)
{
    cleanup_query struct query query = ask(catalog, by_text);
    give_text(&query, text);
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

/* ---- transactions ---- */

int catalog_begin(struct catalog *catalog)
{
    return run(catalog, BEGIN);
}

int catalog_commit(struct catalog *catalog)
{
    int err = run(catalog, COMMIT);
    if (err)
        catalog_rollback(catalog);
    return err;
}

void catalog_rollback(struct catalog *catalog)
{
    /* A failure that SQLite answers by rolling back leaves nothing to do. */
    if (!sqlite3_get_autocommit(catalog->db))
        (void)!run(catalog, ROLLBACK);
}

/* A change of several rows: a transaction of its own, or a part of the caller's. */
static int change_begin(struct catalog *catalog, bool *own)
{
    *own = sqlite3_get_autocommit(catalog->db);
    return run(catalog, *own ? BEGIN : SAVE);
}

static int change_end(struct catalog *catalog, bool own, int err)
{
    if (own && !err)
        return catalog_commit(catalog);
    if (own) {
        catalog_rollback(catalog);
        return err;
    }
    if (sqlite3_get_autocommit(catalog->db))
        return err ? err : -EIO;
    if (err)
        (void)!run(catalog, SAVE_UNDO);
    int kept = run(catalog, SAVE_KEEP);
    return err ? err : kept;
}

/* ---- opening ---- */

static int execute(struct catalog *catalog, const char *sql)
{
    int code = sqlite3_exec(catalog->db, sql, NULL, NULL, NULL);
    return code ? errno_of(catalog, code) : 0;
}

static int read_version(struct catalog *catalog, int64_t *version)
{
    cleanup_query struct query query = ask(catalog, VERSION);
    int found = step(&query);
    if (found <= 0)
        return found ? found : -EIO;
    *version = take_number(&query);
    return *version < 0 || *version > SCHEMA_VERSION ? -EPROTO : 0;
}

/* The version is read again under the lock: whoever had it before may have done the work. */
static int migrate_once(struct catalog *catalog, int64_t *version)
{
    int err = catalog_begin(catalog);
    if (!err)
        err = read_version(catalog, version);
    if (!err && *version < SCHEMA_VERSION)
        err = execute(catalog, schema_steps[(*version)++]);
    if (!err)
        return catalog_commit(catalog);
    catalog_rollback(catalog);
    return err;
}

/* One process at a time makes or migrates: SQLite's busy timeout does not cover every step of the
 * change to WAL. The lock is on the directory and ends with its descriptor. */
static int take_turn(const char *path)
{
    cleanup_fd int dir = fd_open_name(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
    if (dir < 0)
        return dir;
    while (flock(dir, LOCK_EX) < 0) {
        if (errno != EINTR)
            return -errno;
    }
    return steal_fd(&dir);
}

static int bring_up_to_date(struct catalog *catalog, const char *path)
{
    int64_t version = 0;
    int err = read_version(catalog, &version);
    if (err || version == SCHEMA_VERSION)
        return err;
    cleanup_fd int turn = take_turn(path);
    if (turn < 0)
        return turn;
    /* Where the filesystem has no shared memory SQLite stays with its rollback journal. */
    err = execute(catalog, "PRAGMA journal_mode = WAL");
    while (!err && version < SCHEMA_VERSION)
        err = migrate_once(catalog, &version);
    return err;
}

static void own_catalog(struct catalog **catalog)
{
    catalog_close(*catalog);
}

int catalog_open(const char *path, struct catalog **catalog)
{
    cleanup_free char *file = NULL;
    cleanup(own_catalog) struct catalog *opened = calloc(1, sizeof(*opened));
    *catalog = NULL;
    if (!opened || asprintf(&file, "%s/catalog.db", path) < 0)
        return -ENOMEM;
    const int flags =
        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    int code = sqlite3_open_v2(file, &opened->db, flags, NULL);
    if (code)
        return errno_of(opened, code);
    sqlite3_busy_timeout(opened->db, BUSY_MILLISECONDS);
    int err = execute(opened, "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON");
    if (!err)
        err = bring_up_to_date(opened, path);
    if (!err)
        *catalog = steal_ptr(&opened);
    return err;
}

void catalog_close(struct catalog *catalog)
{
    if (!catalog)
        return;
    for (unsigned i = 0; i < STATEMENT_COUNT; i++)
        sqlite3_finalize(catalog->statements[i]);
    sqlite3_close(catalog->db);
    free(catalog);
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
    cleanup_query struct query query = ask(catalog, LAYER_ADD);
    give_text(&query, row->id);
    give_text(&query, row->name);
    give_text(&query, row->source);
    give_text(&query, row->entries);
    give_number(&query, row->created);
    give_number(&query, (int64_t)row->files);
    give_number(&query, (int64_t)row->bytes);
    give_number(&query, (int64_t)row->tar_bytes);
    give_number(&query, row->skeleton);
    return step(&query);
}

static int read_layer(struct catalog *catalog, const char *id, struct layer_row *row)
{
    cleanup_query struct query query = ask(catalog, LAYER_ROW);
    give_text(&query, id);
    int found = step(&query);
    if (found <= 0)
        return found ? found : -ENOENT;
    row->id = take_text(&query);
    row->name = take_text(&query);
    row->source = take_text(&query);
    row->entries = take_text(&query);
    row->created = take_number(&query);
    row->files = (uint64_t)take_number(&query);
    row->bytes = (uint64_t)take_number(&query);
    row->tar_bytes = (uint64_t)take_number(&query);
    row->skeleton = take_number(&query);
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
    cleanup_query struct query query = ask(catalog, LAYER_NAME);
    give_text(&query, name);
    give_text(&query, id);
    return change_one(&query);
}

int catalog_remove_layer(struct catalog *catalog, const char *id)
{
    return change_by_id(catalog, LAYER_REMOVE, id);
}

int catalog_each_layer(struct catalog *catalog,
                       int (*each)(void *context, const struct layer_row *row), void *context)
{
    cleanup_ids struct ids ids = {0};
    int result = take_list(catalog, LAYER_ALL, NULL, &ids.at, &ids.count);
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
    list_finish(row->layers, row->layer_count);
    list_finish(row->names, row->name_count);
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
    cleanup_query struct query query = ask(catalog, IMAGE_ADD_LAYER);
    give_text(&query, image);
    give_number(&query, position);
    give_text(&query, layer);
    return referred(step(&query));
}

/* 1: it was not there before. */
static int add_image_row(struct catalog *catalog, const struct image_row *row)
{
    cleanup_query struct query query = ask(catalog, IMAGE_ADD);
    give_text(&query, row->id);
    give_text(&query, row->config);
    give_number(&query, row->created);
    int err = step(&query);
    return err ? err : sqlite3_changes(catalog->db) > 0;
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
    int err = change_begin(catalog, &own);
    return err ? err : change_end(catalog, own, add_image(catalog, row));
}

static int read_image(struct catalog *catalog, const char *id, struct image_row *row)
{
    cleanup_query struct query query = ask(catalog, IMAGE_ROW);
    give_text(&query, id);
    int found = step(&query);
    if (found <= 0)
        return found ? found : -ENOENT;
    row->id = take_text(&query);
    row->config = take_text(&query);
    row->created = take_number(&query);
    row->bytes = (uint64_t)take_number(&query);
    int err = query.err;
    if (!err)
        err = take_list(catalog, IMAGE_LAYERS, id, &row->layers, &row->layer_count);
    if (!err)
        err = take_list(catalog, IMAGE_NAMES, id, &row->names, &row->name_count);
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
    cleanup_query struct query query = ask(catalog, IMAGE_TAG);
    give_text(&query, whole);
    give_text(&query, id);
    return referred(step(&query));
}

int catalog_untag_image(struct catalog *catalog, const char *name)
{
    cleanup_free char *whole = whole_name(name);
    return whole ? change_by_id(catalog, IMAGE_UNTAG, whole) : -ENOMEM;
}

int catalog_remove_image(struct catalog *catalog, const char *id)
{
    return change_by_id(catalog, IMAGE_REMOVE, id);
}

int catalog_each_image(struct catalog *catalog,
                       int (*each)(void *context, const struct image_row *row), void *context)
{
    cleanup_ids struct ids ids = {0};
    int result = take_list(catalog, IMAGE_ALL, NULL, &ids.at, &ids.count);
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
    list_finish(row->lowers, row->lower_count);
    free(row->options);
    free(row->mountpoint);
    free(row->boot);
    *row = (struct mount_row){0};
}

static int add_lower(struct catalog *catalog, const char *mount, unsigned position,
                     const char *path)
{
    cleanup_query struct query query = ask(catalog, MOUNT_ADD_LOWER);
    give_text(&query, mount);
    give_number(&query, position);
    give_text(&query, path);
    return step(&query);
}

static int add_mount_row(struct catalog *catalog, const struct mount_row *row)
{
    cleanup_query struct query query = ask(catalog, MOUNT_ADD);
    give_text(&query, row->id);
    give_text(&query, row->name);
    give_text(&query, row->image);
    give_text(&query, row->options ? row->options : "");
    give_number(&query, row->ephemeral);
    give_number(&query, row->created);
    return referred(step(&query));
}

int catalog_add_mount(struct catalog *catalog, const struct mount_row *row)
{
    bool own;
    int err = change_begin(catalog, &own);
    if (err)
        return err;
    err = add_mount_row(catalog, row);
    for (unsigned i = 0; i < row->lower_count && !err; i++)
        err = add_lower(catalog, row->id, i, row->lowers[i]);
    return change_end(catalog, own, err);
}

static int read_mount(struct catalog *catalog, const char *id, struct mount_row *row)
{
    cleanup_query struct query query = ask(catalog, MOUNT_ROW);
    give_text(&query, id);
    int found = step(&query);
    if (found <= 0)
        return found ? found : -ENOENT;
    row->id = take_text(&query);
    row->name = take_text(&query);
    row->image = take_text(&query);
    row->options = take_text(&query);
    row->ephemeral = take_number(&query);
    row->created = take_number(&query);
    row->mountpoint = take_text(&query);
    row->mounted = take_number(&query);
    row->pid = take_number(&query);
    row->boot = take_text(&query);
    int err = query.err;
    if (!err)
        err = take_list(catalog, MOUNT_LOWERS, id, &row->lowers, &row->lower_count);
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
    cleanup_query struct query query = ask(catalog, MOUNT_RENAME);
    give_text(&query, name);
    give_text(&query, id);
    return change_one(&query);
}

int catalog_set_mounted(struct catalog *catalog, const char *id, const char *mountpoint,
                        int64_t pid, const char *boot)
{
    cleanup_query struct query query = ask(catalog, MOUNT_SET_MOUNTED);
    give_text(&query, mountpoint);
    give_number(&query, moment_now());
    give_number(&query, pid);
    give_text(&query, boot);
    give_text(&query, id);
    return change_one(&query);
}

int catalog_set_unmounted(struct catalog *catalog, const char *id)
{
    return change_by_id(catalog, MOUNT_SET_UNMOUNTED, id);
}

int catalog_remove_mount(struct catalog *catalog, const char *id)
{
    return change_by_id(catalog, MOUNT_REMOVE, id);
}

int catalog_each_mount(struct catalog *catalog,
                       int (*each)(void *context, const struct mount_row *row), void *context)
{
    cleanup_ids struct ids ids = {0};
    int result = take_list(catalog, MOUNT_ALL, NULL, &ids.at, &ids.count);
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
