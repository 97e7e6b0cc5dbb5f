/* SPDX-License-Identifier: MIT
 *
 * `mount -o remount`: other flags for a mount that is there. mount(8) hands it to its helper with
 * all options that it knows of the mount. What the flags are is the kernel's; layers and all else
 * that a daemon was started with stay as they are, as with the kernel's overlayfs, whatever is said
 * of them.
 */
#ifndef PLYFS_REMOUNT_H
#define PLYFS_REMOUNT_H

#include "options.h"

/* Gives the mount on options->mountpoint the flags that the options say, and no others. A mount
 * whose daemon can only read is not made writable (-EROFS), and whether reading leaves dates, which
 * a daemon is told when it starts, is not changed (-EINVAL). A failure is told on stderr. */
must_check int remount_run(const struct options *options);

#endif
