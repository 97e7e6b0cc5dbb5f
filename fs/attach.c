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
#include "rootpath.h"
#include "volume.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

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

/* What a new row needs, and what is to be undone when it cannot be. */
struct addition {
    struct store *store;
    const struct mount_row *mount;
    struct mount_volume_row row; /* spec borrowed from the caller, but for its source */
    char *source;                /* of a volume its name; owned */
    struct volume_row made;      /* made for this; name NULL: none was */
};

static int make_source(const struct volume_spec *spec)
{
    struct stat st;
    if (stat(spec->source, &st) == 0)
        return 0;
    if (errno != ENOENT || !spec->make_source) {
        log_error("invalid mount config for type \"bind\": bind source path does not exist: %s",
                  spec->source);
        return -EINVAL;
    }
    cleanup_free char *path = strdup(spec->source);
    if (!path)
        return -ENOMEM;
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        (void)mkdir(path, 0755); /* the last one tells */
        *slash = '/';
    }
    if (mkdir(path, 0755) < 0) {
        int err = -errno;
        log_error("cannot make %s: %s", path, strerror(-err));
        return err;
    }
    log_warning("%s did not exist: an empty directory was made", path);
    return 0;
}

/* A volume is a directory and hides no file. */
static int check_destination(const struct stack *stack, const struct volume_spec *spec)
{
    cleanup_rootpath struct rootpath found = ROOTPATH_NONE;
    int err = rootpath_find(stack, spec->destination, true, &found);
    bool file =
        err == -ENOTDIR || (!err && found.entry.present && !S_ISDIR(found.entry.st.st_mode));
    if (file) {
        log_error("cannot mount volume over existing file, file exists %s", spec->destination);
        return -ENOTDIR;
    }
    if (err)
        log_error("cannot look for %s in the layers: %s", spec->destination, strerror(-err));
    return err;
}

/* The name of the mount's image, where it has one: it says more than its id to who reads it later.
 * The caller's; NULL: the mount has no image. */
static char *image_word(const struct addition *addition)
{
    cleanup(image_row_finish) struct image_row image = {0};
    const char *id = addition->mount->image;
    int err = id ? catalog_find_image(addition->store->catalog, id, &image) : -ENOENT;
    return err ? NULL : strdup(image.name_count > 0 ? image.names[0] : id);
}

static int make_volume(struct addition *addition, const struct stack *stack)
{
    bool existed = false;
    struct volume_spec *spec = &addition->row.spec;
    cleanup_volume_row struct volume_row row = {0};
    cleanup_free char *image = image_word(addition);
    const struct volume_wish wish = {
        .name = spec->source,
        .driver = spec->driver,
        .options = &spec->options,
        .labels = &spec->labels,
        .mount = addition->mount->name,
        .image = image,
        .destination = spec->destination,
        .stack = stack,
        .content = spec->nocopy || spec->subpath ? NULL : spec->destination,
    };
    int err = check_destination(stack, spec);
    if (!err)
        err = volume_create(addition->store, &wish, &row, &existed);
    if (!err && existed && wish.content)
        err = volume_fill(addition->store, &row, &wish);
    if (err < 0)
        return err;
    addition->row.anonymous = !spec->source;
    addition->source = strdup(row.name);
    spec->source = addition->source;
    if (!existed) {
        addition->made = row;
        row = (struct volume_row){0};
    }
    return addition->source ? 0 : -ENOMEM;
}

static int make_volume_of(struct addition *addition)
{
    struct named_view view;
    int err = named_view_open(addition->store, addition->mount, &view);
    if (err)
        return err;
    err = make_volume(addition, &view.stack);
    named_view_close(&view);
    return err;
}

static int prepare(struct addition *addition)
{
    switch (addition->row.spec.kind) {
    case VOLUME_KIND_VOLUME:
        return make_volume_of(addition);
    case VOLUME_KIND_BIND:
        return make_source(&addition->row.spec);
    case VOLUME_KIND_TMPFS:
    case VOLUME_KIND_IMAGE:
        break;
    }
    return 0;
}

static int add_row(const struct addition *addition)
{
    const char *destination = addition->row.spec.destination;
    int err =
        catalog_add_mount_volume(addition->store->catalog, addition->mount->id, &addition->row);
    if (err == -EEXIST)
        log_error("Duplicate mount point: %s; plyfs detach %s %s takes away what is there",
                  destination, addition->mount->name, destination);
    else if (err)
        log_error("cannot add the volume at %s to the catalog: %s", destination, strerror(-err));
    return err;
}

static void remove_row(const struct addition *addition)
{
    const char *destination = addition->row.spec.destination;
    int err =
        catalog_remove_mount_volume(addition->store->catalog, addition->mount->id, destination);
    if (err)
        log_error("cannot take %s out of the catalog again: %s", destination, strerror(-err));
}

static int add_and_show(const struct addition *addition)
{
    cleanup_free char *why = NULL;
    const char *destination = addition->row.spec.destination;
    int err = add_row(addition);
    if (err)
        return err;
    int asked =
        ask_daemon(addition->store, addition->mount,
                   json_pack("{s:s, s:s}", "do", "attach", "destination", destination), &why);
    if (asked >= 0)
        return 0;
    log_error("cannot attach %s to %s: %s", destination, addition->mount->name,
              why ? why : strerror(-asked));
    remove_row(addition);
    return asked;
}

int attach_add(struct store *store, const struct mount_row *mount, const struct volume_spec *spec)
{
    struct addition addition = {
        .store = store, .mount = mount, .row = {.spec = *spec, .origin = VOLUME_ORIGIN_ATTACHED}};
    int err = prepare(&addition);
    if (!err)
        err = add_and_show(&addition);
    if (err && addition.made.name)
        (void)!volume_remove(store, &addition.made);
    volume_row_finish(&addition.made);
    free(addition.source);
    return err;
}

/* ---- detaching ---- */

static void tell_refusal(const struct mount_row *mount, const char *destination, int err,
                         const char *why)
{
    cleanup_free char *holders = NULL;
    if (err == -EBUSY && mount->mountpoint)
        holders = holders_words(mount->mountpoint, destination, HOLDERS_TOLD);
    log_error("cannot detach %s from %s: %s%s%s%s", destination, mount->name,
              why ? why : strerror(-err), holders ? "; in use by " : "", holders ? holders : "",
              err == -EBUSY ? "; --lazy detaches it nevertheless" : "");
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
    cleanup_free char *why = NULL;
    int asked = ask_daemon(
        store, mount,
        json_pack("{s:s, s:s, s:b}", "do", "detach", "destination", destination, "lazy", lazy),
        &why);
    /* One that the daemon does not show has a row alone, which goes. */
    if (asked < 0 && asked != -ENOENT) {
        tell_refusal(mount, destination, asked, why);
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
