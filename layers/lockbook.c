/* SPDX-License-Identifier: MIT
 *
 * Duty: an open file for each owner, and what is asked of it.
 */
#include "lockbook.h"

#include "fd.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

enum { BUCKETS = 256 };

/* Who has, or had, or wanted locks of a file. */
struct holder {
    struct holder *next;
    uint64_t file, owner, handle;
    bool whole;
    int fd;
};

struct lockbook {
    size_t most;
    pthread_mutex_t lock;
    size_t count; /* protected by the lock, as what is below */
    struct holder *buckets[BUCKETS];
};

struct lockbook *lockbook_create(size_t most)
{
    struct lockbook *book = calloc(1, sizeof(*book));
    if (!book)
        return NULL;
    book->most = most;
    pthread_mutex_init(&book->lock, NULL);
    return book;
}

static void end_holder(struct lockbook *book, struct holder **slot)
{
    struct holder *holder = *slot;
    *slot = holder->next;
    book->count--;
    close(holder->fd);
    free(holder);
}

void lockbook_destroy(struct lockbook *book)
{
    if (!book)
        return;
    for (unsigned i = 0; i < BUCKETS; i++) {
        while (book->buckets[i])
            end_holder(book, &book->buckets[i]);
    }
    pthread_mutex_destroy(&book->lock);
    free(book);
}

static struct holder **bucket_of(struct lockbook *book, uint64_t file)
{
    return &book->buckets[(file ^ file >> 32) % BUCKETS];
}

static struct holder *find_holder(struct lockbook *book, const struct lock_wish *wish)
{
    struct holder *at = *bucket_of(book, wish->file);
    while (at && (at->file != wish->file || at->owner != wish->owner || at->whole != wish->whole))
        at = at->next;
    return at;
}

/* As much as may be: ranges for writing need a file that is open for it (fcntl(2)), and the owner
 * may come by another open later. The whole is locked by one open alone, and needs no more than
 * that has, by which the file may be a program that is to be run while it is locked (ETXTBSY). */
static int open_once_more(int fd, const struct lock_wish *wish)
{
    const bool less = wish->whole && !wish->writes;
    int again = less ? -EACCES : fd_reopen(fd, O_RDWR | O_NONBLOCK);
    return again >= 0 ? again : fd_reopen(fd, O_RDONLY | O_NONBLOCK);
}

/* A file for the locks of one that nobody comes to in another way: the same as the others have. */
static int open_alone(struct lockbook *book, const struct lock_wish *wish)
{
    for (const struct holder *at = *bucket_of(book, wish->file); at; at = at->next) {
        if (at->file == wish->file)
            return open_once_more(at->fd, wish);
    }
    int fd = memfd_create("plyfs-locks", MFD_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static int open_for(struct lockbook *book, int fd, const struct lock_wish *wish)
{
    if (book->count >= book->most)
        return -ENOLCK;
    int own = fd == LOCKBOOK_ALONE ? open_alone(book, wish) : open_once_more(fd, wish);
    return own == -EMFILE || own == -ENFILE ? -ENOLCK : own;
}

/* The owner's; made where he has none. NULL and *err. */
static struct holder *holder_for(struct lockbook *book, int fd, const struct lock_wish *wish,
                                 int *err)
{
    struct holder *holder = find_holder(book, wish);
    *err = 0;
    if (holder)
        return holder;
    cleanup_fd int own = open_for(book, fd, wish);
    holder = own < 0 ? NULL : malloc(sizeof(*holder));
    if (!holder) {
        *err = own < 0 ? own : -ENOMEM;
        return NULL;
    }
    struct holder **bucket = bucket_of(book, wish->file);
    *holder = (struct holder){.next = *bucket,
                              .file = wish->file,
                              .owner = wish->owner,
                              .handle = wish->handle,
                              .whole = wish->whole,
                              .fd = steal_fd(&own)};
    *bucket = holder;
    book->count++;
    return holder;
}

static int whole_operation(short type)
{
    return (type == F_RDLCK ? LOCK_SH : type == F_WRLCK ? LOCK_EX : LOCK_UN) | LOCK_NB;
}

static int apply(const struct holder *holder, const struct lock_wish *wish)
{
    struct flock range = wish->range;
    range.l_pid = 0; /* fcntl(2) wants it so */
    int done = wish->whole ? flock(holder->fd, whole_operation(range.l_type))
                           : fcntl(holder->fd, F_OFD_SETLK, &range);
    return done == 0 ? 0 : errno == EACCES ? -EAGAIN : -errno;
}

int lockbook_take(struct lockbook *book, int fd, const struct lock_wish *wish)
{
    int err = 0;
    pthread_mutex_lock(&book->lock);
    struct holder *holder = find_holder(book, wish);
    const bool nothing = !holder && wish->range.l_type == F_UNLCK;
    if (!holder && !nothing)
        holder = holder_for(book, fd, wish, &err);
    if (holder) {
        holder->handle = wish->handle;
        err = apply(holder, wish);
    }
    pthread_mutex_unlock(&book->lock);
    return err;
}

int lockbook_look(struct lockbook *book, int fd, const struct lock_wish *wish, struct flock *found)
{
    int err = 0;
    pthread_mutex_lock(&book->lock);
    const struct holder *holder = holder_for(book, fd, wish, &err);
    *found = wish->range;
    found->l_pid = 0;
    if (holder && fcntl(holder->fd, F_OFD_GETLK, found) < 0)
        err = -errno;
    pthread_mutex_unlock(&book->lock);
    return err;
}

bool lockbook_leave(struct lockbook *book, uint64_t file, uint64_t owner)
{
    bool any = false;
    pthread_mutex_lock(&book->lock);
    for (struct holder **at = bucket_of(book, file); *at;) {
        const bool his = (*at)->file == file && (*at)->owner == owner && !(*at)->whole;
        any = any || his;
        if (his)
            end_holder(book, at);
        else
            at = &(*at)->next;
    }
    pthread_mutex_unlock(&book->lock);
    return any;
}

bool lockbook_close(struct lockbook *book, uint64_t file, uint64_t handle)
{
    bool any = false;
    pthread_mutex_lock(&book->lock);
    for (struct holder **at = bucket_of(book, file); *at;) {
        const bool by_it = (*at)->file == file && (*at)->handle == handle;
        any = any || by_it;
        if (by_it)
            end_holder(book, at);
        else
            at = &(*at)->next;
    }
    pthread_mutex_unlock(&book->lock);
    return any;
}
