/* SPDX-License-Identifier: MIT
 *
 * Where what a node shows comes from, as the value of an extended attribute that lies on no disk:
 *
 *   user.plyfs.layer   the layer whose content is shown: "upper", its number as people count (1 is
 *                      the lowest), or in a volume "host" (of a tmpfs "tmpfs")
 *   user.plyfs.origin  LAYER:/PATH: where in a sealed layer it lies, or did before it was copied up
 *   user.plyfs.state   "upper", "lower", "metacopy", "merged" (a directory of several), "stub"
 *                      (shown for the sake of a volume beneath), "volume"
 *   user.plyfs.volume  the destination of the volume that it lies in
 *
 * They are never listed, so that nothing copies them, and cannot be set or removed.
 */
#ifndef PLYFS_PROVENANCE_H
#define PLYFS_PROVENANCE_H

#include "mount.h"
#include "own.h"

#include <stdbool.h>
#include <string.h>
#include <sys/types.h>

/* Whether an attribute is one of them. Every other name costs the comparison of a letter or two. */
bool provenance_is_one(const char *name);

static inline bool provenance_is(const char *name)
{
    return strncmp(name, "user.plyfs.", sizeof("user.plyfs.") - 1) == 0 && provenance_is_one(name);
}

/* The value (the caller's to free; without a 0 at its end) and its length. -ENODATA: there is
 * nothing to say, or it is not known. */
must_check ssize_t provenance_value(struct mount *mount, const struct node_view *view,
                                    const char *name, char **value);

#endif
