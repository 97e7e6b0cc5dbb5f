/* SPDX-License-Identifier: MIT
 *
 * Duty: the pipe between the waiting parent and the daemon.
 */
#include "ready.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>

static int to_parent = -1;

/* A descriptor that the caller left open would keep a pipe of the caller's open as long as the
 * mount lasts. Nothing of ours is open yet but the end of the pipe. Before Linux 5.9 it is left so.
 */
static void drop_inherited(int kept)
{
#ifdef SYS_close_range
    if (kept > 3)
        (void)syscall(SYS_close_range, 3u, (unsigned)kept - 1, 0u);
    (void)syscall(SYS_close_range, (unsigned)kept + 1, ~0u, 0u);
#else
    (void)kept;
#endif
}

int ready_background(void)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    pid_t child = fork();
    if (child < 0) {
        int err = -errno;
        close(ends[0]);
        close(ends[1]);
        return err;
    }
    if (child == 0) {
        close(ends[0]);
        to_parent = ends[1];
        drop_inherited(to_parent);
        (void)!setsid();
        return 0;
    }
    close(ends[1]);
    unsigned char status = 1;
    ssize_t got;
    do {
        got = read(ends[0], &status, 1);
    } while (got < 0 && errno == EINTR);
    if (got != 1) {
        /* It died before it could say anything; its own words are on stderr. */
        int how = 0;
        waitpid(child, &how, 0);
        status = WIFEXITED(how) && WEXITSTATUS(how) != 0 ? (unsigned char)WEXITSTATUS(how) : 1;
    }
    _exit(status);
}

void ready_tell(int status)
{
    if (to_parent < 0)
        return;
    if (status == 0) {
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        for (int fd = 0; null >= 0 && fd < 3; fd++)
            dup2(null, fd);
        if (null > 2)
            close(null);
        (void)!chdir("/");
    }
    unsigned char byte = (unsigned char)status;
    /* It was killed. Nobody was told of the mount, and nobody would take it away. */
    if (write(to_parent, &byte, 1) < 0 && errno == EPIPE && status == 0)
        kill(getpid(), SIGTERM);
    close(to_parent);
    to_parent = -1;
}
