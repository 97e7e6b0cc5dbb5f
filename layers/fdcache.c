/* SPDX-License-Identifier: MIT
 *
 * Duty: keep descriptors open as long as they pay. Invariants: a listed ref is in its shard's hash
 * and in its shard's list; a ref is freed when it is not listed and has no users; `users` and the
 * links are protected by the shard's mutex. Cost: one mutex and one short chain for each call.
 */
#include "fdcache.h"

#include "brief.h"
#include "fd.h"
#include "hash.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SHARDS = 16, BUCKETS = 512, LEAST = 2 /* that a shard keeps besides pinned ones */ };
enum { WRITE_BACKS = 8 /* of a file that was emptied */ };

struct shard {
    pthread_mutex_t lock;
    struct fdref *buckets[BUCKETS];
    struct fdref ring; /* newest at ring.older, oldest at ring.newer; pinned ones are outside */
    size_t kept;       /* in the ring */
};

struct fdcache {
    size_t shard_limit, all;
    atomic_size_t pinned;
    struct tray *tray; /* or NULL */
    enum ownview_undated undated;
    struct shard shards[SHARDS];
};

static uint64_t spread(uint64_t key)
{
    key *= 0x9e3779b97f4a7c15u;
    return key ^ key >> 32;
}

static struct shard *shard_of(struct fdcache *cache, uint64_t key)
{
    return &cache->shards[spread(key) % SHARDS];
}

static struct fdref **bucket_of(struct shard *shard, uint64_t key)
{
    return &shard->buckets[spread(key) / SHARDS % BUCKETS];
}

struct fdcache *fdcache_create(size_t limit)
{
    struct fdcache *cache = calloc(1, sizeof(*cache));
    if (!cache)
        return NULL;
    cache->shard_limit = limit / SHARDS > LEAST ? limit / SHARDS : LEAST;
    cache->all = SIZE_MAX;
    for (int i = 0; i < SHARDS; i++) {
        struct shard *shard = &cache->shards[i];
        brief_init(&shard->lock);
        shard->ring.newer = shard->ring.older = &shard->ring;
    }
    return cache;
}

void fdcache_bound(struct fdcache *cache, size_t all)
{
    cache->all = all;
}

/* How many may be pinned, or are left beside those that are. */
static size_t left(const struct fdcache *cache, size_t besides)
{
    return cache->all > besides ? cache->all - besides : 0;
}

int fdcache_can_pin(const struct fdcache *cache)
{
    return atomic_load(&cache->pinned) < left(cache, SHARDS * LEAST) ? 0 : -ENFILE;
}

/* How many a shard keeps that are not pinned. */
static size_t limit_of(const struct fdcache *cache)
{
    const size_t room = left(cache, atomic_load(&cache->pinned)) / SHARDS;
    const size_t limit = room < cache->shard_limit ? room : cache->shard_limit;
    return limit > LEAST ? limit : LEAST;
}

static void ring_remove(struct fdref *ref)
{
    ref->newer->older = ref->older;
    ref->older->newer = ref->newer;
}

static void ring_add_newest(struct shard *shard, struct fdref *ref)
{
    ref->newer = &shard->ring;
    ref->older = shard->ring.older;
    ref->older->newer = ref;
    shard->ring.older = ref;
}

/* Takes a ref out of the hash and the list. Returns it when nobody uses it: to be closed. */
static struct fdref *unlist(struct fdcache *cache, struct shard *shard, struct fdref *ref)
{
    struct fdref **at = bucket_of(shard, ref->key);
    while (*at != ref)
        at = &(*at)->chain;
    *at = ref->chain;
    ref->listed = false;
    if (ref->pinned) {
        atomic_fetch_sub(&cache->pinned, 1);
    } else {
        ring_remove(ref);
        shard->kept--;
    }
    return ref->users == 0 ? ref : NULL;
}

static void discard(struct fdcache *cache, struct fdref *ref)
{
    if (!ref)
        return;
    tray_close(ref->lingers ? cache->tray : NULL, ref->fd);
    free(ref);
}

void fdcache_use_tray(struct fdcache *cache, struct tray *tray)
{
    cache->tray = tray;
}

void fdcache_close(struct fdcache *cache, int fd)
{
    tray_close(cache->tray, fd);
}

void fdcache_destroy(struct fdcache *cache)
{
    if (!cache)
        return;
    for (int i = 0; i < SHARDS; i++) {
        for (int b = 0; b < BUCKETS; b++) {
            while (cache->shards[i].buckets[b])
                discard(cache, unlist(cache, &cache->shards[i], cache->shards[i].buckets[b]));
        }
        pthread_mutex_destroy(&cache->shards[i].lock);
    }
    free(cache);
}

static struct fdref *lookup(struct shard *shard, uint64_t key)
{
    struct fdref *ref = *bucket_of(shard, key);
    while (ref && ref->key != key)
        ref = ref->chain;
    return ref;
}

struct fdref *fdcache_get(struct fdcache *cache, uint64_t key)
{
    struct shard *shard = shard_of(cache, key);
    pthread_mutex_lock(&shard->lock);
    struct fdref *ref = lookup(shard, key);
    if (ref) {
        ref->users++;
        ref->used = true;
        if (!ref->pinned && ref != shard->ring.older) {
            ring_remove(ref);
            ring_add_newest(shard, ref);
        }
    }
    pthread_mutex_unlock(&shard->lock);
    return ref;
}

/* The oldest refs without users, as many as there are too many, chained. More than one when those
 * that were in use at once are not any more. */
static struct fdref *evict(struct fdcache *cache, struct shard *shard)
{
    struct fdref *dead = NULL, *newer;
    const size_t limit = limit_of(cache);
    for (struct fdref *ref = shard->ring.newer; ref != &shard->ring && shard->kept > limit;
         ref = newer) {
        newer = ref->newer;
        if (ref->users > 0)
            continue;
        unlist(cache, shard, ref);
        ref->chain = dead;
        dead = ref;
    }
    return dead;
}

static void list(struct fdcache *cache, struct shard *shard, struct fdref *ref)
{
    struct fdref **bucket = bucket_of(shard, ref->key);
    ref->listed = true;
    ref->chain = *bucket;
    *bucket = ref;
    if (ref->pinned) {
        atomic_fetch_add(&cache->pinned, 1);
    } else {
        ring_add_newest(shard, ref);
        shard->kept++;
    }
}

void fdcache_leave_no_date(struct fdcache *cache, enum ownview_undated undated)
{
    cache->undated = undated;
}

static void leave_no_date(const struct fdcache *cache, const struct fdref *ref)
{
    const enum fdkind kind = (enum fdkind)(ref->key & 7);
    const bool dir = kind == FDKIND_LOWER_DIR || kind == FDKIND_UPPER_DIR;
    if ((cache->undated & OWNVIEW_UNDATED) || (dir && cache->undated))
        (void)!fcntl(ref->fd, F_SETFL, O_NOATIME);
}

/* Puts in a descriptor as `wanted` says. */
static struct fdref *insert(struct fdcache *cache, const struct fdref *wanted)
{
    const uint64_t key = wanted->key;
    struct fdref *ref = malloc(sizeof(*ref));
    if (!ref) {
        close(wanted->fd);
        return NULL;
    }
    struct shard *shard = shard_of(cache, key);
    *ref = *wanted;
    leave_no_date(cache, ref);
    ref->users = 1;
    pthread_mutex_lock(&shard->lock);
    struct fdref *old = lookup(shard, key);
    struct fdref *dead = old ? unlist(cache, shard, old) : NULL;
    list(cache, shard, ref);
    struct fdref *oldest = evict(cache, shard);
    pthread_mutex_unlock(&shard->lock);
    discard(cache, dead);
    while (oldest) {
        struct fdref *next = oldest->chain;
        discard(cache, oldest);
        oldest = next;
    }
    return ref;
}

struct fdref *fdcache_put(struct fdcache *cache, uint64_t key, int fd, bool writable)
{
    return insert(cache, &(struct fdref){.key = key, .fd = fd, .writable = writable});
}

struct fdref *fdcache_put_dir(struct fdcache *cache, uint64_t key, int fd, bool readable)
{
    return insert(cache, &(struct fdref){.key = key, .fd = fd, .readable = readable});
}

struct fdref *fdcache_pin(struct fdcache *cache, uint64_t key, int fd, bool writable)
{
    const struct fdref pinned = {.key = key, .fd = fd, .writable = writable, .pinned = true};
    return insert(cache, &pinned);
}

void fdref_may_linger(struct fdref *ref)
{
    if (ref)
        ref->lingers = true;
}

/* From the beginning, which is also what shows the names that came since it was opened. */
int fdref_each_entry(struct fdref *ref,
                     int (*each)(void *context, int fd, const struct dirent *entry), void *context)
{
    if (!ref->readable || atomic_exchange(&ref->reading, true))
        return dirents_each(ref->fd, each, context);
    int err = lseek(ref->fd, 0, SEEK_SET) < 0 ? -errno : dirents_read(ref->fd, each, context);
    atomic_store(&ref->reading, false);
    return err;
}

void fdcache_drop(struct fdcache *cache, uint64_t key)
{
    struct shard *shard = shard_of(cache, key);
    pthread_mutex_lock(&shard->lock);
    struct fdref *ref = lookup(shard, key);
    struct fdref *dead = ref ? unlist(cache, shard, ref) : NULL;
    pthread_mutex_unlock(&shard->lock);
    discard(cache, dead);
}

void fdref_is_lent(struct fdref *ref)
{
    if (ref)
        ref->lent = true;
}

/* What could not be opened for writing again stays as it is: who has it open may write on. */
static bool blocks_a_program(const struct fdref *ref)
{
    struct stat st;
    return ref->lent && ref->writable && !ref->pinned && fstat(ref->fd, &st) == 0 &&
           (st.st_mode & (S_IXUSR | S_IXGRP | S_IXOTH)) &&
           faccessat(ref->fd, "", W_OK, AT_EMPTY_PATH | AT_EACCESS) == 0;
}

/* What is open for reading takes the place of `ref`, unless something else has. */
static void lend(struct fdcache *cache, struct fdref *ref)
{
    struct shard *shard = shard_of(cache, ref->key);
    struct fdref *reader = malloc(sizeof(*reader));
    int fd = reader ? fd_reopen(ref->fd, O_RDONLY) : -ENOMEM;
    if (fd >= 0)
        *reader = (struct fdref){.key = ref->key, .fd = fd, .lent = true};
    pthread_mutex_lock(&shard->lock);
    const bool replace = ref->listed;
    if (replace)
        unlist(cache, shard, ref); /* it has a user: the caller */
    if (replace && fd >= 0)
        list(cache, shard, reader);
    pthread_mutex_unlock(&shard->lock);
    if (replace && fd >= 0)
        return;
    free(reader);
    own_close(&fd);
}

void fdref_release(struct fdcache *cache, struct fdref *ref)
{
    if (!ref)
        return;
    if (blocks_a_program(ref))
        lend(cache, ref);
    struct shard *shard = shard_of(cache, ref->key);
    pthread_mutex_lock(&shard->lock);
    bool last = --ref->users == 0 && !ref->listed;
    pthread_mutex_unlock(&shard->lock);
    if (last)
        discard(cache, ref);
}

void fdcache_note_emptied(struct fdcache *cache, struct fdref *ref)
{
    struct shard *shard = shard_of(cache, ref->key);
    pthread_mutex_lock(&shard->lock);
    ref->written = false;
    pthread_mutex_unlock(&shard->lock);
    atomic_store(&ref->emptied, WRITE_BACKS);
}

bool fdcache_note_written(struct fdcache *cache, struct fdref *ref)
{
    if (atomic_load_explicit(&ref->emptied, memory_order_relaxed) == 0)
        return false;
    struct shard *shard = shard_of(cache, ref->key);
    pthread_mutex_lock(&shard->lock);
    ref->written = ref->used = true;
    pthread_mutex_unlock(&shard->lock);
    return true;
}

/* One that is due, with one more user; or NULL. *left: there are others that are not. */
static struct fdref *take_due(struct shard *shard, bool *left)
{
    struct fdref *due = NULL;
    pthread_mutex_lock(&shard->lock);
    for (struct fdref *ref = shard->ring.newer; ref != &shard->ring; ref = ref->newer) {
        if (!ref->written || atomic_load(&ref->emptied) == 0)
            continue;
        if (!due && !ref->used && ref->users == 0)
            due = ref;
        else
            *left = true;
        ref->used = false;
    }
    if (due) {
        due->users++;
        due->written = false;
        atomic_fetch_sub(&due->emptied, 1);
    }
    pthread_mutex_unlock(&shard->lock);
    return due;
}

bool fdcache_write_back(struct fdcache *cache)
{
    bool left = false;
    for (int i = 0; i < SHARDS; i++) {
        struct fdref *ref = take_due(&cache->shards[i], &left);
        /* Nobody waits for it, and what failed the next sync tells. */
        if (ref)
            (void)!sync_file_range(ref->fd, 0, 0, SYNC_FILE_RANGE_WRITE);
        fdref_release(cache, ref);
    }
    return left;
}

size_t fdcache_count(struct fdcache *cache)
{
    size_t count = atomic_load(&cache->pinned);
    for (int i = 0; i < SHARDS; i++) {
        pthread_mutex_lock(&cache->shards[i].lock);
        count += cache->shards[i].kept;
        pthread_mutex_unlock(&cache->shards[i].lock);
    }
    return count;
}
