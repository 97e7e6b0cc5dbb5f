/* SPDX-License-Identifier: MIT
 *
 * Descriptors that are to be closed by somebody who has nothing better to do: that takes some 0.8
 * us each, which whoever waits for an answer need not wait for. A thread that spins tends the tray.
 * Without one, or with a full tray, a descriptor is closed at once.
 *
 * Locks: none. Each place of the tray is taken and cleared in one step.
 */
#ifndef PLYFS_TRAY_H
#define PLYFS_TRAY_H

#include "own.h"

#include <stdbool.h>

struct tray;

/* NULL when out of memory; then the other functions close at once, or do nothing. */
struct tray *tray_create(void);

/* Nobody tends it or uses it any more. */
void tray_destroy(struct tray *tray);

/* Closes `fd`, now or soon; of no tray, now. */
void tray_close(struct tray *tray, int fd);

/* One thread at a time tends the tray, from tray_begin() to tray_end(), after which nothing lies in
 * it, and calls tray_clear() meanwhile. */
void tray_begin(struct tray *tray);
void tray_clear(struct tray *tray);
void tray_end(struct tray *tray);

#endif
