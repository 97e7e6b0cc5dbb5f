/* SPDX-License-Identifier: MIT
 *
 * What of a thing in the upper layer differs from what lies beneath it: nothing, where it was
 * copied up in vain.
 */
#ifndef PLYFS_SAMENESS_H
#define PLYFS_SAMENESS_H

#include "changes.h"
#include "own.h"
#include "stack.h"

#include <stdint.h>

/* In a set of them. */
enum sameness {
    SAMENESS_ALL = 0,
    SAMENESS_TYPE = 1 << 0,       /* another type: then nothing else is compared */
    SAMENESS_CONTENT = 1 << 1,    /* of a file; the target of a symlink, the number of a device */
    SAMENESS_META = 1 << 2,       /* permissions and owner */
    SAMENESS_ATTRIBUTES = 1 << 3, /* extended ones, the overlay's own aside */
    SAMENESS_TIMES = 1 << 4,      /* mtime */
};

/* Who wants to know how many bytes were read so far, of each of both sides; all NULL: nobody. */
struct sameness_watch {
    void (*seen)(void *context, uint64_t bytes);
    void *context;
    uint64_t bytes;
};

/* What differs in a change of a thing that is there and was there, CHANGE_CHANGED, into *differs.
 * Content is read where sizes are equal and it does not lie in one place; that of a directory is
 * left out. `watch` may be NULL. */
must_check int sameness_find(const struct stack *stack, const struct change *change,
                             unsigned *differs, struct sameness_watch *watch);

/* Whether two open files have the same bytes from where they stand: 1 or 0, or -errno. */
must_check int sameness_bytes(int left, int right, struct sameness_watch *watch);

#endif
