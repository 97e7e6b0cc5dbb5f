/* SPDX-License-Identifier: MIT
 *
 * USDT probes of the provider "plyfs", for bpftrace and its like: a no-op instruction each until
 * somebody attaches. Where sys/sdt.h is missing at build they are nothing at all.
 *
 *   copyup(path, cause, command, pid, moved, duration)
 *       of mounts without a name too: what the ledger (ledger.h) would note; the process that asked
 *       is 0 where it is not known; bytes moved, nanoseconds
 *   mark(kind, path, cause, command, pid)
 *       the rest of what it notes: "whiteout", "opaque", "redirect", "warned", "denied"
 *   request__begin(operation, thread), request__end(operation)
 *       a request of the kernel, around all that is done for it
 */
#ifndef PLYFS_PROBES_H
#define PLYFS_PROBES_H

#include <stdbool.h>

#ifdef HAVE_SDT
#define _SDT_HAS_SEMAPHORES 1
#include <sys/sdt.h>

/* Counts those who listen; found by its name (systemtap's UserSpaceProbeImplementation). */
extern unsigned short plyfs_copyup_semaphore, plyfs_mark_semaphore;
extern unsigned short plyfs_request__begin_semaphore, plyfs_request__end_semaphore;

/* Whether it is worth while to find out what a probe tells. */
#define probe_is_watched(name) __builtin_expect(plyfs_##name##_semaphore != 0, 0)
#define probe_copyup(path, cause, command, pid, moved, duration)                                   \
    STAP_PROBE6(plyfs, copyup, path, cause, command, pid, moved, duration)
#define probe_mark(kind, path, cause, command, pid)                                                \
    STAP_PROBE5(plyfs, mark, kind, path, cause, command, pid)
#define probe_request_begin(operation, thread) STAP_PROBE2(plyfs, request__begin, operation, thread)
#define probe_request_end(operation) STAP_PROBE1(plyfs, request__end, operation)
#else
#define probe_is_watched(name) false
#define probe_copyup(path, cause, command, pid, moved, duration) ((void)0)
#define probe_mark(kind, path, cause, command, pid) ((void)0)
#define probe_request_begin(operation, thread) ((void)0)
#define probe_request_end(operation) ((void)0)
#endif

#endif
