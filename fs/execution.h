/* SPDX-License-Identifier: MIT
 *
 * Whether a program in a volume may be run: a bind mount of the same directory keeps to what the
 * filesystem there is mounted with, noexec and nosuid (mount(2)), and so do we.
 */
#ifndef PLYFS_EXECUTION_H
#define PLYFS_EXECUTION_H

#include "mount.h"
#include "own.h"

#include <stdbool.h>
#include <sys/types.h>

/* Whether an open with these flags is execve(2)'s. */
bool execution_is_meant(int flags);

/* Of a file of a plain tree that this caller wants to execute: 0, or -EACCES on noexec, and on
 * nosuid where the program would give him another user, group or capabilities. There the kernel
 * would run it without; here it cannot be told to. */
must_check int execution_check(struct mount *mount, const struct node_view *view, uid_t uid,
                               gid_t gid);

#endif
