/* SPDX-License-Identifier: MIT
 *
 * Duty: keep apart who may put content into the page cache and who tells attributes that last: one
 * mutex, held over the word to the kernel, which waits for nobody, as no request reads a file that
 * was never open. The content is read before it is taken.
 */
#include "ahead.h"

#include "brief.h"
#include "databuffer.h"
#include "fd.h"
#include "find.h"

#include <unistd.h>

enum { LARGEST = 128 * 1024 };            /* bytes: what the kernel reads in one request */
enum { HUNGRY = 8, FED = 2, SATED = 32 }; /* of appetite */
enum { EVERY = 16, EVERY_AT_FIRST = 4 };  /* one of so many is a sample, until there is appetite */

struct ahead {
    pthread_mutex_t lock;
    atomic_uint listed; /* small files */
    atomic_uint_least64_t given;
    atomic_int appetite; /* grows with each sample that is read, and shrinks with each listed */
};

struct ahead *ahead_create(void)
{
    struct ahead *ahead = calloc(1, sizeof(*ahead));
    if (ahead)
        brief_init(&ahead->lock);
    return ahead;
}

void ahead_destroy(struct ahead *ahead)
{
    if (!ahead)
        return;
    pthread_mutex_destroy(&ahead->lock);
    free(ahead);
}

uint64_t ahead_given(const struct ahead *ahead)
{
    return atomic_load(&ahead->given);
}

/* Two who come at once may count as one. */
static void change_appetite(struct ahead *ahead, int by)
{
    const int appetite = atomic_load(&ahead->appetite) + by;
    atomic_store(&ahead->appetite, appetite < 0 ? 0 : appetite > SATED ? SATED : appetite);
}

/* Where nothing can be written reading changes no access time, and costs one request. */
static bool is_worth_it(const struct mount *mount, const struct node_view *view,
                        const struct stat *st)
{
    return mount->rules.ahead && S_ISREG(view->type) && st->st_size > 0 && st->st_size <= LARGEST &&
           !mount_tree(mount, view)->read_only && find_is_sealed(mount, view);
}

bool ahead_withholds(struct mount *mount, const struct node_view *view, const struct stat *st)
{
    struct ahead *ahead = mount->ahead;
    if (!is_worth_it(mount, view, st))
        return false;
    const bool hungry = atomic_load(&ahead->appetite) >= HUNGRY;
    const bool sample =
        atomic_fetch_add(&ahead->listed, 1) % (hungry ? EVERY : EVERY_AT_FIRST) == 0;
    if (!sample && !hungry)
        return false;
    if (!node_flag_new(mount->nodes, view->id, sample ? NODE_SAMPLE : NODE_UNTOLD))
        return false;
    if (sample)
        change_appetite(ahead, -1);
    return !sample;
}

/* All of it, or NULL. */
static const char *read_content(struct mount *mount, const struct node_view *view, size_t size)
{
    int err = 0;
    char *buffer = databuffer();
    struct fdref *ref = buffer ? find_data(mount, view, false, &err) : NULL;
    if (!ref)
        return NULL;
    const ssize_t got = pread(ref->fd, buffer, size, 0);
    fdref_release(mount->fds, ref);
    return got == (ssize_t)size ? buffer : NULL;
}

void ahead_give(struct mount *mount, struct node_view *view, const struct stat *st)
{
    if (!node_is(view, NODE_UNTOLD))
        return;
    const size_t size = (size_t)st->st_size;
    const char *content = is_worth_it(mount, view, st) ? read_content(mount, view, size) : NULL;
    pthread_mutex_lock(&mount->ahead->lock);
    if (content && node_has_flag(mount->nodes, view->id, NODE_UNTOLD)) {
        mount->store(mount->session, view->id, content, size);
        atomic_fetch_add(&mount->ahead->given, 1);
    }
    node_set_flags(mount->nodes, view->index, 0, NODE_UNTOLD);
    pthread_mutex_unlock(&mount->ahead->lock);
    view->flags &= ~(unsigned)NODE_UNTOLD;
}

void ahead_told(const struct mount *mount, const struct node_view *view)
{
    if (!node_is(view, NODE_UNTOLD))
        return;
    pthread_mutex_lock(&mount->ahead->lock);
    node_set_flags(mount->nodes, view->index, 0, NODE_UNTOLD);
    pthread_mutex_unlock(&mount->ahead->lock);
}

void ahead_was_read(struct mount *mount, const struct node_view *view)
{
    if (!node_is(view, NODE_SAMPLE))
        return;
    node_set_flags(mount->nodes, view->index, 0, NODE_SAMPLE);
    change_appetite(mount->ahead, FED);
}
