/* SPDX-License-Identifier: MIT
 *
 * What a directory of the mount shows as a name: what its own tree has there, or where a route
 * leads. Lookup, readdir and create all ask here.
 */
#ifndef PLYFS_SHOWN_H
#define PLYFS_SHOWN_H

#include "entry.h"
#include "mount.h"
#include "own.h"

struct shown {
    struct entry entry;
    uint64_t moves; /* node_moves() before it was looked for */
    uint8_t tree;
    unsigned flags; /* NODE_ROUTE, NODE_WAY */
    bool crossing;  /* the lock of the routes is held */
};

/* Finds a name. It is to be finished by the caller, before any reply, also when it is absent (0 is
 * returned then, and entry.present is false). */
must_check int shown_find(struct mount *mount, const struct node_view *dir, const char *name,
                          struct shown *shown);
/* The same of a name that the upper part of the directory is known not to have. */
must_check int shown_find_sealed(struct mount *mount, const struct node_view *dir, const char *name,
                                 struct shown *shown);
void shown_finish(struct mount *mount, struct shown *shown);

/* Looks a name up: its node, with one more lookup, and what stat(2) says of it. 1; 0 when it is
 * absent; -errno. */
must_check int shown_look_up(struct mount *mount, const struct node_view *dir, const char *name,
                             struct node_view *view, struct stat *st);

/* The same of a name that the upper part of the directory is known not to have. */
must_check int shown_look_up_sealed(struct mount *mount, const struct node_view *dir,
                                    const char *name, struct node_view *view, struct stat *st);

/* The same of what shown_find_sealed() has found; *shown is finished. -EAGAIN: names have moved
 * since, and it has to be looked up. */
must_check int shown_look_up_found(struct mount *mount, const struct node_view *dir,
                                   const char *name, struct shown *shown, struct node_view *view,
                                   struct stat *st);

#endif
