/* SPDX-License-Identifier: MIT
 *
 * Who keeps a directory in use: processes that work in it, have it as their root, or have a file of
 * it open, as /proc tells. Those of other users are seen by root alone.
 */
#ifndef PLYFS_HOLDERS_H
#define PLYFS_HOLDERS_H

#include "own.h"

#include <stdint.h>
#include <sys/types.h>

/* Lasts for the call that is told of it. */
struct holder {
    pid_t pid;
    char name[32];
    const char *path; /* what it holds, as it sees it */
};

/* Calls `each` once for every process that holds something at or beneath `inside`, an absolute path
 * in the filesystem that is mounted on `mountpoint`, until it returns something else than 0. What
 * has an inode number below `least` does not count: so what a volume shows is told from what it
 * hides (stack.h). A process of another mount namespace is found too, where that filesystem is its
 * root. */
must_check int holders_each(const char *mountpoint, const char *inside, uint64_t least,
                            int (*each)(void *context, const struct holder *holder), void *context);

/* "sleep (12), vi (99)" and at most so many, the caller's to free; NULL where nobody is found. */
char *holders_words(const char *mountpoint, const char *inside, uint64_t least, unsigned most);

#endif
