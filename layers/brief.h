/* SPDX-License-Identifier: MIT
 *
 * Locks that are held for less time than it takes to sleep and be woken: whoever finds one taken
 * looks again for a moment before it sleeps.
 */
#ifndef PLYFS_BRIEF_H
#define PLYFS_BRIEF_H

#include <pthread.h>

/* Initializes a mutex as one; where the C library has no such kind, as any other. */
static inline void brief_init(pthread_mutex_t *mutex)
{
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
#ifdef __GLIBC__
    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ADAPTIVE_NP);
#endif
    pthread_mutex_init(mutex, &attr);
    pthread_mutexattr_destroy(&attr);
}

/* To be done between two looks by whoever looks again and again without sleeping. */
static inline void brief_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

#endif
