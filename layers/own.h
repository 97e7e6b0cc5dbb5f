/* SPDX-License-Identifier: MIT
 *
 * Ownership shown where a variable is born: `cleanup_fd int src = -1;` closes itself, and leaves by
 * name: `return steal_fd(&src);`. Every cleanup accepts the empty value (-1, NULL).
 */
#ifndef PLYFS_OWN_H
#define PLYFS_OWN_H

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define must_check __attribute__((warn_unused_result))

static inline void own_close(int *fd)
{
    if (*fd >= 0) {
        int saved = errno;
        close(*fd);
        errno = saved;
    }
}

static inline void own_free(void *slot)
{
    free(*(void **)slot);
}

static inline void own_closedir(DIR **dir)
{
    if (*dir)
        closedir(*dir);
}

static inline int steal_fd(int *fd)
{
    int taken = *fd;
    *fd = -1;
    return taken;
}

static inline void *own_steal(void *slot)
{
    void *taken = *(void **)slot;
    *(void **)slot = NULL;
    return taken;
}

/* A copy of `text` in *slot, which is not freed before; of NULL it is NULL. 0 or -ENOMEM. */
must_check static inline int own_copy(char **slot, const char *text)
{
    *slot = text ? strdup(text) : NULL;
    return text && !*slot ? -ENOMEM : 0;
}

#define cleanup(function) __attribute__((cleanup(function)))
#define cleanup_fd cleanup(own_close)
#define cleanup_free cleanup(own_free)
#define cleanup_dir cleanup(own_closedir)
#define steal_ptr(slot) ((__typeof__(*(slot)))own_steal(slot))

#endif
