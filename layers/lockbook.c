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

enum { BUCKET_BITS = 10, BUCKETS = 1 << BUCKET_BITS };

/* Who has, or had, or wanted locks of a file. */
struct holder {
    struct holder *next, *next_of_owner;
    uint64_t file, owner, handle;
    bool whole;
    int fd;
};

struct lockbook {
    size_t most;
    pthread_mutex_t lock;
    size_t count;                   /* protected by the lock, as what is below */
    struct holder *files[BUCKETS];  /* in the bucket of their file */
    struct holder *owners[BUCKETS]; /* the same in that of their owner: a file may have many */
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

static struct holder **bucket_of(struct holder **buckets, uint64_t key)
{
    return &buckets[(key * 0x9e3779b97f4a7c15u) >> (64 - BUCKET_BITS)];
}

static void end_holder(struct lockbook *book, struct holder *holder)
{
    struct holder **at = bucket_of(book->files, holder->file);
    while (*at != holder)
        at = &(*at)->next;
    *at = holder->next;
    at = bucket_of(book->owners, holder->owner);
    while (*at != holder)
        at = &(*at)->next_of_owner;
    *at = holder->next_of_owner;
    book->count--;
    close(holder->fd);
    free(holder);
}

void lockbook_destroy(struct lockbook *book)
{
    if (!book)
        return;
    for (unsigned i = 0; i < BUCKETS; i++) {
        while (book->files[i])
            end_holder(book, book->files[i]);
    }
    pthread_mutex_destroy(&book->lock);
    free(book);
}

static struct holder *find(struct lockbook *book, uint64_t file, uint64_t owner, bool whole)
{
    struct holder *at = *bucket_of(book->owners, owner);
    while (at && (at->file != file || at->owner != owner || at->whole != whole))
        at = at->next_of_owner;
    return at;
}

static struct holder *find_holder(struct lockbook *book, const struct lock_wish *wish)
{
    return find(book, wish->file, wish->owner, wish->whole);
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
    for (const struct holder *at = *bucket_of(book->files, wish->file); at; at = at->next) {
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
    struct holder **file = bucket_of(book->files, wish->file),
                  **owner = bucket_of(book->owners, wish->owner);
    *holder = (struct holder){.next = *file,
                              .next_of_owner = *owner,
                              .file = wish->file,
                              .owner = wish->owner,
                              .handle = wish->handle,
                              .whole = wish->whole,
                              .fd = steal_fd(&own)};
    *file = *owner = holder;
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
    struct holder *holder =
        wish->range.l_type == F_UNLCK ? find_holder(book, wish) : holder_for(book, fd, wish, &err);
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
    pthread_mutex_lock(&book->lock);
    struct holder *his = find(book, file, owner, false);
    const bool any = his;
    if (any)
        end_holder(book, his);
    pthread_mutex_unlock(&book->lock);
    return any;
}

bool lockbook_close(struct lockbook *book, uint64_t file, uint64_t handle)
{
    bool any = false;
    pthread_mutex_lock(&book->lock);
    struct holder *next, *at = *bucket_of(book->files, file);
    for (; at; at = next) {
        next = at->next;
        const bool by_it = at->file == file && at->handle == handle;
        any = any || by_it;
        if (by_it)
            end_holder(book, at);
    }
    pthread_mutex_unlock(&book->lock);
    return any;
}
