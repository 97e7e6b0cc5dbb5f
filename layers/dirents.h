/* SPDX-License-Identifier: MIT
 *
 * The entries of a directory, read in large pieces and nothing else: readdir(3) asks three things
 * more of each directory that it opens.
 */
#ifndef PLYFS_DIRENTS_H
#define PLYFS_DIRENTS_H

#include "own.h"

#include <dirent.h>

/* Calls `each` for every entry but "." and ".." of the directory `dir`, which may be O_PATH and
 * stays as it is: it is opened anew. `fd`, which `each` is told, is that open directory. What
 * `each` returns, if not 0, ends the reading and is returned. 0 or -errno. */
must_check int dirents_each(int dir, int (*each)(void *context, int fd, const struct dirent *entry),
                            void *context);

/* The same of `fd`, which is open for reading and at its beginning: it is at the end afterwards. */
must_check int dirents_read(int fd, int (*each)(void *context, int fd, const struct dirent *entry),
                            void *context);

#endif
