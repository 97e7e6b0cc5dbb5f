/* SPDX-License-Identifier: MIT
 *
 * A lower directory becomes a layer's tar, always the same bytes for the same content: PAX, names
 * sorted within their directory, no "./", directories end in "/", parents first, hard links by the
 * name that comes first, whiteouts as empty ".wh.NAME", opaque as ".wh..wh..opq" first in its
 * directory, every attribute that is not the overlay's books as SCHILY.xattr.* (OCI image-spec,
 * "Image Layer Filesystem Changeset"). And its opposite for a layer that came as a tar: the very
 * bytes that came, from the skeleton and the content of the files.
 */
#ifndef PLYFS_PACK_H
#define PLYFS_PACK_H

#include "own.h"
#include "tarball.h"

/* Packs the layer directory `tree` into `writer`, and leaves it open for more. `seen` is told the
 * bytes of content so far; it may be NULL. */
must_check int pack_tree(int tree, struct tar_writer *writer,
                         void (*seen)(void *context, uint64_t bytes), void *context);

/* Writes to `fd` the tar that the layer came as, uncompressed. -EBADMSG when what lies in the tree
 * is not what came (the sums tell). `sums` may be NULL. */
must_check int pack_from_skeleton(int tree, int books, int fd, struct tar_sums *sums);

/* Writes the layer's tar to `fd` in whichever way it came. `filter` compresses it. */
must_check int pack_layer(int tree, int books, bool skeleton, int fd, enum tar_filter filter,
                          struct tar_sums *sums);

#endif
