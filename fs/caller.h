/* SPDX-License-Identifier: MIT
 *
 * The caller's identity for the moment in which something is made: what is made belongs to the
 * caller, and its umask counts where no default ACL does. Identity and umask are the thread's own.
 */
#ifndef PLYFS_CALLER_H
#define PLYFS_CALLER_H

#include "own.h"

#include <fuse_lowlevel.h>
#include <stdbool.h>
#include <sys/stat.h>

/* Once, before threads are made: keeps capabilities across a change of fsuid (capabilities(7),
 * SECBIT_NO_SETUID_FIXUP), so that only ownership follows the caller; the kernel has checked what
 * the caller may do. Without privilege nothing is ever changed. */
void caller_init(void);

/* The ids that the request's caller has on disk. -EOVERFLOW when it has none there, as in a user
 * namespace. */
must_check int caller_ids(fuse_req_t req, uid_t *uid, gid_t *gid);

/* Whether the request's caller is in the group of a file, whose owner is as on disk. Of a caller
 * whose groups cannot be looked at, that is only known of the one that it acts under. */
must_check bool caller_is_in_group(fuse_req_t req, const struct stat *st);

/* What the thread makes has the very mode that it asks for, until it acts for a caller again. */
void caller_unmask(void);

/* The thread acts under these ids and with the caller's umask until caller_end(). */
void caller_begin(fuse_req_t req, uid_t uid, gid_t gid);
void caller_end(void);

#endif
