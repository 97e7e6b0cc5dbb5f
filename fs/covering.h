/* SPDX-License-Identifier: MIT
 *
 * How the routes of a mount stand to a path in it: which ones cover it, and which lie beneath.
 */
#ifndef PLYFS_COVERING_H
#define PLYFS_COVERING_H

#include "named.h"
#include "nameset.h"
#include "own.h"

#include <limits.h>
#include <stdbool.h>

enum covering {
    COVERING_NONE,
    COVERING_OVER,    /* the route covers the path */
    COVERING_BENEATH, /* it lies beneath the path */
};

/* A path in the mount, without slashes in front: as it was said, and as it is in the union once its
 * symlinks are resolved. */
struct covering_path {
    const struct stack *stack; /* the union */
    const char *said;          /* cleaned: volume_path_clean() */
    const char *resolved;
    struct nameset *places; /* where the routes lie that were compared before, outer ones first */
};

/* `path`, absolute, cleaned for `said`, where it is `resolved` in the union; NULL: it leads nowhere
 * there. What ".." makes of a symlink only the union can tell. The caller's, or NULL. */
char *covering_said(const char *path, const char *resolved);

/* How a route stands to the path. */
struct covered {
    enum covering how;
    const char *rest; /* of one that covers it: what of the path lies beneath its destination (""
                         right at it), a part of `path`; else NULL */
    /* Of one that lies beneath: the name in the path by which it is reached, which is "" where
     * only a symlink leads there; and whether that is its destination. */
    char name[NAME_MAX + 1];
    bool right_there;
};
must_check int covering_of(const struct covering_path *path, const char *destination,
                           struct covered *covered);

/* Calls `each` for every route that covers the path or lies beneath it, until it returns something
 * else than 0. Outer ones come before those inside them, so the last that covers is the
 * one that shows the path. */
must_check int covering_each(struct store *store, const struct mount_row *row,
                             struct covering_path path,
                             int (*each)(void *context, const struct mount_volume_row *route,
                                         const struct covered *covered),
                             void *context);

#endif
