/* SPDX-License-Identifier: MIT
 *
 * What chattr(1) has made immutable or append-only: what the VFS would refuse if the kernel knew of
 * it. FUSE has no word for that, so it is refused here; a program that has such a file open for
 * writing where opens are not answered is told when it writes. Flags of a lower object are found at
 * lookup, those that were set in a mount are kept as the kernel's overlayfs keeps them, in
 * overlay.protattr. In a plain tree they are the host's own, whose filesystem refuses by itself,
 * but for a descriptor that is held from before.
 */
#ifndef PLYFS_HELD_H
#define PLYFS_HELD_H

#include "node.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

/* HELD_* (entry.h) of the flags of a node. */
static inline uint8_t held_of(unsigned flags)
{
    return (uint8_t)((flags & NODE_IMMUTABLE ? HELD_IMMUTABLE : 0) |
                     (flags & NODE_APPEND ? HELD_APPEND : 0));
}

/* Metadata, one more name, a cut. */
static inline int held_from_change(const struct node_view *view)
{
    return node_is(view, NODE_IMMUTABLE | NODE_APPEND) ? -EPERM : 0;
}

/* open(2) with these flags. */
static inline int held_from_open(const struct node_view *view, int flags)
{
    const bool writes = (flags & O_ACCMODE) != O_RDONLY;
    if (node_is(view, NODE_IMMUTABLE))
        return writes || (flags & O_TRUNC) ? -EPERM : 0;
    if (node_is(view, NODE_APPEND))
        return (writes && !(flags & O_APPEND)) || (flags & O_TRUNC) ? -EPERM : 0;
    return 0;
}

/* How a host's file is held, as flags of a node: by `name` in `fd`, or with "" the descriptor
 * itself. */
static inline int held_on_host(int fd, const char *name, unsigned *flags)
{
    struct statx st = {0};
    *flags = 0;
    if (statx(fd, name, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH, STATX_TYPE, &st) < 0)
        return -errno;
    if (st.stx_attributes & STATX_ATTR_IMMUTABLE)
        *flags |= NODE_IMMUTABLE;
    if (st.stx_attributes & STATX_ATTR_APPEND)
        *flags |= NODE_APPEND;
    return 0;
}

/* open(2) with these flags, of such a file. */
static inline int held_by_host(int fd, const char *name, int flags)
{
    struct node_view host = {0};
    int err = held_on_host(fd, name, &host.flags);
    return err ? err : held_from_open(&host, flags);
}

/* A new name in the directory. */
static inline int held_from_names(const struct node_view *dir)
{
    return node_is(dir, NODE_IMMUTABLE) ? -EPERM : 0;
}

/* Taking a name of it away, or giving it to another. */
static inline int held_from_loss(const struct node_view *dir, const struct node_view *victim)
{
    const int err = held_from_change(dir);
    return err || !victim ? err : held_from_change(victim);
}

#endif
