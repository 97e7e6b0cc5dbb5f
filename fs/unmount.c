/* SPDX-License-Identifier: MIT
 *
 * Duty: umount(2), or fusermount3 where only that may. Either takes away what is uppermost at a
 * path, whatever that is; so who means a mount by its name asks first what it is.
 */
#include "unmount.h"

#include "control.h"
#include "log.h"
#include "mountinfo.h"

#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
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

/* What a daemon says in its state: "0:42". */
static bool read_device(const json_t *answer, dev_t *device)
{
    unsigned device_major, device_minor;
    const json_t *state = json_object_get(answer, "state");
    const char *told = json_string_value(json_object_get(state, "Device"));
    if (!told || sscanf(told, "%u:%u", &device_major, &device_minor) != 2)
        return false;
    *device = makedev(device_major, device_minor);
    return true;
}

bool unmount_is_elsewhere(const struct store *store, const struct mount_row *row)
{
    enum { PATIENCE = 5 };
    dev_t own, here;
    json_t *answer = NULL;
    int err = control_ask(store, row, json_pack("{s:s}", "do", "state"), PATIENCE, &answer);
    bool told = !err && read_device(answer, &own);
    json_decref(answer);
    return told && mountinfo_device(row->mountpoint, &here) == 0 && here != own;
}

int unmount_named(const struct store *store, const struct mount_row *row, bool lazy)
{
    if (!unmount_is_elsewhere(store, row))
        return unmount_path(row->mountpoint, lazy);
    log_error("cannot unmount %s: it is not what is seen at %s here; unmount what lies over it "
              "first, or go where it is seen: into the mount namespace of its daemon, process %lld",
              row->name, row->mountpoint, (long long)row->pid);
    return -EBUSY;
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
