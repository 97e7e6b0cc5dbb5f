/* SPDX-License-Identifier: MIT
 *
 * The events of a ledger for a page that shows very many: column by column, and every word that
 * comes again (directories, names, processes, causes) as its number in a list. A hundred thousand
 * events are a few megabytes so.
 */
#ifndef PLYFS_EVENTCOLUMNS_H
#define PLYFS_EVENTCOLUMNS_H

#include "event.h"
#include "own.h"

#include <jansson.h>

struct eventcolumns;

/* An empty one; NULL when out of memory. */
struct eventcolumns *eventcolumns_create(void);
void eventcolumns_destroy(struct eventcolumns *columns);
static inline void own_eventcolumns(struct eventcolumns **columns)
{
    eventcolumns_destroy(*columns);
}
#define cleanup_eventcolumns cleanup(own_eventcolumns)

must_check int eventcolumns_add(struct eventcolumns *columns, const struct event *event);

/* What was added, which is taken out: nothing can be added afterwards. NULL when out of memory.
 *
 *   {"Count": 2, "Lost": 0, "From": "2026-01-31T12:00:00.000000000Z" (the first moment, or null),
 *    "Directories": ["/etc"], "Names": ["passwd", "group"], "Causes": ["write"],
 *    "Processes": [{"Command": "sed", "Pid": 7, "Uid": 0, "Caller": "sed[7]"}],
 *    "Kinds": ["copyup", ...], "Types": ["file"], "Means": ["none", ...],
 *    "Events": {"Time": [0, 1500] (nanoseconds after From), "Event": [0, 0] (of Kinds),
 *               "Directory", "Name", "Layer": [1, null], "Type", "Cause", "Process", "Size",
 *               "Moved", "Means", "Duration" (nanoseconds)}}
 *
 * A path is its directory and its name; "/" is the directory "/" and the name "", and a file that
 * had lost its name has neither. */
json_t *eventcolumns_json(struct eventcolumns *columns, uint64_t lost);

#endif
