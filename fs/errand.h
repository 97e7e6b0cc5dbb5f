/* SPDX-License-Identifier: MIT
 *
 * Work that may be done while a client waits for something else, or may not be done at all. A
 * thread of its own does it, at the priority of whoever serves, so that a lock which it takes is
 * not kept for longer than by another. It is woken by the thread that spins for want of requests
 * (vigil.h), on whose processor it works: to wake it costs who serves nothing.
 */
#ifndef PLYFS_ERRAND_H
#define PLYFS_ERRAND_H

#include "own.h"

#include <stdbool.h>

struct errand;

/* `work` is called by the errand's thread whenever it was wanted, and somebody was there to wake
 * it. NULL where there can be no thread; then the other functions do nothing. */
must_check struct errand *errand_start(void (*work)(void *context), void *context);

/* Waits until it is done. */
void errand_stop(struct errand *errand);

/* There is work: one atomic store. */
void errand_want(struct errand *errand);

/* Who spins wakes the thread, if it is wanted; no lock is taken. `processor`: where it is to work,
 * or -1: anywhere. */
void errand_send(struct errand *errand, int processor);

/* Whether it was at work at any time since this was asked last, by the one who spins. */
must_check bool errand_was_busy(struct errand *errand);

#endif
