/* SPDX-License-Identifier: MIT
 *
 * A stack: an ordered list of layers. Slot 0 is the writable layer, or absent; the rest are sealed,
 * topmost first. Immutable once opened, but for what the locks of its caches protect.
 */
#ifndef PLYFS_STACK_H
#define PLYFS_STACK_H

#include "dirents.h"
#include "fdcache.h"
#include "origin.h"
#include "ovlattr.h"
#include "own.h"
#include "ownview.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

struct blanks;
struct sources;

enum { STACK_LAYERS_MAX = 4096 };

struct layer {
    int root;           /* open for reading; owned */
    char *path;         /* as the user gave it; for messages */
    uint8_t fs;         /* index into stack.backings */
    char *top;          /* of one that is set apart: where its view begins, or NULL; owned */
    const char *record; /* the attribute that owners are recorded in (record.h); NULL: none */
};

/* How a deleted name is recorded in the upper layer. */
enum whiteform { WHITEFORM_DEVICE, WHITEFORM_FILE };

/* What the upper's filesystem can do, found out in the work directory; see probe.h. */
struct abilities {
    enum ovlspace space;
    enum whiteform whiteform;
    bool tmpfile;         /* O_TMPFILE and linkat of it */
    bool rename_whiteout; /* RENAME_WHITEOUT */
    bool handles;         /* handles may be opened: CAP_DAC_READ_SEARCH */
    bool chown;           /* files may be given away */
    bool exact;           /* what is made in the stage has the very mode that is asked for, ... */
    uid_t uid;            /* ... and this owner */
    gid_t gid;
};

/* What may be written that an older reader would not understand. */
struct features {
    bool redirect;
    bool metacopy;
    bool nofollow; /* neither a redirect nor a metacopy is followed: its name is refused */
    bool index;
    bool sync;      /* false: volatile, nothing is synced */
    bool mode_only; /* ACLs do not count: one that the upper cannot hold may be lost */
    enum ownview_undated undated; /* of what of the upper reading leaves no date */
};

/* The first tag; below are the filesystems of a union. */
enum { STACK_ROUTE_TAG = 0x80 };

struct stack {
    unsigned count; /* layers, slot 0 included */
    bool writable;  /* slot 0 is there */
    /* One layer that is shown as it is: no name in it is a whiteout, no attribute a book. */
    bool plain;
    bool recorded; /* owners of some layer are recorded */
    bool frozen;   /* nobody else changes the layers: what is not there never will be */
    uint8_t tag;   /* of one that is routed to: the highest byte of its inode numbers; else 0 */
    struct layer *layers;
    unsigned backing_count;
    struct backing backings[256];
    int stage; /* work/work: where changes are staged; -1 when read-only */
    int index; /* work/index, or -1 */
    struct abilities able;
    struct features features;
    struct fdcache *fds;   /* borrowed: one cache serves every tree of a mount */
    struct blanks *blanks; /* of the stage, made ahead; NULL: none are. Borrowed */
    uint64_t secret;      /* in the cache's keys: of this stack, and not to be guessed by a layer */
    struct sources *root; /* lower sources of the root directory; NULL when there are none */
    struct mergecache *merges;
};

/* Opens the layers of an already filled-in plan. `paths` is topmost first; when `writable`,
 * paths[0] is the upper. On failure *culprit is the index of the path that is at fault. */
must_check int stack_open(struct stack *stack, const char *const *paths, unsigned count,
                          bool writable, struct fdcache *fds, unsigned *culprit);
void stack_close(struct stack *stack);

/* Has a lower layer in a view of its own (ownview.h), where nothing that is mounted in it is seen
 * and reading leaves no date. stack_open() does so where something is mounted; for what will be it
 * is to be said before anything of the layer is looked at. The errors are those of ownview_of(). */
must_check int stack_set_apart(struct stack *stack, unsigned layer);

/* The same for all lower layers, as far as we may. 0 or -ENOMEM. */
must_check int stack_set_lowers_apart(struct stack *stack);

/* Has the layer from now on by that view, and by the same number, for others have it by that.
 * `real` is its path without symlinks. */
must_check int stack_take_view(struct layer *layer, int view, const char *real);

/* Where the layer lies now, by a path without symlinks: the caller's, or NULL. */
char *stack_find_layer(const struct layer *layer);

/* Whether the layers are where they were opened: 0, or -ESTALE when one is not. A store takes a
 * layer out of its place before it deletes what is in it, so what was read before was all there. */
must_check int stack_in_place(const struct stack *stack);

/* A plain stack over `root`, a directory open for reading or, with O_PATH, anything else. Takes
 * ownership of it in every case. `path` is for messages; `tag` is at least STACK_ROUTE_TAG. */
must_check int stack_open_plain(struct stack *stack, int root, const char *path, uint8_t tag,
                                struct fdcache *fds);

/* Where owners of the upper are recorded from now on; NULL: nowhere. */
void stack_record_upper(struct stack *stack, const char *attr);

/* What (dir, name) of that layer is meant to be: fd_stat(), and its record. Of a plain stack a
 * device that lies on what is mounted nodev is one that there is no driver for (0:0): a bind mount
 * keeps to that (mount(2)), and so does this. */
must_check int stack_stat(const struct stack *stack, unsigned layer, int dir, const char *name,
                          struct stat *st);

/* Where the books of the upper layer are read. */
static inline enum ovlwhere stack_upper_where(const struct stack *stack)
{
    return ovlwhere_upper(stack->able.space);
}

/* The inode number shown for `real` on layer `layer`: unique over all layers. Where there is one
 * filesystem it is the real one; else the filesystem's index is in the highest byte, as the
 * kernel's xino does. */
uint64_t stack_ino(const struct stack *stack, unsigned layer, uint64_t real);

/* The same of an object of slot 0 by its stat: in a plain stack it may be of a filesystem that is
 * mounted beneath, and then the number is mixed with that one's. */
uint64_t stack_upper_ino(const struct stack *stack, const struct stat *st);

/* The number of a copied-up file: its origin's. -ESTALE when it has none that can be found; another
 * errno when the filesystem failed. */
must_check int stack_origin_ino(const struct stack *stack, int dir, const char *name, ovlset attrs,
                                uint64_t *ino);

/* What the lower object is that (dir, name) was copied from, by its origin. -ESTALE when it cannot
 * be told. */
must_check int stack_origin_stat(const struct stack *stack, int dir, const char *name,
                                 struct stat *st);

/* The directory `path` of `layer`, from the cache or opened beneath its root: for reading, where
 * that is allowed. NULL and *err. */
struct fdref *stack_lower_dir(const struct stack *stack, unsigned layer, const char *path,
                              int *err);

/* Reads it, as dirents_each() does. */
must_check int stack_read_lower(const struct stack *stack, unsigned layer, const char *path,
                                int (*each)(void *context, int fd, const struct dirent *entry),
                                void *context);

#endif
