/* SPDX-License-Identifier: MIT
 *
 * What kind of asking the requests of late come from: one client that waits for each answer before
 * it asks again, or the page cache reading ahead, or any other. Of one thread at a time.
 */
#ifndef PLYFS_RHYTHM_H
#define PLYFS_RHYTHM_H

#include <stdbool.h>
#include <stdint.h>

struct fuse_in_header;

enum { RHYTHM_CLOSE_NS = 1000000 }; /* a request that comes within this is close */

/* What a request says of who asks. */
struct beat {
    uint32_t client; /* the thread id; 0: nobody's */
    bool awaited;    /* FORGET and RELEASE are sent and not waited for, and soon done */
    bool large;      /* a read of so much that the page cache reads ahead by it */
};

/* Of `request`, which is all of it. */
struct beat rhythm_beat(const struct fuse_in_header *request);
bool rhythm_is_large(uint64_t bytes);

/* Zero-initialized nothing is known yet. */
struct rhythm {
    unsigned alone;   /* requests of one client, of late */
    unsigned streams; /* large reads, one after the other */
    uint32_t client;  /* the thread id of who asked last */
};

/* A request has come; `close`: soon after the answer to the one before. */
void rhythm_note(struct rhythm *rhythm, const struct beat *beat, bool close);

/* One client has asked for some time, and waits for each answer. */
bool rhythm_is_alone(const struct rhythm *rhythm);

/* Large reads of one client follow each other: they are the page cache's, for a client that
 * meanwhile copies what came before. */
bool rhythm_is_stream(const struct rhythm *rhythm);

#endif
