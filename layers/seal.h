/* SPDX-License-Identifier: MIT
 *
 * A staged tree becomes a sealed layer of the store, and a sealed layer is held against what was
 * written down then. What the layer is called is its content: its DiffID.
 */
#ifndef PLYFS_SEAL_H
#define PLYFS_SEAL_H

#include "catalog.h"
#include "entries.h"
#include "own.h"
#include "store.h"
#include "tarball.h"

#include <stdint.h>

struct seal {
    const char *staged;          /* the directory in the stage: a tree and its books */
    const struct tar_sums *sums; /* of the tar it came as; NULL: it came as none, and is packed to
                                    see what its DiffID is */
    const char *source;          /* where it came from, in words */
    const char *name;            /* what it is to be called; or NULL */
    void (*seen)(void *context, uint64_t bytes); /* told the bytes read so far; or NULL */
    void *context;
    /* Adds what is to come with the layer or not at all, in the transaction that gives it its row;
     * or NULL. Of a layer that the store has already it is called by itself. */
    int (*with_row)(void *row_context, const struct layer_row *row);
    void *row_context;
};

/* Makes the directory `staged` of a stage, and in it "tree", which an archive need not describe:
 * 0755, whatever the umask. Both are the caller's to close, also after a failure. */
must_check int seal_make_staged(const struct stage *stage, const char *staged, int *layer,
                                int *tree);

/* Digests the entries, publishes the directory and gives the layer its row, which `row` then holds
 * (layer_row_finish()). A layer that the store has already stays as it is, is given the name, and
 * what was staged is removed. In neither case is the directory in the stage any more; after a
 * failure the caller unstages it. -EEXIST: another layer has the name. Not in a transaction, and
 * not while publishing. */
must_check int seal_layer(struct store *store, struct stage *stage, const struct seal *seal,
                          struct layer_row *row);

/* The first half of that, for who publishes many layers and their images in one transaction:
 * digests the entries of a layer that came as a tar, and fills its row. The rest is store_publish()
 * and catalog_add_layer(). */
must_check int seal_prepare(const struct stage *stage, const struct seal *seal,
                            struct layer_row *row);

/* What reading a sealed layer again found. */
struct seal_check {
    /* Told of every entry that is not what it was: `was` or `is` is NULL where there is none. */
    int (*each)(void *context, const struct entry_digest *was, const struct entry_digest *is);
    void *context;
    void (*seen)(void *progress, uint64_t bytes); /* told the bytes read so far; or NULL */
    void *progress;
};

/* Reads every entry of a layer again and compares it with its entries file. -EBADMSG: that file is
 * not the one that was written; -ENODATA: none was kept; else what `each` returned, or -errno. */
must_check int seal_verify(struct store *store, const struct layer_row *row,
                           const struct seal_check *check);

#endif
