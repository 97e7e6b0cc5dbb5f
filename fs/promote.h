/* SPDX-License-Identifier: MIT
 *
 * Promotion: seeing to it that a node is in the upper layer. The only caller of copy-up.
 * Every function may be called by several threads for the same node at once; one of them works, the
 * others find it done. No lock of mount.h may be held.
 *
 * The policy of the mount is asked before anything is copied (question.h): -EROFS, a rule denies
 * it; -EDQUOT, the budget does not reach.
 */
#ifndef PLYFS_PROMOTE_H
#define PLYFS_PROMOTE_H

#include "mount.h"
#include "own.h"

#include <sys/types.h>

/* The directory and all above it. -EROFS on a read-only tree. */
must_check int promote_dir(struct mount *mount, uint32_t index, const char *cause);

/* The same of a directory that was looked at before. Where it had to be brought up the view is
 * taken anew: it lies in the upper from then on, and is no stub. */
must_check int promote_dir_seen(struct mount *mount, struct node_view *dir, const char *cause);

/* The object with its metadata; where metacopy is on, the data may stay below. Of a hard-linked
 * inode it is enough that it is in the index. */
must_check int promote_meta(struct mount *mount, uint32_t index, const char *cause);

/* chmod(2) as the cause of a copy-up: what comes up has its new mode from the start. */
struct promote_mode {
    mode_t mode; /* the new permissions */
    bool done;   /* they are set, for it was copied up; else it is there, and they are not */
    bool known;  /* done, and `st` tells what stat(2) says of it now */
    struct stat st;
};
must_check int promote_with_mode(struct mount *mount, uint32_t index, struct promote_mode *wish,
                                 const char *cause);

/* The regular file with the first `limit` bytes of its data (-1: all). */
must_check int promote_data(struct mount *mount, uint32_t index, off_t limit, const char *cause);

/* As promote_meta, and this very name of it is in the upper directory afterwards. */
must_check int promote_name(struct mount *mount, uint32_t parent, const char *name,
                            const char *cause);

/* To be called before an inode gets or loses a name in the upper layer: the count of the names of a
 * hard-linked lower inode is made fit for it. */
must_check int promote_settle_links(struct mount *mount, uint32_t index);

/* Marks a directory as one that holds entries with an origin, as the kernel expects. */
must_check int promote_mark_impure(struct mount *mount, uint32_t index);

#endif
