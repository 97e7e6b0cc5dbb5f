/* SPDX-License-Identifier: MIT
 *
 * Images leave a store for good, and with them the layers that nothing else has.
 */
#ifndef PLYFS_IMAGEREMOVE_H
#define PLYFS_IMAGEREMOVE_H

#include "own.h"
#include "store.h"

#include <stdint.h>

struct image_removed {
    unsigned layers; /* how many went with it */
    uint64_t bytes;  /* of the files in them */
};

/* Removes an image with all its names. A layer stays when another image or a mount has it, or when
 * it has a name of its own. -EBUSY: a mount was made from the image. When the rows are gone the
 * image is; what cannot be deleted then is swept later, and is the answer. */
must_check int image_remove(struct store *store, const struct image_row *image,
                            struct image_removed *removed);

#endif
