/* SPDX-License-Identifier: MIT
 *
 * Duty: from an image's row to a stack. Cost: a descriptor for each layer.
 */
#include "rootfs.h"

#include <stdlib.h>

enum { DESCRIPTORS = 256 };

void rootfs_finish(struct rootfs *rootfs)
{
    if (rootfs->open)
        stack_close(&rootfs->stack);
    if (rootfs->fds)
        fdcache_destroy(rootfs->fds);
    image_row_finish(&rootfs->image);
    *rootfs = (struct rootfs){0};
}

static void paths_finish(char ***paths)
{
    for (char **at = *paths; at && *at; at++)
        free(*at);
    free(*paths);
}

static int open_layers(const struct store *store, struct rootfs *rootfs)
{
    unsigned culprit, count = rootfs->image.layer_count;
    cleanup(paths_finish) char **paths = calloc((size_t)count + 1, sizeof(*paths));
    rootfs->fds = fdcache_create(DESCRIPTORS);
    if (!paths || !rootfs->fds)
        return -ENOMEM;
    /* A stack has its topmost layer first, an image its lowest. */
    for (unsigned i = 0; i < count; i++) {
        paths[i] = store_layer_path(store, rootfs->image.layers[count - 1 - i]);
        if (!paths[i])
            return -ENOMEM;
    }
    rootfs->open = true;
    return stack_open(&rootfs->stack, (const char *const *)paths, count, false, rootfs->fds,
                      &culprit);
}

int rootfs_open(const struct store *store, const char *word, struct rootfs *rootfs)
{
    *rootfs = (struct rootfs){0};
    int err = catalog_find_image(store->catalog, word, &rootfs->image);
    return err ? err : open_layers(store, rootfs);
}
