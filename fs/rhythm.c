/* SPDX-License-Identifier: MIT
 *
 * Duty: tell a lone client and a stream of large reads from the headers of requests. What nobody
 * waits for is no sign of either: the kernel names no client of it.
 */
#include "rhythm.h"

#include <linux/fuse.h>

enum { ALONE = 8, STREAMS = 4, LARGE = 64 * 1024 };

bool rhythm_is_waited_for(const struct fuse_in_header *request)
{
    switch (request->opcode) {
    case FUSE_FORGET:
    case FUSE_BATCH_FORGET:
    case FUSE_RELEASE:
    case FUSE_RELEASEDIR:
    case FUSE_INTERRUPT:
        return false;
    default:
        return true;
    }
}

static bool is_large_read(const struct fuse_in_header *request)
{
    const struct fuse_read_in *read = (const struct fuse_read_in *)(request + 1);
    return request->opcode == FUSE_READ && read->size >= LARGE;
}

static void count_streams(struct rhythm *rhythm, const struct fuse_in_header *request)
{
    if (!is_large_read(request))
        rhythm->streams = 0;
    else if (rhythm->streams < STREAMS)
        rhythm->streams++;
}

void rhythm_note(struct rhythm *rhythm, const struct fuse_in_header *request, bool close)
{
    if (!close)
        rhythm->alone /= 2;
    if (!rhythm_is_waited_for(request))
        return;
    count_streams(rhythm, request);
    if (request->pid != rhythm->client)
        rhythm->alone /= 2;
    rhythm->client = request->pid;
    if (rhythm_is_stream(rhythm))
        rhythm->alone = 0;
    else if (close && rhythm->alone < ALONE)
        rhythm->alone++;
}

bool rhythm_is_alone(const struct rhythm *rhythm)
{
    return rhythm->alone == ALONE;
}

bool rhythm_is_stream(const struct rhythm *rhythm)
{
    return rhythm->streams == STREAMS;
}
