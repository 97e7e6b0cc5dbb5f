/* SPDX-License-Identifier: MIT
 *
 * The grammar of whiteouts on disk: what hides a name, and what such an object looks like.
 * Forms: character device 0:0 (kernel document overlayfs.rst, "whiteouts and opaque directories");
 * an empty file with the whiteout attribute in a directory whose opaque attribute is "x" (the same
 * document, "nesting"); an empty file `.wh.NAME` and `.wh..wh..opq` (OCI image layer specification,
 * "Whiteouts").
 */
#ifndef PLYFS_WHITEOUT_H
#define PLYFS_WHITEOUT_H

#include "ovlattr.h"

#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define WHITEOUT_PREFIX ".wh."
#define WHITEOUT_OPAQUE ".wh..wh..opq"

static inline bool whiteout_is_device(const struct stat *st)
{
    return S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0);
}

/* True for a name that is part of the books of a layer with `.wh.` files, and never shown. */
static inline bool whiteout_is_name(const char *name)
{
    return strncmp(name, WHITEOUT_PREFIX, strlen(WHITEOUT_PREFIX)) == 0;
}

/* 1 for the file that fuse-overlayfs leaves in an upper directory beside its opaque attribute, and
 * for the one that says it alone where there are no attributes; else 0, or -errno. It is never
 * shown. Another file of that name is the user's own: so much has to fit. */
must_check int whiteout_is_opaque_file(enum ovlwhere where, int dir, const char *name);

/* 1 when what (dir, name) of a sealed layer has as *st is a whiteout by its attribute, else 0, or
 * -errno. The caller knows that the directory may hold such. */
must_check int whiteout_is_marked(int dir, const char *name, const struct stat *st);

/* 1 when `dir` has a `.wh.` file that hides the name, else 0, or -errno. */
must_check int whiteout_file_exists(int dir, const char *name);

/* The name that a `.wh.NAME` hides, or NULL when it hides none (the opaque mark, aufs's books). */
static inline const char *whiteout_hidden_name(const char *name)
{
    if (!whiteout_is_name(name) || strncmp(name, ".wh..wh.", 8) == 0)
        return NULL;
    return name[4] && strcmp(name + 4, ".") != 0 && strcmp(name + 4, "..") != 0 ? name + 4 : NULL;
}

#endif
