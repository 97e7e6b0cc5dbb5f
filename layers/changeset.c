/* SPDX-License-Identifier: MIT
 *
 * Duty: tell each change to a tar writer. Cost: what is read is what changed.
 */
#include "changeset.h"

#include "attrlist.h"
#include "changes.h"
#include "fd.h"
#include "hash.h"
#include "linkset.h"
#include "log.h"
#include "place.h"
#include "whiteout.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

struct packing {
    const struct stack *stack;
    bool all; /* the whole tree for whoever reads tars, and not a layer */
    struct tar_writer *writer;
    struct linkset *links;
    struct attrlist attributes;
    void (*seen)(void *context, uint64_t bytes);
    void *context;
    uint64_t bytes;
};

static int add_whiteout(struct packing *packing, const struct change *change)
{
    char *path = NULL;
    size_t front = strlen(change->path) - strlen(change->name);
    if (strlen(change->name) + strlen(WHITEOUT_PREFIX) > NAME_MAX) {
        log_error("the removal of %s cannot be told in a tar: its name is too long for one more %s",
                  change->path, WHITEOUT_PREFIX);
        return -ENAMETOOLONG;
    }
    if (asprintf(&path, "%.*s" WHITEOUT_PREFIX "%s", (int)front, change->path, change->name) < 0)
        return -ENOMEM;
    const struct tar_entry whiteout = {.path = path, .mode = S_IFREG};
    int err = tar_writer_add(packing->writer, &whiteout);
    free(path);
    return err;
}

/* Exactly `size` bytes: a file of a mount that is in use may have become another meanwhile. */
static int add_content(struct packing *packing, int fd, off_t size)
{
    enum { PIECE = 1 << 18 };
    cleanup_free char *piece = malloc(PIECE);
    if (!piece)
        return -ENOMEM;
    while (size > 0) {
        ssize_t got = fd_read(fd, piece, size < PIECE ? (size_t)size : PIECE);
        if (got <= 0)
            return got < 0 ? (int)got : -EAGAIN;
        int err = tar_writer_data(packing->writer, piece, (size_t)got);
        if (err)
            return err;
        size -= got;
        packing->bytes += (uint64_t)got;
        if (packing->seen)
            packing->seen(packing->context, packing->bytes);
    }
    return 0;
}

static int add_file(struct packing *packing, const struct change *change, const struct place *place,
                    struct tar_entry *entry)
{
    int err = linkset_first(packing->links, &change->entry->st, change->path, &entry->link);
    if (err || entry->link) {
        entry->size = 0;
        return err ? err : tar_writer_add(packing->writer, entry);
    }
    cleanup_fd int fd = place_open_data(packing->stack, change, place);
    if (fd < 0)
        return fd;
    err = tar_writer_add(packing->writer, entry);
    return err ? err : add_content(packing, fd, entry->size);
}

static int add_other(struct packing *packing, const struct change *change,
                     const struct place *place, struct tar_entry *entry)
{
    char target[PATH_MAX + 1];
    entry->size = 0;
    if (S_ISLNK(entry->mode)) {
        ssize_t length = readlinkat(place->dir, place->name, target, PATH_MAX);
        if (length < 0)
            return -errno;
        target[length] = 0;
        entry->target = target;
    }
    if (!S_ISDIR(entry->mode)) {
        int err = linkset_first(packing->links, &change->entry->st, change->path, &entry->link);
        if (err)
            return err;
    }
    return tar_writer_add(packing->writer, entry);
}

static int add_present(struct packing *packing, const struct change *change,
                       const struct place *place)
{
    struct stat st;
    int err = fd_stat(place->dir, place->name, &st);
    if (!err)
        err = attrlist_read(&packing->attributes, place->where, place->dir, place->name,
                            place->record, &st);
    if (err)
        return err;
    struct tar_entry entry = {
        .path = change->path,
        .mode = st.st_mode,
        .uid = st.st_uid,
        .gid = st.st_gid,
        .rdev = st.st_rdev,
        .size = st.st_size,
        .mtime = st.st_mtim,
        .xattrs = packing->attributes.at,
        .xattr_count = packing->attributes.count,
    };
    if (S_ISSOCK(st.st_mode)) {
        log_warning("%s is a socket, which a tar cannot hold: left out", change->path);
        return 0;
    }
    return S_ISREG(st.st_mode) ? add_file(packing, change, place, &entry)
                               : add_other(packing, change, place, &entry);
}

/* Whoever reads a layer takes such a name for a removal, whatever it was meant to be. */
static int refuse_name(const struct change *change)
{
    log_error("%s cannot be told in a layer: a name that begins with %s is the removal of another",
              change->path, WHITEOUT_PREFIX);
    return -EINVAL;
}

static int add_change(void *context, const struct change *change)
{
    struct packing *packing = context;
    if (!change->entry->present)
        return add_whiteout(packing, change);
    if (tar_writer_is_own(packing->writer, change->name))
        return 0;
    if (!packing->all && whiteout_is_name(change->name))
        return refuse_name(change);
    struct place place;
    int err = place_of(packing->stack, change, &place);
    if (!err)
        err = add_present(packing, change, &place);
    place_finish(packing->stack, &place);
    /* What was there a moment ago and is not now changed while it was read. */
    return err == -ENOENT || err == -ESTALE ? -EAGAIN : err;
}

/* The root of the tree is that of the upper, which took the look of the layers beneath when it was
 * made. */
static int add_root(struct packing *packing)
{
    struct stat st;
    const struct stack *stack = packing->stack;
    int root = stack->layers[0].root;
    int err = fd_stat(root, "", &st);
    if (!err)
        err = attrlist_read(&packing->attributes, stack_upper_where(stack), root, "",
                            stack->layers[0].record, &st);
    if (err)
        return err;
    const struct tar_entry entry = {
        .path = ".",
        .mode = st.st_mode,
        .uid = st.st_uid,
        .gid = st.st_gid,
        .mtime = st.st_mtim,
        .xattrs = packing->attributes.at,
        .xattr_count = packing->attributes.count,
    };
    return tar_writer_add(packing->writer, &entry);
}

int changeset_pack(const struct stack *stack, bool all, struct tar_writer *writer,
                   void (*seen)(void *context, uint64_t bytes), void *context)
{
    struct packing packing = {.stack = stack,
                              .all = all,
                              .writer = writer,
                              .links = linkset_create(),
                              .seen = seen,
                              .context = context};
    int err = packing.links ? 0 : -ENOMEM;
    if (!err && stack->writable)
        err = add_root(&packing);
    if (!err)
        err = all ? changes_walk_all(stack, add_change, &packing)
                  : changes_walk(stack, add_change, &packing);
    attrlist_finish(&packing.attributes);
    linkset_destroy(packing.links);
    return err;
}

/* ---- state ---- */

static int hash_change(void *context, const struct change *change)
{
    uint64_t *state = context;
    const struct stat *st = &change->entry->st;
    const uint64_t facts[] = {(uint64_t)change->kind,        st->st_ino,
                              (uint64_t)st->st_size,         (uint64_t)st->st_mtim.tv_sec,
                              (uint64_t)st->st_mtim.tv_nsec, (uint64_t)st->st_ctim.tv_sec,
                              (uint64_t)st->st_ctim.tv_nsec, st->st_mode};
    *state = hash_bytes(change->path, strlen(change->path), *state);
    if (change->entry->present)
        *state = hash_bytes(facts, sizeof(facts), *state);
    return 0;
}

int changeset_state(const struct stack *stack, uint64_t *state)
{
    *state = 0;
    return changes_walk(stack, hash_change, state);
}
