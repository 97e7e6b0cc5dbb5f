/* SPDX-License-Identifier: MIT
 *
 * How to wait for the next request: to spin, or to sleep at once. On a processor of its own who
 * spins answers sooner by two wakes, of himself and of a processor that fell asleep meanwhile. On
 * the client's processor, or where others want it, he keeps the client from running: a yield lets
 * it only where it has not used more than its share (EEVDF, kernel document sched-eevdf.rst). What
 * is the case nobody tells; so both ways are tried, and the one that lets requests come sooner is
 * taken. Of one thread at a time.
 */
#ifndef PLYFS_PACE_H
#define PLYFS_PACE_H

#include <stdbool.h>
#include <stdint.h>

enum { PACE_MOST_NS = 200000 };

/* Nanoseconds from an answer to the next request, of late, when it was slept and when it was spun;
 * and how many waits there were. Zero-initialized it spins first. */
struct pace {
    int64_t cost[2];
    unsigned turn;
};

/* Whether the next wait is to spin: the better way, and every now and then the other. */
bool pace_spins(const struct pace *pace);

/* Whether to spin is the better way. */
bool pace_prefers_to_spin(const struct pace *pace);

/* A wait took `gap` nanoseconds. Longer ones than PACE_MOST_NS say nothing, for then it is the
 * client who took his time; whoever knows better says PACE_MOST_NS. */
void pace_note(struct pace *pace, bool spun, int64_t gap);

#endif
