/* SPDX-License-Identifier: MIT
 *
 * The one hash of the program: xxh3. Not for secrets; stable over runs and machines. 64 bits for
 * tables and for directory cookies, which thereby survive the daemon; 128 bits, in hex, where equal
 * hashes are taken for equal content.
 */
#ifndef PLYFS_HASH_H
#define PLYFS_HASH_H

#include "own.h"

#include <stddef.h>
#include <stdint.h>

uint64_t hash_bytes(const void *data, size_t size, uint64_t seed);

enum { HASH_HEX_SIZE = 33 }; /* 32 lower-case hex digits and the end */

/* 128 bits, piece by piece; used again and again. */
struct hash;

/* NULL when out of memory. */
must_check struct hash *hash_create(void);
void hash_destroy(struct hash *hash);
/* Forgets what was added. A new hash has nothing to forget. */
void hash_restart(struct hash *hash);
void hash_add(struct hash *hash, const void *data, size_t size);
/* Of everything that was added so far; more may follow. */
void hash_hex(const struct hash *hash, char hex[HASH_HEX_SIZE]);

/* The same of one piece of memory. */
void hash_hex_of(const void *data, size_t size, char hex[HASH_HEX_SIZE]);

static inline void own_hash(struct hash **hash)
{
    hash_destroy(*hash);
}
#define cleanup_hash cleanup(own_hash)

#endif
