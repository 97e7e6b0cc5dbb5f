/* SPDX-License-Identifier: MIT
 *
 * Kills a program before a chosen system call of those that change something on disk, so that a
 * test can see what it leaves behind between every two steps. It needs no line in the program: it
 * stands at the beginning of each call under ptrace(2), where a SIGKILL keeps the call from being
 * done at all (kernel: syscall_trace_enter).
 *
 *   killer N PID           traces a running program; "ready" is said when it does
 *   killer N -- COMMAND    runs a program, and its children, to their end
 *   killer after USEC PID  kills it so many microseconds from now, wherever it is then
 *   killer pause PID       kills nothing: it waits for a line on its input before each call
 *   killer pause -- COMMAND
 *
 * N counts from 1; with 0 nothing is killed. A line is written for each call that was counted (its
 * name and where it goes); the last line is "killed" or "through". What goes to the device of FUSE,
 * to pipes and to sockets changes nothing on disk and is not counted. All of a program's threads
 * count together, in the order in which they come.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ENTRY_STOP (SIGTRAP | 0x80)

/* How a call is judged: by being there, by the flags of an open, or by what a descriptor is of. */
enum manner { ALWAYS, OPEN, OPEN2, DATA };

struct call {
    long number;
    const char *name;
    enum manner manner;
};

static const struct call CALLS[] = {
    {SYS_openat, "openat", OPEN},
    {SYS_openat2, "openat2", OPEN2},
    {SYS_mkdirat, "mkdirat", ALWAYS},
    {SYS_mknodat, "mknodat", ALWAYS},
    {SYS_linkat, "linkat", ALWAYS},
    {SYS_symlinkat, "symlinkat", ALWAYS},
    {SYS_unlinkat, "unlinkat", ALWAYS},
    {SYS_renameat2, "renameat2", ALWAYS},
    {SYS_setxattr, "setxattr", ALWAYS},
    {SYS_lsetxattr, "lsetxattr", ALWAYS},
    {SYS_fsetxattr, "fsetxattr", ALWAYS},
    {SYS_removexattr, "removexattr", ALWAYS},
    {SYS_lremovexattr, "lremovexattr", ALWAYS},
    {SYS_fremovexattr, "fremovexattr", ALWAYS},
    {SYS_fchmod, "fchmod", ALWAYS},
    {SYS_fchmodat, "fchmodat", ALWAYS},
    {452, "fchmodat2", ALWAYS},
    {463, "setxattrat", ALWAYS},
    {466, "removexattrat", ALWAYS},
    {SYS_fchown, "fchown", ALWAYS},
    {SYS_fchownat, "fchownat", ALWAYS},
    {SYS_utimensat, "utimensat", ALWAYS},
    {SYS_truncate, "truncate", ALWAYS},
    {SYS_ftruncate, "ftruncate", ALWAYS},
    {SYS_fallocate, "fallocate", DATA},
    {SYS_write, "write", DATA},
    {SYS_writev, "writev", DATA},
    {SYS_pwrite64, "pwrite64", DATA},
    {SYS_pwritev, "pwritev", DATA},
    {SYS_pwritev2, "pwritev2", DATA},
    {SYS_ioctl, "ioctl", DATA},
    {SYS_copy_file_range, "copy_file_range", ALWAYS},
    {SYS_sendfile, "sendfile", DATA},
    {SYS_fsync, "fsync", DATA},
    {SYS_fdatasync, "fdatasync", DATA},
    {SYS_sync_file_range, "sync_file_range", DATA},
    {SYS_syncfs, "syncfs", ALWAYS},
    {SYS_msync, "msync", ALWAYS},
#ifdef SYS_renameat
    {SYS_renameat, "renameat", ALWAYS},
#endif
#ifdef SYS_rename
    {SYS_open, "open", OPEN},
    {SYS_creat, "creat", ALWAYS},
    {SYS_rename, "rename", ALWAYS},
    {SYS_mkdir, "mkdir", ALWAYS},
    {SYS_mknod, "mknod", ALWAYS},
    {SYS_rmdir, "rmdir", ALWAYS},
    {SYS_link, "link", ALWAYS},
    {SYS_symlink, "symlink", ALWAYS},
    {SYS_unlink, "unlink", ALWAYS},
    {SYS_chmod, "chmod", ALWAYS},
    {SYS_chown, "chown", ALWAYS},
    {SYS_lchown, "lchown", ALWAYS},
#endif
};

/* Which of the counted calls the program dies before; or that none is done without a word of ours.
 */
struct watch {
    unsigned long last, count;
    bool pauses;
};

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "killer: %s: %s\n", what, strerror(errno));
    exit(2);
}

static const struct call *find_call(uint64_t number)
{
    for (size_t i = 0; i < sizeof(CALLS) / sizeof(CALLS[0]); i++) {
        if ((uint64_t)CALLS[i].number == number)
            return &CALLS[i];
    }
    return NULL;
}

/* Whether the descriptor is of a file or directory, not of a device, pipe or socket. */
static bool is_on_disk(pid_t task, uint64_t fd)
{
    char link[64], target[PATH_MAX];
    snprintf(link, sizeof(link), "/proc/%d/fd/%d", task, (int)fd);
    ssize_t length = readlink(link, target, sizeof(target) - 1);
    if (length < 0)
        return false;
    target[length] = 0;
    return target[0] == '/' && strcmp(target, "/dev/fuse") != 0 &&
           strcmp(target, "/dev/null") != 0 && strncmp(target, "/memfd:", 7) != 0 &&
           strncmp(target, "/proc/", 6) != 0;
}

static bool opens_to_make(uint64_t flags)
{
    return (flags & (O_CREAT | O_TRUNC)) || (flags & O_TMPFILE) == O_TMPFILE;
}

static bool changes_something(pid_t task, const struct call *call, const uint64_t args[6])
{
    struct open_how how = {0};
    struct iovec here = {&how, sizeof(how)}, there = {(void *)args[2], sizeof(how)};
    switch (call->manner) {
    case OPEN:
        return opens_to_make(args[call->number == SYS_openat ? 2 : 1]);
    case OPEN2:
        return process_vm_readv(task, &here, 1, &there, 1, 0) > 0 && opens_to_make(how.flags);
    case DATA:
        return is_on_disk(task, args[0]);
    default:
        return true;
    }
}

/* The first argument that is a path's text, for the log alone. */
static void log_call(pid_t task, const struct call *call, const uint64_t args[6])
{
    char text[4][128] = {{0}};
    for (int i = 0; i < 4; i++) {
        struct iovec here = {text[i], sizeof(text[i]) - 1};
        struct iovec there = {(void *)args[i], sizeof(text[i]) - 1};
        if (args[i] < 4096 || process_vm_readv(task, &here, 1, &there, 1, 0) <= 0)
            text[i][0] = 0;
        for (char *c = text[i]; *c; c++)
            *c = *c < ' ' || *c > '~' ? '?' : *c;
    }
    printf("%s %s %s %s %s\n", call->name, text[0], text[1], text[2], text[3]);
}

static void await_word(void)
{
    char line[16];
    fflush(stdout);
    (void)!fgets(line, sizeof(line), stdin);
}

/* A stop at the beginning of a call. Whether the program is to die of it. */
static bool is_the_one(pid_t task, struct watch *watch)
{
    struct __ptrace_syscall_info info = {0};
    if (ptrace(PTRACE_GET_SYSCALL_INFO, task, sizeof(info), &info) <= 0 ||
        info.op != PTRACE_SYSCALL_INFO_ENTRY)
        return false;
    const struct call *call = find_call(info.entry.nr);
    uint64_t args[6];
    memcpy(args, info.entry.args, sizeof(args));
    if (!call || !changes_something(task, call, args))
        return false;
    log_call(task, call, args);
    if (watch->pauses)
        await_word();
    return ++watch->count == watch->last;
}

/* Traces every thread there is, until no new one is found. */
static void seize(pid_t pid)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/task", pid);
    for (bool found = true; found;) {
        found = false;
        DIR *dir = opendir(path);
        if (!dir)
            fail(path);
        for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
            pid_t task = (pid_t)atoi(entry->d_name);
            if (task > 0 &&
                ptrace(PTRACE_SEIZE, task, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE) == 0) {
                ptrace(PTRACE_INTERRUPT, task, 0, 0);
                found = true;
            }
        }
        closedir(dir);
    }
}

static pid_t start(char **argv)
{
    pid_t pid = fork();
    if (pid == 0) {
        raise(SIGSTOP);
        execvp(argv[0], argv);
        _exit(127);
    }
    if (pid < 0 || waitpid(pid, NULL, WUNTRACED) != pid)
        fail("fork");
    const int options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK |
                        PTRACE_O_TRACEVFORK | PTRACE_O_EXITKILL;
    if (ptrace(PTRACE_SEIZE, pid, 0, options) < 0)
        fail("ptrace");
    kill(pid, SIGCONT);
    return pid;
}

/* Lets a stopped task go on to its next call, with the signal that it is due. */
static void go_on(pid_t task, int status)
{
    int signal = WSTOPSIG(status), event = status >> 16;
    if (event == PTRACE_EVENT_STOP && (signal == SIGSTOP || signal == SIGTSTP))
        ptrace(PTRACE_LISTEN, task, 0, 0);
    else
        ptrace(PTRACE_SYSCALL, task, 0, event || signal == ENTRY_STOP ? 0 : signal);
}

static void end(const char *how)
{
    puts(how);
    fflush(stdout);
}

/* With everything that it traces; a child that has become a daemon is let go. */
static int follow(pid_t pid, struct watch *watch, bool ours)
{
    int result = 0;
    for (;;) {
        int status;
        pid_t task = waitpid(-1, &status, __WALL);
        if (task < 0)
            return result;
        if (WIFSTOPPED(status)) {
            if (WSTOPSIG(status) == ENTRY_STOP && is_the_one(task, watch)) {
                kill(pid, SIGKILL);
                if (ours && task != pid)
                    kill(task, SIGKILL);
                watch->last = 0;
                result = 9;
                end("killed");
            }
            go_on(task, status);
        } else if (task == pid && result == 0) {
            result = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
            return end("through"), result;
        } else if (task == pid && !ours) {
            return result;
        }
    }
}

static int kill_after(unsigned long usec, pid_t pid)
{
    const struct timespec pause = {(time_t)(usec / 1000000), (long)(usec % 1000000) * 1000};
    end("ready");
    nanosleep(&pause, NULL);
    return kill(pid, SIGKILL) < 0;
}

int main(int argc, char **argv)
{
    if (argc < 3 || (strcmp(argv[2], "--") == 0 && argc < 4)) {
        fprintf(stderr, "usage: killer N PID\n       killer N -- COMMAND [ARGUMENT]...\n"
                        "       killer after USEC PID\n"
                        "       killer pause PID\n       killer pause -- COMMAND [ARGUMENT]...\n");
        return 2;
    }
    if (strcmp(argv[1], "after") == 0 && argc == 4)
        return kill_after(strtoul(argv[2], NULL, 10), (pid_t)atoi(argv[3]));
    struct watch watch = {.last = strtoul(argv[1], NULL, 10),
                          .pauses = strcmp(argv[1], "pause") == 0};
    bool ours = strcmp(argv[2], "--") == 0;
    pid_t pid = ours ? start(argv + 3) : (pid_t)atoi(argv[2]);
    if (ours)
        return follow(pid, &watch, true);
    seize(pid);
    end("ready");
    return follow(pid, &watch, false);
}
