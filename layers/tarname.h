/* SPDX-License-Identifier: MIT
 *
 * What a name in a layer's tar means: a path beneath the layer, in one form only, or something that
 * is refused. Bytes, in no encoding (OCI image-spec, "Image Layer Filesystem Changeset"). In the
 * tar of a plain tree no name is a whiteout.
 */
#ifndef PLYFS_TARNAME_H
#define PLYFS_TARNAME_H

#include "own.h"
#include "treekind.h"

#include <stdbool.h>
#include <stddef.h>

enum { TARNAME_MAX = 4096, TARNAME_DEPTH_MAX = 256 };

enum tarname_kind {
    TARNAME_ROOT,     /* the layer itself: path is "" */
    TARNAME_PLAIN,    /* something at path */
    TARNAME_WHITEOUT, /* path is hidden */
    TARNAME_OPAQUE,   /* what lower layers have in the directory at path is hidden */
    TARNAME_BOOKS,    /* aufs's own, never part of a layer: to be passed over */
};

struct tarname {
    enum tarname_kind kind;
    char path[TARNAME_MAX]; /* "a/b": relative, no empty name, no "." and ".." */
    size_t name;            /* where its last name begins */
};

/* Takes a name apart. NULL, or in words why it is refused. */
must_check const char *tarname_read(const char *text, enum treekind kind, struct tarname *name);

/* Copies the path of the directory that it lies in; "" is the layer itself. */
void tarname_parent(const struct tarname *name, char parent[TARNAME_MAX]);

#endif
