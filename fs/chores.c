/* SPDX-License-Identifier: MIT
 *
 * Duty: do each chore in turn.
 */
#include "chores.h"

void chores_init(struct chores *chores, struct fdcache *fds)
{
    *chores = (struct chores){.fds = fds, .tray = tray_create()};
    fdcache_use_tray(fds, chores->tray);
    chores->blanks = blanks_create(chores->tray);
}

void chores_finish(struct chores *chores)
{
    blanks_destroy(chores->blanks);
    if (chores->fds)
        fdcache_use_tray(chores->fds, NULL);
    tray_destroy(chores->tray);
    *chores = (struct chores){0};
}

void chores_begin(const struct chores *chores)
{
    tray_begin(chores->tray);
    blanks_begin(chores->blanks);
}

void chores_do(const struct chores *chores)
{
    blanks_work(chores->blanks);
    tray_clear(chores->tray);
}

void chores_end(const struct chores *chores)
{
    blanks_end(chores->blanks);
    tray_end(chores->tray);
}
