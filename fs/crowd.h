/* SPDX-License-Identifier: MIT
 *
 * Whether several clients ask at once: they do where they ask by turns, each soon again, though the
 * scheduler may let one of them ask for some milliseconds before it lets another. A shell and what
 * it starts ask by turns as well, but what it starts is always somebody new. Any thread may call
 * these; of two calls at the same time one may go unseen.
 */
#ifndef PLYFS_CROWD_H
#define PLYFS_CROWD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { CROWD_PLACES = 16 };

/* Zero-initialized nobody has asked. A call is a client and when it was, see crowd.c. */
struct crowd {
    atomic_uint_least64_t last, turn; /* the last call, and the last that was another client's */
    atomic_uint_least64_t calls[CROWD_PLACES];
    atomic_uint turns;               /* of late */
    atomic_uint waits;               /* answers for which a thread slept, of late */
    atomic_int_least64_t away_until; /* nanoseconds on the steady clock */
};

/* `client`, a thread id, asks, at `now` on the steady clock (nanoseconds). */
void crowd_note(struct crowd *crowd, uint32_t client, int64_t now);

/* There are several. */
bool crowd_is_there(const struct crowd *crowd);

/* After it was there: there may still be several, and one asked just before `now`. */
bool crowd_lasts(const struct crowd *crowd, int64_t now);

/* An answer was given at `now`, and the thread had to sleep for it or not. Where many have to, on a
 * disk as a rule, clients do not wait for a thread: it is no crowd then, for some time. */
void crowd_note_answer(struct crowd *crowd, bool slept, int64_t now);

#endif
