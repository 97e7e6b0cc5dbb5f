/* SPDX-License-Identifier: MIT
 *
 * A walk through a directory tree, step by step, always in the same order: a directory before what
 * is in it, names in the order of their bytes. A `.wh.NAME` comes where NAME would, so that the
 * order does not depend on how a layer writes its whiteouts. Nothing is left out, no symlink is
 * followed; a tree of any depth costs a bounded number of descriptors.
 */
#ifndef PLYFS_TREEWALK_H
#define PLYFS_TREEWALK_H

#include "own.h"

#include <stdbool.h>
#include <sys/stat.h>

/* Lasts until the next step. */
struct walk_step {
    const char *path; /* from the root of the tree; "." is the root */
    const char *leaf; /* the last part of it */
    /* Where it can be reached: a name in a directory that is open. Of a directory, its own
     * descriptor and the name "". */
    int dir;
    const char *name;
    struct stat st;
    bool leaving; /* a directory once more, after everything in it */
};

struct treewalk;

/* Begins at the directory `tree` (borrowed; an O_PATH descriptor will do). NULL and *err. */
must_check struct treewalk *treewalk_open(int tree, int *err);
void treewalk_close(struct treewalk *walk);

/* The next step: 1, 0 at the end, -errno. -ESTALE: a directory was moved meanwhile. After a failure
 * the walk is over. */
must_check int treewalk_next(struct treewalk *walk, struct walk_step *step);

/* Leaves out what is in the directory that was just entered; it is left next. */
void treewalk_skip(struct treewalk *walk);

/* Whether the current step has a sibling `name`; whether the directory just entered holds it. */
bool treewalk_beside(const struct treewalk *walk, const char *name);
bool treewalk_within(const struct treewalk *walk, const char *name);

/* Where the walk is; after a failure, what it failed at. */
const char *treewalk_path(const struct treewalk *walk);

static inline void own_treewalk(struct treewalk **walk)
{
    treewalk_close(*walk);
}
#define cleanup_treewalk cleanup(own_treewalk)

#endif
