/* SPDX-License-Identifier: MIT
 *
 * Requests that come through io_uring. libfuse has one thread for each processor, bound to it, and
 * the kernel gives a request to the thread of the processor that its client is on (kernel document
 * fuse-io-uring.rst). So client and thread share one from the beginning; what is to be seen to is
 * that the client is woken there, too (vigil.h).
 */
#ifndef PLYFS_RINGS_H
#define PLYFS_RINGS_H

#include "meter.h"
#include "own.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct fuse_req;
struct fuse_session;
struct rings;
struct vigil;

/* Serves until the session ends, by libfuse's own loop: it alone ends the threads of the rings. */
void rings_serve(struct fuse_session *session);

/* Watches who asks, and keeps `vigil` (borrowed) for a client that is alone. NULL when out of
 * memory, or without a vigil: then nobody is watched. */
must_check struct rings *rings_watch(struct vigil *vigil);
void rings_free(struct rings *rings);

/* The calling thread begins to serve `op` for `client`, a thread id or 0, who wants to read
 * `length` bytes. Any thread may call this. */
void rings_note(struct rings *rings, pid_t client, enum meter_op op, size_t length);

/* Whether `request` came through a ring. */
bool rings_carry(struct fuse_req *request);

/* The calling thread, which read the device last, waits for a moment before it does so again. */
void rings_let_gather(void);

#endif
