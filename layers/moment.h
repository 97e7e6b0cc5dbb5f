/* SPDX-License-Identifier: MIT
 *
 * The time, in nanoseconds.
 */
#ifndef PLYFS_MOMENT_H
#define PLYFS_MOMENT_H

#include <stdint.h>
#include <time.h>

#define MOMENT_SECOND INT64_C(1000000000)

/* Since 1970, as rows of the catalog and files have it. */
static inline int64_t moment_of(struct timespec time)
{
    return (int64_t)time.tv_sec * MOMENT_SECOND + time.tv_nsec;
}

static inline int64_t moment_now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    return moment_of(time);
}

/* Since some moment or other, and never set back: to measure how long something takes. */
static inline int64_t moment_steady(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return moment_of(time);
}

/* The same clock so many nanoseconds from now, for who waits until then. */
static inline struct timespec moment_ahead(int64_t nanoseconds)
{
    const int64_t then = moment_steady() + nanoseconds;
    return (struct timespec){.tv_sec = then / MOMENT_SECOND, .tv_nsec = then % MOMENT_SECOND};
}

#endif
