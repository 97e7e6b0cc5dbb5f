/* SPDX-License-Identifier: MIT
 *
 * The names of a directory of a mount that lead to a route beneath it, whether or not a layer has
 * them.
 */
#ifndef PLYFS_BELOW_H
#define PLYFS_BELOW_H

#include "covering.h"
#include "own.h"
#include "store.h"

#include <stdbool.h>
#include <sys/stat.h>

struct below {
    char *name;
    bool route; /* it lies right there; else there is only more of the way to it */
    int host;   /* what that shows on the host, O_PATH; or why there is none: -errno */
    mode_t perm;
};

struct belows {
    struct below *at;
    unsigned count;
};
void belows_finish(struct belows *belows);

/* Notes a route that is COVERING_BENEATH. */
must_check int belows_add(struct belows *belows, struct store *store,
                          const struct mount_volume_row *route, const struct covered *covered);

/* The one of that name, or NULL. */
const struct below *belows_find(const struct belows *belows, const char *name);

/* What its name shows where no layer has it, as the mount does: the root of what is routed there,
 * or a directory that is there for its sake. `since`: when the mount was made, nanoseconds. */
must_check int below_stat(const struct below *below, int64_t since, struct stat *st);

/* A directory that is there only because routes lie beneath it. */
struct stat below_stub(int64_t since, mode_t perm);

#endif
