/* SPDX-License-Identifier: MIT
 *
 * A directory tree becomes another of the same content: owners, modes, times, attributes, hard
 * links, holes and devices. It may be the upper directory of an overlay: whiteouts and opaque marks
 * stay as they are, in whatever form, and the books that were true of its mount alone (origin and
 * its kin) are dropped. Of a volume everything is copied as it is.
 */
#ifndef PLYFS_COPYTREE_H
#define PLYFS_COPYTREE_H

#include "own.h"
#include "treekind.h"

#include <stdint.h>

struct copytree {
    int from;                                    /* a directory */
    int to;                                      /* an empty one */
    enum treekind kind;                          /* of both */
    void (*seen)(void *context, uint64_t bytes); /* told the bytes copied so far; or NULL */
    void *context;
    char words[512]; /* after a failure: which path, and what is wrong with it */
};

/* Copies everything in `from`, other filesystems that are mounted there included. Files alone are
 * opened; sockets are left out, with a warning. Where an owner or a device cannot be given without
 * privilege, it is recorded (override.h). -EINVAL: what stands on another layer (redirect,
 * metacopy, but for a volume's), or a tree that holds the copy itself. On failure the copy is as
 * far as it came. */
must_check int copytree_copy(struct copytree *job);

#endif
