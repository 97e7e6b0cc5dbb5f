/* SPDX-License-Identifier: MIT
 *
 * Patterns of paths in a mount: *, ? and [...] as fnmatch(3) has them, within one name; ** as a
 * whole name stands for any number of names, also none. A pattern that does not begin with / may
 * begin anywhere: "*.conf" is a name at any depth, "etc/passwd" two of them.
 */
#ifndef PLYFS_PATHGLOB_H
#define PLYFS_PATHGLOB_H

#include <stdbool.h>

/* `path` is absolute. Cost: the number of names, for each ** once more. */
bool pathglob_matches(const char *pattern, const char *path);

#endif
