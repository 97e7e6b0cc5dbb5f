/* SPDX-License-Identifier: MIT
 *
 * Directories that are about to be listed, looked at before. Who walks a tree (find, tar, cp -a,
 * chmod -R) goes down from each directory into those beneath it, and waits for each listing and
 * for what is looked up with it: a statx(2) for each name, and an open for each directory. While
 * somebody does so, and a processor is idle, that is done ahead (errand.h), for a few directories
 * at a time; the listing and what was found lie ready (listing.h).
 *
 * What lies ready is used only while the names of its directory are what they were, and only of
 * what the sealed layers hold. So a wrong guess costs time of that processor, and nothing else.
 */
#ifndef PLYFS_SCOUT_H
#define PLYFS_SCOUT_H

#include "mount.h"

#include <stdbool.h>
#include <stdint.h>

struct errand;
struct scout;

/* NULL where there is no memory or can be no thread; then the other functions do nothing. Whoever
 * spins is to send the errand, until scout_stop(). */
must_check struct scout *scout_start(struct mount *mount);
void scout_stop(struct scout *scout);
struct errand *scout_errand(const struct scout *scout);

/* A directory is about to be listed to somebody, from its beginning (`fresh`) or further on. To be
 * given to scout_tell(). */
uint32_t scout_begin(struct scout *scout, uint64_t directory, bool fresh);

/* The listing tells of this, which may be a directory. */
void scout_tell(struct scout *scout, uint32_t listing, const struct node_view *view);

/* So much of it was told. */
void scout_end(struct scout *scout);

/* How many directories were listed so far that had been looked at, and not in vain. */
uint64_t scout_of_use(const struct scout *scout);

#endif
