/* SPDX-License-Identifier: MIT
 *
 * Duty: count. Taking and giving are one atomic addition each; counting anew walks the tree, and
 * takes a tenth of the time at most.
 */
#include "quota.h"

#include "linkset.h"
#include "moment.h"
#include "treewalk.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>

enum { PAGE = 4096 };

/* The file that is shared. */
struct counter {
    atomic_int_least64_t used; /* bytes, those that are held among them */
    atomic_int_least64_t held;
};

struct quota {
    int root, fd;
    uint64_t limit;
    struct counter *counter;
    pthread_mutex_t counting; /* one thread counts anew */
    int64_t counted, took;    /* when and how long, nanoseconds; protected by counting */
};

uint64_t quota_weight(off_t size)
{
    return ((uint64_t)size + PAGE - 1) / PAGE * PAGE;
}

uint64_t quota_limit(const struct quota *quota)
{
    return quota->limit;
}

uint64_t quota_used(const struct quota *quota)
{
    int64_t used = atomic_load(&quota->counter->used);
    return used > 0 ? (uint64_t)used : 0;
}

static int weigh(struct linkset *links, const struct walk_step *step, int64_t *sum)
{
    const char *first = NULL;
    if (step->leaving || !S_ISREG(step->st.st_mode))
        return 0;
    int err = linkset_first(links, &step->st, step->path, &first);
    if (!err && !first)
        *sum += (int64_t)quota_weight(step->st.st_size);
    return err;
}

int quota_weigh(int root, int64_t *sum)
{
    int err = 0, more = 0;
    struct walk_step step;
    *sum = 0;
    cleanup_treewalk struct treewalk *walk = treewalk_open(root, &err);
    cleanup_linkset struct linkset *links = linkset_create();
    if (!walk || !links)
        return walk ? -ENOMEM : err;
    while (!err && (more = treewalk_next(walk, &step)) > 0)
        err = weigh(links, &step, sum);
    return err ? err : more;
}

/* A tree in use changes under the walk: what is counted is right to within what changed meanwhile.
 */
static int count(struct quota *quota)
{
    int64_t sum;
    int err = quota_weigh(quota->root, &sum);
    if (!err)
        atomic_store(&quota->counter->used, sum + atomic_load(&quota->counter->held));
    return err;
}

/* Whoever holds the lock alone is the first: nothing of the counter is to be believed. */
static int begin(struct quota *quota)
{
    bool first = flock(quota->fd, LOCK_EX | LOCK_NB) == 0;
    int err = 0;
    if (first) {
        atomic_store(&quota->counter->held, 0);
        err = count(quota);
    }
    while (!err && flock(quota->fd, LOCK_SH) < 0)
        err = errno == EINTR ? 0 : -errno;
    return err;
}

static int open_counter(const char *usage)
{
    int fd = usage ? open(usage, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600)
                   : memfd_create("usage", MFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (ftruncate(fd, PAGE) == 0)
        return fd;
    int err = -errno;
    close(fd);
    return err;
}

int quota_open(int root, uint64_t limit, const char *usage, struct quota **made)
{
    cleanup_fd int fd = open_counter(usage);
    if (fd < 0)
        return fd;
    struct quota *quota = calloc(1, sizeof(*quota));
    if (!quota)
        return -ENOMEM;
    *quota = (struct quota){.root = root, .fd = fd, .limit = limit};
    pthread_mutex_init(&quota->counting, NULL);
    void *at = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    quota->counter = at == MAP_FAILED ? NULL : at;
    int err = quota->counter ? begin(quota) : -ENOMEM;
    quota->fd = steal_fd(&fd);
    if (err)
        quota_close(steal_ptr(&quota));
    *made = quota;
    return err;
}

void quota_close(struct quota *quota)
{
    if (!quota)
        return;
    if (quota->counter)
        munmap(quota->counter, PAGE);
    own_close(&quota->fd);
    pthread_mutex_destroy(&quota->counting);
    free(quota);
}

static bool try_to_take(struct quota *quota, uint64_t bytes, uint64_t *room)
{
    int64_t before = atomic_fetch_add(&quota->counter->used, (int64_t)bytes);
    uint64_t used = before > 0 ? (uint64_t)before : 0;
    *room = used < quota->limit ? quota->limit - used : 0;
    if (bytes <= *room)
        return true;
    atomic_fetch_sub(&quota->counter->used, (int64_t)bytes);
    return false;
}

/* Who goes on writing into a full volume is not to walk all of it each time: a tenth of the time is
 * enough. */
static void count_anew(struct quota *quota)
{
    enum { REST = 10 };
    pthread_mutex_lock(&quota->counting);
    int64_t now = moment_steady();
    if (quota->counted == 0 || now - quota->counted >= REST * quota->took) {
        (void)!count(quota);
        quota->counted = moment_steady();
        quota->took = quota->counted - now;
    }
    pthread_mutex_unlock(&quota->counting);
}

int quota_take(struct quota *quota, uint64_t bytes, uint64_t *room)
{
    if (bytes == 0 || try_to_take(quota, bytes, room))
        return 0;
    count_anew(quota);
    return try_to_take(quota, bytes, room) ? 0 : -ENOSPC;
}

void quota_give(struct quota *quota, uint64_t bytes)
{
    atomic_fetch_sub(&quota->counter->used, (int64_t)bytes);
}

void quota_hold(struct quota *quota, int64_t bytes)
{
    atomic_fetch_add(&quota->counter->held, bytes);
}
