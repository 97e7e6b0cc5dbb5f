/* SPDX-License-Identifier: MIT
 *
 * Duty: who waits, in the order in which they came. An interrupt may be read before the request
 * that it is about is on the list, by another thread: so those that were about nobody are kept.
 */
#include "lockwait.h"

#include "moment.h"
#include "quietthread.h"
#include "reply.h"
#include "steadywait.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

enum { TURN_NS = 8000000, SHORT_TURN_NS = 250000, LONG_TURN_NS = 100000000 };
enum { GRACE_NS = 2000000, EARLY_MAX = 64 };

_Thread_local uint64_t lockwait_serves;

struct waiter {
    struct waiter *next;
    fuse_req_t req;
    uint64_t unique;
    struct lock_wish wish;
    struct fdref *ref; /* the owner may close the file by another descriptor, and waits on */
    int64_t until;     /* on the steady clock; 0: as long as it takes */
    bool interrupted;
};

struct lockwait {
    struct lockbook *book;
    struct fdcache *fds;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct waiter *first, **last; /* protected by the lock, as all below */
    bool runs;                    /* the thread does */
    bool look, over;
    int64_t effort;            /* what it costs to try for all of them */
    uint64_t early[EARLY_MAX]; /* the last that were about nobody on the list */
    unsigned early_count;      /* of all times */
};

struct lockwait *lockwait_start(struct lockbook *book, struct fdcache *fds)
{
    struct lockwait *lockwait = calloc(1, sizeof(*lockwait));
    if (!lockwait)
        return NULL;
    lockwait->book = book;
    lockwait->fds = fds;
    lockwait->last = &lockwait->first;
    pthread_mutex_init(&lockwait->lock, NULL);
    steadywait_init(&lockwait->wake);
    return lockwait;
}

/* What is to be answered; -EAGAIN: nothing yet. The lock is held. */
static int outcome(struct lockwait *lockwait, const struct waiter *waiter)
{
    if (waiter->interrupted || lockwait->over)
        return -EINTR;
    const int fd = waiter->ref ? waiter->ref->fd : LOCKBOOK_ALONE;
    return lockbook_take(lockwait->book, fd, &waiter->wish);
}

static bool is_over(const struct waiter *waiter)
{
    return waiter->until && moment_steady() >= waiter->until;
}

static void end_waiter(struct lockwait *lockwait, struct waiter *waiter)
{
    fdref_release(lockwait->fds, waiter->ref);
    free(waiter);
}

/* The lock is held. */
static void try_all(struct lockwait *lockwait)
{
    struct waiter **at = &lockwait->first;
    while (*at) {
        struct waiter *waiter = *at;
        const int err = outcome(lockwait, waiter);
        if (err == -EAGAIN && !is_over(waiter)) {
            at = &waiter->next;
            continue;
        }
        *at = waiter->next;
        reply_error(waiter->req, err);
        end_waiter(lockwait, waiter);
    }
    lockwait->last = at;
}

/* How long the host is not asked: where many wait, four times as long as asking has taken. */
static int64_t turn_of(const struct lockwait *lockwait, bool is_short)
{
    const int64_t turn = is_short ? SHORT_TURN_NS : TURN_NS, rest = 4 * lockwait->effort;
    return rest < turn ? turn : rest < LONG_TURN_NS ? rest : LONG_TURN_NS;
}

/* Until a lock is let go of here, or the host may have let go of one. The lock is held. */
static void wait_a_turn(struct lockwait *lockwait)
{
    bool is_short = false;
    for (const struct waiter *at = lockwait->first; at; at = at->next)
        is_short = is_short || at->until;
    const struct timespec until = moment_ahead(turn_of(lockwait, is_short));
    int err = 0;
    while (!err && !lockwait->over && !lockwait->look)
        err = lockwait->first ? pthread_cond_timedwait(&lockwait->wake, &lockwait->lock, &until)
                              : pthread_cond_wait(&lockwait->wake, &lockwait->lock);
    lockwait->look = false;
}

static void *wait_for_all(void *argument)
{
    struct lockwait *lockwait = argument;
    pthread_setname_np(pthread_self(), "plyfs-locks");
    pthread_mutex_lock(&lockwait->lock);
    while (!lockwait->over) {
        wait_a_turn(lockwait);
        const int64_t began = moment_steady();
        try_all(lockwait);
        lockwait->effort = moment_steady() - began;
    }
    pthread_mutex_unlock(&lockwait->lock);
    return NULL;
}

void lockwait_stop(struct lockwait *lockwait)
{
    if (!lockwait)
        return;
    pthread_mutex_lock(&lockwait->lock);
    lockwait->over = true;
    pthread_cond_signal(&lockwait->wake);
    const bool runs = lockwait->runs;
    pthread_mutex_unlock(&lockwait->lock);
    if (runs)
        pthread_join(lockwait->thread, NULL);
    pthread_cond_destroy(&lockwait->wake);
    pthread_mutex_destroy(&lockwait->lock);
    free(lockwait);
}

void lockwait_interrupt(struct lockwait *lockwait, uint64_t unique)
{
    pthread_mutex_lock(&lockwait->lock);
    struct waiter *waiter = lockwait->first;
    while (waiter && waiter->unique != unique)
        waiter = waiter->next;
    if (waiter) {
        waiter->interrupted = true;
        lockwait->look = true;
        pthread_cond_signal(&lockwait->wake);
    } else {
        lockwait->early[lockwait->early_count++ % EARLY_MAX] = unique;
    }
    pthread_mutex_unlock(&lockwait->lock);
}

/* The lock is held. */
static bool came_early(const struct lockwait *lockwait, uint64_t unique)
{
    for (unsigned i = 0; i < EARLY_MAX; i++) {
        if (lockwait->early[i] == unique)
            return true;
    }
    return false;
}

/* The one that tries again. The lock is held. */
static int have_thread(struct lockwait *lockwait)
{
    if (!lockwait->runs && quietthread_start(&lockwait->thread, wait_for_all, lockwait) != 0)
        return -ENOLCK;
    lockwait->runs = true;
    return 0;
}

/* -EAGAIN: it is on the list, and the thread's. */
static int add(struct lockwait *lockwait, struct waiter *waiter)
{
    pthread_mutex_lock(&lockwait->lock);
    int err = have_thread(lockwait);
    waiter->interrupted = came_early(lockwait, waiter->unique);
    /* What it was refused for may be gone since. */
    if (!err)
        err = outcome(lockwait, waiter);
    if (err == -EAGAIN) {
        *lockwait->last = waiter;
        lockwait->last = &waiter->next;
        lockwait->look = lockwait->look || waiter->until; /* its turn is shorter */
        pthread_cond_signal(&lockwait->wake);
    }
    pthread_mutex_unlock(&lockwait->lock);
    return err;
}

void lockwait_add(struct lockwait *lockwait, fuse_req_t req, const struct lock_wish *wish,
                  struct fdref *ref, bool patient)
{
    struct waiter *waiter = malloc(sizeof(*waiter));
    if (!waiter) {
        fdref_release(lockwait->fds, ref);
        return reply_error(req, -ENOMEM);
    }
    *waiter = (struct waiter){.req = req,
                              .unique = lockwait_serves,
                              .wish = *wish,
                              .ref = ref,
                              .until = patient ? 0 : moment_steady() + GRACE_NS};
    const int err = add(lockwait, waiter);
    if (err == -EAGAIN)
        return;
    end_waiter(lockwait, waiter);
    reply_error(req, err);
}

void lockwait_look(struct lockwait *lockwait)
{
    pthread_mutex_lock(&lockwait->lock);
    if (lockwait->first) {
        lockwait->look = true;
        pthread_cond_signal(&lockwait->wake);
    }
    pthread_mutex_unlock(&lockwait->lock);
}
