/* SPDX-License-Identifier: MIT
 *
 * Duty: hand a file over from one thread to another. Invariants: what is to be opened is written
 * while the state is IDLE, with the lock held, and read while it is WORKING; only who works leads
 * into WORKING and out of it; whoever leads out of DONE owns the file.
 */
#include "ahead.h"

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <string.h>

enum { OFTEN = 8 /* times that a file was wanted before one is opened */ };
enum { LOOKS = 300 /* at one that is being opened: about what that takes */ };
enum { LINE = 64 /* bytes of a line of the cache */ };

enum { IDLE, ASKED, WORKING, DONE };

struct ahead {
    struct fdcache *fds;
    struct tray *tray;
    pthread_mutex_t lock;
    uint64_t key; /* 0: nobody is to take it */
    struct ahead_file file;
    char name[NAME_MAX + 1];
    alignas(LINE) atomic_int state;
    atomic_int fd; /* of a file that is DONE, or -1 */
    atomic_bool at_work;
    atomic_uint wanted; /* how often since somebody works */
};

struct ahead *ahead_create(struct fdcache *fds, struct tray *tray)
{
    struct ahead *ahead = aligned_alloc(LINE, sizeof(*ahead));
    if (!ahead)
        return NULL;
    *ahead = (struct ahead){.fds = fds, .tray = tray, .fd = -1};
    pthread_mutex_init(&ahead->lock, NULL);
    return ahead;
}

static bool change(struct ahead *ahead, int from, int to)
{
    return atomic_compare_exchange_strong(&ahead->state, &from, to);
}

/* The file that is DONE, or -1. Only when it is taken it is known which one that is. */
static int take_done(struct ahead *ahead)
{
    return change(ahead, DONE, IDLE) ? atomic_load(&ahead->fd) : -1;
}

/* Closes what is there and takes back what was asked. Whether something else may be asked: not
 * while that is being opened. */
static bool clear(struct ahead *ahead)
{
    int fd = take_done(ahead);
    if (fd >= 0)
        tray_close(ahead->tray, fd);
    (void)change(ahead, ASKED, IDLE);
    if (atomic_load(&ahead->state) != IDLE)
        return false;
    fdref_release(ahead->fds, ahead->file.ref);
    ahead->file.ref = NULL;
    return true;
}

void ahead_destroy(struct ahead *ahead)
{
    if (!ahead)
        return;
    (void)clear(ahead);
    pthread_mutex_destroy(&ahead->lock);
    free(ahead);
}

/* With the lock held. True where the ref was taken over. */
static bool ask(struct ahead *ahead, uint64_t key, const struct ahead_file *file)
{
    if (!clear(ahead) || strlen(file->name) > NAME_MAX)
        return false;
    ahead->key = key;
    ahead->file = *file;
    strcpy(ahead->name, file->name);
    ahead->file.name = ahead->name;
    atomic_store(&ahead->state, ASKED);
    return true;
}

void ahead_ask(struct ahead *ahead, uint64_t key, const struct ahead_file *file)
{
    bool taken = false;
    if (!ahead)
        return;
    bool worth = atomic_load_explicit(&ahead->at_work, memory_order_relaxed) &&
                 atomic_load_explicit(&ahead->wanted, memory_order_relaxed) >= OFTEN;
    if (worth && pthread_mutex_trylock(&ahead->lock) == 0) {
        taken = ask(ahead, key, file);
        pthread_mutex_unlock(&ahead->lock);
    }
    if (!taken)
        fdref_release(ahead->fds, file->ref);
}

/* It is being opened just now: that is soon done, if who opens it is not kept from it. */
static void wait_a_little(struct ahead *ahead)
{
    for (int i = 0; i < LOOKS && atomic_load(&ahead->state) == WORKING; i++) {
#if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
#elif defined(__aarch64__)
        __asm__ volatile("yield");
#endif
    }
}

int ahead_take(struct ahead *ahead, uint64_t key)
{
    int fd = -1;
    if (!ahead || !atomic_load_explicit(&ahead->at_work, memory_order_relaxed))
        return -1;
    atomic_fetch_add_explicit(&ahead->wanted, 1, memory_order_relaxed);
    if (pthread_mutex_trylock(&ahead->lock) != 0)
        return -1;
    if (ahead->key == key) {
        wait_a_little(ahead);
        fd = take_done(ahead);
        (void)change(ahead, ASKED, IDLE);
        ahead->key = 0;
    }
    pthread_mutex_unlock(&ahead->lock);
    return fd;
}

void ahead_begin(struct ahead *ahead)
{
    if (!ahead)
        return;
    (void)change(ahead, ASKED, IDLE);
    atomic_store(&ahead->wanted, 0);
    atomic_store(&ahead->at_work, true);
}

void ahead_work(struct ahead *ahead)
{
    if (!ahead || atomic_load_explicit(&ahead->state, memory_order_relaxed) != ASKED ||
        !change(ahead, ASKED, WORKING))
        return;
    const struct ahead_file *file = &ahead->file;
    atomic_store(&ahead->fd, openat(file->dir, file->name, file->flags, file->mode));
    atomic_store(&ahead->state, DONE);
}

/* Whoever asks meanwhile may have looked at `at_work` before: what is asked after this stays
 * undone, and is taken back by who begins to work next. */
void ahead_end(struct ahead *ahead)
{
    if (!ahead)
        return;
    atomic_store(&ahead->at_work, false);
    if (!change(ahead, DONE, WORKING))
        return;
    int fd = atomic_load(&ahead->fd);
    own_close(&fd);
    atomic_store(&ahead->state, IDLE);
}
