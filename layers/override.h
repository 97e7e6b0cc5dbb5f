/* SPDX-License-Identifier: MIT
 *
 * Owner, mode and device that whoever wrote a layer was not allowed to give: recorded in the
 * attribute user.containers.override_stat, "UID:GID:MODE[:TYPE[-MAJOR-MINOR]]" with an octal mode,
 * as other tools of the field do; fuse-overlayfs leaves the bits of the type in it. TYPE is dir,
 * file, pipe, socket, block or char; what is no file stands as an empty one.
 */
#ifndef PLYFS_OVERRIDE_H
#define PLYFS_OVERRIDE_H

#include "own.h"
#include "treekind.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#define OVERRIDE_ATTR "user.containers.override_stat"
enum { OVERRIDE_MAX = 96 }; /* bytes, with the end */

/* Writes what is to be recorded of owner, mode, type and device of `st`. The length. */
size_t override_format(char text[OVERRIDE_MAX], const struct stat *st);

/* Whether a record counts in a tree of that kind. In a volume whoever may write there could write
 * one, so it counts only for those who could not do by themselves what it says: nobody leads root
 * into handing out a set-id file of root's. */
bool override_counts(enum treekind kind);

/* Puts what the attribute's value says into `st`, which holds what is on disk. False, and `st` as
 * it was, when the value makes no sense there: a file may stand for a pipe, a socket or a device
 * but 0:0, everything else only for itself. */
bool override_apply(const char *value, size_t size, struct stat *st);

#endif
