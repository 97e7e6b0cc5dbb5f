/* SPDX-License-Identifier: MIT
 *
 * Duty: new content for a volume that is there already, or that another has.
 *
 * In the store it is made in the stage and takes the place of the old by one exchange of two
 * directories. What was copied is written down before that: after a crash in between the volume is
 * as it was, and a volume that is empty is filled again. A directory of the host, and one on which
 * something is mounted, is filled where it is (volumeinplace.h).
 */
#include "volumechange.h"

#include "copytree.h"
#include "fd.h"
#include "log.h"
#include "quota.h"
#include "volumeinplace.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

/* A change of one volume. */
struct change_of {
    struct store *store;
    struct volumemake *make;
    struct volume_row *row; /* gets the new record */
    int dir;                /* the volume's directory */
    int data;               /* its content, or a directory of it: */
    bool part;              /* there is no record of that */
    int at;                 /* where `data` is */
    const char *name;       /* and what it is called there */
};

static bool is_mounted_upon(const struct change_of *change)
{
    struct stat dir, data;
    return fd_stat(change->dir, "", &dir) < 0 || fd_stat(change->data, "", &data) < 0 ||
           dir.st_dev != data.st_dev;
}

/* ---- in the store ---- */

/* The record of what was copied comes into the directory, and its row. */
static int put_record(struct change_of *change, const struct stage *stage)
{
    if (change->part)
        return 0;
    if (change->row->copied &&
        renameat(stage->dir, VOLUMEMAKE_COPIED, change->dir, VOLUMEMAKE_COPIED) < 0)
        return -errno;
    return catalog_set_volume_copied(change->store->catalog, change->row);
}

static int exchange(struct change_of *change, const struct stage *stage)
{
    if (renameat2(stage->dir, VOLUMEMAKE_DATA, change->at, change->name, RENAME_EXCHANGE) < 0)
        return -errno;
    return fsync(change->at) < 0 || fsync(stage->dir) < 0 ? -errno : 0;
}

static int publish(struct change_of *change, const struct stage *stage)
{
    int err = store_publishing(change->store);
    if (!err)
        err = put_record(change, stage);
    if (!err)
        err = exchange(change, stage);
    store_published(change->store);
    return err;
}

static int make_in_stage(struct change_of *change, const struct stage *stage)
{
    if (mkdirat(stage->dir, VOLUMEMAKE_DATA, 0755) < 0)
        return -errno;
    cleanup_fd int tree = fd_open_name(stage->dir, VOLUMEMAKE_DATA, O_RDONLY | O_DIRECTORY, 0);
    if (tree < 0)
        return tree;
    int err = volumemake_content(change->make, tree);
    if (!err && !change->part)
        err = volumemake_record(change->store, change->make, tree, stage->dir, change->row);
    return err;
}

static int put_in_store(struct change_of *change)
{
    struct stage stage;
    int err = store_stage(change->store, &stage);
    if (err)
        return err;
    err = make_in_stage(change, &stage);
    if (!err)
        err = publish(change, &stage);
    store_unstage(change->store, &stage);
    return err ? err : 1;
}

/* ---- in place ---- */

static int put_in_place(struct change_of *change, bool only_empty)
{
    struct stage stage;
    int root = change->store->root;
    int err = only_empty
                  ? volumeinplace_fill(root, change->data, volumemake_content, change->make)
                  : volumeinplace_replace(root, change->data, volumemake_content, change->make);
    if (err < 0 || (only_empty && err == 0))
        return err;
    err = store_stage(change->store, &stage);
    if (err)
        return err;
    err = volumemake_record(change->store, change->make, change->data, stage.dir, change->row);
    if (!err)
        err = put_record(change, &stage);
    store_unstage(change->store, &stage);
    return err ? err : 1;
}

/* ---- either ---- */

/* Whether it is to be filled: 1 or 0. In the store nothing is ever half done. */
static int lacks_content(const struct change_of *change, bool in_place)
{
    int err = in_place ? volumeinplace_mend(change->store->root, change->data) : 0;
    return err ? err : volumeinplace_is_empty(change->data);
}

static int put_locked(struct change_of *change, bool only_empty)
{
    struct stat root;
    bool in_place = volumeplace_of(change->row) == VOLUMEPLACE_HOST || is_mounted_upon(change);
    int err = fd_stat(change->data, "", &root);
    change->make->limit = volumeplace_limit(change->row);
    if (!err && only_empty) {
        int empty = lacks_content(change, in_place);
        if (empty <= 0)
            return empty;
        change->make->chosen = volumemake_is_default(&root) ? NULL : &root;
        change->make->only_if_any = true;
    }
    if (err)
        return err;
    int put = in_place ? put_in_place(change, only_empty) : put_in_store(change);
    change->make->chosen = NULL;
    return put == -ENODATA && !change->make->told ? 0 : put;
}

/* A directory of a volume of the store that is empty: as the whole is filled, and nothing is
 * written down of it, for the record is the whole volume's. Elsewhere it stays as it is: what a
 * crash left beneath a directory of the host nobody would look for. */
static int put_beneath(const struct change_of *whole, const char *subpath)
{
    const char *slash = strrchr(subpath, '/');
    cleanup_free char *front = strndup(subpath, slash ? (size_t)(slash - subpath) : 0);
    struct change_of part = *whole;
    if (!front)
        return -ENOMEM;
    cleanup_fd int at = fd_open_beneath(whole->data, front, O_RDONLY | O_DIRECTORY);
    part.name = slash ? slash + 1 : subpath;
    cleanup_fd int data = at < 0 ? at : fd_open_name(at, part.name, O_RDONLY | O_DIRECTORY, 0);
    if (data < 0)
        return data == -ENOTDIR ? 0 : data;
    part.at = at;
    part.data = data;
    part.part = true;
    if (volumeplace_of(whole->row) != VOLUMEPLACE_STORE || is_mounted_upon(&part))
        return 0;
    int err = volumeplace_limit(part.row) ? quota_weigh(whole->data, &part.make->beside) : 0;
    return err ? err : put_locked(&part, true);
}

int volumechange_put(struct store *store, struct volumemake *make, struct volume_row *row,
                     bool only_empty)
{
    cleanup_fd int lock = store_lock_volume(store, row->name, LOCK_EX);
    if (lock < 0)
        return lock == -EWOULDBLOCK ? -EBUSY : lock;
    cleanup_fd int dir = fd_open_name(store->volumes, row->name, O_RDONLY | O_DIRECTORY, 0);
    cleanup_fd int data = dir < 0 ? dir : volumeplace_open(store, row);
    if (data < 0)
        return data;
    struct change_of change = {.store = store,
                               .make = make,
                               .row = row,
                               .dir = dir,
                               .data = data,
                               .at = dir,
                               .name = VOLUMEMAKE_DATA};
    if (make->wish->subpath)
        return put_beneath(&change, make->wish->subpath);
    return put_locked(&change, only_empty);
}

/* A row of which the record alone may be written. */
static struct volume_row row_to_change(const struct volume_row *row)
{
    struct volume_row changed = *row;
    changed.copied = changed.copied_image = changed.copied_path = NULL;
    return changed;
}

static void finish_changed(struct volume_row *changed)
{
    free(changed->copied);
    free(changed->copied_image);
    free(changed->copied_path);
}

int volume_fill(struct store *store, const struct volume_row *row, const struct volume_wish *wish)
{
    struct volumemake make = {.wish = wish};
    if (volumeplace_of(row) == VOLUMEPLACE_DRIVER)
        return 0;
    cleanup(finish_changed) struct volume_row changed = row_to_change(row);
    int result = volumechange_put(store, &make, &changed, true);
    if (result == -EBUSY) /* whoever serves it, or fills it just now, has it */
        return 0;
    return volumemake_tell(&make, "cannot fill volume", row->name, result);
}

int volume_replace(struct store *store, const struct volume_row *row, volume_filler *fill,
                   void *context)
{
    const struct volume_wish wish = {.fill = fill, .context = context};
    struct volumemake make = {.wish = &wish};
    cleanup(finish_changed) struct volume_row changed = row_to_change(row);
    int result = volumechange_put(store, &make, &changed, false);
    if (result == -EBUSY) {
        log_error("volume %s is in use: it can get new content when it is unmounted", row->name);
        return result;
    }
    if (result == -EREMOTE) {
        log_error(
            "volume %s: its driver alone reaches what it holds; import into it through a mount "
            "that has it",
            row->name);
        return result;
    }
    result = volumemake_tell(&make, "cannot give new content to volume", row->name, result);
    return result < 0 ? result : 0;
}

/* ---- another one like it ---- */

struct cloning {
    int from;
    void (*seen)(void *context, uint64_t bytes);
    void *context;
};

static int copy_content(void *context, int tree)
{
    const struct cloning *cloning = context;
    struct copytree job = {.from = cloning->from,
                           .to = tree,
                           .kind = TREEKIND_PLAIN,
                           .seen = cloning->seen,
                           .context = cloning->context};
    int err = copytree_copy(&job);
    if (err)
        log_error("cannot clone: %s", job.words);
    return err;
}

/* Its options, but where the content lies: that would be the same place. Its labels, but that of
 * anonymous volumes: it has a name. */
static int copy_but(const struct volume_pairs *from, const char *const *but,
                    struct volume_pairs *to)
{
    int err = 0;
    for (unsigned i = 0; i < from->count && !err; i++) {
        bool left_out = false;
        for (unsigned k = 0; but[k]; k++)
            left_out = left_out || strcmp(from->at[i].key, but[k]) == 0;
        if (!left_out)
            err = volume_pairs_set(to, from->at[i].key, from->at[i].value);
    }
    return err;
}

static int clone_as(struct store *store, const struct volume_row *row, const char *name,
                    struct cloning *cloning)
{
    static const char *const places[] = {"type", "device", "o", NULL};
    static const char *const anonymous[] = {"com.docker.volume.anonymous", NULL};
    cleanup(volume_pairs_finish) struct volume_pairs options = {0}, labels = {0};
    cleanup(volume_row_finish) struct volume_row made = {0};
    bool existed = false;
    int err = copy_but(&row->options, places, &options);
    if (!err)
        err = copy_but(&row->labels, anonymous, &labels);
    if (err)
        return err;
    const struct volume_wish wish = {.name = name,
                                     .options = &options,
                                     .labels = &labels,
                                     .fill = copy_content,
                                     .context = cloning};
    err = volume_create(store, &wish, &made, &existed);
    if (err || !existed)
        return err;
    log_error("clone %s: somebody took the name %s meanwhile", row->name, name);
    return -EEXIST;
}

int volume_clone(struct store *store, const struct volume_row *row, const char *name,
                 void (*seen)(void *context, uint64_t bytes), void *context)
{
    int taken = catalog_volume_taken(store->catalog, name);
    if (taken) {
        log_error("clone %s: %s", row->name, taken < 0 ? strerror(-taken) : "the name is taken");
        return taken < 0 ? taken : -EEXIST;
    }
    cleanup_fd int lock = store_lock_volume(store, row->name, LOCK_SH);
    cleanup_fd int from = lock < 0 ? lock : volumeplace_open(store, row);
    if (from < 0) {
        int err = from == -EWOULDBLOCK ? -EBUSY : from;
        log_error("clone %s: %s", row->name,
                  err == -EREMOTE ? "its driver alone knows what it holds" : strerror(-err));
        return err;
    }
    struct cloning cloning = {.from = from, .seen = seen, .context = context};
    return clone_as(store, row, name, &cloning);
}
