/* SPDX-License-Identifier: MIT
 *
 * Redirects: what an upper directory or metacopy file says when it no longer lies where the layers
 * beneath have it (kernel document overlayfs.rst, "redirect_dir").
 */
#ifndef PLYFS_REDIRECT_H
#define PLYFS_REDIRECT_H

#include "mount.h"
#include "own.h"

#include <stdbool.h>

/* Writes the redirect of an upper object with a part below, before it is moved or linked elsewhere.
 * `same_dir`: it stays in its directory, so its old name is enough. One that is good already is
 * kept. */
must_check int redirect_set(struct mount *mount, const struct node_view *view, bool same_dir);

#endif
