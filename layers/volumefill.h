/* SPDX-License-Identifier: MIT
 *
 * Copy on first use: what a union shows at a directory becomes the content of a plain one. Owners,
 * modes, times (of directories too), hard links inside, symlinks verbatim, fifos, sockets, devices,
 * holes, and every attribute that a user sees, under the name that he sees; nothing of the
 * overlay's books.
 */
#ifndef PLYFS_VOLUMEFILL_H
#define PLYFS_VOLUMEFILL_H

#include "own.h"
#include "stack.h"

#include <stdint.h>

/* Copies what is shown at `path` (as rootpath_find() takes it) into the empty directory `to`, which
 * becomes like it, even when it is empty: 1. Where nothing is there, or no directory: 0, and
 * nothing was done. `seen` is told the bytes so far; it may be NULL. Where an owner or a device
 * cannot be given without privilege, it is recorded (override.h). -ESTALE: a layer was removed
 * meanwhile, and the copy may lack names. A failure is told on stderr. */
must_check int volumefill_copy(const struct stack *stack, const char *path, int to,
                               void (*seen)(void *context, uint64_t bytes), void *context);

#endif
