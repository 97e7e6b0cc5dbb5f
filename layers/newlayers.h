/* SPDX-License-Identifier: MIT
 *
 * The layers that an import brings: each is unpacked into the stage unless the store has it, held
 * against the digests that are stated of it, and sealed there. Then all of them are put in their
 * places together.
 */
#ifndef PLYFS_NEWLAYERS_H
#define PLYFS_NEWLAYERS_H

#include "digest.h"
#include "nameset.h"
#include "store.h"

#include <stdbool.h>
#include <stdint.h>

struct newlayer;

struct newlayers {
    struct store *store;
    struct stage *stage;
    const char *source; /* where they come from, in words */
    uint64_t size_max;  /* bytes of content, all of them together; 0: no limit */
    uint64_t files_max; /* entries of each; 0: no limit */
    /* Bytes of blobs so far, told perhaps from another thread; or NULL. */
    void (*seen)(void *context, uint64_t bytes);
    void *context;
    char words[640]; /* after a failure: which layer, what was expected, what was found; or "" */

    struct nameset ids; /* DiffIDs, each with its layer */
    struct newlayer *at;
    size_t room;
    struct nameset right;    /* digests of blobs that were found to be right */
    uint64_t read, unpacked; /* bytes of blobs, added by the caller; bytes of content */
    unsigned begun;          /* directories in the stage */
};

/* What is stated of a layer; NULL where nothing is. */
struct layer_claim {
    const char *what;             /* what it is called in messages */
    const char *diff_id, *digest; /* 64 hex digits */
};

/* Takes the layer tar, in any compression, that `fd` gives; `diff_id` is what it is. One that the
 * store has by its claim is only read for its digest, and one that was taken already not at all.
 * -EBADMSG: it is broken, or not what was claimed; -EFBIG: beyond a limit. */
must_check int newlayers_take(struct newlayers *layers, int fd, const struct layer_claim *claim,
                              char diff_id[DIGEST_HEX_SIZE]);

/* Whether the store lacked it. */
bool newlayers_is_fresh(const struct newlayers *layers, const char *diff_id);

/* Puts the fresh ones in their places, between store_publishing() and store_published(); then adds
 * their rows, in a transaction. After a failure of that or of what comes behind it, when the
 * transaction was rolled back, newlayers_withdraw() takes the directories away again. */
must_check int newlayers_publish(struct newlayers *layers);
must_check int newlayers_add_rows(struct newlayers *layers);
void newlayers_withdraw(struct newlayers *layers);

/* The stage is the caller's to clear. */
void newlayers_finish(struct newlayers *layers);
#define cleanup_newlayers cleanup(newlayers_finish)

#endif
