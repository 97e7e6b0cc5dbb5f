/* SPDX-License-Identifier: MIT
 *
 * Duty: compare a path with the destinations of routes. One whose destination is said through a
 * link of the union is found by where that leads; beneath a route no link is followed.
 */
#include "covering.h"

#include "rootpath.h"
#include "volumespec.h"

#include <string.h>

/* Whether there is a name ".." in it. */
static bool climbs(const char *path)
{
    for (const char *at = strstr(path, "/.."); at; at = strstr(at + 1, "/..")) {
        if (at[3] == 0 || at[3] == '/')
            return true;
    }
    return false;
}

char *covering_said(const char *path, const char *resolved)
{
    if (resolved && climbs(path))
        return strdup(resolved);
    char *said = volume_path_clean(path);
    if (said)
        memmove(said, said + 1, strlen(said));
    return said;
}

struct comparison {
    const struct covering_path *path;
    int (*each)(void *context, const struct mount_volume_row *route, const char *rest);
    void *context;
};

/* What of `path` lies beneath `top`, both without a slash in front; NULL: it does not. */
static const char *beneath(const char *path, const char *top)
{
    size_t length = strlen(top);
    if (length == 0)
        return path;
    if (strncmp(path, top, length) != 0 || (path[length] && path[length] != '/'))
        return NULL;
    return path[length] ? path + length + 1 : path + length;
}

enum covering covering_of(const struct covering_path *path, const char *destination,
                          const char **rest)
{
    const char *inside = destination + 1;
    cleanup_rootpath struct rootpath at = ROOTPATH_NONE;
    *rest = beneath(path->said, inside);
    bool led = !*rest && rootpath_find(path->stack, inside, true, &at) == 0;
    if (led)
        *rest = beneath(path->resolved, at.path);
    if (*rest)
        return COVERING_OVER;
    return beneath(inside, path->said) || (led && beneath(at.path, path->resolved))
               ? COVERING_BENEATH
               : COVERING_NONE;
}

static int compare(void *context, const struct mount_volume_row *route)
{
    const struct comparison *comparison = context;
    const char *rest;
    if (covering_of(comparison->path, route->spec.destination, &rest) == COVERING_NONE)
        return 0;
    return comparison->each(comparison->context, route, rest);
}

int covering_each(struct store *store, const struct mount_row *row,
                  const struct covering_path *path,
                  int (*each)(void *context, const struct mount_volume_row *route,
                              const char *rest),
                  void *context)
{
    struct comparison comparison = {path, each, context};
    return catalog_each_mount_volume(store->catalog, row->id, compare, &comparison);
}
