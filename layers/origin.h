/* SPDX-License-Identifier: MIT
 *
 * Where a copied-up file came from, as the kernel writes it (fs/overlayfs: struct ovl_fb): the
 * lower filesystem's uuid and the lower file's handle. It keeps the inode number over copy-up and
 * remount, and its hex form names the file in the hard-link index.
 */
#ifndef PLYFS_ORIGIN_H
#define PLYFS_ORIGIN_H

#include "own.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

enum { ORIGIN_MAX = 21 + 128, ORIGIN_HEX_MAX = 2 * ORIGIN_MAX + 1 };

/* The bytes of the origin attribute. */
struct origin {
    size_t size; /* 0: the filesystem has no handles or no uuid, so nothing can be said */
    uint8_t bytes[ORIGIN_MAX];
};

/* One filesystem that layers lie on. */
struct backing {
    dev_t dev;
    int root; /* a directory of it, open for reading; not owned */
    bool has_uuid;
    uint8_t uuid[16];
};

/* Fills `backing` from an open directory; what the filesystem does not have is left out. */
must_check int backing_probe(struct backing *backing, int dir, dev_t dev);

/* The origin of (dir, name) on `backing`. An error is the filesystem's own failure: one that has no
 * handles gives an origin of size 0, and so it is where the call is forbidden. */
must_check int origin_of(const struct backing *backing, int dir, const char *name,
                         struct origin *origin);

/* Opens the lower file again by its handle, to ask its inode number. -ESTALE when it is gone or on
 * another filesystem, -EPERM without CAP_DAC_READ_SEARCH. */
must_check int origin_stat(const struct backing *backing, const struct origin *origin,
                           struct stat *st);

/* The name in the index directory: lower-case hex of the bytes. */
void origin_hex(const struct origin *origin, char hex[ORIGIN_HEX_MAX]);

#endif
