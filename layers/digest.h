/* SPDX-License-Identifier: MIT
 *
 * sha256, by which OCI names blobs, layers (DiffID) and images. The one door to libcrypto.
 */
#ifndef PLYFS_DIGEST_H
#define PLYFS_DIGEST_H

#include "own.h"

#include <stdbool.h>
#include <stddef.h>

enum { DIGEST_HEX_SIZE = 65 }; /* 64 lower-case hex digits and the end */

struct digest;

/* NULL when out of memory. */
struct digest *digest_create(void);
void digest_destroy(struct digest *digest);
void digest_add(struct digest *digest, const void *data, size_t size);
/* What was added so far; more may be added to a new digest only. */
void digest_finish(struct digest *digest, char hex[DIGEST_HEX_SIZE]);

/* The digest of a piece of memory. 0 or -ENOMEM. */
must_check int digest_of(const void *data, size_t size, char hex[DIGEST_HEX_SIZE]);

/* The 64 hex digits of "sha256:HEX" or "HEX"; NULL for anything else (OCI image-spec, descriptor,
 * "Digests": lower case only). */
const char *digest_hex(const char *text);

static inline void own_digest(struct digest **digest)
{
    digest_destroy(*digest);
}
#define cleanup_digest cleanup(own_digest)

#endif
