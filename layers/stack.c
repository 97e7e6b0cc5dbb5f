/* SPDX-License-Identifier: MIT
 *
 * Duty: hold the layers open and answer for what is true of all of them: inode numbers, origins,
 * open directories.
 */
#include "stack.h"

#include "fd.h"
#include "hash.h"
#include "merge.h"
#include "mountinfo.h"
#include "record.h"
#include "sources.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/statvfs.h>

/* The index of the filesystem `dev`, added when it is new. */
static int stack_backing(struct stack *stack, int dir, dev_t dev)
{
    for (unsigned i = 0; i < stack->backing_count; i++) {
        if (stack->backings[i].dev == dev)
            return (int)i;
    }
    if (stack->backing_count == sizeof(stack->backings) / sizeof(stack->backings[0]))
        return -EMFILE;
    int err = backing_probe(&stack->backings[stack->backing_count], dir, dev);
    return err ? err : (int)stack->backing_count++;
}

static int layer_open(struct stack *stack, struct layer *layer, const char *path)
{
    struct stat st;
    layer->path = strdup(path);
    if (!layer->path)
        return -ENOMEM;
    /* The one open by path: it is the user's own word, symlinks and all. */
    layer->root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (layer->root < 0)
        return -errno;
    if (fstat(layer->root, &st) < 0)
        return -errno;
    int fs = stack_backing(stack, layer->root, st.st_dev);
    if (fs < 0)
        return fs;
    layer->fs = (uint8_t)fs;
    layer->record = record_of_layer(layer->root);
    stack->recorded = stack->recorded || layer->record;
    return 0;
}

/* ---- what is mounted in a layer ---- */

/* A path is told from the root of the mount by which something is open: here from where the view
 * begins. */
int stack_take_view(struct layer *layer, int view, const char *real)
{
    cleanup_free char *inside = fd_real_path(view);
    if (!inside)
        return -errno;
    const size_t length = strlen(real), tail = inside[1] ? strlen(inside) : 0;
    if (tail > length || strncmp(real + length - tail, inside, tail) != 0)
        return -ESTALE;
    cleanup_free char *top = strndup(real, length - tail);
    if (!top)
        return -ENOMEM;
    if (dup3(view, layer->root, O_CLOEXEC) < 0)
        return -errno;
    layer->top = steal_ptr(&top);
    return 0;
}

char *stack_find_layer(const struct layer *layer)
{
    char *path = NULL;
    cleanup_free char *inside = fd_real_path(layer->root);
    if (!inside || !layer->top)
        return steal_ptr(&inside);
    const bool all = inside[1] == 0;
    return asprintf(&path, "%s%s", layer->top, all && *layer->top ? "" : inside) < 0 ? NULL : path;
}

int stack_set_apart(struct stack *stack, unsigned layer)
{
    struct layer *at = &stack->layers[layer];
    if (at->top)
        return 0;
    cleanup_fd int alone = ownview_of(at->root, OWNVIEW_UNDATED);
    if (alone == -EPERM) /* who made this user namespace says how its mounts are dated */
        alone = ownview_of(at->root, OWNVIEW_DATED);
    if (alone < 0)
        return alone;
    cleanup_free char *real = fd_real_path(at->root);
    return real ? stack_take_view(at, alone, real) : -ENOMEM;
}

int stack_set_lowers_apart(struct stack *stack)
{
    int err = 0;
    cleanup_free char **real = calloc(stack->count, sizeof(*real));
    cleanup_free int *roots = calloc(stack->count, 2 * sizeof(*roots));
    if (!real || !roots)
        return -ENOMEM;
    int *views = roots + stack->count;
    for (unsigned i = 1; i < stack->count; i++) {
        roots[i] = stack->layers[i].root;
        real[i] = stack->layers[i].top ? NULL : fd_real_path(roots[i]);
    }
    ownview_open(roots, real, stack->count, OWNVIEW_UNDATED, views);
    for (unsigned i = 1; i < stack->count; i++) {
        if (views[i] >= 0 && !err &&
            stack_take_view(&stack->layers[i], views[i], real[i]) == -ENOMEM)
            err = -ENOMEM;
        own_close(&views[i]);
        free(real[i]);
    }
    return err;
}

/* Where that may not be, as for an ordinary user, what is mounted in a layer is shown. */
static int leave_out_mounts(struct stack *stack)
{
    int err = 0;
    cleanup_free char **real = calloc(stack->count, sizeof(*real));
    cleanup_free bool *crossed = calloc(stack->count, sizeof(*crossed));
    if (!real || !crossed)
        return -ENOMEM;
    for (unsigned i = 1; i < stack->count; i++)
        real[i] = fd_real_path(stack->layers[i].root);
    mountinfo_crossed(real, stack->count, crossed);
    for (unsigned i = 1; i < stack->count; i++) {
        err = crossed[i] && !err ? stack_set_apart(stack, i) : err;
        err = err == -ENOMEM ? err : 0;
        free(real[i]);
    }
    return err;
}

static int stack_root_sources(struct stack *stack)
{
    struct sources_builder builder = {0};
    int err = 0;
    for (unsigned i = 1; i < stack->count && !err; i++) {
        const struct layer *layer = &stack->layers[i];
        char value = 0;
        ovlset attrs;
        err = ovlattr_list(OVLWHERE_SEALED, layer->root, "", &attrs);
        /* Only a directory that says so may hold attribute whiteouts, as in the kernel. */
        ssize_t size =
            !err && ovlset_has(attrs, OVLATTR_OPAQUE)
                ? ovlattr_get(OVLWHERE_SEALED, layer->root, "", OVLATTR_OPAQUE, &value, 1)
                : 0;
        bool xwhiteouts = size == 1 && value == 'x';
        if (fd_is_fault((int)size))
            err = (int)size;
        if (!err)
            err = sources_add(&builder, (uint16_t)i, "", xwhiteouts);
    }
    if (err)
        sources_builder_finish(&builder);
    else
        stack->root = sources_build(&builder, &err);
    return err;
}

int stack_open(struct stack *stack, const char *const *paths, unsigned count, bool writable,
               struct fdcache *fds, unsigned *culprit)
{
    *stack = (struct stack){.writable = writable, .stage = -1, .index = -1, .fds = fds};
    *culprit = 0;
    if (getrandom(&stack->secret, sizeof(stack->secret), 0) != sizeof(stack->secret))
        return -errno;
    if (count + !writable > STACK_LAYERS_MAX)
        return -E2BIG;
    stack->count = count + !writable;
    stack->layers = calloc(stack->count, sizeof(*stack->layers));
    stack->merges = mergecache_create(1u << 26);
    if (!stack->layers || !stack->merges)
        return -ENOMEM;
    for (unsigned i = 0; i < stack->count; i++)
        stack->layers[i].root = -1;
    for (unsigned i = 0; i < count; i++) {
        *culprit = i;
        int err = layer_open(stack, &stack->layers[i + !writable], paths[i]);
        if (err)
            return err;
    }
    int err = leave_out_mounts(stack);
    return err ? err : stack_root_sources(stack);
}

int stack_open_plain(struct stack *stack, int root, const char *path, uint8_t tag,
                     struct fdcache *fds)
{
    struct stat st;
    *stack = (struct stack){.writable = true,
                            .plain = true,
                            .tag = tag,
                            .stage = -1,
                            .index = -1,
                            .fds = fds,
                            .able = {.space = OVLSPACE_NONE,
                                     .whiteform = WHITEFORM_DEVICE,
                                     .tmpfile = true,
                                     .rename_whiteout = true,
                                     .chown = true},
                            .features = {.sync = true}};
    stack->layers = calloc(1, sizeof(*stack->layers));
    stack->merges = stack->layers ? mergecache_create(0) : NULL;
    if (!stack->merges) {
        close(root);
        return -ENOMEM;
    }
    stack->count = 1;
    stack->layers[0].root = root;
    stack->layers[0].path = strdup(path);
    if (!stack->layers[0].path)
        return -ENOMEM;
    if (fstat(root, &st) < 0)
        return -errno;
    int fs = stack_backing(stack, root, st.st_dev);
    return fs < 0 ? fs : 0;
}

void stack_record_upper(struct stack *stack, const char *attr)
{
    stack->layers[0].record = attr;
    stack->recorded = false;
    for (unsigned i = 0; i < stack->count; i++)
        stack->recorded = stack->recorded || stack->layers[i].record;
}

/* It is asked of itself: in a plain tree something else may be mounted there, a device alone too.
 */
static void hide_device(int dir, const char *name, struct stat *st)
{
    struct statvfs on;
    cleanup_fd int fd = *name ? fd_open_name(dir, name, O_PATH, 0) : -1;
    if (fstatvfs(*name ? fd : dir, &on) < 0 || (on.f_flag & ST_NODEV))
        st->st_rdev = 0;
}

int stack_stat(const struct stack *stack, unsigned layer, int dir, const char *name,
               struct stat *st)
{
    int err = fd_stat(dir, name, st);
    if (!err && stack->plain && (S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode)))
        hide_device(dir, name, st);
    return err ? err : record_read(stack->layers[layer].record, dir, name, st);
}

int stack_in_place(const struct stack *stack)
{
    for (unsigned i = !stack->writable; i < stack->count; i++) {
        struct stat is, was;
        if (fstat(stack->layers[i].root, &was) < 0)
            return -errno;
        if (stat(stack->layers[i].path, &is) < 0 || is.st_ino != was.st_ino ||
            is.st_dev != was.st_dev)
            return -ESTALE;
    }
    return 0;
}

void stack_close(struct stack *stack)
{
    for (unsigned i = 0; stack->layers && i < stack->count; i++) {
        own_close(&stack->layers[i].root);
        free(stack->layers[i].path);
        free(stack->layers[i].top);
    }
    free(stack->layers);
    own_close(&stack->stage);
    own_close(&stack->index);
    sources_release(stack->root);
    mergecache_destroy(stack->merges);
    *stack = (struct stack){.stage = -1, .index = -1};
}

/* The numbers of a stack that is routed to, apart from those of the union and of every other. */
static uint64_t tag_ino(uint8_t tag, uint64_t real)
{
    return real >> 56 == 0 ? real | (uint64_t)tag << 56
                           : hash_bytes(&real, sizeof(real), tag) | 1ull << 63;
}

uint64_t stack_upper_ino(const struct stack *stack, const struct stat *st)
{
    if (!stack->plain || st->st_dev == stack->backings[0].dev)
        return stack_ino(stack, 0, st->st_ino);
    const uint64_t both[2] = {st->st_dev, st->st_ino};
    return hash_bytes(both, sizeof(both), stack->tag) | 1ull << 63;
}

static uint64_t compose_ino(const struct stack *stack, unsigned fs, uint64_t real)
{
    if (stack->backing_count < 2)
        return real;
    if (real >> 56 == 0)
        return real | (uint64_t)fs << 56;
    /* A filesystem that uses the high bits itself: mixed, so that a collision is a matter of 2^-64.
     */
    return hash_bytes(&real, sizeof(real), fs) | 1ull << 63;
}

uint64_t stack_ino(const struct stack *stack, unsigned layer, uint64_t real)
{
    uint64_t ino = compose_ino(stack, stack->layers[layer].fs, real);
    return stack->tag ? tag_ino(stack->tag, ino) : ino;
}

/* An attribute that was not written by an overlay, or has gone meanwhile. */
static bool is_odd(ssize_t err)
{
    return err == -ENODATA || err == -ERANGE || err == -EACCES;
}

/* The lower object that (dir, name) was copied from, and the filesystem it is on. */
static int find_origin(const struct stack *stack, int dir, const char *name, unsigned *fs,
                       struct stat *st)
{
    struct origin origin;
    if (!stack->able.handles)
        return -ESTALE;
    ssize_t size = ovlattr_get(stack_upper_where(stack), dir, name, OVLATTR_ORIGIN, origin.bytes,
                               sizeof(origin.bytes));
    if (size <= 0)
        return size < 0 && !is_odd(size) ? (int)size : -ESTALE;
    origin.size = (size_t)size;
    for (*fs = 0; *fs < stack->backing_count; (*fs)++) {
        int err = origin_stat(&stack->backings[*fs], &origin, st);
        if (err != -ESTALE && err != -EPERM)
            return err;
    }
    return -ESTALE;
}

int stack_origin_stat(const struct stack *stack, int dir, const char *name, struct stat *st)
{
    unsigned fs;
    return find_origin(stack, dir, name, &fs, st);
}

int stack_origin_ino(const struct stack *stack, int dir, const char *name, ovlset attrs,
                     uint64_t *ino)
{
    struct stat st;
    unsigned fs;
    if (ovlset_has(attrs, OVLATTR_INO)) {
        uint64_t own;
        ssize_t size =
            ovlattr_get_owned(stack_upper_where(stack), dir, name, OVLATTR_INO, &own, sizeof(own));
        if (size != sizeof(own))
            return size < 0 && !is_odd(size) ? (int)size : -ESTALE;
        *ino = own;
        return 0;
    }
    int err = ovlset_has(attrs, OVLATTR_ORIGIN) ? find_origin(stack, dir, name, &fs, &st) : -ESTALE;
    if (!err)
        *ino = compose_ino(stack, fs, st.st_ino);
    return err;
}

/* Sixty-one bits of hash stand for (layer, path): a collision among the directories that are open
 * at once is less likely than a broken memory cell, and none can be made on purpose. */
static uint64_t lower_key(const struct stack *stack, unsigned layer, const char *path)
{
    return fdkey(FDKIND_LOWER_DIR, hash_bytes(path, strlen(path), stack->secret + layer));
}

/* To be read. That leaves no trace on the layer, as with the kernel (ovl_path_open), where we may
 * ask for it: it is ours, or we have the privilege. */
static int open_to_read(const struct stack *stack, unsigned layer, const char *path)
{
    const int root = stack->layers[layer].root;
    int fd = fd_open_beneath(root, path, O_RDONLY | O_DIRECTORY | O_NOATIME);
    return fd == -EPERM ? fd_open_beneath(root, path, O_RDONLY | O_DIRECTORY) : fd;
}

/* Puts it in the cache: with one user, or NULL when out of memory. */
static struct fdref *keep_lower(const struct stack *stack, uint64_t key, int fd, bool readable)
{
    struct fdref *ref = fdcache_put_dir(stack->fds, key, fd, readable);
    fdref_may_linger(ref);
    return ref;
}

struct fdref *stack_lower_dir(const struct stack *stack, unsigned layer, const char *path, int *err)
{
    uint64_t key = lower_key(stack, layer, path);
    struct fdref *ref = fdcache_get(stack->fds, key);
    *err = 0;
    if (ref)
        return ref;
    int fd = open_to_read(stack, layer, path);
    const bool readable = fd >= 0;
    if (fd == -EACCES) /* it may be one to pass through all the same */
        fd = fd_open_beneath(stack->layers[layer].root, path, O_PATH | O_DIRECTORY);
    if (fd < 0) {
        *err = fd;
        return NULL;
    }
    ref = keep_lower(stack, key, fd, readable);
    *err = ref ? 0 : -ENOMEM;
    return ref;
}

/* Reads a directory that is not open yet, while it is at its beginning. */
static int read_first(const struct stack *stack, unsigned layer, const char *path,
                      int (*each)(void *context, int fd, const struct dirent *entry), void *context)
{
    int fd = open_to_read(stack, layer, path);
    if (fd < 0)
        return fd;
    int err = dirents_read(fd, each, context);
    struct fdref *ref = keep_lower(stack, lower_key(stack, layer, path), fd, true);
    fdref_release(stack->fds, ref);
    return err ? err : ref ? 0 : -ENOMEM;
}

int stack_read_lower(const struct stack *stack, unsigned layer, const char *path,
                     int (*each)(void *context, int fd, const struct dirent *entry), void *context)
{
    struct fdref *ref = fdcache_get(stack->fds, lower_key(stack, layer, path));
    if (!ref)
        return read_first(stack, layer, path, each, context);
    int err = fdref_each_entry(ref, each, context);
    fdref_release(stack->fds, ref);
    return err;
}
