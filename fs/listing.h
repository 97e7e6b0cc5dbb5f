/* SPDX-License-Identifier: MIT
 *
 * Listings: the entries of a directory in an order that does not depend on when it was read. The
 * cookie of an entry is the hash of its name, so a reader who goes on after a change, after the
 * listing was dropped, or after the daemon was replaced, sees every name that stayed exactly once.
 */
#ifndef PLYFS_LISTING_H
#define PLYFS_LISTING_H

#include "find.h"
#include "mount.h"
#include "nameset.h"
#include "own.h"
#include "shown.h"

#include <stdatomic.h>
#include <stdint.h>

/* For as long a listing serves who begins anew, in nanoseconds: longer than that nobody waits
 * between two readings in a row. */
#define LISTING_CURRENT_NS 1000000000

enum { LISTING_COOKIE_DOT = 1, LISTING_COOKIE_DOTDOT = 2, LISTING_COOKIE_FIRST = 3 };

struct listing_entry {
    uint64_t cookie;
    atomic_ullong ino; /* as shown; 0 where only a lookup can tell, and none has yet */
    uint32_t name;     /* index in names */
    uint8_t dtype;     /* DT_* */
    bool sealed;       /* the upper part of the directory did not have it */
};

/* What a lookup of a name would find, found ahead. */
struct prepared {
    atomic_bool taken;
    struct entry entry; /* one that is not present: nothing was found that could be used */
};

struct listing {
    unsigned users; /* protected by the cache's lock */
    uint32_t index; /* whose */
    size_t bytes;
    struct nameset names;
    struct listing_entry *at; /* sorted by cookie */
    uint32_t count;
    struct prepared *prepared; /* of each entry; NULL: of none */
    atomic_uint told; /* so many, from the first, were told with attributes: the kernel has them */
    unsigned changes; /* how often its names had changed before it was read */
    unsigned rises;   /* and had been copied up */
    int64_t since;    /* on the steady clock, when that was */
    struct listing *newer, *older, *chain;
};

struct listings *listings_create(size_t limit);
void listings_destroy(struct listings *listings);
void listings_drop(struct listings *listings, uint32_t index);
size_t listings_bytes(struct listings *listings);

/* The listing of a directory, with one user. `fresh`: it is made anew when the directory can have
 * changed (a read from the beginning). Who looks whether a directory is empty, and then reads it,
 * as rm does, is given the same listing again. NULL and *err. */
struct listing *listing_get(struct mount *mount, const struct node_view *view, bool fresh,
                            int *err);
/* Makes it ahead, and finds what the sealed ones of its names are, if there is none yet. The caller
 * has a lookup of the node. */
void listing_prepare(struct mount *mount, const struct node_view *view);
void listing_release(struct mount *mount, struct listing *listing);

/* The place of the first entry behind `cookie`. */
uint32_t listing_after(const struct listing *listing, uint64_t cookie);

static inline const char *listing_name(const struct listing *listing, uint32_t at)
{
    return nameset_name(&listing->names, listing->at[at].name);
}

/* Whether a name is one that the upper part of the directory still does not have. */
must_check bool listing_is_sealed(struct mount *mount, const struct listing *listing, uint32_t at);

/* What was found ahead for such a name of the directory, which is the caller's now: false where
 * nothing was, or somebody has taken it. */
must_check bool listing_take_prepared(struct mount *mount, const struct node_view *view,
                                      struct listing *listing, uint32_t at, struct shown *shown);

/* Whether a directory shows no name at all: 1 or 0, or -errno. */
must_check int listing_is_empty(struct mount *mount, const struct node_view *view);

#endif
