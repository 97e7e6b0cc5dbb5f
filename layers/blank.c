/* SPDX-License-Identifier: MIT
 *
 * Duty: hand a file over from one thread to another. Invariants: where and of what kind it is to be
 * made is written while the state is IDLE, with the lock held, and read while it is WORKING; only
 * who works leads into WORKING and out of it; whoever leads out of DONE owns the file.
 */
#include "blank.h"

#include "brief.h"
#include "fd.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>

enum { OFTEN = 8 /* times that a blank was wanted before one is made ahead */ };
enum { LOOKS = 300 /* at one that is being made: about what that takes */ };
enum { LINE = 64 /* bytes of a line of the cache */ };

enum { IDLE, ASKED, WORKING, DONE };

struct blanks {
    struct tray *tray;
    pthread_mutex_t lock;
    int dir;
    struct blank_kind kind;
    alignas(LINE) atomic_int state;
    atomic_int fd; /* of a file that is DONE, or -errno */
    atomic_bool at_work;
    atomic_uint wanted; /* how often since somebody works */
};

struct blanks *blanks_create(struct tray *tray)
{
    struct blanks *blanks = aligned_alloc(LINE, sizeof(*blanks));
    if (!blanks)
        return NULL;
    *blanks = (struct blanks){.tray = tray};
    pthread_mutex_init(&blanks->lock, NULL);
    return blanks;
}

static bool change(struct blanks *blanks, int from, int to)
{
    return atomic_compare_exchange_strong(&blanks->state, &from, to);
}

/* The file that is DONE, or -1. Only when it is taken it is known which one that is. */
static int take_done(struct blanks *blanks)
{
    return change(blanks, DONE, IDLE) ? atomic_load(&blanks->fd) : -1;
}

void blanks_destroy(struct blanks *blanks)
{
    if (!blanks)
        return;
    cleanup_fd int fd = take_done(blanks);
    (void)fd;
    pthread_mutex_destroy(&blanks->lock);
    free(blanks);
}

int blank_make(int dir, mode_t mode)
{
    int fd = openat(dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, mode);
    return fd < 0 ? -errno : fd;
}

int blank_scratch(int dir)
{
    static const char name[] = "scratch";
    int fd = blank_make(dir, 0600);
    if (fd != -EOPNOTSUPP && fd != -EISDIR && fd != -ENOSYS)
        return fd;
    cleanup_fd int named = fd_open_name(dir, name, O_RDWR | O_CREAT | O_EXCL, 0600);
    if (named < 0)
        return named;
    return unlinkat(dir, name, 0) < 0 ? -errno : steal_fd(&named);
}

static int make(int dir, const struct blank_kind *kind)
{
    int fd = blank_make(dir, kind->mode);
    if (fd < 0 || kind->metacopy == OVLSPACE_NONE)
        return fd;
    int err = ovlattr_set(kind->metacopy, fd, "", OVLATTR_METACOPY, "", 0);
    if (err)
        close(fd);
    return err ? err : fd;
}

static bool is_same(const struct blank_kind *a, const struct blank_kind *b)
{
    return a->mode == b->mode && a->metacopy == b->metacopy;
}

/* It is being made just now: that is soon done, if who makes it is not kept from it. */
static void wait_a_little(struct blanks *blanks)
{
    for (int i = 0; i < LOOKS && atomic_load(&blanks->state) == WORKING; i++)
        brief_pause();
}

/* What was made ahead, or -1, and asks for the next. With the lock held. */
static int take_and_ask(struct blanks *blanks, int dir, const struct blank_kind *kind)
{
    if (is_same(&blanks->kind, kind))
        wait_a_little(blanks);
    int fd = take_done(blanks);
    if (fd >= 0 && !is_same(&blanks->kind, kind)) {
        tray_close(blanks->tray, fd);
        fd = -1;
    }
    (void)change(blanks, ASKED, IDLE);
    /* Not while another one is being made. */
    if (atomic_load(&blanks->state) == IDLE) {
        blanks->dir = dir;
        blanks->kind = *kind;
        atomic_store(&blanks->state, ASKED);
    }
    return fd;
}

int blanks_take(struct blanks *blanks, int dir, const struct blank_kind *kind)
{
    int fd = -1;
    const bool often = blanks && atomic_load_explicit(&blanks->at_work, memory_order_relaxed) &&
                       atomic_fetch_add_explicit(&blanks->wanted, 1, memory_order_relaxed) >= OFTEN;
    if (often && pthread_mutex_trylock(&blanks->lock) == 0) {
        fd = take_and_ask(blanks, dir, kind);
        pthread_mutex_unlock(&blanks->lock);
    }
    return fd >= 0 ? fd : make(dir, kind);
}

void blanks_begin(struct blanks *blanks)
{
    if (!blanks)
        return;
    (void)change(blanks, ASKED, IDLE);
    atomic_store(&blanks->wanted, 0);
    atomic_store(&blanks->at_work, true);
}

void blanks_work(struct blanks *blanks)
{
    if (!blanks || atomic_load_explicit(&blanks->state, memory_order_relaxed) != ASKED ||
        !change(blanks, ASKED, WORKING))
        return;
    atomic_store(&blanks->fd, make(blanks->dir, &blanks->kind));
    atomic_store(&blanks->state, DONE);
}

/* Whoever asks meanwhile may have looked at `at_work` before: what is asked after this stays
 * undone, and is taken back by who begins to work next. */
void blanks_end(struct blanks *blanks)
{
    if (!blanks)
        return;
    atomic_store(&blanks->at_work, false);
    if (!change(blanks, DONE, WORKING))
        return;
    int fd = atomic_load(&blanks->fd);
    own_close(&fd);
    atomic_store(&blanks->state, IDLE);
}
