/* SPDX-License-Identifier: MIT
 *
 * Locks of files (fcntl(2), flock(2)) that are taken for others. Each owner has an open file of his
 * own, on which the kernel keeps his locks as it keeps those of open file descriptions: so it is
 * the kernel that says who excludes whom, and whoever locks the file on the host is among them.
 *
 * Nothing here waits: what cannot be had now is -EAGAIN.
 */
#ifndef PLYFS_LOCKBOOK_H
#define PLYFS_LOCKBOOK_H

#include "own.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lockbook;

/* Who wants which lock. */
struct lock_wish {
    uint64_t file;      /* what it is a lock of: a number that stays as long as it is open */
    uint64_t owner;     /* who has it, as the kernel numbers them, apart for each kind */
    uint64_t handle;    /* the open by which he asks */
    bool writes;        /* that open is for writing */
    bool whole;         /* flock(2): only the type counts */
    struct flock range; /* F_RDLCK, F_WRLCK or F_UNLCK; from SEEK_SET */
};

/* With at most so many open files. NULL when out of memory. */
must_check struct lockbook *lockbook_create(size_t most);
/* Lets go of all locks. NULL is fine. */
void lockbook_destroy(struct lockbook *book);

enum { LOCKBOOK_ALONE = -1 }; /* no file: nobody but the owners of this book is excluded */

/* Takes, changes or lets go of a lock. `fd` is the file, which is opened once more for a new owner
 * who takes one, or LOCKBOOK_ALONE. -EAGAIN: another excludes it; -ENOLCK: there can be no more
 * open files. */
must_check int lockbook_take(struct lockbook *book, int fd, const struct lock_wish *wish);

/* What would exclude it, as F_GETLK of fcntl(2) tells; l_pid is -1 where a lock is that of an open
 * file, as all of a book's are. */
must_check int lockbook_look(struct lockbook *book, int fd, const struct lock_wish *wish,
                             struct flock *found);

/* An owner of fcntl(2)'s locks has closed the file: he loses them all, whatever else he has it open
 * by. Whether there were any to lose. */
bool lockbook_leave(struct lockbook *book, uint64_t file, uint64_t owner);

/* An open has ended with the last descriptor of it: what was asked for by it last is lost, of
 * either kind. */
bool lockbook_close(struct lockbook *book, uint64_t file, uint64_t handle);

#endif
