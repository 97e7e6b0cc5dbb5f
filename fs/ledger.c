/* SPDX-License-Identifier: MIT
 *
 * Duty: from the requests to the catalog. The catalog is open only while there is something to
 * write, so that a mount which does nothing holds nothing of its store. What cannot be written (the
 * disk is full) is counted as lost, which the catalog is told when it takes rows again.
 */
#include "ledger.h"

#include "asker.h"
#include "catalogevents.h"
#include "eventqueue.h"
#include "log.h"
#include "meter.h"
#include "moment.h"
#include "probes.h"
#include "quietthread.h"
#include "resolve.h"
#include "tracequeue.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/resource.h>

#define PATIENCE (MOMENT_SECOND / 4)
#define IDLE MOMENT_SECOND

struct ledger {
    struct eventqueue *queue;
    pthread_t thread;
    char *store, *id;
    struct catalog *catalog; /* the thread's, as all below */
    int64_t number;
    uint64_t lost;
    bool failing; /* and it was said */
};

/* ---- noting ---- */

static bool is_traced(const struct mount *mount)
{
    return tracequeue_wants(mount->trace, TRACE_WANTS_EVENTS);
}

static void count(struct mount *mount, const struct event *event)
{
#ifdef PLYFS_NO_LEDGER
    (void)mount, (void)event;
#else
    if (event->kind == EVENT_COPYUP)
        meter_add_copyup(mount->meter, event->moved);
#endif
}

/* Whether there is anybody to tell. */
static bool is_wanted(const struct mount *mount)
{
#ifdef PLYFS_NO_LEDGER
    (void)mount;
    return false;
#else
    return mount->ledger || is_traced(mount) || probe_is_watched(copyup) || probe_is_watched(mark);
#endif
}

void ledger_note(struct mount *mount, uint32_t parent, const char *name, struct event *event)
{
    count(mount, event);
    if (!is_wanted(mount))
        return;
    cleanup_free char *path = node_path(mount->nodes, parent, name);
    event->time = moment_now();
    event->path = path ? path : "";
    asker_name(event);
    if (event->kind == EVENT_COPYUP)
        probe_copyup(event->path, event->cause, event->command, event->pid, event->moved,
                     event->duration);
    else
        probe_mark(event_kind_word(event->kind), event->path, event->cause, event->command,
                   event->pid);
    if (mount->ledger)
        eventqueue_put(mount->ledger->queue, event);
    if (is_traced(mount))
        tracequeue_put(mount->trace, &(struct trace_note){.kind = TRACE_EVENT, .event = *event});
}

void ledger_note_mark(struct mount *mount, uint32_t parent, const char *name, enum event_kind kind,
                      mode_t type, const char *cause)
{
    struct event event = {.kind = kind, .type = type, .cause = cause};
    ledger_note(mount, parent, name, &event);
}

void ledger_note_hidden(struct mount *mount, const struct node_view *dir, const char *name,
                        enum event_kind kind, mode_t type, const char *cause)
{
    struct stack *stack = mount_stack(mount, dir);
    if (is_wanted(mount) && !stack->plain && resolve_lower_shows(stack, dir->sources, name) > 0)
        ledger_note_mark(mount, dir->index, name, kind, type, cause);
}

/* ---- writing ---- */

static void close_catalog(struct ledger *ledger)
{
    catalog_close(ledger->catalog);
    ledger->catalog = NULL;
}

static int open_catalog(struct ledger *ledger)
{
    if (ledger->catalog)
        return 0;
    int err = catalog_open(ledger->store, false, &ledger->catalog);
    if (!err)
        err = catalog_sync_less(ledger->catalog);
    return err ? err : catalog_open_ledger(ledger->catalog, ledger->id, &ledger->number);
}

static void write_batch(struct ledger *ledger, const struct eventbatch *batch)
{
    ledger->lost += batch->lost;
    int err = open_catalog(ledger);
    if (!err)
        err = catalog_add_events(ledger->catalog, ledger->number, batch->events, batch->count,
                                 ledger->lost);
    if (err && !ledger->failing)
        log_error("what the mount does cannot be kept in the catalog of %s: %s", ledger->store,
                  strerror(-err));
    ledger->failing = err != 0;
    ledger->lost = err ? ledger->lost + batch->count : 0;
    if (err)
        close_catalog(ledger);
}

static void *keep(void *argument)
{
    struct ledger *ledger = argument;
    struct eventbatch batch;
    pthread_setname_np(pthread_self(), "plyfs-ledger");
    /* What it writes can wait, but not for more than a second, however busy the machine: it
     * interrupts nobody (SCHED_BATCH in sched(7)) and takes a smaller share, but not next to none.
     * A thread has a niceness of its own (setpriority(2), "C library/kernel differences"). */
    const struct sched_param none = {0};
    (void)sched_setscheduler(0, SCHED_BATCH, &none);
    (void)setpriority(PRIO_PROCESS, 0, 5);
    while (eventqueue_take(ledger->queue, ledger->catalog ? IDLE : -1, &batch)) {
        if (batch.count > 0 || batch.lost > 0)
            write_batch(ledger, &batch);
        else
            close_catalog(ledger);
    }
    close_catalog(ledger);
    return NULL;
}

/* ---- the life of one ---- */

static void ledger_free(struct ledger *ledger)
{
    eventqueue_destroy(ledger->queue);
    free(ledger->store);
    free(ledger->id);
    free(ledger);
}

struct ledger *ledger_start(const char *store, const char *id)
{
    struct ledger *ledger = calloc(1, sizeof(*ledger));
    int err = -ENOMEM;
    if (ledger) {
        ledger->queue = eventqueue_create();
        ledger->store = strdup(store);
        ledger->id = strdup(id);
    }
    if (ledger && ledger->queue && ledger->store && ledger->id) {
        eventqueue_set_patience(ledger->queue, PATIENCE);
        err = quietthread_start(&ledger->thread, keep, ledger);
    }
    if (!err)
        return ledger;
    log_error("cannot keep account of what the mount does: %s", strerror(-err));
    if (ledger)
        ledger_free(ledger);
    return NULL;
}

void ledger_flush(struct ledger *ledger)
{
    eventqueue_flush(ledger->queue);
}

void ledger_stop(struct ledger *ledger)
{
    if (!ledger)
        return;
    eventqueue_close(ledger->queue);
    pthread_join(ledger->thread, NULL);
    ledger_free(ledger);
}
