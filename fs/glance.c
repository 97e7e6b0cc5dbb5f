/* SPDX-License-Identifier: MIT
 *
 * Duty: a table of attributes, indexed by what is index in the number of a node: the nodes of a
 * tree that was walked are numbered one after the other, so they do not meet in it. Cost: a mutex
 * of 64 and a copy.
 */
#include "glance.h"

#include "brief.h"
#include "moment.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { PLACES = 32768, LOCKS = 64 };

struct glance {
    uint64_t id; /* 0: none */
    int64_t since;
    struct stat st;
};

struct glances {
    pthread_mutex_t locks[LOCKS];
    struct glance *at;
};

enum { SIZE = PLACES * sizeof(struct glance) };

struct glances *glances_create(void)
{
    struct glances *glances = calloc(1, sizeof(*glances));
    if (!glances)
        return NULL;
    glances->at = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (glances->at == MAP_FAILED) {
        free(glances);
        return NULL;
    }
    for (int i = 0; i < LOCKS; i++)
        brief_init(&glances->locks[i]);
    return glances;
}

void glances_destroy(struct glances *glances)
{
    if (!glances)
        return;
    for (int i = 0; i < LOCKS; i++)
        pthread_mutex_destroy(&glances->locks[i]);
    munmap(glances->at, SIZE);
    free(glances);
}

void glances_drop(struct glances *glances)
{
    for (int i = 0; i < LOCKS; i++)
        pthread_mutex_lock(&glances->locks[i]);
    madvise(glances->at, SIZE, MADV_DONTNEED);
    for (int i = 0; i < LOCKS; i++)
        pthread_mutex_unlock(&glances->locks[i]);
}

void glance_keep(struct glances *glances, uint64_t id, const struct stat *st)
{
    pthread_mutex_t *lock = &glances->locks[id % LOCKS];
    const int64_t now = moment_steady();
    pthread_mutex_lock(lock);
    glances->at[id % PLACES] = (struct glance){.id = id, .since = now, .st = *st};
    pthread_mutex_unlock(lock);
}

bool glance_get(struct glances *glances, uint64_t id, double seconds, struct stat *st)
{
    pthread_mutex_t *lock = &glances->locks[id % LOCKS];
    const struct glance *glance = &glances->at[id % PLACES];
    const int64_t now = moment_steady();
    pthread_mutex_lock(lock);
    bool good = glance->id == id && (double)(now - glance->since) < seconds * 1e9;
    if (good)
        *st = glance->st;
    pthread_mutex_unlock(lock);
    return good;
}
