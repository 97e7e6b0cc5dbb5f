/* SPDX-License-Identifier: MIT
 *
 * The lines of a trace: as JSON on their way from the daemon, and for people. What happened is as
 * eventword.h has it; besides there are
 *
 *   {"Time", "Event": "request", "Operation": "setattr", "Cause": "chmod", "Path", "To" (or null),
 *    "Errno": null or "ENOENT", "Pid", "Command", "Uid", "Caller", "Duration"}
 *   {"Time", "Event": "route", "Path", "Type", "Cause", "Source" (null of a tmpfs), "Pid", ...}
 *   {"Time", "Event": "missed", "Count"}     the reader was too slow for so many lines
 *   {"Time", "Event": "unmounted"}           the last one
 */
#ifndef PLYFS_TRACELINE_H
#define PLYFS_TRACELINE_H

#include "own.h"
#include "tracequeue.h"

#include <jansson.h>
#include <stdio.h>

/* Each NULL when out of memory. */
json_t *traceline_json(const struct trace_note *note);
json_t *traceline_missed(uint64_t count);
json_t *traceline_unmounted(void);

/* A line for people, and the titles above. */
void traceline_print(FILE *out, const json_t *line);
void traceline_print_titles(FILE *out);

/* How long something took, for people: "850ns", "15us", "2.3ms", "1.2s". */
char *traceline_took(char text[16], int64_t nanoseconds);

#endif
