/* SPDX-License-Identifier: MIT
 *
 * The routes of a live mount: from a path to the tree that is shown there. A route needs nothing in
 * any layer: a path that none has is shown as far as it leads to one (stubs). The deepest route
 * wins, and what it hides keeps its nodes, so that whoever is inside goes on undisturbed and finds
 * it again when the route goes.
 *
 *                route_add             route_remove            the last node is forgotten
 *   a free slot ----------> a routed tree ----------> a lingering tree ----------> a free slot
 *
 * The root of a routed tree is a node of its own, a child of the directory that it is seen in,
 * under a key that no name can be ("/3" of tree 3), beside the hidden node of that name.
 *
 * Lock: one rwlock; shared from the question where a name leads until its node is made, exclusive
 * for a change of the table, never over a request to the kernel.
 */
#ifndef PLYFS_ROUTE_H
#define PLYFS_ROUTE_H

#include "mount.h"
#include "own.h"
#include "routes.h"

#include <stdbool.h>
#include <stdio.h>

struct routes *routes_create(void);
void routes_destroy(struct routes *routes);

/* Opens what the wish says and shows it. Symlinks on the way are resolved inside the mount. One
 * thread at a time adds and removes routes. Where it fails, `fault` says why: -EEXIST (routed
 * already), -ENOTDIR (a directory over a file, or a file on the way), -EISDIR (a file over a
 * directory), -EMFILE (too many), and of opening. */
must_check int route_add(struct mount *mount, const struct route_wish *wish,
                         struct route_fault *fault);

/* Shows again what was hidden; a route that lies deeper stays. -ENOENT: no such route; -EBUSY:
 * files are open there (`fault` names one); `lazy` leaves open files to their users. */
must_check int route_remove(struct mount *mount, const char *destination, bool lazy,
                            struct route_fault *fault);

/* Whether a tree that was detached from `destination` is still in use. */
bool route_lingers(struct mount *mount, const char *destination);

/* Takes back the trees that nobody uses any more. Cheap when there are none. */
void route_reap(struct mount *mount);

/* Calls `each` for every route, parents first; what it returns, if not 0, ends it. */
struct route_line {
    const char *destination, *resolved, *source; /* source: NULL of a tmpfs */
    const struct tree *tree;
    uint32_t open; /* files and directories */
};
must_check int route_each(struct mount *mount,
                          int (*each)(void *context, const struct route_line *line), void *context);

/* Where a tree is routed, as it was asked for: a copy of the caller's. -ENODATA once it is
 * detached. Takes the lock. */
must_check int route_destination(struct mount *mount, uint8_t tree, char **destination);

/* Where a routed tree is seen now: "/srv/data", the caller's to free. NULL: nowhere any more, or
 * out of memory. And what it shows, likewise; NULL of a tmpfs too. */
char *route_path(struct mount *mount, uint8_t tree);
char *route_source(struct mount *mount, uint8_t tree);

/* The key under which the root of a routed tree is kept in the table of nodes. */
enum { ROUTE_KEY_MAX = 8 };
static inline const char *route_key(char key[ROUTE_KEY_MAX], uint8_t tree)
{
    snprintf(key, ROUTE_KEY_MAX, "/%u", tree);
    return key;
}

/* ---- for who turns names into nodes; the lock is held shared ---- */

void route_enter(struct mount *mount);
void route_leave(struct mount *mount);

/* Where (directory, name) leads: not to a route, on the way to one, or to the tree *tree. */
enum way { WAY_NONE, WAY_ON, WAY_ROUTE };
must_check enum way route_look(struct mount *mount, const struct node_view *dir, const char *name,
                               uint8_t *tree);

/* Whether a directory with this node would hold a route somewhere beneath. */
bool route_holds(struct mount *mount, uint8_t tree);

/* Calls `each` for every name in the directory that leads on, or to a route. */
must_check int route_each_name(struct mount *mount, const struct node_view *dir,
                               int (*each)(void *context, const char *name, bool is_dir),
                               void *context);

/* ---- for who changes names; takes the lock ---- */

/* Whether (directory, name) is a route or leads to one, and so cannot be renamed or removed. */
bool route_pins(struct mount *mount, const struct node_view *dir, const char *name);

#endif
