/* SPDX-License-Identifier: MIT
 *
 * Directories seen through a mount of our own, which nobody else sees, as the kernel's overlayfs
 * has its layers (clone_private_mount()): what is mounted beneath them is not there, and whoever
 * reads in it leaves no date behind, also where the kernel reads by itself (a symbolic link, a file
 * that is passed through). It takes the right to mount.
 */
#ifndef PLYFS_OWNVIEW_H
#define PLYFS_OWNVIEW_H

#include "own.h"

/* Of what reading leaves no date. */
enum ownview_undated { OWNVIEW_DATED = 0, OWNVIEW_UNDATED_DIRS = 1, OWNVIEW_UNDATED = 2 };

/* The directory alone, open for reading. -EPERM without the right to mount, -EINVAL where what is
 * hidden there is not this user namespace's to see. */
must_check int ownview_of(int dir, enum ownview_undated undated);

/* Opens `count` directories once more: views[i] is the descriptor of what dirs[i] is, and real[i]
 * its path without symlinks, or NULL. Those that lie on one mount share one view, and names can be
 * moved between them as before. -1 where that cannot be had. */
void ownview_open(const int *dirs, char *const *real, unsigned count, enum ownview_undated undated,
                  int *views);

#endif
