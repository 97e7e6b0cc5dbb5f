/* SPDX-License-Identifier: MIT
 *
 * Duty: read a directory by getdents64(2). Cost: an open, a close, and a call for each 32 KiB of
 * entries and one for the end.
 */
#include "dirents.h"

#include "fd.h"

#include <fcntl.h>

enum { PIECE = 32768 };

int dirents_read(int fd, int (*each)(void *context, int fd, const struct dirent *entry),
                 void *context)
{
    _Alignas(struct dirent) char piece[PIECE];
    for (;;) {
        ssize_t size = getdents64(fd, piece, sizeof(piece));
        if (size <= 0)
            return size < 0 ? -errno : 0;
        for (ssize_t at = 0; at < size;) {
            const struct dirent *entry = (const void *)(piece + at);
            int err = fd_is_dot(entry->d_name) ? 0 : each(context, fd, entry);
            if (err)
                return err;
            at += entry->d_reclen;
        }
    }
}

int dirents_each(int dir, int (*each)(void *context, int fd, const struct dirent *entry),
                 void *context)
{
    cleanup_fd int fd = fd_open_name(dir, ".", O_RDONLY | O_DIRECTORY, 0);
    return fd < 0 ? fd : dirents_read(fd, each, context);
}
