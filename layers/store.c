/* SPDX-License-Identifier: MIT
 *
 * Duty: the directories of a store, and that they and the catalog's rows stay together.
 *
 * Locks, all of them flock(2), in the order in which they are waited for:
 *
 *   mounts/ID/lock   by the daemon, and by whoever changes what the row says of it
 *   volumes/NAME/lock  shared by whoever serves it, alone by whoever makes it another one
 *   store/lock       while a directory is published or discarded and its row comes or has gone, and
 *                    while a sweep runs; whoever has it only tries the other two
 *   stage/NAME       the directory itself, by whoever works in it; never waited for
 *
 * and the catalog's transactions come last.
 *
 * So with store/lock held a directory without a row is rubbish, and nobody's work.
 *
 * A stage is made, then locked, then looked for again: a sweep in between has moved it away, and
 * its maker takes another name. What takes long is done without store/lock: what is published is
 * synced before, and what is discarded or swept is moved into a stage and deleted afterwards.
 */
#include "store.h"

#include "fd.h"
#include "log.h"
#include "moment.h"
#include "reserve.h"
#include "rmtree.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>

enum { STAGE_TRIES = 100 };

/* ---- where it is ---- */

static char *join(const char *directory, const char *name)
{
    char *path = NULL;
    return asprintf(&path, "%s/%s", directory, name) < 0 ? NULL : path;
}

static char *absolute(const char *path)
{
    if (*path == '/')
        return strdup(path);
    cleanup_free char *here = getcwd(NULL, 0);
    return here ? join(here, path) : NULL;
}

/* The value of a variable that is set to something. */
static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

char *store_default_path(const char *chosen)
{
    const char *path = chosen && *chosen ? chosen : variable("PLYFS_ROOT");
    if (path)
        return absolute(path);
    /* The base directory specification has relative paths ignored. */
    const char *data = variable("XDG_DATA_HOME"), *home = variable("HOME");
    if (data && *data == '/')
        return join(data, "plyfs");
    if (geteuid() == 0)
        return strdup("/var/lib/plyfs");
    return home && *home == '/' ? join(home, ".local/share/plyfs") : NULL;
}

/* ---- locks ---- */

static int take_lock(struct store *store)
{
    while (flock(store->lock, LOCK_EX) < 0) {
        if (errno != EINTR)
            return -errno;
    }
    store->locked = true;
    return 0;
}

int store_publishing(struct store *store)
{
    if (store->read_only)
        return -EROFS;
    return syncfs(store->root) < 0 ? -errno : take_lock(store);
}

void store_published(struct store *store)
{
    if (store->locked)
        flock(store->lock, LOCK_UN);
    store->locked = false;
}

/* Whether the name still is the directory that is open. */
static int check_still_there(int dir, const char *name, int fd)
{
    struct stat open_one, named_one;
    if (fstat(fd, &open_one) < 0)
        return -errno;
    int err = fd_stat(dir, name, &named_one);
    if (err)
        return err;
    return open_one.st_ino == named_one.st_ino && open_one.st_dev == named_one.st_dev ? 0 : -ENOENT;
}

static int lock_now(int fd)
{
    return flock(fd, LOCK_EX | LOCK_NB) < 0 ? -errno : 0;
}

int store_lock_mount(struct store *store, const char *id)
{
    cleanup_fd int dir = fd_open_name(store->mounts, id, O_RDONLY | O_DIRECTORY, 0);
    if (dir < 0)
        return dir;
    cleanup_fd int lock = fd_open_lock(dir, "lock");
    if (lock < 0)
        return lock;
    int err = lock_now(lock);
    return err ? err : steal_fd(&lock);
}

int store_lock_volume(struct store *store, const char *name, int operation)
{
    cleanup_fd int dir = fd_open_name(store->volumes, name, O_RDONLY | O_DIRECTORY, 0);
    if (dir < 0)
        return dir;
    cleanup_fd int lock = fd_open_lock(dir, "lock");
    if (lock < 0)
        return lock;
    if (flock(lock, operation | LOCK_NB) < 0)
        return -errno;
    /* It may have been renamed or removed while nobody held the lock. */
    int err = check_still_there(store->volumes, name, dir);
    return err ? err : steal_fd(&lock);
}

/* ---- begun renames of volumes ---- */

/* 1: volumes/NAME is there. */
static int has_volume_directory(const struct store *store, const char *name)
{
    struct stat st;
    int err = fd_stat(store->volumes, name, &st);
    return err == -ENOENT ? 0 : err ? err : 1;
}

/* Whoever renames holds store/lock from the first step to the last; so, with it held, this one
 * died. 1: its directory told whether it is done. Where both directories are there, one of them is
 * nobody's rename, and nothing is done: either may be what somebody cannot do without. */
static int end_begun_rename(struct store *store, const struct volume_row *row)
{
    int old = has_volume_directory(store, row->name);
    int new = has_volume_directory(store, row->renaming);
    if (old < 0 || new < 0)
        return old < 0 ? old : new;
    if (old && new) {
        log_error("volumes %s and %s are both there, and one was to become the other", row->name,
                  row->renaming);
        return 0;
    }
    int err = catalog_end_rename_volume(store->catalog, row->name, new);
    return err ? err : 1;
}

static int end_one(void *context, const struct volume_row *row)
{
    int ended = end_begun_rename(context, row);
    return ended < 0 ? ended : 0;
}

static int note_begun(void *context, const struct volume_row *row)
{
    (void)row;
    *(bool *)context = true;
    return 0;
}

/* So that nobody sees a volume under a name that its directory has not. */
static int end_begun_renames(struct store *store)
{
    bool begun = false;
    int err = catalog_each_renamed_volume(store->catalog, note_begun, &begun);
    if (err || !begun)
        return err;
    err = take_lock(store);
    if (!err)
        err = catalog_each_renamed_volume(store->catalog, end_one, store);
    store_published(store);
    return err;
}

/* ---- opening ---- */

/* mkdir -p, with nobody else let in. */
static int make_directories(const char *path)
{
    cleanup_free char *part = strdup(path);
    if (!part)
        return -ENOMEM;
    for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        if (mkdir(part, 0700) < 0 && errno != EEXIST)
            return -errno;
        *slash = '/';
    }
    return mkdir(part, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

static int open_subdirectory(int root, const char *name, int *fd)
{
    if (mkdirat(root, name, 0700) < 0 && errno != EEXIST)
        return -errno;
    *fd = fd_open_name(root, name, O_RDONLY | O_DIRECTORY, 0);
    return *fd < 0 ? *fd : 0;
}

static int meet_stranger(void *context, const char *name)
{
    (void)context;
    return strcmp(name, "lost+found") == 0 ? 0 : -ENOTEMPTY;
}

/* The lock is the first thing that is made, so it tells a store from any other directory. */
static int open_lock(int root, bool make, bool *read_only)
{
    int lock = fd_open_name(root, "lock", O_RDWR, 0);
    *read_only = lock == -EROFS;
    if (*read_only)
        return fd_open_name(root, "lock", O_RDONLY, 0);
    if (lock != -ENOENT || !make)
        return lock;
    int err = fd_each_name(root, meet_stranger, NULL);
    /* Something is there by now: perhaps another process has made the store. */
    if (err == -ENOTEMPTY)
        lock = fd_open_name(root, "lock", O_RDWR, 0);
    else if (!err)
        lock = fd_open_name(root, "lock", O_RDWR | O_CREAT, 0600);
    return lock == -ENOENT ? err : lock;
}

static int open_all(struct store *store, bool make)
{
    int err = make ? make_directories(store->path) : 0;
    if (err)
        return err;
    store->root = open(store->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (store->root < 0)
        return -errno;
    store->lock = open_lock(store->root, make, &store->read_only);
    err = store->lock < 0 ? store->lock : 0;
    if (!err)
        err = open_subdirectory(store->root, "layers", &store->layers);
    if (!err)
        err = open_subdirectory(store->root, "mounts", &store->mounts);
    if (!err)
        err = open_subdirectory(store->root, "volumes", &store->volumes);
    if (!err)
        err = open_subdirectory(store->root, "stage", &store->stage);
    if (!err && !store->read_only)
        reserve_begin(store->root);
    if (!err)
        err = catalog_open(store->path, store->read_only, &store->catalog);
    return err || store->read_only ? err : end_begun_renames(store);
}

static void tell_open_failure(const char *path, int err)
{
    if (err == -ENOTEMPTY)
        log_error("%s: this directory is no store, and not empty", path);
    else if (err == -EPROTO)
        log_error("%s: this store was made by a newer plyfs", path);
    else
        log_error("%s: cannot open the store: %s", path, strerror(-err));
}

int store_open(const char *path, bool make, struct store **store)
{
    cleanup_store struct store *opened = malloc(sizeof(*opened));
    *store = NULL;
    if (!opened)
        return -ENOMEM;
    *opened = (struct store){
        .root = -1, .layers = -1, .mounts = -1, .volumes = -1, .stage = -1, .lock = -1};
    opened->path = absolute(path);
    int err = opened->path ? open_all(opened, make) : -ENOMEM;
    if (!err)
        *store = steal_ptr(&opened);
    else if (err != -ENOENT || make)
        tell_open_failure(path, err);
    return err;
}

void store_close(struct store *store)
{
    if (!store)
        return;
    catalog_close(store->catalog);
    if (store->catalog && !store->read_only)
        reserve_end(store->root);
    own_close(&store->lock);
    own_close(&store->stage);
    own_close(&store->volumes);
    own_close(&store->mounts);
    own_close(&store->layers);
    own_close(&store->root);
    free(store->path);
    free(store);
}

char *store_layer_path(const struct store *store, const char *id)
{
    char *path = NULL;
    return asprintf(&path, "%s/layers/%s/tree", store->path, id) < 0 ? NULL : path;
}

void store_paths_free(char **paths)
{
    for (char **at = paths; at && *at; at++)
        free(*at);
    free(paths);
}

char **store_image_paths(const struct store *store, const struct image_row *image)
{
    unsigned count = image->layer_count;
    cleanup_paths char **paths = calloc((size_t)count + 1, sizeof(*paths));
    for (unsigned i = 0; paths && i < count; i++) {
        paths[i] = store_layer_path(store, image->layers[count - 1 - i]);
        if (!paths[i])
            return NULL;
    }
    return steal_ptr(&paths);
}

int store_new_id(char id[STORE_ID_SIZE])
{
    unsigned char bytes[(STORE_ID_SIZE - 1) / 2];
    /* So few bytes come whole, and no signal cuts them off. */
    if (getrandom(bytes, sizeof(bytes), 0) < 0)
        return -errno;
    for (unsigned i = 0; i < sizeof(bytes); i++)
        snprintf(id + 2 * (size_t)i, 3, "%02x", bytes[i]);
    return 0;
}

/* ---- the stage ---- */

/* The directory, locked. -EWOULDBLOCK: somebody works in it; -ENOENT: it is gone. */
static int lock_stage(struct store *store, const char *name)
{
    cleanup_fd int dir = fd_open_name(store->stage, name, O_RDONLY | O_DIRECTORY, 0);
    if (dir < 0)
        return dir;
    int err = lock_now(dir);
    if (!err)
        err = check_still_there(store->stage, name, dir);
    return err ? err : steal_fd(&dir);
}

int store_stage(struct store *store, struct stage *stage)
{
    *stage = STAGE_NONE;
    int err = 0;
    for (int tries = 0; tries < STAGE_TRIES; tries++) {
        err = store_new_id(stage->name);
        if (!err && mkdirat(store->stage, stage->name, 0700) < 0)
            err = -errno;
        if (err)
            return err;
        stage->dir = lock_stage(store, stage->name);
        if (stage->dir >= 0)
            return 0;
        /* A sweeper was faster. */
        err = stage->dir;
        stage->dir = -1;
        if (err != -ENOENT && err != -EWOULDBLOCK)
            break;
    }
    /* Unlocked and empty: if it stays, it is swept. */
    unlinkat(store->stage, stage->name, AT_REMOVEDIR);
    return err;
}

void store_unstage(struct store *store, struct stage *stage)
{
    if (stage->dir < 0)
        return;
    int err = rmtree(store->stage, stage->name);
    if (err)
        log_debug("left in the stage: %s (%s)", stage->name, strerror(-err));
    own_close(&stage->dir);
    *stage = STAGE_NONE;
}

/* ---- publishing ---- */

/* Words that are no whole id can find a row too, but not this one. */
static int has_layer(struct store *store, const char *id)
{
    cleanup(layer_row_finish) struct layer_row row = {0};
    int err = catalog_find_layer(store->catalog, id, &row);
    if (err && err != -ENOENT && err != -ENOTUNIQ)
        return err;
    return !err && strcmp(row.id, id) == 0;
}

static int has_mount(struct store *store, const char *id)
{
    cleanup(mount_row_finish) struct mount_row row = {0};
    int err = catalog_find_mount(store->catalog, id, &row);
    if (err && err != -ENOENT && err != -ENOTUNIQ)
        return err;
    return !err && strcmp(row.id, id) == 0;
}

/* Whether the directory (place, id) has a row. A volume's has one too while a begun rename may mean
 * it. */
static int has_row(struct store *store, int place, const char *id)
{
    if (place == store->volumes)
        return catalog_volume_taken(store->catalog, id);
    return place == store->layers ? has_layer(store, id) : has_mount(store, id);
}

static int rename_into_place(const struct stage *stage, const char *name, int to, const char *id)
{
    return renameat2(stage->dir, name, to, id, RENAME_NOREPLACE) < 0 ? -errno : 0;
}

/* The place is taken, but by nothing that has a row: a crash left it. */
static int replace_rubbish(struct store *store, struct stage *stage, const char *name, int to,
                           const char *id)
{
    char rubbish[STORE_ID_SIZE];
    int has = has_row(store, to, id);
    if (has)
        return has < 0 ? has : -EEXIST;
    int err = store_new_id(rubbish);
    if (!err)
        err = rmtree_move(to, id, stage->dir, rubbish);
    return err ? err : rename_into_place(stage, name, to, id);
}

int store_publish(struct store *store, struct stage *stage, const char *name, int to,
                  const char *id)
{
    int err = rename_into_place(stage, name, to, id);
    if (err == -EEXIST)
        err = replace_rubbish(store, stage, name, to, id);
    if (err)
        return err;
    return fsync(to) < 0 || fsync(stage->dir) < 0 ? -errno : 0;
}

/* Whoever publishes the same id again may have been faster: then the directory has a row. */
static int move_rubbish(struct store *store, int from, const char *id, const struct stage *stage)
{
    int has = has_row(store, from, id);
    int err = has ? 0 : rmtree_move(from, id, stage->dir, id);
    return has < 0 ? has : err == -ENOENT ? 0 : err;
}

int store_discard(struct store *store, int from, const char *id)
{
    struct stage stage;
    int err = store_stage(store, &stage);
    if (err)
        return err;
    const bool own = !store->locked;
    err = own ? take_lock(store) : 0;
    if (!err)
        err = move_rubbish(store, from, id, &stage);
    if (own)
        store_published(store);
    store_unstage(store, &stage);
    return err;
}

/* ---- sweeping ---- */

struct sweep {
    struct store *store;
    bool (*tell)(void *context, enum store_fault fault, const char *id);
    void (*ended)(void *context, enum store_fault fault, const char *id, bool mended);
    void *context;
    struct stage bin;      /* takes the rubbish, to be deleted when the lock is free again; none
                            * where nothing can be moved */
    struct binned *binned; /* in the bin by its index here */
    unsigned count;
    int left;
};

/* What was moved into the bin. */
struct binned {
    enum store_fault fault;
    char *id;
};

/* Whether the fault is to be mended. */
static bool found(struct sweep *sweep, enum store_fault fault, const char *id)
{
    bool mend = sweep->tell(sweep->context, fault, id);
    sweep->left += !mend;
    return mend;
}

static void tell_end(struct sweep *sweep, enum store_fault fault, const char *id, bool mended)
{
    sweep->left += !mended;
    if (sweep->ended)
        sweep->ended(sweep->context, fault, id, mended);
}

/* What cannot be mended is left, and the rest of the store is looked at all the same. */
static void mended(struct sweep *sweep, enum store_fault fault, const char *id, int err)
{
    bool done = !err || err == -ENOENT;
    if (!done)
        log_error("cannot mend %s: %s", id, strerror(-err));
    tell_end(sweep, fault, id, done);
}

static int move_to_bin(struct sweep *sweep, enum store_fault fault, int from, const char *name)
{
    char as[16];
    if (sweep->bin.dir < 0)
        return -EROFS;
    struct binned *larger = reallocarray(sweep->binned, sweep->count + 1, sizeof(*larger));
    if (!larger)
        return -ENOMEM;
    sweep->binned = larger;
    cleanup_free char *id = strdup(name);
    if (!id)
        return -ENOMEM;
    snprintf(as, sizeof(as), "%u", sweep->count);
    int err = rmtree_move(from, name, sweep->bin.dir, as);
    if (!err)
        larger[sweep->count++] = (struct binned){.fault = fault, .id = steal_ptr(&id)};
    return err;
}

/* It is mended when it is deleted. */
static void put_in_bin(struct sweep *sweep, enum store_fault fault, int from, const char *name)
{
    int err = move_to_bin(sweep, fault, from, name);
    if (err)
        mended(sweep, fault, name, err);
}

/* What resists stays in the stage, where the next check finds it. */
static void empty_bin(struct sweep *sweep)
{
    for (unsigned i = 0; i < sweep->count; i++) {
        char as[16];
        const struct binned *binned = &sweep->binned[i];
        snprintf(as, sizeof(as), "%u", i);
        int err = rmtree(sweep->bin.dir, as);
        if (err)
            log_error("cannot remove all of %s: %s; what is left is in %s/stage/%s/%s", binned->id,
                      strerror(-err), sweep->store->path, sweep->bin.name, as);
        tell_end(sweep, binned->fault, binned->id, !err);
        free(binned->id);
    }
    free(sweep->binned);
}

/* Whether a lock could not be looked at because of what lies there, which is then nobody's work. */
static bool is_no_work(int err)
{
    return err == -ENOTDIR || err == -EISDIR || err == -ELOOP || err == -EACCES || err == -ENXIO;
}

static int sweep_stage(void *context, const char *name)
{
    struct sweep *sweep = context;
    struct store *store = sweep->store;
    cleanup_fd int dir = lock_stage(store, name);
    if (dir == -EWOULDBLOCK || dir == -ENOENT)
        return 0;
    if (dir < 0 && !is_no_work(dir))
        return dir;
    if (found(sweep, STORE_FAULT_STAGE, name))
        put_in_bin(sweep, STORE_FAULT_STAGE, store->stage, name);
    return 0;
}

static int sweep_layer_directory(void *context, const char *name)
{
    struct sweep *sweep = context;
    int has = has_layer(sweep->store, name);
    if (has)
        return has < 0 ? has : 0;
    if (found(sweep, STORE_FAULT_LAYER_DIR, name))
        put_in_bin(sweep, STORE_FAULT_LAYER_DIR, sweep->store->layers, name);
    return 0;
}

static int sweep_layer_row(void *context, const struct layer_row *row)
{
    struct sweep *sweep = context;
    struct stat st;
    int err = fd_stat(sweep->store->layers, row->id, &st);
    if (err != -ENOENT)
        return err;
    if (!found(sweep, STORE_FAULT_LAYER_ROW, row->id))
        return 0;
    err = catalog_remove_layer(sweep->store->catalog, row->id);
    if (err != -EBUSY) {
        mended(sweep, STORE_FAULT_LAYER_ROW, row->id, err);
        return 0;
    }
    /* What becomes of the image is for its owner to say. */
    log_error("layer %s is lost, and an image has it", row->id);
    tell_end(sweep, STORE_FAULT_LAYER_ROW, row->id, false);
    return 0;
}

static int sweep_mount_directory(void *context, const char *name)
{
    struct sweep *sweep = context;
    struct store *store = sweep->store;
    int has = has_mount(store, name);
    if (has)
        return has < 0 ? has : 0;
    /* A daemon that outlived its row writes here still. */
    cleanup_fd int lock = store_lock_mount(store, name);
    if (lock == -EWOULDBLOCK || lock == -ENOENT)
        return 0;
    if (lock < 0 && !is_no_work(lock))
        return lock;
    if (found(sweep, STORE_FAULT_MOUNT_DIR, name))
        put_in_bin(sweep, STORE_FAULT_MOUNT_DIR, store->mounts, name);
    return 0;
}

/* Between its row and its lock a mount that starts belongs to nobody for an instant. One that was
 * not mounted a minute later never will be: whoever made it died. */
static bool is_forgotten(const struct mount_row *row)
{
    const int64_t patience = 60 * MOMENT_SECOND;
    return row->ephemeral && (row->mounted != 0 || moment_now() - row->created > patience);
}

static void forget(struct sweep *sweep, const char *id)
{
    int err = catalog_remove_mount(sweep->store->catalog, id);
    if (err)
        mended(sweep, STORE_FAULT_EPHEMERAL, id, err);
    else
        put_in_bin(sweep, STORE_FAULT_EPHEMERAL, sweep->store->mounts, id);
}

/* A mount with its directory, whose row has something to say of a daemon. With the mount's lock
 * held no daemon lives and none can start, so what the row says now is what it will say. */
static int sweep_daemon(struct sweep *sweep, const char *id)
{
    struct store *store = sweep->store;
    cleanup(mount_row_finish) struct mount_row row = {0};
    cleanup_fd int lock = store_lock_mount(store, id);
    if (lock < 0)
        return lock == -EWOULDBLOCK ? 0 : lock;
    int err = catalog_find_mount(store->catalog, id, &row);
    if (err)
        return err == -ENOENT ? 0 : err;
    if (is_forgotten(&row)) {
        if (found(sweep, STORE_FAULT_EPHEMERAL, id))
            forget(sweep, id);
    } else if (row.mountpoint && found(sweep, STORE_FAULT_DAEMON, id)) {
        mended(sweep, STORE_FAULT_DAEMON, id, catalog_set_unmounted(store->catalog, id));
    }
    return 0;
}

static int sweep_mount_row(void *context, const struct mount_row *row)
{
    struct sweep *sweep = context;
    struct stat st;
    int err = fd_stat(sweep->store->mounts, row->id, &st);
    if (!err)
        return row->mountpoint || is_forgotten(row) ? sweep_daemon(sweep, row->id) : 0;
    if (err != -ENOENT)
        return err;
    if (found(sweep, STORE_FAULT_MOUNT_ROW, row->id))
        mended(sweep, STORE_FAULT_MOUNT_ROW, row->id,
               catalog_remove_mount(sweep->store->catalog, row->id));
    return 0;
}

/* ---- sweeping volumes ---- */

static int sweep_volume_rename(struct sweep *sweep, const struct volume_row *row)
{
    if (!found(sweep, STORE_FAULT_VOLUME_RENAME, row->name))
        return 0;
    int err = end_begun_rename(sweep->store, row);
    if (err < 0)
        mended(sweep, STORE_FAULT_VOLUME_RENAME, row->name, err);
    else
        tell_end(sweep, STORE_FAULT_VOLUME_RENAME, row->name, err > 0);
    return 0;
}

static int sweep_volume_row(void *context, const struct volume_row *row)
{
    struct sweep *sweep = context;
    struct store *store = sweep->store;
    if (row->renaming)
        return sweep_volume_rename(sweep, row);
    int has = has_volume_directory(store, row->name);
    if (has)
        return has < 0 ? has : 0;
    if (!found(sweep, STORE_FAULT_VOLUME_ROW, row->name))
        return 0;
    int err = catalog_remove_volume(store->catalog, row->name);
    if (err != -EBUSY) {
        mended(sweep, STORE_FAULT_VOLUME_ROW, row->name, err);
        return 0;
    }
    log_error("volume %s is lost, and a mount has it", row->name);
    tell_end(sweep, STORE_FAULT_VOLUME_ROW, row->name, false);
    return 0;
}

static int sweep_volume_directory(void *context, const char *name)
{
    struct sweep *sweep = context;
    struct store *store = sweep->store;
    int has = has_row(store, store->volumes, name);
    if (has)
        return has < 0 ? has : 0;
    /* A daemon that outlived its row writes here still. */
    cleanup_fd int lock = store_lock_volume(store, name, LOCK_EX);
    if (lock == -EWOULDBLOCK || lock == -ENOENT)
        return 0;
    if (lock < 0 && !is_no_work(lock))
        return lock;
    if (found(sweep, STORE_FAULT_VOLUME_DIR, name))
        put_in_bin(sweep, STORE_FAULT_VOLUME_DIR, store->volumes, name);
    return 0;
}

/* ---- all of it ---- */

static int sweep_all(struct sweep *sweep)
{
    struct store *store = sweep->store;
    int err = fd_each_name(store->stage, sweep_stage, sweep);
    if (!err)
        err = fd_each_name(store->layers, sweep_layer_directory, sweep);
    if (!err)
        err = catalog_each_layer(store->catalog, sweep_layer_row, sweep);
    if (!err)
        err = fd_each_name(store->mounts, sweep_mount_directory, sweep);
    if (!err)
        err = catalog_each_mount(store->catalog, sweep_mount_row, sweep);
    /* Rows first: what a rename that is ended here leaves to no row is rubbish by then. */
    if (!err)
        err = catalog_each_volume(store->catalog, sweep_volume_row, sweep);
    if (!err)
        err = fd_each_name(store->volumes, sweep_volume_directory, sweep);
    return err;
}

int store_check(struct store *store,
                bool (*tell)(void *context, enum store_fault fault, const char *id),
                void (*ended)(void *context, enum store_fault fault, const char *id, bool mended),
                void *context)
{
    struct sweep sweep = {
        .store = store, .tell = tell, .ended = ended, .context = context, .bin = STAGE_NONE};
    int err = store->read_only ? 0 : store_stage(store, &sweep.bin);
    if (err)
        return err;
    err = take_lock(store);
    if (!err)
        err = sweep_all(&sweep);
    store_published(store);
    empty_bin(&sweep);
    store_unstage(store, &sweep.bin);
    return err ? err : sweep.left;
}
