/* SPDX-License-Identifier: MIT
 *
 * Duty: a list of names between two moments of the catalog.
 */
#include "leavings.h"

#include "log.h"
#include "volume.h"

#include <stdlib.h>
#include <string.h>

void leavings_finish(struct leavings *leavings)
{
    for (unsigned i = 0; i < leavings->count; i++)
        free(leavings->names[i]);
    free(leavings->names);
    *leavings = (struct leavings){0};
}

static int note_row(void *context, const struct mount_volume_row *row)
{
    struct leavings *leavings = context;
    if (!row->anonymous || row->spec.kind != VOLUME_KIND_VOLUME)
        return 0;
    char **larger = reallocarray(leavings->names, leavings->count + 1, sizeof(*larger));
    if (!larger)
        return -ENOMEM;
    leavings->names = larger;
    larger[leavings->count] = strdup(row->spec.source);
    if (!larger[leavings->count])
        return -ENOMEM;
    leavings->count++;
    return 0;
}

int leavings_note(struct leavings *leavings, struct store *store, const char *mount)
{
    int err = catalog_each_mount_volume(store->catalog, mount, note_row, leavings);
    if (err)
        log_error("cannot read the volumes of a mount in the catalog: %s", strerror(-err));
    return err;
}

static int find_user(void *context, const char *mount)
{
    (void)context, (void)mount;
    return 1;
}

void leavings_remove(const struct leavings *leavings, struct store *store)
{
    for (unsigned i = 0; i < leavings->count; i++) {
        cleanup_volume_row struct volume_row volume = {0};
        const char *name = leavings->names[i];
        if (catalog_each_volume_user(store->catalog, name, find_user, NULL) == 0 &&
            volume_find(store, name, true, &volume) == 0)
            (void)!volume_remove(store, &volume, false);
    }
}
