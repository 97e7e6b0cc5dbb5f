/* SPDX-License-Identifier: MIT
 *
 * A pipe of each thread's own, through which large parts of files go to the kernel without a copy
 * in the daemon: the pipe holds the pages of the file's own page cache (splice(2)).
 */
#ifndef PLYFS_DATAPIPE_H
#define PLYFS_DATAPIPE_H

#include "own.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Whether it is of use for so many bytes: fewer are copied sooner, more do not fit. */
bool datapipe_suits(size_t size);

/* Fills the calling thread's pipe with `size` bytes from `offset` of a file, or with those up to
 * its end: how many, in `got`; whatever was left in it is dropped. The descriptor to read exactly
 * those from, which stays the pipe's own; -EOPNOTSUPP where it has to be done in another way,
 * -errno as read(2) has it. */
must_check int datapipe_fill(int fd, off_t offset, size_t size, size_t *got);

#endif
