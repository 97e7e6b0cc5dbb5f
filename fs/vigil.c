/* SPDX-License-Identifier: MIT
 *
 * Duty: spin where the client sleeps, and nowhere else, and not for longer than it asks.
 */
#include "vigil.h"

#include "moment.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LOOK_NS = 1000000, PAUSES = 64 };

struct vigil {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    atomic_int thread_id; /* of the vigil; 0: it does not run */
    atomic_int at;        /* the processor it is bound to; -1: to none */
    cpu_set_t allowed;
    atomic_uint asked;  /* how often something was */
    atomic_int client;  /* the thread id of who asked last */
    atomic_int serving; /* the processor that the daemon serves on */
    atomic_bool asleep;
    atomic_bool over;
};

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

/* Goes where the client is, but never to where it is served. */
static void follow(struct vigil *vigil)
{
    int processor = processor_of(atomic_load(&vigil->client));
    if (processor < 0 || processor >= CPU_SETSIZE || processor == atomic_load(&vigil->at) ||
        processor == atomic_load(&vigil->serving))
        return;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)processor, &set);
    if (sched_setaffinity(0, sizeof(set), &set) == 0)
        atomic_store(&vigil->at, processor);
}

/* The daemon serves where the vigil is bound to. It gets no time there, not even to go away. */
static void send_away(struct vigil *vigil, int processor)
{
    cpu_set_t set = vigil->allowed;
    CPU_CLR((size_t)processor, &set);
    atomic_store(&vigil->at, -1);
    (void)sched_setaffinity(atomic_load(&vigil->thread_id), sizeof(set), &set);
}

static void pause_a_while(void)
{
    for (int i = 0; i < PAUSES; i++) {
#if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
#elif defined(__aarch64__)
        __asm__ volatile("yield");
#endif
    }
}

/* Until nothing has been asked for a while; returns what was. */
static unsigned spin(struct vigil *vigil, unsigned seen)
{
    int64_t looked = 0;
    while (!atomic_load(&vigil->over)) {
        int64_t now = moment_steady();
        if (now - looked >= LOOK_NS) {
            unsigned asked = atomic_load(&vigil->asked);
            if (asked == seen)
                break;
            seen = asked;
            looked = now;
            follow(vigil);
        }
        pause_a_while();
    }
    return seen;
}

/* `asleep` is told before `asked` is looked at, and vigil_keep() does it the other way round: one
 * of the two sees the other. */
static void sleep_until_asked(struct vigil *vigil, unsigned seen)
{
    pthread_mutex_lock(&vigil->lock);
    atomic_store(&vigil->asleep, true);
    while (atomic_load(&vigil->asked) == seen && !atomic_load(&vigil->over))
        pthread_cond_wait(&vigil->wake, &vigil->lock);
    atomic_store(&vigil->asleep, false);
    pthread_mutex_unlock(&vigil->lock);
}

static void *keep_vigil(void *argument)
{
    struct vigil *vigil = argument;
    const struct sched_param none = {0};
    pthread_setname_np(pthread_self(), "plyfs-vigil");
    /* At any other priority this would take time from others. */
    if (sched_setscheduler(0, SCHED_IDLE, &none) < 0)
        return NULL;
    atomic_store(&vigil->thread_id, gettid());
    for (unsigned seen = 0; !atomic_load(&vigil->over); seen = spin(vigil, seen))
        sleep_until_asked(vigil, seen);
    return NULL;
}

struct vigil *vigil_start(void)
{
    struct vigil *vigil = calloc(1, sizeof(*vigil));
    if (!vigil)
        return NULL;
    pthread_mutex_init(&vigil->lock, NULL);
    pthread_cond_init(&vigil->wake, NULL);
    atomic_store(&vigil->at, -1);
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

void vigil_keep(struct vigil *vigil, pid_t client)
{
    if (!vigil)
        return;
    int here = sched_getcpu();
    atomic_store_explicit(&vigil->serving, here, memory_order_relaxed);
    if (here >= 0 && here == atomic_load_explicit(&vigil->at, memory_order_relaxed))
        send_away(vigil, here);
    atomic_store_explicit(&vigil->client, client, memory_order_relaxed);
    atomic_fetch_add(&vigil->asked, 1);
    if (atomic_load(&vigil->asleep))
        wake(vigil);
}
