/* SPDX-License-Identifier: MIT
 *
 * Duty: words for people. A sentence is written piece by piece into a stream; what a path holds is
 * bytes, and whoever prints it escapes it (report.h).
 */
#include "verdict.h"

#include "eventword.h"
#include "moment.h"
#include "report.h"
#include "shadow.h"

#include <stdio.h>
#include <string.h>

/* ---- pieces ---- */

static int number_of(const struct stack *stack, unsigned slot)
{
    return slot == 0 ? 0 : (int)(stack->count - slot);
}

static void print_layer(FILE *to, const struct stack *stack, unsigned slot)
{
    if (slot == 0)
        fputs("the upper", to);
    else
        fprintf(to, "layer %d", number_of(stack, slot));
}

/* Who is in the way: "the whiteout /d of layer 2 (device 0:0)". */
static void print_cause(FILE *to, const struct stack *stack, const struct explain_cause *cause)
{
    static const char *const BEFORE[] = {
        [EXPLAIN_BY_WHITEOUT] = "the whiteout ",
        [EXPLAIN_BY_OPAQUE] = "the opaque directory ",
        [EXPLAIN_BY_FILE] = "",
        [EXPLAIN_BY_DIRECTORY] = "the directory ",
        [EXPLAIN_BY_REDIRECT] = "the redirect of ",
        [EXPLAIN_BY_LINK] = "its inode, copied up through another name: ",
        [EXPLAIN_BY_FAULT] = "the faulty marks of ",
    };
    if (cause->reason == EXPLAIN_FREE)
        return;
    fprintf(to, "%s/%s of ", BEFORE[cause->reason], cause->path);
    print_layer(to, stack, cause->slot);
    if (*cause->form)
        fprintf(to, " (%s)", cause->form);
}

/* A list of layers in a state: how many there were. */
static unsigned print_layers_in(FILE *to, const struct inquiry *inquiry, enum explain_state state,
                                const char *before)
{
    unsigned met = 0;
    for (unsigned i = 0; i < inquiry->explain.count; i++) {
        if (inquiry->explain.at[i].state != state)
            continue;
        fputs(met++ == 0 ? before : ", ", to);
        print_layer(to, inquiry->stack, inquiry->explain.at[i].slot);
    }
    return met;
}

static const struct explain_layer *first_in(const struct explain *explain, enum explain_state state)
{
    for (unsigned i = 0; i < explain->count; i++) {
        if (explain->at[i].state == state)
            return &explain->at[i];
    }
    return NULL;
}

/* ---- the union ---- */

/* A directory that is shown only for the sake of a volume. */
static bool is_stub(const struct inquiry *inquiry)
{
    return inquiry->beneath && !inquiry->explain.present;
}

static bool is_link(const struct explain *explain)
{
    for (unsigned i = 0; i < explain->count; i++) {
        if (explain->at[i].by.reason == EXPLAIN_BY_LINK)
            return true;
    }
    return false;
}

static void print_visible(FILE *to, const struct inquiry *inquiry)
{
    const struct explain *explain = &inquiry->explain;
    const struct explain_layer *winner = explain_winner(explain), *data = explain_data(explain);
    print_layer(to, inquiry->stack, winner->slot);
    fputs(is_link(explain)    ? " has its inode, which was copied up through another of its names"
          : winner->slot == 0 ? " has it, and comes first"
                              : " is the topmost that has it",
          to);
    if (data) {
        fputs("; its data is still that of ", to);
        print_layer(to, inquiry->stack, data->slot);
        fprintf(to, " at /%s (metacopy)", data->path);
    }
    print_layers_in(to, inquiry, EXPLAIN_MERGED, "; merged with it is the directory of ");
    if (explain->why.reason == EXPLAIN_BY_OPAQUE) {
        fputs("; ", to);
        print_cause(to, inquiry->stack, &explain->why);
        fputs(" ends the merge", to);
    }
    print_layers_in(to, inquiry, EXPLAIN_HIDDEN, "; hidden is what is there in ");
}

static void print_absent(FILE *to, const struct inquiry *inquiry)
{
    const struct explain *explain = &inquiry->explain;
    const struct explain_layer *white = first_in(explain, EXPLAIN_WHITEOUT),
                               *hidden = first_in(explain, EXPLAIN_HIDDEN);
    if (white && white->by.reason == EXPLAIN_FREE) {
        fprintf(to, "a whiteout (%s) of ", white->form);
        print_layer(to, inquiry->stack, white->slot);
        fputs(" says that there is no such name", to);
        print_layers_in(to, inquiry, EXPLAIN_HIDDEN, "; hidden is what is there in ");
    } else if (hidden) {
        print_layer(to, inquiry->stack, hidden->slot);
        fputs(" has it, but hidden by ", to);
        print_cause(to, inquiry->stack, &hidden->by);
    } else {
        fputs("no layer has it", to);
    }
}

/* The redirect that leads nowhere is the most telling part of a faulty book. */
static void print_error(FILE *to, const struct inquiry *inquiry)
{
    const struct explain_cause *why = &inquiry->explain.why;
    if (inquiry->err != -EIO || why->reason != EXPLAIN_BY_FAULT) {
        fputs(inquiry->err == -ELOOP    ? "too many symlinks are on the way"
              : inquiry->err == -EACCES ? "something on the way may not be looked at"
                                        : strerror(-inquiry->err),
              to);
        return;
    }
    const struct explain_layer *winner = explain_winner(&inquiry->explain);
    const bool lost = winner && !*why->form;
    fprintf(to, lost ? "the data of the metacopy file /%s of " : "the marks of /%s of ",
            lost ? winner->path : why->path);
    print_layer(to, inquiry->stack, lost ? winner->slot : why->slot);
    if (lost)
        fputs(" is nowhere beneath", to);
    else
        fprintf(to, " cannot be true: it is redirected to '%s'", why->form);
    fputs("; reading it fails with EIO", to);
}

/* A file that a name, a dot or a slash behind it asks for as a directory. */
static void print_no_directory(FILE *to, const struct inquiry *inquiry)
{
    fprintf(to, "/%s of ", inquiry->path);
    print_layer(to, inquiry->stack, explain_winner(&inquiry->explain)->slot);
    fputs(" is no directory", to);
}

static void print_union(FILE *to, const struct inquiry *inquiry)
{
    if (is_stub(inquiry))
        fprintf(to, "no layer shows it; it is there because the volume at %s lies beneath",
                inquiry->beneath);
    else if (inquiry->err && inquiry->err != -ENOTDIR)
        print_error(to, inquiry);
    else if (inquiry->explain.present && inquiry->err)
        print_no_directory(to, inquiry);
    else if (inquiry->explain.present)
        print_visible(to, inquiry);
    else
        print_absent(to, inquiry);
}

/* ---- volumes ---- */

static void print_volume(FILE *to, const struct inquiry_volume *volume)
{
    fprintf(to, "the %s%s%s at %s covers it", volume_kind_word(volume->kind),
            volume->source ? " " : "", volume->source ? volume->source : "", volume->destination);
    if (volume->err == -ENXIO || volume->err == -EREMOTE)
        fputs("; what it has there only the mount itself shows", to);
    else if (volume->err == -ENOENT || volume->err == -ENOTDIR)
        fputs(", and has nothing there", to);
    else if (volume->err == -ELOOP)
        fputs("; a symlink in it is on the way, and is not followed here", to);
    else if (volume->err)
        fprintf(to, "; it cannot be looked into (%s)", strerror(-volume->err));
}

/* ---- the verdict ---- */

static const char *union_state(const struct inquiry *inquiry)
{
    if (is_stub(inquiry))
        return "visible";
    if (inquiry->err && inquiry->err != -ENOTDIR)
        return "error";
    return inquiry->explain.present && !inquiry->err ? "visible" : "absent";
}

const char *verdict_state(const struct inquiry *inquiry)
{
    return inquiry_volume(inquiry) ? "volume" : union_state(inquiry);
}

static void print_why(FILE *to, const struct inquiry *inquiry)
{
    const struct inquiry_volume *volume = inquiry_volume(inquiry);
    if (!volume) {
        print_union(to, inquiry);
        return;
    }
    print_volume(to, volume);
    fprintf(to, "; beneath it: %s, ", union_state(inquiry));
    print_union(to, inquiry);
}

static char *written(void (*print)(FILE *to, const void *what), const void *what)
{
    char *words = NULL;
    size_t size;
    FILE *to = open_memstream(&words, &size);
    if (!to)
        return NULL;
    print(to, what);
    bool whole = !ferror(to);
    if (fclose(to) == 0 && whole)
        return words;
    free(words);
    return NULL;
}

static void print_why_of(FILE *to, const void *what)
{
    print_why(to, what);
}

char *verdict_why(const struct inquiry *inquiry)
{
    return written(print_why_of, inquiry);
}

/* ---- JSON ---- */

/* A path in a layer or the union, with its slash. */
static json_t *path_json(const char *path)
{
    cleanup_free char *absolute = NULL;
    if (asprintf(&absolute, "/%s", path) < 0)
        return absolute = NULL, NULL;
    return report_text(absolute);
}

/* What stat(2) says, or nulls where nothing is there. */
static json_t *stat_json(const struct stat *st, bool there)
{
    char mode[11], modified[36];
    if (!there)
        return json_pack("{s:n, s:n, s:n, s:n, s:n, s:n, s:n, s:n}", "Type", "Mode", "Uid", "Gid",
                         "Size", "Links", "Inode", "ModifiedAt");
    return json_pack("{s:o, s:s, s:I, s:I, s:I, s:I, s:I, s:s}", "Type",
                     json_string(eventword_type(st->st_mode)), "Mode",
                     report_mode(mode, st->st_mode), "Uid", (json_int_t)st->st_uid, "Gid",
                     (json_int_t)st->st_gid, "Size", (json_int_t)st->st_size, "Links",
                     (json_int_t)st->st_nlink, "Inode", (json_int_t)st->st_ino, "ModifiedAt",
                     report_time(modified, moment_of(st->st_mtim)));
}

static json_t *cause_json(const struct stack *stack, const struct explain_cause *cause)
{
    if (cause->reason == EXPLAIN_FREE)
        return json_null();
    return json_pack("{s:o, s:o, s:s, s:o}", "Layer",
                     shadow_layer_word(number_of(stack, cause->slot)), "Path",
                     path_json(cause->path), "Reason", explain_reason_word(cause->reason), "Format",
                     report_text(*cause->form ? cause->form : NULL));
}

/* Where the data of a metacopy file is; null of any other. */
static json_t *metacopy_json(const struct inquiry *inquiry, const struct explain_layer *layer)
{
    const struct explain_layer *data = explain_data(&inquiry->explain);
    if (!layer->metacopy)
        return json_null();
    if (!data)
        return json_pack("{s:n, s:n}", "Layer", "Path");
    return json_pack("{s:o, s:o}", "Layer",
                     shadow_layer_word(number_of(inquiry->stack, data->slot)), "Path",
                     path_json(data->path));
}

struct noted {
    const struct inquiry *inquiry;
    const struct explain_layer *layer;
};

/* What else there is to say of a layer, in few words. */
static void print_note(FILE *to, const void *what)
{
    const struct noted *noted = what;
    const struct explain_layer *layer = noted->layer;
    const char *before = "";
    if (layer->form) {
        fputs(layer->form, to);
        before = "; ";
    }
    if (layer->by.reason != EXPLAIN_FREE && layer->state != EXPLAIN_ABSENT) {
        fprintf(to, "%s%s", before, layer->state == EXPLAIN_DATA ? "of " : "hidden by ");
        print_cause(to, noted->inquiry->stack, &layer->by);
        before = "; ";
    }
    if (*layer->mark) {
        fprintf(to, "%sopaque (%s)", before, layer->mark);
        before = "; ";
    }
    if (layer->redirect) {
        fprintf(to, "%sredirected from %s", before, layer->redirect);
        before = "; ";
    }
    if (layer->metacopy)
        fprintf(to, "%smetadata alone (metacopy)", before);
}

static json_t *layer_json(const struct inquiry *inquiry, const struct explain_layer *layer)
{
    const struct stack *stack = inquiry->stack;
    const struct noted noted = {inquiry, layer};
    cleanup_free char *note = written(print_note, &noted);
    json_t *row =
        json_pack("{s:o, s:s, s:o, s:o}", "Layer", shadow_layer_word(number_of(stack, layer->slot)),
                  "State", explain_state_word(layer->state), "Path", path_json(layer->path),
                  "Directory", report_text(stack->layers[layer->slot].path));
    json_t *more = json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o}", "Format", report_text(layer->form), "By",
        cause_json(stack, &layer->by), "Opaque", report_text(*layer->mark ? layer->mark : NULL),
        "Redirect", report_text(layer->redirect), "Metacopy", metacopy_json(inquiry, layer), "Note",
        report_text(note && *note ? note : NULL));
    if (json_object_update_new(row, stat_json(&layer->st, layer->there)) == 0 &&
        json_object_update_new(row, more) == 0)
        return row;
    json_decref(row);
    return NULL;
}

static json_t *layers_json(const struct inquiry *inquiry)
{
    json_t *layers = json_array();
    for (unsigned i = 0; i < inquiry->explain.count; i++) {
        if (json_array_append_new(layers, layer_json(inquiry, &inquiry->explain.at[i])) < 0) {
            json_decref(layers);
            return NULL;
        }
    }
    return layers;
}

static json_t *links_json(const struct inquiry *inquiry)
{
    json_t *links = json_array();
    for (unsigned i = 0; i < inquiry->link_count; i++)
        json_array_append_new(links,
                              json_pack("{s:o, s:o}", "Path", report_text(inquiry->links[i].path),
                                        "Target", report_text(inquiry->links[i].target)));
    return links;
}

/* "present", "absent" or, of what the host does not show, "unknown". */
static const char *volume_state(const struct inquiry_volume *volume)
{
    return volume->err == 0                                    ? "present"
           : volume->err == -ENOENT || volume->err == -ENOTDIR ? "absent"
                                                               : "unknown";
}

/* The destinations of the volumes that this one lies in. */
static json_t *outer_json(const struct inquiry *inquiry)
{
    json_t *outer = json_array();
    for (unsigned i = 0; i + 1 < inquiry->volume_count; i++)
        json_array_append_new(outer, report_text(inquiry->volumes[i].destination));
    return outer;
}

static json_t *volume_json(const struct inquiry *inquiry)
{
    const struct inquiry_volume *volume = inquiry_volume(inquiry);
    if (!volume)
        return json_null();
    json_t *object = json_pack(
        "{s:o, s:s, s:o, s:o, s:b, s:s, s:o}", "Destination", report_text(volume->destination),
        "Kind", volume_kind_word(volume->kind), "Source", report_text(volume->source), "Path",
        path_json(volume->rest), "ReadOnly", volume->read_only, "State", volume_state(volume),
        "Within", outer_json(inquiry));
    if (json_object_update_new(object, stat_json(&volume->st, volume->err == 0)) == 0)
        return object;
    json_decref(object);
    return NULL;
}

static json_t *verdict_object(const struct inquiry *inquiry)
{
    const struct explain_layer *winner =
        inquiry->err || inquiry->explain.err ? NULL : explain_winner(&inquiry->explain);
    cleanup_free char *why = verdict_why(inquiry);
    if (!why)
        return NULL;
    return json_pack(
        "{s:s, s:o, s:o, s:o}", "State", verdict_state(inquiry), "Layer",
        winner ? shadow_layer_word(number_of(inquiry->stack, winner->slot)) : json_null(), "Errno",
        report_text(inquiry->err ? strerrorname_np(-inquiry->err) : NULL), "Why", report_text(why));
}

json_t *verdict_json(const struct inquiry *inquiry)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "Path", report_text(inquiry->said),
                     "Resolved", path_json(inquiry->path), "Links", links_json(inquiry), "Verdict",
                     verdict_object(inquiry), "Layers", layers_json(inquiry), "Volume",
                     volume_json(inquiry));
}
