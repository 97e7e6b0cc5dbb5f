/* SPDX-License-Identifier: MIT
 *
 * Volumes of a store: STORE/volumes/NAME/_data is what a volume of the driver "local" holds, beside
 * it "lock" (shared by whoever serves it, held by whoever fills, renames or removes it) and, where
 * it has a limit, "usage" (quota.h). A volume is made whole in the stage, its first content
 * included, and published by one rename; its row comes in the same transaction as what needs it.
 * So a crash leaves a volume or none, never one that is half filled, and no row without its
 * directory. Semantics: moby, volume/service; shared names and JSON fields.
 *
 * Every failure is told on stderr, but where it says otherwise.
 */
#ifndef PLYFS_VOLUME_H
#define PLYFS_VOLUME_H

#include "own.h"
#include "stack.h"
#include "store.h"
#include "volumeinplace.h"
#include "volumeplace.h"
#include "volumespec.h"

#include <stdbool.h>
#include <stdint.h>

/* Owner and mode of a volume's root, as somebody asked for them: -1 where nobody did. */
struct volume_root {
    int64_t uid, gid, mode;
};

/* What a new volume is to be. */
struct volume_wish {
    const char *name;   /* NULL: 64 hex digits, and the label of anonymous volumes */
    const char *driver; /* NULL: local */
    const struct volume_pairs *options, *labels; /* or NULL */
    /* Who needs it: for those who find it later. Each may be NULL. */
    const char *mount, *image, *destination;
    /* Its first content: what the union shows at the directory `content` (a path as
     * rootpath_find() takes it), with its owner, mode, times and attributes. NULL: an empty root,
     * 0755 of root. Where nothing is there, or no directory, it is empty too. */
    const struct stack *stack;
    const char *content;
    const char *subpath; /* of volume_fill(): the directory of it that gets the content; or NULL */
    volume_filler *fill; /* makes its first content instead; or NULL */
    /* NULL: as its first content has it. -EINVAL, told, where it does not lie in the store. */
    const struct volume_root *root;
    void (*seen)(void *context, uint64_t bytes); /* told the bytes copied so far; or NULL */
    void *context;
};

/* Several volumes, and whatever else is to come with them, in one step: volume_stage() each into a
 * stage, then inside store_publishing() and a transaction volume_publish() each. */
struct volume_staged {
    struct volume_row row;
    char slot[STORE_ID_SIZE]; /* its name in the stage */
    bool made;                /* its plug-in had none of that name before */
};
must_check int volume_stage(struct store *store, struct stage *stage,
                            const struct volume_wish *wish, struct volume_staged *staged);
/* -EEXIST (not told): somebody made one of that name meanwhile. */
must_check int volume_publish(struct store *store, struct stage *stage,
                              struct volume_staged *staged);
void volume_staged_finish(struct volume_staged *staged);
/* What was staged comes to nothing: a plug-in that made a volume for it is told to remove that,
 * unless somebody else has it in the catalog meanwhile. Not in a transaction. */
void volume_unstage(struct store *store, const struct volume_staged *staged);
/* What was published is taken back. */
must_check int volume_unpublish(struct store *store, const struct volume_staged *staged);

/* Both of that for one volume. *existed: there was one of that name, and the row is its; a warning
 * is told where options or labels differ; another driver is -EEXIST. */
must_check int volume_create(struct store *store, const struct volume_wish *wish,
                             struct volume_row *row, bool *existed);

/* Gives an existing volume its first content, if it has none ("lost+found" does not count) and
 * nobody has it mounted: 1 when it did, 0 when there was nothing to do. A root whose owner or mode
 * somebody chose (it is not root's 0755) keeps them. */
must_check int volume_fill(struct store *store, const struct volume_row *row,
                           const struct volume_wish *wish);

/* By its name. -ENOENT is told ("get N: no such volume") but for `quietly`. */
must_check int volume_find(struct store *store, const char *name, bool quietly,
                           struct volume_row *row);

/* Removes it: -EBUSY when a mount refers to it ("remove N: volume is in use - [mounts]"), which is
 * not told for `quietly`; -ENOENT, never told, when somebody was faster. A plug-in is told first.
 */
must_check int volume_remove(struct store *store, const struct volume_row *row, bool quietly);

/* -EEXIST: the new name is taken; -EBUSY: it is mounted now; -EOPNOTSUPP: a plug-in's. Whatever
 * refers to it follows. A crash leaves the old name or the new one. */
must_check int volume_rename(struct store *store, const struct volume_row *row, const char *name);

/* A new volume with the same content, options and labels. */
must_check int volume_clone(struct store *store, const struct volume_row *row, const char *name,
                            void (*seen)(void *context, uint64_t bytes), void *context);

/* Bytes (hard links once) and names in it; 0 and 0 where it cannot be looked into. */
void volume_usage(const struct store *store, const struct volume_row *row, uint64_t *bytes,
                  uint64_t *names);

/* Gives it what `fill` makes, in the place of all that it holds, by one rename: whoever comes after
 * a failure or a crash finds the old content or the new. What was copied into it once is forgotten.
 * -EBUSY, told, while it is mounted. */
must_check int volume_replace(struct store *store, const struct volume_row *row,
                              volume_filler *fill, void *context);

/* What was copied into it when it was first used, against what the image shows there now. Calls
 * `each` for every path that the volume, the image, or both changed since; see volume_row.copied.
 */
enum volume_change { VOLUME_CHANGE_VOLUME = 1, VOLUME_CHANGE_IMAGE = 2 };
must_check int volume_diff(struct store *store, const struct volume_row *row,
                           int (*each)(void *context, const char *path, char kind, unsigned who),
                           void *context);

/* Empties a volume and gives it the content of the image that it was first filled from, or of
 * `image` (its name or id; NULL: the same name, as it is tagged now). Staged, published by one
 * rename. -EBUSY while it is mounted; -ENOENT where the image has no directory there: then nothing
 * is changed. */
must_check int volume_reseed(struct store *store, const struct volume_row *row, const char *image,
                             void (*seen)(void *context, uint64_t bytes), void *context);

#endif
