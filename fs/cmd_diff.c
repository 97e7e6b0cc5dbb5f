/* SPDX-License-Identifier: MIT
 *
 * Duty: `plyfs diff`: what a named mount changes, sorted by path.
 */
#include "command.h"

#include "arguments.h"
#include "changes.h"
#include "log.h"
#include "named.h"
#include "report.h"

#include <string.h>

static const struct column COLUMNS[] = {
    {"Kind", "KIND", COLUMN_TEXT},
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
    .words = "MOUNT",
    .least = 1,
    .most = 1,
    .words_at = offsetof(struct wishes, words),
    ARGUMENTS(TABLE),
    .about =
        "Tells what was added (A), changed (C) and deleted (D) in a named mount. A directory is\n"
        "changed when something in it is; a deleted tree is one line.\n",
    .example = "plyfs diff web",
};

struct line {
    char kind;
    char *path;
    bool told; /* false: a directory on the way, in which nothing has changed so far */
};

struct lines {
    struct line *at;
    size_t count, room;
    size_t *open; /* directories that the last path is in, the outermost first */
    size_t depth, open_room;
};

static void *grow(void *at, size_t *room, size_t size)
{
    size_t more = *room ? *room * 2 : 64;
    void *grown = reallocarray(at, more, size);
    if (grown)
        *room = more;
    return grown;
}

static bool is_inside(const char *path, const char *directory)
{
    size_t length = strlen(directory);
    return strncmp(path, directory, length) == 0 && path[length] == '/';
}

/* Directories that `path` is not in are behind it. */
static void leave_directories(struct lines *lines, const char *path)
{
    while (lines->depth > 0 && !is_inside(path, lines->at[lines->open[lines->depth - 1]].path))
        lines->depth--;
}

/* A change makes every directory that it is in a changed one. */
static void mark_the_way(struct lines *lines)
{
    for (size_t i = 0; i < lines->depth; i++)
        lines->at[lines->open[i]].told = true;
}

static int remember_directory(struct lines *lines)
{
    if (lines->depth == lines->open_room) {
        size_t *open = grow(lines->open, &lines->open_room, sizeof(*open));
        if (!open)
            return -ENOMEM;
        lines->open = open;
    }
    lines->open[lines->depth++] = lines->count - 1;
    return 0;
}

static int take_change(void *context, const struct change *change)
{
    struct lines *lines = context;
    if (lines->count == lines->room) {
        struct line *at = grow(lines->at, &lines->room, sizeof(*at));
        if (!at)
            return -ENOMEM;
        lines->at = at;
    }
    char *path = strdup(change->path);
    if (!path)
        return -ENOMEM;
    leave_directories(lines, path);
    if (!change->on_the_way)
        mark_the_way(lines);
    lines->at[lines->count++] =
        (struct line){.kind = (char)change->kind, .path = path, .told = !change->on_the_way};
    bool directory = change->entry->present && S_ISDIR(change->entry->st.st_mode);
    return directory ? remember_directory(lines) : 0;
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

/* Without --format the lines are those of the field: kind, blank, path as bytes. */
static int print_lines(const struct lines *lines)
{
    for (size_t i = 0; i < lines->count; i++) {
        if (lines->at[i].told)
            printf("%c /%s\n", lines->at[i].kind, lines->at[i].path);
    }
    return fflush(stdout) == 0 ? 0 : -errno;
}

static int print_report(const struct report *report, const struct lines *lines)
{
    json_t *rows = json_array();
    int err = 0;
    for (size_t i = 0; !err && i < lines->count; i++) {
        if (lines->at[i].told)
            err = json_array_append_new(rows, row_of(&lines->at[i])) == 0 ? 0 : -ENOMEM;
    }
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
    free(lines->open);
}

static int diff(struct store *store, const struct wishes *wishes, const struct mount_row *row)
{
    struct named_view view;
    struct lines lines = {0};
    named_flush(store, row);
    int err = named_view_open(store, row, &view);
    if (err)
        return err;
    err = changes_walk(&view.stack, take_change, &lines);
    if (err)
        log_error("cannot read the changes of %s: %s", row->name, strerror(-err));
    named_view_close(&view);
    qsort(lines.at, lines.count, sizeof(*lines.at), by_path);
    if (!err)
        err = wishes->report.format ? print_report(&wishes->report, &lines) : print_lines(&lines);
    lines_finish(&lines);
    return err;
}

static int find_and_diff(const struct wishes *wishes)
{
    cleanup_store struct store *store = NULL;
    struct mount_row row = {0};
    int err = report_check(&wishes->report);
    if (!err)
        err = named_open_store(wishes->root, false, &store);
    if (!err)
        err = named_find(store, wishes->words.at[0], false, &row);
    if (!err)
        err = diff(store, wishes, &row);
    mount_row_finish(&row);
    return err;
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
    .summary = "tell what was changed in a named mount",
    .run = run_diff,
};
