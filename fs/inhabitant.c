/* SPDX-License-Identifier: MIT
 *
 * Duty: read the links of /proc, as text alone: no filesystem is asked anything. Processes that end
 * meanwhile are no failure. Who has the mount made is looked at first, since a mount is waited for;
 * after that the lowest number, which is mostly who began the namespace and lasts longest.
 */
#include "inhabitant.h"

#include "fd.h"
#include "mountinfo.h"

#include <ctype.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/nsfs.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* What tells those who do not count: this process, and whoever runs a program of the same name and
 * serves FUSE too, or is the parent, which ends as soon as the mount is there. The name, because
 * another daemon's may have been replaced since by a newer one. */
struct census {
    char space[64]; /* "mnt:[4026531841]" */
    char program[NAME_MAX + 1];
    pid_t self, parent;
};

static int read_link(int dir, const char *name, char *text, size_t room)
{
    ssize_t length = readlinkat(dir, name, text, room - 1);
    if (length < 0)
        return -errno;
    text[length] = 0;
    return 0;
}

/* "plyfs", where the link `exe` leads to "/usr/bin/plyfs (deleted)". */
static int read_program(int dir, const char *exe, char program[NAME_MAX + 1])
{
    static const char deleted[] = " (deleted)";
    char path[PATH_MAX];
    int err = read_link(dir, exe, path, sizeof(path));
    if (err)
        return err;
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    size_t length = strlen(name), end = sizeof(deleted) - 1;
    if (length > end && strcmp(name + length - end, deleted) == 0)
        length -= end;
    snprintf(program, NAME_MAX + 1, "%.*s", (int)length, name);
    return 0;
}

/* The user namespace that has the mount namespace is this process's own. */
static bool is_root_of_namespace(void)
{
    struct stat owner, own;
    cleanup_fd int space = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
    cleanup_fd int user = space < 0 ? -1 : ioctl(space, NS_GET_USERNS);
    return geteuid() == 0 && user >= 0 && fstat(user, &owner) == 0 &&
           stat("/proc/self/ns/user", &own) == 0 && owner.st_ino == own.st_ino;
}

/* The one of the first process lasts as long as all others do. */
static bool is_of_init(void)
{
    struct stat own, first;
    return stat("/proc/self/ns/mnt", &own) == 0 && stat("/proc/1/ns/mnt", &first) == 0 &&
           own.st_ino == first.st_ino;
}

bool inhabitant_counts(const char *mountpoint)
{
    dev_t device;
    return is_root_of_namespace() && !is_of_init() && mountinfo_device(mountpoint, &device) == 0 &&
           mountinfo_is_private(device);
}

static int is_device(void *context, const char *name)
{
    char target[sizeof("/dev/fuse")];
    const int *files = context;
    return read_link(*files, name, target, sizeof(target)) == 0 && strcmp(target, "/dev/fuse") == 0;
}

static bool serves_fuse(int process)
{
    cleanup_fd int files = fd_open_name(process, "fd", O_RDONLY | O_DIRECTORY, 0);
    return files >= 0 && fd_each_name(files, is_device, &files) == 1;
}

static bool counts(const struct census *census, int process, pid_t pid)
{
    char space[sizeof(census->space)], program[NAME_MAX + 1];
    cleanup_fd int spaces = fd_open_name(process, "ns", O_RDONLY | O_DIRECTORY, 0);
    if (spaces < 0 || read_link(spaces, "mnt", space, sizeof(space)) ||
        strcmp(space, census->space) != 0)
        return false;
    return read_program(process, "exe", program) || strcmp(program, census->program) != 0 ||
           (pid != census->parent && !serves_fuse(process));
}

/* A pidfd of the process that is a name beneath /proc, if it counts; else 0. It is had before the
 * question: a number that is used again meanwhile is another process. */
static int watch_process(const struct census *census, int proc, const char *name)
{
    pid_t pid = (pid_t)strtol(name, NULL, 10);
    if (!isdigit((unsigned char)name[0]) || pid == census->self)
        return 0;
    cleanup_fd int watched = (int)syscall(SYS_pidfd_open, pid, 0);
    cleanup_fd int process = watched < 0 ? -1 : fd_open_name(proc, name, O_RDONLY | O_DIRECTORY, 0);
    return process >= 0 && counts(census, process, pid) ? steal_fd(&watched) : 0;
}

/* Mostly the tool that has the mount made: the parent of the parent. 0: it does not count. */
static int watch_caller(const struct census *census, int proc)
{
    char path[32], text[512], caller[16];
    snprintf(path, sizeof(path), "%d/stat", (int)census->parent);
    cleanup_fd int fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (length <= 0)
        return 0;
    text[length] = 0;
    const char *rest = strrchr(text, ')'); /* the command before it may hold anything */
    if (!rest || sscanf(rest, ") %*c %15[0-9]", caller) != 1)
        return 0;
    return watch_process(census, proc, caller);
}

struct search {
    const struct census *census;
    int proc;
};

static int watch_each(void *context, const char *name)
{
    const struct search *search = context;
    return watch_process(search->census, search->proc, name);
}

int inhabitant_watch(void)
{
    struct census census = {.self = getpid(), .parent = getppid()};
    cleanup_fd int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (proc < 0)
        return -errno;
    int err = read_link(proc, "self/ns/mnt", census.space, sizeof(census.space));
    if (!err)
        err = read_program(proc, "self/exe", census.program);
    if (err)
        return err;
    int watched = watch_caller(&census, proc);
    if (watched <= 0)
        watched = fd_each_name(proc, watch_each, &(struct search){&census, proc});
    return watched == 0 ? -ESRCH : watched;
}

static bool is_here(int proc, pid_t process)
{
    char path[32], here[64], there[64];
    snprintf(path, sizeof(path), "%d/ns/mnt", (int)process);
    return read_link(proc, "self/ns/mnt", here, sizeof(here)) == 0 &&
           read_link(proc, path, there, sizeof(there)) == 0 && strcmp(here, there) == 0;
}

int inhabitant_watch_parent(void)
{
    const pid_t parent = getppid();
    cleanup_fd int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (proc < 0)
        return -errno;
    cleanup_fd int watched = (int)syscall(SYS_pidfd_open, parent, 0);
    if (watched >= 0 && is_here(proc, parent))
        return steal_fd(&watched);
    int gone = eventfd(1, EFD_CLOEXEC);
    return gone < 0 ? -errno : gone;
}
