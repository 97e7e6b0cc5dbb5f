/* SPDX-License-Identifier: MIT
 *
 * What lower objects looked like when they were looked at last. A sealed layer does not change, but
 * the kernel asks again for the attributes of whatever was read, because reading may have changed
 * its access time: then this is the answer, and no layer is asked. It is kept for as many nodes as
 * the table has room for; each has its one place in it, which a later one takes over.
 */
#ifndef PLYFS_GLANCE_H
#define PLYFS_GLANCE_H

#include "own.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

struct glances;

/* NULL when out of memory. What it needs is taken as it is filled: 5 MiB at most. */
must_check struct glances *glances_create(void);
void glances_destroy(struct glances *glances);

/* Forgets everything, and gives the memory back. */
void glances_drop(struct glances *glances);

/* Node `id` is shown as *st, since just now. */
void glance_keep(struct glances *glances, uint64_t id, const struct stat *st);

/* Whether it was looked at in the last `seconds`, and as what it was shown then. */
must_check bool glance_get(struct glances *glances, uint64_t id, double seconds, struct stat *st);

#endif
