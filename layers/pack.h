/* SPDX-License-Identifier: MIT
 *
 * A lower directory becomes a layer's tar, always the same bytes for the same content: PAX, names
 * sorted within their directory, no "./", directories end in "/", parents first, hard links by the
 * name that comes first, whiteouts as empty ".wh.NAME", opaque as ".wh..wh..opq" first in its
 * directory, every attribute that is not the overlay's books as SCHILY.xattr.* (OCI image-spec,
 * "Image Layer Filesystem Changeset"). Of a plain tree (treekind.h) all that is there, as it is,
 * and the root first, as "./". And its opposite for a layer that came as a tar: the very bytes that
 * came, from the skeleton and the content of the files.
 */
#ifndef PLYFS_PACK_H
#define PLYFS_PACK_H

#include "own.h"
#include "tarball.h"
#include "treekind.h"

#include <stdbool.h>
#include <stdint.h>

/* Packs the directory `tree` into `writer`, and leaves it open for more. The root of a layer has no
 * entry: what a layer is put into is there. `seen` is told the bytes of content so far; it may be
 * NULL. -EINVAL: the layer stands on another one (layertree.h). */
must_check int pack_tree(int tree, enum treekind kind, struct tar_writer *writer,
                         void (*seen)(void *context, uint64_t bytes), void *context);

struct pack {
    int tree;
    int books;     /* the directory that its "skeleton" lies in */
    bool skeleton; /* there is one: the tar is to be the one that came */
    int fd;        /* where the tar is written; -1: nowhere, for the sums alone */
    enum tar_filter filter;
    void (*seen)(void *context, uint64_t bytes); /* told the bytes of content so far; or NULL */
    void *context;
};

/* Writes a sealed layer's tar in whichever way it came. -EBADMSG: the skeleton is broken, or a file
 * of the tree is not of the size that came; that all bytes are those that came, the sums tell. */
must_check int pack_layer(const struct pack *pack, struct tar_sums *sums);

#endif
