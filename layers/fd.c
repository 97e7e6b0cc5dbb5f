/* SPDX-License-Identifier: MIT
 *
 * Duty: every open of something inside a layer goes through here. A name is opened with O_NOFOLLOW
 * in a directory that is already open; a path with openat2(2), so that a hostile layer cannot lead
 * the daemon out, whatever it races. Cost: one system call, one more per 4 KiB of path.
 */
#include "fd.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif

static int fd_openat2(int dir, const char *path, int flags)
{
    struct open_how how = {
        .flags = (unsigned)flags | O_CLOEXEC | O_NOFOLLOW,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    for (int tries = 0;; tries++) {
        int fd = (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));
        if (fd >= 0)
            return fd;
        /* EAGAIN: a rename raced with the walk and the kernel could not vouch for it. */
        if (errno != EINTR && (errno != EAGAIN || tries > 64))
            return -errno;
    }
}

int fd_open_beneath(int root, const char *path, int flags)
{
    const size_t most = 4000; /* below PATH_MAX, the longest that one call may be given */
    cleanup_fd int held = -1;
    int at = root;
    while (strlen(path) > most) {
        size_t cut = most;
        while (cut > 0 && path[cut] != '/')
            cut--;
        if (cut == 0)
            return -ENAMETOOLONG;
        char part[4096];
        memcpy(part, path, cut);
        part[cut] = 0;
        int next = fd_openat2(at, part, O_PATH | O_DIRECTORY);
        if (next < 0)
            return next;
        own_close(&held);
        held = at = next;
        path += cut + 1;
    }
    return fd_openat2(at, *path ? path : ".", flags);
}

int fd_open_name(int dir, const char *name, int flags, mode_t mode)
{
    int fd = openat(dir, *name ? name : ".", flags | O_NOFOLLOW | O_CLOEXEC, mode);
    return fd < 0 ? -errno : fd;
}

int fd_open_lock(int dir, const char *name)
{
    int fd = fd_open_name(dir, name, O_RDWR | O_CREAT, 0600);
    return fd == -EROFS ? fd_open_name(dir, name, O_RDONLY, 0) : fd;
}

int fd_reopen(int fd, int flags)
{
    char path[FD_PATH_MAX];
    fd_proc_path(path, fd, "");
    int again = open(path, flags | O_CLOEXEC);
    return again < 0 ? -errno : again;
}

bool fd_only_appends(int fd)
{
    const int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && (flags & O_APPEND);
}

int fd_dup(int fd)
{
    int more = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    return more < 0 ? -errno : more;
}

char *fd_real_path(int fd)
{
    char link[FD_PATH_MAX], path[PATH_MAX + 1];
    fd_proc_path(link, fd, "");
    ssize_t length = readlink(link, path, PATH_MAX);
    if (length < 0)
        return NULL;
    path[length] = 0;
    return strdup(path);
}

int fd_stat(int dir, const char *name, struct stat *st)
{
    return fstatat(dir, name, st, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) < 0 ? -errno : 0;
}

static struct timespec time_of(const struct statx_timestamp *time)
{
    return (struct timespec){.tv_sec = time->tv_sec, .tv_nsec = time->tv_nsec};
}

int fd_stat_more(int dir, const char *name, struct stat *st, uint64_t *attributes)
{
    struct statx more;
    *attributes = 0;
    if (statx(dir, name, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH, STATX_BASIC_STATS, &more) < 0)
        return errno == ENOSYS || errno == EPERM ? fd_stat(dir, name, st) : -errno;
    *attributes = more.stx_attributes;
    *st = (struct stat){
        .st_dev = makedev(more.stx_dev_major, more.stx_dev_minor),
        .st_ino = more.stx_ino,
        .st_mode = more.stx_mode,
        .st_nlink = more.stx_nlink,
        .st_uid = more.stx_uid,
        .st_gid = more.stx_gid,
        .st_rdev = makedev(more.stx_rdev_major, more.stx_rdev_minor),
        .st_size = (off_t)more.stx_size,
        .st_blksize = more.stx_blksize,
        .st_blocks = (blkcnt_t)more.stx_blocks,
        .st_atim = time_of(&more.stx_atime),
        .st_mtim = time_of(&more.stx_mtime),
        .st_ctim = time_of(&more.stx_ctime),
    };
    return 0;
}

int fd_chmod(int dir, const char *name, mode_t mode)
{
    /* fchmodat2(2) came with Linux 6.6; before it only an O_PATH descriptor is safe from symlinks.
     */
    if (syscall(SYS_fchmodat2, dir, name, mode, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) == 0)
        return 0;
    if (errno != ENOSYS)
        return -errno;
    cleanup_fd int fd = *name ? fd_open_name(dir, name, O_PATH, 0) : dup(dir);
    if (fd < 0)
        return *name ? fd : -errno;
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (S_ISLNK(st.st_mode))
        return -EOPNOTSUPP;
    char path[FD_PATH_MAX];
    fd_proc_path(path, fd, "");
    return chmod(path, mode) < 0 ? -errno : 0;
}

int fd_proc_path(char path[FD_PATH_MAX], int dir, const char *name)
{
    if (*name)
        snprintf(path, FD_PATH_MAX, "/proc/self/fd/%d/%s", dir, name);
    else
        snprintf(path, FD_PATH_MAX, "/proc/self/fd/%d", dir);
    return *name == 0;
}

ssize_t fd_read(int fd, void *data, size_t size)
{
    for (;;) {
        ssize_t got = read(fd, data, size);
        if (got >= 0 || errno != EINTR)
            return got < 0 ? -errno : got;
    }
}

ssize_t fd_read_all(int fd, void *data, size_t size)
{
    size_t length = 0;
    while (length < size) {
        ssize_t got = fd_read(fd, (char *)data + length, size - length);
        if (got < 0)
            return got;
        if (got == 0)
            break;
        length += (size_t)got;
    }
    return (ssize_t)length;
}

int fd_write_all(int fd, const void *data, size_t size)
{
    const char *at = data;
    while (size > 0) {
        ssize_t done = write(fd, at, size);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return -errno;
        at += done;
        size -= (size_t)done;
    }
    return 0;
}

int fd_each_name(int dir, int (*each)(void *context, const char *name), void *context)
{
    cleanup_fd int fd = fd_open_name(dir, ".", O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return fd;
    cleanup_dir DIR *names = fdopendir(fd);
    if (!names)
        return -errno;
    fd = -1; /* now the stream's */
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(names);
        if (!entry)
            return -errno;
        int result = fd_is_dot(entry->d_name) ? 0 : each(context, entry->d_name);
        if (result)
            return result;
    }
}

int fd_sync_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    cleanup_free char *front = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
    if (!front)
        return -ENOMEM;
    cleanup_fd int dir = open(front, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return errno == EACCES ? 0 : -errno;
    return fsync(dir) < 0 && errno != EINVAL && errno != EROFS ? -errno : 0;
}

bool fd_is_fault(int err)
{
    static const int FAULTS[] = {EIO,    ENOSPC, EDQUOT, EROFS, ENOMEM,
                                 EMFILE, ENFILE, ESTALE, EINTR, ETIMEDOUT};
    for (size_t i = 0; i < sizeof(FAULTS) / sizeof(FAULTS[0]); i++) {
        if (err == -FAULTS[i])
            return true;
    }
    return false;
}
