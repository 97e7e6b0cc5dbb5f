/* SPDX-License-Identifier: MIT
 *
 * The catalog: one SQLite database, "catalog.db" in the store's directory. WAL, foreign keys,
 * synchronous=FULL, STRICT tables, a busy timeout long enough that no user sees SQLITE_BUSY, and a
 * schema version that is brought up to date when it is opened. The row is the truth; store.h says
 * how rows and directories stay together.
 *
 * Errors: 0 or -errno. -ENOENT: no such row; -ENOTUNIQ: a shortened id that fits several; -EEXIST:
 * a name is taken; -EBUSY: something refers to the row; -EINVAL: a value that no row can have (an
 * empty name, an id of other than 64 hex digits); -EPROTO: the schema is newer than this program;
 * -EIO, -ENOSPC, -EROFS: what SQLite says otherwise, which is told on stderr. Times are nanoseconds
 * since 1970. One thread uses a catalog; any number of processes may have it open.
 */
#ifndef PLYFS_CATALOG_H
#define PLYFS_CATALOG_H

#include "own.h"
#include "volumespec.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct catalog;

/* Opens, makes or migrates the database in the directory `path`. `read_only`: its filesystem is;
 * then it must be there, and -EROFS, which is told, is one that would have to be migrated. */
must_check int catalog_open(const char *path, bool read_only, struct catalog **catalog);
void catalog_close(struct catalog *catalog);

/* A transaction that will write (BEGIN IMMEDIATE). They do not nest. Outside of one each function
 * is a transaction of its own; inside, one that fails has changed nothing. */
must_check int catalog_begin(struct catalog *catalog);
/* Commits where `err`, what the work in it came to, is 0, and rolls back otherwise; what failed,
 * the work or the commit, is returned. A commit that fails has rolled back. */
must_check int catalog_end(struct catalog *catalog, int err);

/* Strings in rows are owned by the row when it was read, and borrowed when it is written. A word
 * that is a whole id means that id, even where it is a name as well. The functions that are called
 * for each row may change the catalog, and a row that is removed meanwhile is left out. */

/* ---- layers ---- */

struct layer_row {
    char *id;      /* the DiffID's 64 hex digits */
    char *name;    /* or NULL */
    char *source;  /* where it came from, in words */
    char *entries; /* xxh3-128 of its "entries" file, 32 hex digits; "" where none was kept */
    int64_t created;
    uint64_t files;     /* entries of any kind */
    uint64_t bytes;     /* of the content of regular files, hard links once */
    uint64_t tar_bytes; /* of its tar */
    bool skeleton;      /* its tar can be given back byte for byte from its skeleton */
};
void layer_row_finish(struct layer_row *row);
#define cleanup_layer_row cleanup(layer_row_finish)

must_check int catalog_add_layer(struct catalog *catalog, const struct layer_row *row);
/* By name, or by id or a prefix of it that fits no other ("sha256:" in front is fine). */
must_check int catalog_find_layer(struct catalog *catalog, const char *word, struct layer_row *row);
/* NULL takes the name away. */
must_check int catalog_name_layer(struct catalog *catalog, const char *id, const char *name);
/* -EBUSY when an image or a mount has it. */
must_check int catalog_remove_layer(struct catalog *catalog, const char *id);
/* Calls `each` for every layer, oldest first, until it returns something else than 0. */
must_check int catalog_each_layer(struct catalog *catalog,
                                  int (*each)(void *context, const struct layer_row *row),
                                  void *context);

/* ---- images ---- */

struct image_row {
    char *id;      /* sha256 of the config, 64 hex digits */
    char *config;  /* the OCI image config, byte for byte */
    char **layers; /* ids, the lowest first */
    unsigned layer_count;
    char **names; /* "name:tag" */
    unsigned name_count;
    int64_t created; /* when it came into this store */
    uint64_t bytes;  /* of all its layers, one that is there twice once; not written */
};
void image_row_finish(struct image_row *row);
#define cleanup_image_row cleanup(image_row_finish)

/* Adds an image whose layers are there; one that is there already stays as it is (its id is its
 * content). `names` in the row are given to it, taken from whatever has them. */
must_check int catalog_add_image(struct catalog *catalog, const struct image_row *row);
/* By "name:tag" ("name" alone means name:latest), or by id or a prefix ("sha256:" is fine). */
must_check int catalog_find_image(struct catalog *catalog, const char *word, struct image_row *row);
must_check int catalog_tag_image(struct catalog *catalog, const char *id, const char *name);
/* Takes one name away; -ENOENT when no image has it. */
must_check int catalog_untag_image(struct catalog *catalog, const char *name);
/* -EBUSY when a mount was made from it, or shows it at a route. Layers stay. */
must_check int catalog_remove_image(struct catalog *catalog, const char *id);
must_check int catalog_each_image(struct catalog *catalog,
                                  int (*each)(void *context, const struct image_row *row),
                                  void *context);

/* ---- mounts ---- */

struct mount_row {
    char *id;      /* 64 hex digits */
    char *name;    /* unique, without a slash in front */
    char *image;   /* id, or NULL when it stands on directories */
    char **lowers; /* absolute directories, topmost first; none when it has an image */
    unsigned lower_count;
    char *options;  /* for every mount of it, as behind -o; or "" */
    bool ephemeral; /* forgotten when it is unmounted */
    int64_t created;
    /* The last time it was mounted, written by catalog_set_mounted() alone. */
    char *mountpoint; /* NULL when it was unmounted since */
    int64_t mounted;  /* 0: never */
    int64_t pid;
    char *boot; /* boot id; NULL when it was never mounted */
};
void mount_row_finish(struct mount_row *row);
#define cleanup_mount_row cleanup(mount_row_finish)

/* -EEXIST when the name is taken. */
must_check int catalog_add_mount(struct catalog *catalog, const struct mount_row *row);
/* By name, id, a prefix of the id, or, when the word is an absolute path, by mountpoint. */
must_check int catalog_find_mount(struct catalog *catalog, const char *word, struct mount_row *row);
must_check int catalog_rename_mount(struct catalog *catalog, const char *id, const char *name);
must_check int catalog_set_mounted(struct catalog *catalog, const char *id, const char *mountpoint,
                                   int64_t pid, const char *boot);
must_check int catalog_set_unmounted(struct catalog *catalog, const char *id);
must_check int catalog_remove_mount(struct catalog *catalog, const char *id);
must_check int catalog_each_mount(struct catalog *catalog,
                                  int (*each)(void *context, const struct mount_row *row),
                                  void *context);

/* ---- volumes ---- */

struct volume_row {
    char *name;
    char *driver;                        /* "local", or a plug-in's name */
    struct volume_pairs options, labels; /* an anonymous one has the label of that */
    int64_t created;
    /* Who it was made for, each NULL where nobody: names as they were then. */
    char *by_mount, *by_image, *by_destination;
    int64_t used; /* when it was last mounted; 0: never */
    /* What was copied into it when it was first used: the image's id (NULL: nothing was), the path
     * in it, and the digests of the entries (entries.h), kept beside _data under this name. */
    char *copied_image, *copied_path, *copied;
    char *renaming; /* the name that it is about to have, or had not yet; not written */
};
void volume_row_finish(struct volume_row *row);
#define cleanup_volume_row cleanup(volume_row_finish)

/* -EEXIST when the name is taken. */
must_check int catalog_add_volume(struct catalog *catalog, const struct volume_row *row);
must_check int catalog_find_volume(struct catalog *catalog, const char *name,
                                   struct volume_row *row);
/* Whether a volume has that name, or is about to: 1 or 0. */
must_check int catalog_volume_taken(struct catalog *catalog, const char *name);
/* -EBUSY while a mount refers to it. */
must_check int catalog_remove_volume(struct catalog *catalog, const char *name);
/* In two steps, with the rename of its directory in between: what begins is what a sweep finds.
 * Both names are taken until the end. To begin: -EEXIST when the other is taken, -EBUSY when a
 * rename has begun already. To end without one: -ENOENT. */
must_check int catalog_begin_rename_volume(struct catalog *catalog, const char *name,
                                           const char *to);
must_check int catalog_end_rename_volume(struct catalog *catalog, const char *name, bool done);
must_check int catalog_set_volume_used(struct catalog *catalog, const char *name, int64_t when);
/* The three of copied, copied_image and copied_path. */
must_check int catalog_set_volume_copied(struct catalog *catalog, const struct volume_row *row);
must_check int catalog_each_volume(struct catalog *catalog,
                                   int (*each)(void *context, const struct volume_row *row),
                                   void *context);
/* Of those alone whose rename was begun and not ended. */
must_check int catalog_each_renamed_volume(struct catalog *catalog,
                                           int (*each)(void *context, const struct volume_row *row),
                                           void *context);
/* Calls `each` with the name of every mount that refers to a volume, in the order of names. */
must_check int catalog_each_volume_user(struct catalog *catalog, const char *name,
                                        int (*each)(void *context, const char *mount),
                                        void *context);

/* ---- the volumes of a mount ---- */

/* How a mount came to a volume. */
enum volume_origin {
    VOLUME_ORIGIN_ASKED,
    VOLUME_ORIGIN_FROM,
    VOLUME_ORIGIN_IMAGE,
    VOLUME_ORIGIN_ATTACHED
};

/* One route of a mount. `spec` says all that is to be done when it is mounted; of a volume `source`
 * is the name of one that has a row, of an anonymous one too, and of an image its id. */
struct mount_volume_row {
    struct volume_spec spec;
    enum volume_origin origin;
    bool anonymous; /* it was made for this mount alone, and has no name but its digits */
};
void mount_volume_row_finish(struct mount_volume_row *row);

/* -EEXIST when the mount has one at that destination. */
must_check int catalog_add_mount_volume(struct catalog *catalog, const char *mount,
                                        const struct mount_volume_row *row);
must_check int catalog_remove_mount_volume(struct catalog *catalog, const char *mount,
                                           const char *destination);
/* In the order in which they are mounted: volume_destination_order(). */
must_check int catalog_each_mount_volume(struct catalog *catalog, const char *mount,
                                         int (*each)(void *context,
                                                     const struct mount_volume_row *row),
                                         void *context);

#endif
