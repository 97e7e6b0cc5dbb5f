/* SPDX-License-Identifier: MIT
 *
 * The control socket of a named mount, STORE/mounts/ID/control: whoever owns the store asks the
 * daemon there. It is outside the mount, so that nothing inside can reach it; the caller must be
 * the daemon's own user or root (SO_PEERCRED). A mount without a name has one in the abstract
 * namespace, called after its device number ("plyfs/0:42"), and knows of what follows "stats",
 * "trace" and "layers" alone. One JSON object each way in a line:
 *
 *   {"do": "attach", "destination": "/data"}                the row is in the catalog already
 *   {"do": "detach", "destination": "/data", "lazy": false}
 *   {"do": "policy"}                                        likewise
 *   {"do": "state"}
 *   {"do": "stats"}                                         and back "stats", see vitals.h
 *   {"do": "trace", "all": false, "filters": ["op=write"]}  and back "stream", see below
 *   {"do": "layers"}                                        and back "layers", see below
 *
 * and back {"ok": true, ...} or {"ok": false, "errno": "EBUSY", "why": "words"}. With a state comes
 * "state": {"Profile": "tracked", "Passthrough", "Uring", "Traced" (it was mounted with --trace),
 * "Readers" (of traces), "Device": "0:42", the number of its filesystem, "Attributes": "trusted",
 * "user" or "none", "Whiteouts": "device" or "file", "Recorded": the attribute in which owners of
 * the upper are recorded, or null, "Volumes":
 * [{"Destination", "Resolved" (symlinks followed), "Source" (null of a tmpfs), "ReadOnly",
 * "Cached", "Passthrough", "Open" (files and directories), and with a limit "Limit" and "Used",
 * bytes}]}.
 *
 * Layers are {"Roots": [{"Fd" (the daemon's number of the open directory), "Device", "Inode",
 * "Path" (where it was, when it was set apart: stack.h)}], the topmost first, "Writable" (the first
 * is the upper), "Index" (a number too, or -1), "Attributes", "Whiteouts", "Recorded" and
 * "Volumes": as with a state, but each volume has "Fd" too, -1 where nothing of the host's is
 * shown}.
 *
 * Behind an answer that has "stream": true come lines without end, an object each (traceline.h),
 * until one of the two closes the socket.
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

/* The two parts of that: a connection, or -errno; and the one question that it is for. */
must_check int control_connect(const struct store *store, const struct mount_row *row, int seconds);
must_check int control_ask_on(int fd, json_t *request, int seconds, json_t **answer);

/* A connection to the daemon of the mount without a name that a path is in. -ENOTCONN: it is in
 * none; -EACCES: in one of another user. */
must_check int control_connect_path(const char *path, int seconds);

/* The process on the other side, as this one sees it. -ESRCH: it cannot see it. */
must_check int control_peer(int fd, pid_t *process);

/* Asks what is answered with the beginning of a stream, which is to be closed. Takes the connection
 * over in every case. */
struct control_stream;
must_check int control_follow(int fd, json_t *request, int seconds, struct control_stream **stream,
                              json_t **answer);
void control_stream_close(struct control_stream *stream);

/* What to poll(2) for once control_stream_next() has nothing more: lines may have come with the
 * answer. */
int control_stream_fd(const struct control_stream *stream);

/* The next line, the caller's: 1; 0 when none has come whole yet; -ECONNRESET at the end. */
must_check int control_stream_next(struct control_stream *stream, json_t **line);

/* The words of a failed answer: its "why", or what errno says. */
const char *control_why(const json_t *answer, int err);

/* ---- answering: the daemon ---- */

struct control;

/* Who is asked, in a thread of its own that takes no signals, with one object at a time. */
struct control_host {
    /* What it returns, if not NULL, is sent. */
    json_t *(*answer)(void *context, const json_t *request);
    /* Takes over a client whose request is answered with a stream, and sends him that answer first,
     * when it does not miss what happens after it any more. Where it fails the client is not taken,
     * and is refused. NULL: nothing is ever answered so. */
    int (*stream)(void *context, const json_t *request, const json_t *answer, int client);
    void *context;
};

/* Listens in the directory of the mount `id`, whose lock the caller holds: a socket that is there
 * already is a dead daemon's. The store is not needed afterwards. NULL when it could not be begun
 * (told). Of the process that serves: no fork later. */
struct control *control_serve(const struct store *store, const char *id,
                              const struct control_host *host);
/* The same for a mount without a name, by the number of its device. Nothing is told. */
struct control *control_serve_device(dev_t device, const struct control_host *host);
/* Waits until what is being answered is answered, and removes the socket. NULL is fine. */
void control_stop(struct control *control);

/* An answer that says no; NULL when out of memory. */
json_t *control_refusal(int err, const char *why);

#endif
