/* SPDX-License-Identifier: MIT
 *
 * How far long work is: a line on stderr with a bar, bytes, rate and time left, on a terminal
 * alone; colours only there, and not with NO_COLOR. Nothing is printed during the first half
 * second.
 */
#ifndef PLYFS_PROGRESS_H
#define PLYFS_PROGRESS_H

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

/* Asks a yes-or-no question on the terminal: 1 for yes, 0 for anything else. Without a terminal the
 * answer is no, and the message says that -f is needed. */
int progress_confirm(const char *question);

#endif
