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

static int open_layers(const struct store *store, struct rootfs *rootfs)
{
    unsigned culprit;
    cleanup_paths char **paths = store_image_paths(store, &rootfs->image);
    rootfs->fds = fdcache_create(DESCRIPTORS);
    if (!paths || !rootfs->fds)
        return -ENOMEM;
    rootfs->open = true;
    return stack_open(&rootfs->stack, (const char *const *)paths, rootfs->image.layer_count, false,
                      rootfs->fds, &culprit);
}

int rootfs_open(const struct store *store, const char *word, struct rootfs *rootfs)
{
    *rootfs = (struct rootfs){0};
    int err = catalog_find_image(store->catalog, word, &rootfs->image);
    return err ? err : open_layers(store, rootfs);
}
