/* SPDX-License-Identifier: MIT
 *
 * Where a tar goes: to standard output, or to a file that appears under its name when it is whole.
 */
#ifndef PLYFS_OUTFILE_H
#define PLYFS_OUTFILE_H

#include "own.h"

#include <stdbool.h>

/* Failures are told on stderr. */
struct outfile {
    const char *path; /* NULL: standard output */
    char *partial;    /* what becomes `path`; NULL: it is written directly, or is unnamed */
    bool unnamed;     /* it gets its first name when it is whole */
    int fd;
};

/* Opens `path`, or standard output where it is NULL; that must not be a terminal. A file is written
 * without a name, or beside its place where the filesystem has no such files; what is no regular
 * file (a pipe, a device) is written as it is. */
must_check int outfile_open(struct outfile *file, const char *path);

/* The name that the file has until then, without its directory, which is no other file's; NULL:
 * none. Borrowed. */
const char *outfile_name(const struct outfile *file);

/* Gives the file its name. Not called, nothing of it stays. */
must_check int outfile_publish(struct outfile *file);
void outfile_finish(struct outfile *file);
#define cleanup_outfile cleanup(outfile_finish)

#endif
