/* SPDX-License-Identifier: MIT
 *
 * Globs of paths in a mount, wherever a user writes one: rules for copy-ups, filters of a trace.
 *
 * A glob names paths from the root of the mount. Without a slash but at its end it is a name, in
 * whatever directory; otherwise it is the whole path, with or without the first slash. `*`, `?` and
 * `[...]` stand for characters (UTF-8; bytes of a name that is none) in one name; `**` for any
 * number of names, none too, and at the end for everything beneath. A slash at the end: directories
 * only. Whatever names a directory names all that is beneath it.
 */
#ifndef PLYFS_PATHGLOB_H
#define PLYFS_PATHGLOB_H

#include "own.h"

#include <stdbool.h>

/* 0, or -EINVAL: it names nothing (empty, or with "." or ".." in it). */
must_check int pathglob_check(const char *glob);

/* Whether a glob that was checked names an absolute path; none names "". */
bool pathglob_names(const char *glob, const char *path, bool is_dir);

#endif
