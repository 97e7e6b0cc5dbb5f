/* SPDX-License-Identifier: MIT
 *
 * How far long work is: a line on stderr with a bar, bytes, rate and time left, on a terminal
 * alone; colours only there, and not with NO_COLOR. Nothing is printed during the first half
 * second.
 */
#ifndef PLYFS_PROGRESS_H
#define PLYFS_PROGRESS_H

#include "own.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct progress;

/* `what` is said before the bar; `total` is in bytes, 0 when it is not known. NULL is a progress
 * that says nothing, and what it is where stderr is no terminal. */
struct progress *progress_start(const char *what, uint64_t total);

/* So many bytes are done in all; from any thread, as often as one likes. Its type fits what long
 * work takes: void (*)(void *context, uint64_t bytes). */
void progress_at(void *progress, uint64_t bytes);

/* Takes the line away. */
void progress_end(struct progress *progress);

static inline void own_progress(struct progress **progress)
{
    progress_end(*progress);
}
#define cleanup_progress cleanup(own_progress)

/* What a line says. */
struct progress_state {
    const char *what;
    uint64_t done, total; /* bytes; total 0: not known */
    double seconds;       /* since the start */
    unsigned columns;     /* of the terminal */
    bool colour;
};

/* The line for a state, never wider than its columns, without an end of line. */
char *progress_render(const struct progress_state *state, char *line, size_t room);

/* Asks a yes-or-no question on the terminal: 1 for yes, 0 for anything else. Without a terminal the
 * answer is no, and the message says that -f is needed. */
int progress_confirm(const char *question);

#endif
