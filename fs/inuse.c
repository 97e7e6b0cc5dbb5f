/* SPDX-License-Identifier: MIT
 *
 * Duty: rows of the catalog become routes, and their volumes are held meanwhile.
 */
#include "inuse.h"

#include "imageword.h"
#include "log.h"
#include "volume.h"
#include "volumedriver.h"

#include <string.h>

struct inuse_item {
    struct inuse_item *next;
    char *destination;
    struct volume_use use;
};

static void item_free(struct inuse_item *item)
{
    volumedriver_release(&item->use);
    free(item->destination);
    free(item);
}

void inuse_drop(struct inuse *inuse, const char *destination)
{
    struct inuse_item **at = &inuse->first;
    while (*at && strcmp((*at)->destination, destination) != 0)
        at = &(*at)->next;
    struct inuse_item *item = *at;
    if (!item)
        return;
    *at = item->next;
    item_free(item);
}

void inuse_end(struct inuse *inuse)
{
    while (inuse->first) {
        struct inuse_item *item = inuse->first;
        inuse->first = item->next;
        item_free(item);
    }
}

/* A named volume, and every anonymous one, is held by an item of its own. */
static int use_volume(struct store *store, const struct mount_row *row,
                      const struct volume_spec *spec, struct inuse *inuse, struct route_wish *wish)
{
    cleanup_volume_row struct volume_row volume = {0};
    int err = volume_find(store, spec->source, false, &volume);
    struct inuse_item *item = err ? NULL : calloc(1, sizeof(*item));
    if (!item)
        return err ? err : -ENOMEM;
    item->use.lock = -1;
    err = own_copy(&item->destination, spec->destination);
    if (!err)
        err = volumedriver_use(store, &volume, row->id, &item->use);
    if (!err)
        err = own_copy(&wish->source, item->use.path);
    if (!err)
        err = own_copy(&wish->usage, item->use.usage);
    if (err) {
        item_free(item);
        return err;
    }
    wish->limit = item->use.limit;
    wish->read_only = wish->read_only || item->use.read_only;
    item->next = inuse->first;
    inuse->first = item;
    return 0;
}

/* The catalog keeps an image that a mount has a route to, and its layers with it. */
static int use_image(struct store *store, const struct volume_spec *spec, struct route_wish *wish)
{
    cleanup_image_row struct image_row image = {0};
    const char *name;
    int err = imageword_find(store, spec->source, &image, &name);
    if (err)
        return err;
    wish->layers = store_image_paths(store, &image);
    wish->layer_count = wish->layers ? image.layer_count : 0;
    return wish->layers ? own_copy(&wish->source, spec->source) : -ENOMEM;
}

static int fill_wish(struct store *store, const struct mount_row *row,
                     const struct volume_spec *spec, struct inuse *inuse, struct route_wish *wish)
{
    int err = route_wish_of(spec, wish);
    if (err)
        return err;
    switch (spec->kind) {
    case VOLUME_KIND_VOLUME:
        return use_volume(store, row, spec, inuse, wish);
    case VOLUME_KIND_BIND:
    case VOLUME_KIND_TMPFS:
        return 0;
    case VOLUME_KIND_IMAGE:
        return use_image(store, spec, wish);
    }
    return -EINVAL;
}

struct adding {
    struct store *store;
    const struct mount_row *row;
    struct inuse *inuse;
    struct route_wishes *wishes; /* of all of them, or: */
    const char *destination;     /* of this one, */
    struct route_wish *wish;     /* here */
};

static int add_each(void *context, const struct mount_volume_row *line)
{
    struct adding *adding = context;
    struct route_wish wish = {0};
    if (adding->destination && strcmp(line->spec.destination, adding->destination) != 0)
        return 0;
    int err = fill_wish(adding->store, adding->row, &line->spec, adding->inuse, &wish);
    if (err) {
        route_wish_finish(&wish);
        return err;
    }
    if (adding->wishes)
        return route_wishes_add(adding->wishes, &wish);
    *adding->wish = wish;
    return 1;
}

int inuse_begin(struct store *store, const struct mount_row *row, struct inuse *inuse,
                struct route_wishes *wishes)
{
    struct adding adding = {.store = store, .row = row, .inuse = inuse, .wishes = wishes};
    int err = catalog_each_mount_volume(store->catalog, row->id, add_each, &adding);
    if (err)
        inuse_end(inuse);
    return err;
}

int inuse_add(struct store *store, const struct mount_row *row, const char *destination,
              struct inuse *inuse, struct route_wish *wish)
{
    struct adding adding = {
        .store = store, .row = row, .inuse = inuse, .destination = destination, .wish = wish};
    int err = catalog_each_mount_volume(store->catalog, row->id, add_each, &adding);
    return err == 1 ? 0 : err == 0 ? -ENOENT : err;
}
