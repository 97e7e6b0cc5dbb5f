/* SPDX-License-Identifier: MIT
 *
 * Blanks: files without a name (O_TMPFILE), which become what is copied up. One can be made ahead
 * of its need, by a thread that has nothing better to do (the one that tends the tray, tray.h): who
 * needs it does not wait for it then. It may be made in vain; so none is, before blanks have been
 * wanted again and again.
 *
 * Locks: a mutex of those who want blanks, for which nobody waits. The one who works takes no lock
 * at all: it may be a thread that gets no time for a while.
 */
#ifndef PLYFS_BLANK_H
#define PLYFS_BLANK_H

#include "ovlattr.h"
#include "own.h"
#include "tray.h"

#include <sys/types.h>

struct blanks;

/* `metacopy`: in which namespace it says that it is one (ovlattr.h); OVLSPACE_NONE: it does not. */
struct blank_kind {
    mode_t mode;
    enum ovlspace metacopy;
};

/* The tray, which may be NULL, is borrowed. NULL when out of memory: then none is made ahead. */
struct blanks *blanks_create(struct tray *tray);

/* Nobody works for them or uses them any more. */
void blanks_destroy(struct blanks *blanks);

/* A blank of that mode in the directory `dir`, open for reading and writing, made now: the
 * descriptor, or -errno. */
must_check int blank_make(int dir, mode_t mode);

/* A file of no name that will never have one, to be written and read again, in a directory that is
 * the caller's alone. Filesystems that know no O_TMPFILE (NFS, many of FUSE) have it too. */
must_check int blank_scratch(int dir);

/* A blank of that kind, the one that was made ahead, if there is one; and the next is to be made,
 * of the same kind, as is likely. `dir` is always the same, and stays open. */
must_check int blanks_take(struct blanks *blanks, int dir, const struct blank_kind *kind);

/* One thread at a time works for them, from blanks_begin() to blanks_end(), after which there is
 * none, and calls blanks_work() meanwhile. */
void blanks_begin(struct blanks *blanks);
void blanks_work(struct blanks *blanks);
void blanks_end(struct blanks *blanks);

#endif
