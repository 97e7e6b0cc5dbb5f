/* SPDX-License-Identifier: MIT
 *
 * A processor kept awake for a waiting client. Whoever asks the daemon sleeps until the answer, and
 * the processor it leaves sleeps too; to wake it costs more than most answers (in a virtual machine
 * tens of microseconds). So while requests follow each other closely, a thread of the SCHED_IDLE
 * class spins on the processor that the client left. That class gets only time that nobody wants,
 * and the kernel's scheduler takes a processor that runs nothing else for an idle one: the client
 * comes back to it at once (kernel document sched-design-CFS.rst, and select_idle_sibling there).
 */
#ifndef PLYFS_VIGIL_H
#define PLYFS_VIGIL_H

#include "own.h"

#include <sys/types.h>

struct vigil;

/* Makes the thread, asleep. NULL where none can be had; then the other functions do nothing. */
struct vigil *vigil_start(void);
void vigil_stop(struct vigil *vigil);

/* `client`, a thread id, has asked again, and the calling thread answers. The vigil ends by itself
 * a millisecond or two after the last such call. */
void vigil_keep(struct vigil *vigil, pid_t client);

#endif
