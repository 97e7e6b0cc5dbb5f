/* SPDX-License-Identifier: MIT
 *
 * Duty: the ledger as of now.
 */
#include "account.h"

#include "control.h"
#include "log.h"

#include <string.h>

/* A mount that nobody serves has written everything. */
static void ask_to_flush(struct store *store, const struct mount_row *row)
{
    enum { PATIENCE = 10 };
    json_t *answer = NULL;
    int err = control_ask(store, row, json_pack("{s:s}", "do", "flush"), PATIENCE, &answer);
    if (err && err != -ENOTCONN)
        log_warning("the daemon of %s does not answer (%s): its last events may be missing",
                    row->name, control_why(answer, err));
    json_decref(answer);
}

/* What the caller's function said is not told: it has done so. */
struct watched {
    int (*each)(void *context, const struct event *event);
    void *context;
    int said;
};

static int each_watched(void *context, const struct event *event)
{
    struct watched *watched = context;
    watched->said = watched->each(watched->context, event);
    return watched->said;
}

int account_each(struct store *store, const struct mount_row *row, const struct event_wish *wish,
                 int (*each)(void *context, const struct event *event), void *context)
{
    uint64_t lost = 0;
    struct watched watched = {.each = each, .context = context};
    ask_to_flush(store, row);
    int err = catalog_each_event(store->catalog, row->id, wish, each_watched, &watched);
    if (watched.said)
        return watched.said;
    if (!err)
        err = catalog_lost_events(store->catalog, row->id, &lost);
    if (err)
        log_error("cannot read the ledger of %s: %s", row->name, strerror(-err));
    else if (lost > 0)
        log_warning("%llu events of %s could not be kept when they happened",
                    (unsigned long long)lost, row->name);
    return err;
}

int account_moved(struct store *store, const struct mount_row *row, uint64_t *moved)
{
    ask_to_flush(store, row);
    int err = catalog_moved_bytes(store->catalog, row->id, moved);
    if (err)
        log_error("cannot read the ledger of %s: %s", row->name, strerror(-err));
    return err;
}
