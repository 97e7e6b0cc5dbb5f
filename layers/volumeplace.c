/* SPDX-License-Identifier: MIT
 *
 * Duty: from a volume's driver and options to its directory.
 */
#include "volumeplace.h"

#include "fd.h"
#include "localoptions.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/* The device of a bind goes to *device, if that is not NULL: the caller's. */
static int look_at(const struct volume_row *row, enum volumeplace *place, char **device)
{
    static const enum volumeplace places[] = {[LOCAL_DIRECTORY] = VOLUMEPLACE_STORE,
                                              [LOCAL_BIND] = VOLUMEPLACE_HOST,
                                              [LOCAL_MOUNT] = VOLUMEPLACE_DRIVER};
    cleanup_local_options struct local_options local = {0};
    struct volume_fault fault;
    *place = VOLUMEPLACE_DRIVER;
    if (strcmp(row->driver, "local") != 0)
        return 0;
    int err = local_options_read(&row->options, &local, &fault);
    if (err)
        return err;
    *place = places[local.kind];
    if (device && local.kind == LOCAL_BIND)
        *device = steal_ptr(&local.device);
    return 0;
}

enum volumeplace volumeplace_of(const struct volume_row *row)
{
    enum volumeplace place;
    return look_at(row, &place, NULL) ? VOLUMEPLACE_DRIVER : place;
}

uint64_t volumeplace_limit(const struct volume_row *row)
{
    cleanup_local_options struct local_options local = {0};
    struct volume_fault fault;
    if (strcmp(row->driver, "local") != 0 || local_options_read(&row->options, &local, &fault) != 0)
        return 0;
    return local.limit;
}

int volume_content_path(const struct store *store, const struct volume_row *row, char **path)
{
    enum volumeplace place;
    *path = NULL;
    int err = look_at(row, &place, path);
    if (err || place == VOLUMEPLACE_HOST)
        return err;
    if (place == VOLUMEPLACE_DRIVER)
        return -EREMOTE;
    if (asprintf(path, "%s/volumes/%s/_data", store->path, row->name) < 0) {
        *path = NULL;
        return -ENOMEM;
    }
    return 0;
}

int volumeplace_open(const struct store *store, const struct volume_row *row)
{
    enum volumeplace place;
    cleanup_free char *device = NULL;
    int err = look_at(row, &place, &device);
    if (err || place == VOLUMEPLACE_DRIVER)
        return err ? err : -EREMOTE;
    if (place == VOLUMEPLACE_HOST) {
        /* The one that is opened by path: it is the user's own word, symlinks and all. */
        int fd = open(device, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
    }
    cleanup_fd int dir = fd_open_name(store->volumes, row->name, O_RDONLY | O_DIRECTORY, 0);
    return dir < 0 ? dir : fd_open_name(dir, "_data", O_RDONLY | O_DIRECTORY, 0);
}
