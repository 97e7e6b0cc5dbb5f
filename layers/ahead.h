/* SPDX-License-Identifier: MIT
 *
 * A file opened ahead of its need, by a thread that has nothing better to do (the one that tends
 * the tray, tray.h): who needs it does not wait for open(2) then. It is one file at a time, and it
 * may be opened in vain; so nothing is, before files have been wanted again and again.
 *
 * Locks: a mutex of those who ask and take, for which nobody waits. The one who works takes no lock
 * at all: it may be a thread that gets no time for a while.
 */
#ifndef PLYFS_AHEAD_H
#define PLYFS_AHEAD_H

#include "fdcache.h"
#include "own.h"

#include <stdint.h>
#include <sys/types.h>

struct ahead;

/* The cache and the tray, which may be NULL, are borrowed. NULL when out of memory; then the other
 * functions do nothing. */
struct ahead *ahead_create(struct fdcache *fds, struct tray *tray);

/* Nobody works for it or uses it any more. */
void ahead_destroy(struct ahead *ahead);

/* A file to be opened, as by openat(2); `ref` is what keeps `dir` open, or NULL where it stays open
 * in any case. */
struct ahead_file {
    int dir;
    struct fdref *ref;
    const char *name;
    int flags;
    mode_t mode;
};

/* The file is to be opened and kept for whoever takes `key`. Takes over its ref in every case. What
 * was opened before, and not taken, is closed. */
void ahead_ask(struct ahead *ahead, uint64_t key, const struct ahead_file *file);

/* The file that was opened for `key`, now the caller's; -1 where there is none. To be called
 * whenever one is wanted: so it is known whether it is worth opening the next. */
int ahead_take(struct ahead *ahead, uint64_t key);

/* One thread at a time works for it, from ahead_begin() to ahead_end(), after which nothing is
 * open, and calls ahead_work() meanwhile. */
void ahead_begin(struct ahead *ahead);
void ahead_work(struct ahead *ahead);
void ahead_end(struct ahead *ahead);

#endif
