/* SPDX-License-Identifier: MIT
 *
 * Those who read what a live mount does, each with a filter of his own. One thread writes lines of
 * JSON to them (traceline.h), and is there only while somebody reads: who goes is noticed without
 * anything happening, and with the last of them nothing is noted any more. A reader who does not
 * read holds nobody up: what he has no room for is counted, and told when he has read on.
 */
#ifndef PLYFS_TRACER_H
#define PLYFS_TRACER_H

#include "own.h"
#include "tracefilter.h"
#include "tracequeue.h"

#include <jansson.h>

enum { TRACER_READERS = 16 };

struct tracer;

/* Of a queue, which is the caller's. NULL when out of memory. */
struct tracer *tracer_create(struct tracequeue *queue);

/* One more reader: his filter is taken over in every case, his socket if this succeeds. -EUSERS:
 * there are TRACER_READERS of them. His first line is `greeting`; what happens from when he has it
 * is told. */
must_check int tracer_add(struct tracer *tracer, int client, struct tracefilter *filter,
                          const json_t *greeting);

unsigned tracer_readers(struct tracer *tracer);

/* Tells the readers that it is over, waiting a moment for those who are slow. NULL is fine. Not at
 * the same time as tracer_add(). */
void tracer_stop(struct tracer *tracer);

#endif
