/* SPDX-License-Identifier: MIT
 *
 * The trees of routes: from a wish to an open tree.
 */
#ifndef PLYFS_TREE_H
#define PLYFS_TREE_H

#include "entry.h"
#include "mount.h"
#include "own.h"
#include "routes.h"

#include <stdbool.h>

/* Opens what the wish says, for slot `slot` of the mount. With a limit the tree is counted, which
 * takes a walk. Where it fails, `fault` says why, and -errno is what opening it said. */
must_check int tree_open(const struct mount *mount, const struct route_wish *wish, uint8_t slot,
                         struct tree **tree, struct route_fault *fault);
void tree_destroy(struct tree *tree);

/* What is shown at its root; to be finished by the caller. -ENOENT, -ENOTDIR: what is wished of an
 * image is not there, or no directory. */
must_check int tree_root(const struct tree *tree, struct entry *entry);

/* Whether the kernel takes files of the filesystem that `root` is on: not of one that is stacked
 * itself. */
bool tree_may_pass(int root);

#endif
