/* SPDX-License-Identifier: MIT
 *
 * Duty: keep what directories show, in an order that a cookie can find again. Cost: one reading
 * (contents.h) and one sort. Listings are kept within a bound of memory, dropped oldest first.
 */
#include "listing.h"

#include "brief.h"
#include "contents.h"
#include "hash.h"
#include "moment.h"
#include "route.h"

#include <string.h>

enum { BUCKETS = 8192 };

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
    brief_init(&listings->lock);
    listings->ring.newer = listings->ring.older = &listings->ring;
    listings->limit = limit;
    return listings;
}

static void listing_free(struct listing *listing)
{
    if (!listing)
        return;
    for (uint32_t i = 0; listing->prepared && i < listing->count; i++)
        entry_finish(&listing->prepared[i].entry);
    free(listing->prepared);
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
    struct listing *listing;
    uint32_t room;
};

static int add_name(void *context, const struct content *content)
{
    struct building *build = context;
    struct listing *listing = build->listing;
    uint32_t index;
    bool fresh;
    int err = nameset_add(&listing->names, content->name, &index, &fresh);
    if (err || !fresh)
        return err;
    if (listing->count == build->room) {
        build->room = build->room ? build->room * 2 : 32;
        struct listing_entry *at = realloc(listing->at, build->room * sizeof(*at));
        if (!at)
            return -ENOMEM;
        listing->at = at;
    }
    uint64_t cookie = hash_bytes(content->name, strlen(content->name), 0) >> 1;
    listing->at[listing->count++] = (struct listing_entry){
        .cookie = cookie < LISTING_COOKIE_FIRST ? LISTING_COOKIE_FIRST : cookie,
        .ino = content->ino,
        .name = index,
        .dtype = content->dtype,
        .sealed = !content->upper,
    };
    return 0;
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

/* Where a route leads from here comes first: it is that which is shown, whatever lies beneath. */
static int add_way(void *context, const char *name, bool is_dir)
{
    const struct content content = {.name = name, .dtype = is_dir ? DT_DIR : DT_REG, .upper = true};
    return add_name(context, &content);
}

static int fill_ways(struct mount *mount, const struct node_view *view, struct building *build)
{
    if (!node_is(view, NODE_WAY))
        return 0;
    route_enter(mount);
    int err = route_each_name(mount, view, add_way, build);
    route_leave(mount);
    return err;
}

static int fill(struct mount *mount, const struct node_view *view, struct building *build)
{
    int err = 0;
    struct fdref *upper = NULL;
    if (node_is(view, NODE_ORPHAN))
        return 0;
    err = fill_ways(mount, view, build);
    if (err || node_is(view, NODE_STUB))
        return err;
    if (node_is(view, NODE_UPPER)) {
        names_read(mount);
        upper = find_upper_dir(mount, view->index, &err);
        names_end(mount);
    }
    const struct upperpart part = {.fd = upper ? upper->fd : -1, .ref = upper};
    if (!err)
        err = contents_shown(mount_stack(mount, view), &part, view->sources,
                             !node_is(view, NODE_IMPURE), add_name, build);
    fdref_release(mount->fds, upper);
    return err;
}

static struct listing *build_listing(struct mount *mount, const struct node_view *view, int *err)
{
    struct building build = {.listing = calloc(1, sizeof(*build.listing))};
    if (build.listing) {
        const struct namecount *names = names_of(mount, view->index);
        build.listing->changes = atomic_load(&names->changed);
        build.listing->rises = atomic_load(&names->risen);
        build.listing->since = moment_steady();
    }
    *err = build.listing ? fill(mount, view, &build) : -ENOMEM;
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

/* A name that was changed through the mount is counted; what else may change, the host's files and
 * what is routed, is read anew each time. */
static bool is_current(struct mount *mount, const struct node_view *view,
                       const struct listing *listing)
{
    return !node_is(view, NODE_WAY) && !mount_is_plain(mount, view) &&
           listing->changes == atomic_load(&names_of(mount, view->index)->changed) &&
           moment_steady() - listing->since < LISTING_CURRENT_NS;
}

struct listing *listing_get(struct mount *mount, const struct node_view *view, bool fresh, int *err)
{
    struct listings *listings = mount->listings;
    pthread_mutex_lock(&listings->lock);
    struct listing *listing = lookup(listings, view->index);
    if (listing && fresh && !is_current(mount, view, listing))
        listing = NULL;
    if (listing)
        listing->users++;
    pthread_mutex_unlock(&listings->lock);
    if (listing)
        return listing;
    listing = build_listing(mount, view, err);
    if (listing)
        keep(listings, listing);
    return listing;
}

/* ---- ahead ---- */

enum { PREPARED_MOST = 1024 /* names of one directory */ };

/* What is said of an inode in the upper layer may change without a word about names. */
static bool stays(const struct entry *entry)
{
    return entry->present && entry->layer != 0 && !entry->indexed;
}

static void prepare_entries(struct mount *mount, const struct node_view *view,
                            struct listing *listing)
{
    if (listing->count == 0 || listing->count > PREPARED_MOST)
        return;
    listing->prepared = calloc(listing->count, sizeof(*listing->prepared));
    for (uint32_t at = 0; listing->prepared && at < listing->count; at++) {
        struct shown shown;
        if (!listing->at[at].sealed)
            continue;
        if (shown_find_sealed(mount, view, listing_name(listing, at), &shown) == 0 &&
            stays(&shown.entry))
            listing->prepared[at].entry = entry_steal(&shown.entry);
        shown_finish(mount, &shown);
    }
    if (listing->prepared)
        listing->bytes += listing->count * sizeof(*listing->prepared);
}

static bool has_current(struct mount *mount, const struct node_view *view)
{
    struct listings *listings = mount->listings;
    pthread_mutex_lock(&listings->lock);
    struct listing *listing = lookup(listings, view->index);
    bool has = listing && is_current(mount, view, listing);
    pthread_mutex_unlock(&listings->lock);
    return has;
}

void listing_prepare(struct mount *mount, const struct node_view *view)
{
    int err = 0;
    if (has_current(mount, view))
        return;
    struct listing *listing = build_listing(mount, view, &err);
    if (!listing)
        return;
    prepare_entries(mount, view, listing);
    keep(mount->listings, listing);
    listing_release(mount, listing);
}

/* The names are looked at after the count of moves is taken, as by who looks up now. */
bool listing_take_prepared(struct mount *mount, const struct node_view *view,
                           struct listing *listing, uint32_t at, struct shown *shown)
{
    *shown = (struct shown){.moves = node_moves(mount->nodes), .tree = view->tree};
    if (!listing->prepared || !listing_is_sealed(mount, listing, at) ||
        atomic_exchange(&listing->prepared[at].taken, true) || !listing->prepared[at].entry.present)
        return false;
    shown->entry = entry_steal(&listing->prepared[at].entry);
    return true;
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

bool listing_is_sealed(struct mount *mount, const struct listing *listing, uint32_t at)
{
    const struct namecount *names = names_of(mount, listing->index);
    return listing->at[at].sealed && listing->changes == atomic_load(&names->changed) &&
           listing->rises == atomic_load(&names->risen);
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
