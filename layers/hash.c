/* SPDX-License-Identifier: MIT
 *
 * Duty: hide which hash it is. The only file that includes xxhash.h.
 */
#define XXH_INLINE_ALL
#include "hash.h"

#include <xxhash.h>

uint64_t hash_bytes(const void *data, size_t size, uint64_t seed)
{
    return XXH3_64bits_withSeed(data, size, seed);
}
