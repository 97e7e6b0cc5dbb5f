/* SPDX-License-Identifier: MIT
 *
 * Duty: tell a lone client and a stream of large reads from the headers of requests. What nobody
 * waits for is no sign of either, nor what the page cache writes back: the kernel names no client
 * of it.
 */
#include "rhythm.h"

#include <linux/fuse.h>

enum { ALONE = 8, STREAMS = 4, LARGE = 64 * 1024 };

static bool is_waited_for(uint32_t opcode)
{
    switch (opcode) {
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

bool rhythm_is_large(uint64_t bytes)
{
    return bytes >= LARGE;
}

struct beat rhythm_beat(const struct fuse_in_header *request)
{
    const struct fuse_read_in *read = (const struct fuse_read_in *)(request + 1);
    return (struct beat){
        .client = request->pid,
        .awaited = is_waited_for(request->opcode),
        .large = request->opcode == FUSE_READ && rhythm_is_large(read->size),
    };
}

static void count_streams(struct rhythm *rhythm, const struct beat *beat)
{
    if (!beat->large || beat->client != rhythm->client)
        rhythm->streams = beat->large;
    else if (rhythm->streams < STREAMS)
        rhythm->streams++;
}

void rhythm_note(struct rhythm *rhythm, const struct beat *beat, bool close)
{
    if (!close)
        rhythm->alone /= 2;
    if (!beat->awaited || beat->client == 0)
        return;
    count_streams(rhythm, beat);
    if (beat->client != rhythm->client)
        rhythm->alone /= 2;
    rhythm->client = beat->client;
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
