/* SPDX-License-Identifier: MIT
 *
 * Duty: hand descriptors over. A place holds a descriptor and 1, or 0; `laid` tells, in one word,
 * whether it is worth looking into them.
 */
#include "tray.h"

#include <stdalign.h>
#include <stdatomic.h>

enum { PLACES = 64, LINE = 64 /* bytes of a line of the cache */ };

struct tray {
    atomic_bool tended;
    alignas(LINE) atomic_uint laid; /* how many descriptors ever were */
    unsigned cleared;               /* `laid` as it was when the places were looked into last */
    alignas(LINE) atomic_int places[PLACES];
};

struct tray *tray_create(void)
{
    struct tray *tray = aligned_alloc(LINE, sizeof(*tray));
    if (tray)
        *tray = (struct tray){0};
    return tray;
}

static void clear_places(struct tray *tray)
{
    for (int i = 0; i < PLACES; i++) {
        int held = atomic_load_explicit(&tray->places[i], memory_order_relaxed);
        if (held && (held = atomic_exchange(&tray->places[i], 0)) != 0)
            close(held - 1);
    }
}

void tray_destroy(struct tray *tray)
{
    if (!tray)
        return;
    clear_places(tray);
    free(tray);
}

/* `tended` is looked at again when the descriptor lies there, and tray_end() does it the other way
 * round: one of the two sees the other. */
void tray_close(struct tray *tray, int fd)
{
    if (!tray || !atomic_load_explicit(&tray->tended, memory_order_relaxed)) {
        close(fd);
        return;
    }
    int empty = 0;
    atomic_int *place = &tray->places[atomic_fetch_add(&tray->laid, 1) % PLACES];
    if (!atomic_compare_exchange_strong(place, &empty, fd + 1))
        close(fd);
    else if (!atomic_load(&tray->tended))
        clear_places(tray);
}

void tray_begin(struct tray *tray)
{
    if (tray)
        atomic_store(&tray->tended, true);
}

void tray_clear(struct tray *tray)
{
    if (!tray)
        return;
    const unsigned laid = atomic_load_explicit(&tray->laid, memory_order_relaxed);
    if (laid == tray->cleared)
        return;
    tray->cleared = laid;
    clear_places(tray);
}

void tray_end(struct tray *tray)
{
    if (!tray)
        return;
    atomic_store(&tray->tended, false);
    clear_places(tray);
}
