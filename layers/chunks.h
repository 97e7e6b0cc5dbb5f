/* SPDX-License-Identifier: MIT
 *
 * A bounded queue of chunks of bytes between two threads: one fills chunks and puts them, the other
 * takes them. Whoever holds a chunk owns it.
 */
#ifndef PLYFS_CHUNKS_H
#define PLYFS_CHUNKS_H

#include "own.h"

#include <stddef.h>
#include <stdint.h>

enum { CHUNK_SIZE = 256 * 1024 };

struct chunk {
    struct chunk *next; /* for whoever owns it */
    uint64_t at;        /* where its first byte lies in the stream */
    size_t size;
    unsigned char data[CHUNK_SIZE];
};

struct chunks;

/* A queue that holds at most `most` chunks. NULL when out of memory. */
struct chunks *chunks_create(unsigned most);
/* Both threads have let go of it; chunks that were not taken are freed. */
void chunks_destroy(struct chunks *chunks);

/* Waits for room, and takes ownership of the chunk on success. -ECANCELED after chunks_stop(). */
must_check int chunks_put(struct chunks *chunks, struct chunk *chunk);
/* The last word of the one who puts: 0 at the end of the stream, or the -errno that ended it. */
void chunks_end(struct chunks *chunks, int err);

/* Waits for a chunk: 1 and the caller owns it, 0 at the end, or the -errno of chunks_end(). */
must_check int chunks_take(struct chunks *chunks, struct chunk **chunk);
/* The last word of the one who takes: nothing more is wanted. */
void chunks_stop(struct chunks *chunks);

#endif
