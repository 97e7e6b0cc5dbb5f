/* SPDX-License-Identifier: MIT
 *
 * Duty: one thread between the queue and the sockets. The lock protects who has come and is not
 * taken in yet, and whether the thread runs; the readers themselves are the thread's.
 *
 *   no thread --(tracer_add)--> follows --(the last reader has gone)--> no thread
 *                               follows --(tracer_stop)--> says so, ends
 */
#include "tracer.h"

#include "log.h"
#include "moment.h"
#include "quietthread.h"
#include "traceline.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

/* How long lines may gather before they are sent, what a reader may have coming, and how long one
 * is waited for at the end. */
#define GATHER (MOMENT_SECOND / 500)
#define FAREWELL (MOMENT_SECOND / 2)
enum { COMING = 1 << 20 };

struct reader {
    int fd;
    pid_t pid; /* what he asks for himself is not told: it would never end */
    struct tracefilter *filter;
    char *bytes; /* to be sent: from `sent` to `used` */
    size_t sent, used, room;
    uint64_t missed;
    bool gone;
    struct reader *next;
};

struct tracer {
    struct tracequeue *queue;
    pthread_mutex_t lock;
    struct reader *arrivals; /* protected by lock, as all down to closing */
    unsigned count;
    bool running;
    bool closing;
    pthread_t thread;
    bool has_thread;        /* the adder's: it is to be joined */
    struct reader *readers; /* the thread's */
};

static void reader_free(struct reader *reader)
{
    own_close(&reader->fd);
    tracefilter_destroy(reader->filter);
    free(reader->bytes);
    free(reader);
}

/* ---- lines for one ---- */

static bool make_room(struct reader *reader, size_t length)
{
    if (reader->sent > 0)
        memmove(reader->bytes, reader->bytes + reader->sent, reader->used - reader->sent);
    reader->used -= reader->sent;
    reader->sent = 0;
    if (reader->used + length <= reader->room)
        return true;
    size_t room = 2 * (reader->used + length);
    char *bytes = realloc(reader->bytes, room);
    if (!bytes)
        return false;
    reader->bytes = bytes;
    reader->room = room;
    return true;
}

static bool append(struct reader *reader, const char *text, size_t length, bool always)
{
    if (reader->used - reader->sent + length > COMING && !always)
        return false;
    if (reader->used + length + 1 > reader->room && !make_room(reader, length + 1))
        return false;
    memcpy(reader->bytes + reader->used, text, length);
    reader->bytes[reader->used + length] = '\n';
    reader->used += length + 1;
    return true;
}

/* A line that is told whatever is coming already. Takes the value over. */
static void append_always(struct reader *reader, json_t *line)
{
    cleanup_free char *text = line ? json_dumps(line, JSON_COMPACT) : NULL;
    if (text)
        (void)!append(reader, text, strlen(text), true);
    json_decref(line);
}

static void tell_missed(struct reader *reader)
{
    if (reader->missed == 0)
        return;
    append_always(reader, traceline_missed(reader->missed));
    reader->missed = 0;
}

/* Sends what the socket takes. Once a reader has missed lines he misses all that follow until he
 * has read what was coming, so that he is told of one gap and not of many. */
static void send_some(struct reader *reader)
{
    while (!reader->gone && reader->sent < reader->used) {
        ssize_t sent = send(reader->fd, reader->bytes + reader->sent, reader->used - reader->sent,
                            MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EAGAIN)
            return;
        if (sent < 0 && errno != EINTR)
            reader->gone = true;
        reader->sent += sent > 0 ? (size_t)sent : 0;
        if (reader->sent == reader->used) {
            reader->sent = reader->used = 0;
            tell_missed(reader);
        }
    }
}

/* ---- all of them ---- */

static bool wants(const struct reader *reader, const struct trace_note *note)
{
    if (note->kind == TRACE_REQUEST && note->event.pid != 0 && note->event.pid == reader->pid)
        return false;
    return tracefilter_passes(reader->filter, note);
}

static void deliver_note(struct tracer *tracer, const struct trace_note *note)
{
    cleanup_free char *text = NULL;
    size_t length = 0;
    for (struct reader *reader = tracer->readers; reader; reader = reader->next) {
        if (!wants(reader, note))
            continue;
        if (!text) {
            json_t *line = traceline_json(note);
            text = line ? json_dumps(line, JSON_COMPACT) : NULL;
            json_decref(line);
            length = text ? strlen(text) : 0;
        }
        if (!text || reader->missed > 0 || !append(reader, text, length, false))
            reader->missed++;
    }
}

static void deliver(struct tracer *tracer)
{
    struct trace_batch batch;
    tracequeue_take(tracer->queue, &batch);
    for (size_t i = 0; i < batch.count; i++)
        deliver_note(tracer, &batch.notes[i]);
    for (struct reader *reader = tracer->readers; reader; reader = reader->next) {
        reader->missed += batch.lost;
        if (reader->used == 0)
            tell_missed(reader);
        send_some(reader);
    }
}

/* Waits until there is something to tell, somebody has room again or goes, or a time is over (in
 * milliseconds; -1: for ever). True: there is something, or the lock's owner wants to be heard. */
static bool wait_for_something(struct tracer *tracer, int milliseconds)
{
    struct pollfd fds[TRACER_READERS + 1];
    unsigned count = 0;
    fds[count++] = (struct pollfd){.fd = tracer->queue->wake, .events = POLLIN};
    for (struct reader *reader = tracer->readers; reader; reader = reader->next)
        fds[count++] =
            (struct pollfd){.fd = reader->fd, .events = reader->sent < reader->used ? POLLOUT : 0};
    if (poll(fds, count, milliseconds) <= 0)
        return false;
    count = 1;
    for (struct reader *reader = tracer->readers; reader; reader = reader->next, count++) {
        reader->gone |= (fds[count].revents & (POLLHUP | POLLERR | POLLNVAL)) != 0;
        if (fds[count].revents & POLLOUT)
            send_some(reader);
    }
    return fds[0].revents != 0;
}

static uint64_t wanted_by(const struct reader *reader)
{
    uint64_t bits = 0;
    for (; reader; reader = reader->next)
        bits |= tracefilter_wants(reader->filter);
    return bits;
}

/* Lets those go who went, and takes in those who came. False: nobody is left, and the thread is to
 * end. */
static bool settle(struct tracer *tracer, bool *closing)
{
    pthread_mutex_lock(&tracer->lock);
    for (struct reader **at = &tracer->readers; *at;) {
        struct reader *reader = *at;
        if (!reader->gone) {
            at = &reader->next;
            continue;
        }
        *at = reader->next;
        reader_free(reader);
        tracer->count--;
    }
    while (tracer->arrivals) {
        struct reader *reader = tracer->arrivals;
        tracer->arrivals = reader->next;
        reader->next = tracer->readers;
        tracer->readers = reader;
    }
    atomic_store(&tracer->queue->wanted, wanted_by(tracer->readers));
    *closing = tracer->closing;
    tracer->running = tracer->readers != NULL;
    bool more = tracer->running;
    pthread_mutex_unlock(&tracer->lock);
    return more;
}

static void say_farewell(struct tracer *tracer)
{
    int64_t until = moment_steady() + FAREWELL, left;
    bool coming = true;
    for (struct reader *reader = tracer->readers; reader; reader = reader->next) {
        tell_missed(reader);
        append_always(reader, traceline_unmounted());
        send_some(reader);
    }
    while (coming && (left = until - moment_steady()) > 0) {
        coming = false;
        for (struct reader *reader = tracer->readers; reader; reader = reader->next)
            coming |= !reader->gone && reader->sent < reader->used;
        /* No wait in poll(2), which would return at once for who has gone. */
        struct timespec pause = {.tv_nsec = coming ? 1000000 : 0};
        (void)wait_for_something(tracer, 0);
        nanosleep(&pause, NULL);
    }
    while (tracer->readers) {
        struct reader *reader = tracer->readers;
        tracer->readers = reader->next;
        reader_free(reader);
    }
}

static void *follow(void *argument)
{
    struct tracer *tracer = argument;
    const struct timespec gather = {.tv_nsec = GATHER};
    bool closing = false, something = false;
    pthread_setname_np(pthread_self(), "plyfs-trace");
    /* Who has come is taken in before what was noted is told: some of it he has waited for. */
    while (settle(tracer, &closing)) {
        if (something || closing)
            deliver(tracer);
        if (closing) {
            say_farewell(tracer);
            return NULL;
        }
        something = wait_for_something(tracer, -1);
        if (something)
            nanosleep(&gather, NULL);
    }
    /* What was noted for who has gone. */
    struct trace_batch rest;
    tracequeue_take(tracer->queue, &rest);
    return NULL;
}

/* ---- the life of one ---- */

struct tracer *tracer_create(struct tracequeue *queue)
{
    struct tracer *tracer = calloc(1, sizeof(*tracer));
    if (tracer) {
        pthread_mutex_init(&tracer->lock, NULL);
        tracer->queue = queue;
    }
    return tracer;
}

static struct reader *reader_of(int client, struct tracefilter *filter, const json_t *greeting)
{
    struct ucred who = {0};
    socklen_t size = sizeof(who);
    struct reader *reader = calloc(1, sizeof(*reader));
    if (!reader) {
        tracefilter_destroy(filter);
        return NULL;
    }
    (void)!getsockopt(client, SOL_SOCKET, SO_PEERCRED, &who, &size);
    *reader = (struct reader){.fd = client, .pid = who.pid, .filter = filter};
    append_always(reader, json_copy((json_t *)(uintptr_t)greeting));
    return reader;
}

/* Of a thread that has said under the lock that it ends. */
static int start_again(struct tracer *tracer)
{
    if (tracer->has_thread)
        pthread_join(tracer->thread, NULL);
    int err = quietthread_start(&tracer->thread, follow, tracer);
    tracer->has_thread = tracer->running = err == 0;
    return err;
}

int tracer_add(struct tracer *tracer, int client, struct tracefilter *filter,
               const json_t *greeting)
{
    struct reader *reader = reader_of(client, filter, greeting);
    if (!reader)
        return -ENOMEM;
    pthread_mutex_lock(&tracer->lock);
    int err = tracer->count >= TRACER_READERS ? -EUSERS : 0;
    if (!err) {
        reader->next = tracer->arrivals;
        tracer->arrivals = reader;
        if (!tracer->running)
            err = start_again(tracer);
        if (err)
            tracer->arrivals = reader->next;
    }
    if (!err) {
        tracer->count++;
        atomic_fetch_or(&tracer->queue->wanted, tracefilter_wants(filter));
        tracequeue_wake(tracer->queue);
    }
    pthread_mutex_unlock(&tracer->lock);
    if (err) {
        reader->fd = -1;
        reader_free(reader);
    }
    return err;
}

unsigned tracer_readers(struct tracer *tracer)
{
    pthread_mutex_lock(&tracer->lock);
    unsigned count = tracer->count;
    pthread_mutex_unlock(&tracer->lock);
    return count;
}

void tracer_stop(struct tracer *tracer)
{
    if (!tracer)
        return;
    pthread_mutex_lock(&tracer->lock);
    tracer->closing = true;
    pthread_mutex_unlock(&tracer->lock);
    tracequeue_wake(tracer->queue);
    if (tracer->has_thread)
        pthread_join(tracer->thread, NULL);
    pthread_mutex_destroy(&tracer->lock);
    free(tracer);
}
