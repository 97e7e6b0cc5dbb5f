/* SPDX-License-Identifier: MIT
 *
 * Duty: two heaps of notes. Writers put on one, the reader exchanges it for the other, which it has
 * read. The first note of a batch wakes the reader; what follows costs a mutex and a copy.
 */
#include "tracequeue.h"

#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>

/* Texts are offsets in `text` until they are taken; the first byte there is an empty text. */
struct notes {
    struct trace_note *at;
    size_t *paths, *tos;
    size_t count, room;
    char *text;
    size_t text_used, text_room;
};

struct tracequeue_parts {
    pthread_mutex_t lock;
    struct notes in, out; /* `in` and `lost` protected by lock; `out` is the reader's */
    uint64_t lost;
};

static void notes_finish(struct notes *notes)
{
    free(notes->at);
    free(notes->paths);
    free(notes->tos);
    free(notes->text);
    *notes = (struct notes){0};
}

struct tracequeue *tracequeue_create(void)
{
    struct tracequeue *queue = calloc(1, sizeof(*queue));
    struct tracequeue_parts *parts = calloc(1, sizeof(*parts));
    int wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (!queue || !parts || wake < 0) {
        own_close(&wake);
        free(parts);
        free(queue);
        return NULL;
    }
    pthread_mutex_init(&parts->lock, NULL);
    queue->parts = parts;
    queue->wake = wake;
    return queue;
}

void tracequeue_destroy(struct tracequeue *queue)
{
    if (!queue)
        return;
    notes_finish(&queue->parts->in);
    notes_finish(&queue->parts->out);
    pthread_mutex_destroy(&queue->parts->lock);
    close(queue->wake);
    free(queue->parts);
    free(queue);
}

/* ---- putting ---- */

static bool grow(void *slot, size_t room, size_t size)
{
    void *grown = reallocarray(*(void **)slot, room, size);
    if (grown)
        *(void **)slot = grown;
    return grown != NULL;
}

static bool make_room(struct notes *notes, size_t text)
{
    if (notes->count == notes->room) {
        size_t room = notes->room ? 2 * notes->room : 64;
        if (room > TRACEQUEUE_MOST || !grow(&notes->at, room, sizeof(*notes->at)) ||
            !grow(&notes->paths, room, sizeof(*notes->paths)) ||
            !grow(&notes->tos, room, sizeof(*notes->tos)))
            return false;
        notes->room = room;
    }
    if (notes->text_used + text > notes->text_room) {
        size_t room = 2 * (notes->text_used + text);
        if (room > TRACEQUEUE_TEXT || !grow(&notes->text, room, 1))
            return false;
        notes->text_room = room;
    }
    return true;
}

static size_t put_text(struct notes *notes, const char *text)
{
    size_t at = notes->text_used, size = strlen(text) + 1;
    memcpy(notes->text + at, text, size);
    notes->text_used += size;
    return at;
}

static bool put(struct notes *notes, const struct trace_note *note)
{
    const char *to = note->to ? note->to : "";
    if (!make_room(notes, strlen(note->event.path) + strlen(to) + 2))
        return false;
    notes->at[notes->count] = *note;
    notes->paths[notes->count] = put_text(notes, note->event.path);
    notes->tos[notes->count++] = put_text(notes, to);
    return true;
}

void tracequeue_put(struct tracequeue *queue, const struct trace_note *note)
{
    struct tracequeue_parts *parts = queue->parts;
    pthread_mutex_lock(&parts->lock);
    bool first = parts->in.count == 0 && parts->lost == 0;
    if (!put(&parts->in, note))
        parts->lost++;
    pthread_mutex_unlock(&parts->lock);
    if (first)
        tracequeue_wake(queue);
}

void tracequeue_wake(struct tracequeue *queue)
{
    const uint64_t one = 1;
    (void)!write(queue->wake, &one, sizeof(one));
}

/* ---- taking ---- */

/* What was read goes; room that only a burst needed goes back. */
static void clear(struct notes *notes)
{
    enum { KEPT = 1 << 10 };
    notes->count = notes->text_used = 0;
    if (notes->room > KEPT)
        notes_finish(notes);
}

void tracequeue_take(struct tracequeue *queue, struct trace_batch *batch)
{
    uint64_t wakes;
    struct tracequeue_parts *parts = queue->parts;
    clear(&parts->out);
    (void)!read(queue->wake, &wakes, sizeof(wakes));
    pthread_mutex_lock(&parts->lock);
    struct notes taken = parts->in;
    parts->in = parts->out;
    parts->out = taken;
    *batch = (struct trace_batch){.notes = taken.at, .count = taken.count, .lost = parts->lost};
    parts->lost = 0;
    pthread_mutex_unlock(&parts->lock);
    for (size_t i = 0; i < taken.count; i++) {
        taken.at[i].event.path = taken.text + taken.paths[i];
        taken.at[i].to = taken.at[i].to ? taken.text + taken.tos[i] : NULL;
    }
}
