/* SPDX-License-Identifier: MIT
 *
 * Where a directory full of files goes: it appears under its name when it is whole.
 */
#ifndef PLYFS_OUTDIR_H
#define PLYFS_OUTDIR_H

#include "own.h"

/* Failures are told on stderr. */
struct outdir {
    char *path;    /* where it is to appear: nothing is there, or an empty directory */
    char *partial; /* where it is until then, beside it */
    int fd;
};

must_check int outdir_open(struct outdir *out, const char *path);

/* Gives the directory its name, synced. Not called, nothing of it stays. */
must_check int outdir_publish(struct outdir *out);
void outdir_finish(struct outdir *out);
#define cleanup_outdir cleanup(outdir_finish)

#endif
