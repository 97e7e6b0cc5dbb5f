/* SPDX-License-Identifier: MIT
 *
 * The account of a named mount, for the commands that read it: what its ledger holds, and first, of
 * a mount that is served now, what its daemon has yet to write there.
 */
#ifndef PLYFS_ACCOUNT_H
#define PLYFS_ACCOUNT_H

#include "catalogevents.h"
#include "own.h"
#include "store.h"

/* Calls `each` for the events of a mount until it returns something else than 0, which is returned.
 * Other failures, and how many events were lost, are told on stderr. */
must_check int account_each(struct store *store, const struct mount_row *row,
                            const struct event_wish *wish,
                            int (*each)(void *context, const struct event *event), void *context);

/* How many bytes its copy-ups have moved, as of now. Failures are told. */
must_check int account_moved(struct store *store, const struct mount_row *row, uint64_t *moved);

#endif
