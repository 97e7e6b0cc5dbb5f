/* SPDX-License-Identifier: MIT
 *
 * Whether volumes can be reached now, for listings: many rows, few plug-ins, and little patience. A
 * plug-in is activated once, and one that did not answer is not asked a second time.
 */
#ifndef PLYFS_VOLUMELOOK_H
#define PLYFS_VOLUMELOOK_H

#include "own.h"
#include "store.h"

struct volumelook;

/* Waits `seconds` in all, and one at most for one plug-in: of several that are dead the last may
 * find that no time is left to ask them, which is said. The store is borrowed as long as it lives.
 * NULL when out of memory. */
struct volumelook *volumelook_create(const struct store *store, int seconds);
void volumelook_destroy(struct volumelook *look);

/* NULL, or a word of why the volume cannot be reached ("unreachable: ..."), the caller's to free.
 */
char *volumelook_at(struct volumelook *look, const struct volume_row *row);

#endif
