/* SPDX-License-Identifier: MIT
 *
 * What a mount's upper layer changes in what lies beneath, found from the upper alone: no walk of
 * the rootfs. A directory that was renamed without being copied (redirect) shows as removed at its
 * old place and as added, with all that it shows, at its new one.
 */
#ifndef PLYFS_CHANGES_H
#define PLYFS_CHANGES_H

#include "entry.h"
#include "own.h"
#include "stack.h"

enum change_kind { CHANGE_ADDED = 'A', CHANGE_CHANGED = 'C', CHANGE_DELETED = 'D' };

struct change {
    enum change_kind kind;
    const char *path;          /* from the root, without a slash in front */
    const struct entry *entry; /* what is shown there now; NULL when it was deleted */
    int upper;        /* the upper directory that the name is in; -1 in a renamed directory */
    const char *name; /* the last part of path */
    const struct sources *sources; /* what lies beneath that directory */
    bool replaced; /* an added or changed directory that shows nothing of a lower one of its name */
};

/* Calls `each` for every change, parents before what is in them and names in the order of their
 * bytes, until it returns something else than 0. A directory is changed when its own metadata
 * differ from what lies beneath or a name in it was added or deleted; a removed tree is one
 * deletion. */
must_check int changes_walk(const struct stack *stack,
                            int (*each)(void *context, const struct change *change), void *context);

#endif
