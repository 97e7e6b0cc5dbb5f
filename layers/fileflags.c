/* SPDX-License-Identifier: MIT
 *
 * Duty: ask by name where that goes, else by a descriptor; set by a descriptor.
 */
#include "fileflags.h"

#include "fd.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#ifndef SYS_file_getattr
#define SYS_file_getattr 468
#endif

/* struct file_attr of linux/fs.h, which older headers do not have. */
struct attr_by_name {
    uint64_t xflags;
    uint32_t extent_size, extents, project, cow_extent_size;
};

static int open_quietly(int dir, const char *name)
{
    const int flags = O_RDONLY | O_NONBLOCK;
    if (!*name)
        return fd_reopen(dir, flags);
    int fd = fd_open_name(dir, name, flags | O_NOATIME, 0);
    return fd == -EPERM ? fd_open_name(dir, name, flags, 0) : fd;
}

static int read_by_descriptor(int dir, const char *name)
{
    int flags = 0; /* an int, whatever the number of the ioctl says */
    cleanup_fd int fd = open_quietly(dir, name);
    return fd >= 0 && ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0 ? flags & (FS_SYNC_FL | FS_NOATIME_FL)
                                                              : 0;
}

static int read_flags(int dir, const char *name)
{
    static atomic_bool unknown;
    struct attr_by_name attr = {0};
    if (atomic_load(&unknown))
        return read_by_descriptor(dir, name);
    if (syscall(SYS_file_getattr, dir, name, &attr, sizeof(attr),
                AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) == 0)
        return (attr.xflags & FS_XFLAG_SYNC ? FS_SYNC_FL : 0) |
               (attr.xflags & FS_XFLAG_NOATIME ? FS_NOATIME_FL : 0);
    if (errno != ENOSYS)
        return 0;
    atomic_store(&unknown, true);
    return read_by_descriptor(dir, name);
}

void fileflags_copy(int from, const char *from_name, int to, const char *to_name)
{
    const int wanted = read_flags(from, from_name);
    if (!wanted)
        return;
    int flags = 0;
    cleanup_fd int fd = open_quietly(to, to_name);
    if (fd < 0 || ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0)
        return;
    flags |= wanted;
    (void)!ioctl(fd, FS_IOC_SETFLAGS, &flags);
}
