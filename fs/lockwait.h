/* SPDX-License-Identifier: MIT
 *
 * Requests that wait for a lock (F_SETLKW, flock(2) without LOCK_NB) until it is free, or until
 * whoever waits is interrupted. One thread tries again for all of them: at once when a lock is let
 * go of in the mount, and some hundred times a second, because the host tells nobody.
 */
#ifndef PLYFS_LOCKWAIT_H
#define PLYFS_LOCKWAIT_H

#include "fdcache.h"
#include "lockbook.h"
#include "own.h"

#include <fuse_lowlevel.h>

struct lockwait;

/* NULL when out of memory. The book and the cache are borrowed. */
must_check struct lockwait *lockwait_start(struct lockbook *book, struct fdcache *fds);

/* Answers EINTR to all that are left. NULL is fine. */
void lockwait_stop(struct lockwait *lockwait);

/* What the kernel knows the request by that the calling thread serves. */
extern _Thread_local uint64_t lockwait_serves;

/* Answers `req`, which the calling thread serves, when it has the lock, or cannot have it. It was
 * asked for in vain of the file `ref`, which is released then (NULL: of LOCKBOOK_ALONE). One that
 * is not patient (F_SETLK, LOCK_NB) waits too, for 2 ms: the kernel tells of the last close(2) of
 * an open file when that has returned already, and in another mount this may be heard before. */
void lockwait_add(struct lockwait *lockwait, fuse_req_t req, const struct lock_wish *wish,
                  struct fdref *ref, bool patient);

/* Whoever sent the request `unique` waits for its answer no more. Fine for any request. */
void lockwait_interrupt(struct lockwait *lockwait, uint64_t unique);

/* A lock may be free. */
void lockwait_look(struct lockwait *lockwait);

#endif
