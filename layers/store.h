/* SPDX-License-Identifier: MIT
 *
 * A store on disk: one directory, in it the catalog (catalog.h) and
 *
 *   layers/ID/tree       the content of a sealed layer, as an overlay's lower directory
 *   layers/ID/entries    the digest of every entry, taken when the layer was sealed (entries.h)
 *   layers/ID/skeleton   where the layer came as a tar: what of it is not file content (skeleton.h)
 *   volumes/NAME/        _data, lock and what else belongs to a volume (volume.h)
 *   mounts/ID/           upper, work, and lock, which the daemon holds while it lives
 *   filling/KEY          how far a directory of the host is filled (volumeinplace.h)
 *   stage/NAME/          work in progress; whoever works there holds a lock on the directory
 *   lock                 held to publish, discard and sweep
 *
 * Publishing: a directory is made whole in the stage, synced, renamed into its place, and then the
 * catalog gets its row. Removing: the row goes first, then the directory is renamed into the stage
 * and deleted there. So a crash leaves a directory without a row, which is rubbish to sweep, or
 * something in the stage that nobody holds the lock of; never a row without its directory.
 */
#ifndef PLYFS_STORE_H
#define PLYFS_STORE_H

#include "catalog.h"
#include "own.h"

#include <stdbool.h>

enum { STORE_ID_SIZE = 65 }; /* 64 hex digits and the end */

struct store {
    char *path; /* absolute */
    int root;   /* the store's directory */
    int layers, mounts, volumes, stage;
    int lock;
    bool locked;    /* `lock` is held: store_publishing() */
    bool read_only; /* its filesystem is: nothing of it can be changed, all of it be looked at */
    struct catalog *catalog;
};

/* Where the store is: `chosen` (of --root, or NULL), else $PLYFS_ROOT, else $XDG_DATA_HOME/plyfs or
 * ~/.local/share/plyfs, for root /var/lib/plyfs. An absolute path, the caller's to free; NULL when
 * out of memory or when there is no home to put it in. */
char *store_default_path(const char *chosen);

/* Opens a store. Where there is none, `make` makes one (mode 0700) in a directory that is missing
 * or empty; without it the answer is -ENOENT, of which the caller knows more than can be told here.
 * Of every other failure the message is on stderr. -EPROTO: made by a newer plyfs. */
must_check int store_open(const char *path, bool make, struct store **store);
void store_close(struct store *store);
static inline void own_store(struct store **store)
{
    if (*store)
        store_close(*store);
}
#define cleanup_store cleanup(own_store)

/* A new id: 64 random hex digits. */
must_check int store_new_id(char id[STORE_ID_SIZE]);

/* The directory that the layer `id` shows, by its path; the caller's to free. NULL when out of
 * memory. */
char *store_layer_path(const struct store *store, const char *id);

/* The same of all layers of an image: the topmost first, as a stack has them, and NULL at the end.
 * NULL when out of memory. */
char **store_image_paths(const struct store *store, const struct image_row *image);
void store_paths_free(char **paths);
static inline void own_paths(char ***paths)
{
    store_paths_free(*paths);
}
#define cleanup_paths cleanup(own_paths)

/* ---- the stage ---- */

/* A directory of the stage, locked. */
struct stage {
    char name[STORE_ID_SIZE];
    int dir; /* it holds the lock */
};
#define STAGE_NONE ((struct stage){.dir = -1})

must_check int store_stage(struct store *store, struct stage *stage);

/* Removes it with what is left in it (what was published is no longer there) and gives up the lock.
 * STAGE_NONE is fine. */
void store_unstage(struct store *store, struct stage *stage);

/* ---- publishing ---- */

/* From store_publishing() to store_published() nobody else publishes, discards or sweeps; what was
 * written into stages before it is synced. So: fill the stage, store_publishing(), any number of
 * store_publish(), add the rows, store_published(). A transaction of the catalog begins in between
 * and not before: who waits for this lock must not hold up those that have it. store_published()
 * without a store_publishing() is fine. */
must_check int store_publishing(struct store *store);
void store_published(struct store *store);

/* Puts the directory `name` of the stage in its place, (to, id), durably. -EEXIST when that place
 * is taken by one that has a row; one that has none is what a crash left, and makes room. */
must_check int store_publish(struct store *store, struct stage *stage, const char *name, int to,
                             const char *id);

/* Moves the directory (from, id), whose row is gone (committed), out of sight and deletes it. What
 * cannot be deleted now is swept later. One that is not there, or has a row again, is fine. */
must_check int store_discard(struct store *store, int from, const char *id);

/* ---- daemons ---- */

/* Takes the lock of a mount, which its daemon holds while it lives: a descriptor, -EWOULDBLOCK when
 * one does, -ENOENT when there is no such directory. */
must_check int store_lock_mount(struct store *store, const char *id);

/* ---- volumes ---- */

/* Takes the lock of a volume: LOCK_SH by whoever serves its content, LOCK_EX by whoever fills,
 * renames, replaces or removes it. A descriptor; -EWOULDBLOCK when that cannot be had now, -ENOENT
 * when there is no such directory. */
must_check int store_lock_volume(struct store *store, const char *name, int operation);

/* ---- sweeping ---- */

/* What a check of the store against its disk found. */
enum store_fault {
    STORE_FAULT_STAGE,      /* stage/NAME that nobody works in */
    STORE_FAULT_LAYER_DIR,  /* layers/ID without a row */
    STORE_FAULT_LAYER_ROW,  /* a row without layers/ID */
    STORE_FAULT_MOUNT_DIR,  /* mounts/ID without a row */
    STORE_FAULT_MOUNT_ROW,  /* a row without mounts/ID */
    STORE_FAULT_DAEMON,     /* a mount whose row says mounted and whose daemon is dead */
    STORE_FAULT_EPHEMERAL,  /* a mount that was to be forgotten, was mounted, and has no daemon */
    STORE_FAULT_VOLUME_DIR, /* volumes/NAME without a row */
    STORE_FAULT_VOLUME_ROW, /* a row without volumes/NAME */
    STORE_FAULT_VOLUME_RENAME, /* a rename that was begun: its directory tells whether it is done */
};

/* Looks for faults while nobody publishes (locked as by store_publishing()). `tell` is called for
 * each; where it returns true the fault is mended: rubbish removed, a row that cannot be true
 * removed or set right; and `ended`, unless NULL, hears whether that succeeded: of rubbish in the
 * end, when it is deleted, or is not, which is told on stderr too. A positive or 0 return is the
 * number that was left, among them the row of a layer that an image has, and of a volume that a
 * mount has. Others wait meanwhile, so neither asks anybody. Not in a transaction, and not while
 * publishing. */
must_check int store_check(struct store *store,
                           bool (*tell)(void *context, enum store_fault fault, const char *id),
                           void (*ended)(void *context, enum store_fault fault, const char *id,
                                         bool mended),
                           void *context);

#endif
