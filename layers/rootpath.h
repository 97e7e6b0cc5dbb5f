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

/* Where a path led. With entry.present false nothing is there, and `path` says where it would be.
 * Of what is there already parts may be symlinks; in what is not ".." goes back by one name. */
struct rootpath {
    char *path;          /* resolved, from the root, without a slash in front; "" is the root */
    struct entry entry;  /* of what is there */
    struct entry parent; /* of the directory that it is in; of the root itself the root */
    int upper;           /* the upper directory of `parent`, or -1 */
};
#define ROOTPATH_NONE ((struct rootpath){.upper = -1})
void rootpath_finish(struct rootpath *found);
#define cleanup_rootpath cleanup(rootpath_finish)

/* The last part of it; "." for the root. */
const char *rootpath_name(const struct rootpath *found);

/* Finds `path`. `follow`: a symlink at its end too; one with a slash behind it always is. -ENOTDIR
 * when something on the way, or before a slash at the end, is there and is no directory, -ELOOP,
 * -ENAMETOOLONG; absent is 0. After a failure *found is ROOTPATH_NONE. */
must_check int rootpath_find(const struct stack *stack, const char *path, bool follow,
                             struct rootpath *found);

/* What was found, as an added change (changes.h), which borrows from it; for place.h. */
struct change rootpath_change(const struct rootpath *found);

/* The upper part of a directory that was found: a descriptor of the caller's, -ENOENT when it has
 * none. */
must_check int rootpath_open_upper(const struct rootpath *found);

/* Tells of everything that is shown beneath the directory that was found, as changes_walk_all()
 * does of the whole: change.path is from the root of the union. The directory itself is not told.
 */
must_check int rootpath_walk(const struct stack *stack, const struct rootpath *found,
                             int (*each)(void *context, const struct change *change),
                             void *context);

#endif
