/* SPDX-License-Identifier: MIT
 *
 * Duty: never hold less than was asked for unless the file ends there, and never leave anything in
 * a pipe. What splice(2) gives short may be the end or an error half way: read(2) tells which.
 */
#include "datapipe.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { LEAST = 64 * 1024, MOST = 512 * 1024 };
enum { ROOM = 2 * MOST }; /* of the pipe: what any user may have, and MOST at any offset */

struct datapipe {
    int ends[2];
};

static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static _Thread_local struct datapipe own = {{-1, -1}};
static _Thread_local bool refused; /* there can be none */

static void close_ends(void *pipe)
{
    struct datapipe *gone = pipe;
    for (int i = 0; i < 2; i++) {
        cleanup_fd int end = steal_fd(&gone->ends[i]);
        (void)end;
    }
}

static void make_key(void)
{
    pthread_key_create(&key, close_ends);
}

static bool is_empty(const struct datapipe *pipe)
{
    int held = 0;
    return ioctl(pipe->ends[0], FIONREAD, &held) == 0 && held == 0;
}

/* An empty one. What an answer that failed has left would be given as the next one's bytes. */
static bool have_pipe(void)
{
    if (own.ends[0] >= 0 && !is_empty(&own))
        close_ends(&own);
    if (own.ends[0] >= 0)
        return true;
    if (refused || pipe2(own.ends, O_CLOEXEC | O_NONBLOCK) < 0)
        return false;
    if (fcntl(own.ends[1], F_SETPIPE_SZ, ROOM) < ROOM) {
        close_ends(&own);
        refused = true;
        return false;
    }
    pthread_once(&once, make_key);
    pthread_setspecific(key, &own);
    return true;
}

bool datapipe_suits(size_t size)
{
    return size >= LEAST && size <= MOST;
}

static size_t fill(int fd, off_t offset, size_t size)
{
    size_t got = 0;
    while (got < size) {
        ssize_t now = splice(fd, &offset, own.ends[1], NULL, size - got, SPLICE_F_NONBLOCK);
        if (now <= 0)
            break;
        got += (size_t)now;
    }
    return got;
}

int datapipe_fill(int fd, off_t offset, size_t size, size_t *got)
{
    char next;
    if (!have_pipe())
        return -EOPNOTSUPP;
    *got = fill(fd, offset, size);
    if (*got == size)
        return own.ends[0];
    ssize_t more = pread(fd, &next, 1, offset + (off_t)*got);
    if (more == 0 && *got > 0)
        return own.ends[0];
    int err = more < 0 && errno != EINTR ? -errno : -EOPNOTSUPP;
    if (*got > 0)
        close_ends(&own); /* with what it holds */
    return err;
}
