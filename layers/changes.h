/* SPDX-License-Identifier: MIT
 *
 * What a mount's upper layer changes in what lies beneath, found from the upper alone: no walk of
 * the rootfs. A directory that was renamed without being copied (redirect) is deleted at its old
 * place and added, with all that it shows, at its new one.
 */
#ifndef PLYFS_CHANGES_H
#define PLYFS_CHANGES_H

#include "entry.h"
#include "own.h"
#include "stack.h"

enum change_kind { CHANGE_ADDED = 'A', CHANGE_CHANGED = 'C', CHANGE_DELETED = 'D' };

/* All of it is borrowed, for the call that is told. */
struct change {
    enum change_kind kind;
    bool on_the_way;           /* a directory that is the same itself, but for something in it */
    bool replaced;             /* a directory that shows nothing of the one it had beneath */
    const char *path;          /* from the root, without a slash in front */
    const char *name;          /* the last part of it */
    const struct entry *entry; /* what is shown there now; absent when it was deleted */
    const struct entry *was;   /* what lies beneath; absent when it was added */
    int upper;                 /* the upper directory of the name; -1 where it has no upper part */
    const struct sources *sources; /* what shows through in that directory */
    const struct sources *below;   /* what lay there before: where `was` is; NULL: nothing */
};

/* Calls `each` for every change, a directory before what is in it and the names of a directory in
 * the order of their bytes, until it returns something else than 0. A removed tree is one change,
 * an added one a change for each name in it; every name of a changed inode is changed. */
must_check int changes_walk(const struct stack *stack,
                            int (*each)(void *context, const struct change *change), void *context);

/* The same as if nothing lay beneath: everything that is shown is told as added. */
must_check int changes_walk_all(const struct stack *stack,
                                int (*each)(void *context, const struct change *change),
                                void *context);

/* That of one directory: everything that is shown beneath it. `path` is its own, from the root,
 * `upper` its upper part (borrowed; -1: it has none), `sources` what shows through. */
must_check int changes_walk_beneath(const struct stack *stack, const char *path, int upper,
                                    struct sources *sources,
                                    int (*each)(void *context, const struct change *change),
                                    void *context);

#endif
