/* SPDX-License-Identifier: MIT
 *
 * From wishes to an open mount: opens the layers, refuses what overlaps, opens the upper, settles
 * features and profile. Every refusal is told on stderr, naming the culprit.
 */
#ifndef PLYFS_PLAN_H
#define PLYFS_PLAN_H

#include "mount.h"
#include "options.h"
#include "own.h"

/* Opens everything. `options->mountpoint` becomes absolute. *lock_fds keep the upper ours until
 * they are closed. On failure everything is closed again, and stderr has the reason. */
must_check int plan_open(struct options *options, struct mount *mount, int lock_fds[2]);

#endif
