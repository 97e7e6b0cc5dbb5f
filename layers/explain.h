/* SPDX-License-Identifier: MIT
 *
 * Why a path of a union shows what it shows: for each layer, the topmost first, what it has there,
 * what becomes of it, and who is in its way. What is shown is decided by resolve.h alone; this is a
 * second account of the same, with reasons, and explain_agrees() says whether the two agree (on an
 * upper in use they may not, when it was changed between one look and the other). A pure value:
 * nothing is printed, and nothing on disk is touched.
 */
#ifndef PLYFS_EXPLAIN_H
#define PLYFS_EXPLAIN_H

#include "entry.h"
#include "own.h"
#include "stack.h"

#include <stdbool.h>
#include <sys/stat.h>

enum explain_state {
    EXPLAIN_ABSENT,     /* the layer has nothing there */
    EXPLAIN_WINS,       /* it is what is shown; of a metacopy file its metadata */
    EXPLAIN_MERGED,     /* a directory that adds its names to the one that wins */
    EXPLAIN_DATA,       /* the data of the metacopy file that wins */
    EXPLAIN_HIDDEN,     /* it is there, and something is in its way */
    EXPLAIN_WHITEOUT,   /* it says that there is no such name */
    EXPLAIN_UNREADABLE, /* it may not be looked at */
};

/* "wins", "merged"... */
const char *explain_state_word(enum explain_state state);

enum explain_reason {
    EXPLAIN_FREE,         /* nothing is in the way */
    EXPLAIN_BY_WHITEOUT,  /* a whiteout above, of it or of a directory that it is in */
    EXPLAIN_BY_OPAQUE,    /* an opaque directory above */
    EXPLAIN_BY_FILE,      /* something above that is no directory */
    EXPLAIN_BY_DIRECTORY, /* a directory above, which merges with directories alone */
    EXPLAIN_BY_REDIRECT,  /* a redirect above, which has the layers beneath looked for elsewhere */
    EXPLAIN_BY_LINK,      /* its inode, which was copied up through another of its names */
    EXPLAIN_BY_FAULT,     /* books above that cannot be true */
};

/* "whiteout", "opaque"... */
const char *explain_reason_word(enum explain_reason reason);

/* Who is in the way: what lies at `path` (owned) of the layer in `slot`. */
struct explain_cause {
    enum explain_reason reason;
    unsigned slot;
    char *path;
    /* Of a whiteout: what it looks like; of an opaque directory: what says so; of a fault: the
     * redirect, as far as it fits; else "". */
    char form[64];
};

/* One layer. Paths are from its root, without a slash in front. */
struct explain_layer {
    unsigned slot;
    enum explain_state state;
    char *path; /* where it has it, or would have it: a redirect makes it another */
    bool there; /* it has an object there, `st` of it */
    struct stat st;
    const char *form;        /* of a whiteout: what it looks like; never freed */
    char mark[64];           /* of an opaque directory: what says so; else "" */
    char *redirect;          /* what it says of where the layers beneath have it; or NULL */
    bool metacopy;           /* a file without its data */
    struct explain_cause by; /* of what is hidden, and of what is absent behind something */
};

struct explain {
    struct explain_layer *at; /* the topmost first */
    unsigned count;
    bool present;
    unsigned winner;          /* the slot of what is shown; where it is present */
    int err;                  /* what resolving it comes to: -EIO for books that cannot be true */
    struct explain_cause why; /* what ended the search: what is in the way of all beneath */
};
void explain_finish(struct explain *explain);
#define cleanup_explain cleanup(explain_finish)

/* Accounts for `path`: resolved (rootpath.h), so that no symlink is on the way. `entry` is what the
 * resolver says is there, or NULL where it failed: of it the account takes what only the index of
 * hard links knows. */
must_check int explain_path(const struct stack *stack, const char *path, const struct entry *entry,
                            struct explain *explain);

/* Whether the account comes to what the resolver said: `err`, or else the entry. */
bool explain_agrees(const struct explain *explain, const struct entry *entry, int err);

/* The layer that is shown; NULL when it is absent. */
const struct explain_layer *explain_winner(const struct explain *explain);

/* The layer whose data a metacopy file shows; NULL for any other. */
const struct explain_layer *explain_data(const struct explain *explain);

#endif
