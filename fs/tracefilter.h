/* SPDX-License-Identifier: MIT
 *
 * Which lines of a trace somebody wants: the words behind --filter.
 *
 *   op=WORD[,WORD]...  an operation ("write", "setattr", "chmod"), or a kind of event ("copyup")
 *   path=GLOB          the path in the mount, see pathglob.h
 *   pid=NUMBER         the process that asked
 *   slow=TIME          what took at least so long: 500us, 10ms, 1.5s
 *
 * Several keys may be in one word, divided by commas. Filters of one key are alternatives, those of
 * several keys must all be met. Without a filter everything passes.
 */
#ifndef PLYFS_TRACEFILTER_H
#define PLYFS_TRACEFILTER_H

#include "own.h"
#include "tracequeue.h"

struct tracefilter;

/* `all`: requests are wanted too, and not events alone. -EINVAL, and `why` has the words; -ENOMEM.
 */
must_check int tracefilter_parse(const char *const *words, size_t count, bool all,
                                 struct tracefilter **filter, char why[256]);
void tracefilter_destroy(struct tracefilter *filter);
static inline void own_tracefilter(struct tracefilter **filter)
{
    tracefilter_destroy(*filter);
}
#define cleanup_tracefilter cleanup(own_tracefilter)

bool tracefilter_passes(const struct tracefilter *filter, const struct trace_note *note);

/* What it may let pass, as bits of tracequeue.h. */
uint64_t tracefilter_wants(const struct tracefilter *filter);

/* A time as slow= takes it, in nanoseconds; -EINVAL. */
must_check int tracefilter_time(const char *text, int64_t *nanoseconds);

#endif
