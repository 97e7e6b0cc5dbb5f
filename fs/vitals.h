/* SPDX-License-Identifier: MIT
 *
 * How a live mount fares, as its daemon tells it on the control socket.
 */
#ifndef PLYFS_VITALS_H
#define PLYFS_VITALS_H

#include "mount.h"
#include "own.h"

#include <jansson.h>

/* {"Age": nanoseconds, "CopyUps", "Moved" (bytes), "GivenAhead" (files: ahead.h), "ListedAhead"
 *  (directories: scout.h), "Nodes", "NameBytes", "CachedFds", "MergeBytes", "ListingBytes", "Fds",
 *  "Threads", "Memory" (bytes), "Readers", "Mountpoint",
 *  "Operations": {"lookup": {"Errors", "Total" (nanoseconds), "Buckets": [bucket, count, ...]}}}
 * with the operations that were asked for. NULL when out of memory. Of the control thread. */
json_t *vitals_json(struct mount *mount, unsigned readers);

#endif
