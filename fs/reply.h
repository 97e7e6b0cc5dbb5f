/* SPDX-License-Identifier: MIT
 *
 * Answers to the kernel. The one module that calls fuse_reply_*; errors come as -errno and are told
 * here. Attributes are given as they lie on disk; owners are told as the mount maps them. After a
 * reply nothing may touch the request, or the node for its sake.
 */
#ifndef PLYFS_REPLY_H
#define PLYFS_REPLY_H

#include "mount.h"

#include <fuse_lowlevel.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

void reply_error(fuse_req_t req, int err);
void reply_done(fuse_req_t req);
void reply_none(fuse_req_t req);
/* Good for that many seconds. */
void reply_attr(fuse_req_t req, double seconds, const struct stat *st);
#ifdef HAVE_STATX_OP
/* With the time of birth, where it is known. */
void reply_statx(fuse_req_t req, double seconds, const struct stat *st,
                 const struct statx_timestamp *birth);
#endif
/* `edition`: see told.h. */
void reply_entry(fuse_req_t req, struct validity valid, uint64_t id, uint32_t edition,
                 const struct stat *st);
/* "There is no such name", for that many seconds. */
void reply_negative(fuse_req_t req, double seconds);
void reply_create(fuse_req_t req, struct validity valid, uint64_t id, const struct stat *st,
                  const struct fuse_file_info *fi);
/* A lock that is in the way, or F_UNLCK. */
void reply_lock(fuse_req_t req, const struct flock *lock);
void reply_open(fuse_req_t req, const struct fuse_file_info *fi);
void reply_link_target(fuse_req_t req, const char *target);
void reply_bytes(fuse_req_t req, const void *data, size_t size);
/* Exactly `size` bytes, which `pipe` holds and then no longer does. */
void reply_piped(fuse_req_t req, int pipe, size_t size);
void reply_written(fuse_req_t req, size_t size);
void reply_xattr_size(fuse_req_t req, size_t size);
void reply_statfs(fuse_req_t req, const struct statvfs *st);
void reply_offset(fuse_req_t req, off_t offset);
void reply_ioctl(fuse_req_t req, const void *data, size_t size);

/* An entry as a readdirplus record. */
void reply_fill_entry(const struct mount *mount, struct validity valid, uint64_t id,
                      uint32_t edition, const struct stat *st, struct fuse_entry_param *entry);

#endif
