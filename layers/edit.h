/* SPDX-License-Identifier: MIT
 *
 * Editing a directory of the union: make, link, remove, rename. Each decides whether a whiteout is
 * needed by asking what lies beneath, and each is one step on disk, or staged and published by one.
 * The thread's own identity and umask apply to what is made, so that setgid directories, default
 * ACLs and quotas follow the rules of the backing filesystem.
 */
#ifndef PLYFS_EDIT_H
#define PLYFS_EDIT_H

#include "own.h"
#include "sources.h"
#include "stack.h"

#include <stdbool.h>
#include <sys/stat.h>

/* A directory of the union that has an upper part. */
struct editdir {
    int upper;                     /* open */
    const struct sources *sources; /* what lies beneath; NULL for nothing */
};

/* What to make: `mode` holds the type. Of a symlink `target`, of a device `rdev`. */
struct making {
    mode_t mode;
    dev_t rdev;
    const char *target;
    int flags; /* further open(2) flags of a regular file */
    /* Whose it is to be, where owners are recorded; elsewhere it is the thread's. */
    uid_t uid;
    gid_t gid;
};

/* Records what was just made for `making` in the upper directory `dir`, as (at, name): its owner,
 * and its mode as the umask and the default ACL have left it. A group and setgid come from a setgid
 * directory, as in the VFS (inode_init_owner). */
must_check int edit_record(const struct stack *stack, int dir, int at, const char *name,
                           const struct making *making);

/* Makes `name`. A regular file's descriptor (read and write) goes to *fd when fd is given. -EEXIST
 * when the upper has an object of that name. */
must_check int edit_make(const struct stack *stack, const struct editdir *dir, const char *name,
                         const struct making *making, int *fd);

/* Links (from_dir, from_name) as `name`; from_name "" links an open descriptor. */
must_check int edit_link(const struct stack *stack, int from_dir, const char *from_name,
                         const struct editdir *dir, const char *name);

/* Removes `name`. in_upper: the upper has an object of that name. A directory must be empty in the
 * union: the caller has looked. */
must_check int edit_remove(const struct stack *stack, const struct editdir *dir, const char *name,
                           bool in_upper, bool is_dir);

/* Removes a directory of the upper that nothing lies beneath, without a look into it: -ENOTEMPTY
 * when something does, or when it has as much as a whiteout in it. The caller looks then. */
must_check int edit_remove_unseen(const struct stack *stack, const struct editdir *dir,
                                  const char *name);

struct renaming {
    const struct editdir *from, *to;
    const char *from_name, *to_name;
    bool is_dir;         /* what moves */
    bool exchange;       /* RENAME_EXCHANGE */
    bool leave_whiteout; /* RENAME_WHITEOUT, of plain trees: cover the old name in any case */
    bool no_replace;     /* RENAME_NOREPLACE, on disk too; of plain trees, which the host changes */
};

/* Moves an object of the upper. Redirect and opaque marks have been set by the caller; a directory
 * at the new name must be empty in the union. */
must_check int edit_rename(const struct stack *stack, const struct renaming *renaming);

#endif
