/* SPDX-License-Identifier: MIT
 *
 * What a volume is made of: its content as somebody wishes it, and the record of what was copied
 * into it, for volume_diff(). For the files that implement volume.h.
 */
#ifndef PLYFS_VOLUMEMAKE_H
#define PLYFS_VOLUMEMAKE_H

#include "own.h"
#include "store.h"
#include "volume.h"

#include <stdbool.h>
#include <sys/stat.h>

/* The names in a volume's directory. */
#define VOLUMEMAKE_DATA "_data"
#define VOLUMEMAKE_LOCK "lock"
#define VOLUMEMAKE_COPIED "copied"

/* The context of volumemake_content(). */
struct volumemake {
    const struct volume_wish *wish;
    const struct stat *chosen; /* owner and mode that its root keeps; or NULL */
    uint64_t limit;            /* bytes that it may hold, as quota.h weighs them; 0: any */
    int64_t beside;            /* that it holds already, and keeps */
    bool only_if_any; /* where nothing is to be copied it fails with -ENODATA, and tells nothing */
    bool copied;      /* afterwards: something was copied from wish->stack */
    bool told;        /* afterwards: the failure has been told */
};

/* Whether a root has the owner and mode that nobody chose. */
bool volumemake_is_default(const struct stat *root);

/* A volume_filler: makes what was wished. */
int volumemake_content(void *context, int tree);

/* After that: writes the digests of `tree` into the directory `dir`, and what was copied from where
 * into `row`; where nothing was, `row` says so. */
must_check int volumemake_record(struct store *store, struct volumemake *make, int tree, int dir,
                                 struct volume_row *row);

/* Tells of a failure that has not been told, and returns it. */
int volumemake_tell(const struct volumemake *make, const char *what, const char *name, int err);

#endif
