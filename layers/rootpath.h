/* SPDX-License-Identifier: MIT
 *
 * A path inside a union, found without mounting it: symlinks are resolved inside, as chroot(2)
 * would, ".." never leaves, and at most 40 links are followed. What the union shows is decided by
 * resolve.h alone.
 */
#ifndef PLYFS_ROOTPATH_H
#define PLYFS_ROOTPATH_H

#include "changes.h"
#include "entry.h"
#include "own.h"
#include "stack.h"

/* Where a path led. With entry.present false nothing is there, and `path` says where it would be:
 * the part that exists resolved, the rest as it was said. */
struct rootpath {
    char *path;          /* resolved, from the root, without a slash in front; "" is the root */
    struct entry entry;  /* of what is there */
    struct entry parent; /* of the directory that it is in; of the root itself the root */
    struct fdref *upper; /* the upper directory of `parent`, or NULL */
};
void rootpath_finish(const struct stack *stack, struct rootpath *found);

/* Finds `path`. `follow`: a symlink at its end too. -ENOTDIR when something on the way is there and
 * is no directory, -ELOOP, -ENAMETOOLONG; absent is 0. */
must_check int rootpath_find(const struct stack *stack, const char *path, bool follow,
                             struct rootpath *found);

/* Tells of everything that is shown beneath the directory that was found, as changes_walk_all()
 * does of the whole: change.path is from the root of the union. The directory itself is not told.
 */
must_check int rootpath_walk(const struct stack *stack, const struct rootpath *found,
                             int (*each)(void *context, const struct change *change),
                             void *context);

#endif
