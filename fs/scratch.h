/* SPDX-License-Identifier: MIT
 *
 * A tmpfs that is mounted nowhere and lives as long as a descriptor of it.
 */
#ifndef PLYFS_SCRATCH_H
#define PLYFS_SCRATCH_H

#include "own.h"
#include "volumespec.h"

#include <stdint.h>
#include <sys/types.h>

/* A new tmpfs that holds `size` bytes (0: as much as the kernel gives), its root of mode `perm`: a
 * descriptor of the root, open for reading. `options` are those of volume_spec_parse_tmpfs(); for
 * "dev" and "suid" a "no" is taken where they are not said. Without privilege it is made in a user
 * namespace of its own, where only the caller's user and group exist. -EPERM where the kernel
 * allows neither, -EINVAL where it refuses an option, as another's uid= there. */
must_check int scratch_open(uint64_t size, mode_t perm, const struct volume_pairs *options);

#endif
