/* SPDX-License-Identifier: MIT
 *
 * A mount that no store keeps, looked at from outside: its layers are those that its daemon has
 * open. They are opened anew by the numbers of its descriptors (/proc/PID/fd, proc(5)), so they are
 * the very directories that it shows, whatever their names lead to meanwhile, or here.
 */
#ifndef PLYFS_BORROWED_H
#define PLYFS_BORROWED_H

#include "inquiry.h"
#include "own.h"
#include "stack.h"

#include <jansson.h>
#include <sys/types.h>

struct borrowed {
    struct stack stack;
    struct fdcache *fds;
    json_t *layers; /* as the daemon told them: control.h */
    pid_t daemon;
    char *inside; /* where in the mount the path is, with a slash in front */
};

/* Opens the layers of the mount that a path of the host lies in. Symlinks before the mountpoint are
 * followed, those in the mount are not; what is not there in the mount may be asked for. -ENOTCONN,
 * and nothing is told: it lies in no mount without a name. Else what is wrong is on stderr. */
must_check int borrowed_open(const char *path, struct borrowed *borrowed);
void borrowed_close(struct borrowed *borrowed);
#define cleanup_borrowed cleanup(borrowed_close)

/* Adds the volumes of the mount to what is told of a path in it. */
must_check int borrowed_add_volumes(const struct borrowed *borrowed, struct inquiry *inquiry);

#endif
