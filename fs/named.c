/* SPDX-License-Identifier: MIT
 *
 * Duty: from rows of the catalog to mounts, and back.
 */
#include "named.h"

#include "copymeta.h"
#include "fd.h"
#include "imageword.h"
#include "leavings.h"
#include "log.h"
#include "moment.h"
#include "newvolumes.h"
#include "upper.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>

int named_open_store(const char *root, bool make, struct store **store)
{
    *store = NULL;
    cleanup_free char *path = store_default_path(root);
    if (!path) {
        log_error("there is no place for a store: set HOME or PLYFS_ROOT, or use --root");
        return -ENOENT;
    }
    int err = store_open(path, make, store);
    if (err == -ENOENT)
        log_error("there is no store in %s; plyfs image import, layer import and create make one",
                  path);
    return err;
}

/* ---- state ---- */

const char *named_state_word(enum named_state state)
{
    static const char *const WORDS[] = {
        [NAMED_CREATED] = "created",
        [NAMED_MOUNTED] = "mounted",
        [NAMED_UNMOUNTED] = "unmounted",
        [NAMED_DEAD] = "dead",
    };
    return WORDS[state];
}

/* One that somebody else has removed meanwhile is nothing to talk about. */
static bool is_removed(const struct store *store, const struct mount_row *row)
{
    struct mount_row now = {0};
    int err = catalog_find_mount(store->catalog, row->id, &now);
    mount_row_finish(&now);
    return err == -ENOENT;
}

static int open_lock(const struct store *store, const struct mount_row *row)
{
    cleanup_fd int dir = fd_open_name(store->mounts, row->id, O_RDONLY | O_DIRECTORY, 0);
    int fd = dir < 0 ? dir : fd_open_lock(dir, "lock");
    if (fd < 0 && !(fd == -ENOENT && is_removed(store, row)))
        log_error("cannot open %s/mounts/%s/lock of the mount %s: %s%s", store->path, row->id,
                  row->name, strerror(-fd), fd == -ENOENT ? "; see plyfs doctor" : "");
    return fd;
}

int named_state(const struct store *store, const struct mount_row *row, enum named_state *state)
{
    cleanup_fd int fd = open_lock(store, row);
    if (fd < 0)
        return fd;
    bool held = flock(fd, LOCK_SH | LOCK_NB) < 0;
    *state = held               ? NAMED_MOUNTED
             : row->mountpoint  ? NAMED_DEAD
             : row->mounted > 0 ? NAMED_UNMOUNTED
                                : NAMED_CREATED;
    return 0;
}

/* Tries for the lock as long as `tries` pauses of 5 ms take. */
static int take_lock(int fd, int how, int tries)
{
    const struct timespec pause = {.tv_nsec = 5000000};
    while (flock(fd, how | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return -errno;
        if (tries-- == 0)
            return -EBUSY;
        nanosleep(&pause, NULL);
    }
    return 0;
}

int named_lock(const struct store *store, const struct mount_row *row, int *lock)
{
    cleanup_fd int fd = open_lock(store, row);
    if (fd < 0)
        return fd;
    /* Somebody who only looks holds it for an instant, a daemon that ends a little longer. */
    int err = take_lock(fd, LOCK_EX, row->mountpoint ? 40 : 300);
    if (err == -EBUSY)
        log_error("%s is mounted on %s already; plyfs umount %s first", row->name,
                  row->mountpoint ? row->mountpoint : "another directory", row->name);
    else if (err)
        log_error("cannot lock the mount %s: %s", row->name, strerror(-err));
    *lock = err ? -1 : steal_fd(&fd);
    return err;
}

int named_watch(const struct store *store, const struct mount_row *row)
{
    return open_lock(store, row);
}

int named_wait(const struct store *store, const struct mount_row *row, int watch, int seconds)
{
    /* Somebody else may have been faster. */
    if (watch < 0)
        return watch == -ENOENT && is_removed(store, row) ? 0 : watch;
    int err = take_lock(watch, LOCK_SH, seconds * 200);
    return err == -EBUSY ? -ETIMEDOUT : err;
}

/* ---- finding ---- */

int named_find(struct store *store, const char *word, bool quietly, struct mount_row *row)
{
    /* The catalog keeps the paths of mountpoints as they are, whatever links lead there. */
    cleanup_free char *real = strchr(word, '/') ? realpath(word, NULL) : NULL;
    int err = catalog_find_mount(store->catalog, real ? real : word, row);
    if (err == -ENOTUNIQ)
        log_error("'%s' is the beginning of more than one mount's id; say more of it", word);
    else if (err && !(err == -ENOENT && quietly))
        log_error(err == -ENOENT ? "no such mount: %s; plyfs ps -a lists them"
                                 : "cannot look for the mount %s in the catalog",
                  word);
    return err;
}

static int fill_from_image(struct store *store, const struct mount_row *row,
                           struct options *options)
{
    struct image_row image;
    const char *name;
    int err = imageword_find(store, row->image, &image, &name);
    cleanup_paths char **paths = err ? NULL : store_image_paths(store, &image);
    if (!err && !paths)
        err = -ENOMEM;
    for (unsigned i = 0; !err && paths[i]; i++)
        err = options_add_lower(options, paths[i]);
    options->of_image = true;
    image_row_finish(&image);
    return err;
}

static int set_own_path(const struct store *store, const struct mount_row *row, const char *name,
                        char **slot)
{
    cleanup_free char *path = NULL;
    if (asprintf(&path, "%s/mounts/%s/%s", store->path, row->id, name) < 0) {
        path = NULL;
        return -ENOMEM;
    }
    return options_set_string(slot, path);
}

int named_fill(struct store *store, const struct mount_row *row, struct options *options)
{
    int err = row->image ? fill_from_image(store, row, options) : 0;
    for (unsigned i = 0; !err && i < row->lower_count; i++)
        err = options_add_lower(options, row->lowers[i]);
    if (!err)
        err = set_own_path(store, row, "upper", &options->upper);
    return err ? err : set_own_path(store, row, "work", &options->work);
}

/* ---- making ---- */

/* Directories are kept by the paths they have now, whatever links led there. */
static int take_lowers(const struct named_wish *wish, struct mount_row *row)
{
    row->lowers = calloc(wish->lower_count, sizeof(*row->lowers));
    if (!row->lowers)
        return -ENOMEM;
    for (unsigned i = 0; i < wish->lower_count; i++) {
        struct stat st;
        char *real = realpath(wish->lowers[i], NULL);
        if (real && stat(real, &st) == 0 && S_ISDIR(st.st_mode)) {
            row->lowers[row->lower_count++] = real;
            continue;
        }
        int err = real ? -ENOTDIR : -errno;
        log_error("cannot take the layer %s: %s", wish->lowers[i], strerror(-err));
        free(real);
        return err;
    }
    return 0;
}

static int take_image(struct store *store, const char *word, struct mount_row *row)
{
    struct image_row image;
    const char *name;
    int err = imageword_find(store, word, &image, &name);
    if (!err)
        err = own_copy(&row->image, image.id);
    image_row_finish(&image);
    return err;
}

static bool name_is_sane(const char *name)
{
    const char *const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    if (!*name || !strchr(letters, name[0]) || strlen(name) > 128)
        return false;
    for (const char *at = name; *at; at++) {
        if (!strchr(letters, *at) && !strchr("_.-", *at))
            return false;
    }
    return true;
}

int named_check_name(const char *name)
{
    if (name_is_sane(name))
        return 0;
    log_error(
        "'%s' is no name for a mount: it takes letters, digits, '_', '.' and '-', begins with "
        "a letter or a digit, and has at most 128 of them",
        name);
    return -EINVAL;
}

static int fill_row(struct store *store, const struct named_wish *wish, struct mount_row *row)
{
    char id[STORE_ID_SIZE], digits[13];
    int err = wish->name ? named_check_name(wish->name) : 0;
    if (!err)
        err = store_new_id(id);
    if (err)
        return err;
    row->created = moment_now();
    row->ephemeral = wish->ephemeral;
    snprintf(digits, sizeof(digits), "%.12s", id);
    err = own_copy(&row->id, id);
    if (!err)
        err = own_copy(&row->name, wish->name ? wish->name : digits);
    if (!err)
        err = own_copy(&row->options, wish->options ? wish->options : "");
    if (err)
        return err;
    return wish->image ? take_image(store, wish->image, row) : take_lowers(wish, row);
}

/* The root of the tree looks as its topmost layer says, until it is changed. */
static int dress_root(const struct options *layers, int upper)
{
    struct stat st;
    cleanup_fd int top = open(layers->lowers[0], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (top < 0 || fstat(top, &st) < 0)
        return -errno;
    int err = copymeta_owner_mode(upper, "", &st);
    if (err == -EPERM) /* an ordinary user cannot give it away */
        err = fchmod(upper, st.st_mode & 07777) < 0 ? -errno : 0;
    if (!err)
        err = copymeta_xattrs(OVLSPACE_TRUSTED, top, "", upper, "", NULL);
    if (err == -EOPNOTSUPP && layers->acl == CHOICE_OFF)
        err = 0;
    return err ? err : copymeta_times(upper, "", &st);
}

static int make_directories(struct store *store, const struct mount_row *row, int at)
{
    struct options layers;
    if (mkdirat(at, "upper", 0755) < 0 || mkdirat(at, "work", 0755) < 0)
        return -errno;
    cleanup_fd int upper = fd_open_name(at, "upper", O_RDONLY | O_DIRECTORY, 0);
    cleanup_fd int lock = fd_open_name(at, "lock", O_RDWR | O_CREAT | O_EXCL, 0600);
    if (upper < 0 || lock < 0)
        return upper < 0 ? upper : lock;
    options_init(&layers);
    int err = named_fill(store, row, &layers);
    if (!err && layers.lower_count > 0)
        err = dress_root(&layers, upper);
    options_finish(&layers);
    return err;
}

static int add_rows(struct store *store, struct stage *stage, const struct mount_row *row,
                    struct newvolumes *volumes)
{
    int err = newvolumes_publish(volumes, stage);
    if (err == -EEXIST)
        return -EAGAIN;
    if (!err)
        err = catalog_add_mount(store->catalog, row);
    for (unsigned i = 0; !err && i < volumes->rows->count; i++)
        err = catalog_add_mount_volume(store->catalog, row->id, &volumes->rows->at[i]);
    return err;
}

/* All rows in one transaction, so that a mount that cannot be made leaves no volume behind. */
static int publish_rows(struct store *store, struct stage *stage, const struct mount_row *row,
                        struct newvolumes *volumes)
{
    int err = catalog_begin(store->catalog);
    if (err)
        return err;
    return catalog_end(store->catalog, add_rows(store, stage, row, volumes));
}

/* -EAGAIN: somebody made a volume of that name meanwhile, which is used then. */
static int publish(struct store *store, struct stage *stage, const struct mount_row *row,
                   struct newvolumes *volumes)
{
    int err = store_publishing(store);
    if (err)
        return err;
    err = store_publish(store, stage, "mount", store->mounts, row->id);
    if (!err) {
        err = publish_rows(store, stage, row, volumes);
        if (err)
            (void)!store_discard(store, store->mounts, row->id);
    }
    store_published(store);
    return err;
}

/* The layers without an upper: what volumes are filled from, and what they hide. */
static int open_layers(struct store *store, const struct mount_row *row, struct named_view *view)
{
    struct options options;
    unsigned culprit = 0;
    options_init(&options);
    *view = (struct named_view){.fds = fdcache_create(256)};
    int err = view->fds ? named_fill(store, row, &options) : -ENOMEM;
    if (!err) {
        err = stack_open(&view->stack, (const char *const *)options.lowers, options.lower_count,
                         false, view->fds, &culprit);
        if (err)
            log_error("cannot open the layer %s: %s", options.lowers[culprit], strerror(-err));
    }
    options_finish(&options);
    return err;
}

static int make_and_publish(struct store *store, const struct mount_row *row,
                            struct newvolumes *volumes)
{
    struct stage stage = STAGE_NONE;
    int err = store_stage(store, &stage);
    if (!err && mkdirat(stage.dir, "mount", 0700) < 0)
        err = -errno;
    if (!err) {
        cleanup_fd int at = fd_open_name(stage.dir, "mount", O_RDONLY | O_DIRECTORY, 0);
        err = at < 0 ? at : make_directories(store, row, at);
    }
    if (!err) {
        err = newvolumes_stage(volumes, &stage);
        if (!err)
            err = publish(store, &stage, row, volumes);
        if (err)
            newvolumes_discard(volumes);
    }
    store_unstage(store, &stage);
    return err;
}

static void tell_failure(const struct store *store, const struct mount_row *row, int err)
{
    if (err == -EEXIST)
        log_error("the name %s is taken; plyfs rm %s removes what has it, or choose another",
                  row->name, row->name);
    else
        log_error("cannot make the mount %s in the store %s: %s", row->name, store->path,
                  strerror(-err));
}

/* Before anything is made: a new volume may be a directory of the host, and what was copied into
 * that stays there. */
static int check_name_free(const struct store *store, const char *name)
{
    cleanup(mount_row_finish) struct mount_row row = {0};
    int err = catalog_find_mount(store->catalog, name, &row);
    if (err)
        return err == -ENOENT || err == -ENOTUNIQ ? 0 : err;
    return strcmp(row.name, name) == 0 ? -EEXIST : 0;
}

/* Who loses the race for a volume's name uses that of the winner. */
static int make_with_volumes(struct store *store, const struct mount_row *row, const char *image,
                             struct volume_rows *rows)
{
    struct named_view view = {.fds = NULL};
    struct newvolumes volumes = {
        .store = store, .rows = rows, .mount = row, .image = image, .layers = &view.stack};
    int tries = 3, err = check_name_free(store, row->name);
    if (!err && rows->count > 0)
        err = open_layers(store, row, &view);
    if (!err) {
        do {
            newvolumes_finish(&volumes);
            err = make_and_publish(store, row, &volumes);
        } while (err == -EAGAIN && --tries > 0);
    }
    if (!err)
        newvolumes_tell(&volumes);
    else if (!volumes.told)
        tell_failure(store, row, err);
    newvolumes_finish(&volumes);
    named_view_close(&view);
    return err;
}

int named_create(struct store *store, const struct named_wish *wish, struct mount_row *row)
{
    struct volume_rows none = {0};
    *row = (struct mount_row){0};
    int err = fill_row(store, wish, row);
    if (err)
        return err;
    return make_with_volumes(store, row, wish->image, wish->volumes ? wish->volumes : &none);
}

int named_forget(struct store *store, const struct mount_row *row, bool volumes)
{
    cleanup_leavings struct leavings leavings = {0};
    int err = volumes ? leavings_note(&leavings, store, row->id) : 0;
    if (err)
        return err;
    err = catalog_remove_mount(store->catalog, row->id);
    if (err == -ENOENT)
        return 0; /* somebody else was faster */
    if (!err)
        err = store_discard(store, store->mounts, row->id);
    if (err)
        log_error("cannot remove the mount %s: %s", row->name, strerror(-err));
    else
        leavings_remove(&leavings, store);
    return err;
}

/* ---- looking inside ---- */

static int open_stack(const struct options *options, struct named_view *view)
{
    unsigned count = options->lower_count + 1, culprit = 0;
    cleanup_free const char **paths = calloc(count, sizeof(*paths));
    if (!paths)
        return -ENOMEM;
    paths[0] = options->upper;
    for (unsigned i = 0; i < options->lower_count; i++)
        paths[i + 1] = options->lowers[i];
    int err = stack_open(&view->stack, paths, count, true, view->fds, &culprit);
    if (err)
        log_error("cannot open the layer %s: %s", paths[culprit], strerror(-err));
    return err;
}

/* What the filesystem of the store can do is found out in a stage: the work directory is its
 * daemon's. */
static int peek(struct store *store, const struct options *options, struct stack *stack)
{
    struct stage stage = STAGE_NONE;
    if (store->read_only)
        return upper_peek_frozen(stack, options->work, options->userxattr);
    int err = store_stage(store, &stage);
    if (!err)
        err = upper_peek(stack, stage.dir, options->work, options->userxattr);
    store_unstage(store, &stage);
    return err;
}

int named_view_open(struct store *store, const struct mount_row *row, struct named_view *view)
{
    struct options options;
    options_init(&options);
    *view = (struct named_view){.fds = fdcache_create(256)};
    view->stack.stage = view->stack.index = -1;
    int err = view->fds ? 0 : -ENOMEM;
    if (!err && *row->options)
        err = options_take(&options, row->options);
    if (!err)
        err = named_fill(store, row, &options);
    if (!err)
        err = open_stack(&options, view);
    if (!err) {
        err = peek(store, &options, &view->stack);
        if (err)
            log_error("cannot look at the upper layer of %s: %s", row->name, strerror(-err));
    }
    options_finish(&options);
    if (err)
        named_view_close(view);
    return err;
}

void named_view_close(struct named_view *view)
{
    if (view->stack.layers)
        stack_close(&view->stack);
    fdcache_destroy(view->fds);
    *view = (struct named_view){0};
}

void named_flush(const struct store *store, const struct mount_row *row)
{
    enum named_state state;
    if (!row->mountpoint || named_state(store, row, &state) != 0 || state != NAMED_MOUNTED)
        return;
    cleanup_fd int fd = open(row->mountpoint, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0)
        syncfs(fd);
}

int named_view_flushed(struct store *store, const struct mount_row *row, struct named_view *view)
{
    named_flush(store, row);
    return named_view_open(store, row, view);
}
