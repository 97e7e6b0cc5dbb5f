/* SPDX-License-Identifier: MIT
 *
 * Duty: `plyfs shadow`: what the volumes of a named mount hide, and what was written into them.
 */
#include "command.h"

#include "arguments.h"
#include "hostside.h"
#include "log.h"
#include "named.h"
#include "report.h"
#include "routedir.h"
#include "shadow.h"
#include "volumespec.h"

#include <stdio.h>
#include <string.h>

static const struct column VOLUMES[] = {
    {"Destination", "DESTINATION", COLUMN_TEXT},
    {"Type", "TYPE", COLUMN_TEXT},
    {"Source", "SOURCE", COLUMN_TEXT},
    {"Hides", "HIDES", COLUMN_TEXT},
    {"Names", "HOLDS", COLUMN_COUNT},
    {"Bytes", "SIZE", COLUMN_SIZE},
    {"Same", "SAME", COLUMN_COUNT},
    {"Differs", "DIFFERS", COLUMN_COUNT},
    {"New", "NEW", COLUMN_COUNT},
};

static const struct column PATHS[] = {
    {"State", "STATE", COLUMN_TEXT},    {"Layer", "LAYER", COLUMN_TEXT},
    {"Size", "SIZE", COLUMN_SIZE},      {"Path", "PATH", COLUMN_TEXT},
    {"Destination", NULL, COLUMN_TEXT},
};

struct wishes {
    const char *root;
    bool json, list;
    struct report report;
    struct words words;
};

static const struct argument TABLE[] = {
    ARGUMENT_ROOT(struct wishes, root),
    {.name = "list",
     .letter = 'l',
     .kind = ARGUMENT_FLAG,
     .at = offsetof(struct wishes, list),
     .help = "each path, also without a destination"},
    {.name = "json",
     .kind = ARGUMENT_FLAG,
     .at = offsetof(struct wishes, json),
     .help = "the same as --format json"},
    {.name = "format",
     .kind = ARGUMENT_STRING,
     .at = offsetof(struct wishes, report.format),
     .value = "FORM",
     .help = "table, json, or '{{.Destination}} {{.Hides}}'"},
};

static const struct syntax SYNTAX = {
    .command = "shadow",
    .words = "MOUNT [DESTINATION]",
    .least = 1,
    .most = 2,
    .words_at = offsetof(struct wishes, words),
    ARGUMENTS(TABLE),
    .about = "Tells what each volume of a named mount hides of its layers, and how what it holds\n"
             "differs from that. Of one destination each path is listed: hidden (only the layers\n"
             "have it), same, differs, or new (only the volume has it).\n",
    .example = "plyfs shadow web /var/lib/data",
};

/* What is collected while the volumes of a mount are gone through. */
struct survey {
    struct store *store;
    const struct stack *stack;
    const char *only; /* the one destination that is asked for, or NULL */
    bool list;
    const char *destination; /* of the volume at hand */
    json_t *rows;
    unsigned met; /* volumes that were asked for */
};

/* ---- one path ---- */

/* A directory that both have says nothing: what is in it does. */
static int add_path(void *context, const struct hostside_item *item)
{
    const struct survey *survey = context;
    cleanup_free char *path = NULL;
    if (S_ISDIR(item->mode) && item->state == HOSTSIDE_SAME)
        return 0;
    if (asprintf(&path, "%s%s%s", survey->destination, *item->beneath ? "/" : "", item->beneath) <
        0)
        return path = NULL, -ENOMEM;
    json_t *row =
        json_pack("{s:s, s:o, s:I, s:o, s:o}", "State", hostside_word(item->state), "Layer",
                  shadow_layer_word(item->layer), "Size", (json_int_t)item->bytes, "Path",
                  report_text(path), "Destination", report_text(survey->destination));
    return row && json_array_append_new(survey->rows, row) == 0 ? 0 : -ENOMEM;
}

/* ---- one volume ---- */

struct sums {
    uint64_t names, bytes; /* that the volume holds */
    uint64_t of[HOSTSIDE_STATES];
};

static int add_to_sums(void *context, const struct hostside_item *item)
{
    struct sums *sums = context;
    bool held = item->state != HOSTSIDE_HIDDEN;
    sums->names += held;
    sums->bytes += held ? item->bytes : 0;
    sums->of[item->state] += !S_ISDIR(item->mode);
    return 0;
}

/* What cannot be looked at on the host is null: a tmpfs, a plug-in's volume. */
static int set_sums(json_t *row, const struct sums *sums)
{
    const struct {
        const char *field;
        uint64_t value;
    } facts[] = {{"Names", sums->names},
                 {"Bytes", sums->bytes},
                 {"Same", sums->of[HOSTSIDE_SAME]},
                 {"Differs", sums->of[HOSTSIDE_DIFFERS]},
                 {"New", sums->of[HOSTSIDE_NEW]}};
    for (size_t i = 0; i < sizeof(facts) / sizeof(facts[0]); i++) {
        if (json_object_set_new(row, facts[i].field, json_integer((json_int_t)facts[i].value)) < 0)
            return -ENOMEM;
    }
    return 0;
}

static json_t *volume_row(const struct volume_spec *spec, const struct shadow_count *count)
{
    cleanup_free char *words = shadow_words(count);
    if (!words)
        return NULL;
    return json_pack("{s:o, s:s, s:o, s:s, s:o, s:n, s:n, s:n, s:n, s:n}", "Destination",
                     report_text(spec->destination), "Type", volume_kind_word(spec->kind), "Source",
                     report_text(spec->source ? spec->source : ""), "Hides", words, "Hidden",
                     shadow_json(count), "Names", "Bytes", "Same", "Differs", "New");
}

static int add_volume(struct survey *survey, const struct volume_spec *spec, int host)
{
    struct sums sums = {0};
    cleanup_shadow_count struct shadow_count count;
    int err = shadow_count(survey->stack, spec->destination, &count);
    json_t *row = err ? NULL : volume_row(spec, &count);
    if (!err && !row)
        err = -ENOMEM;
    if (!err && host >= 0)
        err = hostside_compare(survey->stack, spec->destination, host, add_to_sums, &sums);
    if (!err && host >= 0)
        err = set_sums(row, &sums);
    if (!err)
        err = json_array_append(survey->rows, row) == 0 ? 0 : -ENOMEM;
    json_decref(row);
    return err;
}

static int look_at_volume(void *context, const struct mount_volume_row *route)
{
    struct survey *survey = context;
    const struct volume_spec *spec = &route->spec;
    if (survey->only && strcmp(survey->only, spec->destination) != 0)
        return 0;
    survey->met++;
    survey->destination = spec->destination;
    cleanup_fd int host = routedir_open(survey->store, route);
    if (host < 0 && host != -ENXIO)
        log_warning("cannot look at what is in the volume at %s: %s", spec->destination,
                    host == -EREMOTE ? "only its driver reaches it" : strerror(-host));
    int err = survey->list ? hostside_compare(survey->stack, spec->destination,
                                              host < 0 ? -1 : host, add_path, survey)
                           : add_volume(survey, spec, host);
    if (err)
        log_error("cannot look at what the volume at %s hides: %s", spec->destination,
                  strerror(-err));
    return err;
}

/* ---- the mount ---- */

static int take_survey(struct survey *survey, const struct mount_row *row)
{
    struct named_view view;
    int err = named_view_flushed(survey->store, row, &view);
    if (err)
        return err;
    survey->stack = &view.stack;
    err = catalog_each_mount_volume(survey->store->catalog, row->id, look_at_volume, survey);
    named_view_close(&view);
    if (!err && survey->only && survey->met == 0) {
        log_error("%s has no volume at %s; plyfs shadow %s lists them", row->name, survey->only,
                  row->name);
        err = -ENOENT;
    }
    return err;
}

static int find_and_survey(const struct wishes *wishes, struct survey *survey)
{
    cleanup_store struct store *store = NULL;
    cleanup_mount_row struct mount_row row = {0};
    int err = named_open_store(wishes->root, false, &store);
    if (!err)
        err = named_find(store, wishes->words.at[0], false, &row);
    survey->store = store;
    return err ? err : take_survey(survey, &row);
}

static int shadow(struct wishes *wishes)
{
    const char *said = wishes->words.count > 1 ? wishes->words.at[1] : NULL;
    cleanup_free char *only = said ? volume_path_clean(said) : NULL;
    struct survey survey = {.only = only, .list = wishes->list || said};
    if (said && !only) {
        log_error("%s is no destination: it is an absolute path in the mount", said);
        return -EINVAL;
    }
    wishes->report.columns = survey.list ? PATHS : VOLUMES;
    wishes->report.count =
        survey.list ? sizeof(PATHS) / sizeof(PATHS[0]) : sizeof(VOLUMES) / sizeof(VOLUMES[0]);
    int err = report_check(&wishes->report);
    if (err)
        return err;
    survey.rows = json_array();
    err = find_and_survey(wishes, &survey);
    if (!err)
        err = report_print(&wishes->report, survey.rows);
    json_decref(survey.rows);
    return err;
}

static int run_shadow(int argc, char **argv)
{
    struct wishes wishes = {0};
    int err = arguments_parse(&SYNTAX, argc, argv, &wishes);
    if (wishes.json)
        wishes.report.format = "json";
    if (!err)
        err = shadow(&wishes);
    arguments_finish(&SYNTAX, &wishes);
    return err < 0 ? 1 : 0;
}

const struct command command_shadow = {
    .name = "shadow",
    .summary = "tell what the volumes of a named mount hide",
    .run = run_shadow,
};
