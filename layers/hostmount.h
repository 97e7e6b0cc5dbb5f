/* SPDX-License-Identifier: MIT
 *
 * A filesystem of the host's, mounted on a directory by mount(8), which knows the helpers of nfs
 * and cifs. No shell has a part in it. Where the caller may not mount, mount(8) says so.
 */
#ifndef PLYFS_HOSTMOUNT_H
#define PLYFS_HOSTMOUNT_H

#include "own.h"

#include <stdbool.h>

struct hostmount {
    const char *type, *flags, *device; /* flags: as behind -o, or NULL */
    const char *path;                  /* absolute */
};

/* mount -t TYPE [-o FLAGS] -- DEVICE PATH. Its words are on stderr; -EIO when it failed,
 * -ETIMEDOUT when it did not end within `seconds` and was killed, -ENOENT when there is none. */
must_check int hostmount_mount(const struct hostmount *mount, int seconds);

/* Whether something is mounted on the directory, here in this mount namespace: 1, 0, or -errno.
 * *answers: it can be opened, too, which what has lost its server cannot. */
must_check int hostmount_is_mounted(const char *path, bool *answers);

/* Unmounts it; one that somebody is still in goes out of sight now, and ends when they leave. */
must_check int hostmount_unmount(const char *path);

#endif
