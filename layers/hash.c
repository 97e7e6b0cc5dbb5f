/* SPDX-License-Identifier: MIT
 *
 * Duty: hide which hash it is. The only file that includes xxhash.h. Cost: many gigabytes in a
 * second; a struct hash is half a kilobyte.
 */
#define XXH_INLINE_ALL
#include "hash.h"

#include <xxhash.h>

struct hash {
    XXH3_state_t state;
};

/* For inputs of some bytes the library adds the seed to the input, so a near seed and a near input
 * can make up for each other: it is spread over all bits first. */
static uint64_t spread(uint64_t seed)
{
    seed = (seed ^ seed >> 30) * 0xbf58476d1ce4e5b9u;
    seed = (seed ^ seed >> 27) * 0x94d049bb133111ebu;
    return seed ^ seed >> 31;
}

uint64_t hash_bytes(const void *data, size_t size, uint64_t seed)
{
    return XXH3_64bits_withSeed(data, size, spread(seed));
}

struct hash *hash_create(void)
{
    /* The state asks for the alignment of a cache line, which malloc does not give. */
    struct hash *hash = aligned_alloc(_Alignof(struct hash), sizeof(*hash));
    if (hash)
        hash_restart(hash);
    return hash;
}

void hash_destroy(struct hash *hash)
{
    free(hash);
}

void hash_restart(struct hash *hash)
{
    XXH3_128bits_reset(&hash->state);
}

void hash_add(struct hash *hash, const void *data, size_t size)
{
    XXH3_128bits_update(&hash->state, data, size);
}

static void write_hex(XXH128_hash_t value, char hex[HASH_HEX_SIZE])
{
    XXH128_canonical_t bytes; /* big-endian on every machine */
    XXH128_canonicalFromHash(&bytes, value);
    for (size_t i = 0; i < sizeof(bytes.digest); i++) {
        hex[2 * i] = "0123456789abcdef"[bytes.digest[i] >> 4];
        hex[2 * i + 1] = "0123456789abcdef"[bytes.digest[i] & 15];
    }
    hex[HASH_HEX_SIZE - 1] = 0;
}

void hash_hex(const struct hash *hash, char hex[HASH_HEX_SIZE])
{
    write_hex(XXH3_128bits_digest(&hash->state), hex);
}

void hash_hex_of(const void *data, size_t size, char hex[HASH_HEX_SIZE])
{
    write_hex(XXH3_128bits(data, size), hex);
}
