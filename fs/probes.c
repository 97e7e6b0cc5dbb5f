/* SPDX-License-Identifier: MIT
 *
 * Duty: the counters by which tracers say that they listen. They lie in a section of their own,
 * where tracers look for them.
 */
#include "probes.h"

#ifdef HAVE_SDT
#define COUNTER __attribute__((section(".probes"), used))

COUNTER unsigned short plyfs_copyup_semaphore, plyfs_mark_semaphore;
COUNTER unsigned short plyfs_request__begin_semaphore, plyfs_request__end_semaphore;
#endif
