/* SPDX-License-Identifier: MIT
 *
 * Duty: `plyfs volume diff`: what became of the content that an image gave a volume, and of that
 * content in the image.
 */
#include "command.h"

#include "arguments.h"
#include "cell.h"
#include "named.h"
#include "report.h"
#include "volume.h"

#include <stdio.h>
#include <string.h>

static const char *const KINDS[] = {"A", "C", "D", NULL};
static const char *const WHO[] = {"volume", "image", "both", NULL};

static const struct column COLUMNS[] = {
    {"Kind", "KIND", COLUMN_WORD, KINDS},
    {"By", "BY", COLUMN_WORD, WHO},
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
     .help = "table, json, or '{{.Kind}} {{.By}} {{.Path}}'"},
    ARGUMENT_ROOT(struct wishes, root),
};

static const struct syntax SYNTAX = {
    .command = "volume diff",
    .words = "VOLUME",
    .least = 1,
    .most = 1,
    .words_at = offsetof(struct wishes, words),
    ARGUMENTS(TABLE),
    .about =
        "Tells what was added (A), changed (C) and deleted (D) since an image gave the volume\n"
        "its first content: in the volume, in what the image shows there now, or in both.\n",
    .example = "plyfs volume diff data",
};

static const char *who_word(unsigned who)
{
    if (who == (VOLUME_CHANGE_VOLUME | VOLUME_CHANGE_IMAGE))
        return "both";
    return who == VOLUME_CHANGE_IMAGE ? "image" : "volume";
}

/* Lines are printed as they come; where the context is an array, they are kept in it. */
static int take_change(void *context, const char *path, char kind, unsigned who)
{
    json_t *rows = context;
    const char *shown = strcmp(path, ".") == 0 ? "" : path;
    if (!rows) {
        printf("%c %-6s /", kind, who_word(who));
        cell_write(stdout, shown);
        return putchar('\n') == EOF ? -EIO : 0;
    }
    cleanup_free char *whole = NULL;
    if (asprintf(&whole, "/%s", shown) < 0)
        return whole = NULL, -ENOMEM;
    json_t *row = json_pack("{s:s#, s:s, s:o}", "Kind", &kind, (size_t)1, "By", who_word(who),
                            "Path", report_text(whole));
    return json_array_append_new(rows, row) == 0 ? 0 : -ENOMEM;
}

static int diff(const struct wishes *wishes, json_t *rows)
{
    cleanup_store struct store *store = NULL;
    cleanup_volume_row struct volume_row row = {0};
    int err = named_open_store(wishes->root, true, &store);
    if (!err)
        err = volume_find(store, wishes->words.at[0], false, &row);
    if (!err)
        err = volume_diff(store, &row, take_change, rows);
    if (!err && rows)
        err = report_print(&wishes->report, rows);
    return !err && fflush(stdout) != 0 ? -EIO : err;
}

static int run_diff(int argc, char **argv)
{
    struct wishes wishes = {.report = {REPORT_COLUMNS(COLUMNS)}};
    int err = arguments_parse(&SYNTAX, argc, argv, &wishes);
    if (!err)
        err = report_check(&wishes.report);
    if (!err) {
        json_t *rows = wishes.report.format ? json_array() : NULL;
        err = diff(&wishes, rows);
        json_decref(rows);
    }
    arguments_finish(&SYNTAX, &wishes);
    return err < 0;
}

const struct command command_volume_diff = {
    .name = "diff",
    .summary = "tell what became of the content that an image gave",
    .run = run_diff,
};
