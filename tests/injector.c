/* SPDX-License-Identifier: MIT
 *
 * Faults of the backing store: makes system calls of a program fail that reach into one directory.
 *
 *     injector CONTROL DIRECTORY PROGRAM [ARGUMENT]...
 *
 * CONTROL is a file that holds a struct control, which a test maps and writes while the program
 * runs. The program runs under a seccomp filter (its children too) that hands the calls of the
 * table below to a process of ours in the background, which lets them go on, or answers with an
 * errno in their place: then they have not been made at all. A read may be given a part of what it
 * asked for instead. Calls on anything outside DIRECTORY (the FUSE device, libraries, sockets)
 * always go on and are not counted. We end with the program.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* What a call does; a fault says which of them it strikes. */
enum {
    LOOK = 1,    /* asks or reads */
    CHANGE = 2,  /* changes something: refused by a filesystem that is read-only */
    ROOM = 4,    /* may need a block or an inode: refused by one that is full */
    HANDLE = 8,  /* gives a descriptor */
    MEMORY = 16, /* not a system call: see starver.c */
    DATA = 32,   /* reads what is in a file */
};

/* tests/faultkit.py has the same layout. All but `seen`, `failed` and `call` is the test's. */
struct control {
    uint32_t armed;   /* whether calls are counted and may fail */
    uint32_t classes; /* of the above, any of */
    uint32_t number;  /* the call that fails, from 1 */
    uint32_t lasting; /* and every one after it */
    uint32_t error;   /* with this errno */
    uint32_t seen;    /* calls of these classes since */
    uint32_t failed;  /* those that were made to fail */
    uint32_t part;    /* not 0: a read that fails gives so many bytes first, and the next fails */
    char call[32];    /* the first of them */
    char under[960];  /* only calls beneath this directory; "" for all of DIRECTORY */
};

/* Where the first path of a call is: a descriptor in argument `fd`, a path in argument `path`
 * (-1: none) that starts there. `more` is the argument of a second descriptor. */
struct rule {
    int number;
    const char *name;
    unsigned classes;
    int fd, path, more;
};

enum { NO = -1, CWD = -2 };

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif
#ifndef SYS_setxattrat
#define SYS_setxattrat 463
#define SYS_getxattrat 464
#define SYS_listxattrat 465
#define SYS_removexattrat 466
#endif

static const struct rule RULES[] = {
    {SYS_open, "open", 0, CWD, 0, NO},
    {SYS_openat, "openat", 0, 0, 1, NO},
    {SYS_openat2, "openat2", LOOK | HANDLE, 0, 1, NO},
    {SYS_open_by_handle_at, "open_by_handle_at", LOOK | HANDLE, 0, NO, NO},
    {SYS_dup, "dup", HANDLE, 0, NO, NO},
    {SYS_fcntl, "fcntl", 0, 0, NO, NO},
    {SYS_stat, "stat", LOOK, CWD, 0, NO},
    {SYS_lstat, "lstat", LOOK, CWD, 0, NO},
    {SYS_fstat, "fstat", LOOK, 0, NO, NO},
    {SYS_newfstatat, "newfstatat", LOOK, 0, 1, NO},
    {SYS_statx, "statx", LOOK, 0, 1, NO},
    {SYS_statfs, "statfs", LOOK, CWD, 0, NO},
    {SYS_fstatfs, "fstatfs", LOOK, 0, NO, NO},
    {SYS_readlink, "readlink", LOOK, CWD, 0, NO},
    {SYS_readlinkat, "readlinkat", LOOK, 0, 1, NO},
    {SYS_getdents64, "getdents64", LOOK, 0, NO, NO},
    {SYS_name_to_handle_at, "name_to_handle_at", LOOK, 0, 1, NO},
    {SYS_read, "read", LOOK | DATA, 0, NO, NO},
    {SYS_pread64, "pread64", LOOK | DATA, 0, NO, NO},
    {SYS_preadv, "preadv", LOOK | DATA, 0, NO, NO},
    {SYS_splice, "splice", LOOK | DATA, 0, NO, NO},
    {SYS_write, "write", CHANGE | ROOM, 0, NO, NO},
    {SYS_pwrite64, "pwrite64", CHANGE | ROOM, 0, NO, NO},
    {SYS_pwritev, "pwritev", CHANGE | ROOM, 0, NO, NO},
    {SYS_pwritev2, "pwritev2", CHANGE | ROOM, 0, NO, NO},
    {SYS_copy_file_range, "copy_file_range", LOOK | CHANGE | ROOM, 2, NO, NO},
    {SYS_fallocate, "fallocate", CHANGE | ROOM, 0, NO, NO},
    {SYS_truncate, "truncate", CHANGE | ROOM, CWD, 0, NO},
    {SYS_ftruncate, "ftruncate", CHANGE | ROOM, 0, NO, NO},
    {SYS_fsync, "fsync", CHANGE | ROOM, 0, NO, NO},
    {SYS_fdatasync, "fdatasync", CHANGE | ROOM, 0, NO, NO},
    {SYS_syncfs, "syncfs", CHANGE | ROOM, 0, NO, NO},
    {SYS_ioctl, "ioctl", LOOK | CHANGE, 0, NO, NO},
    {SYS_mkdir, "mkdir", CHANGE | ROOM, CWD, 0, NO},
    {SYS_mkdirat, "mkdirat", CHANGE | ROOM, 0, 1, NO},
    {SYS_mknodat, "mknodat", CHANGE | ROOM, 0, 1, NO},
    {SYS_symlinkat, "symlinkat", CHANGE | ROOM, 1, 2, NO},
    {SYS_linkat, "linkat", CHANGE | ROOM, 2, 3, NO},
    {SYS_unlink, "unlink", CHANGE, CWD, 0, NO},
    {SYS_rmdir, "rmdir", CHANGE, CWD, 0, NO},
    {SYS_unlinkat, "unlinkat", CHANGE, 0, 1, NO},
    {SYS_rename, "rename", CHANGE | ROOM, CWD, 0, NO},
    {SYS_renameat, "renameat", CHANGE | ROOM, 0, 1, 2},
    {SYS_renameat2, "renameat2", CHANGE | ROOM, 0, 1, 2},
    {SYS_chmod, "chmod", CHANGE, CWD, 0, NO},
    {SYS_fchmod, "fchmod", CHANGE, 0, NO, NO},
    {SYS_fchmodat, "fchmodat", CHANGE, 0, 1, NO},
    {SYS_fchmodat2, "fchmodat2", CHANGE, 0, 1, NO},
    {SYS_fchown, "fchown", CHANGE, 0, NO, NO},
    {SYS_fchownat, "fchownat", CHANGE, 0, 1, NO},
    {SYS_utimensat, "utimensat", CHANGE, 0, 1, NO},
    {SYS_getxattr, "getxattr", LOOK, CWD, 0, NO},
    {SYS_lgetxattr, "lgetxattr", LOOK, CWD, 0, NO},
    {SYS_fgetxattr, "fgetxattr", LOOK, 0, NO, NO},
    {SYS_getxattrat, "getxattrat", LOOK, 0, 1, NO},
    {SYS_listxattr, "listxattr", LOOK, CWD, 0, NO},
    {SYS_llistxattr, "llistxattr", LOOK, CWD, 0, NO},
    {SYS_flistxattr, "flistxattr", LOOK, 0, NO, NO},
    {SYS_listxattrat, "listxattrat", LOOK, 0, 1, NO},
    {SYS_setxattr, "setxattr", CHANGE | ROOM, CWD, 0, NO},
    {SYS_lsetxattr, "lsetxattr", CHANGE | ROOM, CWD, 0, NO},
    {SYS_fsetxattr, "fsetxattr", CHANGE | ROOM, 0, NO, NO},
    {SYS_setxattrat, "setxattrat", CHANGE | ROOM, 0, 1, NO},
    {SYS_removexattr, "removexattr", CHANGE, CWD, 0, NO},
    {SYS_lremovexattr, "lremovexattr", CHANGE, CWD, 0, NO},
    {SYS_fremovexattr, "fremovexattr", CHANGE, 0, NO, NO},
    {SYS_removexattrat, "removexattrat", CHANGE, 0, 1, NO},
};

enum { RULE_COUNT = sizeof(RULES) / sizeof(RULES[0]) };

static void die(const char *what)
{
    fprintf(stderr, "injector: %s: %s\n", what, strerror(errno));
    exit(125);
}

/* ---- the filter ---- */

static int install(void)
{
    struct sock_filter code[RULE_COUNT + 6];
    unsigned short length = 0;
    code[length++] =
        (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (unsigned i = 0; i < RULE_COUNT; i++)
        code[length++] = (struct sock_filter)BPF_JUMP(
            BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)RULES[i].number, (uint8_t)(RULE_COUNT - i), 0);
    code[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    code[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
    const struct sock_fprog program = {.len = length, .filter = code};
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
                        &program);
}

/* ---- what a call reaches ---- */

static bool beneath(const char *path, const char *directory)
{
    size_t length = strlen(directory);
    return strncmp(path, directory, length) == 0 && (path[length] == '/' || path[length] == 0);
}

static bool link_of(pid_t pid, const char *link, char path[PATH_MAX])
{
    char name[64];
    snprintf(name, sizeof(name), "/proc/%d/%s", (int)pid, link);
    ssize_t length = readlink(name, path, PATH_MAX - 1);
    path[length < 0 ? 0 : length] = 0;
    return length > 0;
}

static bool path_of_fd(pid_t pid, int fd, char path[PATH_MAX])
{
    char link[32];
    snprintf(link, sizeof(link), "fd/%d", fd);
    return link_of(pid, fd == AT_FDCWD ? "cwd" : link, path);
}

static bool is_same(const char *path, const struct stat *st)
{
    struct stat other;
    return lstat(path, &other) == 0 && other.st_ino == st->st_ino && other.st_dev == st->st_dev;
}

/* Whether a descriptor is of something in the directory. Layers are open through mounts that nobody
 * else sees, and their paths begin where those do: then it is one of the layers, all of which are
 * in DIRECTORY (`whole`), or known by its inode. */
static bool lies_in(pid_t pid, int fd, const char *directory, bool whole)
{
    struct stat st;
    char path[PATH_MAX], link[64];
    if (!path_of_fd(pid, fd, path) || path[0] != '/' || beneath(path, directory))
        return path[0] == '/';
    const size_t length = strlen(path), gone = strlen(" (deleted)");
    if (length > gone && strcmp(path + length - gone, " (deleted)") == 0)
        return false;
    if (fd == AT_FDCWD)
        return false;
    snprintf(link, sizeof(link), "/proc/%d/fd/%d", (int)pid, fd);
    return stat(link, &st) == 0 && !is_same(path, &st) && (whole || is_same(directory, &st));
}

/* A string of the program: its first part, a page at most. */
static void string_at(pid_t pid, uint64_t address, char text[PATH_MAX])
{
    size_t got = 0;
    while (got < PATH_MAX - 1) {
        size_t want = 4096 - (address + got) % 4096;
        want = want > PATH_MAX - 1 - got ? PATH_MAX - 1 - got : want;
        const struct iovec here = {text + got, want};
        const struct iovec there = {(void *)(uintptr_t)(address + got), want};
        if (process_vm_readv(pid, &here, 1, &there, 1, 0) != (ssize_t)want ||
            memchr(text + got, 0, want))
            break;
        got += want;
    }
    text[PATH_MAX - 1] = 0;
}

static bool reaches(const struct seccomp_notif *call, int fd, int argument, const char *directory,
                    bool whole)
{
    char path[PATH_MAX] = "";
    int dir = fd == CWD ? AT_FDCWD : (int)call->data.args[fd];
    pid_t pid = (pid_t)call->pid;
    if (argument != NO)
        string_at(pid, call->data.args[argument], path);
    int number;
    if (sscanf(path, "/proc/self/fd/%d", &number) == 1)
        return lies_in(pid, number, directory, whole);
    if (path[0] == '/')
        return beneath(path, directory);
    return lies_in(pid, dir, directory, whole);
}

/* What an open(2) does depends on its flags. */
static unsigned classes_of_open(uint64_t flags)
{
    if (flags & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY)))
        return LOOK | CHANGE | ROOM | HANDLE;
    return (flags & O_ACCMODE) == O_RDONLY || (flags & O_PATH) ? LOOK | HANDLE
                                                               : LOOK | CHANGE | HANDLE;
}

static unsigned classes_of(const struct seccomp_notif *call, const struct rule *rule)
{
    if (rule->number == SYS_open)
        return classes_of_open(call->data.args[1]);
    if (rule->number == SYS_openat)
        return classes_of_open(call->data.args[2]);
    if (rule->number == SYS_fcntl)
        return call->data.args[1] == F_DUPFD || call->data.args[1] == F_DUPFD_CLOEXEC ? HANDLE : 0;
    return rule->classes;
}

static int open_theirs(const struct seccomp_notif *call, uint64_t fd, int flags)
{
    char name[64];
    snprintf(name, sizeof(name), "/proc/%d/fd/%d", (int)call->pid, (int)fd);
    return open(name, flags | O_CLOEXEC);
}

static bool write_theirs(const struct seccomp_notif *call, uint64_t at, const void *data,
                         size_t size)
{
    const struct iovec here = {(void *)(uintptr_t)data, size};
    const struct iovec there = {(void *)(uintptr_t)at, size};
    return process_vm_writev((pid_t)call->pid, &here, 1, &there, 1, 0) == (ssize_t)size;
}

static bool read_part(const struct seccomp_notif *call, char *bytes, size_t part, off_t offset)
{
    int fd = open_theirs(call, call->data.args[0], O_RDONLY);
    ssize_t got = fd < 0 ? -1 : pread(fd, bytes, part, offset);
    if (fd >= 0)
        close(fd);
    return got == (ssize_t)part;
}

/* splice(2) from an offset into a pipe. */
static bool splice_part(const struct seccomp_notif *call, char *bytes, size_t part)
{
    off_t offset;
    const uint64_t at = call->data.args[1];
    const struct iovec here = {&offset, sizeof(offset)};
    const struct iovec there = {(void *)(uintptr_t)at, sizeof(offset)};
    if (process_vm_readv((pid_t)call->pid, &here, 1, &there, 1, 0) != sizeof(offset) ||
        !read_part(call, bytes, part, offset))
        return false;
    int pipe = open_theirs(call, call->data.args[2], O_WRONLY);
    ssize_t put = pipe < 0 ? -1 : write(pipe, bytes, part);
    if (pipe >= 0)
        close(pipe);
    offset += (off_t)part;
    return put == (ssize_t)part && write_theirs(call, at, &offset, sizeof(offset));
}

/* What a disk does that cannot read on: gives a read its first `part` bytes, which we read in the
 * program's place. Returns how many it was given; 0 if the call is not such. */
static int64_t give_part(const struct seccomp_notif *call, size_t part)
{
    static char bytes[1 << 20];
    bool given = false;
    if (part > sizeof(bytes))
        return 0;
    if (call->data.nr == SYS_pread64 && call->data.args[2] > part)
        given = read_part(call, bytes, part, (off_t)call->data.args[3]) &&
                write_theirs(call, call->data.args[1], bytes, part);
    else if (call->data.nr == SYS_splice && call->data.args[4] > part)
        given = splice_part(call, bytes, part);
    return given ? (int64_t)part : 0;
}

/* The errno that this call is to fail with; 0 to let it go on, or where it has been given `given`
 * bytes instead. */
static int verdict(struct control *control, const char *directory, const struct seccomp_notif *call,
                   int64_t *given)
{
    const struct rule *rule = RULES;
    if (!__atomic_load_n(&control->armed, __ATOMIC_ACQUIRE))
        return 0;
    while (rule->number != call->data.nr)
        rule++;
    if (!(classes_of(call, rule) & control->classes))
        return 0;
    const bool whole = control->under[0] == 0;
    const char *under = whole ? directory : control->under;
    if (!reaches(call, rule->fd, rule->path, under, whole) &&
        (rule->more == NO || !reaches(call, rule->more, rule->more + 1, under, whole)))
        return 0;
    uint32_t seen = ++control->seen;
    if (seen != control->number && !(control->lasting && seen > control->number))
        return 0;
    if (control->part && (*given = give_part(call, control->part)) > 0) {
        control->part = 0;
        control->number++;
        return 0;
    }
    if (control->failed++ == 0)
        snprintf(control->call, sizeof(control->call), "%s", rule->name);
    return (int)control->error;
}

static void supervise(struct control *control, const char *directory, int listener)
{
    struct seccomp_notif call;
    for (;;) {
        struct pollfd ready = {.fd = listener, .events = POLLIN};
        if (poll(&ready, 1, -1) < 0 && errno != EINTR)
            return;
        if (ready.revents & POLLHUP)
            return;
        memset(&call, 0, sizeof(call));
        if (!(ready.revents & POLLIN) || ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &call) < 0)
            continue;
        struct seccomp_notif_resp answer = {.id = call.id};
        int64_t given = 0;
        answer.error = -verdict(control, directory, &call, &given);
        answer.val = given;
        answer.flags = answer.error || given ? 0 : SECCOMP_USER_NOTIF_FLAG_CONTINUE;
        ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
    }
}

/* ---- two processes ---- */

static void send_fd(int socket, int fd)
{
    char byte = 0, room[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec piece = {&byte, 1};
    struct msghdr message = {
        .msg_iov = &piece, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof(room)};
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    *head = (struct cmsghdr){
        .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))};
    memcpy(CMSG_DATA(head), &fd, sizeof(int));
    if (sendmsg(socket, &message, 0) < 0)
        die("sending the listener");
}

static int receive_fd(int socket)
{
    char byte, room[CMSG_SPACE(sizeof(int))];
    struct iovec piece = {&byte, 1};
    struct msghdr message = {
        .msg_iov = &piece, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof(room)};
    int fd = -1;
    if (recvmsg(socket, &message, 0) == 1 && CMSG_FIRSTHDR(&message))
        memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(int));
    return fd;
}

/* Forked twice: the program must not find a child that it does not know. */
static void start_supervisor(struct control *control, const char *directory, const int pair[2])
{
    pid_t first = fork();
    if (first < 0)
        die("fork");
    if (first > 0) {
        while (syscall(SYS_wait4, first, NULL, 0, NULL) < 0 && errno == EINTR)
            ;
        return;
    }
    if (fork() != 0)
        _exit(0);
    setsid();
    close(pair[0]);
    int listener = receive_fd(pair[1]), null = open("/dev/null", O_RDWR);
    for (int i = 0; i < 3; i++)
        dup2(null, i);
    /* Whatever else the test had open is none of ours: a pipe would never end. */
    for (int i = 3; i < 1024; i++)
        if (i != listener)
            close(i);
    if (listener >= 0)
        supervise(control, directory, listener);
    _exit(0);
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "usage: injector CONTROL DIRECTORY PROGRAM [ARGUMENT]...\n");
        return 125;
    }
    int fd = open(argv[1], O_RDWR | O_CLOEXEC), pair[2];
    struct control *control =
        mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd < 0 || control == MAP_FAILED)
        die(argv[1]);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        die("socketpair");
    start_supervisor(control, argv[2], pair);
    if (geteuid() != 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        die("no_new_privs");
    int listener = install();
    if (listener < 0)
        die("seccomp");
    send_fd(pair[0], listener);
    close(listener);
    close(pair[0]);
    close(pair[1]);
    execvp(argv[3], argv + 3);
    die(argv[3]);
}
