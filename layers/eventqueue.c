/* SPDX-License-Identifier: MIT
 *
 * Duty: two heaps of events. Writers put on one; the reader exchanges it for the other, which it
 * has read, and gives events their paths. Wakes are few: the first event of a batch wakes the
 * reader, and one that fills the heap to half.
 */
#include "eventqueue.h"

#include "moment.h"
#include "steadywait.h"

#include <pthread.h>
#include <string.h>

/* Events, and beside them the texts of their paths: an event's path is its offset there until it is
 * taken. */
struct heap {
    struct event *events;
    size_t *paths;
    size_t count, room;
    char *text;
    size_t text_used, text_room;
};

struct eventqueue {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* for the reader */
    pthread_cond_t settled; /* for those who flush: it has come back */
    struct heap in, out;    /* `in` and all below protected by lock; `out` is the reader's */
    uint64_t lost;
    uint64_t put, taken, done; /* how many there were; `done` is `taken` as of the last return */
    int64_t patience;
    bool hurry; /* somebody waits for what is in */
    bool closed;
};

static void heap_finish(struct heap *heap)
{
    free(heap->events);
    free(heap->paths);
    free(heap->text);
    *heap = (struct heap){0};
}

/* What was read goes; room that only a burst needed goes back. */
static void heap_clear(struct heap *heap)
{
    enum { KEPT = 1 << 14 };
    heap->count = heap->text_used = 0;
    if (heap->room > KEPT)
        heap_finish(heap);
}

struct eventqueue *eventqueue_create(void)
{
    struct eventqueue *queue = calloc(1, sizeof(*queue));
    if (!queue)
        return NULL;
    pthread_mutex_init(&queue->lock, NULL);
    steadywait_init(&queue->changed);
    pthread_cond_init(&queue->settled, NULL);
    return queue;
}

void eventqueue_destroy(struct eventqueue *queue)
{
    if (!queue)
        return;
    heap_finish(&queue->in);
    heap_finish(&queue->out);
    pthread_cond_destroy(&queue->changed);
    pthread_cond_destroy(&queue->settled);
    pthread_mutex_destroy(&queue->lock);
    free(queue);
}

/* ---- putting ---- */

static bool heap_make_room(struct heap *heap, size_t text)
{
    if (heap->count == heap->room) {
        size_t room = heap->room ? 2 * heap->room : 64;
        struct event *events =
            room > EVENTQUEUE_MOST ? NULL : reallocarray(heap->events, room, sizeof(*events));
        if (!events)
            return false;
        heap->events = events;
        size_t *paths = reallocarray(heap->paths, room, sizeof(*paths));
        if (!paths)
            return false;
        heap->paths = paths;
        heap->room = room;
    }
    if (heap->text_used + text > heap->text_room) {
        size_t room = 2 * (heap->text_used + text);
        char *grown = realloc(heap->text, room);
        if (!grown)
            return false;
        heap->text = grown;
        heap->text_room = room;
    }
    return true;
}

static bool heap_put(struct heap *heap, const struct event *event)
{
    size_t size = strlen(event->path) + 1;
    if (!heap_make_room(heap, size))
        return false;
    memcpy(heap->text + heap->text_used, event->path, size);
    heap->paths[heap->count] = heap->text_used;
    heap->events[heap->count++] = *event;
    heap->text_used += size;
    return true;
}

void eventqueue_put(struct eventqueue *queue, const struct event *event)
{
    pthread_mutex_lock(&queue->lock);
    if (queue->closed || !heap_put(&queue->in, event))
        queue->lost++;
    else
        queue->put++;
    size_t count = queue->in.count;
    pthread_mutex_unlock(&queue->lock);
    if (count == 1 || count == EVENTQUEUE_MOST / 2)
        pthread_cond_signal(&queue->changed);
}

/* ---- taking ---- */

/* Waits for a change, until a moment of the steady clock; -1: for ever. Whether there is time left.
 */
static bool wait_until(struct eventqueue *queue, int64_t until)
{
    if (until < 0)
        return pthread_cond_wait(&queue->changed, &queue->lock), true;
    const struct timespec at = {.tv_sec = until / MOMENT_SECOND, .tv_nsec = until % MOMENT_SECOND};
    return pthread_cond_timedwait(&queue->changed, &queue->lock, &at) == 0;
}

static bool is_empty(const struct eventqueue *queue)
{
    return queue->in.count == 0 && queue->lost == 0;
}

static void wait_for_some(struct eventqueue *queue, int64_t idle)
{
    int64_t until = idle < 0 ? -1 : moment_steady() + idle;
    while (is_empty(queue) && !queue->closed && wait_until(queue, until))
        ;
    int64_t since = moment_steady();
    while (!is_empty(queue) && !queue->closed && !queue->hurry &&
           queue->in.count < EVENTQUEUE_MOST / 2 && wait_until(queue, since + queue->patience))
        ;
}

static void give_paths(struct heap *heap)
{
    for (size_t i = 0; i < heap->count; i++)
        heap->events[i].path = heap->text + heap->paths[i];
}

bool eventqueue_take(struct eventqueue *queue, int64_t idle, struct eventbatch *batch)
{
    heap_clear(&queue->out);
    pthread_mutex_lock(&queue->lock);
    queue->done = queue->taken;
    pthread_cond_broadcast(&queue->settled);
    wait_for_some(queue, idle);
    queue->hurry = false;
    queue->taken += queue->in.count;
    bool more = !queue->closed || !is_empty(queue);
    struct heap taken = queue->in;
    queue->in = queue->out;
    queue->out = taken;
    *batch = (struct eventbatch){.events = taken.events, .count = taken.count, .lost = queue->lost};
    queue->lost = 0;
    pthread_mutex_unlock(&queue->lock);
    give_paths(&queue->out);
    return more;
}

void eventqueue_set_patience(struct eventqueue *queue, int64_t patience)
{
    pthread_mutex_lock(&queue->lock);
    queue->patience = patience;
    pthread_mutex_unlock(&queue->lock);
    pthread_cond_signal(&queue->changed);
}

void eventqueue_flush(struct eventqueue *queue)
{
    pthread_mutex_lock(&queue->lock);
    uint64_t until = queue->put;
    queue->hurry = queue->done < until;
    pthread_cond_signal(&queue->changed);
    while (queue->done < until && !queue->closed)
        pthread_cond_wait(&queue->settled, &queue->lock);
    pthread_mutex_unlock(&queue->lock);
}

void eventqueue_close(struct eventqueue *queue)
{
    pthread_mutex_lock(&queue->lock);
    queue->closed = true;
    pthread_mutex_unlock(&queue->lock);
    pthread_cond_signal(&queue->changed);
    pthread_cond_broadcast(&queue->settled);
}
