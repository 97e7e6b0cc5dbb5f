/* SPDX-License-Identifier: MIT
 *
 * Duty: a volume and the image that its first content came from: what became of either since, and
 * that content anew.
 *
 * What was copied is known by its digests. Those of the image's directory as it is now are taken of
 * a copy in the stage, so that one piece of code says what an image shows, and one what a digest
 * covers; a comparison costs the bytes of a copy for as long as it takes.
 */
#include "volume.h"

#include "entries.h"
#include "fd.h"
#include "log.h"
#include "rootfs.h"
#include "volumechange.h"
#include "volumefill.h"
#include "volumemake.h"

#include <fcntl.h>
#include <string.h>

/* The image `wanted`, or the one that the volume was filled from: by its name as it is tagged now,
 * else by its id. */
static int find_rootfs(struct store *store, const struct volume_row *row, const char *wanted,
                       struct rootfs *rootfs)
{
    if (wanted)
        return rootfs_open(store, wanted, rootfs);
    int err = row->by_image ? rootfs_open(store, row->by_image, rootfs) : -ENOENT;
    if (err == -ENOENT && row->copied_image) {
        rootfs_finish(rootfs);
        err = rootfs_open(store, row->copied_image, rootfs);
    }
    return err;
}

static int open_rootfs(struct store *store, const struct volume_row *row, const char *wanted,
                       struct rootfs *rootfs)
{
    const char *name = wanted ? wanted : row->by_image ? row->by_image : "of its first content";
    int err = find_rootfs(store, row, wanted, rootfs);
    if (err)
        log_error("volume %s: the image %s: %s", row->name, name, strerror(-err));
    return err;
}

static int check_copied(const struct volume_row *row)
{
    if (row->copied_path)
        return 0;
    log_error("volume %s: nothing was copied into it from an image", row->name);
    return -ENODATA;
}

/* ---- anew ---- */

/* Nothing was changed. */
static int tell_nothing_there(const struct volume_row *row, const char *image)
{
    const char *name = image ? image : row->by_image;
    log_error("volume %s: the image %s%shas no directory at %s; the volume stays as it is: name "
              "another image with --image",
              row->name, name ? name : "", name ? " " : "", row->copied_path);
    return -ENOENT;
}

int volume_reseed(struct store *store, const struct volume_row *row, const char *image,
                  void (*seen)(void *context, uint64_t bytes), void *context)
{
    cleanup_rootfs struct rootfs rootfs = {0};
    int err = check_copied(row);
    if (!err)
        err = open_rootfs(store, row, image, &rootfs);
    if (err)
        return err;
    const struct volume_wish wish = {.image = rootfs.image.id,
                                     .stack = &rootfs.stack,
                                     .content = row->copied_path,
                                     .seen = seen,
                                     .context = context};
    struct volumemake make = {.wish = &wish, .only_if_any = true};
    struct volume_row changed = *row;
    changed.copied = changed.copied_image = changed.copied_path = NULL;
    err = volumechange_put(store, &make, &changed, false);
    if (err == 0)
        err = tell_nothing_there(row, image);
    else if (err == -EBUSY)
        log_error("volume %s is in use: it can be filled anew when it is unmounted", row->name);
    else
        err = volumemake_tell(&make, "cannot fill anew volume", row->name, err);
    free(changed.copied);
    free(changed.copied_image);
    free(changed.copied_path);
    return err < 0 ? err : 0;
}

/* ---- what became of it ---- */

/* What differs from what was copied, in the order of paths. */
struct differences {
    struct difference {
        const char *path; /* of the entries */
        char kind;
    } * at;
    size_t count, room;
};

static void differences_finish(struct differences *differences)
{
    free(differences->at);
}
#define cleanup_differences cleanup(differences_finish)

static int note_difference(void *context, const struct entry_digest *was,
                           const struct entry_digest *is)
{
    struct differences *differences = context;
    if (differences->count == differences->room) {
        size_t room = differences->room ? differences->room * 2 : 64;
        struct difference *larger = reallocarray(differences->at, room, sizeof(*larger));
        if (!larger)
            return -ENOMEM;
        differences->at = larger;
        differences->room = room;
    }
    differences->at[differences->count++] = (struct difference){.path = was ? was->path : is->path,
                                                                .kind = !was  ? 'A'
                                                                        : !is ? 'D'
                                                                              : 'C'};
    return 0;
}

static int tell_both(const struct differences *volume, const struct differences *image,
                     int (*each)(void *context, const char *path, char kind, unsigned who),
                     void *context)
{
    size_t v = 0, i = 0;
    int result = 0;
    while (!result && (v < volume->count || i < image->count)) {
        const struct difference *mine = v < volume->count ? &volume->at[v] : NULL;
        const struct difference *its = i < image->count ? &image->at[i] : NULL;
        int order = !mine ? 1 : !its ? -1 : strcmp(mine->path, its->path);
        const struct difference *first = order <= 0 ? mine : its;
        unsigned who =
            (order <= 0 ? VOLUME_CHANGE_VOLUME : 0) | (order >= 0 ? VOLUME_CHANGE_IMAGE : 0);
        v += order <= 0;
        i += order >= 0;
        result = each(context, first->path, first->kind, who);
    }
    return result;
}

static int read_copied(struct store *store, const struct volume_row *row, struct entries *was)
{
    char digest[33];
    cleanup_fd int dir = fd_open_name(store->volumes, row->name, O_RDONLY | O_DIRECTORY, 0);
    int err = dir < 0 ? dir : entries_read(dir, VOLUMEMAKE_COPIED, was, digest);
    if (err)
        log_error("volume %s: the digests of what was copied: %s", row->name, strerror(-err));
    return err;
}

static int take_volume(struct store *store, const struct volume_row *row, struct entries *is)
{
    cleanup_fd int tree = volumeplace_open(store, row);
    if (tree >= 0)
        return entries_take(tree, TREEKIND_PLAIN, is, NULL, NULL);
    log_error("volume %s: %s", row->name, strerror(-tree));
    return tree;
}

static int take_staged(const struct stage *stage, const struct rootfs *rootfs, const char *path,
                       struct entries *is)
{

    if (mkdirat(stage->dir, VOLUMEMAKE_DATA, 0755) < 0)
        return -errno;
    cleanup_fd int tree = fd_open_name(stage->dir, VOLUMEMAKE_DATA, O_RDONLY | O_DIRECTORY, 0);
    int copied = tree < 0 ? tree : volumefill_copy(&rootfs->stack, path, tree, NULL, NULL);
    return copied <= 0 ? copied : entries_take(tree, TREEKIND_PLAIN, is, NULL, NULL);
}

/* Where the image has nothing there any more, it has no entries. */
static int take_image(struct store *store, const struct volume_row *row, struct entries *is)
{
    struct stage stage;
    cleanup_rootfs struct rootfs rootfs = {0};
    int err = open_rootfs(store, row, NULL, &rootfs);
    if (!err)
        err = store_stage(store, &stage);
    if (err)
        return err;
    err = take_staged(&stage, &rootfs, row->copied_path, is);
    store_unstage(store, &stage);
    return err;
}

int volume_diff(struct store *store, const struct volume_row *row,
                int (*each)(void *context, const char *path, char kind, unsigned who),
                void *context)
{
    cleanup_entries struct entries was = {0}, volume = {0}, image = {0};
    cleanup_differences struct differences mine = {0}, its = {0};
    int err = check_copied(row);
    if (!err)
        err = read_copied(store, row, &was);
    if (!err)
        err = take_volume(store, row, &volume);
    if (!err)
        err = take_image(store, row, &image);
    if (!err)
        err = entries_compare(&was, &volume, note_difference, &mine);
    if (!err)
        err = entries_compare(&was, &image, note_difference, &its);
    return err ? err : tell_both(&mine, &its, each, context);
}
