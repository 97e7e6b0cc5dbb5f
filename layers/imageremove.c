/* SPDX-License-Identifier: MIT
 *
 * Duty: an image and its last layers go: the rows in one transaction, and then the directories.
 */
#include "imageremove.h"

#include <stdbool.h>
#include <string.h>

/* Removes the row of a layer unless something needs it; *gone says whether. */
static int remove_layer_row(struct store *store, const char *id, struct image_removed *removed,
                            bool *gone)
{
    cleanup(layer_row_finish) struct layer_row row = {0};
    int err = catalog_find_layer(store->catalog, id, &row);
    /* One that the image has twice is gone already. */
    if (err || row.name || strcmp(row.id, id) != 0)
        return err == -ENOENT || err == -ENOTUNIQ ? 0 : err;
    err = catalog_remove_layer(store->catalog, id);
    if (err)
        return err == -EBUSY ? 0 : err;
    removed->layers++;
    removed->bytes += row.bytes;
    *gone = true;
    return 0;
}

static int remove_rows(struct store *store, const struct image_row *image,
                       struct image_removed *removed, bool *gone)
{
    int err = catalog_begin(store->catalog);
    if (err)
        return err;
    err = catalog_remove_image(store->catalog, image->id);
    for (unsigned i = 0; !err && i < image->layer_count; i++)
        err = remove_layer_row(store, image->layers[i], removed, &gone[i]);
    return catalog_end(store->catalog, err);
}

int image_remove(struct store *store, const struct image_row *image, struct image_removed *removed)
{
    *removed = (struct image_removed){0};
    cleanup_free bool *gone = calloc(image->layer_count + 1, sizeof(*gone));
    if (!gone)
        return -ENOMEM;
    int err = remove_rows(store, image, removed, gone);
    if (err)
        return err;
    int left = 0;
    for (unsigned i = 0; i < image->layer_count; i++) {
        err = gone[i] ? store_discard(store, store->layers, image->layers[i]) : 0;
        left = err ? err : left;
    }
    return left;
}
