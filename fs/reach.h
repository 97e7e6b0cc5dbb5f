/* SPDX-License-Identifier: MIT
 *
 * From a word to the daemon that it means: a named mount by its name, id or mountpoint, or any
 * mount by a path in it, which has a slash.
 */
#ifndef PLYFS_REACH_H
#define PLYFS_REACH_H

#include "own.h"

/* A connection to its control socket, and what to call it (the caller's). Every failure is told on
 * stderr; `root` is what --root said. */
must_check int reach(const char *root, const char *word, char **name);

#endif
