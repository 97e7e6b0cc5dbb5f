/* SPDX-License-Identifier: MIT
 *
 * Duty: wake when something was written that had been emptied, and look every TURN_NS until all of
 * it is on its way.
 */
#include "settling.h"

#include "moment.h"
#include "quietthread.h"
#include "steadywait.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

enum { TURN_NS = 100000000 };

struct settling {
    struct fdcache *fds;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    atomic_bool wanted; /* something may be left; set with the lock where it was not */
    bool over;          /* protected by the lock */
};

/* For one turn, or until the end. */
static void wait_a_turn(struct settling *settling)
{
    const struct timespec until = moment_ahead(TURN_NS);
    int err = 0;
    while (!settling->over && !err)
        err = pthread_cond_timedwait(&settling->wake, &settling->lock, &until);
}

static void *settle(void *argument)
{
    struct settling *settling = argument;
    pthread_setname_np(pthread_self(), "plyfs-settling");
    pthread_mutex_lock(&settling->lock);
    for (;;) {
        while (!atomic_load(&settling->wanted) && !settling->over)
            pthread_cond_wait(&settling->wake, &settling->lock);
        if (!settling->over)
            wait_a_turn(settling);
        if (settling->over)
            break;
        /* Whoever writes from now on says so again. */
        atomic_store(&settling->wanted, false);
        pthread_mutex_unlock(&settling->lock);
        bool left = fdcache_write_back(settling->fds);
        pthread_mutex_lock(&settling->lock);
        if (left)
            atomic_store(&settling->wanted, true);
    }
    pthread_mutex_unlock(&settling->lock);
    return NULL;
}

static void finish(struct settling *settling)
{
    pthread_cond_destroy(&settling->wake);
    pthread_mutex_destroy(&settling->lock);
    free(settling);
}

struct settling *settling_start(struct fdcache *fds)
{
    struct settling *settling = calloc(1, sizeof(*settling));
    if (!settling)
        return NULL;
    settling->fds = fds;
    pthread_mutex_init(&settling->lock, NULL);
    steadywait_init(&settling->wake);
    if (quietthread_start(&settling->thread, settle, settling) == 0)
        return settling;
    finish(settling);
    return NULL;
}

void settling_stop(struct settling *settling)
{
    if (!settling)
        return;
    pthread_mutex_lock(&settling->lock);
    settling->over = true;
    pthread_cond_signal(&settling->wake);
    pthread_mutex_unlock(&settling->lock);
    pthread_join(settling->thread, NULL);
    finish(settling);
}

void settling_note_emptied(struct settling *settling, struct fdref *ref)
{
    if (settling)
        fdcache_note_emptied(settling->fds, ref);
}

void settling_note_written(struct settling *settling, struct fdref *ref)
{
    if (!settling || !fdcache_note_written(settling->fds, ref) || atomic_load(&settling->wanted))
        return;
    pthread_mutex_lock(&settling->lock);
    atomic_store(&settling->wanted, true);
    pthread_cond_signal(&settling->wake);
    pthread_mutex_unlock(&settling->lock);
}
