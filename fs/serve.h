/* SPDX-License-Identifier: MIT
 *
 * Serving: the session with the kernel, its threads and signals, from mount(2) to the end.
 */
#ifndef PLYFS_SERVE_H
#define PLYFS_SERVE_H

#include "mount.h"
#include "options.h"
#include "own.h"

/* Mounts on options->mountpoint and serves until the mount is gone. SIGTERM, SIGINT and SIGHUP
 * unmount (lazily when somebody is still inside), and so does the end of everybody else in the
 * mount namespace (inhabitant.h); a second signal ends at once. 0, or -errno when the
 * mount could not be made (told on stderr). `guest` may be NULL. */
struct serve_guest {
    /* Called when requests are about to be served, and when the last was: 0, or what ends it. */
    int (*begin)(void *context, struct mount *mount);
    void (*end)(void *context);
    void *context;
};
must_check int serve_run(const struct options *options, struct mount *mount,
                         const struct serve_guest *guest);

#endif
