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
#include <string.h>
#include <sys/syscall.h>

static _Thread_local struct {
    pid_t thread;
    uid_t uid;
    bool writeback;
} asker;

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

void asker_is_writeback(void)
{
    asker.writeback = true;
}

/* Reads the beginning of a file of a process into `text`, as a string: its length, or -errno. */
static ssize_t read_of(pid_t id, const char *file, char *text, size_t size)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/%s", (int)id, file);
    cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, text, size - 1);
    if (length < 0)
        return -errno;
    text[length] = 0;
    return length;
}

/* Signal 0 is sent to nobody: the kernel looks for a thread of that process, and that it finds one
 * whose id is the process's own says that it is the first. */
static bool leads_its_process(pid_t thread)
{
    return syscall(SYS_tgkill, thread, thread, 0) == 0 || errno != ESRCH;
}

static pid_t process_of(pid_t thread)
{
    char text[512];
    int process;
    if (leads_its_process(thread))
        return thread;
    const char *line =
        read_of(thread, "status", text, sizeof(text)) > 0 ? strstr(text, "\nTgid:") : NULL;
    return line && sscanf(line, "\nTgid: %d", &process) == 1 ? process : thread;
}

void asker_name(struct event *event)
{
    event->writeback = asker.writeback;
    if (asker.thread == 0 || asker.writeback)
        return;
    event->pid = process_of(asker.thread);
    event->uid = asker.uid;
    ssize_t length = read_of(event->pid, "comm", event->command, sizeof(event->command));
    if (length > 0 && event->command[length - 1] == '\n')
        event->command[length - 1] = 0;
    if (length < 0)
        event->command[0] = 0;
}
