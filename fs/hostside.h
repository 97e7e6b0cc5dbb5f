/* SPDX-License-Identifier: MIT
 *
 * What a route hides against what it shows: name by name, which of them only the union has, which
 * both have, and which came from writes that went to the host. Nothing is told on stderr.
 */
#ifndef PLYFS_HOSTSIDE_H
#define PLYFS_HOSTSIDE_H

#include "own.h"
#include "stack.h"

#include <stdint.h>
#include <sys/types.h>

enum hostside_state {
    HOSTSIDE_HIDDEN,  /* the union has it, the host has nothing of that name */
    HOSTSIDE_SAME,    /* both have it: of one type, and with one content or target */
    HOSTSIDE_DIFFERS, /* both have the name */
    HOSTSIDE_NEW,     /* the host alone has it */
};
enum { HOSTSIDE_STATES = HOSTSIDE_NEW + 1 };

/* "hidden", "same", "differs", "new". */
const char *hostside_word(enum hostside_state state);

/* One name, lasting for the call that is told of it. */
struct hostside_item {
    const char *beneath; /* from the destination; "" is what lies right at it, if no directory */
    enum hostside_state state;
    mode_t mode;
    int layer;      /* that the union has it from, as shadow.h counts; -1 where it has none */
    uint64_t bytes; /* of a file's content, on the host where it has the name */
};

/* Compares what lies beneath `destination` in the union with `host`, an O_PATH descriptor, or -1:
 * then all is hidden. Files of one size are read. Calls `each` for every name of both, those of the
 * union first, until it returns something else than 0. */
must_check int hostside_compare(const struct stack *stack, const char *destination, int host,
                                int (*each)(void *context, const struct hostside_item *item),
                                void *context);

#endif
