/* SPDX-License-Identifier: MIT
 *
 * A limit on what a directory tree may hold, kept by plyfs itself where the kernel keeps none. What
 * counts is the size of regular files in whole pages, hard links once, whether it was written or
 * is a hole: so a write through a mapping, which cannot be refused, can never exceed the limit.
 * Files that have lost their last name and are still open count too: they are held.
 *
 * All who serve the tree share one counter, a file that each has mapped. The first of them (known
 * by the counter's lock) counts anew, so what a crash left wrong is right again; and before anybody
 * is refused it is counted anew too, once in a while, because the host writes as it likes.
 */
#ifndef PLYFS_QUOTA_H
#define PLYFS_QUOTA_H

#include "own.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct quota;

/* `root` is the tree (borrowed as long as the quota is open), `limit` bytes; `usage` the path of
 * the counter, made where it is missing; NULL: nobody shares it. */
must_check int quota_open(int root, uint64_t limit, const char *usage, struct quota **quota);
void quota_close(struct quota *quota);

/* What a file of that size counts for. */
uint64_t quota_weight(off_t size);
/* The same of all regular files in a tree, hard links once. */
must_check int quota_weigh(int root, int64_t *sum);

/* Before something grows by `bytes`: 0 and they are taken, or -ENOSPC and *room is what there is.
 */
must_check int quota_take(struct quota *quota, uint64_t bytes, uint64_t *room);
void quota_give(struct quota *quota, uint64_t bytes);

/* Of what is taken, that much has lost its name (or, negative, is gone or has a name again). */
void quota_hold(struct quota *quota, int64_t bytes);

uint64_t quota_limit(const struct quota *quota);
uint64_t quota_used(const struct quota *quota);

#endif
