/* SPDX-License-Identifier: MIT
 *
 * Duty: spin where that lets the client wake soon, and nowhere else, and not for longer than it
 * asks.
 */
#include "vigil.h"

#include "brief.h"
#include "caller.h"
#include "moment.h"
#include "processor.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { LOOK_NS = 1000000, ASKED_NS = 4000000, PAUSES = 64 };
enum { LATE_NS = 1000000, OFTEN_NS = 20000000 };
enum { LINE = 64 }; /* bytes of a line of the cache */
enum { REST_LOST_NS = 2000000, REST_LATE_NS = 50000000 };

struct vigil {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    cpu_set_t allowed;
    const struct chores *chores;
    bool pair;                        /* these are two: client and daemon share one */
    atomic_int thread_id;             /* of the vigil; 0: it does not run */
    atomic_int at;                    /* the processor it is bound to; -1: to none */
    atomic_int shared;                /* the one that it is to share with the client; -1: none */
    atomic_int_least64_t rests_until; /* nanoseconds: others want the processors */
    atomic_bool asleep;
    atomic_bool unwanted; /* it is to end at once */
    atomic_bool over;
    /* Written for each request, and read by the vigil now and then; what it reads all the time is
     * on another line of the cache. */
    alignas(LINE) atomic_uint asked; /* how often something was */
    atomic_int client;               /* the thread id of who asked last */
    atomic_int serving;              /* the processor that the daemon serves on */
};

/* Where this thread serves: on one processor; or anywhere but on one; or, both being -1, anywhere.
 */
static _Thread_local int bound = -1, avoided = -1;
static _Thread_local int64_t parted; /* when it was last looked what to avoid */

/* The processor that a thread was last on, or -1: field 39 of /proc/PID/stat, see proc(5). */
static int processor_of(pid_t thread)
{
    char path[32], text[1024];
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)thread);
    cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (length <= 0)
        return -1;
    text[length] = 0;
    const char *at = strrchr(text, ')'); /* the command, field 2, may hold blanks */
    for (int field = 2; at && field < 39; field++)
        at = strchr(at + 1, ' ');
    return at ? (int)strtol(at, NULL, 10) : -1;
}

static bool go_to(const struct vigil *vigil, int processor)
{
    return processor_go_to(&vigil->allowed, processor);
}

/* Goes where the client is, but never to where it is served. */
static void keep_awake(struct vigil *vigil, int processor)
{
    if (processor == atomic_load(&vigil->at) || processor == atomic_load(&vigil->serving))
        return;
    if (go_to(vigil, processor))
        atomic_store(&vigil->at, processor);
}

/* The other of two processors. */
static int beside(const struct vigil *vigil, int processor)
{
    int other = 0;
    while (other == processor || !CPU_ISSET((size_t)other, &vigil->allowed))
        other++;
    return other;
}

static bool may_go_where_we_may(const struct vigil *vigil, pid_t thread)
{
    cpu_set_t set;
    return sched_getaffinity(thread, sizeof(set), &set) == 0 && CPU_EQUAL(&set, &vigil->allowed);
}

/* Goes where the client is not, and has the daemon come to where it is. */
static bool keep_together(struct vigil *vigil, int processor)
{
    if (processor == atomic_load(&vigil->shared))
        return true;
    if (!CPU_ISSET((size_t)processor, &vigil->allowed) ||
        !may_go_where_we_may(vigil, atomic_load(&vigil->client)))
        return false;
    if (!go_to(vigil, beside(vigil, processor)))
        return false;
    atomic_store(&vigil->shared, processor);
    return true;
}

/* Whether it is of use to go on. */
static bool follow(struct vigil *vigil)
{
    int processor = processor_of(atomic_load(&vigil->client));
    if (processor < 0 || processor >= CPU_SETSIZE)
        return false;
    if (vigil->pair)
        return keep_together(vigil, processor);
    keep_awake(vigil, processor);
    return true;
}

/* The daemon serves where the vigil is bound to. It gets no time there, not even to go away. */
static void send_away(struct vigil *vigil, int processor)
{
    cpu_set_t set = vigil->allowed;
    CPU_CLR((size_t)processor, &set);
    atomic_store(&vigil->at, -1);
    (void)sched_setaffinity(atomic_load(&vigil->thread_id), sizeof(set), &set);
}

/* Of the least weight it would still keep one who has just yielded (as the daemon does, until it
 * has come to the client) waiting for a tick. */
static void pause_a_while(const struct vigil *vigil)
{
    if (vigil->pair)
        sched_yield();
    for (int i = 0; i < PAUSES; i++)
        brief_pause();
}

static unsigned rest(struct vigil *vigil, unsigned seen, int64_t duration)
{
    atomic_store(&vigil->rests_until, moment_steady() + duration);
    return seen;
}

/* Where the vigil is: nobody who is waited for is there. */
static void send_errand(const struct vigil *vigil)
{
    const int shared = atomic_load_explicit(&vigil->shared, memory_order_relaxed);
    if (!vigil->pair)
        errand_send(vigil->chores->errand, -1);
    else if (shared >= 0)
        errand_send(vigil->chores->errand, beside(vigil, shared));
}

/* Whether others kept it from coming back. An errand, which is done on the same processor, takes
 * less than OFTEN_NS. */
static bool is_late(const struct vigil *vigil, int64_t after)
{
    if (after <= LATE_NS)
        return false;
    const bool sent = errand_was_busy(vigil->chores->errand);
    return !sent || after > OFTEN_NS;
}

/* Until nothing has been asked for a while, or somebody else wants the processor, or the client is
 * not to be found (as a rule it has ended); returns what was asked. A thread that spins at the
 * least weight and comes back late, and soon late again, or very late, has had to wait for others;
 * one of the idle class is no sign of anything. */
static unsigned spin(struct vigil *vigil, unsigned seen)
{
    int64_t looked = 0, heard = 0, late = 0, before = moment_steady();
    for (; !atomic_load(&vigil->over) && !atomic_load(&vigil->unwanted); pause_a_while(vigil)) {
        chores_do(vigil->chores);
        send_errand(vigil);
        int64_t now = moment_steady();
        if (vigil->pair && is_late(vigil, now - before)) {
            if (now - late < OFTEN_NS || now - before > OFTEN_NS)
                return rest(vigil, seen, REST_LATE_NS);
            late = now;
        }
        before = now;
        if (now - looked < LOOK_NS)
            continue;
        looked = now;
        unsigned asked = atomic_load(&vigil->asked);
        if (asked == seen && now - heard > ASKED_NS)
            break;
        if (asked == seen)
            continue;
        seen = asked;
        if (!follow(vigil))
            return rest(vigil, seen, REST_LOST_NS);
        heard = looked = before = moment_steady();
    }
    return atomic_load(&vigil->unwanted) ? atomic_load(&vigil->asked) : seen;
}

/* Nothing is shared any more, and the vigil may be woken anywhere. */
static void give_up(struct vigil *vigil)
{
    if (!vigil->pair)
        return;
    atomic_store(&vigil->shared, -1);
    (void)go_to(vigil, -1);
}

static bool is_resting(struct vigil *vigil)
{
    return moment_steady() < atomic_load(&vigil->rests_until);
}

/* `asleep` is told before `asked` is looked at, and vigil_keep() does it the other way round: one
 * of the two sees the other. */
static void sleep_until_asked(struct vigil *vigil, unsigned seen)
{
    pthread_mutex_lock(&vigil->lock);
    atomic_store(&vigil->asleep, true);
    while ((atomic_load(&vigil->asked) == seen || is_resting(vigil)) && !atomic_load(&vigil->over))
        pthread_cond_wait(&vigil->wake, &vigil->lock);
    atomic_store(&vigil->asleep, false);
    pthread_mutex_unlock(&vigil->lock);
}

/* At any other priority this would take time from others. */
static bool give_way(const struct vigil *vigil)
{
    const struct sched_param none = {0};
    if (!vigil->pair)
        return sched_setscheduler(0, SCHED_IDLE, &none) == 0;
    return setpriority(PRIO_PROCESS, 0, 19) == 0 && sched_setscheduler(0, SCHED_BATCH, &none) == 0;
}

static void *keep_vigil(void *argument)
{
    struct vigil *vigil = argument;
    pthread_setname_np(pthread_self(), "plyfs-vigil");
    if (!give_way(vigil))
        return NULL;
    caller_unmask(); /* what a chore makes has the mode that it asks for */
    atomic_store(&vigil->thread_id, gettid());
    unsigned seen = 0;
    while (!atomic_load(&vigil->over)) {
        sleep_until_asked(vigil, seen);
        chores_begin(vigil->chores);
        seen = spin(vigil, seen);
        chores_end(vigil->chores);
        give_up(vigil);
    }
    return NULL;
}

bool vigil_pairs(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) == 2;
}

struct vigil *vigil_start(const struct chores *chores)
{
    struct vigil *vigil = aligned_alloc(LINE, sizeof(*vigil));
    if (!vigil)
        return NULL;
    *vigil = (struct vigil){.chores = chores};
    pthread_mutex_init(&vigil->lock, NULL);
    pthread_cond_init(&vigil->wake, NULL);
    atomic_store(&vigil->at, -1);
    atomic_store(&vigil->shared, -1);
    vigil->pair = vigil_pairs();
    if (sched_getaffinity(0, sizeof(vigil->allowed), &vigil->allowed) == 0 &&
        pthread_create(&vigil->thread, NULL, keep_vigil, vigil) == 0)
        return vigil;
    pthread_cond_destroy(&vigil->wake);
    pthread_mutex_destroy(&vigil->lock);
    free(vigil);
    return NULL;
}

static void wake(struct vigil *vigil)
{
    pthread_mutex_lock(&vigil->lock);
    pthread_cond_signal(&vigil->wake);
    pthread_mutex_unlock(&vigil->lock);
}

void vigil_stop(struct vigil *vigil)
{
    if (!vigil)
        return;
    atomic_store(&vigil->over, true);
    wake(vigil);
    pthread_join(vigil->thread, NULL);
    pthread_cond_destroy(&vigil->wake);
    pthread_mutex_destroy(&vigil->lock);
    free(vigil);
}

/* The vigil is not to be where the daemon serves. */
static void keep_apart(struct vigil *vigil)
{
    int here = sched_getcpu();
    atomic_store_explicit(&vigil->serving, here, memory_order_relaxed);
    if (here >= 0 && here == atomic_load_explicit(&vigil->at, memory_order_relaxed))
        send_away(vigil, here);
}

void vigil_end(struct vigil *vigil)
{
    if (vigil)
        atomic_store(&vigil->unwanted, true);
}

void vigil_part(struct vigil *vigil, pid_t client)
{
    const int64_t now = moment_steady();
    vigil_end(vigil);
    if (!vigil || (avoided >= 0 && now - parted < LOOK_NS))
        return;
    parted = now;
    int processor = processor_of(client);
    if (processor < 0 || processor >= CPU_SETSIZE || processor == avoided)
        return;
    cpu_set_t set = vigil->allowed;
    CPU_CLR((size_t)processor, &set);
    if (sched_setaffinity(0, sizeof(set), &set) < 0)
        return;
    bound = -1;
    avoided = processor;
}

void vigil_keep(struct vigil *vigil, pid_t client)
{
    if (!vigil)
        return;
    if (atomic_load_explicit(&vigil->unwanted, memory_order_relaxed))
        atomic_store_explicit(&vigil->unwanted, false, memory_order_relaxed);
    if (!vigil->pair)
        keep_apart(vigil);
    atomic_store_explicit(&vigil->client, client, memory_order_relaxed);
    atomic_fetch_add(&vigil->asked, 1);
    if (atomic_load(&vigil->asleep) && !is_resting(vigil))
        wake(vigil);
}

/* What fails is not tried again for each request. */
static void serve_on(const struct vigil *vigil, int processor)
{
    (void)go_to(vigil, processor);
    bound = processor;
    avoided = -1;
}

void vigil_join(struct vigil *vigil)
{
    int shared = vigil ? atomic_load_explicit(&vigil->shared, memory_order_relaxed) : -1;
    if (shared != bound || avoided >= 0)
        serve_on(vigil, shared);
}

int vigil_stay(struct vigil *vigil)
{
    const int here = vigil && vigil->pair ? sched_getcpu() : -1;
    if (here < 0 || !CPU_ISSET((size_t)here, &vigil->allowed))
        return -1;
    serve_on(vigil, here);
    return here;
}

void vigil_go_beside(struct vigil *vigil, int processor)
{
    if (vigil && processor >= 0)
        serve_on(vigil, beside(vigil, processor));
}

bool vigil_shares(void)
{
    return bound >= 0;
}

void vigil_leave(struct vigil *vigil)
{
    if (bound >= 0 || avoided >= 0)
        serve_on(vigil, -1);
}
