/* SPDX-License-Identifier: MIT
 *
 * What an upper layer holds in vain: files that were copied up and are as the layers beneath have
 * them, found by comparing both and joined with what the ledger tells of them. Failures are told on
 * stderr.
 */
#ifndef PLYFS_WASTED_H
#define PLYFS_WASTED_H

#include "eventword.h"
#include "nameset.h"
#include "own.h"
#include "stack.h"
#include "store.h"

#include <stdint.h>

enum wasted_state {
    WASTED_IDENTICAL, /* nothing differs */
    WASTED_TOUCHED,   /* its times alone do */
    WASTED_METADATA,  /* its owner, permissions or attributes do, and not its content */
    WASTED_CHANGED,   /* its content does: nothing is wasted */
    WASTED_STATES
};

/* "identical", "touched", "metadata", "changed". */
const char *wasted_word(enum wasted_state state);

/* A path in the ledger. */
struct wasted_tally {
    uint64_t moved;
    uint64_t for_metadata; /* of them, for operations that needed no data */
    uint64_t most;         /* that one copy-up moved, which is the one that is told of: */
    char cause[24];
    char caller[40];
    char process[EVENT_COMMAND_SIZE + 24]; /* the command, or why it is not known */
};

/* One that is not changed. Hard links are one, at the first of their names that the layers have: it
 * is as much changed as the most changed of them, and changed where a name is new. */
struct wasted_file {
    char *path; /* absolute in the mount */
    enum wasted_state state;
    uint64_t size;
    uint64_t wasted; /* bytes that the upper holds of it */
    ino_t linked; /* its number in the upper, where names of the layers are kept together; else 0 */
    const struct wasted_tally *tally; /* NULL: the ledger knows of no copy-up */
};

struct wasted {
    struct wasted_file *files; /* those that waste most first */
    size_t count, room;
    struct {
        uint64_t files, bytes;
    } of[WASTED_STATES];
    /* Of all copy-ups. */
    uint64_t copyups, moved;
    uint64_t metacopy_saves; /* moved for a change of metadata, where the content is as it was */
    uint64_t reflink_saves;
    struct nameset paths; /* of the ledger, and by their index: */
    struct wasted_tally *tallies;
    size_t tally_room;
};
void wasted_finish(struct wasted *wasted);
#define cleanup_wasted cleanup(wasted_finish)

/* `row` is the mount, `stack` its layers and its upper. Says on a terminal how far it is. */
must_check int wasted_find(struct store *store, const struct mount_row *row,
                           const struct stack *stack, struct wasted *wasted);

#endif
