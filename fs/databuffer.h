/* SPDX-License-Identifier: MIT
 *
 * A buffer for the content of files, of the calling thread.
 */
#ifndef PLYFS_DATABUFFER_H
#define PLYFS_DATABUFFER_H

#include "own.h"

enum { DATABUFFER_SIZE = 1 << 20 /* bytes */ };

/* Made when it is first asked for, and freed with the thread; at the beginning of a page. NULL when
 * out of memory. */
must_check char *databuffer(void);

#endif
