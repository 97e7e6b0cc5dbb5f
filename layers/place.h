/* SPDX-License-Identifier: MIT
 *
 * Where that lies on disk which a resolved entry stands for: what has its metadata, and what its
 * data.
 */
#ifndef PLYFS_PLACE_H
#define PLYFS_PLACE_H

#include "changes.h"
#include "own.h"
#include "stack.h"

/* A name in an open directory; of a directory its own descriptor, and "". */
struct place {
    int dir;
    const char *name;
    enum ovlwhere where;
    const char *record; /* the attribute that its owner is recorded in (record.h); or NULL */
    struct fdref *ref;  /* what keeps `dir` open; or NULL */
    int own;            /* the same; or -1 */
};

/* What is shown at `change`, which must be present, lies at `place`; to be given back. */
must_check int place_of(const struct stack *stack, const struct change *change,
                        struct place *place);
void place_finish(const struct stack *stack, struct place *place);

/* Opens the data of a file for reading; it may lie in another layer than its metadata. */
must_check int place_open_data(const struct stack *stack, const struct change *change,
                               const struct place *place);

#endif
