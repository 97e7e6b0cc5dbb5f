/* SPDX-License-Identifier: MIT
 *
 * Duty: compare a path with the destinations of routes. One whose destination is said through a
 * link of the union is found by where that leads; beneath a route no link is followed.
 */
#include "covering.h"

#include "rootpath.h"
#include "volumespec.h"

#include <stdio.h>
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
    int (*each)(void *context, const struct mount_volume_row *route, const struct covered *covered);
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

static void note_name(struct covered *covered, const char *way)
{
    size_t length = strcspn(way, "/");
    covered->how = COVERING_BENEATH;
    covered->right_there = way[length] == 0;
    snprintf(covered->name, sizeof(covered->name), "%.*s", (int)length, way);
}

static bool is_within_another(const struct covering_path *path, const char *inside)
{
    for (uint32_t i = 0; i < path->places->used; i++) {
        if (beneath(inside, nameset_name(path->places, i)))
            return true;
    }
    return false;
}

/* A destination is resolved in the union, unless it is said as beneath another route's: it lies in
 * that, whatever links the union has there. */
int covering_of(const struct covering_path *path, const char *destination, struct covered *covered)
{
    const char *inside = destination + 1;
    uint32_t index;
    bool fresh;
    cleanup_rootpath struct rootpath at = ROOTPATH_NONE;
    *covered = (struct covered){.rest = beneath(path->said, inside)};
    bool led =
        !is_within_another(path, inside) && rootpath_find(path->stack, inside, true, &at) == 0;
    int err = nameset_add(path->places, led ? at.path : inside, &index, &fresh);
    if (err)
        return err;
    if (!covered->rest && led)
        covered->rest = beneath(path->resolved, at.path);
    if (covered->rest) {
        covered->how = COVERING_OVER;
        return 0;
    }
    const char *way = beneath(led ? at.path : inside, led ? path->resolved : path->said);
    if (way)
        note_name(covered, way);
    else if (beneath(inside, path->said))
        covered->how = COVERING_BENEATH;
    return 0;
}

static int compare(void *context, const struct mount_volume_row *route)
{
    const struct comparison *comparison = context;
    struct covered covered;
    int err = covering_of(comparison->path, route->spec.destination, &covered);
    if (err || covered.how == COVERING_NONE)
        return err;
    return comparison->each(comparison->context, route, &covered);
}

int covering_each(struct store *store, const struct mount_row *row, struct covering_path path,
                  int (*each)(void *context, const struct mount_volume_row *route,
                              const struct covered *covered),
                  void *context)
{
    struct nameset places = {0};
    struct comparison comparison = {&path, each, context};
    path.places = &places;
    int err = catalog_each_mount_volume(store->catalog, row->id, compare, &comparison);
    nameset_finish(&places);
    return err;
}
