/* SPDX-License-Identifier: MIT
 *
 * Duty: attach and detach while files are served, and tell how it fares. The thread of the control
 * socket is the only one that changes routes and uses, one request after the other.
 */
#include "live.h"

#include "ledger.h"
#include "log.h"
#include "mountinfo.h"
#include "policing.h"
#include "quota.h"
#include "route.h"
#include "tracer.h"
#include "vitals.h"

#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <time.h>

int live_prepare(struct live *live, struct route_wishes *wishes)
{
    cleanup_store struct store *store = NULL;
    int err = store_open(live->store, false, &store);
    return err ? err : inuse_begin(store, live->row, &live->inuse, wishes);
}

void live_finish(struct live *live)
{
    inuse_end(&live->inuse);
}

/* ---- attach and detach ---- */

static json_t *refuse(int err, const struct route_fault *fault)
{
    return control_refusal(err, *fault->words ? fault->words : strerror(-err));
}

static json_t *attach(struct live *live, const char *destination)
{
    struct route_wish wish = {0};
    struct route_fault fault = {0};
    cleanup_store struct store *store = NULL;
    int err = store_open(live->store, false, &store);
    /* What a lazy detach had to leave in use may be free by now. */
    if (!err && !route_lingers(live->mount, destination))
        inuse_drop(&live->inuse, destination);
    if (!err)
        err = inuse_add(store, live->row, destination, &live->inuse, &wish);
    if (!err) {
        err = route_add(live->mount, &wish, &fault);
        if (err)
            inuse_drop(&live->inuse, destination);
    }
    route_wish_finish(&wish);
    return err ? refuse(err, &fault) : json_pack("{s:b}", "ok", 1);
}

/* The kernel lets go of what nobody uses as soon as it is told to; that takes it a moment. Of what
 * may be in use it is not waited for long. */
static bool wait_until_free(struct live *live, const char *destination, bool lazy)
{
    const struct timespec pause = {.tv_nsec = 5000000};
    const int most = lazy ? 4 : 200;
    for (int tries = 0; tries < most && route_lingers(live->mount, destination); tries++)
        nanosleep(&pause, NULL);
    return !route_lingers(live->mount, destination);
}

static json_t *detach(struct live *live, const char *destination, bool lazy)
{
    struct route_fault fault;
    int err = route_remove(live->mount, destination, lazy, &fault);
    if (err)
        return refuse(err, &fault);
    bool free_now = wait_until_free(live, destination, lazy);
    if (free_now)
        inuse_drop(&live->inuse, destination);
    return json_pack("{s:b, s:b}", "ok", 1, "lingers", !free_now);
}

/* ---- telling ---- */

static int tell_route(void *context, const struct route_line *line)
{
    const struct tree *tree = line->tree;
    json_t *route = json_pack("{s:s, s:s, s:s?, s:b, s:b, s:b, s:I}", "Destination",
                              line->destination, "Resolved", line->resolved, "Source", line->source,
                              "ReadOnly", tree->read_only, "Cached", tree->cached, "Passthrough",
                              tree->passthrough, "Open", (json_int_t)line->open);
    if (route && tree->quota) {
        json_object_set_new(route, "Limit", json_integer((json_int_t)quota_limit(tree->quota)));
        json_object_set_new(route, "Used", json_integer((json_int_t)quota_used(tree->quota)));
    }
    return json_array_append_new(context, route) == 0 ? 0 : -ENOMEM;
}

static const char *space_word(const struct abilities *able)
{
    static const char *const SPACES[] = {
        [OVLSPACE_TRUSTED] = "trusted", [OVLSPACE_USER] = "user", [OVLSPACE_NONE] = "none"};
    return SPACES[able->space];
}

static const char *whiteform_word(const struct abilities *able)
{
    return able->whiteform == WHITEFORM_DEVICE ? "device" : "file";
}

/* The attribute that owners of the upper are recorded in; NULL: in none. */
static const char *recorded_in(const struct stack *stack)
{
    return stack->writable ? stack->layers[0].record : NULL;
}

/* What was found out when it was mounted. */
static json_t *describe(const struct live *live, json_t *routes)
{
    const struct rules *rules = &live->mount->rules;
    const struct stack *stack = &live->mount->trees[0]->stack;
    const struct abilities *able = &stack->able;
    char device[32];
    snprintf(device, sizeof(device), "%u:%u", major(live->device), minor(live->device));
    return json_pack("{s:s, s:b, s:b, s:b, s:i, s:s?, s:s, s:s, s:s?, s:o}", "Profile",
                     rules->profile == PROFILE_TRACKED ? "tracked" : "stateless", "Passthrough",
                     rules->passthrough, "Uring", rules->uring, "Traced", rules->traced, "Readers",
                     (int)tracer_readers(live->tracer), "Device", live->device ? device : NULL,
                     "Attributes", space_word(able), "Whiteouts", whiteform_word(able), "Recorded",
                     recorded_in(stack), "Volumes", routes);
}

static json_t *tell_state(struct live *live)
{
    json_t *routes = json_array();
    int err = routes ? route_each(live->mount, tell_route, routes) : -ENOMEM;
    if (err) {
        json_decref(routes);
        return control_refusal(err, strerror(-err));
    }
    return json_pack("{s:b, s:o}", "ok", 1, "state", describe(live, routes));
}

/* With where to look for it, if that is a directory or a file of the host. */
static int lend_route(void *context, const struct route_line *line)
{
    const struct stack *stack = &line->tree->stack;
    const int root = stack->plain ? stack->layers[0].root : -1;
    int err = tell_route(context, line);
    if (err)
        return err;
    json_t *route = json_array_get(context, json_array_size(context) - 1);
    return json_object_set_new(route, "Fd", json_integer(root)) == 0 ? 0 : -ENOMEM;
}

/* A layer that cannot be told is an answer that cannot be given. */
static json_t *roots_of(const struct stack *stack)
{
    struct stat st;
    json_t *roots = json_array();
    for (unsigned i = stack->writable ? 0 : 1; roots && i < stack->count; i++) {
        const struct layer *layer = &stack->layers[i];
        const int root = layer->root;
        cleanup_free char *path = layer->top ? stack_find_layer(layer) : NULL;
        json_t *told = fstat(root, &st) < 0 ? NULL
                                            : json_pack("{s:i, s:I, s:I, s:s?}", "Fd", root,
                                                        "Device", (json_int_t)st.st_dev, "Inode",
                                                        (json_int_t)st.st_ino, "Path", path);
        if (json_array_append_new(roots, told) < 0) {
            json_decref(roots);
            roots = NULL;
        }
    }
    return roots;
}

/* Where to look for all that it shows: for whoever explains a mount that no store keeps. */
static json_t *tell_layers(struct live *live)
{
    const struct stack *stack = &live->mount->trees[0]->stack;
    json_t *roots = roots_of(stack), *routes = json_array();
    int err = roots && routes ? route_each(live->mount, lend_route, routes) : -ENOMEM;
    if (err) {
        json_decref(roots);
        json_decref(routes);
        return control_refusal(err, strerror(-err));
    }
    return json_pack("{s:b, s:{s:o, s:b, s:i, s:s, s:s, s:s?, s:o}}", "ok", 1, "layers", "Roots",
                     roots, "Writable", stack->writable, "Index", stack->index, "Attributes",
                     space_word(&stack->able), "Whiteouts", whiteform_word(&stack->able),
                     "Recorded", recorded_in(stack), "Volumes", routes);
}

/* Whoever reads the ledger next finds all that has happened until now. */
static json_t *flush(struct live *live)
{
    ledger_flush(live->mount->ledger);
    return json_pack("{s:b}", "ok", 1);
}

/* The catalog has another policy: from when this is answered it is in force. */
static json_t *renew_policy(struct live *live)
{
    cleanup_store struct store *store = NULL;
    int err = store_open(live->store, false, &store);
    if (!err)
        err = policing_renew(live->mount->policing, store->catalog, live->row->id);
    return err ? control_refusal(err, strerror(-err)) : json_pack("{s:b}", "ok", 1);
}

/* ---- stats and traces ---- */

static json_t *tell_vitals(struct live *live)
{
    return json_pack("{s:b, s:o}", "ok", 1, "stats",
                     vitals_json(live->mount, tracer_readers(live->tracer)));
}

/* What a request for a trace wants to have told. */
static int parse_filter(const json_t *request, struct tracefilter **filter, char why[256])
{
    const json_t *filters = json_object_get(request, "filters");
    size_t count = json_array_size(filters);
    cleanup_free const char **words = calloc(count + 1, sizeof(*words));
    if (!words)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        words[i] = json_string_value(json_array_get(filters, i));
        if (!words[i]) {
            snprintf(why, 256, "a filter is a text");
            return -EINVAL;
        }
    }
    return tracefilter_parse(words, count, json_is_true(json_object_get(request, "all")), filter,
                             why);
}

static json_t *begin_trace(struct live *live, const json_t *request)
{
    char why[256] = "";
    cleanup_tracefilter struct tracefilter *filter = NULL;
    int err = parse_filter(request, &filter, why);
    if (!err && tracer_readers(live->tracer) >= TRACER_READERS) {
        err = -EUSERS;
        snprintf(why, sizeof(why), "%d trace it already", TRACER_READERS);
    }
    if (err)
        return control_refusal(err, *why ? why : strerror(-err));
    return json_pack("{s:b, s:b}", "ok", 1, "stream", 1);
}

static int stream(void *context, const json_t *request, const json_t *answer, int client)
{
    char why[256];
    struct live *live = context;
    struct tracefilter *filter = NULL;
    int err = parse_filter(request, &filter, why);
    if (!err)
        err = tracer_add(live->tracer, client, filter, answer);
    if (err)
        log_debug("a reader of the trace was not taken in: %s", strerror(-err));
    return err;
}

/* What only a named mount is asked. */
static json_t *answer_named(struct live *live, const char *act, const json_t *request)
{
    const char *destination = json_string_value(json_object_get(request, "destination"));
    if (strcmp(act, "state") == 0)
        return tell_state(live);
    if (strcmp(act, "flush") == 0)
        return flush(live);
    if (strcmp(act, "policy") == 0)
        return renew_policy(live);
    if (destination && strcmp(act, "attach") == 0)
        return attach(live, destination);
    if (destination && strcmp(act, "detach") == 0)
        return detach(live, destination, json_is_true(json_object_get(request, "lazy")));
    return control_refusal(-EINVAL, "the mount knows no such request");
}

static json_t *answer(void *context, const json_t *request)
{
    struct live *live = context;
    const char *act = json_string_value(json_object_get(request, "do"));
    if (act && strcmp(act, "stats") == 0)
        return tell_vitals(live);
    if (act && strcmp(act, "trace") == 0)
        return begin_trace(live, request);
    if (act && !live->store && strcmp(act, "layers") == 0)
        return tell_layers(live);
    if (act && live->store)
        return answer_named(live, act, request);
    return control_refusal(-EINVAL, "the mount knows no such request");
}

/* No request is served any more, or none yet. */
static void end_telling(struct live *live)
{
    struct mount *mount = live->mount;
    ledger_stop(mount->ledger);
    mount->ledger = NULL;
    policing_destroy(mount->policing);
    mount->policing = NULL;
    tracer_stop(live->tracer);
    live->tracer = NULL;
    tracequeue_destroy(mount->trace);
    mount->trace = NULL;
}

static bool begin_telling(struct live *live)
{
    struct mount *mount = live->mount;
    mount->ledger = live->store ? ledger_start(live->store, live->row->id) : NULL;
    mount->trace = tracequeue_create();
    live->tracer = mount->trace ? tracer_create(mount->trace) : NULL;
    return live->tracer && (mount->ledger || !live->store);
}

static int begin_policing(struct live *live, struct store *store)
{
    int err = policing_create(store->catalog, live->row->id, &live->mount->policing);
    if (err)
        log_error("cannot read what %s may copy up: %s", live->row->name, strerror(-err));
    return err;
}

static int begin_named(struct live *live)
{
    cleanup_store struct store *store = NULL;
    const struct control_host host = {.answer = answer, .stream = stream, .context = live};
    int err = store_open(live->store, false, &store);
    if (!err)
        err = begin_policing(live, store);
    if (err)
        return err;
    if (begin_telling(live))
        live->control = control_serve(store, live->row->id, &host);
    /* Once more: who changed the policy meanwhile found nobody to tell. */
    return live->control ? policing_renew(live->mount->policing, store->catalog, live->row->id)
                         : -EIO;
}

static void begin_nameless(struct live *live)
{
    const struct control_host host = {.answer = answer, .stream = stream, .context = live};
    if (begin_telling(live) && live->device)
        live->control = control_serve_device(live->device, &host);
    if (!live->control)
        end_telling(live);
}

int live_begin(struct live *live, struct mount *mount)
{
    live->mount = mount;
    if (mountinfo_device(mount->at, &live->device) != 0)
        live->device = 0;
    if (!live->store)
        return begin_nameless(live), 0;
    int err = begin_named(live);
    if (err)
        live_end(live);
    return err;
}

void live_end(struct live *live)
{
    control_stop(live->control);
    live->control = NULL;
    end_telling(live);
}
