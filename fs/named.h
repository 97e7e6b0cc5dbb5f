/* SPDX-License-Identifier: MIT
 *
 * Named mounts: what the catalog keeps so that a tree can be mounted again with the changes it had,
 * as a container is kept. Its directory, STORE/mounts/ID, holds "upper", "work" and "lock"; the
 * daemon holds the lock for as long as it lives, so whether it lives needs no process id. Every
 * failure but -ENOENT of named_find() is told on stderr.
 */
#ifndef PLYFS_NAMED_H
#define PLYFS_NAMED_H

#include "options.h"
#include "own.h"
#include "stack.h"
#include "store.h"
#include "volumerows.h"

#include <stdbool.h>

/* Opens the store that --root says (NULL: the usual one); see store_open(). */
must_check int named_open_store(const char *root, bool make, struct store **store);

enum named_state { NAMED_CREATED, NAMED_MOUNTED, NAMED_UNMOUNTED, NAMED_DEAD };

/* Docker's words for a state: "created", "mounted", "unmounted", "dead". */
const char *named_state_word(enum named_state state);
must_check int named_state(const struct store *store, const struct mount_row *row,
                           enum named_state *state);

/* Whether a mount may have that name: 0, or -EINVAL with a message. */
must_check int named_check_name(const char *name);

/* What a new one is to be. Either an image or directories. */
struct named_wish {
    const char *name;          /* NULL: the first digits of its id */
    const char *image;         /* name or id */
    const char *const *lowers; /* directories, topmost first */
    unsigned lower_count;
    const char *options; /* as behind -o; or NULL */
    bool ephemeral;
    /* What is to be routed in it, or NULL; anonymous volumes in it get their names. */
    struct volume_rows *volumes;
};

/* Makes one, with its volumes, or nothing of it all. The row is the caller's to finish. -EEXIST:
 * the name is taken. */
must_check int named_create(struct store *store, const struct named_wish *wish,
                            struct mount_row *row);

/* Finds one by name, id, a prefix of it, or any path of its mountpoint with a slash. -ENOENT is
 * told too, but for `quietly`. */
must_check int named_find(struct store *store, const char *word, bool quietly,
                          struct mount_row *row);

/* Adds its layers and its upper to what a mount is to be. */
must_check int named_fill(struct store *store, const struct mount_row *row,
                          struct options *options);

/* Takes its lock, for the life of the caller. -EBUSY: it is mounted. */
must_check int named_lock(const struct store *store, const struct mount_row *row, int *lock);

/* What its daemon's end is seen by: a descriptor, the caller's. To be had before the mount is
 * unmounted: one that is forgotten at its end has no such file after that, and its daemon is not
 * done yet. */
must_check int named_watch(const struct store *store, const struct mount_row *row);

/* Waits until its daemon has ended. `watch`: of named_watch(), or its error, which is told here
 * where the mount is there still. -ETIMEDOUT after `seconds`. */
must_check int named_wait(const struct store *store, const struct mount_row *row, int watch,
                          int seconds);

/* Removes it: the row, then the directory. It must not be mounted. `volumes`: also its anonymous
 * volumes that no other mount has. */
must_check int named_forget(struct store *store, const struct mount_row *row, bool volumes);

/* Its layers and its upper, open to be read, mounted or not. */
struct named_view {
    struct stack stack;
    struct fdcache *fds;
};
must_check int named_view_open(struct store *store, const struct mount_row *row,
                               struct named_view *view);
void named_view_close(struct named_view *view);

/* What the kernel still keeps of its writes goes to the upper. */
void named_flush(const struct store *store, const struct mount_row *row);

/* That, and then its view. */
must_check int named_view_flushed(struct store *store, const struct mount_row *row,
                                  struct named_view *view);

#endif
