/* SPDX-License-Identifier: MIT
 *
 * Duty: `plyfs waste`: what the upper layer of a named mount holds in vain, and who brought it.
 */
#include "command.h"

#include "arguments.h"
#include "named.h"
#include "report.h"
#include "wasted.h"

#include <stdio.h>
#include <string.h>

static const struct column FILES[] = {
    {"State", "STATE", COLUMN_TEXT}, {"Wasted", "WASTED", COLUMN_SIZE},
    {"Size", "SIZE", COLUMN_SIZE},   {"Moved", "MOVED", COLUMN_SIZE},
    {"Cause", "CAUSE", COLUMN_TEXT}, {"Caller", "CALLER", COLUMN_TEXT},
    {"Path", "PATH", COLUMN_TEXT},
};

static const struct column PROCESSES[] = {
    {"Process", "PROCESS", COLUMN_TEXT},
    {"Files", "FILES", COLUMN_COUNT},
    {"Wasted", "WASTED", COLUMN_SIZE},
};

enum { TOP = 20 };

struct wishes {
    const char *root;
    uint64_t top;
    bool json;
    struct words words;
};

static const struct argument TABLE[] = {
    {.name = "top",
     .kind = ARGUMENT_COUNT,
     .at = offsetof(struct wishes, top),
     .value = "N",
     .help = "only those N that waste most (20, and in JSON all)"},
    {.name = "json",
     .kind = ARGUMENT_FLAG,
     .at = offsetof(struct wishes, json),
     .help = "one JSON object: Files, Processes, Totals"},
    ARGUMENT_ROOT(struct wishes, root),
};

static const struct syntax SYNTAX = {
    .command = "waste",
    .words = "MOUNT",
    .least = 1,
    .most = 1,
    .words_at = offsetof(struct wishes, words),
    ARGUMENTS(TABLE),
    .about =
        "Tells which files of a named mount were copied up in vain: identical to those of the\n"
        "layers, touched (their times alone differ), or with other metadata and the same content.\n"
        "Files of one size are read and compared. The ledger tells who copied them up.\n",
    .example = "plyfs waste --top 10 web",
};

/* ---- rows ---- */

static json_t *file_row(const struct wasted_file *file)
{
    const struct wasted_tally *tally = file->tally;
    return json_pack("{s:s, s:I, s:I, s:o, s:s?, s:o, s:o}", "State", wasted_word(file->state),
                     "Wasted", (json_int_t)file->wasted, "Size", (json_int_t)file->size, "Moved",
                     tally ? json_integer((json_int_t)tally->moved) : json_null(), "Cause",
                     tally ? tally->cause : NULL, "Caller",
                     report_text(tally ? tally->caller : NULL), "Path", report_text(file->path));
}

static json_t *file_rows(const struct wasted *wasted, uint64_t top)
{
    json_t *rows = json_array();
    for (size_t i = 0; rows && i < wasted->count && i < top; i++) {
        if (json_array_append_new(rows, file_row(&wasted->files[i])) == 0)
            continue;
        json_decref(rows);
        rows = NULL;
    }
    return rows;
}

static json_int_t number_in(const json_t *row, const char *field)
{
    return json_integer_value(json_object_get(row, field));
}

static int by_wasted(const void *left, const void *right)
{
    const json_t *a = *(json_t *const *)left, *b = *(json_t *const *)right;
    json_int_t one = number_in(a, "Wasted"), other = number_in(b, "Wasted");
    if (one != other)
        return one > other ? -1 : 1;
    return strcmp(json_string_value(json_object_get(a, "Process")),
                  json_string_value(json_object_get(b, "Process")));
}

/* What was never copied up, but written anew as it was, has no process in the ledger. */
static int add_to_process(json_t *rows, json_t *known, const struct wasted_file *file)
{
    json_t *name = report_text(file->tally ? file->tally->process : "(no copy-up)");
    const char *word = json_string_value(name);
    json_t *row = word ? json_object_get(known, word) : NULL;
    int err = word ? 0 : -ENOMEM;
    if (!err && !row) {
        row = json_pack("{s:O, s:i, s:i}", "Process", name, "Files", 0, "Wasted", 0);
        if (json_array_append_new(rows, row) != 0 || json_object_set(known, word, row) != 0)
            err = -ENOMEM;
    }
    if (!err) {
        json_object_set_new(row, "Files", json_integer(number_in(row, "Files") + 1));
        json_object_set_new(row, "Wasted",
                            json_integer(number_in(row, "Wasted") + (json_int_t)file->wasted));
    }
    json_decref(name);
    return err;
}

static json_t *process_rows(const struct wasted *wasted, uint64_t top)
{
    json_t *rows = json_array(), *known = json_object();
    int err = rows && known ? 0 : -ENOMEM;
    for (size_t i = 0; i < wasted->count && !err; i++)
        err = add_to_process(rows, known, &wasted->files[i]);
    json_decref(known);
    if (!err)
        err = report_sort(rows, by_wasted);
    while (!err && json_array_size(rows) > top)
        json_array_remove(rows, json_array_size(rows) - 1);
    if (!err)
        return rows;
    json_decref(rows);
    return NULL;
}

static uint64_t all_bytes(const struct wasted *wasted)
{
    uint64_t bytes = 0;
    for (int state = 0; state < WASTED_CHANGED; state++)
        bytes += wasted->of[state].bytes;
    return bytes;
}

static json_t *totals(const struct wasted *wasted)
{
    static const char *const FIELDS[WASTED_STATES] = {"Identical", "Touched", "Metadata",
                                                      "Changed"};
    json_t *all = json_pack(
        "{s:I, s:I, s:I, s:I, s:I}", "Wasted", (json_int_t)all_bytes(wasted), "Copyups",
        (json_int_t)wasted->copyups, "Moved", (json_int_t)wasted->moved, "MetacopySaves",
        (json_int_t)wasted->metacopy_saves, "ReflinkSaves", (json_int_t)wasted->reflink_saves);
    for (int state = 0; all && state < WASTED_STATES; state++) {
        json_t *part = json_pack("{s:I, s:I}", "Files", (json_int_t)wasted->of[state].files,
                                 "Bytes", (json_int_t)wasted->of[state].bytes);
        if (json_object_set_new(all, FIELDS[state], part) != 0)
            return json_decref(all), NULL;
    }
    return all;
}

/* ---- printing ---- */

static int print_json(json_t *files, json_t *processes, const struct wasted *wasted)
{
    json_t *value = json_pack("[{s:O, s:O, s:o}]", "Files", files, "Processes", processes, "Totals",
                              totals(wasted));
    int err = value ? report_print_value("json", value) : -ENOMEM;
    json_decref(value);
    return err;
}

static void print_totals(const struct wasted *wasted)
{
    static const char *const WORDS[WASTED_STATES] = {
        "copied up, and as the layers have them", "only their times differ",
        "only owner, permissions or attributes differ", "their content differs: not wasted"};
    char size[16], moved[16], metacopy[16], reflink[16];
    for (int state = 0; state < WASTED_STATES; state++)
        printf("%-10s %6llu files  %8s  %s\n", wasted_word((enum wasted_state)state),
               (unsigned long long)wasted->of[state].files,
               report_size(size, wasted->of[state].bytes), WORDS[state]);
    printf(
        "\n%s of the upper are wasted. %llu copy-ups moved %s; metacopy would have saved %s, an\n"
        "upper that can reflink %s.\n",
        report_size(size, all_bytes(wasted)), (unsigned long long)wasted->copyups,
        report_size(moved, wasted->moved), report_size(metacopy, wasted->metacopy_saves),
        report_size(reflink, wasted->reflink_saves));
}

static int print_table(json_t *files, json_t *processes, const struct wasted *wasted)
{
    const struct report of_files = {REPORT_COLUMNS(FILES)};
    const struct report of_processes = {REPORT_COLUMNS(PROCESSES)};
    int err = 0;
    if (wasted->count > 0) {
        err = report_print(&of_files, files);
        if (json_array_size(files) < wasted->count)
            printf("and %zu more; --top %zu tells all\n", wasted->count - json_array_size(files),
                   wasted->count);
        putchar('\n');
    }
    if (!err && wasted->count > 0) {
        err = report_print(&of_processes, processes);
        putchar('\n');
    }
    if (!err)
        print_totals(wasted);
    return err ? err : fflush(stdout) == 0 ? 0 : -errno;
}

static int print(const struct wishes *wishes, const struct wasted *wasted)
{
    uint64_t top = wishes->top ? wishes->top : wishes->json ? UINT64_MAX : TOP;
    json_t *files = file_rows(wasted, top), *processes = process_rows(wasted, top);
    int err = -ENOMEM;
    if (files && processes)
        err = wishes->json ? print_json(files, processes, wasted)
                           : print_table(files, processes, wasted);
    json_decref(files);
    json_decref(processes);
    return err;
}

/* ---- the command ---- */

static int find_and_print(struct store *store, const struct mount_row *row,
                          const struct wishes *wishes)
{
    struct named_view view;
    cleanup_wasted struct wasted wasted = {0};
    int err = named_view_flushed(store, row, &view);
    if (err)
        return err;
    err = wasted_find(store, row, &view.stack, &wasted);
    named_view_close(&view);
    return err ? err : print(wishes, &wasted);
}

static int waste(const struct wishes *wishes)
{
    cleanup_store struct store *store = NULL;
    cleanup_mount_row struct mount_row row = {0};
    int err = named_open_store(wishes->root, false, &store);
    if (!err)
        err = named_find(store, wishes->words.at[0], false, &row);
    return err ? err : find_and_print(store, &row, wishes);
}

static int run_waste(int argc, char **argv)
{
    struct wishes wishes = {0};
    int err = arguments_parse(&SYNTAX, argc, argv, &wishes);
    if (!err)
        err = waste(&wishes);
    arguments_finish(&SYNTAX, &wishes);
    return err < 0;
}

const struct command command_waste = {
    .name = "waste",
    .summary = "tell what was copied up in vain, and by whom",
    .run = run_waste,
};
