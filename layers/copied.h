/* SPDX-License-Identifier: MIT
 *
 * Whether a thing in the upper layer is the copy of what lies beneath its name, or was made anew or
 * moved there: then what the ledger says of copy-ups of that name is not of this thing.
 */
#ifndef PLYFS_COPIED_H
#define PLYFS_COPIED_H

#include "changes.h"
#include "own.h"
#include "stack.h"

enum copied {
    COPIED_HERE,
    COPIED_NOT_HERE,
    COPIED_UNKNOWN, /* it may be: not every copy can keep the number of what it is of */
};

/* Of the thing that a change shows, which is in the upper; of it only `entry`, `upper`, `sources`
 * and `name` are asked. What cannot be looked at is not known; -ENOMEM is the only error. */
must_check int copied_find(const struct stack *stack, const struct change *change,
                           enum copied *copied);

#endif
