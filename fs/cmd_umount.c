/* SPDX-License-Identifier: MIT
 *
 * Duty: `plyfs umount`. When it returns 0 all data is in the upper layer; the daemon ends by
 * itself.
 */
#include "command.h"

#include "log.h"
#include "own.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>

static const char USAGE[] = "usage: plyfs umount [--lazy] MOUNTPOINT\n"
                            "\n"
                            "Unmounts. Refused while somebody is inside, unless --lazy: then the "
                            "mount goes out of sight at once\n"
                            "and ends when the last one has left.\n"
                            "\n"
                            "example: plyfs umount merged\n";

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
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : 1;
}

static int unmount(const char *at, bool lazy)
{
    if (umount2(at, UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0)) == 0)
        return 0;
    int err = -errno;
    if (err == -EPERM && geteuid() != 0)
        return by_fusermount(at, lazy) == 0 ? 0 : 1;
    log_error("cannot unmount %s: %s%s", at,
              err == -EINVAL ? "nothing is mounted there" : strerror(-err),
              err == -EBUSY ? "; somebody is inside: leave it, or use --lazy" : "");
    return 1;
}

static int run_umount(int argc, char **argv)
{
    bool lazy = false;
    const char *at = NULL;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0)
            return fputs(USAGE, stdout), 0;
        if (strcmp(argv[i], "--lazy") == 0 || strcmp(argv[i], "-l") == 0) {
            lazy = true;
        } else if (argv[i][0] == '-' && strcmp(argv[i], "--") != 0) {
            log_error("umount: unknown option '%s'; see plyfs umount --help", argv[i]);
            return 1;
        } else if (at) {
            log_error("umount: '%s' is one mountpoint too many", argv[i]);
            return 1;
        } else if (strcmp(argv[i], "--") != 0) {
            at = argv[i];
        }
    }
    if (!at) {
        log_error("umount: no mountpoint was given; see plyfs umount --help");
        return 1;
    }
    return unmount(at, lazy);
}

const struct command command_umount = {
    .name = "umount",
    .summary = "unmount such a tree",
    .usage = USAGE,
    .run = run_umount,
};
