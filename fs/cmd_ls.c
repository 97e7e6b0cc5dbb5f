/* SPDX-License-Identifier: MIT
 *
 * Duty: `plyfs ls`: a directory of a named mount, what a volume hides too.
 */
#include "command.h"

#include "arguments.h"
#include "look.h"
#include "moment.h"
#include "report.h"
#include "shadow.h"

#include <stdio.h>

static const struct column COLUMNS[] = {
    {"Mode", "MODE", COLUMN_TEXT},   {"Links", "LINKS", COLUMN_COUNT},
    {"Uid", "UID", COLUMN_COUNT},    {"Gid", "GID", COLUMN_COUNT},
    {"Size", "SIZE", COLUMN_SIZE},   {"ModifiedAt", "MODIFIED", COLUMN_TIME},
    {"Layer", "LAYER", COLUMN_TEXT}, {"Shown", "NAME", COLUMN_TEXT},
    {"Name", NULL, COLUMN_TEXT},     {"Target", NULL, COLUMN_TEXT},
    {"Inode", NULL, COLUMN_COUNT},
};

struct wishes {
    const char *root;
    bool under, json;
    struct report report;
    struct words words;
};

static const struct argument TABLE[] = {
    ARGUMENT_ROOT(struct wishes, root),
    {.name = "under",
     .letter = 'u',
     .kind = ARGUMENT_FLAG,
     .at = offsetof(struct wishes, under),
     .help = "what the layers have, whatever volume lies over it"},
    {.name = "json",
     .kind = ARGUMENT_FLAG,
     .at = offsetof(struct wishes, json),
     .help = "the same as --format json"},
    {.name = "format",
     .kind = ARGUMENT_STRING,
     .at = offsetof(struct wishes, report.format),
     .value = "FORM",
     .help = "table, json, '{{.Mode}} {{.Name}}' or 'table {{.Mode}}\\t...'"},
};

static const struct syntax SYNTAX = {
    .command = "ls",
    .words = "MOUNT [PATH]",
    .least = 1,
    .most = 2,
    .words_at = offsetof(struct wishes, words),
    ARGUMENTS(TABLE),
    .about = "Lists a directory of a named mount, mounted or not, and which layer each name comes\n"
             "from. What a volume hides is seen with --under.\n",
    .example = "plyfs ls --under web /etc/nginx",
};

/* "name", or "name -> target". */
static json_t *shown_name(const struct look_name *name)
{
    cleanup_free char *text = NULL;
    if (!name->target)
        return report_text(name->name);
    if (asprintf(&text, "%s -> %s", name->name, name->target) < 0)
        return text = NULL, NULL;
    return report_text(text);
}

static int add_row(void *context, const struct look_name *name)
{
    char mode[11], modified[36];
    json_t *rows = context;
    const struct stat *st = &name->st;
    json_t *row = json_pack(
        "{s:s, s:I, s:I, s:I, s:I, s:s, s:o, s:o, s:o, s:o, s:I}", "Mode",
        report_mode(mode, st->st_mode), "Links", (json_int_t)st->st_nlink, "Uid",
        (json_int_t)st->st_uid, "Gid", (json_int_t)st->st_gid, "Size", (json_int_t)st->st_size,
        "ModifiedAt", report_time(modified, moment_of(st->st_mtim)), "Layer",
        shadow_layer_word(name->layer), "Shown", shown_name(name), "Name", report_text(name->name),
        "Target", report_text(name->target), "Inode", (json_int_t)st->st_ino);
    return row && json_array_append_new(rows, row) == 0 ? 0 : -ENOMEM;
}

static int take_rows(void *context, const struct look *look)
{
    return look_each(look, add_row, context);
}

static int list(const struct wishes *wishes)
{
    const struct look_wish wish = {.root = wishes->root,
                                   .mount = wishes->words.at[0],
                                   .path = wishes->words.count > 1 ? wishes->words.at[1] : "/",
                                   .under = wishes->under};
    int err = report_check(&wishes->report);
    if (err)
        return err;
    json_t *rows = json_array();
    err = look_at(&wish, take_rows, rows);
    if (!err)
        err = report_print(&wishes->report, rows);
    json_decref(rows);
    return err;
}

static int run_ls(int argc, char **argv)
{
    struct wishes wishes = {.report = {REPORT_COLUMNS(COLUMNS)}};
    int err = arguments_parse(&SYNTAX, argc, argv, &wishes);
    if (wishes.json)
        wishes.report.format = "json";
    if (!err)
        err = list(&wishes);
    arguments_finish(&SYNTAX, &wishes);
    return err < 0 ? 1 : 0;
}

const struct command command_ls = {
    .name = "ls",
    .summary = "list a directory of a named mount, also what a volume hides",
    .run = run_ls,
};
