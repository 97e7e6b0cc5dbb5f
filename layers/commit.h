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

/* Makes a layer of what the upper of `stack` changes; a store that has the same layer already keeps
 * that. `source` is kept as the layer's origin, in words. `seen` is told the bytes of content so
 * far; it may be NULL. -EAGAIN: the mount is being changed all the time. */
must_check int commit_layer(struct store *store, const struct stack *stack, const char *source,
                            void (*seen)(void *context, uint64_t bytes), void *context,
                            struct layer_row *row);

#endif
