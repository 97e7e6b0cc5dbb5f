/* SPDX-License-Identifier: MIT
 *
 * How a live mount fares, as a command sees it: what its daemon tells (vitals.h), or what of that
 * is new since another time.
 */
#ifndef PLYFS_GAUGE_H
#define PLYFS_GAUGE_H

#include "meter.h"
#include "own.h"
#include "store.h"

#include <jansson.h>

/* The numbers in it, by their names in JSON. */
enum gauge_fact {
    GAUGE_AGE, /* nanoseconds that the counts are of */
    GAUGE_COPYUPS,
    GAUGE_MOVED,
    GAUGE_GIVEN_AHEAD,
    GAUGE_LISTED_AHEAD,
    GAUGE_NODES,
    GAUGE_NAME_BYTES,
    GAUGE_CACHED_FDS,
    GAUGE_MERGE_BYTES,
    GAUGE_LISTING_BYTES,
    GAUGE_FDS,
    GAUGE_THREADS,
    GAUGE_MEMORY,
    GAUGE_READERS,
    GAUGE_FACTS
};

struct gauge {
    char *id, *name, *mountpoint;
    uint64_t facts[GAUGE_FACTS];
    struct meter_reading operations[METER_OPS];
    struct meter_reading sum; /* of all of them */
    int64_t time;             /* when it was asked for, nanoseconds since 1970 */
    struct gauge *next;
};

void gauges_free(struct gauge *gauges);
static inline void own_gauges(struct gauge **gauges)
{
    gauges_free(*gauges);
}
#define cleanup_gauges cleanup(own_gauges)

/* Asks a daemon on its control socket; the mount is called `name`. Nothing is told; `answer`, the
 * caller's, has the daemon's "why". */
must_check int gauge_take(int fd, const char *name, struct gauge **gauge, json_t **answer);

/* Asks all that are mounted, in the order of their names. One that does not answer is told of on
 * stderr and left out, but for `quietly`. */
must_check int gauges_take(struct store *store, bool quietly, struct gauge **gauges);

/* What came in each since `before`; all of what was not there then. */
must_check int gauges_since(const struct gauge *now, const struct gauge *before,
                            struct gauge **since);

/* How many of a count there were in a second. */
double gauge_rate(const struct gauge *gauge, uint64_t count);

/* A mount as a row: {"Time", "Name", "Mountpoint", "Rate" (requests a second), "Requests",
 * "Errors", "ErrorRate", "P50", "P99" (nanoseconds; "Half" and "Most" for people), "Seconds", and
 * the facts}. NULL when out of memory. */
json_t *gauge_json(const struct gauge *gauge);

/* An operation of it, likewise, with "Operation", "Mean" and "Total" ("Average", "Spent"). */
json_t *gauge_operation_json(const struct gauge *gauge, const char *name,
                             const struct meter_reading *reading);

#endif
