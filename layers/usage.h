/* SPDX-License-Identifier: MIT
 *
 * What a directory tree holds.
 */
#ifndef PLYFS_USAGE_H
#define PLYFS_USAGE_H

#include "own.h"

#include <stdint.h>

struct usage {
    uint64_t bytes; /* of the content of regular files, hard links once */
    uint64_t
        held; /* of them, those that are there: not holes, nor data that a metacopy left below */
    uint64_t names;
};

/* What lies beneath `dir`. */
must_check int usage_of(int dir, struct usage *usage);

#endif
