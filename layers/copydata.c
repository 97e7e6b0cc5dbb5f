/* SPDX-License-Identifier: MIT
 *
 * Duty: move bytes between two open files. Cost: a clone is one system call; else one lseek pair
 * and one copy for each extent.
 */
#include "copydata.h"

#include "fd.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

enum {
    BLOCK = 1 << 18,
    PIECE = 16 << 20 /* of a copy that may be given up */
};

static int copy_by_hand(int src, int dst, off_t at, off_t end, struct copied *copied)
{
    cleanup_free char *block = malloc(BLOCK);
    if (!block)
        return -ENOMEM;
    while (at < end) {
        size_t want = end - at < BLOCK ? (size_t)(end - at) : (size_t)BLOCK;
        ssize_t got = pread(src, block, want, at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            return 0; /* the file is shorter than it said: the rest stays a hole */
        for (ssize_t done = 0; done < got;) {
            ssize_t put = pwrite(dst, block + done, (size_t)(got - done), at + done);
            if (put < 0 && errno != EINTR)
                return -errno;
            done += put > 0 ? put : 0;
        }
        at += got;
        copied->bytes += (uint64_t)got;
    }
    copied->means = COPYMEANS_READ_WRITE;
    return 0;
}

/* Copies a part of an extent. copy_file_range(2) is given up for good at the first refusal. */
static int copy_piece(int src, int dst, off_t at, off_t end, struct copied *copied)
{
    while (at < end && copied->means != COPYMEANS_READ_WRITE) {
        off_t from = at, to = at;
        ssize_t done = copy_file_range(src, &from, dst, &to, (size_t)(end - at), 0);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0 && (errno == ENOSPC || errno == EIO || errno == EDQUOT))
            return -errno;
        if (done <= 0)
            break;
        at += done;
        copied->bytes += (uint64_t)done;
        copied->means = COPYMEANS_RANGE;
    }
    return at < end ? copy_by_hand(src, dst, at, end, copied) : 0;
}

static int copy_extent(int src, int dst, off_t at, off_t end, bool (*given_up)(void),
                       struct copied *copied)
{
    int err = 0;
    while (at < end && !err) {
        off_t most = given_up && end - at > PIECE ? at + PIECE : end;
        err = copy_piece(src, dst, at, most, copied);
        at = most;
        if (!err && at < end && given_up())
            err = -EINTR;
    }
    return err;
}

bool copydata_can_clone(int src, int dst)
{
    return ioctl(dst, FICLONE, src) == 0;
}

static bool cloned(int src, int dst, bool whole, struct copied *copied)
{
    *copied = (struct copied){0};
    if (whole && copydata_can_clone(src, dst))
        copied->means = COPYMEANS_REFLINK;
    return copied->means == COPYMEANS_REFLINK;
}

static int copy_extents(int src, int dst, off_t size, bool (*given_up)(void), struct copied *copied)
{
    for (off_t at = 0; at < size;) {
        off_t data = lseek(src, at, SEEK_DATA);
        if (data < 0 && errno == ENXIO)
            return 0; /* holes to the end */
        off_t hole = data < 0 ? size : lseek(src, data, SEEK_HOLE);
        if (data < 0)
            data = at; /* SEEK_DATA is not known here: all is data */
        if (hole < 0 || hole > size)
            hole = size;
        if (data >= size)
            return 0;
        int err = copy_extent(src, dst, data, hole, given_up, copied);
        if (err)
            return err;
        at = hole;
    }
    return 0;
}

int copydata_copy(int src, int dst, off_t size, bool whole, bool (*given_up)(void),
                  struct copied *copied)
{
    if (cloned(src, dst, whole && size > 0, copied) || size == 0)
        return 0;
    return ftruncate(dst, size) < 0 ? -errno : copy_extents(src, dst, size, given_up, copied);
}

int copydata_fill(int src, int dst, off_t size, bool whole, bool (*given_up)(void),
                  struct copied *copied)
{
    if (cloned(src, dst, whole && size > 0, copied))
        return 0;
    return copy_extents(src, dst, size, given_up, copied);
}
