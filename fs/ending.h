/* SPDX-License-Identifier: MIT
 *
 * What ends a mount from the side of its daemon: a signal, or that nobody is left who could use it.
 */
#ifndef PLYFS_ENDING_H
#define PLYFS_ENDING_H

#include "options.h"
#include "own.h"

/* Takes SIGTERM, SIGINT and SIGHUP from this thread and those it will make: a descriptor for
 * ending_wait(), the caller's, or -errno. */
must_check int ending_signals(void);

/* Somebody whose end ending_wait() is to heed; negative: nobody's. It is asked when the mount is
 * made and whoever mounts still waits for it, so that nobody can have gone unseen. */
int ending_neighbour(const struct options *options);

/* Waits until `done`, an eventfd, tells that the kernel has let go of the mount. Meanwhile a signal
 * unmounts options->mountpoint, lazily when somebody is inside, and a second one ends the process.
 * The end of everybody else in the mount namespace (inhabitant.h) unmounts in the same way: what is
 * still in use elsewhere is served on. Takes ownership of `neighbour`. */
void ending_wait(const struct options *options, int done, int signals, int neighbour);

#endif
