/* SPDX-License-Identifier: MIT
 *
 * Decompression of gzip with all its checks: libarchive passes over the sum and the length that end
 * each member, so that a flipped bit may go unnoticed there. Members may follow one another;
 * what follows the last and is none is passed over (RFC 1952).
 */
#ifndef PLYFS_GUNZIP_H
#define PLYFS_GUNZIP_H

#include "own.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { GUNZIP_MAGIC = 2 }; /* bytes that tell gzip from anything else */

struct gunzip;

bool gunzip_is_gzip(const void *data, size_t size);

/* NULL when out of memory. */
struct gunzip *gunzip_create(void);
void gunzip_destroy(struct gunzip *gunzip);

/* Takes from *in, which it moves on, and fills `out` as far as it comes: how many bytes it wrote,
 * or -EBADMSG. 0 means that it wants more input: all of *in was taken. */
must_check ssize_t gunzip_run(struct gunzip *gunzip, const unsigned char **in, size_t *in_size,
                              void *out, size_t out_size);

/* When the input is over: -EBADMSG if it ended too early. */
must_check int gunzip_end(struct gunzip *gunzip);

/* What is wrong, in words, after -EBADMSG. */
const char *gunzip_words(const struct gunzip *gunzip);

#endif
