/* SPDX-License-Identifier: MIT
 *
 * The books of the hard-link index (work/index): how many names the union shows of an inode that
 * was copied up, of which some names may still be in a lower layer alone. The count is written in
 * the nlink attribute relative to a real one, as the kernel does (fs/overlayfs/util.c,
 * ovl_nlink_start): "U+n" to the upper inode's, which goes with the names that come and go there,
 * and "L+n" to the lower inode's, which never changes: it holds while a name is given that was
 * shown before.
 */
#ifndef PLYFS_LINKINDEX_H
#define PLYFS_LINKINDEX_H

#include "own.h"
#include "stack.h"

#include <sys/stat.h>

/* The count that is shown of (dir, name), an indexed inode with `upper` real links, one of them the
 * index's. `lower` is the lower inode's count, or 0: then it is looked up by the origin where that
 * is needed and allowed. `fallback` where the attribute is missing, absurd or cannot be told. */
nlink_t linkindex_shown(const struct stack *stack, int dir, const char *name, nlink_t upper,
                        nlink_t lower, nlink_t fallback);

/* Writes the count `shown` relative to the upper inode's. */
must_check int linkindex_write(const struct stack *stack, const char *index_name, nlink_t shown);

/* Gives an indexed inode, of which the union shows `shown` names, one of these in the upper layer.
 * The times of the directory stay. A crash, and a failure after the link is made (which is not
 * told), leave the count as it was; where the lower inode cannot be asked for its own (see
 * stack_origin_stat()), that may leave it one too high. */
must_check int linkindex_link(const struct stack *stack, const char *index_name, int dst_dir,
                              const char *dst_name, nlink_t shown);

/* The same of an inode that has just been put into the index, its count relative to the lower
 * one's.
 */
must_check int linkindex_link_first(const struct stack *stack, const char *index_name, int dst_dir,
                                    const char *dst_name, nlink_t shown);

/* Before a name of an indexed inode comes or goes: its count must be relative to the upper one, as
 * in the kernel (ovl_nlink_start), which then changes along. */
must_check int linkindex_settle(const struct stack *stack, const char *index_name);

/* Removes what lies in the index and of which no name is shown any more: a daemon was killed
 * between taking the last name and this. Errors are not told: it is tried again at the next mount.
 */
void linkindex_sweep(const struct stack *stack);

#endif
