/* SPDX-License-Identifier: MIT
 *
 * Duty: let the policy judge, and count. What is spent is counted whether there is a budget or not,
 * so that one which is given later knows what was moved before it.
 */
#include "policing.h"

#include "catalogevents.h"
#include "catalogpolicy.h"
#include "ledger.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

struct policing {
    pthread_rwlock_t lock;
    struct policy policy; /* protected by lock */
    atomic_bool on;       /* it says something */
    /* Bytes that were moved, and that are taken to be moved; under the lock held shared, changed
     * from what the verdict was given for, or judged again. */
    atomic_uint_least64_t spent;
};

/* ---- the life of one ---- */

int policing_renew(struct policing *policing, struct catalog *catalog, const char *id)
{
    struct policy fresh;
    int err = catalog_read_policy(catalog, id, &fresh);
    if (err)
        return err;
    pthread_rwlock_wrlock(&policing->lock);
    struct policy old = policing->policy;
    policing->policy = fresh;
    atomic_store(&policing->on, fresh.count > 0 || fresh.budget >= 0);
    pthread_rwlock_unlock(&policing->lock);
    policy_finish(&old);
    return 0;
}

int policing_create(struct catalog *catalog, const char *id, struct policing **made)
{
    uint64_t moved = 0;
    struct policing *policing = calloc(1, sizeof(*policing));
    if (!policing)
        return -ENOMEM;
    pthread_rwlock_init(&policing->lock, NULL);
    policing->policy = POLICY_NONE;
    int err = catalog_moved_bytes(catalog, id, &moved);
    if (!err)
        err = policing_renew(policing, catalog, id);
    atomic_store(&policing->spent, moved);
    if (err)
        policing_destroy(steal_ptr(&policing));
    *made = policing;
    return err;
}

void policing_destroy(struct policing *policing)
{
    if (!policing)
        return;
    policy_finish(&policing->policy);
    pthread_rwlock_destroy(&policing->lock);
    free(policing);
}

bool policing_is_on(const struct policing *policing)
{
    return policing && atomic_load_explicit(&policing->on, memory_order_relaxed);
}

/* ---- verdicts ---- */

static int errno_of(enum policy_verdict verdict)
{
    return verdict == POLICY_DENIED ? -EROFS : verdict == POLICY_SPENT ? -EDQUOT : 0;
}

static int judge(struct mount *mount, uint32_t parent, const char *name, const struct event *event,
                 uint64_t bytes, bool take)
{
    struct policing *policing = mount->policing;
    cleanup_free char *path = node_path(mount->nodes, parent, name);
    if (!path)
        return -ENOMEM;
    struct policy_case the_case = {
        .path = path, .is_dir = S_ISDIR(event->type), .size = event->size, .bytes = bytes};
    pthread_rwlock_rdlock(&policing->lock);
    uint_least64_t spent = atomic_load(&policing->spent);
    enum policy_verdict verdict;
    do {
        the_case.moved = spent;
        verdict = policy_judge(&policing->policy, &the_case);
    } while (take && errno_of(verdict) == 0 &&
             !atomic_compare_exchange_weak(&policing->spent, &spent, spent + bytes));
    pthread_rwlock_unlock(&policing->lock);
    return errno_of(verdict);
}

int policing_ask(struct mount *mount, uint32_t parent, const char *name, const struct event *event,
                 uint64_t bytes)
{
    return judge(mount, parent, name, event, bytes, false);
}

int policing_take(struct mount *mount, uint32_t parent, const char *name, const struct event *event,
                  uint64_t bytes)
{
    return judge(mount, parent, name, event, bytes, true);
}

void policing_settle(struct mount *mount, uint64_t taken, uint64_t moved)
{
    if (mount->policing && taken != moved)
        atomic_fetch_add(&mount->policing->spent, moved - taken);
}

/* ---- the ledger ---- */

void policing_note_denied(struct mount *mount, uint32_t parent, const char *name,
                          const struct event *event)
{
    struct event denied = *event;
    denied.kind = EVENT_DENIED;
    ledger_note(mount, parent, name, &denied);
}

static bool is_warned_of(struct mount *mount, uint32_t parent, const char *name,
                         const struct event *event)
{
    struct policing *policing = mount->policing;
    cleanup_free char *path = node_path(mount->nodes, parent, name);
    const struct policy_case the_case = {
        .path = path ? path : "", .is_dir = S_ISDIR(event->type), .size = event->size};
    pthread_rwlock_rdlock(&policing->lock);
    enum policy_verdict verdict = policy_judge(&policing->policy, &the_case);
    pthread_rwlock_unlock(&policing->lock);
    return verdict == POLICY_WARNED;
}

/* The bytes are told by the copy-up's own event, so that no sum has them twice. */
void policing_note_done(struct mount *mount, uint32_t parent, const char *name,
                        const struct event *event)
{
    struct event warned = *event;
    if (!policing_is_on(mount->policing) || !is_warned_of(mount, parent, name, event))
        return;
    warned.kind = EVENT_WARNED;
    warned.moved = 0;
    ledger_note(mount, parent, name, &warned);
}
