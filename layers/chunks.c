/* SPDX-License-Identifier: MIT
 *
 * Duty: let two threads work at their own pace, as far apart as there is room. One mutex over a
 * list; the fields below it are its own. Cost: a lock and a wake for each chunk of 256 KiB.
 */
#include "chunks.h"

#include <pthread.h>
#include <stdbool.h>

struct chunks {
    unsigned most;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* room came, a chunk came, or the end did */
    /* Protected by lock: */
    struct chunk *first, **last;
    unsigned count;
    bool ended, stopped;
    int err;
};

struct chunks *chunks_create(unsigned most)
{
    struct chunks *chunks = calloc(1, sizeof(*chunks));
    if (!chunks)
        return NULL;
    chunks->most = most;
    chunks->last = &chunks->first;
    pthread_mutex_init(&chunks->lock, NULL);
    pthread_cond_init(&chunks->changed, NULL);
    return chunks;
}

void chunks_destroy(struct chunks *chunks)
{
    if (!chunks)
        return;
    while (chunks->first) {
        struct chunk *gone = chunks->first;
        chunks->first = gone->next;
        free(gone);
    }
    pthread_cond_destroy(&chunks->changed);
    pthread_mutex_destroy(&chunks->lock);
    free(chunks);
}

int chunks_put(struct chunks *chunks, struct chunk *chunk)
{
    pthread_mutex_lock(&chunks->lock);
    while (chunks->count >= chunks->most && !chunks->stopped)
        pthread_cond_wait(&chunks->changed, &chunks->lock);
    bool stopped = chunks->stopped;
    if (!stopped) {
        chunk->next = NULL;
        *chunks->last = chunk;
        chunks->last = &chunk->next;
        chunks->count++;
        pthread_cond_signal(&chunks->changed);
    }
    pthread_mutex_unlock(&chunks->lock);
    return stopped ? -ECANCELED : 0;
}

void chunks_end(struct chunks *chunks, int err)
{
    pthread_mutex_lock(&chunks->lock);
    chunks->ended = true;
    chunks->err = err;
    pthread_cond_signal(&chunks->changed);
    pthread_mutex_unlock(&chunks->lock);
}

int chunks_take(struct chunks *chunks, struct chunk **chunk)
{
    pthread_mutex_lock(&chunks->lock);
    while (!chunks->first && !chunks->ended)
        pthread_cond_wait(&chunks->changed, &chunks->lock);
    struct chunk *taken = chunks->first;
    int answer = taken ? 1 : chunks->err;
    if (taken) {
        chunks->first = taken->next;
        if (!chunks->first)
            chunks->last = &chunks->first;
        chunks->count--;
        pthread_cond_signal(&chunks->changed);
    }
    pthread_mutex_unlock(&chunks->lock);
    *chunk = taken;
    return answer;
}

void chunks_stop(struct chunks *chunks)
{
    pthread_mutex_lock(&chunks->lock);
    chunks->stopped = true;
    pthread_cond_signal(&chunks->changed);
    pthread_mutex_unlock(&chunks->lock);
}
