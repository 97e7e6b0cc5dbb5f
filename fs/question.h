/* SPDX-License-Identifier: MIT
 *
 * Questions to the policy of a mount (policing.h) about copy-ups that are to come: what would be
 * copied, under which name, and how many bytes at most. They are about the object itself, not about
 * the directories above it, whose copy-up follows from its own. A mount without a policy is asked
 * nothing.
 *
 * The answers are -EROFS where a rule denies it and -EDQUOT where the budget does not reach; a
 * refusal goes into the ledger.
 */
#ifndef PLYFS_QUESTION_H
#define PLYFS_QUESTION_H

#include "mount.h"
#include "own.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* What an operation is about to promote one after the other. It asks about all of it first, so that
 * one that is refused leaves nothing half done. */
struct promotion {
    const char *cause;
    uint64_t bytes; /* that what was asked about so far will move at most; begins as 0 */
};

/* About a node under its own name. No lock of mount.h may be held. */
must_check int question_ask_node(struct mount *mount, struct promotion *promotion, uint32_t index);
/* As promote_name() would bring it. 0 for what has no node. */
must_check int question_ask_name(struct mount *mount, struct promotion *promotion, uint32_t parent,
                                 const char *name);

/* What of a node is to come up: `data` too, of that the first `limit` bytes (-1: all). */
must_check int question_ask(struct mount *mount, const struct node_view *view, bool data,
                            off_t limit, struct promotion *promotion);
/* The same of a node whose lock is held, and what will be moved at most is taken from the budget:
 * *taken, for policing_settle(). */
must_check int question_take(struct mount *mount, const struct node_view *view, bool data,
                             off_t limit, const char *cause, uint64_t *taken);

/* Whether nothing of it, with its data or without, is left to copy up. */
bool question_is_settled(const struct node_view *view, bool data);
/* Whether the data of such a node stays below where its metadata alone is changed. */
bool question_spares_data(const struct stack *stack, const struct node_view *view);
/* As people count layers, the lowest is 1; the upper is 0. */
unsigned question_layer(const struct stack *stack, unsigned slot);

#endif
