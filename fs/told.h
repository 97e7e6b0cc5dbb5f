/* SPDX-License-Identifier: MIT
 *
 * Directories: who was told of their attributes, and is to ask again because they have changed.
 *
 * Whoever asks may get no processor to take the answer in until somebody else has changed the
 * directory. Of a file the kernel then sees that the answer is too old; a change of a directory's
 * names it does not count (fs/fuse/dir.c: fuse_dir_changed()), and would keep an answer from before
 * it. An invalidation it does count. So when a directory changes that another thread than the
 * changing one was told of, the kernel is told that what it has heard so far is no longer so.
 */
#ifndef PLYFS_TOLD_H
#define PLYFS_TOLD_H

#include "mount.h"

/* The asking thread is about to be told of a node. To be said before its attributes are read. */
void told_before(struct mount *mount, const struct node_view *view);

/* The same where they have to be read first, because a name is looked up. To be asked before: how
 * often names have changed, or have come up. */
must_check unsigned told_so_far(struct mount *mount);
/* And to be said after, with that: for how long what was found is good. Of a directory, when names
 * have changed or come up meanwhile, it is not. */
must_check struct validity told_after(struct mount *mount, const struct node_view *view,
                                      unsigned before);

/* Which of those it is that had the node's number one after the other: of a symbolic link in a
 * plain tree, else 0. The kernel keeps the target of a link whose number and edition are what they
 * were, and the host may put another in its place, to which many filesystems give the number that
 * has just come free. */
must_check uint32_t told_edition(struct mount *mount, const struct node_view *view,
                                 const struct stat *st);

/* What a directory shows has changed for the asking thread, and names_change() or names_rise() was
 * said after that: to be said before it is answered. */
void told_changed(struct mount *mount, uint32_t index);

#endif
