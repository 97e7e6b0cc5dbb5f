/* SPDX-License-Identifier: MIT
 *
 * Duty: one buffer for each thread, and an end of it.
 */
#include "databuffer.h"

#include <pthread.h>
#include <stdlib.h>

enum { PAGE = 4096 };

static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make_key(void)
{
    pthread_key_create(&key, free);
}

char *databuffer(void)
{
    static _Thread_local char *buffer;
    if (!buffer) {
        pthread_once(&once, make_key);
        buffer = aligned_alloc(PAGE, DATABUFFER_SIZE);
        pthread_setspecific(key, buffer);
    }
    return buffer;
}
