/* SPDX-License-Identifier: MIT
 *
 * Duty: from a route's row to a descriptor. A bind's path is the user's own word and is followed as
 * mount(8) would; a subpath lies in a volume, whose content may be anybody's, and is not.
 */
#include "routedir.h"

#include "fd.h"
#include "volume.h"

#include <fcntl.h>

static int open_volume(struct store *store, const char *name)
{
    cleanup_volume_row struct volume_row row = {0};
    cleanup_free char *path = NULL;
    int err = volume_find(store, name, false, &row);
    if (!err)
        err = volume_content_path(store, &row, &path);
    if (err)
        return err;
    int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static int open_source(struct store *store, const struct volume_spec *spec)
{
    switch (spec->kind) {
    case VOLUME_KIND_VOLUME:
        return open_volume(store, spec->source);
    case VOLUME_KIND_BIND: {
        int fd = open(spec->source, O_PATH | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
    }
    case VOLUME_KIND_TMPFS:
    case VOLUME_KIND_IMAGE:
        break;
    }
    return -ENXIO;
}

int routedir_open(struct store *store, const struct mount_volume_row *route)
{
    cleanup_fd int fd = open_source(store, &route->spec);
    if (fd < 0 || !route->spec.subpath)
        return fd < 0 ? fd : steal_fd(&fd);
    return fd_open_beneath(fd, route->spec.subpath, O_PATH);
}
