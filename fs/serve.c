/* SPDX-License-Identifier: MIT
 *
 * Duty: the session and its threads.
 *
 * One thread at a time, the leader, reads the device; the others wait on a condition.
 *
 *   wait --(nobody leads)--> lead --(request)--> serve it, still leading --> lead
 *                            lead --(a second one is there already)--> keep it, serve it next
 *                            lead --(and a third)--> a waiter serves that one
 *                            serve --(it will be slow, or has been for 2 ms)--> a waiter leads
 *
 * So a lone client talks to one thread, which after each answer looks for the next request for some
 * 50 us before it sleeps, where that is of use (pace.h; vigil.h sees to it that the client wakes
 * soon), and several clients get several threads. What nobody waits for (FORGET, RELEASE) is
 * served at once and is no sign of a second client. One waiter is the watch: as long as requests
 * are served it looks every 2 ms whether one of them takes long (a read from a cold disk, a network
 * filesystem) and if so leads in the place of the thread that serves it. An idle mount sleeps and
 * uses no processor. Where requests come through io_uring, libfuse's own loop and threads serve
 * them.
 *
 * Who leads is told by `reign`: a number, and whether its holder is serving. Only the leader,
 * between two requests, and the watch, while the leader serves, change it, each by one
 * compare-and-swap; what the leader keeps (`kept`) belongs to whoever holds the reign.
 */
#include "serve.h"

#include "caller.h"
#include "ending.h"
#include "log.h"
#include "moment.h"
#include "ops.h"
#include "pace.h"
#include "privileges.h"
#include "ready.h"
#include "rhythm.h"
#include "rings.h"
#include "vigil.h"

#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>

enum { THREADS_MAX = 64, SPIN_NS = 50000, SLOW_NS = 2000000, SPARES_MAX = 16 };
enum { ROOM = 4096 }; /* of descriptors: those of the cache, and as many more */
enum { LATE_NS = 1000000 };

/* A request read and not yet served. */
struct parcel {
    struct fuse_buf buf;
    struct parcel *next;
};

struct session {
    struct fuse_session *fuse;
    struct mount *mount;
    pthread_mutex_t lock;
    pthread_cond_t turn;  /* there is a parcel, or nobody leads, or it is over */
    pthread_cond_t watch; /* the same for the watch, and: requests are served again */
    bool led;             /* protected by lock, as all down to spare */
    bool over;
    bool watched;           /* a waiter is the watch */
    struct parcel *waiting; /* for a waiter to serve */
    struct parcel *spare;   /* buffers to use again */
    unsigned spares;
    struct parcel *kept;  /* for the leader */
    struct rhythm rhythm; /* the leader's: who asks, and how */
    struct pace pace;     /* the leader's: whether it spins before it sleeps */
    struct vigil *vigil;
    atomic_uint_least64_t reign;        /* number << 1 | serving */
    atomic_int_least64_t serving_since; /* nanoseconds */
    atomic_bool drowsy;                 /* the watch sleeps until requests are served again */
    int done;                           /* eventfd: the kernel has let go of the mount */
    int neighbour;                      /* whose end is heeded, as for ending_wait() */
    bool spin;
    bool rings; /* requests come through io_uring */
};

static _Thread_local struct session *leading; /* the session this thread leads */
static _Thread_local uint64_t own_reign;      /* the number under which it does */

/* ---- parcels ---- */

static struct parcel *parcel_take(struct session *session)
{
    pthread_mutex_lock(&session->lock);
    struct parcel *parcel = session->spare;
    if (parcel) {
        session->spare = parcel->next;
        session->spares--;
    }
    pthread_mutex_unlock(&session->lock);
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

/* A buffer that held a large write is a MiB of memory: no more of them are kept than serve well. */
static void parcel_give(struct session *session, struct parcel *parcel)
{
    pthread_mutex_lock(&session->lock);
    bool keep = session->spares < SPARES_MAX;
    parcel->next = keep ? session->spare : NULL;
    if (keep) {
        session->spare = parcel;
        session->spares++;
    }
    pthread_mutex_unlock(&session->lock);
    if (!keep)
        parcels_free(parcel);
}

/* ---- leading ---- */

/* Reads one request if there is one: its size, 0 at the end of the session, -EAGAIN for none. */
static int receive(struct session *session, struct parcel *parcel)
{
    int size = fuse_session_receive_buf(session->fuse, &parcel->buf);
    return size == -EINTR ? -EAGAIN : size;
}

static const struct fuse_in_header *header_of(const struct parcel *parcel)
{
    return parcel->buf.mem;
}

/* A lone client's thread and this one are to share a processor, if that is of use. A stream is
 * served on another one than that on which its client copies: left alone, the scheduler would wake
 * this thread, again and again, where the client is that it could work beside. */
static void note_request(struct session *session, const struct parcel *parcel, bool close)
{
    struct rhythm *rhythm = &session->rhythm;
    const struct beat beat = rhythm_beat(header_of(parcel));
    rhythm_note(rhythm, &beat, close);
    if (rhythm_is_stream(rhythm)) {
        vigil_part(session->vigil, (pid_t)rhythm->client);
        return;
    }
    if (close && rhythm_is_alone(rhythm) && rhythm->client != 0 &&
        pace_prefers_to_spin(&session->pace))
        vigil_keep(session->vigil, (pid_t)rhythm->client);
    vigil_join(session->vigil);
}

/* Gives the processor to others for a moment; the time then. Where that takes long there are others
 * who want it. */
static int64_t yield(struct session *session, int64_t before)
{
    sched_yield();
    int64_t now = moment_steady();
    if (now - before > LATE_NS && !vigil_shares())
        pace_note(&session->pace, true, PACE_MOST_NS);
    return now;
}

/* Looks for a request for a while. The client on this processor is given it once: if it may not
 * have it yet, having used more than its share, only who sleeps lets it go on. */
static int look(struct session *session, struct parcel *parcel, int64_t now, bool spins)
{
    int size = receive(session, parcel);
    const int64_t until = now + (vigil_shares() ? 1 : SPIN_NS);
    while (size == -EAGAIN && spins && now < until) {
        now = yield(session, now);
        size = receive(session, parcel);
    }
    return size;
}

/* Waits for a request: looks for a while, then sleeps. */
static int receive_next(struct session *session, struct parcel *parcel)
{
    const bool shares = vigil_shares();
    const bool spins = session->spin && (shares || pace_spins(&session->pace));
    const int64_t began = moment_steady();
    int size = look(session, parcel, began, spins);
    while (size == -EAGAIN) {
        struct pollfd device = {.fd = fuse_session_fd(session->fuse), .events = POLLIN};
        poll(&device, 1, -1);
        size = receive(session, parcel);
    }
    const int64_t gap = moment_steady() - began;
    if (session->spin && !shares)
        pace_note(&session->pace, spins, gap);
    if (size > 0)
        note_request(session, parcel, gap < RHYTHM_CLOSE_NS);
    return size;
}

static void finish_session(struct session *session)
{
    pthread_mutex_lock(&session->lock);
    session->over = true;
    session->led = false;
    pthread_cond_broadcast(&session->turn);
    pthread_cond_broadcast(&session->watch);
    pthread_mutex_unlock(&session->lock);
    uint64_t one = 1;
    (void)!write(session->done, &one, sizeof(one));
}

/* There is something to do for one who waits. The watch is woken too: the other may have been woken
 * already, for something else that takes long. The lock is held. */
static void wake_one(struct session *session)
{
    pthread_cond_signal(&session->turn);
    pthread_cond_signal(&session->watch);
}

static void hand_over(struct session *session, struct parcel *parcel)
{
    pthread_mutex_lock(&session->lock);
    parcel->next = session->waiting;
    session->waiting = parcel;
    wake_one(session);
    pthread_mutex_unlock(&session->lock);
}

/* Ends a reign, if it is still that; `state` is as it was seen. */
static bool end_reign(struct session *session, uint_least64_t state)
{
    return atomic_compare_exchange_strong(&session->reign, &state, ((state >> 1) + 1) << 1);
}

/* Lets waiters lead, and serve what was kept. */
static void stop_leading(void)
{
    struct session *session = leading;
    if (!session)
        return;
    leading = NULL;
    vigil_leave(session->vigil);
    if (!end_reign(session, own_reign << 1 | 1))
        return; /* the watch was faster */
    struct parcel *kept = session->kept;
    session->kept = NULL;
    if (kept)
        hand_over(session, kept);
    pthread_mutex_lock(&session->lock);
    session->led = false;
    wake_one(session);
    pthread_mutex_unlock(&session->lock);
}

/* The next request: what was kept, or what the device gives. NULL at the end of the session. */
static struct parcel *next_parcel(struct session *session)
{
    struct parcel *parcel = session->kept;
    session->kept = NULL;
    if (parcel)
        return parcel;
    while (!(parcel = parcel_take(session)))
        ; /* no memory: some thread will give one back */
    if (receive_next(session, parcel) > 0)
        return parcel;
    parcel_give(session, parcel);
    return NULL;
}

/* Looks for one more request. `had`: the one before it had been kept already. */
static void look_further(struct session *session, bool had)
{
    struct parcel *parcel = parcel_take(session);
    if (!parcel)
        return;
    if (receive(session, parcel) <= 0)
        parcel_give(session, parcel);
    else if (had)
        hand_over(session, parcel);
    else
        session->kept = parcel;
}

/* A client that is the only one for some time waits for its answer: there is no second request,
 * unless this is one of those that the page cache sends several of, reading ahead or writing back
 * (in nobody's name). Were there one now, it would be seen as soon as this is answered, or by the
 * watch. */
static bool is_alone(const struct session *session, const struct beat *beat)
{
    return rhythm_is_alone(&session->rhythm) && !beat->large && beat->client != 0;
}

/* An INTERRUPT needs no answer (kernel document fuse.rst), and no operation here looks for one;
 * libfuse would keep it for a request that may have been answered already. */
static void process(struct session *session, struct parcel *parcel)
{
    if (header_of(parcel)->opcode != FUSE_INTERRUPT)
        fuse_session_process_buf(session->fuse, &parcel->buf);
    parcel_give(session, parcel);
}

/* Serves one request, and gives up leading when the watch has taken over meanwhile. */
static void serve(struct session *session, struct parcel *parcel)
{
    uint_least64_t state = own_reign << 1 | 1;
    atomic_store(&session->serving_since, moment_steady());
    atomic_store(&session->reign, state);
    if (atomic_load(&session->drowsy)) {
        pthread_mutex_lock(&session->lock);
        pthread_cond_signal(&session->watch);
        pthread_mutex_unlock(&session->lock);
    }
    process(session, parcel);
    if (leading && !atomic_compare_exchange_strong(&session->reign, &state, own_reign << 1))
        leading = NULL;
}

/* Serves requests until leadership is given away, or taken, or the session ends. */
static void lead(struct session *session)
{
    leading = session;
    own_reign = atomic_load(&session->reign) >> 1;
    while (leading && (session->kept || !fuse_session_exited(session->fuse))) {
        bool had = session->kept != NULL;
        struct parcel *parcel = next_parcel(session);
        if (!parcel)
            break;
        const struct beat beat = rhythm_beat(header_of(parcel));
        if (beat.awaited && !is_alone(session, &beat))
            look_further(session, had);
        serve(session, parcel);
    }
    vigil_leave(session->vigil);
    if (leading) {
        leading = NULL;
        finish_session(session);
    }
}

static void wait_a_while(struct session *session)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += SLOW_NS;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_cond_timedwait(&session->watch, &session->lock, &until);
}

static bool has_turn(const struct session *session)
{
    return session->over || session->waiting || !session->led;
}

/* Watches until there is something else to do (false), or a slow request has cost its thread the
 * lead, which is the caller's then (true). The lock is held. */
static bool watch(struct session *session)
{
    while (!has_turn(session)) {
        int_least64_t before = atomic_load(&session->serving_since);
        wait_a_while(session);
        uint_least64_t state = atomic_load(&session->reign);
        int_least64_t since = atomic_load(&session->serving_since);
        if ((state & 1) && moment_steady() - since >= SLOW_NS && !has_turn(session) &&
            end_reign(session, state))
            return true;
        if ((state & 1) || since != before)
            continue;
        pthread_mutex_unlock(&session->lock);
        mount_trim(session->mount, TRIM_IDLE);
        pthread_mutex_lock(&session->lock);
        /* Nothing was served: sleep until something is. The leader first says that it serves and
         * then looks at `drowsy`; here it is the other way round, so one of the two sees the other.
         */
        atomic_store(&session->drowsy, true);
        if (!has_turn(session) && atomic_load(&session->serving_since) == since)
            pthread_cond_wait(&session->watch, &session->lock);
        atomic_store(&session->drowsy, false);
    }
    return false;
}

/* The watch leads now, and what the slow thread had kept is for a waiter. The lock is held. */
static void take_over(struct session *session)
{
    struct parcel *kept = session->kept;
    session->kept = NULL;
    if (kept) {
        kept->next = session->waiting;
        session->waiting = kept;
    }
    wake_one(session); /* for what was kept, and to be the next watch */
}

/* Waits for a turn. True when the lead has been taken over. The lock is held. */
static bool wait_or_watch(struct session *session)
{
    if (session->watched) {
        pthread_cond_wait(&session->turn, &session->lock);
        return false;
    }
    session->watched = true;
    bool leads = watch(session);
    session->watched = false;
    if (leads)
        take_over(session);
    else
        pthread_cond_signal(&session->turn); /* somebody else is the watch */
    return leads;
}

static void *worker(void *argument)
{
    struct session *session = argument;
    pthread_mutex_lock(&session->lock);
    while (!session->over || session->waiting) {
        struct parcel *parcel = session->waiting;
        if (parcel) {
            session->waiting = parcel->next;
            pthread_mutex_unlock(&session->lock);
            process(session, parcel);
            pthread_mutex_lock(&session->lock);
        } else if (!session->led || wait_or_watch(session)) {
            session->led = true;
            pthread_mutex_unlock(&session->lock);
            lead(session);
            pthread_mutex_lock(&session->lock);
        }
    }
    pthread_mutex_unlock(&session->lock);
    return NULL;
}

/* ---- the session ---- */

static unsigned thread_count(const struct options *options)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned count =
        options->threads ? options->threads : (unsigned)(cores > 0 ? cores : 1) * 2 + 4;
    if (count < 2)
        count = 2;
    return count > THREADS_MAX ? THREADS_MAX : count;
}

static void *ring_worker(void *argument)
{
    struct session *session = argument;
    rings_serve(session->fuse);
    finish_session(session);
    return NULL;
}

static void serve_threads(struct session *session, const struct options *options, int signals)
{
    pthread_t threads[THREADS_MAX];
    unsigned wanted = session->rings ? 1 : thread_count(options), count = 0;
    void *(*work)(void *) = session->rings ? ring_worker : worker;
    while (count < wanted && pthread_create(&threads[count], NULL, work, session) == 0)
        count++;
    log_debug("%u threads, spinning %s", count, session->spin ? "on" : "off");
    if (count == 0)
        finish_session(session);
    ending_wait(options, session->done, signals, session->neighbour);
    for (unsigned i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
}

/* Where it is not, the kernel refuses the option that only it reads, and mount(8) leaves it out. */
static bool has_selinux(void)
{
    return access("/sys/fs/selinux/enforce", F_OK) == 0;
}

/* The arguments that libfuse parses: what mount(2) is told. */
static int fuse_arguments(const struct options *options, const struct mount *mount,
                          struct fuse_args *args)
{
    char text[512];
    const bool root = geteuid() == 0, checked = !mount->rules.unchecked;
    snprintf(text, sizeof(text), "-ofsname=%s,subtype=%s%s%s%s%s%s",
             options->fsname ? options->fsname : "plyfs",
             options->subtype ? options->subtype : "plyfs", checked ? ",default_permissions" : "",
             root && checked && !options->allow_other_set ? ",allow_other" : "",
             root ? ",dev,suid" : "", mount_is_read_only(mount) ? ",ro" : "",
             mount->rules.uring ? ",io_uring" : "");
    if (fuse_opt_add_arg(args, "plyfs") != 0 || fuse_opt_add_arg(args, text) != 0)
        return -ENOMEM;
    if (options->context && has_selinux()) {
        cleanup_free char *context = NULL;
        int err = options_format_context(options->context, &context);
        if (err || fuse_opt_add_arg(args, "-o") != 0 || fuse_opt_add_arg(args, context) != 0)
            return -ENOMEM;
    }
    if (options->kernel &&
        (fuse_opt_add_arg(args, "-o") != 0 || fuse_opt_add_arg(args, options->kernel) != 0))
        return -ENOMEM;
    return 0;
}

static int open_session(const struct options *options, struct mount *mount, struct session *session)
{
    struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
    int err = fuse_arguments(options, mount, &args);
    if (!err) {
        session->fuse = fuse_session_new(&args, &ops_table, sizeof(ops_table), mount);
        err = session->fuse ? 0 : -EINVAL;
    }
    fuse_opt_free_args(&args);
    if (err)
        return err;
    if (fuse_session_mount(session->fuse, options->mountpoint) != 0) {
        /* libfuse has told the system's word; this says what was asked. */
        log_error("cannot mount on %s%s", options->mountpoint,
                  geteuid() == 0 ? "" : "; is /dev/fuse open to you, and fusermount3 installed?");
        fuse_session_destroy(session->fuse);
        return -EPERM;
    }
    if (session->rings)
        return 0;
    int fd = fuse_session_fd(session->fuse);
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
        err = -errno;
        fuse_session_unmount(session->fuse);
        fuse_session_destroy(session->fuse);
    }
    return err;
}

/* The kernel may know nothing of that name: then there is nothing to forget. */
static void forget_name(void *session, uint64_t directory, const char *name)
{
    (void)fuse_lowlevel_notify_inval_entry(session, directory, name, strlen(name));
}

/* A negative offset means no pages. */
static void forget_attributes(void *session, uint64_t id)
{
    (void)fuse_lowlevel_notify_inval_inode(session, id, -1, 0);
}

/* Who has one processor alone must leave it to the client. */
static bool may_spin(const struct options *options)
{
    cpu_set_t set;
    return options->spin != CHOICE_OFF && sched_getaffinity(0, sizeof(set), &set) == 0 &&
           CPU_COUNT(&set) > 1;
}

static int serve_session(struct session *session, const struct options *options, int signals,
                         const struct serve_guest *guest)
{
    struct mount *mount = session->mount;
    mount->session = session->fuse;
    mount->name_changed = forget_name;
    mount->attributes_changed = forget_attributes;
    int err = guest ? guest->begin(guest->context, mount) : 0;
    if (err) {
        own_close(&session->neighbour);
        return err;
    }
    session->vigil = session->spin ? vigil_start() : NULL;
    mount->rings = session->rings ? rings_watch(session->vigil) : NULL;
    serve_threads(session, options, signals);
    rings_free(mount->rings);
    vigil_stop(session->vigil);
    if (guest)
        guest->end(guest->context);
    return 0;
}

/* The table of descriptors grows by doubling, and each time, where there are threads, the kernel
 * waits out a grace period of RCU, some 10 ms in which a request is not answered. So it is made as
 * large as the mount may need while there is but one thread; it never shrinks. */
static void make_room_for_descriptors(int any)
{
    struct rlimit limit = {.rlim_cur = 1024};
    getrlimit(RLIMIT_NOFILE, &limit);
    cleanup_fd int highest =
        fcntl(any, F_DUPFD_CLOEXEC, (int)(limit.rlim_cur < ROOM ? limit.rlim_cur : ROOM) - 1);
    (void)highest;
}

int serve_run(const struct options *options, struct mount *mount, const struct serve_guest *guest)
{
    struct session session = {.mount = mount, .rings = mount->rules.uring};
    /* The threads of rings do not spin; of two processors the vigil keeps theirs the client's. */
    session.spin = may_spin(options) && (!session.rings || vigil_pairs());
    cleanup_fd int signals = ending_signals();
    if (signals < 0)
        return signals;
    make_room_for_descriptors(signals);
    pthread_mutex_init(&session.lock, NULL);
    pthread_cond_init(&session.turn, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&session.watch, &monotonic);
    pthread_condattr_destroy(&monotonic);
    session.done = eventfd(0, EFD_CLOEXEC);
    if (session.done < 0)
        return -errno;
    mount->will_be_slow = stop_leading;
    caller_init();
    int err = open_session(options, mount, &session);
    if (!err) {
        session.neighbour = ending_neighbour(options);
        privileges_give_up((options->attachable ? PRIVILEGES_HELPERS : 0) |
                           (session.neighbour >= 0 ? PRIVILEGES_CENSUS : 0));
        err = serve_session(&session, options, signals, guest);
        fuse_session_unmount(session.fuse);
        fuse_session_destroy(session.fuse);
    }
    parcels_free(session.spare);
    parcels_free(session.waiting);
    close(session.done);
    pthread_cond_destroy(&session.turn);
    pthread_cond_destroy(&session.watch);
    pthread_mutex_destroy(&session.lock);
    return err;
}
