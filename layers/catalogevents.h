/* SPDX-License-Identifier: MIT
 *
 * The ledger of a mount in the catalog: what it did to its upper layer, kept when it is unmounted
 * and removed with it. Errors as in catalog.h.
 *
 * Every copy-up is kept. Of what may happen to one path any number of times (a whiteout, a denial)
 * the last is, so a ledger is no longer than the layers are large.
 */
#ifndef PLYFS_CATALOGEVENTS_H
#define PLYFS_CATALOGEVENTS_H

#include "catalog.h"
#include "event.h"

/* From now on a commit of this connection does not wait for the disk: what it wrote outlives the
 * process, and not a loss of power. */
must_check int catalog_sync_less(struct catalog *catalog);

/* The number by which a mount's ledger is written; it is made where there is none. -ENOENT: there
 * is no such mount. */
must_check int catalog_open_ledger(struct catalog *catalog, const char *mount, int64_t *ledger);

/* Adds events, in their order, in one transaction, and counts those that were lost. */
must_check int catalog_add_events(struct catalog *catalog, int64_t ledger,
                                  const struct event *events, size_t count, uint64_t lost);

/* What is asked for: zero and NULL ask for everything. */
struct event_wish {
    int64_t since;    /* nanoseconds since 1970 */
    const char *path; /* this very one */
};

/* Calls `each` for the events of a mount, in the order in which they happened, until it returns
 * something else than 0. Strings last for the call. */
must_check int catalog_each_event(struct catalog *catalog, const char *mount,
                                  const struct event_wish *wish,
                                  int (*each)(void *context, const struct event *event),
                                  void *context);

/* How many bytes the copy-ups of a mount have moved. */
must_check int catalog_moved_bytes(struct catalog *catalog, const char *mount, uint64_t *moved);

/* How many events found no room on their way to the ledger. */
must_check int catalog_lost_events(struct catalog *catalog, const char *mount, uint64_t *lost);

#endif
