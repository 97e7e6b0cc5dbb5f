/* SPDX-License-Identifier: MIT
 *
 * Duty: make a tmpfs by the calls that mount nothing (fsopen(2) and its kin), here or in a child
 * that has a user namespace for it. The child does system calls only: the daemon may have threads.
 */
#include "scratch.h"

#include "fd.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static int set_parameter(int fs, const char *key, const char *value)
{
    return syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, key, value, 0) < 0 ? -errno : 0;
}

/* What it is made with; nothing is owned. */
struct making {
    char size[32], mode[16];
    const struct volume_pairs *options;
};

static bool may(const struct making *making, const char *what, bool unsaid)
{
    const char *said = volume_pairs_get(making->options, what);
    return said ? strcmp(said, "yes") == 0 : unsaid;
}

static unsigned flags_of(const struct making *making)
{
    return (may(making, "dev", false) ? 0 : MOUNT_ATTR_NODEV) |
           (may(making, "suid", false) ? 0 : MOUNT_ATTR_NOSUID) |
           (may(making, "exec", true) ? 0 : MOUNT_ATTR_NOEXEC);
}

static int set_parameters(int fs, const struct making *making)
{
    static const char *const PASSED_ON[] = {"uid", "gid", "nr_inodes", "nr_blocks"};
    int err = *making->size ? set_parameter(fs, "size", making->size) : 0;
    if (!err)
        err = set_parameter(fs, "mode", making->mode);
    for (unsigned i = 0; !err && i < sizeof(PASSED_ON) / sizeof(PASSED_ON[0]); i++) {
        const char *value = volume_pairs_get(making->options, PASSED_ON[i]);
        err = value ? set_parameter(fs, PASSED_ON[i], value) : 0;
    }
    return err;
}

static int make_tmpfs(const struct making *making)
{
    cleanup_fd int fs = (int)syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC);
    if (fs < 0)
        return -errno;
    int err = set_parameters(fs, making);
    if (!err && syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        err = -errno;
    if (err)
        return err;
    cleanup_fd int mount = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, flags_of(making));
    return mount < 0 ? -errno : fd_open_name(mount, ".", O_RDONLY | O_DIRECTORY, 0);
}

/* ---- in a user namespace ---- */

struct maps {
    char uid[64], gid[64];
};

static int write_file(const char *path, const char *text)
{
    cleanup_fd int fd = open(path, O_WRONLY | O_CLOEXEC);
    return fd < 0 || write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

static int enter_namespace(const struct maps *maps)
{
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
        return -errno;
    int err = write_file("/proc/self/setgroups", "deny");
    if (!err)
        err = write_file("/proc/self/uid_map", maps->uid);
    return err ? err : write_file("/proc/self/gid_map", maps->gid);
}

static int send_fd(int socket, int fd)
{
    char byte = 0;
    union {
        char room[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {0};
    struct iovec data = {.iov_base = &byte, .iov_len = 1};
    struct msghdr message = {.msg_iov = &data,
                             .msg_iovlen = 1,
                             .msg_control = control.room,
                             .msg_controllen = sizeof(control.room)};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    *header = (struct cmsghdr){
        .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))};
    memcpy(CMSG_DATA(header), &fd, sizeof(int));
    return sendmsg(socket, &message, 0) < 0 ? -errno : 0;
}

static int receive_fd(int socket)
{
    char byte;
    int fd = -EPERM;
    union {
        char room[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec data = {.iov_base = &byte, .iov_len = 1};
    struct msghdr message = {.msg_iov = &data,
                             .msg_iovlen = 1,
                             .msg_control = control.room,
                             .msg_controllen = sizeof(control.room)};
    if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) <= 0)
        return -EPERM;
    const struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
        memcpy(&fd, CMSG_DATA(header), sizeof(int));
    return fd;
}

static void child(int socket, const struct maps *maps, const struct making *making)
{
    int fd = enter_namespace(maps);
    if (fd == 0)
        fd = make_tmpfs(making);
    _exit(fd < 0 ? -fd : -send_fd(socket, fd));
}

static int make_in_namespace(const struct making *making)
{
    struct maps maps;
    int pair[2];
    snprintf(maps.uid, sizeof(maps.uid), "%u %u 1", geteuid(), geteuid());
    snprintf(maps.gid, sizeof(maps.gid), "%u %u 1", getegid(), getegid());
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    pid_t pid = fork();
    if (pid == 0)
        child(pair[1], &maps, making);
    close(pair[1]);
    int fd = pid < 0 ? -errno : receive_fd(pair[0]);
    close(pair[0]);
    int status = 0;
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return fd < 0 && WIFEXITED(status) && WEXITSTATUS(status) == EINVAL ? -EINVAL : fd;
}

int scratch_open(uint64_t size, mode_t perm, const struct volume_pairs *options)
{
    struct making making = {.options = options};
    if (size > 0)
        snprintf(making.size, sizeof(making.size), "%llu", (unsigned long long)size);
    snprintf(making.mode, sizeof(making.mode), "%o", perm & 07777);
    int fd = make_tmpfs(&making);
    return fd == -EPERM ? make_in_namespace(&making) : fd;
}
