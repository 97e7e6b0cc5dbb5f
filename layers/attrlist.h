/* SPDX-License-Identifier: MIT
 *
 * The extended attributes of an object of a layer, as an archive of that layer has them: those that
 * a user sees, unescaped and in the order of their names. What a layer's books say by attributes is
 * told apart from them.
 */
#ifndef PLYFS_ATTRLIST_H
#define PLYFS_ATTRLIST_H

#include "ovlattr.h"
#include "own.h"
#include "tarball.h"

#include <sys/stat.h>

struct attrblock;

/* All zero is an empty list, ready to be read into. */
struct attrlist {
    struct tar_xattr *at;
    size_t count, room;
    ovlset marks;             /* the overlay's own */
    struct attrblock *blocks; /* what `at` points to */
    char *value;              /* room for one value */
};
void attrlist_finish(struct attrlist *list);
#define cleanup_attrlist cleanup(attrlist_finish)

/* Reads those of (dir, name), which lies in a layer of the kind `where`, in place of what the list
 * held. `st` is what is on disk there; owner, mode and device that were recorded in the attribute
 * `record` (record.h) are put into it, and the record is not listed; NULL: none counts. A file
 * capability that names the root of a user namespace (version 3) is listed as one of everybody's
 * (version 2). */
must_check int attrlist_read(struct attrlist *list, enum ovlwhere where, int dir, const char *name,
                             const char *record, struct stat *st);

#endif
