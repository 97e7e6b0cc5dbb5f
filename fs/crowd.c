/* SPDX-License-Identifier: MIT
 *
 * Duty: count turns. One from a client to another who asked a moment ago as well counts for a
 * crowd, somebody new as much against it, and what a client asks next a little.
 */
#include "crowd.h"

enum { MICROSECOND = 1000, SOON_US = 1000, LATELY_US = 10000, AWAY_NS = 20000000 };
enum { TURN = 8, MANY = 24, MOST = 64 };
enum { WAIT = 8, WAITS = 64 };

/* A call: the client above, the microseconds below. */
static uint64_t call_of(uint32_t client, int64_t now)
{
    return (uint64_t)client << 32 | (uint32_t)(now / MICROSECOND);
}

static uint32_t client_of(uint64_t call)
{
    return (uint32_t)(call >> 32);
}

/* Of calls that two threads read the later one may be noted first. */
static bool is_within(uint32_t microseconds, uint64_t call, uint64_t before)
{
    return (uint32_t)call - (uint32_t)before + SOON_US < microseconds + SOON_US;
}

static unsigned count(const struct crowd *crowd, bool is_turn, bool is_new)
{
    const unsigned turns = atomic_load_explicit(&crowd->turns, memory_order_relaxed);
    if (is_turn)
        return turns < MOST ? turns + TURN : turns;
    const unsigned less = is_new ? TURN : 1;
    return turns > less ? turns - less : 0;
}

void crowd_note(struct crowd *crowd, uint32_t client, int64_t now)
{
    if (now < atomic_load_explicit(&crowd->away_until, memory_order_relaxed))
        return;
    const uint64_t call = call_of(client, now);
    const uint64_t own =
        atomic_exchange_explicit(&crowd->calls[client % CROWD_PLACES], call, memory_order_relaxed);
    const uint64_t last = atomic_exchange_explicit(&crowd->last, call, memory_order_relaxed);
    const bool is_new = client_of(own) != client || !is_within(LATELY_US, call, own);
    const bool is_turn = !is_new && client_of(last) != client;
    if (is_turn)
        atomic_store_explicit(&crowd->turn, call, memory_order_relaxed);
    const unsigned turns = is_within(SOON_US, call, last) ? count(crowd, is_turn, is_new) : 0;
    atomic_store_explicit(&crowd->turns, turns, memory_order_relaxed);
}

bool crowd_is_there(const struct crowd *crowd)
{
    return atomic_load_explicit(&crowd->turns, memory_order_relaxed) >= MANY;
}

bool crowd_lasts(const struct crowd *crowd, int64_t now)
{
    const uint64_t call = call_of(0, now);
    return now >= atomic_load_explicit(&crowd->away_until, memory_order_relaxed) &&
           is_within(SOON_US, call, atomic_load_explicit(&crowd->last, memory_order_relaxed)) &&
           is_within(LATELY_US, call, atomic_load_explicit(&crowd->turn, memory_order_relaxed));
}

void crowd_note_answer(struct crowd *crowd, bool slept, int64_t now)
{
    unsigned waits = atomic_load_explicit(&crowd->waits, memory_order_relaxed);
    if (!slept && waits == 0)
        return;
    waits = slept ? waits + WAIT : waits - 1;
    if (waits >= WAITS) {
        waits = 0;
        atomic_store_explicit(&crowd->turns, 0, memory_order_relaxed);
        atomic_store_explicit(&crowd->away_until, now + AWAY_NS, memory_order_relaxed);
    }
    atomic_store_explicit(&crowd->waits, waits, memory_order_relaxed);
}
