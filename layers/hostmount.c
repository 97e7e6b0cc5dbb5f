/* SPDX-License-Identifier: MIT
 *
 * Duty: mount(8) as a child of its own process group, so that the helper it starts (mount.nfs waits
 * for its server for minutes) can be killed along with it. Cost: a process; what asks whether
 * something is mounted costs two system calls, and none that waits for a server that is gone.
 */
#include "hostmount.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

extern char **environ;

/* The group is its own, no signal is blocked, and stdin is empty: nothing asks for a password. */
static int spawn(char *const argv[], pid_t *child)
{
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_t actions;
    sigset_t none;
    sigemptyset(&none);
    if (posix_spawnattr_init(&attributes) != 0)
        return -ENOMEM;
    int err = posix_spawn_file_actions_init(&actions);
    if (err) {
        posix_spawnattr_destroy(&attributes);
        return -err;
    }
    err = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
    if (!err)
        err = posix_spawnattr_setsigmask(&attributes, &none);
    if (!err)
        err = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (!err)
        err = posix_spawnp(child, argv[0], &actions, &attributes, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return -err;
}

/* Waits for the child's end so long; past that its group is killed. */
static int wait_for(pid_t child, int seconds)
{
    int status, ready, timeout = seconds * 1000;
    cleanup_fd int pidfd = (int)syscall(SYS_pidfd_open, child, 0);
    struct pollfd end = {.fd = pidfd, .events = POLLIN};
    /* A signal that comes in between lets it have its whole time once more. */
    do
        ready = pidfd < 0 ? 1 : poll(&end, 1, timeout);
    while (ready < 0 && errno == EINTR);
    if (ready == 0)
        kill(-child, SIGKILL);
    while (waitpid(child, &status, 0) < 0) {
        if (errno != EINTR)
            return -errno;
    }
    if (ready == 0)
        return -ETIMEDOUT;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EIO;
}

/* The words are not changed by those who are given them. */
static char *word(const char *text)
{
    union {
        const char *given;
        char *taken;
    } same = {.given = text};
    return same.taken;
}

int hostmount_mount(const struct hostmount *mount, int seconds)
{
    char *argv[9];
    unsigned count = 0;
    pid_t child;
    argv[count++] = word("mount");
    argv[count++] = word("-t");
    argv[count++] = word(mount->type);
    if (mount->flags) {
        argv[count++] = word("-o");
        argv[count++] = word(mount->flags);
    }
    argv[count++] = word("--");
    argv[count++] = word(mount->device);
    argv[count++] = word(mount->path);
    argv[count] = NULL;
    int err = spawn(argv, &child);
    return err ? err : wait_for(child, seconds);
}

int hostmount_is_mounted(const char *path, bool *answers)
{
    struct statx st;
    *answers = false;
    /* O_PATH and no synchronising: a server that is gone is not asked. */
    cleanup_fd int place = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (place < 0)
        return -errno;
    if (statx(place, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &st) < 0)
        return errno == ENOTCONN || errno == ESTALE || errno == EIO ? 1 : -errno;
    if (!(st.stx_attributes & STATX_ATTR_MOUNT_ROOT))
        return 0;
    cleanup_fd int opened = openat(place, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    *answers = opened >= 0;
    return 1;
}

int hostmount_unmount(const char *path)
{
    if (umount2(path, UMOUNT_NOFOLLOW) == 0)
        return 0;
    if (errno != EBUSY)
        return -errno;
    return umount2(path, UMOUNT_NOFOLLOW | MNT_DETACH) < 0 ? -errno : 0;
}
