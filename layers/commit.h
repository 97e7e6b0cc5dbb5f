/* SPDX-License-Identifier: MIT
 *
 * The changes of a mount become a sealed layer. Its upper may be in use meanwhile: what was read is
 * compared with what is there afterwards, and read again when it is not the same.
 */
#ifndef PLYFS_COMMIT_H
#define PLYFS_COMMIT_H

#include "own.h"
#include "stack.h"
#include "store.h"

#include <stdint.h>

struct commit {
    const struct stack *stack;                   /* the mount's */
    const char *source;                          /* kept as the layer's origin, in words */
    void (*seen)(void *context, uint64_t bytes); /* told the bytes of content so far; or NULL */
    void *context;
    int (*with_row)(void *row_context, const struct layer_row *row); /* as in seal.h */
    void *row_context;
};

/* Makes a layer of what the upper changes; a store that has the same layer already keeps that.
 * -EAGAIN: the mount is being changed all the time. */
must_check int commit_layer(struct store *store, const struct commit *commit,
                            struct layer_row *row);

#endif
