/* SPDX-License-Identifier: MIT
 *
 * A waiting client, woken at little cost. Whoever asks the daemon sleeps until the answer. To wake
 * it on another processor takes an interrupt there (in a virtual machine some 10 us, more than most
 * answers), and longer where that processor sleeps too. So while requests follow each other closely
 * a thread, the vigil, spins.
 *
 * Of two processors the client and who answers it share one: then a wake is but a switch from one
 * thread to the other. Left alone, the kernel's scheduler would send the client, whenever it is
 * woken, to the other one, for that is idle (select_idle_sibling in kernel/sched/fair.c). So the
 * vigil keeps that busy, with the least weight there is (SCHED_BATCH at niceness 19: a seventieth
 * of another thread's), and rests for a while when others want it; and who answers binds himself to
 * the client's processor.
 *
 * More processors than two cannot be kept busy. There the vigil spins on the one that the client
 * left, in the class SCHED_IDLE: that gets only time that nobody wants, and a processor that runs
 * nothing else counts as idle, so that the client comes back to it at once, and finds it awake
 * (kernel document sched-design-CFS.rst).
 */
#ifndef PLYFS_VIGIL_H
#define PLYFS_VIGIL_H

#include "chores.h"
#include "own.h"

#include <stdbool.h>
#include <sys/types.h>

struct vigil;

/* Whether this process may run on two processors and no more. */
bool vigil_pairs(void);

/* Makes the thread, asleep; while it spins it does the chores, which are borrowed. NULL where none
 * can be had; then the other functions do nothing. */
struct vigil *vigil_start(const struct chores *chores);
void vigil_stop(struct vigil *vigil);

/* `client`, a thread id, has asked again, and the calling thread answers. The vigil ends by itself
 * some milliseconds after the last such call. */
void vigil_keep(struct vigil *vigil, pid_t client);

/* The vigil ends at once. */
void vigil_end(struct vigil *vigil);

/* Client and daemon are better off on two processors: the vigil ends, and the calling thread, which
 * answers, keeps away from the client's. To be called in the place of vigil_join(). */
void vigil_part(struct vigil *vigil, pid_t client);

/* To be called between two requests: the calling thread, which answers, goes to the processor that
 * it is to share with the client, or is free again. */
void vigil_join(struct vigil *vigil);

/* Of two processors: the calling thread stays where it is; that processor, or -1. */
int vigil_stay(struct vigil *vigil);

/* Of two processors: the calling thread goes to the one that is not `processor`. */
void vigil_go_beside(struct vigil *vigil, int processor);

/* Whether the calling thread is on the client's processor. */
bool vigil_shares(void);

/* The calling thread answers no more, or is about to do what takes long: it may go anywhere. */
void vigil_leave(struct vigil *vigil);

#endif
