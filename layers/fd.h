/* SPDX-License-Identifier: MIT
 *
 * Opening files without ever being led out of a directory, and the small calls around that.
 * Everything returns 0, a descriptor or a length on success, -errno on failure. Every descriptor is
 * close-on-exec.
 */
#ifndef PLYFS_FD_H
#define PLYFS_FD_H

#include "own.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

/* Room for "/proc/self/fd/NNNNNNNNNN/" and a name of 255 bytes. */
#define FD_PATH_MAX 288

/* Opens `path` (relative, any length, "" is the directory itself) beneath `root`; no symlink and no
 * magic link is followed, no step leads out (openat2(2) RESOLVE_BENEATH and its kin). */
must_check int fd_open_beneath(int root, const char *path, int flags);

/* Opens one name in a directory, not following a symlink. `name` holds no slash. */
must_check int fd_open_name(int dir, const char *name, int flags, mode_t mode);

/* Opens a file that is there to be locked: flock(2). It is made where it is missing, with nobody
 * else let in. On a filesystem that is read-only it is opened to read, which does for that. */
must_check int fd_open_lock(int dir, const char *name);

/* A second, independent open of what `fd` (O_PATH too) stands for. */
must_check int fd_reopen(int fd, int flags);

/* Whether what is written by `fd` goes to the end, wherever it is meant to go (O_APPEND). */
must_check bool fd_only_appends(int fd);

/* One more descriptor of the same open file (dup(2)); never one of the standard three. */
must_check int fd_dup(int fd);

/* The path by which this process finds what `fd` stands for, the caller's to free; NULL when it
 * cannot be told. */
char *fd_real_path(int fd);

/* fstatat(2) of a name, never following; with name "" of the descriptor itself. */
must_check int fd_stat(int dir, const char *name, struct stat *st);

/* The same and in *attributes what statx(2) says besides (STATX_ATTR_*), of those that the
 * filesystem tells. */
must_check int fd_stat_more(int dir, const char *name, struct stat *st, uint64_t *attributes);

/* fchmodat(2) that refuses to follow a symlink (EOPNOTSUPP, as the VFS answers). */
must_check int fd_chmod(int dir, const char *name, mode_t mode);

/* Writes into `path` the name under /proc by which the *xattr calls reach (dir, name) without
 * following a symlink at the end; with name "" the magic link of the descriptor, which has to be
 * followed. Returns whether the caller must follow. */
int fd_proc_path(char path[FD_PATH_MAX], int dir, const char *name);

/* read(2), begun again where a signal came in between: how many bytes there were, 0 at the end. */
must_check ssize_t fd_read(int fd, void *data, size_t size);

/* Reads until `size` bytes are there or the file ends: how many there were. */
must_check ssize_t fd_read_all(int fd, void *data, size_t size);

/* Writes everything, going on after short writes. */
must_check int fd_write_all(int fd, const void *data, size_t size);

/* Calls `each` for every name in a directory but "." and "..", which it may take away, until it
 * returns something else than 0. */
must_check int fd_each_name(int dir, int (*each)(void *context, const char *name), void *context);

/* Syncs the directory in which `path` is the last name, so that the name itself is on the disk.
 * Where it can be written into and not read, or the filesystem has no sync of directories, that is
 * not to be had. */
must_check int fd_sync_name(const char *path);

/* True for "." and "..". */
static inline int fd_is_dot(const char *name)
{
    return name[0] == '.' && (name[1] == 0 || (name[1] == '.' && name[2] == 0));
}

/* Whether an error tells that something failed (the disk, memory, descriptors), and not that it
 * cannot be done here at all: then nothing may be concluded from it about what can. */
bool fd_is_fault(int err);

#endif
