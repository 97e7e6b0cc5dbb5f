/* SPDX-License-Identifier: MIT
 *
 * Duty: `plyfs volume ls`. Filters whose key is one of Docker's are decided here, on the row; what
 * else is a field is report.h's. Drivers that do not answer hold it up for some seconds in all.
 */
#include "command.h"

#include "arguments.h"
#include "log.h"
#include "named.h"
#include "report.h"
#include "volumelook.h"
#include "volumeword.h"

#include <string.h>

/* Seconds that all drivers together have to answer. */
enum { PATIENCE = 3 };

/* -q is the name, which Docker shows second. */
static const struct column COLUMNS[] = {
    {"Driver", "DRIVER", COLUMN_TEXT},
    {"Name", "VOLUME NAME", COLUMN_TEXT},
    {"Mount", "MADE FOR", COLUMN_TEXT},
    {"Image", "IMAGE", COLUMN_TEXT},
    {"Destination", "DESTINATION", COLUMN_TEXT},
    {"UsedAt", "LAST USED", COLUMN_TIME},
    {"Status", "STATUS", COLUMN_TEXT},
    {"CreatedAt", NULL, COLUMN_TIME},
    {"Labels", NULL, COLUMN_TEXT},
    {"Links", NULL, COLUMN_COUNT},
    {"Mountpoint", NULL, COLUMN_TEXT},
    {"Scope", NULL, COLUMN_TEXT},
};

struct wishes {
    const char *root;
    struct report report;
};

static const struct argument TABLE[] = {
    REPORT_ARGUMENTS(struct wishes, report),
    ARGUMENT_ROOT(struct wishes, root),
};

static const struct syntax SYNTAX = {
    .command = "volume ls",
    ARGUMENTS(TABLE),
    .about = "Lists the volumes of the store: who keeps them, who they were made for, and when\n"
             "they were mounted last. --filter takes dangling=true|false, name=, driver=,\n"
             "label=KEY[=VALUE], and every field.\n",
    .example = "plyfs volume ls -f dangling=true --format '{{.Name}} {{.Image}}'",
};

/* ---- filters ---- */

struct candidate {
    const struct volume_row *row;
    unsigned users;
};

static bool fits_dangling(const struct candidate *candidate, const char *value)
{
    bool wanted = strcmp(value, "true") == 0 || strcmp(value, "1") == 0;
    return wanted == (candidate->users == 0);
}

static bool fits_name(const struct candidate *candidate, const char *value)
{
    return strstr(candidate->row->name, value) != NULL;
}

static bool fits_driver(const struct candidate *candidate, const char *value)
{
    return strcmp(candidate->row->driver, value) == 0;
}

static bool fits_label(const struct candidate *candidate, const char *value)
{
    return volumeword_has(&candidate->row->labels, value);
}

/* As Docker has it: of several labels each must fit, of the others one. */
static const struct filter {
    const char *key;
    bool (*fits)(const struct candidate *candidate, const char *value);
    bool all;
} FILTERS[] = {
    {"dangling", fits_dangling, true},
    {"name", fits_name, false},
    {"driver", fits_driver, false},
    {"label", fits_label, true},
};
enum { FILTER_COUNT = sizeof(FILTERS) / sizeof(FILTERS[0]) };

static const struct filter *find_filter(const char *word, const char **value)
{
    size_t length = strcspn(word, "=");
    for (size_t i = 0; word[length] && i < FILTER_COUNT; i++) {
        *value = word + length + 1;
        if (strlen(FILTERS[i].key) == length && strncmp(word, FILTERS[i].key, length) == 0)
            return &FILTERS[i];
    }
    return NULL;
}

static bool filter_passes(const struct filter *filter, const struct words *words,
                          const struct candidate *candidate)
{
    bool asked = false;
    const char *value;
    for (unsigned i = 0; i < words->count; i++) {
        if (find_filter(words->at[i], &value) != filter)
            continue;
        if (filter->fits(candidate, value) != filter->all)
            return !filter->all;
        asked = true;
    }
    return !asked || filter->all;
}

static bool passes(const struct words *words, const struct candidate *candidate)
{
    for (size_t i = 0; i < FILTER_COUNT; i++) {
        if (!filter_passes(&FILTERS[i], words, candidate))
            return false;
    }
    return true;
}

static int check_dangling(const char *value)
{
    static const char *const VALUES[] = {"true", "false", "1", "0"};
    for (size_t i = 0; i < sizeof(VALUES) / sizeof(VALUES[0]); i++) {
        if (strcmp(value, VALUES[i]) == 0)
            return 0;
    }
    log_error("--filter dangling='%s': write true or false", value);
    return -EINVAL;
}

/* The filters that are left to the report: `rest` has room for all of them. */
static int divide_filters(const struct words *all, struct words *rest)
{
    for (unsigned i = 0; i < all->count; i++) {
        const char *value;
        const struct filter *filter = find_filter(all->at[i], &value);
        int err = filter && filter->fits == fits_dangling ? check_dangling(value) : 0;
        if (err)
            return err;
        if (!filter)
            rest->at[rest->count++] = all->at[i];
    }
    return 0;
}

/* ---- rows ---- */

struct listing {
    const struct store *store;
    const struct words *filters;
    json_t *rows;
    struct volumelook *look;
};

static int take_volume(void *context, const struct volume_row *row)
{
    struct listing *listing = context;
    struct candidate candidate = {.row = row};
    int err = volumeword_users(listing->store, row, &candidate.users);
    if (err || !passes(listing->filters, &candidate))
        return err;
    cleanup_free char *trouble = volumelook_at(listing->look, row);
    json_t *line = volumeword_line(listing->store, row, trouble);
    return json_array_append_new(listing->rows, line) == 0 ? 0 : -ENOMEM;
}

/* Numbers in names count as numbers: v2 comes before v10. */
static int by_name(const void *left, const void *right)
{
    const json_t *a = *(json_t *const *)left, *b = *(json_t *const *)right;
    return strverscmp(json_string_value(json_object_get(a, "Name")),
                      json_string_value(json_object_get(b, "Name")));
}

static int gather(const struct wishes *wishes, json_t *rows)
{
    cleanup_store struct store *store = NULL;
    int err = named_open_store(wishes->root, true, &store);
    if (err)
        return err;
    struct listing listing = {.store = store,
                              .filters = &wishes->report.filters,
                              .rows = rows,
                              .look = volumelook_create(store, PATIENCE)};
    err = listing.look ? catalog_each_volume(store->catalog, take_volume, &listing) : -ENOMEM;
    volumelook_destroy(listing.look);
    if (err)
        log_error("cannot list the volumes of %s: %s", store->path, strerror(-err));
    return err ? err : report_sort(rows, by_name);
}

static int list(const struct wishes *wishes)
{
    struct report report = wishes->report;
    report.filters = (struct words){.at = calloc(wishes->report.filters.count + 1, sizeof(char *))};
    json_t *rows = json_array();
    int err = report.filters.at && rows ? 0 : -ENOMEM;
    if (!err)
        err = divide_filters(&wishes->report.filters, &report.filters);
    if (report.quiet) {
        report.columns++;
        report.count--;
    }
    if (!err)
        err = report_check(&report);
    if (!err)
        err = gather(wishes, rows);
    if (!err)
        err = report_print(&report, rows);
    json_decref(rows);
    free(report.filters.at);
    return err;
}

static int run_ls(int argc, char **argv)
{
    struct wishes wishes = {.report = {REPORT_COLUMNS(COLUMNS)}};
    int err = arguments_parse(&SYNTAX, argc, argv, &wishes);
    if (!err)
        err = list(&wishes);
    arguments_finish(&SYNTAX, &wishes);
    return err < 0;
}

const struct command command_volume_ls = {
    .name = "ls",
    .summary = "list volumes",
    .run = run_ls,
};
