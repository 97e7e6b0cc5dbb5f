/* SPDX-License-Identifier: MIT
 *
 * Duty: two readings of the clock around an operation. What a trace tells of a request (the path,
 * the caller's name) is found before it is served, because afterwards the path may be another one
 * and the caller gone; the clock starts behind that.
 */
#include "serving.h"

#include "asker.h"
#include "moment.h"
#include "route.h"

#include <stdio.h>
#include <string.h>

#ifdef PLYFS_NO_LEDGER

void serving_begin(struct serving *serving, struct mount *mount, enum meter_op op, pid_t thread,
                   uid_t uid, const struct serving_target *target)
{
    (void)serving, (void)mount, (void)op, (void)target;
    asker_begin(thread, uid);
}

void serving_end(struct serving *serving)
{
    (void)serving;
    asker_end();
}

void serving_failed(int err)
{
    (void)err;
}

void serving_crossed(struct mount *mount, const struct node_view *dir, const char *name,
                     uint8_t tree, mode_t type)
{
    (void)mount, (void)dir, (void)name, (void)tree, (void)type;
}

#else

static _Thread_local int failure;

void serving_failed(int err)
{
    failure = err;
}

/* ---- paths ---- */

/* The root of a routed tree has a key in the place of a name: "/srv//3/file" is "file" in tree 3,
 * wherever that is seen. */
static char *without_key(struct mount *mount, char *path)
{
    char *key = NULL, *joined = NULL;
    for (char *at = path; (at = strstr(at, "//")) != NULL; at++)
        key = at;
    if (!key)
        return path;
    char *rest = key + 2;
    unsigned long tree = strtoul(rest, &rest, 10);
    cleanup_free char *prefix = tree < TREES_MAX ? route_path(mount, (uint8_t)tree) : NULL;
    if (asprintf(&joined, "%s%s", prefix ? prefix : "", rest) < 0)
        joined = NULL;
    free(path);
    return joined;
}

/* "" of a node that has lost its name; NULL when out of memory. */
static char *path_of(struct mount *mount, uint64_t node, const char *name)
{
    cleanup_view struct node_view view = {0};
    char *path = NULL;
    if (node == NODE_ROOT && !name)
        return strdup("/");
    if (node_view(mount->nodes, node, &view) != 0)
        return strdup("");
    if (name)
        path = node_path(mount->nodes, view.index, name);
    else
        path = node_is(&view, NODE_ORPHAN) ? strdup("")
                                           : node_path(mount->nodes, view.parent, view.name);
    return path ? without_key(mount, path) : NULL;
}

/* ---- telling ---- */

static void note_free(struct trace_note *note)
{
    union {
        const char *borrowed;
        char *owned;
    } path = {note->event.path}, to = {note->to};
    free(path.owned);
    free(to.owned);
    free(note);
}

static struct trace_note *note_of(struct mount *mount, enum meter_op op,
                                  const struct serving_target *target)
{
    struct trace_note *note = calloc(1, sizeof(*note));
    if (!note)
        return NULL;
    note->kind = TRACE_REQUEST;
    note->op = op;
    note->event.time = moment_now();
    note->event.cause = target->act ? target->act : meter_op_word(op);
    note->event.path = path_of(mount, target->node, target->name);
    note->to = target->to ? path_of(mount, target->to, target->to_name) : NULL;
    asker_name(&note->event);
    if (note->event.path && (note->to || !target->to))
        return note;
    note_free(note);
    return NULL;
}

/* That a request was the page cache's own is found while it is served. */
static void tell(struct serving *serving, int64_t duration, int err)
{
    struct trace_note *note = serving->note;
    note->event.duration = duration;
    note->err = err;
    if (asker_wrote_back()) {
        note->event.writeback = true;
        note->event.pid = 0;
        note->event.command[0] = 0;
    }
    tracequeue_put(serving->mount->trace, note);
    note_free(note);
}

void serving_begin(struct serving *serving, struct mount *mount, enum meter_op op, pid_t thread,
                   uid_t uid, const struct serving_target *target)
{
    asker_begin(thread, uid);
    failure = 0;
    *serving = (struct serving){.mount = mount, .op = op};
    if (tracequeue_wants(mount->trace, trace_wants_request(op)))
        serving->note = note_of(mount, op, target);
    serving->began = moment_steady();
}

void serving_end(struct serving *serving)
{
    int64_t duration = moment_steady() - serving->began;
    int err = failure;
    meter_add(serving->mount->meter, serving->op, duration, err != 0);
    if (serving->note)
        tell(serving, duration, err);
    asker_end();
}

void serving_crossed(struct mount *mount, const struct node_view *dir, const char *name,
                     uint8_t tree, mode_t type)
{
    if (!tracequeue_wants(mount->trace, TRACE_WANTS_EVENTS))
        return;
    cleanup_free char *path = path_of(mount, dir->id, name);
    cleanup_free char *source = route_source(mount, tree);
    struct trace_note note = {
        .kind = TRACE_ROUTE,
        .event = {.time = moment_now(), .path = path ? path : "", .cause = "lookup", .type = type},
        .to = source ? source : "",
    };
    asker_name(&note.event);
    tracequeue_put(mount->trace, &note);
}

#endif
