/* SPDX-License-Identifier: MIT
 *
 * The writable layer: its work directory, its whiteouts and opaque marks, and the one way in which
 * changes of several steps are made: staged in work/work, published by one rename or link.
 * Names inside work/work are never used twice in a run, and all are swept at the next mount.
 */
#ifndef PLYFS_UPPER_H
#define PLYFS_UPPER_H

#include "own.h"
#include "stack.h"

#include <stdbool.h>

enum { UPPER_TEMP_MAX = 32 };

/* What upper_open() found wrong, for the words of the message. */
enum upper_fault {
    UPPER_FAULT_NONE,
    UPPER_FAULT_UPPER_BUSY,   /* another live mount holds the upper's lock */
    UPPER_FAULT_WORK_BUSY,    /* ... the work directory's */
    UPPER_FAULT_OTHER_FS,     /* upper and work are on different filesystems */
    UPPER_FAULT_WORK,         /* the work directory cannot be opened or filled */
    UPPER_FAULT_INCOMPATIBLE, /* work/incompat: a volatile mount was not ended cleanly */
};

/* Locks the upper and the work directory, sweeps work/work, finds out what the filesystem can do
 * and fills stack->stage, index, able. `force_user` is the kernel's userxattr. The locks (flock on
 * the two directories) last until the process ends; *lock_fds keeps them. */
must_check int upper_open(struct stack *stack, const char *work, bool force_user, int lock_fds[2],
                          enum upper_fault *fault);

/* What upper_open() finds out of an upper that may be mounted elsewhere, to be read alone: nothing
 * is locked or swept. `scratch` is a directory on the same filesystem to try things in; `work` is
 * only looked into. */
must_check int upper_peek(struct stack *stack, int scratch, const char *work, bool force_user);

/* The same on a filesystem that is read-only, where nothing can be tried: it is taken to be able to
 * do what filesystems commonly can. */
must_check int upper_peek_frozen(struct stack *stack, const char *work, bool force_user);

/* Leaves work/incompat/volatile, as the kernel does for its mount option of that name. */
must_check int upper_mark_volatile(const struct stack *stack);

/* A new name for the stage. */
void upper_temp_name(char name[UPPER_TEMP_MAX]);

/* Makes a whiteout for `name`, of which the upper directory has nothing. */
must_check int upper_whiteout(const struct stack *stack, int dir, const char *name);

/* Puts a whiteout in the place of what the upper directory has as `name`, in one step; what was
 * there is gone (a directory with the whiteouts inside it). */
must_check int upper_cover(const struct stack *stack, int dir, const char *name, bool is_dir);

/* Exchanges two names. Where the filesystem has no RENAME_EXCHANGE (many network and FUSE ones) it
 * is three renames, and who dies between them leaves `b` gone. */
must_check int upper_exchange(const struct stack *stack, int a_dir, const char *a, int b_dir,
                              const char *b);

/* Removes what the upper directory has as `name`; a directory may hold whiteouts and marks. */
must_check int upper_remove(const struct stack *stack, int dir, const char *name, bool is_dir);

/* Removes a whiteout of `name`, in whatever form; none is fine. */
must_check int upper_uncover(const struct stack *stack, int dir, const char *name);

/* Marks the upper directory (dir, name) opaque. */
must_check int upper_set_opaque(const struct stack *stack, int dir, const char *name);

/* Removes a name of the stage and everything beneath it. Errors are not told: it is swept later. */
void upper_discard(const struct stack *stack, const char *temp);

/* What upper has as `name`: 0 nothing, 1 a whiteout, 2 an object; or -errno. */
enum { UPPER_NOTHING, UPPER_WHITEOUT, UPPER_OBJECT };
must_check int upper_look(const struct stack *stack, int dir, const char *name, struct stat *st);

#endif
