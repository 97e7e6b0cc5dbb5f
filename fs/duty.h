/* SPDX-License-Identifier: MIT
 *
 * On duty: the threads that read the device and answer.
 *
 * One thread at a time, the leader, reads; the others wait on a condition. So a lone client talks
 * to one thread, which after each answer looks for the next request for some 50 us before it
 * sleeps, where that is of use (pace.h; vigil.h sees to it that the client wakes soon), and several
 * clients get several threads. What nobody waits for (FORGET, RELEASE) is served at once and is no
 * sign of a second client. One waiter is the watch: as long as requests are served it looks every
 * 2 ms whether one of them takes long (a read from a cold disk, a network filesystem) and if so
 * leads in the place of the thread that serves it. An idle mount sleeps and uses no processor.
 *
 * Of two processors each has a client as long as several ask at once (crowd.h). Then two threads
 * read, the leader and a deputy, one on each processor: whom either answers is there already, or
 * has less far to go than if he had to wait for one thread.
 */
#ifndef PLYFS_DUTY_H
#define PLYFS_DUTY_H

#include "mount.h"
#include "own.h"

#include <stdbool.h>

struct duty;
struct fuse_session;
struct vigil;

/* All is borrowed, until duty_end(). */
struct duty_plan {
    struct fuse_session *fuse; /* whose device does not block */
    struct mount *mount;
    struct vigil *vigil; /* may be NULL */
    unsigned threads;    /* 0: as many as are of use */
    bool spins;          /* whoever reads may look for a while before it sleeps */
    int done;            /* an eventfd, written to at the end of the session */
};

/* Starts the threads. NULL where not one can be had, or memory. */
must_check struct duty *duty_start(const struct duty_plan *plan);

/* How many threads there are. */
unsigned duty_count(const struct duty *duty);

/* Waits until all have ended, as they do after the session, and frees. NULL is fine. */
void duty_end(struct duty *duty);

#endif
