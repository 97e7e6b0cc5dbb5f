/* SPDX-License-Identifier: MIT
 *
 * The way of events from the requests that cause them to the one thread that keeps them. Whoever
 * puts one waits for nobody: it is copied behind the others, under a mutex that is held for that
 * alone. The reader takes all that have gathered at once.
 *
 * Room is made as it is needed, up to EVENTQUEUE_MOST events; what finds none is counted as lost.
 */
#ifndef PLYFS_EVENTQUEUE_H
#define PLYFS_EVENTQUEUE_H

#include "event.h"
#include "own.h"

#include <stddef.h>

enum { EVENTQUEUE_MOST = 1 << 20 };

struct eventqueue;

/* NULL when out of memory. */
struct eventqueue *eventqueue_create(void);
void eventqueue_destroy(struct eventqueue *queue);

/* The path is copied; `cause` must last for ever. */
void eventqueue_put(struct eventqueue *queue, const struct event *event);

/* What was taken at once, the oldest first. It stays the queue's, and true until the next take. */
struct eventbatch {
    const struct event *events;
    size_t count;
    uint64_t lost; /* that found no room since the last take */
};

/* Waits for an event, but no longer than `idle` nanoseconds (-1: as long as it takes), and then
 * lets others gather for the queue's patience. A batch may be empty. False when the queue was
 * closed and nothing is left in it. One thread takes. */
must_check bool eventqueue_take(struct eventqueue *queue, int64_t idle, struct eventbatch *batch);

/* How long events may gather before they are taken, in nanoseconds. At first none. */
void eventqueue_set_patience(struct eventqueue *queue, int64_t patience);

/* Returns when all that were put before have been taken, and the reader has come back for more: by
 * then it has done with them what it does. Not for the reader. */
void eventqueue_flush(struct eventqueue *queue);

/* Ends the reader's wait; no more are put. */
void eventqueue_close(struct eventqueue *queue);

#endif
