/* SPDX-License-Identifier: MIT
 *
 * Duty: attach and detach while files are served. The thread of the control socket is the only one
 * that changes routes and uses, one request after the other.
 */
#include "live.h"

#include "ledger.h"
#include "log.h"
#include "policing.h"
#include "quota.h"
#include "route.h"

#include <string.h>
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

/* What was found out when it was mounted. */
static json_t *describe(const struct mount *mount, json_t *routes)
{
    static const char *const SPACES[] = {
        [OVLSPACE_TRUSTED] = "trusted", [OVLSPACE_USER] = "user", [OVLSPACE_NONE] = "none"};
    const struct rules *rules = &mount->rules;
    const struct abilities *able = &mount->trees[0]->stack.able;
    return json_pack("{s:s, s:b, s:b, s:s, s:s, s:o}", "Profile",
                     rules->profile == PROFILE_TRACKED ? "tracked" : "stateless", "Passthrough",
                     rules->passthrough, "Uring", rules->uring, "Attributes", SPACES[able->space],
                     "Whiteouts", able->whiteform == WHITEFORM_DEVICE ? "device" : "file",
                     "Volumes", routes);
}

static json_t *tell_state(struct live *live)
{
    json_t *routes = json_array();
    int err = routes ? route_each(live->mount, tell_route, routes) : -ENOMEM;
    if (err) {
        json_decref(routes);
        return control_refusal(err, strerror(-err));
    }
    return json_pack("{s:b, s:o}", "ok", 1, "state", describe(live->mount, routes));
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

static json_t *answer(void *context, const json_t *request)
{
    struct live *live = context;
    const char *act = json_string_value(json_object_get(request, "do"));
    const char *destination = json_string_value(json_object_get(request, "destination"));
    if (act && strcmp(act, "state") == 0)
        return tell_state(live);
    if (act && strcmp(act, "flush") == 0)
        return flush(live);
    if (act && strcmp(act, "policy") == 0)
        return renew_policy(live);
    if (act && destination && strcmp(act, "attach") == 0)
        return attach(live, destination);
    if (act && destination && strcmp(act, "detach") == 0)
        return detach(live, destination, json_is_true(json_object_get(request, "lazy")));
    return control_refusal(-EINVAL, "the mount knows no such request");
}

static void end_ledger(struct mount *mount)
{
    ledger_stop(mount->ledger);
    mount->ledger = NULL;
    policing_destroy(mount->policing);
    mount->policing = NULL;
}

int live_begin(struct live *live, struct mount *mount)
{
    cleanup_store struct store *store = NULL;
    int err = store_open(live->store, false, &store);
    if (err)
        return err;
    live->mount = mount;
    err = policing_create(store->catalog, live->row->id, &mount->policing);
    if (err) {
        log_error("cannot read what %s may copy up: %s", live->row->name, strerror(-err));
        return err;
    }
    mount->ledger = ledger_start(live->store, live->row->id);
    live->control = mount->ledger ? control_serve(store, live->row->id, answer, live) : NULL;
    /* Once more: who changed the policy meanwhile found nobody to tell. */
    err = live->control ? policing_renew(mount->policing, store->catalog, live->row->id) : -EIO;
    if (err) {
        control_stop(live->control);
        live->control = NULL;
        end_ledger(mount);
    }
    return err;
}

void live_end(struct live *live)
{
    control_stop(live->control);
    live->control = NULL;
    end_ledger(live->mount);
}
