/* SPDX-License-Identifier: MIT
 *
 * Duty: one thread that waits, and unmounts by another, so that it still hears the second signal.
 */
#include "ending.h"

#include "inhabitant.h"
#include "log.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

int ending_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    /* A file that may not grow is an errno for one, not the end for all. */
    signal(SIGXFSZ, SIG_IGN);
    int fd = signalfd(-1, &set, SFD_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static int run_fusermount(char *mountpoint, bool lazy)
{
    extern char **environ;
    char program[] = "fusermount3", plain[] = "-u", lazily[] = "-uz", end[] = "--";
    char *const argv[] = {program, lazy ? lazily : plain, end, mountpoint, NULL};
    pid_t child;
    int status = 0;
    if (posix_spawnp(&child, program, NULL, NULL, argv, environ) != 0)
        return -ENOENT;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EBUSY;
}

/* Unmounts while the workers go on serving: the kernel may have pages to write back. */
static void *unmount(void *argument)
{
    char *at = argument;
    int fd = open(at, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        syncfs(fd);
        close(fd);
    }
    if (umount2(at, UMOUNT_NOFOLLOW) == 0)
        return NULL;
    if (errno == EBUSY && umount2(at, UMOUNT_NOFOLLOW | MNT_DETACH) == 0)
        return NULL;
    if (errno == EPERM && run_fusermount(at, false) != 0)
        (void)run_fusermount(at, true);
    return NULL;
}

/* What the main thread waits for while others serve. */
struct ending {
    const struct options *options;
    int signals;
    int neighbour;    /* a pidfd of somebody else in the namespace (inhabitant.h); < 0: of nobody */
    pthread_t helper; /* unmounts */
    bool asked;       /* it was asked to */
};

static void ask(struct ending *ending)
{
    ending->asked =
        pthread_create(&ending->helper, NULL, unmount, ending->options->mountpoint) == 0;
}

/* The neighbour has gone. Where it was the last, nobody can come here any more; what is busy is
 * served on, for it was taken along into another namespace. */
static void look_for_neighbours(struct ending *ending)
{
    close(ending->neighbour);
    ending->neighbour = inhabitant_watch();
    if (ending->neighbour == -ESRCH && !ending->asked) {
        log_debug("nobody is left in the mount namespace: unmounting");
        ask(ending);
    }
}

/* A signal unmounts, a second one ends at once. */
static void take_signal(struct ending *ending)
{
    struct signalfd_siginfo info;
    if (read(ending->signals, &info, sizeof(info)) != sizeof(info))
        return;
    if (ending->asked)
        _exit(128 + (int)info.ssi_signo);
    ask(ending);
}

/* A daemon in the foreground is looked after by who started it. */
int ending_neighbour(const struct options *options)
{
    if (options->foreground || !inhabitant_counts(options->mountpoint))
        return -ESRCH;
    int watched = inhabitant_watch();
    return watched == -ESRCH ? inhabitant_watch_parent() : watched;
}

void ending_wait(const struct options *options, int done, int signals, int neighbour)
{
    struct ending ending = {.options = options, .signals = signals, .neighbour = neighbour};
    for (;;) {
        struct pollfd fds[] = {{.fd = done, .events = POLLIN},
                               {.fd = signals, .events = POLLIN},
                               {.fd = ending.neighbour, .events = POLLIN}};
        if (poll(fds, sizeof(fds) / sizeof(fds[0]), -1) < 0)
            continue;
        if (fds[0].revents)
            break;
        if (fds[1].revents)
            take_signal(&ending);
        if (fds[2].revents)
            look_for_neighbours(&ending);
    }
    if (ending.neighbour >= 0)
        close(ending.neighbour);
    if (ending.asked)
        pthread_join(ending.helper, NULL);
}
