/* SPDX-License-Identifier: MIT
 *
 * One resolved name: a plain value that says what the union shows there, and where it lies.
 */
#ifndef PLYFS_ENTRY_H
#define PLYFS_ENTRY_H

#include "ovlattr.h"
#include "own.h"
#include "sources.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

/* What chattr(1) keeps from being changed. */
enum { HELD_IMMUTABLE = 1, HELD_APPEND = 2 };

/* As OVLATTR_PROTATTR has it: how many letters. */
static inline size_t held_write(unsigned held, char letters[2])
{
    size_t count = 0;
    if (held & HELD_APPEND)
        letters[count++] = 'a';
    if (held & HELD_IMMUTABLE)
        letters[count++] = 'i';
    return count;
}

/* Where the data of a metacopy file lies. */
struct datasite {
    uint16_t layer;
    char *path; /* from the layer's root; owned; NULL when there is none */
};

struct entry {
    struct stat st;          /* of the part that is shown: upper before lower */
    uint64_t ino;            /* the inode number shown */
    uint16_t layer;          /* of the part that is shown; 0 is the upper */
    uint8_t held;            /* HELD_*, of the part that is shown */
    bool present;            /* false: there is no such name */
    bool whiteout;           /* absent because the upper says so */
    bool opaque;             /* upper directory that hides what lies beneath */
    bool impure;             /* upper directory that holds entries with an origin */
    bool metacopy;           /* the data is still at `data` */
    bool indexed;            /* reached through, or listed in, the hard-link index */
    bool linked;             /* this very name is in the upper directory */
    bool stub;               /* a directory that no layer has: something is shown beneath it */
    char *index_name;        /* of an indexed inode; owned */
    struct datasite data;    /* of a metacopy file */
    struct sources *sources; /* of a directory: what lies beneath; owned; NULL for none */
};

/* Frees what an entry owns. An all-zero entry is fine. */
static inline void entry_finish(struct entry *entry)
{
    free(entry->index_name);
    free(entry->data.path);
    sources_release(entry->sources);
    *entry = (struct entry){0};
}
#define cleanup_entry cleanup(entry_finish)

/* What it holds, and what it owns, is the caller's. */
static inline struct entry entry_steal(struct entry *entry)
{
    const struct entry stolen = *entry;
    *entry = (struct entry){0};
    return stolen;
}

#endif
