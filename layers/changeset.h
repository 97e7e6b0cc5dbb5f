/* SPDX-License-Identifier: MIT
 *
 * Changes as a tar: what a commit makes a layer of, and the whole tree that a mount shows. Names in
 * a changed directory that are gone are whiteouts; no opaque mark is written, because every name
 * beneath is compared (changes.h).
 */
#ifndef PLYFS_CHANGESET_H
#define PLYFS_CHANGESET_H

#include "own.h"
#include "stack.h"
#include "tarball.h"

#include <stdint.h>

/* Writes what the upper layer changes, or (`all`) everything that is shown, and leaves the writer
 * open. `seen` is told the bytes of content so far; it may be NULL. -EAGAIN: a file changed while
 * it was read. */
must_check int changeset_pack(const struct stack *stack, bool all, struct tar_writer *writer,
                              void (*seen)(void *context, uint64_t bytes), void *context);

/* A number that another state of the changes would not have: of their paths, inodes, sizes and
 * times. The same before and after a reading, it says that the reading was of one state. */
must_check int changeset_state(const struct stack *stack, uint64_t *state);

#endif
