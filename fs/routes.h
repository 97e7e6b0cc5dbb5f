/* SPDX-License-Identifier: MIT
 *
 * Routes as they are asked for, before a mount knows them: an absolute path inside it, and what is
 * shown there. A list of plain values: nothing is opened.
 */
#ifndef PLYFS_ROUTES_H
#define PLYFS_ROUTES_H

#include "own.h"
#include "volumespec.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct route_wish {
    char *destination; /* absolute, cleaned; symlinks in it are resolved inside the mount */
    char *source;  /* a directory or a file of the host; NULL: a tmpfs that ends with the mount */
    char **layers; /* instead of source: sealed layers, topmost first, shown as one tree */
    unsigned layer_count;
    char *subpath; /* beneath source, or in the layers, found without leaving them; or NULL */
    bool read_only;
    bool one_filesystem; /* what is mounted beneath source is left out */
    bool cached;         /* the host's changes may be seen a second late */
    uint64_t limit;      /* bytes that it may hold; 0: no limit. Of a tmpfs its size */
    char *usage;         /* the file that counts them for all who share it (quota.h); or NULL */
    mode_t perm;         /* of a tmpfs's root */
    struct volume_pairs options; /* what else a tmpfs is made with: scratch.h */
};
void route_wish_finish(struct route_wish *wish);

/* What a bind or a tmpfs is as a route, and of a volume or an image what does not depend on where
 * it lies: its source is the caller's to add. On failure there is nothing to finish. */
must_check int route_wish_of(const struct volume_spec *spec, struct route_wish *wish);

/* Whether the absolute path `inner` is `outer` or lies in it; both are real paths. */
bool route_is_within(const char *inner, const char *outer);

/* Why a wish cannot be fulfilled, in words. */
struct route_fault {
    char words[512];
};
/* Says so: returns `err`. */
int route_wish_refuse(const struct route_wish *wish, int err, const char *why,
                      struct route_fault *fault);

struct route_wishes {
    struct route_wish *at;
    unsigned count;
};
void route_wishes_finish(struct route_wishes *wishes);
/* Takes the wish over in every case. */
must_check int route_wishes_add(struct route_wishes *wishes, struct route_wish *wish);

#endif
