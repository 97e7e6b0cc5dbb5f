/* SPDX-License-Identifier: MIT
 *
 * Duty: `plyfs diff`: what a mount changes, sorted by path.
 */
#include "command.h"

#include "arguments.h"
#include "borrowed.h"
#include "cell.h"
#include "changes.h"
#include "log.h"
#include "named.h"
#include "report.h"

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
    ARGUMENT_ROOT(struct wishes, root),
    {.name = "format",
     .kind = ARGUMENT_STRING,
     .at = offsetof(struct wishes, report.format),
     .value = "FORM",
     .help = "table, json, or '{{.Kind}} {{.Path}}'"},
};

static const struct syntax SYNTAX = {
    .command = "diff",
    .words = "MOUNT|PATH",
    .least = 1,
    .most = 1,
    .words_at = offsetof(struct wishes, words),
    ARGUMENTS(TABLE),
    .about =
        "Tells what was added (A), changed (C) and deleted (D) in a mount. A directory is changed\n"
        "when something in it is; a deleted tree is one line. A mount without a name is said by a\n"
        "path in it, which has a slash.\n",
    .example = "plyfs diff web",
};

struct line {
    char kind;
    char *path;
};

struct lines {
    struct line *at;
    size_t count, room;
};

static int take_change(void *context, const struct change *change)
{
    struct lines *lines = context;
    if (lines->count == lines->room) {
        size_t room = lines->room ? lines->room * 2 : 64;
        struct line *at = reallocarray(lines->at, room, sizeof(*at));
        if (!at)
            return -ENOMEM;
        lines->at = at;
        lines->room = room;
    }
    char *path = strdup(change->path);
    if (!path)
        return -ENOMEM;
    lines->at[lines->count++] = (struct line){.kind = (char)change->kind, .path = path};
    return 0;
}

static int by_path(const void *left, const void *right)
{
    return strcmp(((const struct line *)left)->path, ((const struct line *)right)->path);
}

static json_t *row_of(const struct line *line)
{
    char *path = NULL;
    if (asprintf(&path, "/%s", line->path) < 0)
        return NULL;
    json_t *row =
        json_pack("{s:s#, s:o}", "Kind", &line->kind, (size_t)1, "Path", report_text(path));
    free(path);
    return row;
}

/* Without --format the lines are those of the field: kind, blank, path as bytes. A program in a
 * mount may have chosen these so that a terminal obeys them: there they are written out. */
static int print_lines(const struct lines *lines)
{
    for (size_t i = 0; i < lines->count; i++) {
        printf("%c /", lines->at[i].kind);
        cell_write_raw(stdout, lines->at[i].path);
        putchar('\n');
    }
    return fflush(stdout) == 0 ? 0 : -errno;
}

static int print_report(const struct report *report, const struct lines *lines)
{
    json_t *rows = json_array();
    int err = 0;
    for (size_t i = 0; !err && i < lines->count; i++)
        err = json_array_append_new(rows, row_of(&lines->at[i])) == 0 ? 0 : -ENOMEM;
    if (!err)
        err = report_print(report, rows);
    json_decref(rows);
    return err;
}

static void lines_finish(struct lines *lines)
{
    for (size_t i = 0; i < lines->count; i++)
        free(lines->at[i].path);
    free(lines->at);
}

static int diff(const struct wishes *wishes, const struct stack *stack, const char *name)
{
    struct lines lines = {0};
    int err = changes_walk(stack, take_change, &lines);
    if (err)
        log_error("cannot read the changes of %s: %s", name, strerror(-err));
    if (lines.count > 1)
        qsort(lines.at, lines.count, sizeof(*lines.at), by_path);
    if (!err)
        err = wishes->report.format ? print_report(&wishes->report, &lines) : print_lines(&lines);
    lines_finish(&lines);
    return err;
}

static int diff_named(const struct wishes *wishes, const char *word)
{
    struct named_view view;
    cleanup_store struct store *store = NULL;
    cleanup_mount_row struct mount_row row = {0};
    int err = named_open_store(wishes->root, false, &store);
    if (!err)
        err = named_find(store, word, false, &row);
    if (err)
        return err;
    err = named_view_flushed(store, &row, &view);
    if (err)
        return err;
    err = diff(wishes, &view.stack, row.name);
    named_view_close(&view);
    return err;
}

/* -ENOTCONN: the path lies in no mount without a name. */
static int diff_borrowed(const struct wishes *wishes, const char *path)
{
    cleanup_borrowed struct borrowed borrowed = {0};
    int err = borrowed_open(path, &borrowed);
    return err ? err : diff(wishes, &borrowed.stack, path);
}

static int find_and_diff(const struct wishes *wishes)
{
    const char *word = wishes->words.at[0];
    int err = report_check(&wishes->report);
    if (err)
        return err;
    err = strchr(word, '/') ? diff_borrowed(wishes, word) : -ENOTCONN;
    return err == -ENOTCONN ? diff_named(wishes, word) : err;
}

static int run_diff(int argc, char **argv)
{
    struct wishes wishes = {.report = {REPORT_COLUMNS(COLUMNS)}};
    int err = arguments_parse(&SYNTAX, argc, argv, &wishes);
    if (!err)
        err = find_and_diff(&wishes);
    arguments_finish(&SYNTAX, &wishes);
    return err < 0 ? 1 : 0;
}

const struct command command_diff = {
    .name = "diff",
    .summary = "tell what was changed in a mount",
    .run = run_diff,
};
