/* SPDX-License-Identifier: MIT
 *
 * Where a thread runs.
 */
#ifndef PLYFS_PROCESSOR_H
#define PLYFS_PROCESSOR_H

#include <sched.h>
#include <stdbool.h>

/* The calling thread goes to one processor, or with -1 to wherever the process may. False where it
 * stays as it is. */
static inline bool processor_go_to(const cpu_set_t *allowed, int processor)
{
    cpu_set_t set = *allowed;
    if (processor >= 0) {
        CPU_ZERO(&set);
        CPU_SET((size_t)processor, &set);
    }
    return sched_setaffinity(0, sizeof(set), &set) == 0;
}

#endif
