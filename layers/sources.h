/* SPDX-License-Identifier: MIT
 *
 * The sources of a directory: the sealed layers that really have it, topmost first, cut at the
 * first opaque one, each with its path in that layer (a redirect makes it another path than the one
 * shown). Immutable and counted, so that nodes, listings and merges share one.
 */
#ifndef PLYFS_SOURCES_H
#define PLYFS_SOURCES_H

#include "own.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct source {
    uint16_t layer;
    bool xwhiteouts;  /* opaque attribute "x": empty files here may be whiteouts */
    const char *path; /* from the layer's root, without a slash in front; "" is the root */
};

struct sources {
    atomic_uint users;
    unsigned count;
    uint64_t id; /* never used again, for the cache of merges */
    struct source at[];
};

/* A list under construction. An all-zero builder is empty. */
struct sources_builder {
    struct built_source {
        uint16_t layer;
        bool xwhiteouts;
        char *path; /* owned */
    } * at;
    unsigned count, room;
};

/* Adds a source; the path is copied. 0 or -ENOMEM. */
must_check int sources_add(struct sources_builder *builder, uint16_t layer, const char *path,
                           bool xwhiteouts);

/* Makes the list, with one user; NULL (and *err 0) when it is empty, NULL (and -ENOMEM) when out of
 * memory. The builder is empty afterwards in every case. */
struct sources *sources_build(struct sources_builder *builder, int *err);
void sources_builder_finish(struct sources_builder *builder);

static inline struct sources *sources_hold(struct sources *sources)
{
    if (sources)
        atomic_fetch_add_explicit(&sources->users, 1, memory_order_relaxed);
    return sources;
}
void sources_release(struct sources *sources);

static inline void own_sources(struct sources **sources)
{
    sources_release(*sources);
}
#define cleanup_sources cleanup(own_sources)

#endif
