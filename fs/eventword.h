/* SPDX-License-Identifier: MIT
 *
 * Events in the words of the field, and moments as people say them.
 */
#ifndef PLYFS_EVENTWORD_H
#define PLYFS_EVENTWORD_H

#include "event.h"
#include "own.h"

#include <jansson.h>

/* {"Time", "Event", "Path", "Layer", "Type", "Cause", "Pid", "Command", "Uid", "Caller", "Size",
 * "Moved", "Means", "Duration"}: what is not known is null, sizes are bytes, the duration
 * nanoseconds. NULL when out of memory. */
json_t *eventword_json(const struct event *event);

/* Who did it: "dpkg[123]", "unknown (writeback)", or "unknown". `text` has room for 40 bytes. */
char *eventword_caller(char text[40], const struct event *event);

/* "file", "directory", "symlink"... of S_IFMT bits. */
const char *eventword_type(mode_t type);

/* A moment: "10m" (ago; s, m, h and d), "2026-01-31T12:00:00Z", "2026-01-31", or seconds since 1970
 * as "@1769860800", in nanoseconds since 1970. -EINVAL. */
must_check int eventword_moment(const char *word, int64_t now, int64_t *moment);

#endif
