/* SPDX-License-Identifier: MIT
 *
 * Duty: umount(2), or fusermount3 where only that may.
 */
#include "unmount.h"

#include "log.h"

#include <string.h>
#include <sys/mount.h>
#include <sys/statfs.h>
#include <sys/wait.h>

static int by_fusermount(const char *at, bool lazy)
{
    pid_t child = fork();
    if (child < 0)
        return -errno;
    if (child == 0) {
        execlp("fusermount3", "fusermount3", lazy ? "-uz" : "-u", "--", at, (char *)NULL);
        log_error("cannot unmount %s: fusermount3 is not installed", at);
        _exit(127);
    }
    int status = 0;
    while (waitpid(child, &status, 0) < 0) {
        if (errno != EINTR)
            return -errno;
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EBUSY;
}

int unmount_path(const char *at, bool lazy)
{
    if (umount2(at, UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0)) == 0)
        return 0;
    int err = -errno;
    if (err == -EPERM && geteuid() != 0)
        return by_fusermount(at, lazy);
    log_error("cannot unmount %s: %s%s", at,
              err == -EINVAL ? "nothing is mounted there" : strerror(-err),
              err == -EBUSY ? "; somebody is inside: leave it, or use --lazy" : "");
    return err;
}

void unmount_dead_path(const char *at)
{
    struct statfs st;
    /* What stat(2) tells may be what the kernel remembers; this it asks of the daemon. The rings of
     * one that was killed go a moment later than it, and end what was asked meanwhile. */
    if (statfs(at, &st) == 0 || (errno != ENOTCONN && errno != ECONNABORTED))
        return;
    if (umount2(at, UMOUNT_NOFOLLOW | MNT_DETACH) < 0 && errno == EPERM)
        (void)!by_fusermount(at, true);
}
