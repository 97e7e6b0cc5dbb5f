/* SPDX-License-Identifier: MIT
 *
 * What one layer has at one path, whatever the other layers say: an object with the books that are
 * written on it, a whiteout and its form, or nothing. What of it counts is decided by resolve.h.
 */
#ifndef PLYFS_SIGHT_H
#define PLYFS_SIGHT_H

#include "own.h"
#include "stack.h"

#include <stdbool.h>
#include <sys/stat.h>

enum sight_kind { SIGHT_NOTHING, SIGHT_OBJECT, SIGHT_WHITEOUT };

enum { SIGHT_MARK_MAX = 64 };

struct sight {
    enum sight_kind kind;
    struct stat st;            /* of the object */
    const char *form;          /* of a whiteout: "device 0:0", ".wh. file"...; never freed */
    bool cut;                  /* a `.wh.` file of the same name lies beside the object */
    bool opaque;               /* a directory that hides what lies beneath */
    bool xwhiteouts;           /* a directory with attribute whiteouts in it */
    bool metacopy;             /* a file that says its data is elsewhere */
    char mark[SIGHT_MARK_MAX]; /* what makes it opaque: an attribute's name, or that of a file */
    char *redirect;            /* owned; NULL: it has none */
    int fault;                 /* 0, or why the redirect cannot be read */
};
void sight_finish(struct sight *sight);
#define cleanup_sight cleanup(sight_finish)

/* Looks at `path` (from the root of the layer in `slot`; "" is the root) without following any
 * symlink. `attributes`: an empty file there may be an attribute whiteout. A path that leads
 * through something that is no directory has nothing. -EACCES: it may not be looked at. */
must_check int sight_take(const struct stack *stack, unsigned slot, const char *path,
                          bool attributes, struct sight *sight);

#endif
