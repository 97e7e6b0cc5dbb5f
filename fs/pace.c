/* SPDX-License-Identifier: MIT
 *
 * Duty: learn which way of waiting is the better one. The other is tried for some waits in a row,
 * as the first of them says little: what slept then has yet to wake.
 */
#include "pace.h"

enum { PERIOD = 256, TRIES = 4, SHARE = 8 };

bool pace_prefers_to_spin(const struct pace *pace)
{
    return pace->cost[true] <= pace->cost[false] || pace->cost[false] == 0;
}

bool pace_spins(const struct pace *pace)
{
    bool tries = pace->turn % PERIOD >= PERIOD - TRIES;
    return pace_prefers_to_spin(pace) != tries;
}

void pace_note(struct pace *pace, bool spun, int64_t gap)
{
    int64_t *cost = &pace->cost[spun];
    pace->turn++;
    if (gap > PACE_MOST_NS)
        return;
    *cost = *cost == 0 ? gap : *cost + (gap - *cost) / SHARE;
    if (*cost == 0)
        *cost = 1;
}
