/* SPDX-License-Identifier: MIT
 *
 * Duty: make one object look like another. Cost: one system call each for list, owner, mode and
 * times, two for each attribute.
 */
#include "copymeta.h"

#include "fd.h"
#include "ovlattr.h"
#include "xattr.h"

#include <fcntl.h>
#include <linux/limits.h>
#include <stdbool.h>
#include <string.h>

struct object {
    int dir;
    const char *name;
};

static bool is_list(const char *attr)
{
    return strncmp(attr, "system.posix_acl_", strlen("system.posix_acl_")) == 0;
}

static int copy_one(enum ovlspace space, struct object src, struct object dst, const char *attr,
                    char *value)
{
    if (ovlattr_is_private(space, attr) || (space != OVLSPACE_NONE && ovlattr_is_book(attr)))
        return 0;
    ssize_t size = xattr_get(src.dir, src.name, attr, value, XATTR_SIZE_MAX);
    if (size < 0)
        return size == -ENODATA || size == -EOPNOTSUPP || size == -EPERM ? 0 : (int)size;
    int err = xattr_set(dst.dir, dst.name, attr, value, (size_t)size, 0);
    return !is_list(attr) && (err == -EOPNOTSUPP || err == -EPERM) ? 0 : err;
}

/* An access list may take the right to write from the owner too, and with it that to set
 * attributes: it comes last. */
static bool is_access_list(const char *attr)
{
    return strcmp(attr, "system.posix_acl_access") == 0;
}

int copymeta_xattrs(enum ovlspace space, int src_dir, const char *src_name, int dst_dir,
                    const char *dst_name, bool *any)
{
    const struct object src = {src_dir, src_name}, dst = {dst_dir, dst_name};
    const char *access_list = NULL;
    int lost = 0;
    cleanup_free char *names = NULL;
    ssize_t length = xattr_list_all(src_dir, src_name, &names);
    if (any)
        *any = length > 0;
    if (length <= 0)
        return length == -EOPNOTSUPP || length == -ENOSYS ? 0 : (int)length;
    cleanup_free char *value = malloc(XATTR_SIZE_MAX);
    if (!value)
        return -ENOMEM;
    for (ssize_t at = 0; at < length; at += (ssize_t)strlen(names + at) + 1) {
        if (is_access_list(names + at)) {
            access_list = names + at;
            continue;
        }
        int err = copy_one(space, src, dst, names + at, value);
        if (err && err != -EOPNOTSUPP)
            return err;
        lost = err ? err : lost;
    }
    int err = access_list ? copy_one(space, src, dst, access_list, value) : 0;
    return err ? err : lost;
}

static bool has_other_owner(const struct stat *now, const struct stat *want)
{
    return now->st_uid != want->st_uid || now->st_gid != want->st_gid;
}

int copymeta_owner(int dir, const char *name, const struct stat *now, const struct stat *want)
{
    const int flags = AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH;
    if (!has_other_owner(now, want))
        return 0;
    return fchownat(dir, name, want->st_uid, want->st_gid, flags) < 0 ? -errno : 0;
}

int copymeta_mode(int dir, const char *name, const struct stat *now, const struct stat *want)
{
    if (S_ISLNK(want->st_mode) ||
        (!has_other_owner(now, want) && (now->st_mode & 07777) == (want->st_mode & 07777)))
        return 0;
    return fd_chmod(dir, name, want->st_mode & 07777);
}

int copymeta_look(enum ovlspace space, int src_dir, const char *src_name, int dst_dir,
                  const char *dst_name, const struct stat *want)
{
    struct stat now;
    int err = fd_stat(dst_dir, dst_name, &now);
    if (!err)
        err = copymeta_owner(dst_dir, dst_name, &now, want);
    if (!err)
        err = copymeta_xattrs(space, src_dir, src_name, dst_dir, dst_name, NULL);
    return err ? err : copymeta_mode(dst_dir, dst_name, &now, want);
}

int copymeta_owner_mode(int dir, const char *name, const struct stat *want)
{
    struct stat now;
    int err = fd_stat(dir, name, &now);
    if (!err)
        err = copymeta_owner(dir, name, &now, want);
    return err ? err : copymeta_mode(dir, name, &now, want);
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
