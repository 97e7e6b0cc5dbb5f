/* SPDX-License-Identifier: MIT
 *
 * Who asked for what the calling thread is doing: of the request that it serves, what the kernel
 * told of the process behind it. Whatever a request causes can be attributed without handing the
 * request down.
 */
#ifndef PLYFS_ASKER_H
#define PLYFS_ASKER_H

#include "event.h"

#include <sys/types.h>

/* The thread serves a request of `thread`, a thread id as the daemon sees it (the kernel tells
 * those, not processes; 0: nobody it knows of), until asker_end(). */
void asker_begin(pid_t thread, uid_t uid);
void asker_end(void);

/* That thread; 0 also where none is served. */
pid_t asker_thread(void);

/* The request writes back what somebody left in the page cache: it is nobody's. */
void asker_is_writeback(void);

/* Whether it was said. */
bool asker_wrote_back(void);

/* Whether that thread is being killed, so that it will see no answer: the kernel lets it go only
 * when one has come. Cost: three system calls. */
bool asker_is_dying(void);

/* Puts the process, its command and its user into an event; nothing of it where the kernel did not
 * tell. To be called while the request waits for its answer: until then the process is there. Cost:
 * a system call where the same process asks again, else five. */
void asker_name(struct event *event);

#endif
