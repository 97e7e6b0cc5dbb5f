/* SPDX-License-Identifier: MIT
 *
 * A thread that takes no signals: those of the process are for its other threads.
 */
#ifndef PLYFS_QUIETTHREAD_H
#define PLYFS_QUIETTHREAD_H

#include "own.h"

#include <pthread.h>

/* As pthread_create(3): 0 or -errno. */
must_check int quietthread_start(pthread_t *thread, void *(*work)(void *), void *argument);

#endif
