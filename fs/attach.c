/* SPDX-License-Identifier: MIT
 *
 * Duty: keep the catalog and the daemon of one mind. The row comes before the daemon is asked,
 * which reads it there, and goes again when the daemon refuses; at a detach it goes after. So what
 * is shown has a row, whoever dies in between: at worst a row is there that the next mount shows.
 */
#include "attach.h"

#include "control.h"
#include "holders.h"
#include "log.h"
#include "newvolumes.h"
#include "volume.h"
#include "volumewish.h"

#include <string.h>

/* A plug-in may take two minutes for its mount. */
enum { PATIENCE = 180, HOLDERS_TOLD = 8 };

/* ---- the daemon ---- */

/* Asks the daemon, if there is one. 1: it did; 0: nobody serves the mount; -errno, and *why, which
 * is the caller's. */
static int ask_daemon(struct store *store, const struct mount_row *mount, json_t *request,
                      char **why)
{
    enum named_state state;
    json_t *answer = NULL;
    *why = NULL;
    int err = named_state(store, mount, &state);
    if (err || state != NAMED_MOUNTED) {
        json_decref(request);
        return err;
    }
    err = control_ask(store, mount, request, PATIENCE, &answer);
    if (err == -ENOTCONN && named_state(store, mount, &state) == 0 && state != NAMED_MOUNTED)
        err = 0; /* it ended meanwhile */
    else if (err)
        *why = strdup(err == -ENOTCONN ? "its daemon does not listen" : control_why(answer, err));
    else
        err = 1;
    json_decref(answer);
    return err;
}

/* ---- attaching ---- */

/* One row, and what is made for it. */
struct addition {
    struct store *store;
    const struct mount_row *mount;
    struct volume_rows rows;
    struct newvolumes volumes;
};

static const char *destination_of(const struct addition *addition)
{
    return addition->rows.at[0].spec.destination;
}

/* A mount that is not mounted now would not be any more. */
static int check_room(const struct addition *addition)
{
    struct volume_rows there = {0};
    int err = volume_rows_load(addition->store, addition->mount->id, &there);
    if (!err)
        err = newvolumes_check_count(there.count + 1);
    volume_rows_finish(&there);
    return err;
}

/* Of the image's own volumes there is nothing to add: the mount has them, or did not want them. */
static int resolve(struct addition *addition, struct volume_specs *specs)
{
    const struct volume_words nothing = {.image_volumes = IMAGE_VOLUMES_IGNORE};
    int err = volume_words_resolve(addition->store, &nothing, specs, NULL, &addition->rows);
    if (!err && addition->rows.count != 1)
        err = -EINVAL;
    if (!err)
        addition->rows.at[0].origin = VOLUME_ORIGIN_ATTACHED;
    return err ? err : check_room(addition);
}

static int add_row(struct addition *addition, struct stage *stage)
{
    struct catalog *catalog = addition->store->catalog;
    const char *destination = destination_of(addition);
    int err = newvolumes_publish(&addition->volumes, stage);
    if (err == -EEXIST)
        log_error("somebody made the volume for %s meanwhile; try again", destination);
    if (err)
        return err;
    err = catalog_add_mount_volume(catalog, addition->mount->id, &addition->rows.at[0]);
    if (err == -EEXIST)
        log_error("Duplicate mount point: %s; plyfs detach %s %s takes away what is there",
                  destination, addition->mount->name, destination);
    else if (err)
        log_error("cannot add the volume at %s to the catalog: %s", destination, strerror(-err));
    return err;
}

static int publish(struct addition *addition, struct stage *stage)
{
    struct store *store = addition->store;
    int err = store_publishing(store);
    if (!err)
        err = catalog_begin(store->catalog);
    if (!err)
        err = catalog_end(store->catalog, add_row(addition, stage));
    store_published(store);
    return err;
}

/* The volume, where there is none, and the row, in one transaction. */
static int make(struct addition *addition)
{
    struct stage stage = STAGE_NONE;
    int err = store_stage(addition->store, &stage);
    if (!err)
        err = newvolumes_stage(&addition->volumes, &stage);
    if (!err)
        err = publish(addition, &stage);
    if (err)
        newvolumes_discard(&addition->volumes);
    store_unstage(addition->store, &stage);
    return err;
}

static void unmake(const struct addition *addition)
{
    int err = catalog_remove_mount_volume(addition->store->catalog, addition->mount->id,
                                          destination_of(addition));
    if (err)
        log_error("cannot take %s out of the catalog again: %s", destination_of(addition),
                  strerror(-err));
    for (unsigned i = 0; !err && i < addition->volumes.count; i++)
        (void)!volume_unpublish(addition->store, &addition->volumes.at[i]);
}

static int show(const struct addition *addition)
{
    cleanup_free char *why = NULL;
    const char *destination = destination_of(addition);
    int asked =
        ask_daemon(addition->store, addition->mount,
                   json_pack("{s:s, s:s}", "do", "attach", "destination", destination), &why);
    if (asked >= 0)
        return 0;
    log_error("cannot attach %s to %s: %s", destination, addition->mount->name,
              why ? why : strerror(-asked));
    return asked;
}

/* A volume takes over what the mount shows at its destination now, changes too: what is seen there
 * stays the same. */
static int make_and_show(struct addition *addition)
{
    struct named_view view;
    int err = named_view_open(addition->store, addition->mount, &view);
    if (err)
        return err;
    addition->volumes = (struct newvolumes){.store = addition->store,
                                            .rows = &addition->rows,
                                            .mount = addition->mount,
                                            .layers = &view.stack};
    err = make(addition);
    if (!err) {
        err = show(addition);
        if (err)
            unmake(addition);
    }
    if (!err)
        newvolumes_tell(&addition->volumes);
    newvolumes_finish(&addition->volumes);
    named_view_close(&view);
    return err;
}

int attach_add(struct store *store, const struct mount_row *mount, struct volume_specs *specs)
{
    struct addition addition = {.store = store, .mount = mount};
    int err = resolve(&addition, specs);
    named_flush(store, mount);
    if (!err)
        err = make_and_show(&addition);
    volume_rows_finish(&addition.rows);
    return err;
}

/* ---- detaching ---- */

static void tell_refusal(const struct mount_row *mount, const char *destination, int err,
                         const char *why, const char *holders)
{
    log_error("cannot detach %s from %s: %s%s%s%s", destination, mount->name,
              why ? why : strerror(-err), holders ? "; in use by " : "", holders ? holders : "",
              err == -EBUSY ? "; --lazy detaches it nevertheless" : "");
}

/* Where the daemon shows a destination once its symlinks are resolved: the caller's to free; NULL
 * when it does not show it. */
static char *shown_at(struct store *store, const struct mount_row *mount, const char *destination)
{
    size_t at;
    json_t *answer = NULL, *route;
    char *resolved = NULL;
    int err = control_ask(store, mount, json_pack("{s:s}", "do", "state"), PATIENCE, &answer);
    const json_t *state = err ? NULL : json_object_get(answer, "state");
    json_array_foreach(json_object_get(state, "Volumes"), at, route)
    {
        const char *asked = json_string_value(json_object_get(route, "Destination"));
        const char *path = json_string_value(json_object_get(route, "Resolved"));
        if (!resolved && asked && path && strcmp(asked, destination) == 0)
            resolved = strdup(path);
    }
    json_decref(answer);
    return resolved;
}

/* Who is inside, in words. The daemon knows of open files; of working directories it does not. */
static char *find_holders(struct store *store, const struct mount_row *mount,
                          const char *destination)
{
    cleanup_free char *resolved = mount->mountpoint ? shown_at(store, mount, destination) : NULL;
    return resolved ? holders_words(mount->mountpoint, resolved, (uint64_t)STACK_ROUTE_TAG << 56,
                                    HOLDERS_TOLD)
                    : NULL;
}

struct known {
    const char *destination;
    bool found;
    char *anonymous; /* the name of an anonymous volume there; owned */
};

static int remember(void *context, const struct mount_volume_row *row)
{
    struct known *known = context;
    if (strcmp(row->spec.destination, known->destination) != 0)
        return 0;
    known->found = true;
    if (row->anonymous && row->spec.source)
        known->anonymous = strdup(row->spec.source);
    return 0;
}

static int detach(struct store *store, const struct mount_row *mount, const char *destination,
                  bool lazy)
{
    cleanup_free char *why = NULL, *holders = lazy ? NULL : find_holders(store, mount, destination);
    if (holders) {
        tell_refusal(mount, destination, -EBUSY, NULL, holders);
        return -EBUSY;
    }
    int asked = ask_daemon(
        store, mount,
        json_pack("{s:s, s:s, s:b}", "do", "detach", "destination", destination, "lazy", lazy),
        &why);
    /* One that the daemon does not show has a row alone, which goes. */
    if (asked < 0 && asked != -ENOENT) {
        tell_refusal(mount, destination, asked, why, NULL);
        return asked;
    }
    int err = catalog_remove_mount_volume(store->catalog, mount->id, destination);
    if (err)
        log_error("cannot take %s out of the catalog: %s", destination, strerror(-err));
    return err;
}

int attach_remove(struct store *store, const struct mount_row *mount, const char *destination,
                  bool lazy)
{
    struct known known = {.destination = destination};
    int err = catalog_each_mount_volume(store->catalog, mount->id, remember, &known);
    if (!err && !known.found) {
        log_error("%s has no volume at %s; plyfs shadow %s lists them", mount->name, destination,
                  mount->name);
        err = -ENOENT;
    }
    if (!err)
        err = detach(store, mount, destination, lazy);
    if (!err && known.anonymous)
        log_warning("the anonymous volume %s stays; plyfs volume rm %s removes it", known.anonymous,
                    known.anonymous);
    free(known.anonymous);
    return err;
}
