/* SPDX-License-Identifier: MIT
 *
 * Duty: make one object look like another. Cost: one system call each for list, owner, mode and
 * times, two for each attribute.
 */
#include "copymeta.h"

#include "fd.h"
#include "ovlattr.h"

#include <fcntl.h>
#include <linux/limits.h>
#include <string.h>
#include <sys/xattr.h>

struct place {
    char path[FD_PATH_MAX];
    int follow;
};

static ssize_t place_list(const struct place *place, char *names, size_t size)
{
    return place->follow ? listxattr(place->path, names, size)
                         : llistxattr(place->path, names, size);
}

static ssize_t place_get(const struct place *place, const char *name, void *value, size_t size)
{
    return place->follow ? getxattr(place->path, name, value, size)
                         : lgetxattr(place->path, name, value, size);
}

static int place_set(const struct place *place, const char *name, const void *value, size_t size)
{
    int done = place->follow ? setxattr(place->path, name, value, size, 0)
                             : lsetxattr(place->path, name, value, size, 0);
    return done < 0 ? -errno : 0;
}

static int copy_one(enum ovlspace space, const struct place *src, const struct place *dst,
                    const char *name, char *value)
{
    if (ovlattr_is_private(space, name))
        return 0;
    ssize_t size = place_get(src, name, value, XATTR_SIZE_MAX);
    if (size < 0)
        return errno == ENODATA || errno == EOPNOTSUPP || errno == EPERM ? 0 : -errno;
    int err = place_set(dst, name, value, (size_t)size);
    return err == -EOPNOTSUPP || err == -EPERM ? 0 : err;
}

int copymeta_xattrs(enum ovlspace space, int src_dir, const char *src_name, int dst_dir,
                    const char *dst_name)
{
    struct place src, dst;
    char small[512];
    src.follow = fd_proc_path(src.path, src_dir, src_name);
    dst.follow = fd_proc_path(dst.path, dst_dir, dst_name);
    cleanup_free char *large = NULL;
    char *names = small;
    ssize_t length = place_list(&src, small, sizeof(small));
    if (length == 0 || (length < 0 && (errno == EOPNOTSUPP || errno == ENOSYS)))
        return 0;
    if (length < 0 && errno == ERANGE) {
        names = large = malloc(XATTR_LIST_MAX);
        if (!large)
            return -ENOMEM;
        length = place_list(&src, large, XATTR_LIST_MAX);
    }
    if (length < 0)
        return -errno;
    cleanup_free char *value = malloc(XATTR_SIZE_MAX);
    if (!value)
        return -ENOMEM;
    for (ssize_t at = 0; at < length; at += (ssize_t)strlen(names + at) + 1) {
        int err = copy_one(space, &src, &dst, names + at, value);
        if (err)
            return err;
    }
    return 0;
}

int copymeta_owner_mode(int dir, const char *name, const struct stat *want)
{
    struct stat now;
    int err = fd_stat(dir, name, &now);
    if (err)
        return err;
    bool chown = now.st_uid != want->st_uid || now.st_gid != want->st_gid;
    if (chown &&
        fchownat(dir, name, want->st_uid, want->st_gid, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) < 0)
        return -errno;
    if (S_ISLNK(want->st_mode) || (!chown && now.st_mode == want->st_mode))
        return 0;
    return fd_chmod(dir, name, want->st_mode & 07777);
}

int copymeta_times(int dir, const char *name, const struct stat *want)
{
    const struct timespec times[2] = {want->st_atim, want->st_mtim};
    if (*name)
        return utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
    if (utimensat(dir, "", times, AT_EMPTY_PATH) == 0)
        return 0;
    /* Before Linux 5.8 an empty path is not taken. */
    char path[FD_PATH_MAX];
    fd_proc_path(path, dir, "");
    return utimensat(AT_FDCWD, path, times, 0) < 0 ? -errno : 0;
}
