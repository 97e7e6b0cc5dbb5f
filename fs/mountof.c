/* SPDX-License-Identifier: MIT
 *
 * Duty: compare the prefixes of a path with mountpoints, the longest first, so that a mount in a
 * mount is found before the outer one. Cost: a realpath(3) and a walk of the catalog's mounts for
 * each name of the path.
 */
#include "mountof.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

struct trial {
    const char *prefix; /* as it was said, and as it is on the host; the latter may be NULL */
    const char *real;
    char *id; /* of the mount that is there; owned */
};

static int try_mount(void *context, const struct mount_row *row)
{
    struct trial *trial = context;
    if (!row->mountpoint || (strcmp(row->mountpoint, trial->prefix) != 0 &&
                             (!trial->real || strcmp(row->mountpoint, trial->real) != 0)))
        return 0;
    int err = own_copy(&trial->id, row->id);
    return err ? err : 1;
}

/* 1 when the mount of the prefix was found. */
static int try_prefix(struct store *store, const char *prefix, struct mount_row *row)
{
    cleanup_free char *real = realpath(prefix, NULL);
    struct trial trial = {.prefix = prefix, .real = real};
    int found = catalog_each_mount(store->catalog, try_mount, &trial);
    int err = found > 0 ? catalog_find_mount(store->catalog, trial.id, row) : found;
    free(trial.id);
    return err ? err : found;
}

char *mountof_absolute(const char *path)
{
    char *absolute = NULL;
    if (*path == '/')
        return strdup(path);
    cleanup_free char *here = getcwd(NULL, 0);
    if (!here || asprintf(&absolute, "%s/%s", here, path) < 0)
        return NULL;
    return absolute;
}

int mountof_find(struct store *store, const char *path, struct mount_row *row, char **inside)
{
    cleanup_free char *prefix = mountof_absolute(path);
    cleanup_free char *whole = prefix ? strdup(prefix) : NULL;
    if (!whole)
        return -ENOMEM;
    for (size_t length = strlen(prefix); length > 0;) {
        prefix[length] = 0;
        int found = try_prefix(store, prefix, row);
        if (found > 0)
            return own_copy(inside, whole[length] ? whole + length : "/");
        if (found < 0)
            return found;
        while (length > 0 && prefix[length - 1] != '/')
            length--;
        while (length > 1 && prefix[length - 1] == '/')
            length--;
        length = length == 1 ? 0 : length;
    }
    return -ENOENT;
}
