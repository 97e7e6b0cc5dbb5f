/* SPDX-License-Identifier: MIT
 *
 * The ledger of a live mount: what it does to its upper layer goes through a queue to one thread,
 * which puts it into the catalog. No request waits for that. Whoever kills the daemon takes along
 * at most what happened in the last quarter of a second and is not in the catalog yet.
 *
 * A mount without a name has none, and noting something costs it a look at a pointer.
 */
#ifndef PLYFS_LEDGER_H
#define PLYFS_LEDGER_H

#include "event.h"
#include "mount.h"
#include "own.h"

struct ledger;

/* Begins the ledger of the mount `id` in the store `store` (a path). NULL when that cannot be,
 * which is told on stderr. */
struct ledger *ledger_start(const char *store, const char *id);
/* Writes what is on its way, and ends. NULL is fine. */
void ledger_stop(struct ledger *ledger);

/* Returns when all that was noted before is in the catalog. */
void ledger_flush(struct ledger *ledger);

/* Notes what was done at (parent, name): kind, cause, layer, type, and of a copy-up sizes, means
 * and duration are the caller's to fill in; when, where and who are found here. To be called by the
 * thread that serves the request, before it answers; no lock of mount.h is held but a node's. */
void ledger_note(struct mount *mount, uint32_t parent, const char *name, struct event *event);

/* The same of a mark that is no copy-up. */
void ledger_note_mark(struct mount *mount, uint32_t parent, const char *name, enum event_kind kind,
                      mode_t type, const char *cause);

/* Of a whiteout or an opaque directory at (dir, name): noted where the layers beneath show that
 * name, which is hidden then. `type` is of what was taken away, or made. */
void ledger_note_hidden(struct mount *mount, const struct node_view *dir, const char *name,
                        enum event_kind kind, mode_t type, const char *cause);

#endif
