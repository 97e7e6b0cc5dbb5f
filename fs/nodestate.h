/* SPDX-License-Identifier: MIT
 *
 * What is noted of a node while it lives: its own lock, where it lies now, flags, who was told of
 * it, how it is open. Each call takes the table's lock for a few instructions.
 */
#ifndef PLYFS_NODESTATE_H
#define PLYFS_NODESTATE_H

#include "filemore.h"
#include "nodeflag.h"
#include "opens.h"
#include "own.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct node_table;

/* Waits for and takes, or gives back, a node's own lock, under which changes are made that take
 * time: whoever copies the node up or removes it holds it. Its place in the order of locks is told
 * in mount.h. */
void node_lock(struct node_table *table, uint32_t index);
void node_unlock(struct node_table *table, uint32_t index);
/* Takes it if that needs no waiting. */
must_check bool node_try_lock(struct node_table *table, uint32_t index);

/* The node is in the upper now: `set` and `clear` are flags, upper_ino is its inode number there.
 */
void node_promoted(struct node_table *table, uint32_t index, unsigned set, unsigned clear,
                   uint64_t upper_ino);
/* The node is shown under another inode number from now on. */
void node_set_ino(struct node_table *table, uint32_t index, uint64_t ino);
/* Replaces what a file keeps beyond its layer. Takes the reference; NULL clears it. */
void node_set_more(struct node_table *table, uint32_t index, struct filemore *more);

void node_set_flags(struct node_table *table, uint32_t index, unsigned set, unsigned clear);
/* Sets a flag of a node that the kernel has been told of by nothing but the lookup that is being
 * answered; false where it may know of it by another. */
must_check bool node_flag_new(struct node_table *table, uint64_t id, unsigned flag);
/* Whether node `id` is there and has that flag now. */
must_check bool node_has_flag(struct node_table *table, uint64_t id, unsigned flag);
/* It shows no extended attribute: NODE_BARE, unless it is NODE_DRESSED by now. */
void node_found_bare(struct node_table *table, uint32_t index);

/* Of a directory: thread `asker`, by the kernel's number (0: it has none here), is told of it. */
void node_tell(struct node_table *table, uint32_t index, pid_t asker);
/* The number of a directory's node, if anybody but thread `changer` was told of it since this was
 * asked the last time and was so; else 0. */
must_check uint64_t node_told_others(struct node_table *table, uint32_t index, pid_t changer);

/* How it is open (opens.h). */
struct node_opens node_opens(struct node_table *table, uint32_t index);
void node_opened(struct node_table *table, uint32_t index, bool writes, int32_t backing);
/* One more open of a node that is open already, and its backing; false, and nothing done, where it
 * is not. */
must_check bool node_opened_again(struct node_table *table, uint32_t index, bool writes,
                                  int32_t *backing);
/* One open less; returns the backing id that is to be closed now, or 0. */
int32_t node_released(struct node_table *table, uint32_t index, bool writes);

#endif
