/* SPDX-License-Identifier: MIT
 *
 * What a node that is not a directory needs beyond its layer: few have any. A plain value that does
 * not change once it is made, and is counted, so that whoever looks at a node can keep it.
 */
#ifndef PLYFS_FILEMORE_H
#define PLYFS_FILEMORE_H

#include "own.h"

#include <stdatomic.h>
#include <stdint.h>

struct filemore {
    atomic_uint users;
    uint16_t data_layer;
    char *data_path;  /* of a metacopy file; or NULL */
    char *index_name; /* of an indexed one; or NULL */
};

/* With one user. Copies both strings, each of which may be NULL. NULL when out of memory. */
struct filemore *filemore_create(uint16_t data_layer, const char *data_path,
                                 const char *index_name);

/* One user more, or less; the last one frees it. Of NULL nothing is done. */
static inline struct filemore *filemore_hold(struct filemore *more)
{
    if (more)
        atomic_fetch_add(&more->users, 1);
    return more;
}
void filemore_release(struct filemore *more);

#endif
