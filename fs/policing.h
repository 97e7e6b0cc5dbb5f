/* SPDX-License-Identifier: MIT
 *
 * The policy of a live mount (policy.h) and what of its budget is spent: asked before anything is
 * copied up, and changed while files are served. A mount without a name has none, and asking costs
 * it a look at a pointer; one without rules and budget is asked at the cost of a look at a flag.
 *
 * Its lock is a leaf of the order in mount.h, and held for a verdict, never over a system call.
 */
#ifndef PLYFS_POLICING_H
#define PLYFS_POLICING_H

#include "catalog.h"
#include "event.h"
#include "mount.h"
#include "own.h"

#include <stdbool.h>
#include <stdint.h>

struct policing;

/* The policy of the mount `id` as the catalog has it, and what its upper has moved so far. */
must_check int policing_create(struct catalog *catalog, const char *id, struct policing **policing);
void policing_destroy(struct policing *policing);

/* Takes the policy from the catalog anew; from when this returns it is in force. */
must_check int policing_renew(struct policing *policing, struct catalog *catalog, const char *id);

/* Whether there is anything to ask about; false for NULL. */
bool policing_is_on(const struct policing *policing);

/* Asks whether what lies at (parent, name) may be copied up: `event` says of it layer, type, size
 * and cause, `bytes` is what will be moved at most. -EROFS, or -EDQUOT where the budget does not
 * reach for that many; nothing is taken from it. */
must_check int policing_ask(struct mount *mount, uint32_t parent, const char *name,
                            const struct event *event, uint64_t bytes);

/* The same, and the bytes are taken from the budget until policing_settle() says how many were
 * moved. No two threads are given the same bytes. */
must_check int policing_take(struct mount *mount, uint32_t parent, const char *name,
                             const struct event *event, uint64_t bytes);
void policing_settle(struct mount *mount, uint64_t taken, uint64_t moved);

/* The answer was no, and somebody is told so: it goes into the ledger. */
void policing_note_denied(struct mount *mount, uint32_t parent, const char *name,
                          const struct event *event);

/* Something was copied up: where a rule warns of it, that goes into the ledger. */
void policing_note_done(struct mount *mount, uint32_t parent, const char *name,
                        const struct event *event);

#endif
