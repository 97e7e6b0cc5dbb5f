/* SPDX-License-Identifier: MIT
 *
 * A request while it is served: whose it is (asker.h), how long it takes and how it ends (meter.h),
 * and, where somebody traces the mount, what is told of it (tracequeue.h). Begun and ended by the
 * table of operations, around each of them; reply.h says what failed.
 */
#ifndef PLYFS_SERVING_H
#define PLYFS_SERVING_H

#include "meter.h"
#include "mount.h"
#include "own.h"
#include "tracequeue.h"

/* What a request is about: a node, or a name in it; and for two-sided ones where to. */
struct serving_target {
    uint64_t node;
    const char *name; /* NULL: the node itself */
    uint64_t to;      /* 0: there is no second one */
    const char *to_name;
    size_t length;   /* bytes that are to be read; else 0 */
    const char *act; /* the finer name of the operation: "chmod"; NULL: its own */
};

struct serving {
    struct mount *mount;
    enum meter_op op;
    int64_t began;           /* on the steady clock */
    struct trace_note *note; /* what will be told of it; NULL: nobody wants to know */
};

/* `thread` and `uid` as the kernel tells them. */
void serving_begin(struct serving *serving, struct mount *mount, enum meter_op op, pid_t thread,
                   uid_t uid, const struct serving_target *target);
void serving_end(struct serving *serving);

/* What the calling thread serves is answered with an error: -errno. */
void serving_failed(int err);

/* A lookup of (dir, name) has led into the volume `tree`: told to those who trace. */
void serving_crossed(struct mount *mount, const struct node_view *dir, const char *name,
                     uint8_t tree, mode_t type);

#endif
