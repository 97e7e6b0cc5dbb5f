/* SPDX-License-Identifier: MIT
 *
 * Duty: the inode flags that chattr(1) and xfs_io(8) set: FS_IOC_GETFLAGS, SETFLAGS, FSGETXATTR and
 * FSSETXATTR. Everything else is no ioctl of ours.
 */
#include "ops.h"

#include "fd.h"
#include "find.h"
#include "held.h"
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

/* What an object is kept from, as the command has it. */
static unsigned held_in(unsigned command, const union flags *value)
{
    const bool plain = command == FS_IOC_GETFLAGS || command == FS_IOC_SETFLAGS;
    const unsigned all = plain ? (unsigned)value->plain : value->extended.fsx_xflags;
    return (all & (plain ? FS_IMMUTABLE_FL : FS_XFLAG_IMMUTABLE) ? NODE_IMMUTABLE : 0) |
           (all & (plain ? FS_APPEND_FL : FS_XFLAG_APPEND) ? NODE_APPEND : 0);
}

static void put_held(unsigned command, union flags *value, unsigned held)
{
    if (command == FS_IOC_GETFLAGS || command == FS_IOC_SETFLAGS) {
        value->plain &= ~(FS_IMMUTABLE_FL | FS_APPEND_FL);
        value->plain |= held & NODE_IMMUTABLE ? FS_IMMUTABLE_FL : 0;
        value->plain |= held & NODE_APPEND ? FS_APPEND_FL : 0;
    } else {
        value->extended.fsx_xflags &= ~(uint32_t)(FS_XFLAG_IMMUTABLE | FS_XFLAG_APPEND);
        value->extended.fsx_xflags |= held & NODE_IMMUTABLE ? FS_XFLAG_IMMUTABLE : 0;
        value->extended.fsx_xflags |= held & NODE_APPEND ? FS_XFLAG_APPEND : 0;
    }
}

/* Whether what an object is kept from is ours to remember: the upper itself must stay such that it
 * can be worked on. */
static bool keeps_held(struct mount *mount, const struct node_view *view)
{
    return !mount_is_plain(mount, view) && mount_stack(mount, view)->able.space != OVLSPACE_NONE;
}

/* The attribute, in the kernel's letters, and the node. */
static int remember_held(struct mount *mount, const struct node_view *view, int fd, unsigned held)
{
    const enum ovlspace space = mount_stack(mount, view)->able.space;
    char letters[2];
    const size_t count = held_write(held_of(held), letters);
    int err = 0;
    if (count > 0)
        err = ovlattr_set(space, fd, "", OVLATTR_PROTATTR, letters, count);
    else if (node_is(view, NODE_IMMUTABLE | NODE_APPEND))
        err = ovlattr_remove(space, fd, "", OVLATTR_PROTATTR);
    if (!err)
        node_set_flags(mount->nodes, view->index, held,
                       ~held & (unsigned)(NODE_IMMUTABLE | NODE_APPEND));
    return err;
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

/* *value: what is to be set. */
static int set_flags(struct mount *mount, uint64_t ino, unsigned command, union flags *value)
{
    cleanup_view struct node_view view = {0};
    int err = node_view(mount->nodes, ino, &view);
    /* With its data, which a file that is kept from changes would take no more. */
    if (!err)
        err = S_ISREG(view.type) ? promote_data(mount, view.index, -1, "chattr")
                                 : promote_meta(mount, view.index, "chattr");
    if (err)
        return err;
    /* A descriptor opened before would be written through in spite of the flags. */
    fdcache_drop(mount->fds, fdkey(FDKIND_DATA, view.index));
    cleanup_fd int fd = open_node(mount, ino);
    if (fd < 0)
        return fd;
    const bool ours = keeps_held(mount, &view);
    const unsigned held = held_in(command, value);
    if (ours)
        put_held(command, value, 0);
    if (ioctl(fd, command, value) < 0)
        return -errno;
    return ours ? remember_held(mount, &view, fd, held) : 0;
}

static int get_flags(struct mount *mount, uint64_t ino, unsigned command, union flags *value)
{
    cleanup_view struct node_view view = {0};
    int err = node_view(mount->nodes, ino, &view);
    cleanup_fd int fd = err ? err : open_node(mount, ino);
    if (fd < 0)
        return fd;
    if (ioctl(fd, command, value) < 0)
        return -errno;
    put_held(command, value,
             held_in(command, value) | (view.flags & (NODE_IMMUTABLE | NODE_APPEND)));
    return 0;
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
    if (is_set(command))
        memcpy(&value, in, size);
    int err = is_set(command) ? set_flags(mount, ino, command, &value)
                              : get_flags(mount, ino, command, &value);
    if (err)
        return reply_error(req, err);
    reply_ioctl(req, &value, is_set(command) ? 0 : size);
}
