/* SPDX-License-Identifier: MIT
 *
 * Duty: guess which directories are listed next, and prepare their listings. The guess: those that
 * the last listing told of; then those that are left of the one before (a stack). Some programs
 * take them as they were told, others sort them by number (cp) or by name (ls): the order that fits
 * best so far is gone by. The guess is trusted while whoever lists does go down.
 *
 * Cost: a lock and a search among what waits for each listing, and a lock for each directory that
 * is told of. What is prepared in vain is a few directories for each walk.
 */
#include "scout.h"

#include "brief.h"
#include "errand.h"
#include "listing.h"
#include "moment.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { WAITING = 4096 /* directories that may be listed */, READY = 16 /* that lie ready */ };
enum { BEGINNING = 24 /* bytes of a name that it is sorted by */ };
enum { PASSED_BY = 64 /* other listings, after which one that lies ready is given up */ };
/* Trust grows each time that somebody goes down. */
enum { TRUSTED = 2, TRUST_MOST = 8, TRUST_LEAST = -16, LOST_IN_VAIN = 5 };

enum order { AS_TOLD, BY_NUMBER, BY_NAME, ORDERS };

struct waiting {
    uint64_t id, number;
    uint32_t listing, place;
    char name[BEGINNING];
};

struct ready_dir {
    uint64_t id;      /* 0: none */
    unsigned names;   /* how often they had changed */
    uint32_t listing; /* the last one, when it was prepared */
    int64_t since;    /* when that was */
};

struct scout {
    struct mount *mount;
    struct errand *errand;
    pthread_mutex_t lock;
    struct waiting waiting[WAITING]; /* those of the last listing are at the end */
    unsigned count;
    uint64_t directory; /* that was listed last */
    uint32_t listing;   /* the number of that listing */
    uint32_t place;     /* of what was told last */
    struct ready_dir ready[READY];
    int fits[ORDERS]; /* how well */
    enum order order; /* that is gone by */
    int trust;
    atomic_uint_least64_t of_use;
};

/* Both only ever grow, and so does their sum. */
static unsigned names_so_far(struct scout *scout, uint64_t directory)
{
    const struct namecount *names = names_of(scout->mount, (uint32_t)directory);
    return atomic_load(&names->changed) + atomic_load(&names->risen);
}

/* ---- what waits, under the lock ---- */

static bool comes_before(const struct waiting *a, const struct waiting *b, enum order order)
{
    if (order == BY_NUMBER)
        return a->number < b->number;
    if (order == BY_NAME)
        return strncmp(a->name, b->name, BEGINNING) < 0;
    return a->place < b->place;
}

/* Where those begin that were told with the one at `last`. */
static unsigned first_told_with(const struct scout *scout, unsigned last)
{
    unsigned first = last;
    while (first > 0 && scout->waiting[first - 1].listing == scout->waiting[last].listing)
        first--;
    return first;
}

/* Which of `first` to `last` comes first. */
static unsigned first_in(const struct scout *scout, unsigned first, unsigned last, enum order order)
{
    unsigned best = first;
    for (unsigned at = first + 1; at <= last; at++) {
        if (comes_before(&scout->waiting[at], &scout->waiting[best], order))
            best = at;
    }
    return best;
}

static void take_out(struct scout *scout, unsigned at)
{
    memmove(&scout->waiting[at], &scout->waiting[at + 1],
            (scout->count - at - 1) * sizeof(scout->waiting[0]));
    scout->count--;
}

/* Whether there is something to be looked at, and that is likely to be of use. */
static bool is_wanted(const struct scout *scout)
{
    return scout->trust >= TRUSTED && scout->count > 0;
}

/* ---- what is learned, under the lock ---- */

/* What lies ready in another order than is gone by now makes room. */
static void go_by(struct scout *scout, enum order order)
{
    scout->order = order;
    for (unsigned i = 0; i < READY; i++)
        scout->ready[i].listing -= PASSED_BY;
}

/* The one at `at`, of `first` to `last`, was listed next: which orders does that fit? */
static void learn_order(struct scout *scout, unsigned at, unsigned first, unsigned last)
{
    enum { LEAST = -4, MOST = 4, FEW = 4 /* fit any order */ };
    enum order best = scout->order;
    if (last - first < FEW)
        return;
    for (enum order order = AS_TOLD; order < ORDERS; order++) {
        const bool fits = first_in(scout, first, last, order) == at;
        int *by = &scout->fits[order];
        *by += fits ? *by < MOST : -(*by > LEAST);
        if (*by > scout->fits[best] + (best == scout->order))
            best = order;
    }
    if (best != scout->order)
        go_by(scout, best);
}

/* Whether the directory waited. If so it does not any more, nor do those that were told of after
 * it, in another listing: whoever lists has come back from there. */
static bool was_waiting(struct scout *scout, uint64_t directory)
{
    unsigned at = scout->count;
    while (at > 0 && scout->waiting[at - 1].id != directory)
        at--;
    if (at-- == 0)
        return false;
    while (scout->waiting[scout->count - 1].listing != scout->waiting[at].listing)
        scout->count--;
    learn_order(scout, at, first_told_with(scout, at), scout->count - 1);
    take_out(scout, at);
    return true;
}

static struct ready_dir *find_ready(struct scout *scout, uint64_t id)
{
    for (unsigned i = 0; i < READY; i++) {
        if (scout->ready[i].id == id)
            return &scout->ready[i];
    }
    return NULL;
}

/* Somebody lists a directory: was that to be expected, and was it of use to prepare it? */
static void learn(struct scout *scout, uint64_t directory)
{
    struct ready_dir *ready = find_ready(scout, directory);
    const bool in_vain = ready && ready->names != names_so_far(scout, directory);
    const bool expected = ready || was_waiting(scout, directory);
    if (ready)
        ready->id = 0;
    if (ready && !in_vain)
        atomic_fetch_add_explicit(&scout->of_use, 1, memory_order_relaxed);
    if (in_vain)
        scout->trust -= LOST_IN_VAIN;
    else if (expected)
        scout->trust++;
    else if (scout->trust > 0)
        scout->trust--;
    scout->trust = scout->trust < TRUST_LEAST  ? TRUST_LEAST
                   : scout->trust > TRUST_MOST ? TRUST_MOST
                                               : scout->trust;
}

/* ---- who lists ---- */

/* rm(1) looks whether a directory is empty, and lists it once more. */
uint32_t scout_begin(struct scout *scout, uint64_t directory, bool fresh)
{
    if (!scout)
        return 0;
    pthread_mutex_lock(&scout->lock);
    if (directory != scout->directory) {
        if (fresh)
            learn(scout, directory);
        scout->directory = directory;
        scout->listing++;
    }
    const uint32_t listing = scout->listing;
    pthread_mutex_unlock(&scout->lock);
    return listing;
}

/* Whether it is of use to look at it ahead. */
static bool is_worth_a_look(const struct mount *mount, const struct node_view *view)
{
    return S_ISDIR(view->type) && !mount_is_plain(mount, view) &&
           !node_is(view, NODE_WAY | NODE_STUB | NODE_ROUTE | NODE_ORPHAN);
}

/* Where there is no room those that have waited longest, half of all, give way. */
void scout_tell(struct scout *scout, uint32_t listing, const struct node_view *view)
{
    if (!scout || !is_worth_a_look(scout->mount, view))
        return;
    pthread_mutex_lock(&scout->lock);
    if (scout->count == WAITING) {
        scout->count = WAITING / 2;
        memmove(scout->waiting, &scout->waiting[WAITING / 2],
                scout->count * sizeof(scout->waiting[0]));
    }
    struct waiting *waiting = &scout->waiting[scout->count++];
    *waiting = (struct waiting){
        .id = view->id, .number = view->ino, .listing = listing, .place = scout->place++};
    memcpy(waiting->name, view->name, strnlen(view->name, BEGINNING));
    pthread_mutex_unlock(&scout->lock);
}

void scout_end(struct scout *scout)
{
    if (!scout)
        return;
    pthread_mutex_lock(&scout->lock);
    const bool wanted = is_wanted(scout);
    pthread_mutex_unlock(&scout->lock);
    if (wanted)
        errand_want(scout->errand);
}

uint64_t scout_of_use(const struct scout *scout)
{
    return scout ? atomic_load_explicit(&scout->of_use, memory_order_relaxed) : 0;
}

/* ---- the errand ---- */

/* Room for one more; what was not listed in time is no longer of use. */
static struct ready_dir *find_room(struct scout *scout)
{
    const int64_t now = moment_steady();
    for (unsigned i = 0; i < READY; i++) {
        const struct ready_dir *ready = &scout->ready[i];
        if (ready->id == 0 || scout->listing - ready->listing >= PASSED_BY ||
            now - ready->since > LISTING_CURRENT_NS)
            return &scout->ready[i];
    }
    return NULL;
}

/* The next to be looked at, or 0. */
static uint64_t next(struct scout *scout)
{
    uint64_t id = 0;
    pthread_mutex_lock(&scout->lock);
    struct ready_dir *ready = is_wanted(scout) ? find_room(scout) : NULL;
    if (ready) {
        const unsigned last = scout->count - 1;
        const unsigned at = first_in(scout, first_told_with(scout, last), last, scout->order);
        id = scout->waiting[at].id;
        take_out(scout, at);
        *ready = (struct ready_dir){
            .id = id,
            .names = names_so_far(scout, id),
            .listing = scout->listing,
            .since = moment_steady(),
        };
    }
    pthread_mutex_unlock(&scout->lock);
    return id;
}

/* The kernel may give the directory back meanwhile. It is held, so that what is kept by its index,
 * descriptors and the listing, is not left to the next node that has it. */
static void look_at(struct mount *mount, uint64_t id)
{
    cleanup_view struct node_view view = {0};
    if (node_look_itself(mount->nodes, id, false, &view) != 0)
        return;
    if (is_worth_a_look(mount, &view))
        listing_prepare(mount, &view);
    node_forget(mount->nodes, id, 1);
}

static void look(void *context)
{
    struct scout *scout = context;
    uint64_t id;
    while ((id = next(scout)) != 0)
        look_at(scout->mount, id);
}

struct scout *scout_start(struct mount *mount)
{
    struct scout *scout = calloc(1, sizeof(*scout));
    if (!scout)
        return NULL;
    scout->mount = mount;
    brief_init(&scout->lock);
    scout->errand = errand_start(look, scout);
    if (scout->errand)
        return scout;
    pthread_mutex_destroy(&scout->lock);
    free(scout);
    return NULL;
}

void scout_stop(struct scout *scout)
{
    if (!scout)
        return;
    errand_stop(scout->errand);
    pthread_mutex_destroy(&scout->lock);
    free(scout);
}

struct errand *scout_errand(const struct scout *scout)
{
    return scout ? scout->errand : NULL;
}
