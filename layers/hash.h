/* SPDX-License-Identifier: MIT
 *
 * The one hash of the program: xxh3, 64 bits. Not for secrets; stable over runs and machines, so a
 * directory cookie made from it survives the daemon.
 */
#ifndef PLYFS_HASH_H
#define PLYFS_HASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t hash_bytes(const void *data, size_t size, uint64_t seed);

#endif
