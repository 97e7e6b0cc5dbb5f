/* SPDX-License-Identifier: MIT
 *
 * The content of small files of the lower layers, given to the kernel before it is asked for.
 *
 * Who walks a tree and reads all of it (tar, grep -r) costs two requests for each file: one reads,
 * and because that may have changed the access time, another looks at it again. Neither is needed
 * where the content is in the page cache already. A daemon may put it there (FUSE_NOTIFY_STORE),
 * but would cover what somebody has written meanwhile, and where opens are not told of it cannot
 * know whether somebody has. So it is done only while nobody can have the file open.
 *
 * The kernel lets nobody open a file whose attributes it does not know: it checks permissions, and
 * asks for what has expired before (fs/fuse/dir.c: fuse_permission(), with default_permissions). So
 * a listing tells of such files for no longer than the answer (NODE_UNTOLD), and whoever wants to
 * open one, or look at it, has the kernel ask for its attributes. That request brings the content:
 * until it is answered, nobody has ever had the file open. From then on the attributes stay, and
 * nothing is put there any more.
 *
 * Whether what is listed will be read is guessed by what became of others, which were told of as
 * usual (NODE_SAMPLE). Who only looks at the files is asked once for each, as long as the guess is
 * wrong; who only lists them costs nothing more.
 */
#ifndef PLYFS_AHEAD_H
#define PLYFS_AHEAD_H

#include "mount.h"

#include <sys/stat.h>

struct ahead;

/* NULL when out of memory. */
must_check struct ahead *ahead_create(void);
void ahead_destroy(struct ahead *ahead);

/* How many files' content was given so far. */
uint64_t ahead_given(const struct ahead *ahead);

/* A listing is about to tell of what it has just looked up, of which *st is true: whether its
 * attributes are to be good for no longer than the answer. */
must_check bool ahead_withholds(struct mount *mount, const struct node_view *view,
                                const struct stat *st);

/* Its attributes are asked for, and will be told: *st. Puts the content into the page cache, where
 * it is to go there; the view says then, as the node does, that it is no longer NODE_UNTOLD. Not to
 * be called with mount.names held. */
void ahead_give(struct mount *mount, struct node_view *view, const struct stat *st);

/* The kernel is about to be told attributes that it may keep. To be said before it is answered. */
void ahead_told(const struct mount *mount, const struct node_view *view);

/* It is being read. */
void ahead_was_read(struct mount *mount, const struct node_view *view);

#endif
