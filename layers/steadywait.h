/* SPDX-License-Identifier: MIT
 *
 * A condition whose waits end by the clock of moment_ahead(), which is never set.
 */
#ifndef PLYFS_STEADYWAIT_H
#define PLYFS_STEADYWAIT_H

#include <pthread.h>
#include <time.h>

static inline void steadywait_init(pthread_cond_t *condition)
{
    pthread_condattr_t steady;
    pthread_condattr_init(&steady);
    pthread_condattr_setclock(&steady, CLOCK_MONOTONIC);
    pthread_cond_init(condition, &steady);
    pthread_condattr_destroy(&steady);
}

#endif
