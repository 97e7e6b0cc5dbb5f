/* SPDX-License-Identifier: MIT
 *
 * Images leave a store: as an OCI layout, in a tar or in a directory, with its layers compressed by
 * gzip, or as a docker-archive, with its layers as they are. Layers have the DiffIDs that they came
 * with, the config is the one that came, and a layer that several images have is written once. The
 * same images give the same bytes.
 */
#ifndef PLYFS_IMAGEEXPORT_H
#define PLYFS_IMAGEEXPORT_H

#include "store.h"

#include <stdint.h>

enum image_form { IMAGE_OCI, IMAGE_DOCKER_ARCHIVE };

struct image_export {
    const struct image_row *images; /* their names are what the archive calls them */
    unsigned count;
    enum image_form form;
    int fd;  /* where the archive is written; -1: */
    int dir; /* an empty directory that becomes a layout */
    /* Told how many bytes of the files in layers are done; or NULL. */
    void (*seen)(void *context, uint64_t bytes);
    void *context;
    char words[512]; /* after a failure: what is wrong with which layer; or "" */
};

/* Bytes of the files in all layers, each layer once. */
must_check int image_export_size(struct store *store, const struct image_export *export,
                                 uint64_t *bytes);

/* -EBADMSG: a layer is not any more what it was when it was sealed. */
must_check int image_export(struct store *store, struct image_export *export);

#endif
