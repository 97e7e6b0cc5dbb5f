/* SPDX-License-Identifier: MIT
 *
 * Duty: `plyfs layer diff`: two layers compared by the digests that were taken of them, without
 * reading either.
 */
#include "command.h"

#include "arguments.h"
#include "cell.h"
#include "entries.h"
#include "layerword.h"
#include "log.h"
#include "named.h"
#include "report.h"

#include <stdio.h>
#include <string.h>

static const char *const KINDS[] = {"A", "C", "D", NULL};

static const struct column COLUMNS[] = {
    {"Kind", "KIND", COLUMN_WORD, KINDS},
    {"Path", "PATH", COLUMN_TEXT},
};

struct wishes {
    const char *root;
    struct report report;
    struct words words;
};

static const struct argument TABLE[] = {
    {.name = "format",
     .kind = ARGUMENT_STRING,
     .at = offsetof(struct wishes, report.format),
     .value = "FORM",
     .help = "table, json, or '{{.Kind}} {{.Path}}'"},
    ARGUMENT_ROOT(struct wishes, root),
};

static const struct syntax SYNTAX = {
    .command = "layer diff",
    .words = "LAYER LAYER",
    .least = 2,
    .most = 2,
    .words_at = offsetof(struct wishes, words),
    ARGUMENTS(TABLE),
    .about =
        "Tells what the second layer adds to (A), changes in (C) and has not of (D) the first.\n"
        "A tree that is not there any more is one line.\n",
    .example = "plyfs layer diff base base-2",
};

struct comparison {
    struct entries old, new;
    json_t *rows; /* NULL: lines are printed as they come */
};

static int by_path(const void *path, const void *entry)
{
    return strcmp(path, ((const struct entry_digest *)entry)->path);
}

static bool is_directory(const struct entries *entries, const char *path)
{
    const struct entry_digest *entry =
        bsearch(path, entries->at, entries->count, sizeof(*entries->at), by_path);
    return entry && (entry->type == 'd' || entry->type == 'o');
}

/* Whether what holds the path is gone with it, and told already. */
static bool went_with_parent(const struct comparison *comparison, const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return false;
    cleanup_free char *parent = strndup(path, (size_t)(slash - path));
    return parent && !is_directory(&comparison->new, parent);
}

static int tell(struct comparison *comparison, char kind, const char *path)
{
    const char *shown = strcmp(path, ".") == 0 ? "" : path;
    if (!comparison->rows) {
        printf("%c /", kind);
        cell_write_raw(stdout, shown);
        return putchar('\n') == EOF ? -EIO : 0;
    }
    cleanup_free char *whole = NULL;
    if (asprintf(&whole, "/%s", shown) < 0)
        return whole = NULL, -ENOMEM;
    json_t *row = json_pack("{s:s#, s:o}", "Kind", &kind, (size_t)1, "Path", report_text(whole));
    return json_array_append_new(comparison->rows, row) != 0 ? -ENOMEM : 0;
}

static int take_difference(void *context, const struct entry_digest *old,
                           const struct entry_digest *new)
{
    struct comparison *comparison = context;
    if (!old)
        return tell(comparison, 'A', new->path);
    if (new)
        return tell(comparison, 'C', new->path);
    return went_with_parent(comparison, old->path) ? 0 : tell(comparison, 'D', old->path);
}

static int read_entries(const struct store *store, const char *word, struct entries *entries)
{
    cleanup_layer_row struct layer_row row;
    cleanup_fd int books = -1, tree = -1;
    char digest[33];
    int err = layerword_find(store, word, &row);
    if (!err)
        err = layerword_open(store, &row, &books, &tree);
    if (err)
        return err;
    err = entries_read(books, "entries", entries, digest);
    if (!err && strcmp(digest, row.entries) != 0)
        err = -EBADMSG;
    if (err)
        log_error("%s: its list of digests is lost (%s); plyfs layer verify tells more", word,
                  strerror(-err));
    return err;
}

static int compare(struct comparison *comparison, const struct wishes *wishes)
{
    cleanup_store struct store *store = NULL;
    int err = named_open_store(wishes->root, false, &store);
    if (!err)
        err = read_entries(store, wishes->words.at[0], &comparison->old);
    if (!err)
        err = read_entries(store, wishes->words.at[1], &comparison->new);
    if (err)
        return err;
    err = entries_compare(&comparison->old, &comparison->new, take_difference, comparison);
    if (!err && comparison->rows)
        err = report_print(&wishes->report, comparison->rows);
    if (!err && fflush(stdout) != 0)
        err = -EIO;
    return err;
}

static int run_diff(int argc, char **argv)
{
    struct wishes wishes = {.report = {REPORT_COLUMNS(COLUMNS)}};
    struct comparison comparison = {0};
    int err = arguments_parse(&SYNTAX, argc, argv, &wishes);
    if (!err)
        err = report_check(&wishes.report);
    if (!err) {
        comparison.rows = wishes.report.format ? json_array() : NULL;
        err = compare(&comparison, &wishes);
    }
    json_decref(comparison.rows);
    entries_finish(&comparison.old);
    entries_finish(&comparison.new);
    arguments_finish(&SYNTAX, &wishes);
    return err < 0;
}

const struct command command_layer_diff = {
    .name = "diff",
    .summary = "tell two layers apart",
    .run = run_diff,
};
