/* SPDX-License-Identifier: MIT
 *
 * What was emptied and written anew, on its way to the disk soon. Whoever does `echo new > file`
 * has no fsync, and would lose the old content and the new one to a power cut within half a minute:
 * so ext4 and xfs begin to write such a file when it is closed. But the daemon keeps files open,
 * and for a new file in the place of a lower one they do not. A thread does it here, when nobody
 * has used the file for a while, as if it had been closed then.
 *
 * Cost: a comparison for each write. The thread sleeps while there is nothing.
 */
#ifndef PLYFS_SETTLING_H
#define PLYFS_SETTLING_H

#include "fdcache.h"

struct settling;

/* Of the files of `fds`, which is borrowed. NULL where there can be no thread; then the other
 * functions do nothing. */
struct settling *settling_start(struct fdcache *fds);
void settling_stop(struct settling *settling);

/* The file of `ref` was cut to nothing. */
void settling_note_emptied(struct settling *settling, struct fdref *ref);

/* It was written, or somebody who may have written it has closed it. */
void settling_note_written(struct settling *settling, struct fdref *ref);

#endif
