/* SPDX-License-Identifier: MIT
 *
 * Duty: a thread that sleeps until it is sent. Invariant: it is sent once, and again only when it
 * has come back; what is wanted meanwhile is left for the next time.
 */
#include "errand.h"

#include "processor.h"
#include "quietthread.h"

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>

struct errand {
    void (*work)(void *context);
    void *context;
    pthread_t thread;
    sem_t sent;
    cpu_set_t allowed;
    int bound; /* to which processor; -1: to none */
    atomic_int processor;
    atomic_bool wanted;
    atomic_bool away;
    atomic_bool was_busy;
    atomic_bool over;
};

/* Where whoever serves and its client are, it would be in their way. */
static void go_to(struct errand *errand, int processor)
{
    if (processor == errand->bound)
        return;
    (void)processor_go_to(&errand->allowed, processor);
    errand->bound = processor; /* what fails is not tried again each time */
}

static void *run(void *argument)
{
    struct errand *errand = argument;
    pthread_setname_np(pthread_self(), "plyfs-errand");
    for (;;) {
        while (sem_wait(&errand->sent) < 0)
            continue;
        if (atomic_load(&errand->over))
            return NULL;
        go_to(errand, atomic_load(&errand->processor));
        atomic_store(&errand->wanted, false);
        errand->work(errand->context);
        atomic_store(&errand->was_busy, true);
        atomic_store(&errand->away, false);
    }
}

struct errand *errand_start(void (*work)(void *context), void *context)
{
    struct errand *errand = calloc(1, sizeof(*errand));
    if (!errand)
        return NULL;
    errand->work = work;
    errand->context = context;
    errand->bound = -1;
    sem_init(&errand->sent, 0, 0);
    if (sched_getaffinity(0, sizeof(errand->allowed), &errand->allowed) == 0 &&
        quietthread_start(&errand->thread, run, errand) == 0)
        return errand;
    sem_destroy(&errand->sent);
    free(errand);
    return NULL;
}

void errand_stop(struct errand *errand)
{
    if (!errand)
        return;
    atomic_store(&errand->over, true);
    sem_post(&errand->sent);
    pthread_join(errand->thread, NULL);
    sem_destroy(&errand->sent);
    free(errand);
}

void errand_want(struct errand *errand)
{
    if (errand)
        atomic_store(&errand->wanted, true);
}

/* In this order: what it came back from is no longer wanted. */
void errand_send(struct errand *errand, int processor)
{
    if (!errand || atomic_load(&errand->away) || !atomic_load(&errand->wanted))
        return;
    atomic_store(&errand->processor, processor);
    atomic_store(&errand->away, true);
    sem_post(&errand->sent);
}

bool errand_was_busy(struct errand *errand)
{
    if (!errand)
        return false;
    const bool was = atomic_exchange(&errand->was_busy, false);
    return was || atomic_load(&errand->away);
}
