/* SPDX-License-Identifier: MIT
 *
 * The tree that an image shows, open without a mount: its layers as a stack with nothing above
 * them.
 */
#ifndef PLYFS_ROOTFS_H
#define PLYFS_ROOTFS_H

#include "fdcache.h"
#include "own.h"
#include "stack.h"
#include "store.h"

#include <stdbool.h>

/* All zero: none, which may be finished. */
struct rootfs {
    struct image_row image;
    struct fdcache *fds;
    struct stack stack;
    bool open;
};
void rootfs_finish(struct rootfs *rootfs);
#define cleanup_rootfs cleanup(rootfs_finish)

/* Opens the image that a word means (catalog_find_image()). Nothing is told; the caller finishes
 * it, also after a failure. */
must_check int rootfs_open(const struct store *store, const char *word, struct rootfs *rootfs);

#endif
