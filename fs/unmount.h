/* SPDX-License-Identifier: MIT
 *
 * Taking a mount away, as root or through fusermount3.
 */
#ifndef PLYFS_UNMOUNT_H
#define PLYFS_UNMOUNT_H

#include "own.h"

#include <stdbool.h>

/* Unmounts what is mounted on `at`; `lazy`: out of sight at once, ended when the last one has left.
 * A failure is told on stderr. */
must_check int unmount_path(const char *at, bool lazy);

/* Takes a mount away whose daemon is dead. Where nothing is mounted, or something that is alive,
 * nothing is done or told. */
void unmount_dead_path(const char *at);

#endif
