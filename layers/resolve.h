/* SPDX-License-Identifier: MIT
 *
 * Resolution: from a name in a directory to an entry. The one resolver of the program: lookup and
 * readdir, copy-up and removal all ask here, so they cannot disagree.
 */
#ifndef PLYFS_RESOLVE_H
#define PLYFS_RESOLVE_H

#include "entry.h"
#include "own.h"
#include "stack.h"

#include <stdbool.h>

/* Resolves `name` in the directory whose upper part is open at `upper` (-1 when it has none) and
 * whose sealed sources are `sources` (NULL for none). The entry is to be finished by the caller,
 * also when it is absent (0 is returned then, and entry->present is false). Rules: kernel document
 * overlayfs.rst, sections "Whiteouts and opaque directories", "redirect_dir", "Metadata only copy
 * up". Errors: what the backing filesystem says; -EIO for books that cannot be true. */
must_check int resolve_name(const struct stack *stack, int upper, const struct sources *sources,
                            const char *name, struct entry *entry);

/* The same of what the sealed sources have of `name` themselves, where with the index it stands for
 * an inode that was copied up through another name. */
must_check int resolve_beneath_index(const struct stack *stack, const struct sources *sources,
                                     const char *name, struct entry *entry);

/* Resolves the root directory itself. */
must_check int resolve_root(const struct stack *stack, struct entry *entry);

/* Whether the sealed sources show `name`: 1 or 0, or -errno. This is what decides if a deleted name
 * needs a whiteout. */
must_check int resolve_lower_shows(const struct stack *stack, const struct sources *sources,
                                   const char *name);

#endif
