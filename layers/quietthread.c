/* SPDX-License-Identifier: MIT
 *
 * Duty: a thread inherits the mask of who makes it, so it is made while everything is blocked.
 */
#include "quietthread.h"

#include <signal.h>

int quietthread_start(pthread_t *thread, void *(*work)(void *), void *argument)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int err = pthread_create(thread, NULL, work, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return -err;
}
