/* SPDX-License-Identifier: MIT
 *
 * The content of a sealed layer as it lies on disk, entry by entry, said in the terms of an
 * archive: whatever way a layer writes its whiteouts, opaque marks, hard links, escaped attributes
 * and recorded owners (whiteout.h, ovlattr.h, override.h), it is told in one. So all who read a
 * layer (entries.h, pack.h) see the same thing, in the same order.
 *
 * A plain tree (treekind.h) is told in the same terms, without whiteouts and opaque marks: all
 * names and attributes in it are a user's.
 *
 * What is refused of a layer, with -EINVAL: a directory with a redirect and a file without its data
 * (metacopy), whose other half lies in a layer that nobody knows here.
 */
#ifndef PLYFS_LAYERTREE_H
#define PLYFS_LAYERTREE_H

#include "own.h"
#include "tarball.h"
#include "treekind.h"

struct layer_entry {
    /* f file, d directory, l symlink, c and b devices, p pipe, s socket; h: one more name of what
     * came before as shown.link; w: a whiteout of the path; o: a directory that is opaque. */
    char type;
    /* Names are from the layer's root, "." is the root. Attributes are those that a user sees, in
     * the order of their names. The type in `mode` is what it is, also of a hard link. */
    struct tar_entry shown;
};

struct layertree;

/* Begins at the directory `tree` (borrowed). NULL and *err. */
must_check struct layertree *layertree_open(int tree, enum treekind kind, int *err);
void layertree_close(struct layertree *layer);

/* The next entry, parents first and names in the order of their bytes; it lasts until the one after
 * it. 1, 0 at the end, -errno, which is told on stderr with the path. */
must_check int layertree_next(struct layertree *layer, struct layer_entry *entry);

/* Reads the content of the current entry, a file, and gives it to `sink` in pieces: shown.size
 * bytes, or -ESTALE when the file turned out to have another size. What the sink returns, if not 0,
 * ends it. */
must_check int layertree_content(struct layertree *layer,
                                 int (*sink)(void *context, const void *data, size_t size),
                                 void *context);

static inline void own_layertree(struct layertree **layer)
{
    layertree_close(*layer);
}
#define cleanup_layertree cleanup(own_layertree)

#endif
