/* SPDX-License-Identifier: MIT
 *
 * The contents of a directory: what its upper part has and hides, and what the union shows there.
 */
#ifndef PLYFS_CONTENTS_H
#define PLYFS_CONTENTS_H

#include "own.h"
#include "stack.h"

#include <stdbool.h>
#include <stdint.h>

/* One name. Its text lasts for the call that is told of it. */
struct content {
    const char *name;
    uint64_t ino;  /* real in an upper directory, as shown in the union (0: only a lookup tells) */
    uint8_t dtype; /* DT_* */
    bool upper;    /* the upper part has it, and else a sealed source */
    bool hidden;   /* upper directories only: a whiteout of this name */
};

/* Calls `each` for every name that the upper directory `upper` has or hides, in no order, until it
 * returns something else than 0. Books are left out. */
must_check int contents_upper(const struct stack *stack, int upper,
                              int (*each)(void *context, const struct content *content),
                              void *context);

/* The upper part of a directory. */
struct upperpart {
    int fd;            /* -1: it has none */
    struct fdref *ref; /* that it belongs to; NULL: it is opened anew to be read. Borrowed */
};

/* Calls `each` once for every name that is shown, in no order: those of the upper part, then those
 * of the sealed sources that it does not cover. `pure`: it holds nothing that was copied up, so
 * that the numbers of its entries are their own. */
must_check int contents_shown(const struct stack *stack, const struct upperpart *upper,
                              const struct sources *sources, bool pure,
                              int (*each)(void *context, const struct content *content),
                              void *context);

#endif
