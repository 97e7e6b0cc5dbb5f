/* SPDX-License-Identifier: MIT
 *
 * Duty: `plyfs copyups`: the ledger of a named mount, event by event or summed up.
 */
#include "command.h"

#include "account.h"
#include "arguments.h"
#include "eventword.h"
#include "log.h"
#include "moment.h"
#include "named.h"
#include "report.h"

#include <stdio.h>
#include <string.h>

static const char *const KINDS[] = {"copyup", "whiteout", "opaque", "redirect",
                                    "warned", "denied",   NULL};
static const char *const MEANS[] = {
    "none", "reflink", "copy_file_range", "read and write", "metacopy", "link", NULL};

static const struct column EVENTS[] = {
    {"Time", "WHEN", COLUMN_TIME},
    {"Event", NULL, COLUMN_WORD, KINDS}, /* of --all it has a title */
    {"Cause", "CAUSE", COLUMN_WORD},
    {"Caller", "CALLER", COLUMN_TEXT},
    {"Layer", "LAYER", COLUMN_COUNT},
    {"Size", "SIZE", COLUMN_SIZE},
    {"Moved", "MOVED", COLUMN_SIZE},
    {"Means", "MEANS", COLUMN_WORD, MEANS},
    {"Took", "TOOK", COLUMN_TEXT},
    {"Path", "PATH", COLUMN_TEXT},
    {"Type", NULL, COLUMN_WORD},
    {"Pid", NULL, COLUMN_COUNT},
    {"Command", NULL, COLUMN_TEXT},
    {"Uid", NULL, COLUMN_COUNT},
    {"Duration", NULL, COLUMN_COUNT},
};

enum { EVENT_COLUMNS = sizeof(EVENTS) / sizeof(EVENTS[0]) };

enum by { BY_EVENT, BY_PATH, BY_PROCESS, BY_CAUSE, BY_LAYER };
static const char *const BY_WORDS[] = {"event", "path", "process", "cause", "layer", NULL};
static const char *const BY_FIELDS[] = {NULL, "Path", "Process", "Cause", "Layer"};

static const struct column SUMS[] = {
    {NULL, NULL, COLUMN_TEXT}, /* what is summed up by */
    {"Copyups", "COPY-UPS", COLUMN_COUNT},
    {"Size", "SIZE", COLUMN_SIZE},
    {"Moved", "MOVED", COLUMN_SIZE},
    {"Took", "TOOK", COLUMN_TEXT},
    {"Duration", NULL, COLUMN_COUNT},
    {"First", NULL, COLUMN_TIME},
    {"Last", NULL, COLUMN_TIME},
};
enum { SUM_COLUMNS = sizeof(SUMS) / sizeof(SUMS[0]) };

struct wishes {
    const char *root, *since;
    bool all, json;
    int by;
    struct report report;
    struct words words;
};

static const struct argument TABLE[] = {
    {.name = "by",
     .kind = ARGUMENT_CHOICE,
     .at = offsetof(struct wishes, by),
     .value = "WHAT",
     .help = "sum up by it",
     .choices = BY_WORDS},
    {.name = "since",
     .kind = ARGUMENT_STRING,
     .at = offsetof(struct wishes, since),
     .value = "WHEN",
     .help = "only what happened since: 10m (ago; s, m, h, d), or 2026-01-31T12:00:00"},
    {.name = "top",
     .kind = ARGUMENT_COUNT,
     .at = offsetof(struct wishes, report.most),
     .value = "N",
     .help = "only those N that moved most"},
    {.name = "all",
     .letter = 'a',
     .kind = ARGUMENT_FLAG,
     .at = offsetof(struct wishes, all),
     .help = "whiteouts, opaque directories, redirects and what was denied too"},
    {.name = "json",
     .kind = ARGUMENT_FLAG,
     .at = offsetof(struct wishes, json),
     .help = "the same as --format json"},
    REPORT_ARGUMENTS(struct wishes, report),
    ARGUMENT_ROOT(struct wishes, root),
};

static const struct syntax SYNTAX = {
    .command = "copyups",
    .words = "MOUNT",
    .least = 1,
    .most = 1,
    .words_at = offsetof(struct wishes, words),
    ARGUMENTS(TABLE),
    .about = "Tells what a named mount has copied up, when, for whom, why and at what cost, also\n"
             "after it was unmounted; or with --by the sums.\n",
    .example = "plyfs copyups --by process --top 10 web",
};

/* ---- rows ---- */

struct listing {
    const struct wishes *wishes;
    json_t *rows; /* an array */
    json_t *sums; /* the same rows by what they sum up: an object */
};

/* "15us", "2.3ms", "1.2s". */
static json_t *took(int64_t nanoseconds)
{
    char text[32];
    if (nanoseconds < 1000000)
        snprintf(text, sizeof(text), "%lldus", (long long)nanoseconds / 1000);
    else if (nanoseconds < MOMENT_SECOND)
        snprintf(text, sizeof(text), "%.1fms", (double)nanoseconds / 1e6);
    else
        snprintf(text, sizeof(text), "%.1fs", (double)nanoseconds / 1e9);
    return json_string(text);
}

static int add_event(struct listing *listing, const struct event *event)
{
    json_t *row = eventword_json(event);
    if (!row || json_object_set_new(row, "Took", took(event->duration)) != 0) {
        json_decref(row);
        return -ENOMEM;
    }
    return json_array_append_new(listing->rows, row) == 0 ? 0 : -ENOMEM;
}

/* What an event is summed up under. */
static json_t *key_of(enum by by, const struct event *event)
{
    char text[40];
    switch (by) {
    case BY_PATH:
        return report_text(event->path);
    case BY_PROCESS:
        return report_text(event->command[0] ? event->command : eventword_caller(text, event));
    case BY_CAUSE:
        return report_text(event->cause);
    default:
        snprintf(text, sizeof(text), "%u", event->layer);
        return json_string(event->layer ? text : "none");
    }
}

static void add_to(json_t *row, const char *field, uint64_t more)
{
    json_int_t so_far = json_integer_value(json_object_get(row, field));
    json_object_set_new(row, field, json_integer(so_far + (json_int_t)more));
}

static int add_to_sum(struct listing *listing, const struct event *event)
{
    char time[36];
    json_t *key = key_of((enum by)listing->wishes->by, event);
    json_t *row = key ? json_object_get(listing->sums, json_string_value(key)) : NULL;
    if (key && !row) {
        row = json_pack("{s:O, s:s}", BY_FIELDS[listing->wishes->by], key, "First",
                        report_time(time, event->time));
        if (json_array_append_new(listing->rows, row) != 0 ||
            json_object_set(listing->sums, json_string_value(key), row) != 0)
            row = NULL;
    }
    json_decref(key);
    if (!row)
        return -ENOMEM;
    add_to(row, "Copyups", event->kind == EVENT_COPYUP);
    add_to(row, "Size", event->size);
    add_to(row, "Moved", event->moved);
    add_to(row, "Duration", (uint64_t)event->duration);
    json_object_set_new(row, "Last", json_string(report_time(time, event->time)));
    return json_object_set_new(row, "Took",
                               took(json_integer_value(json_object_get(row, "Duration")))) == 0
               ? 0
               : -ENOMEM;
}

static int take_event(void *context, const struct event *event)
{
    struct listing *listing = context;
    if (event->kind != EVENT_COPYUP && !listing->wishes->all)
        return 0;
    return listing->wishes->by == BY_EVENT ? add_event(listing, event) : add_to_sum(listing, event);
}

static json_int_t number_in(const json_t *row, const char *field)
{
    return json_integer_value(json_object_get(row, field));
}

/* Who moved most comes first, and of those that moved as much, who did it most often. */
static int by_moved(const void *left, const void *right)
{
    static const char *const FIELDS[] = {"Moved", "Copyups", "Size"};
    const json_t *a = *(json_t *const *)left, *b = *(json_t *const *)right;
    for (size_t i = 0; i < sizeof(FIELDS) / sizeof(FIELDS[0]); i++) {
        json_int_t one = number_in(a, FIELDS[i]), other = number_in(b, FIELDS[i]);
        if (one != other)
            return one > other ? -1 : 1;
    }
    return 0;
}

/* ---- printing ---- */

/* Sums are ordered, and so are the rows of which --top tells the first. */
static int print(const struct wishes *wishes, json_t *rows)
{
    struct column sums[SUM_COLUMNS], events[EVENT_COLUMNS];
    struct report report = wishes->report;
    if (wishes->json)
        report.format = "json";
    if (wishes->all) {
        memcpy(events, EVENTS, sizeof(events));
        events[1].title = "EVENT";
        report.columns = events;
    }
    if (wishes->by != BY_EVENT) {
        static const char *const TITLES[] = {NULL, "PATH", "PROCESS", "CAUSE", "LAYER"};
        memcpy(sums, SUMS, sizeof(sums));
        sums[0].field = BY_FIELDS[wishes->by];
        sums[0].kind = wishes->by == BY_CAUSE ? COLUMN_WORD : COLUMN_TEXT;
        sums[0].title = TITLES[wishes->by];
        report.columns = sums;
        report.count = SUM_COLUMNS;
    }
    int err = report_check(&report);
    if (!err && (wishes->by != BY_EVENT || wishes->report.most))
        err = report_sort(rows, by_moved);
    return err ? err : report_print(&report, rows);
}

static int gather(const struct wishes *wishes, struct listing *listing)
{
    struct event_wish wish = {0};
    cleanup_store struct store *store = NULL;
    cleanup_mount_row struct mount_row row = {0};
    if (wishes->since && eventword_moment(wishes->since, moment_now(), &wish.since) != 0) {
        log_error("--since %s: write 10m, 2h or 3d (ago), or a date as 2026-01-31T12:00:00",
                  wishes->since);
        return -EINVAL;
    }
    int err = named_open_store(wishes->root, false, &store);
    if (!err)
        err = named_find(store, wishes->words.at[0], false, &row);
    return err ? err : account_each(store, &row, &wish, take_event, listing);
}

static int list(const struct wishes *wishes)
{
    struct listing listing = {.wishes = wishes, .rows = json_array(), .sums = json_object()};
    int err = listing.rows && listing.sums ? gather(wishes, &listing) : -ENOMEM;
    if (!err)
        err = print(wishes, listing.rows);
    json_decref(listing.rows);
    json_decref(listing.sums);
    return err;
}

static int run_copyups(int argc, char **argv)
{
    struct wishes wishes = {.report = {REPORT_COLUMNS(EVENTS)}};
    int err = arguments_parse(&SYNTAX, argc, argv, &wishes);
    if (!err)
        err = list(&wishes);
    arguments_finish(&SYNTAX, &wishes);
    return err < 0;
}

const struct command command_copyups = {
    .name = "copyups",
    .summary = "tell what a named mount has copied up, for whom and why",
    .run = run_copyups,
};
