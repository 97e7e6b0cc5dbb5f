/* SPDX-License-Identifier: MIT
 *
 * Duty: `plyfs ps`.
 */
#include "command.h"

#include "arguments.h"
#include "describe.h"
#include "named.h"
#include "report.h"

static const char *const STATES[] = {"created", "mounted", "unmounted", "dead", NULL};

static const struct column COLUMNS[] = {
    {"Id", "ID", COLUMN_ID},
    {"Name", "NAME", COLUMN_TEXT},
    {"Image", "IMAGE", COLUMN_TEXT},
    {"State", "STATE", COLUMN_WORD, STATES},
    {"Mountpoint", "MOUNTPOINT", COLUMN_TEXT},
    {"MountedAt", "SINCE", COLUMN_TIME},
    {"CreatedAt", NULL, COLUMN_TIME},
    {"Size", "SIZE", COLUMN_SIZE},
    {"Ephemeral", NULL, COLUMN_TRUTH},
};

struct wishes {
    const char *root;
    bool all;
    struct report report;
};

static const struct argument TABLE[] = {
    ARGUMENT_ROOT(struct wishes, root),
    {.name = "all",
     .letter = 'a',
     .kind = ARGUMENT_FLAG,
     .at = offsetof(struct wishes, all),
     .help = "those that are not mounted too"},
    REPORT_ARGUMENTS(struct wishes, report),
};

static const struct syntax SYNTAX = {
    .command = "ps",
    .words = "",
    ARGUMENTS(TABLE),
    .about =
        "Lists the named mounts that are mounted, or were until their daemon died: where, since\n"
        "when, and how much their upper layer holds.\n",
    .example = "plyfs ps -a --filter state=dead",
};

struct gathering {
    struct store *store;
    json_t *rows;
    bool all;
};

/* One that another process removes meanwhile is left out. */
static int take_mount(void *context, const struct mount_row *row)
{
    struct gathering *gathering = context;
    int err = 0;
    if (!gathering->all && !row->mountpoint)
        return 0;
    json_t *line = describe_mount(gathering->store, row, &err);
    if (line)
        err = json_array_append_new(gathering->rows, line) == 0 ? 0 : -ENOMEM;
    return err == -ENOENT ? 0 : err;
}

static int list(const struct wishes *wishes)
{
    cleanup_store struct store *store = NULL;
    int err = report_check(&wishes->report);
    if (!err)
        err = named_open_store(wishes->root, true, &store);
    struct gathering gathering = {.store = store, .rows = json_array(), .all = wishes->all};
    if (!err)
        err = catalog_each_mount(store->catalog, take_mount, &gathering);
    if (!err)
        err = report_print(&wishes->report, gathering.rows);
    json_decref(gathering.rows);
    return err;
}

static int run_ps(int argc, char **argv)
{
    struct wishes wishes = {.report = {REPORT_COLUMNS(COLUMNS)}};
    int err = arguments_parse(&SYNTAX, argc, argv, &wishes);
    if (!err)
        err = list(&wishes);
    arguments_finish(&SYNTAX, &wishes);
    return err < 0 ? 1 : 0;
}

const struct command command_ps = {
    .name = "ps",
    .summary = "list named mounts",
    .run = run_ps,
};
