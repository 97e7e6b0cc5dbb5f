/* SPDX-License-Identifier: MIT
 *
 * Duty: number the words of events and lay their values side by side. Cost: some 40 bytes of memory
 * for each value, and the words once.
 */
#include "eventcolumns.h"

#include "eventword.h"
#include "nameset.h"
#include "report.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum field {
    TIME,
    EVENT,
    DIRECTORY,
    NAME,
    LAYER,
    TYPE,
    CAUSE,
    PROCESS,
    SIZE,
    MOVED,
    MEANS,
    DURATION,
    COLUMNS
};

static const char *const COLUMN_NAMES[COLUMNS] = {
    [TIME] = "Time",   [EVENT] = "Event", [DIRECTORY] = "Directory", [NAME] = "Name",
    [LAYER] = "Layer", [TYPE] = "Type",   [CAUSE] = "Cause",         [PROCESS] = "Process",
    [SIZE] = "Size",   [MOVED] = "Moved", [MEANS] = "Means",         [DURATION] = "Duration",
};

struct eventcolumns {
    struct nameset directories, names, types, causes, callers;
    json_t *processes;       /* beside callers, which are their keys */
    json_t *values[COLUMNS]; /* arrays, of one length */
    int64_t from;            /* the earliest time; events come nearly in order */
};

struct eventcolumns *eventcolumns_create(void)
{
    struct eventcolumns *columns = calloc(1, sizeof(*columns));
    if (!columns)
        return NULL;
    bool whole = (columns->processes = json_array()) != NULL;
    for (int i = 0; i < COLUMNS; i++)
        whole &= (columns->values[i] = json_array()) != NULL;
    columns->from = INT64_MAX;
    if (whole)
        return columns;
    eventcolumns_destroy(columns);
    return NULL;
}

void eventcolumns_destroy(struct eventcolumns *columns)
{
    if (!columns)
        return;
    nameset_finish(&columns->directories);
    nameset_finish(&columns->names);
    nameset_finish(&columns->types);
    nameset_finish(&columns->causes);
    nameset_finish(&columns->callers);
    json_decref(columns->processes);
    for (int i = 0; i < COLUMNS; i++)
        json_decref(columns->values[i]);
    free(columns);
}

/* ---- words as numbers ---- */

static int number_word(struct nameset *words, const char *word, int64_t *number)
{
    bool fresh;
    uint32_t index = 0;
    int err = nameset_add(words, word, &index, &fresh);
    *number = index;
    return err;
}

static int number_path(struct eventcolumns *columns, const char *path, int64_t *row)
{
    const char *slash = strrchr(path, '/');
    if (!slash) /* it had lost its name */
        slash = path;
    size_t length = slash == path && *path ? 1 : (size_t)(slash - path);
    cleanup_free char *directory = strndup(path, length);
    int err = directory ? number_word(&columns->directories, directory, &row[DIRECTORY]) : -ENOMEM;
    return err ? err : number_word(&columns->names, slash + (*slash == '/'), &row[NAME]);
}

static json_t *process_json(const struct event *event, const char *caller)
{
    bool known = event->pid != 0;
    return json_pack("{s:o, s:o, s:o, s:o}", "Command",
                     report_text(event->command[0] ? event->command : NULL), "Pid",
                     known ? json_integer(event->pid) : json_null(), "Uid",
                     known ? json_integer(event->uid) : json_null(), "Caller", report_text(caller));
}

/* One process is one entry for each user that it was: what it did before setuid(2) and after. */
static int number_process(struct eventcolumns *columns, const struct event *event, int64_t *number)
{
    bool fresh;
    uint32_t index = 0;
    char caller[40], key[64];
    eventword_caller(caller, event);
    snprintf(key, sizeof(key), "%u %s", event->pid ? (unsigned)event->uid : 0, caller);
    int err = nameset_add(&columns->callers, key, &index, &fresh);
    if (!err && fresh &&
        json_array_append_new(columns->processes, process_json(event, caller)) != 0)
        err = -ENOMEM;
    *number = index;
    return err;
}

/* ---- in ---- */

/* Of a layer 0 is none, which is null. */
static json_t *value_json(enum field column, int64_t value)
{
    return column == LAYER && value == 0 ? json_null() : json_integer(value);
}

int eventcolumns_add(struct eventcolumns *columns, const struct event *event)
{
    const char *type = eventword_type(event->type);
    int64_t row[COLUMNS] = {
        [TIME] = event->time,          [EVENT] = event->kind,           [LAYER] = event->layer,
        [SIZE] = (int64_t)event->size, [MOVED] = (int64_t)event->moved, [MEANS] = event->means,
        [DURATION] = event->duration,
    };
    int err = number_path(columns, event->path, row);
    if (!err)
        err = number_word(&columns->types, type ? type : "unknown", &row[TYPE]);
    if (!err)
        err = number_word(&columns->causes, event->cause, &row[CAUSE]);
    if (!err)
        err = number_process(columns, event, &row[PROCESS]);
    for (int i = 0; i < COLUMNS && !err; i++) {
        if (json_array_append_new(columns->values[i], value_json((enum field)i, row[i])) != 0)
            err = -ENOMEM;
    }
    if (event->time < columns->from)
        columns->from = event->time;
    return err;
}

/* ---- out ---- */

static json_t *words_json(const struct nameset *words)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < words->used; i++) {
        if (json_array_append_new(list, report_text(nameset_name(words, i))) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static json_t *kinds_json(void)
{
    json_t *list = json_array();
    for (int i = 0; i < EVENT_KINDS; i++)
        json_array_append_new(list, json_string(event_kind_word((enum event_kind)i)));
    return list;
}

static json_t *means_json(void)
{
    json_t *list = json_array();
    for (int i = 0; i < EVENT_MEANS_COUNT; i++)
        json_array_append_new(list, json_string(event_means_word((enum event_means)i)));
    return list;
}

/* Times become what they are after the earliest: shorter, and exact in a double. */
static json_t *events_json(struct eventcolumns *columns)
{
    size_t i;
    json_t *time, *events = json_object();
    json_array_foreach(columns->values[TIME], i, time)
        json_integer_set(time, json_integer_value(time) - columns->from);
    for (int c = 0; c < COLUMNS; c++) {
        if (json_object_set_new(events, COLUMN_NAMES[c], steal_ptr(&columns->values[c])) != 0) {
            json_decref(events);
            return NULL;
        }
    }
    return events;
}

json_t *eventcolumns_json(struct eventcolumns *columns, uint64_t lost)
{
    char from[36];
    size_t count = json_array_size(columns->values[TIME]);
    return json_pack("{s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "Count",
                     (json_int_t)count, "Lost", (json_int_t)lost, "From",
                     count ? json_string(report_time(from, columns->from)) : json_null(),
                     "Directories", words_json(&columns->directories), "Names",
                     words_json(&columns->names), "Processes", steal_ptr(&columns->processes),
                     "Causes", words_json(&columns->causes), "Kinds", kinds_json(), "Types",
                     words_json(&columns->types), "Means", means_json(), "Events",
                     events_json(columns));
}
