/* SPDX-License-Identifier: MIT
 *
 * Duty: collect them, one for each name. A route that lies right there counts more than one that
 * lies deeper in it.
 */
#include "below.h"

#include "fd.h"
#include "moment.h"
#include "routedir.h"

#include <string.h>
#include <unistd.h>

void belows_finish(struct belows *belows)
{
    for (unsigned i = 0; i < belows->count; i++) {
        free(belows->at[i].name);
        own_close(&belows->at[i].host);
    }
    free(belows->at);
    *belows = (struct belows){0};
}

static struct below *find(const struct belows *belows, const char *name)
{
    for (unsigned i = 0; i < belows->count; i++) {
        if (strcmp(belows->at[i].name, name) == 0)
            return &belows->at[i];
    }
    return NULL;
}

const struct below *belows_find(const struct belows *belows, const char *name)
{
    return find(belows, name);
}

/* The one of that name, as it is or new; NULL when out of memory. */
static struct below *take(struct belows *belows, const char *name)
{
    struct below *known = find(belows, name);
    if (known)
        return known;
    struct below *more = reallocarray(belows->at, belows->count + 1, sizeof(*more));
    if (!more)
        return NULL;
    belows->at = more;
    more[belows->count] = (struct below){.name = strdup(name), .host = -ENODATA};
    return more[belows->count].name ? &more[belows->count++] : NULL;
}

int belows_add(struct belows *belows, struct store *store, const struct mount_volume_row *route,
               const struct covered *covered)
{
    if (!*covered->name)
        return 0;
    struct below *below = take(belows, covered->name);
    if (!below)
        return -ENOMEM;
    if (!covered->right_there)
        return 0;
    own_close(&below->host);
    below->route = true;
    below->host = routedir_open(store, route);
    below->perm = route->spec.kind == VOLUME_KIND_TMPFS ? route->spec.perm : 0755;
    return 0;
}

struct stat below_stub(int64_t since, mode_t perm)
{
    const struct timespec time = {since / MOMENT_SECOND, since % MOMENT_SECOND};
    return (struct stat){.st_mode = S_IFDIR | perm,
                         .st_nlink = 1,
                         .st_uid = geteuid(),
                         .st_gid = getegid(),
                         .st_mtim = time};
}

int below_stat(const struct below *below, int64_t since, struct stat *st)
{
    *st = below_stub(since, below->route ? below->perm : 0755);
    return below->host < 0 ? 0 : fd_stat(below->host, "", st);
}
