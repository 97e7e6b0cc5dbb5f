/* SPDX-License-Identifier: MIT
 *
 * Extended attributes of a name in an open directory; with name "" of the descriptor itself, which
 * may be an O_PATH one. A symlink at the end is never followed. Lengths are in bytes; failures are
 * -errno as in xattr(7).
 */
#ifndef PLYFS_XATTR_H
#define PLYFS_XATTR_H

#include "own.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* All names, each with its terminating 0. With size 0 the length there is. */
must_check ssize_t xattr_list(int dir, const char *name, char *names, size_t size);

/* All names in memory of their own (*names, the caller's to free); *names is NULL where there are
 * none. */
must_check ssize_t xattr_list_all(int dir, const char *name, char **names);

/* The length of a value; with size 0 it is only measured. */
must_check ssize_t xattr_get(int dir, const char *name, const char *attr, void *value, size_t size);

/* `flags` as in setxattr(2). */
must_check int xattr_set(int dir, const char *name, const char *attr, const void *value,
                         size_t size, int flags);
must_check int xattr_remove(int dir, const char *name, const char *attr);

/* For tests: goes through /proc/self/fd also where the kernel has the *xattrat calls. */
void xattr_use_proc(bool always);

#endif
