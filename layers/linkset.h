/* SPDX-License-Identifier: MIT
 *
 * The hard links of a tree that is walked: which path was the first to show an inode.
 */
#ifndef PLYFS_LINKSET_H
#define PLYFS_LINKSET_H

#include "own.h"

#include <sys/stat.h>

struct linkset;

/* NULL when out of memory. */
must_check struct linkset *linkset_create(void);
void linkset_destroy(struct linkset *set);

/* The path under which the inode of `st` came first; *first lasts as long as the set. NULL when
 * this is the first time, which is then remembered, and for whatever has but one name. */
must_check int linkset_first(struct linkset *set, const struct stat *st, const char *path,
                             const char **first);

static inline void own_linkset(struct linkset **set)
{
    linkset_destroy(*set);
}
#define cleanup_linkset cleanup(own_linkset)

#endif
