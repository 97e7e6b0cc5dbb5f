/* SPDX-License-Identifier: MIT
 *
 * The control socket of a named mount, STORE/mounts/ID/control: whoever owns the store asks the
 * daemon there. It is outside the mount, so that nothing inside can reach it; the caller must be
 * the daemon's own user or root (SO_PEERCRED). One JSON object each way in a line:
 *
 *   {"do": "attach", "destination": "/data"}                the row is in the catalog already
 *   {"do": "detach", "destination": "/data", "lazy": false}
 *   {"do": "policy"}                                        likewise
 *   {"do": "state"}
 *
 * and back {"ok": true, ...} or {"ok": false, "errno": "EBUSY", "why": "words"}. With a state comes
 * "state": {"Profile": "tracked", "Passthrough", "Uring", "Attributes": "trusted", "user" or
 * "none", "Whiteouts": "device" or "file", "Volumes": [{"Destination", "Resolved" (symlinks
 * followed), "Source" (null of a tmpfs), "ReadOnly", "Cached", "Passthrough", "Open" (files and
 * directories), and with a limit "Limit" and "Used", bytes}]}.
 */
#ifndef PLYFS_CONTROL_H
#define PLYFS_CONTROL_H

#include "own.h"
#include "store.h"

#include <jansson.h>
#include <stdbool.h>

/* ---- asking ---- */

/* Asks the daemon of `row`; waits `seconds` for the answer. `request` is taken over, and NULL is
 * -ENOMEM. 0 and *answer (the caller's) when it said ok; else -errno, and *answer, where it is not
 * NULL, has its "why". -ENOTCONN: no daemon serves it; -ETIMEDOUT; -EPROTO: what came back is no
 * answer. Nothing is told on stderr. */
must_check int control_ask(const struct store *store, const struct mount_row *row, json_t *request,
                           int seconds, json_t **answer);

/* The words of a failed answer: its "why", or what errno says. */
const char *control_why(const json_t *answer, int err);

/* ---- answering: the daemon ---- */

struct control;

/* Listens in the directory of the mount `id`, whose lock the caller holds: a socket that is there
 * already is a dead daemon's. `answer` is called in a thread of its own, which takes no signals,
 * with one object at a time; what it returns, if not NULL, is sent. The store is not needed
 * afterwards. NULL when it could not be begun (told). Of the process that serves: no fork later. */
struct control *control_serve(const struct store *store, const char *id,
                              json_t *(*answer)(void *context, const json_t *request),
                              void *context);
/* Waits until what is being answered is answered, and removes the socket. NULL is fine. */
void control_stop(struct control *control);

/* An answer that says no; NULL when out of memory. */
json_t *control_refusal(int err, const char *why);

#endif
