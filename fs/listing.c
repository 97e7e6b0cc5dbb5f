/* SPDX-License-Identifier: MIT
 *
 * Duty: read a directory of the union: the upper part first, then what it does not cover of the
 * merged sources. Cost: the upper part is read, the sources come from their merge (or, a single
 * one, are read), one sort. Listings are kept within a bound of memory, dropped oldest first.
 */
#include "listing.h"

#include "fd.h"
#include "hash.h"
#include "merge.h"
#include "upper.h"
#include "whiteout.h"

#include <fcntl.h>
#include <string.h>

enum { BUCKETS = 256 };

struct listings {
    pthread_mutex_t lock;
    struct listing *buckets[BUCKETS];
    struct listing ring;
    size_t bytes, limit;
};

struct listings *listings_create(size_t limit)
{
    struct listings *listings = calloc(1, sizeof(*listings));
    if (!listings)
        return NULL;
    pthread_mutex_init(&listings->lock, NULL);
    listings->ring.newer = listings->ring.older = &listings->ring;
    listings->limit = limit;
    return listings;
}

static void listing_free(struct listing *listing)
{
    if (!listing)
        return;
    nameset_finish(&listing->names);
    free(listing->at);
    free(listing);
}

/* Takes a listing out of the cache; it is freed when nobody uses it. The lock is held. */
static void unlist(struct listings *listings, struct listing *listing)
{
    struct listing **at = &listings->buckets[listing->index % BUCKETS];
    while (*at != listing)
        at = &(*at)->chain;
    *at = listing->chain;
    listing->newer->older = listing->older;
    listing->older->newer = listing->newer;
    listing->newer = listing->older = NULL;
    listings->bytes -= listing->bytes;
    if (listing->users == 0)
        listing_free(listing);
}

void listings_destroy(struct listings *listings)
{
    if (!listings)
        return;
    while (listings->ring.newer != &listings->ring)
        unlist(listings, listings->ring.newer);
    pthread_mutex_destroy(&listings->lock);
    free(listings);
}

static struct listing *lookup(struct listings *listings, uint32_t index)
{
    struct listing *listing = listings->buckets[index % BUCKETS];
    while (listing && listing->index != index)
        listing = listing->chain;
    return listing;
}

void listings_drop(struct listings *listings, uint32_t index)
{
    pthread_mutex_lock(&listings->lock);
    struct listing *listing = lookup(listings, index);
    if (listing)
        unlist(listings, listing);
    pthread_mutex_unlock(&listings->lock);
}

size_t listings_bytes(struct listings *listings)
{
    pthread_mutex_lock(&listings->lock);
    size_t bytes = listings->bytes;
    pthread_mutex_unlock(&listings->lock);
    return bytes;
}

void listing_release(struct mount *mount, struct listing *listing)
{
    if (!listing)
        return;
    pthread_mutex_lock(&mount->listings->lock);
    bool gone = --listing->users == 0 && listing->newer == NULL;
    pthread_mutex_unlock(&mount->listings->lock);
    if (gone)
        listing_free(listing);
}

/* ---- building ---- */

struct building {
    struct mount *mount;
    const struct node_view *view;
    const struct stack *stack;
    struct listing *listing;
    struct nameset covered; /* names that the upper part hides or has */
    uint32_t room;
};

static int add_name(struct building *build, const char *name, uint64_t ino, uint8_t dtype)
{
    struct listing *listing = build->listing;
    uint32_t index;
    bool fresh;
    int err = nameset_add(&listing->names, name, &index, &fresh);
    if (err || !fresh)
        return err;
    if (listing->count == build->room) {
        build->room = build->room ? build->room * 2 : 32;
        struct listing_entry *at = realloc(listing->at, build->room * sizeof(*at));
        if (!at)
            return -ENOMEM;
        listing->at = at;
    }
    uint64_t cookie = hash_bytes(name, strlen(name), 0) >> 1;
    listing->at[listing->count++] = (struct listing_entry){
        .cookie = cookie < LISTING_COOKIE_FIRST ? LISTING_COOKIE_FIRST : cookie,
        .ino = ino,
        .name = index,
        .dtype = dtype,
    };
    return 0;
}

static int cover(struct building *build, const char *name)
{
    uint32_t index;
    bool fresh;
    return build->view->sources ? nameset_add(&build->covered, name, &index, &fresh) : 0;
}

/* Calls `take` for each entry of an open directory. */
static int each_entry(int dir, struct building *build,
                      int (*take)(struct building *, int, const struct dirent *))
{
    int fd = fd_open_name(dir, ".", O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return fd;
    cleanup_dir DIR *stream = fdopendir(fd);
    if (!stream) {
        close(fd);
        return -ENOMEM;
    }
    for (;;) {
        errno = 0;
        struct dirent *entry = readdir(stream);
        if (!entry)
            return -errno;
        int err = fd_is_dot(entry->d_name) ? 0 : take(build, fd, entry);
        if (err)
            return err;
    }
}

static int take_upper(struct building *build, int dir, const struct dirent *entry)
{
    const char *name = entry->d_name;
    struct stat st;
    if (build->stack->able.whiteform == WHITEFORM_FILE && whiteout_is_name(name)) {
        const char *hidden = whiteout_hidden_name(name);
        return hidden ? cover(build, hidden) : 0;
    }
    if (whiteout_is_opaque_file(stack_upper_where(build->stack), dir, name))
        return 0;
    uint8_t dtype = entry->d_type;
    if (dtype == DT_CHR || dtype == DT_UNKNOWN) {
        if (fd_stat(dir, name, &st) < 0)
            return 0;
        dtype = (uint8_t)IFTODT(st.st_mode);
        if (whiteout_is_device(&st))
            return cover(build, name);
    }
    /* In a directory of purely upper content every number is its own; elsewhere an entry may have
     * brought another one with it, which a lookup tells. */
    bool pure = !build->view->sources && !node_is(build->view, NODE_IMPURE);
    int err = add_name(build, name, pure ? stack_ino(build->stack, 0, entry->d_ino) : 0, dtype);
    return err ? err : cover(build, name);
}

static bool is_covered(const struct building *build, const char *name)
{
    return nameset_find(&build->covered, name) != NAMESET_NONE;
}

static int take_single_lower(struct building *build, int dir, const struct dirent *entry)
{
    const struct source *source = &build->view->sources->at[0];
    struct stat st;
    uint8_t dtype = entry->d_type;
    if (whiteout_is_name(entry->d_name) || is_covered(build, entry->d_name))
        return 0;
    bool maybe_attr = source->xwhiteouts && (dtype == DT_REG || dtype == DT_UNKNOWN);
    if (dtype == DT_CHR || dtype == DT_UNKNOWN || maybe_attr) {
        if (fd_stat(dir, entry->d_name, &st) < 0)
            return 0;
        dtype = (uint8_t)IFTODT(st.st_mode);
        if (whiteout_is_device(&st) ||
            (source->xwhiteouts && S_ISREG(st.st_mode) && st.st_size == 0 &&
             ovlset_has(ovlattr_list(OVLWHERE_SEALED, dir, entry->d_name), OVLATTR_WHITEOUT)))
            return 0;
    }
    return add_name(build, entry->d_name, stack_ino(build->stack, source->layer, entry->d_ino),
                    dtype);
}

static int add_single_lower(struct building *build)
{
    int err = 0;
    const struct source *source = &build->view->sources->at[0];
    struct fdref *ref = stack_lower_dir(build->stack, source->layer, source->path, &err);
    if (!ref)
        return err;
    err = each_entry(ref->fd, build, take_single_lower);
    fdref_release(build->mount->fds, ref);
    return err;
}

static int add_merged_lowers(struct building *build)
{
    int err = 0;
    struct merge *merge = merge_get(build->stack, build->view->sources, &err);
    if (!merge)
        return err;
    for (uint32_t i = 0; i < merge->names.used && !err; i++) {
        const char *name = nameset_name(&merge->names, i);
        const struct merge_name *known = &merge->at[i];
        /* The number of a directory or of a metacopy file is that of its first source as well. */
        if (!known->hidden && !is_covered(build, name))
            err = add_name(build, name, known->ino, known->dtype);
    }
    merge_release(build->stack->merges, merge);
    return err;
}

static int by_cookie(const void *left, const void *right)
{
    const struct listing_entry *a = left, *b = right;
    if (a->cookie != b->cookie)
        return a->cookie < b->cookie ? -1 : 1;
    return a->name < b->name ? -1 : a->name > b->name;
}

static void sort(struct listing *listing)
{
    if (listing->count < 2)
        return;
    qsort(listing->at, listing->count, sizeof(*listing->at), by_cookie);
    for (uint32_t i = 1; i < listing->count; i++) {
        if (listing->at[i].cookie <= listing->at[i - 1].cookie)
            listing->at[i].cookie = listing->at[i - 1].cookie + 1;
    }
}

static int fill(struct building *build)
{
    int err = 0;
    const struct node_view *view = build->view;
    if (node_is(view, NODE_ORPHAN))
        return 0;
    if (node_is(view, NODE_UPPER)) {
        names_read(build->mount);
        struct fdref *ref = find_upper_dir(build->mount, view->index, &err);
        names_end(build->mount);
        if (!ref)
            return err;
        err = each_entry(ref->fd, build, take_upper);
        fdref_release(build->mount->fds, ref);
    }
    if (err || !view->sources)
        return err;
    return view->sources->count == 1 ? add_single_lower(build) : add_merged_lowers(build);
}

static struct listing *build_listing(struct mount *mount, const struct node_view *view, int *err)
{
    struct building build = {.mount = mount, .view = view, .stack = mount_stack(mount, view)};
    build.listing = calloc(1, sizeof(*build.listing));
    *err = build.listing ? fill(&build) : -ENOMEM;
    nameset_finish(&build.covered);
    if (*err) {
        listing_free(build.listing);
        return NULL;
    }
    struct listing *listing = build.listing;
    sort(listing);
    listing->index = view->index;
    listing->bytes = sizeof(*listing) + nameset_bytes(&listing->names) +
                     build.room * sizeof(struct listing_entry);
    return listing;
}

/* ---- the cache ---- */

static void trim(struct listings *listings)
{
    struct listing *listing = listings->ring.newer;
    while (listing != &listings->ring && listings->bytes > listings->limit) {
        struct listing *next = listing->newer;
        if (listing->users == 0)
            unlist(listings, listing);
        listing = next;
    }
}

static void keep(struct listings *listings, struct listing *listing)
{
    pthread_mutex_lock(&listings->lock);
    struct listing *old = lookup(listings, listing->index);
    if (old)
        unlist(listings, old);
    listing->users = 1;
    listing->chain = listings->buckets[listing->index % BUCKETS];
    listings->buckets[listing->index % BUCKETS] = listing;
    listing->newer = &listings->ring;
    listing->older = listings->ring.older;
    listing->older->newer = listing;
    listings->ring.older = listing;
    listings->bytes += listing->bytes;
    trim(listings);
    pthread_mutex_unlock(&listings->lock);
}

struct listing *listing_get(struct mount *mount, const struct node_view *view, bool fresh, int *err)
{
    struct listings *listings = mount->listings;
    struct listing *listing = NULL;
    if (!fresh) {
        pthread_mutex_lock(&listings->lock);
        listing = lookup(listings, view->index);
        if (listing)
            listing->users++;
        pthread_mutex_unlock(&listings->lock);
    }
    if (listing)
        return listing;
    listing = build_listing(mount, view, err);
    if (listing)
        keep(listings, listing);
    return listing;
}

uint32_t listing_after(const struct listing *listing, uint64_t cookie)
{
    uint32_t low = 0, high = listing->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (listing->at[middle].cookie <= cookie)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int listing_is_empty(struct mount *mount, const struct node_view *view)
{
    int err = 0;
    struct listing *listing = build_listing(mount, view, &err);
    if (!listing)
        return err;
    int empty = listing->count == 0;
    listing_free(listing);
    return empty;
}
