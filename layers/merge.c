/* SPDX-License-Identifier: MIT
 *
 * Duty: read the sources of a directory top to bottom into one set of names. A whiteout of a source
 * hides its name in the sources beneath, not in its own (OCI image layer specification). The caller
 * has cut the sources at the first opaque one. Cost: each source is listed once; then a lookup is
 * one hash. Locks: the cache's mutex, never held while a directory is read or asked.
 */
#include "merge.h"

#include "brief.h"
#include "dirents.h"
#include "fd.h"
#include "sources.h"
#include "stack.h"
#include "whiteout.h"

#include <pthread.h>
#include <stdatomic.h>

enum { BUCKETS = 4096, TALLIES = 1024 };

/* What things cost, in microseconds: to open a directory and to read a name, to ask for one. */
enum { COST_OPEN = 12, COST_NAMES = 2 /* names read in that time */, COST_ASK = 2 };
enum { BYTES_OF_A_NAME = 32 /* of a directory's size, about, on all filesystems */ };

/* Lookups made in a directory that is not merged, and how many are cheaper than its merge. Where
 * two directories meet in one place, the older count is lost, and with it a few lookups. */
struct tally {
    uint64_t id;
    uint64_t asked, worth;
};

struct mergecache {
    pthread_mutex_t lock;
    struct merge *buckets[BUCKETS];
    struct merge ring; /* oldest at ring.newer, newest at ring.older */
    size_t bytes, limit;
    struct tally tallies[TALLIES];
    atomic_bool singles[TALLIES]; /* one of the single sources that meet there has been read */
};

struct mergecache *mergecache_create(size_t limit)
{
    struct mergecache *cache = calloc(1, sizeof(*cache));
    if (!cache)
        return NULL;
    brief_init(&cache->lock);
    cache->ring.newer = cache->ring.older = &cache->ring;
    cache->limit = limit;
    return cache;
}

static void merge_free(struct merge *merge)
{
    if (!merge)
        return;
    nameset_finish(&merge->names);
    free(merge->at);
    free(merge);
}

/* Takes a merge that nobody uses out of the cache and frees it. */
static void cache_remove(struct mergecache *cache, struct merge *merge)
{
    struct merge **at = &cache->buckets[merge->id % BUCKETS];
    while (*at != merge)
        at = &(*at)->chain;
    *at = merge->chain;
    merge->newer->older = merge->older;
    merge->older->newer = merge->newer;
    cache->bytes -= merge->bytes;
    merge_free(merge);
}

static void cache_trim(struct mergecache *cache, size_t limit)
{
    struct merge *merge = cache->ring.newer;
    while (merge != &cache->ring && cache->bytes > limit) {
        struct merge *next = merge->newer;
        if (merge->users == 0)
            cache_remove(cache, merge);
        merge = next;
    }
}

static void cache_add_newest(struct mergecache *cache, struct merge *merge)
{
    merge->newer = &cache->ring;
    merge->older = cache->ring.older;
    merge->older->newer = merge;
    cache->ring.older = merge;
}

void mergecache_destroy(struct mergecache *cache)
{
    if (!cache)
        return;
    while (cache->ring.newer != &cache->ring)
        cache_remove(cache, cache->ring.newer);
    pthread_mutex_destroy(&cache->lock);
    free(cache);
}

void mergecache_empty(struct mergecache *cache)
{
    pthread_mutex_lock(&cache->lock);
    cache_trim(cache, 0);
    pthread_mutex_unlock(&cache->lock);
}

size_t mergecache_bytes(struct mergecache *cache)
{
    pthread_mutex_lock(&cache->lock);
    size_t bytes = cache->bytes;
    pthread_mutex_unlock(&cache->lock);
    return bytes;
}

/* ---- building ---- */

struct building {
    const struct stack *stack;
    const struct sources *sources;
    struct merge *merge;
    unsigned source;       /* index of the one being read */
    struct nameset whites; /* its `.wh.` names */
};

static int building_add(struct building *build, unsigned source, const char *name, uint8_t dtype,
                        uint64_t ino, bool hidden)
{
    struct merge *merge = build->merge;
    uint32_t index, before = merge->names.room;
    bool fresh;
    int err = nameset_add(&merge->names, name, &index, &fresh);
    if (err)
        return err;
    if (merge->names.room != before || !merge->at) {
        struct merge_name *at = realloc(merge->at, merge->names.room * sizeof(*at));
        if (!at)
            return -ENOMEM;
        merge->at = at;
    }
    struct merge_name *known = &merge->at[index];
    if (fresh) {
        *known = (struct merge_name){.first = (uint16_t)source,
                                     .last = (uint16_t)source,
                                     .dtype = dtype,
                                     .hidden = hidden,
                                     .ino = ino};
        return 0;
    }
    /* Below a directory or a metacopy file more may follow; below a whiteout nothing does. */
    if (hidden)
        known->closed = true;
    else if (!known->hidden && !known->closed)
        known->last = (uint16_t)source;
    return 0;
}

/* Says whether the directory entry is a whiteout in itself (1, 0 or -errno), and finds out its type
 * if need be. */
static int is_whiteout(int dir, const char *name, bool xwhiteouts, uint8_t *dtype)
{
    struct stat st;
    bool ask = *dtype == DT_UNKNOWN || *dtype == DT_CHR || (xwhiteouts && *dtype == DT_REG);
    int err = ask ? fd_stat(dir, name, &st) : 0;
    if (!ask || err)
        return err == -ENOENT ? 0 : err;
    *dtype = (uint8_t)IFTODT(st.st_mode);
    if (whiteout_is_device(&st))
        return 1;
    return xwhiteouts ? whiteout_is_marked(dir, name, &st) : 0;
}

static int read_entry(void *context, int dir, const struct dirent *entry)
{
    struct building *build = context;
    const struct source *from = &build->sources->at[build->source];
    if (whiteout_is_name(entry->d_name)) {
        const char *hides = whiteout_hidden_name(entry->d_name);
        uint32_t index;
        bool fresh;
        return hides ? nameset_add(&build->whites, hides, &index, &fresh) : 0;
    }
    uint8_t dtype = entry->d_type;
    int hidden = is_whiteout(dir, entry->d_name, from->xwhiteouts, &dtype);
    if (hidden < 0)
        return hidden;
    return building_add(build, build->source, entry->d_name, dtype,
                        stack_ino(build->stack, from->layer, entry->d_ino), hidden);
}

/* A `.wh.` file hides the name beneath this source: a name that is new here stays hidden for good,
 * a name that is known stays as it is, and nothing below this source adds to it. */
static int apply_whites(struct building *build, unsigned source)
{
    for (uint32_t i = 0; i < build->whites.used; i++) {
        int err = building_add(build, source, nameset_name(&build->whites, i), DT_UNKNOWN, 0, true);
        if (err)
            return err;
    }
    return 0;
}

static int read_source(struct building *build, unsigned source)
{
    const struct source *from = &build->sources->at[source];
    nameset_finish(&build->whites);
    build->source = source;
    int err = stack_read_lower(build->stack, from->layer, from->path, read_entry, build);
    return err ? err : apply_whites(build, source);
}

static struct merge *merge_build(const struct stack *stack, const struct sources *sources, int *err)
{
    struct building build = {.stack = stack, .sources = sources};
    build.merge = calloc(1, sizeof(*build.merge));
    *err = build.merge ? 0 : -ENOMEM;
    for (unsigned i = 0; i < sources->count && !*err; i++)
        *err = read_source(&build, i);
    nameset_finish(&build.whites);
    if (*err) {
        merge_free(build.merge);
        return NULL;
    }
    build.merge->id = sources->id;
    build.merge->bytes = sizeof(*build.merge) + nameset_bytes(&build.merge->names) +
                         build.merge->names.room * sizeof(struct merge_name);
    return build.merge;
}

/* The cached merge with one more user, or NULL. The lock is held. */
static struct merge *cache_get(struct mergecache *cache, uint64_t id)
{
    struct merge *merge = cache->buckets[id % BUCKETS];
    while (merge && merge->id != id)
        merge = merge->chain;
    if (merge) {
        merge->users++;
        merge->newer->older = merge->older;
        merge->older->newer = merge->newer;
        cache_add_newest(cache, merge);
    }
    return merge;
}

/* The merge, made now. */
static struct merge *merge_make(const struct stack *stack, const struct sources *sources, int *err)
{
    struct mergecache *cache = stack->merges;
    struct merge *merge;
    struct merge *built = merge_build(stack, sources, err);
    if (!built)
        return NULL;
    pthread_mutex_lock(&cache->lock);
    merge = cache_get(cache, sources->id);
    if (!merge) {
        merge = built;
        built = NULL;
        merge->users = 1;
        merge->chain = cache->buckets[merge->id % BUCKETS];
        cache->buckets[merge->id % BUCKETS] = merge;
        cache_add_newest(cache, merge);
        cache->bytes += merge->bytes;
        cache_trim(cache, cache->limit);
    }
    pthread_mutex_unlock(&cache->lock);
    merge_free(built);
    return merge;
}

struct merge *merge_get(const struct stack *stack, const struct sources *sources, int *err)
{
    struct mergecache *cache = stack->merges;
    pthread_mutex_lock(&cache->lock);
    struct merge *merge = cache_get(cache, sources->id);
    pthread_mutex_unlock(&cache->lock);
    return merge ? merge : merge_make(stack, sources, err);
}

/* ---- whether to make one ---- */

/* How many lookups cost what reading all sources does. A source that cannot be asked adds nothing:
 * whoever reads it is told why. */
static uint64_t worth_of(const struct stack *stack, const struct sources *sources)
{
    uint64_t cost = 0;
    for (unsigned i = 0; i < sources->count; i++) {
        int err = 0;
        struct stat st;
        const struct source *from = &sources->at[i];
        struct fdref *ref = stack_lower_dir(stack, from->layer, from->path, &err);
        if (ref && fd_stat(ref->fd, "", &st) == 0)
            cost += COST_OPEN + (uint64_t)st.st_size / BYTES_OF_A_NAME / COST_NAMES;
        fdref_release(stack->fds, ref);
    }
    return cost / (COST_ASK * sources->count);
}

/* Counts one more lookup; true when a merge is worth making. Its first lookup finds out how many
 * that takes, which is a stat of every source. */
static bool is_worth(const struct stack *stack, const struct sources *sources)
{
    struct mergecache *cache = stack->merges;
    struct tally *tally = &cache->tallies[sources->id % TALLIES];
    pthread_mutex_lock(&cache->lock);
    bool known = tally->id == sources->id;
    bool worth = known && ++tally->asked > tally->worth;
    pthread_mutex_unlock(&cache->lock);
    if (known)
        return worth;
    const struct tally first = {.id = sources->id, .asked = 1, .worth = worth_of(stack, sources)};
    pthread_mutex_lock(&cache->lock);
    *tally = first;
    pthread_mutex_unlock(&cache->lock);
    return first.asked > first.worth;
}

struct merge *merge_if_worth(const struct stack *stack, const struct sources *sources, int *err)
{
    struct mergecache *cache = stack->merges;
    pthread_mutex_lock(&cache->lock);
    struct merge *merge = cache_get(cache, sources->id);
    pthread_mutex_unlock(&cache->lock);
    *err = 0;
    return merge || !is_worth(stack, sources) ? merge : merge_make(stack, sources, err);
}

void merge_note_absent(const struct stack *stack, const struct sources *sources)
{
    int err = 0;
    if (!stack->frozen || !is_worth(stack, sources))
        return;
    struct merge *merge = merge_get(stack, sources, &err);
    merge_release(stack->merges, merge);
    if (merge)
        atomic_store(&stack->merges->singles[sources->id % TALLIES], true);
}

struct merge *merge_of_single(const struct stack *stack, const struct sources *sources)
{
    struct mergecache *cache = stack->merges;
    if (!atomic_load_explicit(&cache->singles[sources->id % TALLIES], memory_order_relaxed))
        return NULL;
    pthread_mutex_lock(&cache->lock);
    struct merge *merge = cache_get(cache, sources->id);
    pthread_mutex_unlock(&cache->lock);
    return merge;
}

void merge_release(struct mergecache *cache, struct merge *merge)
{
    if (!merge)
        return;
    pthread_mutex_lock(&cache->lock);
    merge->users--;
    pthread_mutex_unlock(&cache->lock);
}

const struct merge_name *merge_find(const struct merge *merge, const char *name)
{
    uint32_t index = nameset_find(&merge->names, name);
    return index == NAMESET_NONE ? NULL : &merge->at[index];
}
