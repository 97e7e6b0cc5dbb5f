/* SPDX-License-Identifier: MIT
 *
 * Duty: clone mounts (open_tree(2)), one for all directories that lie on the same: what lies
 * beneath their nearest common directory. Cost: four system calls for each directory, and five for
 * each mount.
 */
#include "ownview.h"

#include "fd.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static int set_undated(int tree, enum ownview_undated undated)
{
    struct mount_attr attributes = {0};
    if (undated == OWNVIEW_DATED)
        return 0;
    if (undated & OWNVIEW_UNDATED) {
        attributes.attr_set = MOUNT_ATTR_NOATIME;
        attributes.attr_clr = MOUNT_ATTR__ATIME;
    }
    if (undated & OWNVIEW_UNDATED_DIRS)
        attributes.attr_set |= MOUNT_ATTR_NODIRATIME;
    return syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attributes, sizeof(attributes)) < 0
               ? -errno
               : 0;
}

int ownview_of(int dir, enum ownview_undated undated)
{
    const unsigned flags = AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC;
    cleanup_fd int tree = (int)syscall(SYS_open_tree, dir, "", flags);
    int err = tree < 0 ? -errno : set_undated(tree, undated);
    return err ? err : fd_open_name(tree, ".", O_RDONLY | O_DIRECTORY, 0);
}

/* The mount that a directory is reached by; 0 where it cannot be told. */
static uint64_t mount_of(int dir)
{
    struct statx st;
    if (statx(dir, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_MNT_ID, &st) < 0)
        return 0;
    return st.stx_mask & STATX_MNT_ID ? st.stx_mnt_id : 0;
}

/* How much of `path` is the nearest directory that `other` lies in too: at most `length`. */
static size_t common_length(const char *path, size_t length, const char *other)
{
    size_t same = 0, at = 0;
    for (; at < length && path[at] == other[at]; at++) {
        if (path[at] == '/')
            same = at;
    }
    const bool ends = (at == length && (other[at] == 0 || other[at] == '/')) ||
                      (other[at] == 0 && path[at] == '/');
    return ends ? at : same;
}

/* A view of the directory that is the first `length` bytes of `path`, if it is on that mount. */
static int open_common(const char *path, size_t length, uint64_t mount,
                       enum ownview_undated undated)
{
    cleanup_free char *top = length ? strndup(path, length) : strdup("/");
    if (!top)
        return -ENOMEM;
    cleanup_fd int dir = open(top, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return -errno;
    return mount_of(dir) == mount ? ownview_of(dir, undated) : -ESTALE;
}

/* What `path` is beneath a view, if it is the very directory that `dir` is; or -1. */
static int open_again(int view, const char *path, int dir)
{
    struct stat is, was;
    while (*path == '/')
        path++;
    cleanup_fd int fd = fd_open_beneath(view, path, O_RDONLY | O_DIRECTORY);
    if (fd < 0 || fstat(fd, &is) < 0 || fstat(dir, &was) < 0 || is.st_ino != was.st_ino ||
        is.st_dev != was.st_dev)
        return -1;
    return steal_fd(&fd);
}

/* All that lie on the mount of the first. */
static void open_group(const int *dirs, char *const *real, const uint64_t *mounts, unsigned first,
                       unsigned count, enum ownview_undated undated, int *views)
{
    size_t length = strlen(real[first]);
    for (unsigned i = first + 1; i < count; i++) {
        if (mounts[i] == mounts[first])
            length = common_length(real[first], length, real[i]);
    }
    cleanup_fd int view = open_common(real[first], length, mounts[first], undated);
    for (unsigned i = first; view >= 0 && i < count; i++) {
        if (mounts[i] == mounts[first])
            views[i] = open_again(view, real[i] + length, dirs[i]);
    }
}

void ownview_open(const int *dirs, char *const *real, unsigned count, enum ownview_undated undated,
                  int *views)
{
    cleanup_free uint64_t *mounts = calloc(count + 1, sizeof(*mounts));
    for (unsigned i = 0; i < count; i++) {
        views[i] = -1;
        if (mounts)
            mounts[i] = real[i] ? mount_of(dirs[i]) : 0;
    }
    for (unsigned i = 0; mounts && i < count; i++) {
        if (!mounts[i])
            continue;
        open_group(dirs, real, mounts, i, count, undated, views);
        const uint64_t done = mounts[i];
        for (unsigned j = i; j < count; j++)
            mounts[j] = mounts[j] == done ? 0 : mounts[j];
    }
}
