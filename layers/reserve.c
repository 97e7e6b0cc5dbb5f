/* SPDX-License-Identifier: MIT
 *
 * Duty: the file "reserve" of a store. It is made empty and kept, so that giving its room back
 * needs no room: it is cut, which frees its blocks at once, where some filesystems free those of a
 * removed file later. Whoever opens the store at the same time finds it either way, and does the
 * same.
 *
 * Cost: three calls, and one more where nothing is kept.
 */
#include "reserve.h"

#include "fd.h"

#include <fcntl.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define RESERVE "reserve"

/* What the catalog's log, its index and a stage need, several times over; and of how much room it
 * is no matter. */
static const uint64_t KEPT = 512 << 10, PLENTY = 32 << 20;

static void keep(int root, int flags)
{
    cleanup_fd int file = fd_open_name(root, RESERVE, O_WRONLY | flags, 0600);
    if (file >= 0)
        (void)!fallocate(file, 0, 0, (off_t)KEPT);
}

static void give(int root)
{
    cleanup_fd int file = fd_open_name(root, RESERVE, O_WRONLY, 0);
    if (file >= 0)
        (void)!ftruncate(file, 0);
}

/* Root may look into a user's store, who could not give back what root has kept there. */
static bool is_own(int root)
{
    struct stat st;
    return fstat(root, &st) == 0 && st.st_uid == geteuid();
}

static uint64_t room_on(int root)
{
    struct statvfs disk;
    return fstatvfs(root, &disk) < 0 ? 0 : (uint64_t)disk.f_bavail * disk.f_frsize;
}

void reserve_begin(int root)
{
    struct stat st;
    const bool kept = fd_stat(root, RESERVE, &st) == 0 && st.st_size > 0;
    const uint64_t room = room_on(root);
    if (kept && room < KEPT)
        give(root);
    else if (!kept && room >= PLENTY && is_own(root))
        keep(root, O_CREAT);
}

void reserve_end(int root)
{
    struct stat st;
    if (fd_stat(root, RESERVE, &st) == 0 && st.st_size == 0 && room_on(root) >= KEPT)
        keep(root, 0);
}
