/* SPDX-License-Identifier: MIT
 *
 * Duty: which thread does what.
 *
 *   wait --(nobody leads)--> lead --(request)--> serve it, still leading --> lead
 *                            lead --(a second one is there already)--> keep it, serve it next
 *                            lead --(and a third)--> a waiter serves that one
 *                            serve --(it will be slow, or has been for 2 ms)--> a waiter leads
 *                            lead --(there is a crowd, on two processors)--> a waiter is deputy
 *
 * Who leads is told by `reign`: a number, and whether its holder is serving. Only the leader,
 * between two requests, and the watch, while the leader serves, change it, each by one
 * compare-and-swap; what the leader keeps (`kept`) belongs to whoever holds the reign.
 */
#include "duty.h"

#include "brief.h"
#include "crowd.h"
#include "lockwait.h"
#include "moment.h"
#include "pace.h"
#include "rhythm.h"
#include "steadywait.h"
#include "vigil.h"

#include <fuse_lowlevel.h>
#include <linux/fuse.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <time.h>

enum { THREADS_MAX = 64, SPIN_NS = 50000, SLOW_NS = 2000000, SPARES_MAX = 8 };
enum { LATE_NS = 1000000, LONG_NS = 50000, CROWD_MS = 2 };
enum { NOBODY_NS = 1500, ALONE = 48, NAP_NS = 20000, SHORTAGE_NS = 1000000 };
enum deputy { DEPUTY_NONE, DEPUTY_WANTED, DEPUTY_SERVES };

/* A request read and not yet served. */
struct parcel {
    struct fuse_buf buf;
    struct parcel *next;
};

struct duty {
    struct duty_plan plan;
    pthread_t threads[THREADS_MAX];
    unsigned count;
    pthread_mutex_t lock;
    pthread_cond_t turn;  /* there is a parcel, or nobody leads, or it is over */
    pthread_cond_t watch; /* the same for the watch, and: requests are served again */
    bool led;             /* protected by lock, as all down to spare */
    bool over;
    bool watched;           /* a waiter is the watch */
    struct parcel *waiting; /* for a waiter to serve */
    struct parcel *spare;   /* buffers to use again */
    unsigned spares;
    atomic_int deputy;   /* enum deputy; changed under the lock, but for its end */
    atomic_int leads_on; /* the processor that the leader of a crowd is on; -1: on any */
    bool pairs; /* of two processors, on which a crowd is served by a leader and a deputy */
    struct crowd crowd;
    struct parcel *kept;                /* for the leader */
    struct rhythm rhythm;               /* the leader's: who asks, and how */
    struct pace pace;                   /* the leader's: whether it spins before it sleeps */
    atomic_uint_least64_t reign;        /* number << 1 | serving */
    atomic_int_least64_t serving_since; /* nanoseconds */
    atomic_bool drowsy;                 /* the watch sleeps until requests are served again */
};

static _Thread_local struct duty *leading;   /* what this thread leads */
static _Thread_local uint64_t own_reign;     /* the number under which it does */
static _Thread_local struct duty *second;    /* what this thread is the deputy of */
static _Thread_local struct parcel *at_hand; /* for the request that this thread reads next */

/* ---- parcels ---- */

static struct parcel *parcel_take(struct duty *duty)
{
    struct parcel *parcel = at_hand;
    at_hand = NULL;
    if (parcel)
        return parcel;
    pthread_mutex_lock(&duty->lock);
    parcel = duty->spare;
    if (parcel) {
        duty->spare = parcel->next;
        duty->spares--;
    }
    pthread_mutex_unlock(&duty->lock);
    return parcel ? parcel : calloc(1, sizeof(*parcel));
}

static void parcels_free(struct parcel *parcel)
{
    while (parcel) {
        struct parcel *next = parcel->next;
        free(parcel->buf.mem);
        free(parcel);
        parcel = next;
    }
}

/* For whoever takes one next. A buffer that held a large write is a MiB of memory: no more of them
 * are kept than serve well. The lock is held. */
static void make_spare(struct duty *duty, struct parcel *parcel)
{
    if (duty->spares == SPARES_MAX) {
        parcels_free(parcel);
        return;
    }
    parcel->next = duty->spare;
    duty->spare = parcel;
    duty->spares++;
}

static void parcel_give(struct duty *duty, struct parcel *parcel)
{
    parcel->next = NULL;
    if (!at_hand) {
        at_hand = parcel;
        return;
    }
    pthread_mutex_lock(&duty->lock);
    make_spare(duty, parcel);
    pthread_mutex_unlock(&duty->lock);
}

/* Of a thread that goes to wait: where there is no memory, who leads now can have no other. The
 * lock is held. */
static void lay_down(struct duty *duty)
{
    if (at_hand)
        make_spare(duty, steal_ptr(&at_hand));
}

static void wait_for_memory(void)
{
    const struct timespec moment = {.tv_nsec = SHORTAGE_NS};
    nanosleep(&moment, NULL);
}

/* There was no memory for its buffer: it gets that of a spare one, in a moment. */
static void borrow_buffer(struct duty *duty, struct parcel *parcel)
{
    wait_for_memory();
    pthread_mutex_lock(&duty->lock);
    struct parcel *spare = duty->spare;
    if (spare && !parcel->buf.mem) {
        parcel->buf = spare->buf;
        spare->buf = (struct fuse_buf){0};
    }
    pthread_mutex_unlock(&duty->lock);
}

/* ---- leading ---- */

static bool has_deputy(const struct duty *duty)
{
    return atomic_load_explicit(&duty->deputy, memory_order_relaxed) == DEPUTY_SERVES;
}

static const struct fuse_in_header *header_of(const struct parcel *parcel)
{
    return parcel->buf.mem;
}

/* Reads one request if there is one: its size, 0 at the end of the session, -EAGAIN for none. Where
 * there is no memory for its buffer it stays where it is, and is read later. */
static int receive(struct duty *duty, struct parcel *parcel)
{
    const int size = fuse_session_receive_buf(duty->plan.fuse, &parcel->buf);
    if (size == -ENOMEM)
        borrow_buffer(duty, parcel);
    return size == -EINTR || size == -ENOMEM ? -EAGAIN : size;
}

static void note_crowd(struct duty *duty, const struct beat *beat, int64_t now)
{
    if (duty->pairs && beat->awaited && beat->client != 0)
        crowd_note(&duty->crowd, beat->client, now);
}

/* A lone client's thread and this one are to share a processor, if that is of use. A stream is
 * served on another one than that on which its client copies: left alone, the scheduler would wake
 * this thread, again and again, where the client is that it could work beside. */
static void note_request(struct duty *duty, const struct beat *beat, bool close)
{
    struct rhythm *rhythm = &duty->rhythm;
    rhythm_note(rhythm, beat, close);
    if (rhythm_is_stream(rhythm)) {
        vigil_part(duty->plan.vigil, (pid_t)rhythm->client);
        return;
    }
    if (close && rhythm_is_alone(rhythm) && rhythm->client != 0 &&
        pace_prefers_to_spin(&duty->pace))
        vigil_keep(duty->plan.vigil, (pid_t)rhythm->client);
    vigil_join(duty->plan.vigil);
}

/* Gives the processor to others for a moment; the time then. Where that takes long there are others
 * who want it. */
static int64_t yield(struct duty *duty, int64_t before)
{
    sched_yield();
    int64_t now = moment_steady();
    if (now - before > LATE_NS && !vigil_shares())
        pace_note(&duty->pace, true, PACE_MOST_NS);
    return now;
}

/* Looks for a request for a while. The client on this processor is given it once: if it may not
 * have it yet, having used more than its share, only who sleeps lets it go on. */
static int look(struct duty *duty, struct parcel *parcel, int64_t now, bool spins)
{
    int size = receive(duty, parcel);
    const int64_t until = now + (vigil_shares() ? 1 : SPIN_NS);
    while (size == -EAGAIN && spins && now < until) {
        now = yield(duty, now);
        size = receive(duty, parcel);
    }
    return size;
}

static void sleep_until_asked(struct duty *duty, int milliseconds)
{
    struct pollfd device = {.fd = fuse_session_fd(duty->plan.fuse), .events = POLLIN};
    poll(&device, 1, milliseconds);
}

/* Whether this thread has slept since it was asked last, be it for a disk, for another host or for
 * a lock. */
static bool has_slept(void)
{
    static _Thread_local long before;
    struct rusage usage = {.ru_nvcsw = before};
    getrusage(RUSAGE_THREAD, &usage);
    const bool has = usage.ru_nvcsw != before;
    before = usage.ru_nvcsw;
    return has;
}

/* Gives the processor to a client. Where again and again none is there, they are all on the other
 * one: the kernel's scheduler lets one of them come as soon as this is idle, and else much later.
 */
static void give_way(void)
{
    static _Thread_local unsigned alone;
    const int64_t before = moment_steady();
    sched_yield();
    alone = moment_steady() - before < NOBODY_NS ? alone + 1 : 0;
    if (alone < ALONE)
        return;
    alone = 0;
    const struct timespec nap = {.tv_nsec = NAP_NS};
    nanosleep(&nap, NULL);
    (void)has_slept();
}

/* Of a crowd there is always one who wants the processor to ask the next thing: it is given away
 * before the device is looked at. */
static int look_in_crowd(struct duty *duty, struct parcel *parcel)
{
    int64_t now = moment_steady(), until = now + SPIN_NS;
    int size;
    do {
        if (now < until) {
            give_way();
        } else {
            sleep_until_asked(duty, CROWD_MS);
            (void)has_slept();
            until = moment_steady() + SPIN_NS;
        }
        size = receive(duty, parcel);
        now = moment_steady();
    } while (size == -EAGAIN && crowd_lasts(&duty->crowd, now));
    if (size > 0) {
        const struct beat beat = rhythm_beat(header_of(parcel));
        note_crowd(duty, &beat, now);
    }
    return size;
}

/* Waits for a request: looks for a while, then sleeps. */
static int receive_next(struct duty *duty, struct parcel *parcel)
{
    if (has_deputy(duty)) {
        const int found = look_in_crowd(duty, parcel);
        if (found != -EAGAIN)
            return found;
    }
    const bool shares = vigil_shares();
    const bool spins = duty->plan.spins && (shares || pace_spins(&duty->pace));
    const int64_t began = moment_steady();
    int size = look(duty, parcel, began, spins);
    while (size == -EAGAIN) {
        sleep_until_asked(duty, -1);
        size = receive(duty, parcel);
    }
    const int64_t now = moment_steady(), gap = now - began;
    if (duty->plan.spins && !shares)
        pace_note(&duty->pace, spins, gap);
    if (size > 0) {
        const struct beat beat = rhythm_beat(header_of(parcel));
        note_request(duty, &beat, gap < RHYTHM_CLOSE_NS);
        note_crowd(duty, &beat, now);
    }
    return size;
}

static void finish(struct duty *duty)
{
    pthread_mutex_lock(&duty->lock);
    duty->over = true;
    duty->led = false;
    pthread_cond_broadcast(&duty->turn);
    pthread_cond_broadcast(&duty->watch);
    pthread_mutex_unlock(&duty->lock);
    uint64_t one = 1;
    (void)!write(duty->plan.done, &one, sizeof(one));
}

/* There is something to do for one who waits. The watch is woken too: the other may have been woken
 * already, for something else that takes long. The lock is held. */
static void wake_one(struct duty *duty)
{
    pthread_cond_signal(&duty->turn);
    pthread_cond_signal(&duty->watch);
}

static void hand_over(struct duty *duty, struct parcel *parcel)
{
    pthread_mutex_lock(&duty->lock);
    parcel->next = duty->waiting;
    duty->waiting = parcel;
    wake_one(duty);
    pthread_mutex_unlock(&duty->lock);
}

/* Ends a reign, if it is still that; `state` is as it was seen. */
static bool end_reign(struct duty *duty, uint_least64_t state)
{
    return atomic_compare_exchange_strong(&duty->reign, &state, ((state >> 1) + 1) << 1);
}

static void stop_deputizing(void)
{
    vigil_leave(second->plan.vigil);
    atomic_store(&second->deputy, DEPUTY_NONE);
    second = NULL;
}

/* Lets waiters lead, and serve what was kept; or one be the deputy in the place of this one. */
static void stand_back(void)
{
    struct duty *duty = leading;
    if (second)
        stop_deputizing();
    if (!duty)
        return;
    leading = NULL;
    vigil_leave(duty->plan.vigil);
    if (!end_reign(duty, own_reign << 1 | 1))
        return; /* the watch was faster */
    struct parcel *kept = duty->kept;
    duty->kept = NULL;
    if (kept)
        hand_over(duty, kept);
    pthread_mutex_lock(&duty->lock);
    duty->led = false;
    wake_one(duty);
    pthread_mutex_unlock(&duty->lock);
}

/* The next request: what was kept, or what the device gives. NULL at the end of the session. */
static struct parcel *next_parcel(struct duty *duty)
{
    struct parcel *parcel = duty->kept;
    duty->kept = NULL;
    if (parcel)
        return parcel;
    /* Without memory the thread that has one gives it back when it has served. */
    while (!(parcel = parcel_take(duty)))
        wait_for_memory();
    if (receive_next(duty, parcel) > 0)
        return parcel;
    parcel_give(duty, parcel);
    return NULL;
}

/* Looks for one more request. `had`: the one before it had been kept already. */
static void look_further(struct duty *duty, bool had)
{
    struct parcel *parcel = parcel_take(duty);
    if (!parcel)
        return;
    if (receive(duty, parcel) <= 0) {
        parcel_give(duty, parcel);
        return;
    }
    const struct beat beat = rhythm_beat(header_of(parcel));
    note_crowd(duty, &beat, moment_steady());
    if (had)
        hand_over(duty, parcel);
    else
        duty->kept = parcel;
}

/* A client that is the only one for some time waits for its answer: there is no second request,
 * unless this is one of those that the page cache sends several of, reading ahead or writing back
 * (in nobody's name). Were there one now, it would be seen as soon as this is answered, or by the
 * watch. */
static bool is_alone(const struct duty *duty, const struct beat *beat)
{
    return rhythm_is_alone(&duty->rhythm) && !beat->large && beat->client != 0;
}

/* An INTERRUPT needs no answer (kernel document fuse.rst), and is for whoever waits for a lock.
 * Where nobody may, libfuse refuses it (op_init); where it cannot, it would keep it for a request
 * that may have been answered already. */
static bool takes_interrupt(const struct duty *duty, const struct parcel *parcel)
{
    struct lockwait *lockwait = duty->plan.mount->lockwait;
    if (header_of(parcel)->opcode != FUSE_INTERRUPT)
        return false;
    const struct fuse_interrupt_in *body = (const void *)(header_of(parcel) + 1);
    if (lockwait)
        lockwait_interrupt(lockwait, body->unique);
#ifndef HAVE_NO_INTERRUPT
    return true;
#else
    return lockwait;
#endif
}

static void answer(struct duty *duty, struct parcel *parcel)
{
    if (takes_interrupt(duty, parcel))
        return;
    lockwait_serves = header_of(parcel)->unique;
    fuse_session_process_buf(duty->plan.fuse, &parcel->buf);
}

static void process(struct duty *duty, struct parcel *parcel)
{
    answer(duty, parcel);
    parcel_give(duty, parcel);
}

static void note_answer(struct duty *duty, int64_t began)
{
    const int64_t now = moment_steady();
    crowd_note_answer(&duty->crowd, now - began > LONG_NS && has_slept(), now);
}

static void invite_deputy(struct duty *duty)
{
    if (!duty->pairs || !crowd_is_there(&duty->crowd) ||
        atomic_load_explicit(&duty->deputy, memory_order_relaxed) != DEPUTY_NONE)
        return;
    vigil_end(duty->plan.vigil);
    atomic_store(&duty->leads_on, vigil_stay(duty->plan.vigil));
    pthread_mutex_lock(&duty->lock);
    atomic_store(&duty->deputy, DEPUTY_WANTED);
    wake_one(duty);
    pthread_mutex_unlock(&duty->lock);
}

/* Reads and answers beside the leader, as long as there is a crowd. */
static void deputize(struct duty *duty)
{
    struct parcel *parcel = parcel_take(duty);
    int64_t began = moment_steady();
    second = duty;
    vigil_go_beside(duty->plan.vigil, atomic_load(&duty->leads_on));
    while (parcel && second && crowd_lasts(&duty->crowd, began) &&
           look_in_crowd(duty, parcel) > 0) {
        began = moment_steady();
        answer(duty, parcel);
        note_answer(duty, began);
    }
    if (second)
        stop_deputizing();
    if (parcel)
        parcel_give(duty, parcel);
}

/* Serves one request, and gives up leading when the watch has taken over meanwhile. */
static void serve(struct duty *duty, struct parcel *parcel)
{
    uint_least64_t state = own_reign << 1 | 1;
    const int64_t began = moment_steady();
    atomic_store(&duty->serving_since, began);
    atomic_store(&duty->reign, state);
    if (atomic_load(&duty->drowsy)) {
        pthread_mutex_lock(&duty->lock);
        pthread_cond_signal(&duty->watch);
        pthread_mutex_unlock(&duty->lock);
    }
    process(duty, parcel);
    if (has_deputy(duty))
        note_answer(duty, began);
    if (leading && !atomic_compare_exchange_strong(&duty->reign, &state, own_reign << 1))
        leading = NULL;
}

/* Serves requests until leadership is given away, or taken, or the session ends. */
static void lead(struct duty *duty)
{
    leading = duty;
    own_reign = atomic_load(&duty->reign) >> 1;
    while (leading && (duty->kept || !fuse_session_exited(duty->plan.fuse))) {
        bool had = duty->kept != NULL;
        struct parcel *parcel = next_parcel(duty);
        if (!parcel)
            break;
        const struct beat beat = rhythm_beat(header_of(parcel));
        invite_deputy(duty);
        if (beat.awaited && !has_deputy(duty) && !is_alone(duty, &beat))
            look_further(duty, had);
        serve(duty, parcel);
    }
    vigil_leave(duty->plan.vigil);
    if (leading) {
        leading = NULL;
        finish(duty);
    }
}

static void wait_a_while(struct duty *duty)
{
    const struct timespec until = moment_ahead(SLOW_NS);
    pthread_cond_timedwait(&duty->watch, &duty->lock, &until);
}

static bool wants_deputy(const struct duty *duty)
{
    return atomic_load_explicit(&duty->deputy, memory_order_relaxed) == DEPUTY_WANTED;
}

static bool has_turn(const struct duty *duty)
{
    return duty->over || duty->waiting || !duty->led || wants_deputy(duty);
}

/* Watches until there is something else to do (false), or a slow request has cost its thread the
 * lead, which is the caller's then (true). The lock is held. */
static bool watch(struct duty *duty)
{
    while (!has_turn(duty)) {
        int_least64_t before = atomic_load(&duty->serving_since);
        wait_a_while(duty);
        uint_least64_t state = atomic_load(&duty->reign);
        int_least64_t since = atomic_load(&duty->serving_since);
        if ((state & 1) && moment_steady() - since >= SLOW_NS && !has_turn(duty) &&
            end_reign(duty, state))
            return true;
        if ((state & 1) || since != before)
            continue;
        pthread_mutex_unlock(&duty->lock);
        mount_trim(duty->plan.mount, TRIM_IDLE);
        pthread_mutex_lock(&duty->lock);
        /* Nothing was served: sleep until something is. The leader first says that it serves and
         * then looks at `drowsy`; here it is the other way round, so one of the two sees the other.
         */
        atomic_store(&duty->drowsy, true);
        if (!has_turn(duty) && atomic_load(&duty->serving_since) == since)
            pthread_cond_wait(&duty->watch, &duty->lock);
        atomic_store(&duty->drowsy, false);
    }
    return false;
}

/* The watch leads now, and what the slow thread had kept is for a waiter. The lock is held. */
static void take_over(struct duty *duty)
{
    struct parcel *kept = duty->kept;
    duty->kept = NULL;
    if (kept) {
        kept->next = duty->waiting;
        duty->waiting = kept;
    }
    wake_one(duty); /* for what was kept, and to be the next watch */
}

/* Waits for a turn. True when the lead has been taken over. The lock is held. */
static bool wait_or_watch(struct duty *duty)
{
    lay_down(duty);
    if (duty->watched) {
        pthread_cond_wait(&duty->turn, &duty->lock);
        return false;
    }
    duty->watched = true;
    bool leads = watch(duty);
    duty->watched = false;
    if (leads)
        take_over(duty);
    else
        pthread_cond_signal(&duty->turn); /* somebody else is the watch */
    return leads;
}

static void *worker(void *argument)
{
    struct duty *duty = argument;
    pthread_mutex_lock(&duty->lock);
    while (!duty->over || duty->waiting) {
        struct parcel *parcel = duty->waiting;
        if (parcel) {
            duty->waiting = parcel->next;
            pthread_mutex_unlock(&duty->lock);
            process(duty, parcel);
            pthread_mutex_lock(&duty->lock);
        } else if (wants_deputy(duty)) {
            atomic_store(&duty->deputy, DEPUTY_SERVES);
            pthread_mutex_unlock(&duty->lock);
            deputize(duty);
            pthread_mutex_lock(&duty->lock);
        } else if (!duty->led || wait_or_watch(duty)) {
            duty->led = true;
            pthread_mutex_unlock(&duty->lock);
            lead(duty);
            pthread_mutex_lock(&duty->lock);
        }
    }
    pthread_mutex_unlock(&duty->lock);
    parcels_free(at_hand);
    return NULL;
}

/* ---- all of them ---- */

static unsigned thread_count(const struct duty_plan *plan)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned count = plan->threads ? plan->threads : (unsigned)(cores > 0 ? cores : 1) * 2 + 4;
    if (count < 2)
        count = 2;
    return count > THREADS_MAX ? THREADS_MAX : count;
}

static void init_conditions(struct duty *duty)
{
    steadywait_init(&duty->watch);
    pthread_cond_init(&duty->turn, NULL);
}

struct duty *duty_start(const struct duty_plan *plan)
{
    struct duty *duty = calloc(1, sizeof(*duty));
    if (!duty)
        return NULL;
    duty->plan = *plan;
    const unsigned wanted = thread_count(plan);
    /* With fewer there would be no watch beside leader and deputy. */
    duty->pairs = plan->spins && vigil_pairs() && wanted > 2;
    brief_init(&duty->lock);
    init_conditions(duty);
    plan->mount->will_be_slow = stand_back;
    while (duty->count < wanted &&
           pthread_create(&duty->threads[duty->count], NULL, worker, duty) == 0)
        duty->count++;
    if (duty->count > 0)
        return duty;
    duty_end(duty);
    return NULL;
}

unsigned duty_count(const struct duty *duty)
{
    return duty->count;
}

void duty_end(struct duty *duty)
{
    if (!duty)
        return;
    for (unsigned i = 0; i < duty->count; i++)
        pthread_join(duty->threads[i], NULL);
    parcels_free(duty->spare);
    parcels_free(duty->waiting);
    pthread_cond_destroy(&duty->turn);
    pthread_cond_destroy(&duty->watch);
    pthread_mutex_destroy(&duty->lock);
    free(duty);
}
