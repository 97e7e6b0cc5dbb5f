/* SPDX-License-Identifier: MIT
 *
 * A growing set of names, each with an index: the order of insertion. What belongs to a name is
 * kept by the caller in an array beside it. Not locked: built by one thread, then only read.
 */
#ifndef PLYFS_NAMESET_H
#define PLYFS_NAMESET_H

#include "own.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct nameset {
    char *text;        /* every name, each closed by a NUL */
    uint32_t *offsets; /* index -> where the name begins in text */
    uint32_t *slots;   /* hash slots holding index + 1; 0 is free */
    size_t text_used, text_room;
    uint32_t used, room, slot_count;
};

#define NAMESET_NONE UINT32_MAX

/* An all-zero nameset is empty and ready. */
void nameset_finish(struct nameset *set);

/* The index of `name`, or NAMESET_NONE. */
uint32_t nameset_find(const struct nameset *set, const char *name);

/* Adds `name` unless it is there; *index is its index, *fresh whether it is new. 0 or -ENOMEM. */
must_check int nameset_add(struct nameset *set, const char *name, uint32_t *index, bool *fresh);

/* The name of an index; valid until the next add. */
static inline const char *nameset_name(const struct nameset *set, uint32_t index)
{
    return set->text + set->offsets[index];
}

/* Bytes of memory in use. */
size_t nameset_bytes(const struct nameset *set);

#endif
