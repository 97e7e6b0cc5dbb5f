/* SPDX-License-Identifier: MIT
 *
 * What a live mount tells those who trace it, on its way from the requests to the thread that
 * writes to them (tracer.h). While nobody reads, nothing is put here, and knowing so costs one
 * relaxed load. Whoever puts something waits for nobody: what finds no room is counted as lost.
 */
#ifndef PLYFS_TRACEQUEUE_H
#define PLYFS_TRACEQUEUE_H

#include "event.h"
#include "meter.h"
#include "own.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum trace_kind {
    TRACE_EVENT,   /* what is in the ledger too */
    TRACE_ROUTE,   /* a lookup led into a volume */
    TRACE_REQUEST, /* a request was served */
};

/* One line of a trace, as a plain value. */
struct trace_note {
    enum trace_kind kind;
    struct event
        event;        /* of a request: time, path, caller, duration, and as cause its finer name */
    enum meter_op op; /* of a request */
    int err;          /* of a request: 0 or -errno */
    const char *to;   /* a second path, or what a route shows; NULL: there is none */
};

enum { TRACEQUEUE_MOST = 1 << 15, TRACEQUEUE_TEXT = 1 << 23 };

/* What readers may want: a bit for each operation, and this one. */
#define TRACE_WANTS_EVENTS (UINT64_C(1) << 63)
static inline uint64_t trace_wants_request(enum meter_op op)
{
    return UINT64_C(1) << op;
}

struct tracequeue {
    atomic_uint_least64_t wanted;
    int wake; /* eventfd: there is something, or the reader is wanted */
    struct tracequeue_parts *parts;
};

/* NULL when out of memory or descriptors. */
struct tracequeue *tracequeue_create(void);
void tracequeue_destroy(struct tracequeue *queue);

/* Whether somebody wants to be told: any of those bits. NULL: nobody. */
static inline bool tracequeue_wants(const struct tracequeue *queue, uint64_t bits)
{
    return queue && (atomic_load_explicit(&queue->wanted, memory_order_relaxed) & bits) != 0;
}

/* Path and `to` are copied; `cause` must last for ever. */
void tracequeue_put(struct tracequeue *queue, const struct trace_note *note);

/* ---- for the one thread that reads ---- */

struct trace_batch {
    const struct trace_note *notes; /* the oldest first; the queue's, until the next take */
    size_t count;
    uint64_t lost; /* that found no room since the last take */
};

/* Takes what has gathered; waits for nothing. */
void tracequeue_take(struct tracequeue *queue, struct trace_batch *batch);

/* Makes `wake` readable. */
void tracequeue_wake(struct tracequeue *queue);

#endif
