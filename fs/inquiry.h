/* SPDX-License-Identifier: MIT
 *
 * All that there is to tell of one path: where its symlinks lead, what each layer has there, and
 * which volumes cover it. Nothing is printed and nothing is changed.
 */
#ifndef PLYFS_INQUIRY_H
#define PLYFS_INQUIRY_H

#include "copied.h"
#include "explain.h"
#include "named.h"
#include "nameset.h"
#include "own.h"
#include "volumespec.h"

#include <stdbool.h>
#include <sys/stat.h>

/* A symlink that was followed on the way. */
struct inquiry_link {
    char *path, *target;
};

/* A volume that covers the path. */
struct inquiry_volume {
    enum volume_kind kind;
    char *destination;
    char *source; /* NULL of a tmpfs */
    char *rest;   /* what of the path lies in it; "" right at its destination */
    bool read_only;
    int err; /* 0: `st` is of what it has there; else why that is not known, or -ENOENT */
    struct stat st;
};

struct inquiry {
    const struct stack *stack; /* borrowed */
    char *said;                /* as it was asked, with a slash in front */
    /* In the union, from its root, without a slash in front: symlinks on the way are resolved, one
     * at the end is not. Where err is set, as far as it leads. */
    char *path;
    int err; /* why it leads to nothing: -ENOTDIR, -ELOOP, -EIO (books that cannot be true)... */
    struct inquiry_link *links;
    unsigned link_count;
    struct explain explain;
    enum copied copied;             /* of what the upper has there, where it is shown */
    struct inquiry_volume *volumes; /* outer ones first: the last shows the path */
    unsigned volume_count;
    char *beneath;         /* the destination of a volume that lies beneath the path; or NULL */
    struct nameset places; /* of the volumes that were asked about: covering.h */
};
void inquiry_finish(struct inquiry *inquiry);
#define cleanup_inquiry cleanup(inquiry_finish)

/* Inquires about `path` in a union; one that ends in a slash means what a symlink there leads to.
 * -EAGAIN: it changes faster than it can be looked at. */
must_check int inquiry_make(const struct stack *stack, const char *path, struct inquiry *inquiry);

/* Adds the volumes of a named mount. */
must_check int inquiry_add_volumes(struct inquiry *inquiry, struct store *store,
                                   const struct mount_row *row);

/* The same of one volume of a mount that no store keeps; outer ones are to come first. `host` is a
 * descriptor of what it shows, which stays the caller's, or why there is none: -errno. */
must_check int inquiry_add_volume(struct inquiry *inquiry, const struct volume_spec *spec,
                                  int host);

/* The volume that shows the path; NULL: the union does. */
const struct inquiry_volume *inquiry_volume(const struct inquiry *inquiry);

#endif
