/* SPDX-License-Identifier: MIT
 *
 * What of an index becomes an image: not what is of other kinds, and of several platforms the one
 * that fits best (OCI image-spec, image index).
 */
#ifndef PLYFS_IMAGECHOICE_H
#define PLYFS_IMAGECHOICE_H

#include "imageblob.h"
#include "oci.h"
#include "platform.h"

#include <stdbool.h>

struct imagechoice {
    struct platform want;
    bool insist; /* it was asked for */
};

/* Makes OCI_UNKNOWN of manifests of something else than an image, such as signatures. What a
 * manifest is of is said by itself, and has to be known before one is chosen; where the index says
 * for which machine it is, it is of an image. What cannot be read stays: it is an error when it is
 * what was chosen. */
must_check int imagechoice_leave_out(const struct imageblobs *blobs, struct oci_index *index);

/* Of an index that stands for one image the descriptor that fits best, and of how many it is; NULL
 * where none leads to an image. -ENOENT: none is for the platform; words say for which they are. */
must_check int imagechoice_best(const struct imageblobs *blobs, const struct imagechoice *choice,
                                const struct oci_index *index, const struct oci_descriptor **best,
                                unsigned *platforms);

/* How entry `at` of the archive's own index stands among those of the same name: from how many it
 * is chosen, or 0 when another one is, or it leads to no image. Of equals without a name each is an
 * image; of equals with one the first has the name. -ENOENT as above. */
must_check int imagechoice_named(const struct imageblobs *blobs, const struct imagechoice *choice,
                                 const struct oci_index *index, size_t at, unsigned *platforms);

#endif
