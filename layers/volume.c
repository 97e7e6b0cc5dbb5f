/* SPDX-License-Identifier: MIT
 *
 * Duty: volumes come, are found, get another name and go. What they hold is changed in
 * volumechange.c and volumeseed.c.
 *
 * Locks, in this order: the volume's own ("lock" in its directory), then the store's while rows and
 * directories change together, then the catalog's transactions. What takes long, a copy or a
 * plug-in, comes before the store's.
 */
#include "volume.h"

#include "fd.h"
#include "log.h"
#include "moment.h"
#include "usage.h"
#include "volumedriver.h"
#include "volumeinplace.h"
#include "volumemake.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>

#define ANONYMOUS_LABEL "com.docker.volume.anonymous"

/* ---- the row of a new volume ---- */

static int check_name(const char *name)
{
    struct volume_fault fault = {0};
    int err = volume_name_check(name, &fault);
    if (err)
        log_error("%s", fault.words);
    return err;
}

static int name_it(const struct volume_wish *wish, struct volume_row *row)
{
    char id[STORE_ID_SIZE];
    int err = wish->name ? check_name(wish->name) : store_new_id(id);
    if (err)
        return err;
    row->name = strdup(wish->name ? wish->name : id);
    if (!row->name)
        return -ENOMEM;
    return wish->name ? 0 : volume_pairs_set(&row->labels, ANONYMOUS_LABEL, "");
}

/* A directory of the host is somebody's already, and what a driver mounts has its own root. */
static int check_root(const struct volume_wish *wish, const struct volume_row *row)
{
    const struct volume_root *root = wish->root;
    if (!root || (root->uid < 0 && root->gid < 0 && root->mode < 0) ||
        volumeplace_of(row) == VOLUMEPLACE_STORE)
        return 0;
    log_error(
        "create %s: --uid, --gid and --mode are for a volume that lies in the store; what its "
        "%s leads to keeps its own owner and mode",
        row->name, strcmp(row->driver, "local") == 0 ? "device" : "driver");
    return -EINVAL;
}

static int make_row(const struct volume_wish *wish, struct volume_row *row)
{
    *row = (struct volume_row){.created = moment_now()};
    int err = wish->options ? volume_pairs_copy(wish->options, &row->options) : 0;
    if (!err && wish->labels)
        err = volume_pairs_copy(wish->labels, &row->labels);
    if (!err)
        err = name_it(wish, row);
    if (!err)
        err = own_copy(&row->driver, wish->driver ? wish->driver : "local");
    if (!err)
        err = own_copy(&row->by_mount, wish->mount);
    if (!err)
        err = own_copy(&row->by_image, wish->image);
    if (!err)
        err = own_copy(&row->by_destination, wish->destination);
    if (!err)
        err = volumedriver_check(row);
    return err ? err : check_root(wish, row);
}

/* ---- making it ---- */

static int make_directory(int at, const char *name, mode_t mode)
{
    if (mkdirat(at, name, mode) < 0)
        return -errno;
    return fd_open_name(at, name, O_RDONLY | O_DIRECTORY, 0);
}

static int make_lock(int dir)
{
    cleanup_fd int lock = fd_open_name(dir, VOLUMEMAKE_LOCK, O_RDWR | O_CREAT | O_EXCL, 0600);
    return lock < 0 ? lock : 0;
}

/* A directory of the host is filled where it is, if it is there and empty. */
static int fill_on_host(struct store *store, struct volumemake *make, int dir,
                        struct volume_row *row)
{
    struct stat root;
    cleanup_fd int tree = volumeplace_open(store, row);
    if (tree < 0)
        return tree == -ENOENT ? 0 : tree;
    int err = fd_stat(tree, "", &root);
    if (err)
        return err;
    make->chosen = volumemake_is_default(&root) ? NULL : &root;
    make->only_if_any = true;
    int filled = volumeinplace_fill(store->root, tree, volumemake_content, make);
    make->chosen = NULL;
    if (filled <= 0)
        return filled == -ENODATA && !make->told ? 0 : filled;
    return volumemake_record(store, make, tree, dir, row);
}

static int fill_slot(struct store *store, struct volumemake *make, int dir, struct volume_row *row)
{
    cleanup_fd int tree = make_directory(dir, VOLUMEMAKE_DATA, 0755);
    int err = tree < 0 ? tree : make_lock(dir);
    if (err)
        return err;
    make->limit = volumeplace_limit(row);
    switch (volumeplace_of(row)) {
    case VOLUMEPLACE_STORE:
        err = volumemake_content(make, tree);
        return err ? err : volumemake_record(store, make, tree, dir, row);
    case VOLUMEPLACE_HOST:
        return fill_on_host(store, make, dir, row);
    default:
        return fchmod(tree, 0755) < 0 ? -errno : 0;
    }
}

int volume_stage(struct store *store, struct stage *stage, const struct volume_wish *wish,
                 struct volume_staged *staged)
{
    struct volumemake make = {.wish = wish};
    *staged = (struct volume_staged){0};
    int err = make_row(wish, &staged->row);
    if (!err)
        err = store_new_id(staged->slot);
    cleanup_fd int dir = err ? err : make_directory(stage->dir, staged->slot, 0700);
    if (!err && dir < 0)
        err = volumemake_tell(&make, "cannot create volume", staged->row.name, dir);
    if (!err)
        err = volumemake_tell(&make, "cannot create volume", staged->row.name,
                              fill_slot(store, &make, dir, &staged->row));
    if (!err && strcmp(staged->row.driver, "local") != 0)
        err = volumedriver_create(&staged->row, &staged->made);
    if (err)
        volume_staged_finish(staged);
    return err;
}

void volume_staged_finish(struct volume_staged *staged)
{
    volume_row_finish(&staged->row);
    *staged = (struct volume_staged){0};
}

int volume_publish(struct store *store, struct stage *stage, struct volume_staged *staged)
{
    const char *name = staged->row.name;
    int taken = catalog_volume_taken(store->catalog, name);
    int err = taken > 0 ? -EEXIST : taken;
    if (!err)
        err = store_publish(store, stage, staged->slot, store->volumes, name);
    if (!err)
        err = catalog_add_volume(store->catalog, &staged->row);
    if (err && err != -EEXIST)
        log_error("cannot create volume %s: %s", name, strerror(-err));
    return err;
}

void volume_unstage(struct store *store, const struct volume_staged *staged)
{
    if (staged->made && catalog_volume_taken(store->catalog, staged->row.name) == 0)
        (void)!volumedriver_remove(store, &staged->row);
}

/* ---- one volume ---- */

static bool same_pairs(const struct volume_pairs *asked, const struct volume_pairs *has)
{
    if (asked->count != has->count)
        return false;
    for (unsigned i = 0; i < asked->count; i++) {
        const char *value = volume_pairs_get(has, asked->at[i].key);
        if (!value || strcmp(value, asked->at[i].value) != 0)
            return false;
    }
    return true;
}

/* Whether the one that is there will do for whoever wished another of its name. */
static int accept_existing(const struct volume_wish *wish, const struct volume_row *row)
{
    const char *driver = wish->driver ? wish->driver : "local";
    if (strcmp(driver, row->driver) != 0 && (wish->driver || wish->options)) {
        log_error("create %s: a volume of that name exists, of driver %s", row->name, row->driver);
        return -EEXIST;
    }
    if (wish->options && !same_pairs(wish->options, &row->options))
        log_warning("volume %s exists, with other options: they stay as they are", row->name);
    if (wish->labels && !same_pairs(wish->labels, &row->labels))
        log_warning("volume %s exists, with other labels: they stay as they are", row->name);
    return 0;
}

static int publish_alone(struct store *store, struct stage *stage, struct volume_staged *staged)
{
    int err = store_publishing(store);
    if (!err)
        err = catalog_begin(store->catalog);
    if (!err)
        err = catalog_end(store->catalog, volume_publish(store, stage, staged));
    store_published(store);
    return err;
}

static int create_new(struct store *store, const struct volume_wish *wish, struct volume_row *row)
{
    struct stage stage;
    struct volume_staged staged = {0};
    int err = store_stage(store, &stage);
    if (err) {
        log_error("cannot create a volume: %s", strerror(-err));
        return err;
    }
    err = volume_stage(store, &stage, wish, &staged);
    if (!err)
        err = publish_alone(store, &stage, &staged);
    if (!err) {
        *row = staged.row;
        staged.row = (struct volume_row){0};
    }
    volume_staged_finish(&staged);
    store_unstage(store, &stage);
    return err;
}

static int take_existing(struct store *store, const struct volume_wish *wish,
                         struct volume_row *row, bool *existed)
{
    int err = volume_find(store, wish->name, true, row);
    if (err)
        return err;
    *existed = true;
    err = accept_existing(wish, row);
    if (err)
        volume_row_finish(row);
    return err;
}

int volume_create(struct store *store, const struct volume_wish *wish, struct volume_row *row,
                  bool *existed)
{
    *row = (struct volume_row){0};
    *existed = false;
    int err = wish->name ? check_name(wish->name) : 0;
    if (err)
        return err;
    err = wish->name ? take_existing(store, wish, row, existed) : -ENOENT;
    if (err == -ENOENT)
        err = create_new(store, wish, row);
    /* Somebody was faster, or has it and is just removing it: the next look tells. */
    if (err == -EEXIST && !*existed)
        err = take_existing(store, wish, row, existed);
    return err;
}

/* ---- finding ---- */

int volume_find(struct store *store, const char *name, bool quietly, struct volume_row *row)
{
    int err = catalog_find_volume(store->catalog, name, row);
    if (err == -ENOENT && !quietly)
        log_error("get %s: no such volume", name);
    else if (err && err != -ENOENT)
        log_error("get %s: %s", name, strerror(-err));
    return err;
}

void volume_usage(const struct store *store, const struct volume_row *row, uint64_t *bytes,
                  uint64_t *names)
{
    struct usage usage = {0};
    cleanup_fd int dir = volumeplace_open(store, row);
    if (dir >= 0 && usage_of(dir, &usage) != 0)
        usage = (struct usage){0};
    *bytes = usage.bytes;
    *names = usage.names;
}

/* ---- removing ---- */

static int note_user(void *context, const char *mount)
{
    FILE *words = context;
    fprintf(words, "%s%s", ftell(words) > 0 ? ", " : "", mount);
    return 0;
}

/* -EBUSY, told with the names of those who have it, but for `quietly`. */
static int check_unused(struct store *store, const char *name, bool quietly)
{
    cleanup_free char *users = NULL;
    size_t size = 0;
    FILE *words = open_memstream(&users, &size);
    if (!words)
        return -ENOMEM;
    int err = catalog_each_volume_user(store->catalog, name, note_user, words);
    if (fclose(words) != 0 && !err)
        err = -ENOMEM;
    if (err || size == 0)
        return err;
    if (!quietly)
        log_error("remove %s: volume is in use - [%s]", name, users);
    return -EBUSY;
}

/* So that nobody else serves, fills or renames it: its lock, or -1 where its directory is lost. Of
 * several who remove it at once each waits for the first. */
static int lock_alone(struct store *store, const char *name, int *lock)
{
    enum { PATIENCE = 200 };
    const struct timespec pause = {.tv_nsec = 10000000};
    int taken = store_lock_volume(store, name, LOCK_EX);
    for (int i = 0; taken == -EWOULDBLOCK && i < PATIENCE; i++) {
        nanosleep(&pause, NULL);
        taken = store_lock_volume(store, name, LOCK_EX);
    }
    *lock = taken < 0 ? -1 : taken;
    if (taken >= 0 || taken == -ENOENT)
        return 0;
    return taken == -EWOULDBLOCK ? -EBUSY : taken;
}

/* Its lock is held meanwhile. */
static int remove_locked(struct store *store, const struct volume_row *row, bool at_driver,
                         bool quietly)
{
    int err = check_unused(store, row->name, quietly);
    if (!err && catalog_volume_taken(store->catalog, row->name) == 0)
        err = -ENOENT;
    if (!err && at_driver)
        err = volumedriver_remove(store, row);
    if (err)
        return err;
    err = catalog_remove_volume(store->catalog, row->name);
    if (err == -EBUSY)
        return check_unused(store, row->name, quietly) ? -EBUSY : err;
    if (!err)
        err = store_discard(store, store->volumes, row->name);
    if (err && err != -ENOENT)
        log_error("remove %s: %s", row->name, strerror(-err));
    return err;
}

static int remove_it(struct store *store, const struct volume_row *row, bool at_driver,
                     bool quietly)
{
    cleanup_fd int lock = -1;
    int err = check_unused(store, row->name, quietly);
    if (err)
        return err;
    err = lock_alone(store, row->name, &lock);
    if (err == -EBUSY && !quietly)
        log_error("remove %s: volume is in use - [it is being used at this moment]", row->name);
    else if (err && err != -EBUSY)
        log_error("remove %s: %s", row->name, strerror(-err));
    return err ? err : remove_locked(store, row, at_driver, quietly);
}

int volume_remove(struct store *store, const struct volume_row *row, bool quietly)
{
    return remove_it(store, row, true, quietly);
}

int volume_unpublish(struct store *store, const struct volume_staged *staged)
{
    bool at_driver = staged->made || strcmp(staged->row.driver, "local") == 0;
    return remove_it(store, &staged->row, at_driver, false);
}

/* ---- another name ---- */

/* With the store's lock held: what is begun here and not ended is what a crash left. */
static int rename_locked(struct store *store, const char *from, const char *to)
{
    int err = catalog_begin_rename_volume(store->catalog, from, to);
    if (err)
        return err;
    if (renameat2(store->volumes, from, store->volumes, to, RENAME_NOREPLACE) < 0)
        err = -errno;
    int synced = fsync(store->volumes) < 0 ? -errno : 0;
    int ended = catalog_end_rename_volume(store->catalog, from, !err);
    return err ? err : synced ? synced : ended;
}

static int rename_it(struct store *store, const char *from, const char *to)
{
    cleanup_fd int lock = store_lock_volume(store, from, LOCK_EX);
    if (lock < 0)
        return lock == -EWOULDBLOCK ? -EBUSY : lock;
    /* What a crash left in the new name's place, and has no row. */
    int err = store_discard(store, store->volumes, to);
    if (!err)
        err = store_publishing(store);
    if (!err)
        err = rename_locked(store, from, to);
    store_published(store);
    return err;
}

int volume_rename(struct store *store, const struct volume_row *row, const char *name)
{
    int err = check_name(name);
    if (err)
        return err;
    if (strcmp(row->driver, "local") != 0) {
        log_error("rename %s: it belongs to the driver %s, which knows it by that name", row->name,
                  row->driver);
        return -EOPNOTSUPP;
    }
    err = rename_it(store, row->name, name);
    if (err)
        log_error("rename %s: %s", row->name,
                  err == -EEXIST  ? "the new name is taken"
                  : err == -EBUSY ? "it is mounted now"
                                  : strerror(-err));
    return err;
}
