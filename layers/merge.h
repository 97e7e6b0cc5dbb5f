/* SPDX-License-Identifier: MIT
 *
 * The merged names of a directory's sealed sources: made once at the first need, kept within a
 * bound, dropped oldest first. Never the upper layer: that is asked each time, for one system call.
 * Only directories with two or more sources are merged; a single one is asked directly, until names
 * have been looked for there in vain again and again: see merge_note_absent(). So are all of them
 * for the first names looked up in a large directory: see merge_if_worth().
 */
#ifndef PLYFS_MERGE_H
#define PLYFS_MERGE_H

#include "nameset.h"
#include "own.h"

#include <stdbool.h>
#include <stdint.h>

struct stack;
struct sources;

/* What is known of one merged name. */
struct merge_name {
    uint64_t ino;   /* as shown */
    uint16_t first; /* index of the topmost source that has it */
    uint16_t last;  /* index of the lowest source that may still add to it */
    uint8_t dtype;  /* DT_* of the first */
    bool hidden;    /* a whiteout covers it: there is no such name */
    bool closed;    /* a whiteout lies beneath `last`: nothing further adds to it */
};

struct merge {
    unsigned users; /* protected by the cache's lock */
    uint64_t id;
    size_t bytes;
    struct nameset names;
    struct merge_name *at; /* beside names */
    struct merge *chain, *newer, *older;
};

struct mergecache;

/* Keeps at most `limit` bytes of merges that nobody uses. */
struct mergecache *mergecache_create(size_t limit);
void mergecache_destroy(struct mergecache *cache);

/* The merge of `sources`, made now if need be, with one more user. NULL and *err. */
struct merge *merge_get(const struct stack *stack, const struct sources *sources, int *err);

/* The same for whoever looks up one name: NULL and *err 0 while it is cheaper to ask every source
 * for it. The sources are read once the lookups have cost about what reading them all would, so
 * never more than twice the least is spent, whether one name is wanted or all. */
struct merge *merge_if_worth(const struct stack *stack, const struct sources *sources, int *err);

/* A name was looked for in vain in a single source. Programs that make a file, and take it away,
 * again and again (the journal of a database) ask for it each time: when that has cost about what
 * reading the source does, and nobody else changes it, it is read. */
void merge_note_absent(const struct stack *stack, const struct sources *sources);

/* The names of a single source, with one more user; NULL where they were not read. */
struct merge *merge_of_single(const struct stack *stack, const struct sources *sources);

void merge_release(struct mergecache *cache, struct merge *merge);

/* What is known of `name`; NULL when no source has it. */
const struct merge_name *merge_find(const struct merge *merge, const char *name);

/* Drops every merge that nobody uses. */
void mergecache_empty(struct mergecache *cache);

/* Bytes held now. */
size_t mergecache_bytes(struct mergecache *cache);

#endif
