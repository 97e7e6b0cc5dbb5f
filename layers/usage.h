/* SPDX-License-Identifier: MIT
 *
 * What a directory tree holds.
 */
#ifndef PLYFS_USAGE_H
#define PLYFS_USAGE_H

#include "own.h"

#include <stdint.h>

/* Bytes of the content of regular files beneath `dir`, hard links once, and the number of names. */
must_check int usage_of(int dir, uint64_t *bytes, uint64_t *names);

#endif
