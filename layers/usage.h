/* SPDX-License-Identifier: MIT
 *
 * What a directory tree holds.
 */
#ifndef PLYFS_USAGE_H
#define PLYFS_USAGE_H

#include "own.h"

#include <stdint.h>
#include <sys/stat.h>

struct usage {
    uint64_t bytes; /* of the content of regular files, hard links once */
    uint64_t held;  /* of these, what is there: no hole, and nothing that a metacopy left below */
    uint64_t names;
};

/* Bytes of the content of one regular file that are there. */
uint64_t usage_held(const struct stat *st);

/* What lies beneath `dir`. */
must_check int usage_of(int dir, struct usage *usage);

#endif
