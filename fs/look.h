/* SPDX-License-Identifier: MIT
 *
 * What lies at a path of a named mount, found without the mount: in its layers and its upper, or in
 * what is routed there on the host. In the union a path is resolved as rootpath.h does; beneath a
 * route no symlink is followed.
 */
#ifndef PLYFS_LOOK_H
#define PLYFS_LOOK_H

#include "below.h"
#include "named.h"
#include "own.h"
#include "rootpath.h"

#include <stdbool.h>
#include <sys/stat.h>

struct look {
    const struct stack *stack; /* borrowed */
    struct rootpath found;     /* in the union */
    int host;                  /* what a route shows there, O_PATH; -1: no route covers the path */
    char *destination;         /* of that route, or NULL; owned */
    bool stub;                 /* nothing has it: it is there because routes lie beneath */
    struct belows belows;      /* of a directory: the names that lead to these */
    int64_t since;             /* when the mount was made: such directories are of that time */
};

/* What to look at. */
struct look_wish {
    const char *root;  /* the store, as --root says it */
    const char *mount; /* what named_find() takes */
    const char *path;  /* in the mount, with or without a slash in front */
    bool under;        /* in the union, whatever is routed over it */
    bool follow;       /* a symlink at its end, in the union */
};

/* Finds it and calls `use`, whose error, if any, is told as is every other one. */
must_check int look_at(const struct look_wish *wish,
                       int (*use)(void *context, const struct look *look), void *context);

/* The same in a mount whose stack is open. -ENOENT: nothing is there; -ENXIO: it lies in a tmpfs or
 * an image, -EREMOTE: in a volume that its driver alone reaches; -ENOTDIR, -ELOOP. Nothing is told,
 * and *look is to be finished in any case. */
must_check int look_find(struct store *store, const struct mount_row *row,
                         const struct stack *stack, const struct look_wish *wish,
                         struct look *look);
void look_finish(struct look *look);
#define cleanup_look cleanup(look_finish)

/* The layer of a directory that nothing has. */
enum { LOOK_STUB = -2 };

/* One name, lasting for the call that is told of it. */
struct look_name {
    const char *name;
    struct stat st;
    const char *target; /* of a symlink; else NULL */
    int layer;          /* as shadow.h counts them; -1: of a volume; LOOK_STUB */
};

/* Calls `each` for what is there, and where that is a directory for each name in it, in the order
 * of their bytes, until it returns something else than 0. */
must_check int look_each(const struct look *look,
                         int (*each)(void *context, const struct look_name *name), void *context);

/* Opens the content of what is there. -EISDIR; -EMEDIUMTYPE: it is something else than a file. */
must_check int look_read(const struct look *look);

#endif
