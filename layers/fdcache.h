/* SPDX-License-Identifier: MIT
 *
 * A bounded cache of open descriptors: whoever needs one takes a reference, whoever is done gives
 * it back, and the least recently used are closed when there are too many. A pinned descriptor is
 * never closed for room: it is all that is left of an unlinked file. How many are pinned is for
 * others to say (who keeps such files open), so they take the place of the rest, and not all of it.
 *
 * Locks: a mutex for each of 16 shards, held for a few instructions, never over a system call but
 * close(2) (which is done after it).
 */
#ifndef PLYFS_FDCACHE_H
#define PLYFS_FDCACHE_H

#include "dirents.h"
#include "own.h"
#include "ownview.h"
#include "tray.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fdcache;

/* A descriptor with a count of its users. Read `fd` and `writable`, touch nothing else. */
struct fdref {
    int fd;
    bool writable;
    bool pinned;
    bool listed;
    bool lingers;        /* it may be closed somewhat later: see fdref_may_linger() */
    bool lent;           /* see fdref_is_lent() */
    bool readable;       /* a directory that is open for reading */
    atomic_bool reading; /* somebody does, by this descriptor */
    atomic_uint emptied; /* see fdcache_note_emptied(): how often it is yet to be written back */
    bool written;        /* since that was done; protected by the shard's lock, as the next is */
    bool used;           /* since fdcache_write_back() looked */
    unsigned users;
    uint64_t key;
    struct fdref *chain, *newer, *older;
};

/* What a key speaks of; the low three bits of it. */
enum fdkind { FDKIND_LOWER_DIR = 1, FDKIND_UPPER_DIR, FDKIND_DATA, FDKIND_ORPHAN };

static inline uint64_t fdkey(enum fdkind kind, uint64_t id)
{
    return id << 3 | (uint64_t)kind;
}

/* Keeps at most `limit` unpinned descriptors (32 at least) beyond those in use. NULL when out of
 * memory. */
struct fdcache *fdcache_create(size_t limit);
void fdcache_destroy(struct fdcache *cache);

/* Lets no more than `all` be kept, pinned ones among them; without end unless it is said. */
void fdcache_bound(struct fdcache *cache, size_t all);

/* 0 where one more can be pinned, -ENFILE where the rest would be left without a descriptor. Asked
 * before what cannot be taken back; several that ask at once may all be let. */
must_check int fdcache_can_pin(const struct fdcache *cache);

/* What may linger is laid there when it is not used any more, for others to close. Borrowed. */
void fdcache_use_tray(struct fdcache *cache, struct tray *tray);

/* Closes a descriptor that was never put in, and may linger. */
void fdcache_close(struct fdcache *cache, int fd);

/* What is put in from now on leaves no date when it is read, as far as its owner is ours. */
void fdcache_leave_no_date(struct fdcache *cache, enum ownview_undated undated);

/* The cached descriptor with one more user, or NULL. */
struct fdref *fdcache_get(struct fdcache *cache, uint64_t key);

/* Puts `fd` in under `key`, in place of what was there, and returns it with one user. Takes
 * ownership of fd in every case: on -ENOMEM (NULL) it is closed. */
struct fdref *fdcache_put(struct fdcache *cache, uint64_t key, int fd, bool writable);

/* As put, of a directory; `readable`: it is open for reading, and nobody else reads from it. */
struct fdref *fdcache_put_dir(struct fdcache *cache, uint64_t key, int fd, bool readable);

/* As put, but never closed for room. */
struct fdref *fdcache_pin(struct fdcache *cache, uint64_t key, int fd, bool writable);

/* Forgets a key; the descriptor is closed with its last user. */
void fdcache_drop(struct fdcache *cache, uint64_t key);

/* Calls `each` for every entry of the directory, as dirents_each() does: by the descriptor itself
 * where it is open for reading and nobody reads by it just now, else it is opened anew. */
must_check int fdref_each_entry(struct fdref *ref,
                                int (*each)(void *context, int fd, const struct dirent *entry),
                                void *context);

/* Nobody waits for the end of this descriptor, which is of an object of a sealed layer: what is
 * open of the host's keeps a filesystem busy, and what has lost its name a disk full. Said by who
 * put it in, before it is released. NULL is fine. */
void fdref_may_linger(struct fdref *ref);

/* The file is somebody else's too, who may want to run it, and nobody can run what is open for
 * writing (execve(2), ETXTBSY). So where it is a program it is kept open for reading alone from the
 * moment when it is given back; a pinned one is open for as long as it is pinned. Said by who put
 * it in, before it is released. NULL is fine. */
void fdref_is_lent(struct fdref *ref);

/* Its file was cut to nothing: what is written to it then is not to stay in memory for long. */
void fdcache_note_emptied(struct fdcache *cache, struct fdref *ref);

/* It was written. Whether that is a matter for fdcache_write_back(). */
bool fdcache_note_written(struct fdcache *cache, struct fdref *ref);

/* Of files that were emptied and written, begins to write those to the disk that nobody has used
 * since the last call; the first few times that happens, since a file that is kept open for long is
 * a log. Whether others are left. */
bool fdcache_write_back(struct fdcache *cache);

/* Gives one use back. NULL is fine. */
void fdref_release(struct fdcache *cache, struct fdref *ref);

/* How many descriptors are kept now. */
size_t fdcache_count(struct fdcache *cache);

#endif
