/* SPDX-License-Identifier: MIT
 *
 * Copying the bytes of a file by the cheapest means that the filesystems allow: FICLONE, then
 * copy_file_range(2), then read and write; holes stay holes.
 */
#ifndef PLYFS_COPYDATA_H
#define PLYFS_COPYDATA_H

#include "own.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum copymeans { COPYMEANS_NONE, COPYMEANS_REFLINK, COPYMEANS_RANGE, COPYMEANS_READ_WRITE };

struct copied {
    enum copymeans means;
    uint64_t bytes; /* really moved: neither holes nor shared extents */
};

/* Copies the first `size` bytes of `src` to the empty file `dst` and makes it `size` bytes long.
 * `whole` says that this is all of src, so that it may be cloned. `given_up`, or NULL, is asked
 * after every 16 MiB whether nobody wants the copy any more, which then ends with -EINTR. */
must_check int copydata_copy(int src, int dst, off_t size, bool whole, bool (*given_up)(void),
                             struct copied *copied);

/* The same into a file that is as long already, and stays so; holes of src are left alone. */
must_check int copydata_fill(int src, int dst, off_t size, bool whole, bool (*given_up)(void),
                             struct copied *copied);

/* Whether `dst`, an empty file that is thrown away, can share the extents of `src`, so that a copy
 * of all of it moves nothing. */
bool copydata_can_clone(int src, int dst);

#endif
