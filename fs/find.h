/* SPDX-License-Identifier: MIT
 *
 * From a node to the place on disk where it is: the first thought of every operation.
 */
#ifndef PLYFS_FIND_H
#define PLYFS_FIND_H

#include "fdcache.h"
#include "mount.h"
#include "own.h"

#include <sys/stat.h>

/* Where an object is reached: an open directory and a name in it, or with name "" the descriptor.
 */
struct spot {
    struct fdref *ref;
    unsigned layer; /* that it lies in */
    char name[NAME_MAX + 1];
};

/* The place of a node's own inode: upper before lower. mount.names is held shared (or exclusively)
 * from this call to the last use of the spot. Where names have moved since the view was taken it is
 * where the node is now. */
must_check int find_spot(struct mount *mount, const struct node_view *view, struct spot *spot);

/* The same, for its attributes: of a file that is open for writing it is that descriptor, with
 * which no name is looked up. */
must_check int find_spot_to_ask(struct mount *mount, const struct node_view *view,
                                struct spot *spot);
void spot_finish(struct mount *mount, struct spot *spot);

/* The node's directory in the upper layer, open for reading or as O_PATH. mount.names is held. NULL
 * and *err: -ENOENT for a directory that has no upper part or was removed. */
struct fdref *find_upper_dir(struct mount *mount, uint32_t index, int *err);

/* The data of a regular file, open for reading, or for writing too (the node is in the upper with
 * all its data then). mount.names is not held. NULL and *err. */
struct fdref *find_data(struct mount *mount, const struct node_view *view, bool write, int *err);

/* Opens the data of a plain tree's file and keeps it open as long as the node is: what the host
 * does to its name meanwhile changes nothing for who has it open. */
must_check int find_hold(struct mount *mount, const struct node_view *view, bool write);

/* One more descriptor of a file that is open. Opening it again would ask its mode again, which may
 * be 0444 in a file that was just made: that is no obstacle to whoever made it. */
must_check int find_once_more(const struct fdref *ref, bool write);

/* Opens the node's own file at its spot, for reading, or for writing too. */
must_check int find_open(struct mount *mount, const struct node_view *view, const struct spot *spot,
                         bool write);

/* The same wherever that is: of a metacopy the file that has the metadata, and not the data that it
 * shows. mount.names is not held. */
must_check int find_open_own(struct mount *mount, const struct node_view *view, bool write);

/* The source of its parent in which a node that is not in the upper lies; `parent` is filled and to
 * be finished by the caller, who may use the source as long as it is. */
must_check int find_lower_source(struct mount *mount, const struct node_view *view,
                                 struct node_view *parent, const struct source **source);

/* Opens the data of a metacopy file, for reading. */
must_check int find_metacopy_data(struct mount *mount, const struct node_view *view);

/* What stat(2) is to say of a node. mount.names is not held. */
must_check int find_attr(struct mount *mount, const struct node_view *view, struct stat *st);

/* When it was made; false where that is not known. mount.names is not held. */
must_check bool find_birth(struct mount *mount, const struct node_view *view,
                           struct statx_timestamp *birth);

/* The same of a spot that was found, before names_end(). */
must_check int find_spot_attr(struct mount *mount, const struct node_view *view,
                              const struct spot *spot, struct stat *st);

/* Whether a node lies in a sealed layer, which does not change. */
must_check bool find_is_sealed(const struct mount *mount, const struct node_view *view);

/* What such a node was shown as when it was looked at last: kept, and told again as long as the
 * kernel may rely on it too. Of others nothing is kept, and false told. */
void find_keep(struct mount *mount, const struct node_view *view, const struct stat *st);
must_check bool find_kept(struct mount *mount, const struct node_view *view, struct stat *st);

/* A name that is known to be linked in the upper directory is not resolved anew: what lies beneath
 * it, and what its attributes say of that, its node knows. Its node, with one more lookup, and what
 * stat(2) is to say of it; -ENOENT where a lookup has to find out. mount.names is not held. */
must_check int find_again(struct mount *mount, const struct node_view *dir, const char *name,
                          struct node_view *view, struct stat *st);

/* Turns the stat of a real object into what is shown: number, link count. */
void find_fix_attr(const struct node_view *view, struct stat *st);

#endif
