/* SPDX-License-Identifier: MIT
 *
 * Duty: the inode flags that chattr(1) and xfs_io(8) set: FS_IOC_GETFLAGS, SETFLAGS, FSGETXATTR and
 * FSSETXATTR. Everything else is no ioctl of ours.
 */
#include "ops.h"

#include "fd.h"
#include "find.h"
#include "promote.h"
#include "reply.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>

union flags {
    int plain; /* FS_IOC_*FLAGS take an int, whatever their number says */
    struct fsxattr extended;
};

static bool is_set(unsigned command)
{
    return command == FS_IOC_SETFLAGS || command == FS_IOC_FSSETXATTR;
}

static size_t argument_size(unsigned command)
{
    switch (command) {
    case FS_IOC_GETFLAGS:
    case FS_IOC_SETFLAGS:
        return sizeof(int);
    case FS_IOC_FSGETXATTR:
    case FS_IOC_FSSETXATTR:
        return sizeof(struct fsxattr);
    default:
        return 0;
    }
}

static int open_node(struct mount *mount, uint64_t ino)
{
    cleanup_view struct node_view view = {0};
    struct spot spot = {0};
    int err = node_view(mount->nodes, ino, &view);
    if (err)
        return err;
    if (!S_ISREG(view.type) && !S_ISDIR(view.type))
        return -ENOTTY;
    names_read(mount);
    int fd = find_spot(mount, &view, &spot);
    if (fd == 0)
        fd = *spot.name || S_ISDIR(view.type)
                 ? fd_open_name(spot.ref->fd, spot.name, O_RDONLY | O_NONBLOCK, 0)
                 : fd_reopen(spot.ref->fd, O_RDONLY);
    names_end(mount);
    spot_finish(mount, &spot);
    return fd;
}

void op_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned command, void *arg,
              struct fuse_file_info *fi, unsigned flags, const void *in, size_t in_size,
              size_t out_size)
{
    (void)arg;
    (void)fi;
    (void)flags;
    struct mount *mount = ops_mount(req);
    size_t size = argument_size(command);
    union flags value = {0};
    if (size == 0 || (is_set(command) ? in_size : out_size) < size)
        return reply_error(req, -ENOTTY);
    int err = 0;
    if (is_set(command)) {
        cleanup_view struct node_view view = {0};
        memcpy(&value, in, size);
        err = node_view(mount->nodes, ino, &view);
        /* With its data, which an immutable file would take no more. */
        if (!err)
            err = S_ISREG(view.type) ? promote_data(mount, view.index, -1, "chattr")
                                     : promote_meta(mount, view.index, "chattr");
        /* A descriptor opened before would be written through in spite of the flags. */
        if (!err)
            fdcache_drop(mount->fds, fdkey(FDKIND_DATA, view.index));
    }
    cleanup_fd int fd = err ? err : open_node(mount, ino);
    if (fd < 0)
        return reply_error(req, fd);
    if (ioctl(fd, command, &value) < 0)
        return reply_error(req, -errno);
    reply_ioctl(req, &value, is_set(command) ? 0 : size);
}
