/* SPDX-License-Identifier: MIT
 *
 * Duty: SQLite; no other file knows that there is such a thing.
 *
 * Every statement is prepared at its first use and kept. What changes several rows is whole or
 * nothing, in the caller's transaction as well. A commit waits for the disk once.
 */
#include "catalogdb.h"

#include "fd.h"
#include "log.h"
#include "schema.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/statvfs.h>

enum { BUSY_MILLISECONDS = 30000, FULL = 256 << 10 };

struct catalog {
    sqlite3 *db;
    sqlite3_stmt *statements[STATEMENT_COUNT];
};

/* ---- errors ---- */

/* -errno for a result code of SQLite. The user's mistakes are the caller's to tell; the rest is
 * told here, where the words are. */
/* What an I/O error of SQLite is about. It keeps the errno of most calls; what it cannot map,
 * lengthen or make on a full disk is an I/O error to it as well. XFS is full before it has no
 * block left. */
static int cause_of(const struct catalog *catalog)
{
    struct statvfs room;
    const char *path = catalog->db ? sqlite3_db_filename(catalog->db, "main") : NULL;
    int known = catalog->db ? sqlite3_system_errno(catalog->db) : 0;
    if (fd_is_fault(-known))
        return -known;
    bool full = path && statvfs(path, &room) == 0 && room.f_bavail * room.f_frsize < FULL;
    return full ? -ENOSPC : -EIO;
}

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
    int kind = code & 0xff;
    if (kind == SQLITE_READONLY && catalog->db && sqlite3_db_readonly(catalog->db, "main") == 1) {
        log_error("catalog: the filesystem of the store is read-only, so nothing of it can change");
        return -EROFS;
    }
    int cause = kind == SQLITE_IOERR || kind == SQLITE_CANTOPEN ? cause_of(catalog) : 0;
    log_error("catalog: %s%s%s", catalog->db ? sqlite3_errmsg(catalog->db) : sqlite3_errstr(code),
              cause ? ": " : "", cause ? strerror(-cause) : "");
    if (cause)
        return cause;
    switch (kind) {
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

/* ---- queries ---- */

struct query query_ask(struct catalog *catalog, enum statement which)
{
    sqlite3_stmt **kept = &catalog->statements[which];
    int code = SQLITE_OK;
    if (!*kept)
        code = sqlite3_prepare_v3(catalog->db, catalogsql_texts[which], -1,
                                  SQLITE_PREPARE_PERSISTENT, kept, NULL);
    return (struct query){
        .catalog = catalog,
        .statement = *kept,
        .next = 1,
        .err = code ? errno_of(catalog, code) : 0,
    };
}

void query_finish(struct query *query)
{
    if (!query->statement)
        return;
    /* What reset() returns was told by the step. The values are borrowed: none may stay. */
    sqlite3_reset(query->statement);
    sqlite3_clear_bindings(query->statement);
}

static void given(struct query *query, int code)
{
    query->next++;
    if (code && !query->err)
        query->err = errno_of(query->catalog, code);
}

void query_give_text(struct query *query, const char *text)
{
    given(query, sqlite3_bind_text(query->statement, query->next, text, -1, SQLITE_STATIC));
}

void query_give_number(struct query *query, int64_t number)
{
    given(query, sqlite3_bind_int64(query->statement, query->next, number));
}

int query_step(struct query *query)
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

char *query_take_text(struct query *query)
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

int64_t query_take_number(struct query *query)
{
    return sqlite3_column_int64(query->statement, query->next++);
}

int query_run(struct catalog *catalog, enum statement which)
{
    cleanup_query struct query query = query_ask(catalog, which);
    return query_step(&query);
}

bool query_changed(const struct query *query)
{
    return sqlite3_changes(query->catalog->db) > 0;
}

int query_change_one(struct query *query)
{
    int err = query_step(query);
    if (err)
        return err;
    return query_changed(query) ? 0 : -ENOENT;
}

int query_change_by_id(struct catalog *catalog, enum statement which, const char *id)
{
    cleanup_query struct query query = query_ask(catalog, which);
    query_give_text(&query, id);
    return query_change_one(&query);
}

/* ---- lists of strings ---- */

void textlist_finish(char **list, unsigned count)
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

int query_take_list(struct catalog *catalog, enum statement which, const char *id, char ***list,
                    unsigned *count)
{
    cleanup_query struct query query = query_ask(catalog, which);
    if (id)
        query_give_text(&query, id);
    int more;
    while ((more = query_step(&query)) > 0) {
        cleanup_free char *word = query_take_text(&query);
        int err = word ? list_add(list, count, word) : -ENOMEM;
        if (err)
            return err;
        word = NULL;
    }
    return more;
}

/* ---- transactions ---- */

int catalog_begin(struct catalog *catalog)
{
    return query_run(catalog, BEGIN);
}

int catalog_end(struct catalog *catalog, int err)
{
    if (!err)
        err = query_run(catalog, COMMIT);
    /* A failure that SQLite answers by rolling back leaves nothing to do. */
    if (err && !sqlite3_get_autocommit(catalog->db))
        (void)!query_run(catalog, ROLLBACK);
    return err;
}

int catalogdb_change_begin(struct catalog *catalog, bool *own)
{
    *own = sqlite3_get_autocommit(catalog->db);
    return query_run(catalog, *own ? BEGIN : SAVE);
}

int catalogdb_change_end(struct catalog *catalog, bool own, int err)
{
    if (own)
        return catalog_end(catalog, err);
    if (sqlite3_get_autocommit(catalog->db))
        return err ? err : -EIO;
    if (err)
        (void)!query_run(catalog, SAVE_UNDO);
    int kept = query_run(catalog, SAVE_KEEP);
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
    cleanup_query struct query query = query_ask(catalog, VERSION);
    int found = query_step(&query);
    if (found <= 0)
        return found ? found : -EIO;
    *version = query_take_number(&query);
    return *version < 0 || *version > SCHEMA_VERSION ? -EPROTO : 0;
}

/* The version is read again under the lock: whoever had it before may have done the work. */
static int migrate_once(struct catalog *catalog, int64_t *version)
{
    int err = catalog_begin(catalog);
    if (err)
        return err;
    err = read_version(catalog, version);
    if (!err && *version < SCHEMA_VERSION)
        err = execute(catalog, schema_steps[(*version)++]);
    return catalog_end(catalog, err);
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

/* SQLite makes its files for all to read, and those beside the database with the database's mode.
 * The database itself must not be opened here but to make it: closing one descriptor of a file
 * would let go of the locks that another connection of this process holds (fcntl(2)). */
static void shut_others_out(const char *file)
{
    struct stat st;
    cleanup_fd int made = open(file, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (made < 0 && lstat(file, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 077) &&
        st.st_uid == geteuid())
        (void)chmod(file, 0600);
}

static int open_database(struct catalog *catalog, const char *file)
{
    const int flags =
        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    shut_others_out(file);
    int code = sqlite3_open_v2(file, &catalog->db, flags, NULL);
    return code ? errno_of(catalog, code) : 0;
}

/* The file as a URI (sqlite.org/uri.html), of which every byte may be written as %XX. */
static char *uri_of(const char *file, const char *words)
{
    static const char PLAIN[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-";
    char *uri = malloc(strlen("file:") + 3 * strlen(file) + strlen(words) + 1);
    if (!uri)
        return NULL;
    char *at = stpcpy(uri, "file:");
    for (; *file; file++)
        at += sprintf(at, strchr(PLAIN, *file) ? "%c" : "%%%02X", (unsigned char)*file);
    strcpy(at, words);
    return uri;
}

/* Where its log is, SQLite reads that too. A database without one is whole, but SQLite wants to
 * make the log's index before it believes that; told that nothing changes, it makes none. */
static int open_unchanging(struct catalog *catalog, const char *file)
{
    struct stat st;
    cleanup_free char *log = NULL, *uri = NULL;
    if (asprintf(&log, "%s-wal", file) < 0)
        return -ENOMEM;
    const bool logged = lstat(log, &st) == 0;
    uri = uri_of(file, logged ? "" : "?immutable=1");
    if (!uri)
        return -ENOMEM;
    const int flags =
        SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    int code = sqlite3_open_v2(uri, &catalog->db, flags, NULL);
    return code ? errno_of(catalog, code) : 0;
}

static int check_version(struct catalog *catalog)
{
    int64_t version = 0;
    int err = read_version(catalog, &version);
    if (err || version == SCHEMA_VERSION)
        return err;
    log_error("catalog: made by an older plyfs, and to be brought up to date first");
    return -EROFS;
}

int catalog_open(const char *path, bool read_only, struct catalog **catalog)
{
    cleanup_free char *file = NULL;
    cleanup(own_catalog) struct catalog *opened = calloc(1, sizeof(*opened));
    *catalog = NULL;
    if (!opened || asprintf(&file, "%s/catalog.db", path) < 0)
        return -ENOMEM;
    int err = read_only ? open_unchanging(opened, file) : open_database(opened, file);
    if (err)
        return err;
    sqlite3_busy_timeout(opened->db, BUSY_MILLISECONDS);
    err = execute(opened, "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON");
    if (!err)
        err = read_only ? check_version(opened) : bring_up_to_date(opened, path);
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
