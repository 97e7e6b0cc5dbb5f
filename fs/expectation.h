/* SPDX-License-Identifier: MIT
 *
 * What somebody expects of a named mount, in words, and whether it is so:
 *
 *   shadowed PATH          a volume covers the path and hides something of the layers there
 *   from-layer LAYER PATH  the content is of that layer (1 the lowest), of the "upper" or the
 * "host" present PATH, absent PATH whiteout PATH          the upper says that what the layers have
 * there is gone unchanged PATH         it, and all beneath it, is as the layers have it copyups '<=
 * N', moved '<= SIZE', denied '= N', warned '= N'    what the ledger counts
 */
#ifndef PLYFS_EXPECTATION_H
#define PLYFS_EXPECTATION_H

#include "own.h"
#include "stack.h"
#include "store.h"

#include <stdbool.h>

struct expectation_kind;

/* Words are borrowed. */
struct expectation {
    const struct expectation_kind *kind;
    const char *words[2]; /* behind the kind's own; NULL where it takes fewer */
    unsigned line;        /* where it was read; 0: on the command line */
};

/* How many words a kind takes, by its own word; -EINVAL: there is none of that name. */
int expectation_arity(const char *kind);

/* The first expectation of `words`, of which there are `count`; how many of them it took, or
 * -EINVAL with a message. */
must_check int expectation_parse(const char *const *words, unsigned count,
                                 struct expectation *expectation);

/* The mount that is judged, open. */
struct expectation_case {
    struct store *store;
    const struct mount_row *row;
    const struct stack *stack;
    bool counted; /* what the ledger has, once it was asked for: */
    uint64_t counts[4];
};

/* 1: it is so; 0: it is not, and *instead, the caller's to free, says what is; -errno with a
 * message where it cannot be told. */
must_check int expectation_judge(struct expectation_case *the_case,
                                 const struct expectation *expectation, char **instead);

/* "from-layer 2 /etc/passwd"; the caller's to free, or NULL. */
char *expectation_text(const struct expectation *expectation);

#endif
