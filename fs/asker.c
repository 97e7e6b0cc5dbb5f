/* SPDX-License-Identifier: MIT
 *
 * Duty: from the id of a thread to the process it belongs to, in /proc.
 */
#include "asker.h"

#include "fd.h"
#include "own.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

static _Thread_local struct {
    pid_t thread;
    uid_t uid;
    bool writeback;
} asker;

/* The command of the process that was named last, open: what is read from it is the command of that
 * very process as it is now, also after exec(2), and when it is gone nothing is. It is kept of a
 * process that asks by its first thread: the id of another may soon be one of another process. */
static _Thread_local struct {
    pid_t process;
    int comm;
} last = {.comm = -1};

void asker_begin(pid_t thread, uid_t uid)
{
    asker.thread = thread;
    asker.uid = uid;
    asker.writeback = false;
}

void asker_end(void)
{
    asker.thread = 0;
    asker.writeback = false;
}

pid_t asker_thread(void)
{
    return asker.thread;
}

void asker_is_writeback(void)
{
    asker.writeback = true;
}

bool asker_wrote_back(void)
{
    return asker.writeback;
}

/* Opens a file of a process. */
static int open_of(pid_t id, const char *file)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/%s", (int)id, file);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/* Signal 0 is sent to nobody: the kernel looks for a thread of that process, and that it finds one
 * whose id is the process's own says that it is the first. */
static bool leads_its_process(pid_t thread)
{
    return syscall(SYS_tgkill, thread, thread, 0) == 0 || errno != ESRCH;
}

/* Reads what the kernel tells of a thread; "" when it is gone. */
static void read_status(pid_t thread, char *text, size_t size)
{
    cleanup_fd int status = open_of(thread, "status");
    ssize_t length = status < 0 ? 0 : read(status, text, size - 1);
    text[length > 0 ? length : 0] = 0;
}

static pid_t process_of(pid_t thread)
{
    char text[512];
    int process;
    if (leads_its_process(thread))
        return thread;
    read_status(thread, text, sizeof(text));
    const char *line = strstr(text, "\nTgid:");
    return line && sscanf(line, "\nTgid: %d", &process) == 1 ? process : thread;
}

/* Whatever signal ends a process, each of its threads has SIGKILL to handle then (complete_signal()
 * in the kernel). The line stands behind that of all groups, of which there may be many. */
bool asker_is_dying(void)
{
    enum { MUCH = 1 << 17 };
    unsigned long long pending;
    cleanup_free char *text = asker.thread && !asker.writeback ? malloc(MUCH) : NULL;
    if (!text)
        return false;
    read_status(asker.thread, text, MUCH);
    const char *line = strstr(text, "\nSigPnd:");
    return line && sscanf(line, "\nSigPnd: %llx", &pending) == 1 && (pending >> (SIGKILL - 1) & 1);
}

/* A line of a file, without its end; false when there is nothing to read any more. */
static bool read_line(int fd, char *text, size_t size)
{
    ssize_t length = pread(fd, text, size - 1, 0);
    text[length > 0 ? length : 0] = 0;
    text[strcspn(text, "\n")] = 0;
    return length > 0;
}

static void name_process(struct event *event)
{
    if (last.process == asker.thread && read_line(last.comm, event->command, EVENT_COMMAND_SIZE)) {
        event->pid = last.process;
        return;
    }
    event->pid = process_of(asker.thread);
    cleanup_fd int comm = open_of(event->pid, "comm");
    if (comm < 0)
        return;
    (void)!read_line(comm, event->command, EVENT_COMMAND_SIZE);
    if (event->pid == asker.thread) {
        own_close(&last.comm);
        last.comm = steal_fd(&comm);
        last.process = event->pid;
    }
}

void asker_name(struct event *event)
{
    event->writeback = asker.writeback;
    if (asker.thread == 0 || asker.writeback)
        return;
    event->uid = asker.uid;
    name_process(event);
}
