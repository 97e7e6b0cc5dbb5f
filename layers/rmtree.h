/* SPDX-License-Identifier: MIT
 *
 * Deleting whole trees, without ever leaving them. 0 or -errno.
 */
#ifndef PLYFS_RMTREE_H
#define PLYFS_RMTREE_H

#include "own.h"

/* Deletes `name` in `dir`: a tree, a file, or nothing at all, which is fine. Directories that their
 * owner may not write into or look into are opened to him first. What resists (immutable, another
 * user's, mounted upon) stays where it is or right beneath the top; the rest is gone all the same,
 * and the failure is returned. */
must_check int rmtree(int dir, const char *name);

/* Moves a directory that is to be deleted out of the way, to a name that is free (else -EEXIST). It
 * gets another "..", which takes the right to write into it; where its owner did not give that
 * right to himself, it is taken. */
must_check int rmtree_move(int from, const char *name, int to, const char *as);

#endif
