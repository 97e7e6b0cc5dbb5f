/* SPDX-License-Identifier: MIT
 *
 * Two paths made one: what lies where is told by a directory's path and a name in it.
 */
#ifndef PLYFS_PATHJOIN_H
#define PLYFS_PATHJOIN_H

#include <stdlib.h>
#include <string.h>

/* "front/tail", or the one of the two that is not empty; the caller's to free. NULL when out of
 * memory. */
static inline char *path_join(const char *front, const char *tail)
{
    const size_t before = strlen(front), after = strlen(tail) + 1;
    const size_t slash = before > 0 && after > 1;
    char *path = malloc(before + slash + after);
    if (!path)
        return NULL;
    memcpy(path, front, before);
    path[before] = '/';
    memcpy(path + before + slash, tail, after);
    return path;
}

#endif
