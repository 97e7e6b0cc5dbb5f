/* SPDX-License-Identifier: MIT
 *
 * Into the background: the parent waits until the mount is visible, or has failed, and ends with
 * that.
 */
#ifndef PLYFS_READY_H
#define PLYFS_READY_H

#include "own.h"

/* Forks; what the caller had left open is closed in the child. In the parent it does not return but
 * ends the process with the status that the child tells (or 1 when the child dies). The child is in
 * a session of its own and still has stderr. */
must_check int ready_background(void);

/* In the child: tells the status; a status of 0 also lets go of the terminal (fds 0 to 2 become
 * /dev/null, the working directory /), and where the parent does not wait any more it is as if the
 * daemon got SIGTERM. Only the first call counts; without ready_background() before it does
 * nothing. */
void ready_tell(int status);

#endif
