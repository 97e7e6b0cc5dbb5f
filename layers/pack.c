/* SPDX-License-Identifier: MIT
 *
 * Duty: say in an archive's way what layertree.h tells, or put together again what skeleton.h took
 * apart. Cost: every file is read once; memory does not grow with the layer, but for its hard
 * links.
 */
#include "pack.h"

#include "fd.h"
#include "layertree.h"
#include "log.h"
#include "skeleton.h"
#include "whiteout.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

struct packing {
    enum treekind kind;
    struct tar_writer *writer;
    uint64_t done; /* bytes of content */
    void (*seen)(void *context, uint64_t bytes);
    void *context;
};

static void count(struct packing *packing, size_t size)
{
    packing->done += size;
    if (packing->seen)
        packing->seen(packing->context, packing->done);
}

/* ---- from the tree alone ---- */

static int add_piece(void *context, const void *data, size_t size)
{
    struct packing *packing = context;
    count(packing, size);
    return tar_writer_data(packing->writer, data, size);
}

/* An empty file with a name from the grammar of whiteouts, "DIR" "NAME1" "NAME2". What it is of has
 * no owner, mode or time, so that these are nobody's and the bytes are always the same. */
static int add_mark(struct packing *packing, int dir_length, const char *dir, const char *name,
                    const char *rest)
{
    cleanup_free char *path = NULL;
    if (asprintf(&path, "%.*s%s%s", dir_length, dir, name, rest) < 0) {
        path = NULL;
        return -ENOMEM;
    }
    const struct tar_entry mark = {.path = path, .mode = S_IFREG};
    return tar_writer_add(packing->writer, &mark);
}

static int add_whiteout(struct packing *packing, const char *path)
{
    const char *slash = strrchr(path, '/'), *leaf = slash ? slash + 1 : path;
    return add_mark(packing, (int)(leaf - path), path, WHITEOUT_PREFIX, leaf);
}

/* A layer is put into a directory that is there; what a volume's root is like belongs to it. */
static int add_directory(struct packing *packing, const struct layer_entry *entry)
{
    const char *path = entry->shown.path;
    bool root = strcmp(path, ".") == 0;
    bool told = !root || packing->kind == TREEKIND_PLAIN;
    int err = !told ? 0 : tar_writer_add(packing->writer, &entry->shown);
    if (err || entry->type != 'o')
        return err;
    return root ? add_mark(packing, 0, "", WHITEOUT_OPAQUE, "")
                : add_mark(packing, (int)strlen(path), path, "/", WHITEOUT_OPAQUE);
}

static int add_link(struct packing *packing, const struct layer_entry *entry)
{
    struct tar_entry link = entry->shown;
    link.mode = S_IFREG | (link.mode & 07777);
    return tar_writer_add(packing->writer, &link);
}

static bool is_own(const struct packing *packing, const char *path)
{
    const char *slash = strrchr(path, '/');
    return tar_writer_is_own(packing->writer, slash ? slash + 1 : path);
}

static int add_entry(struct packing *packing, struct layertree *layer,
                     const struct layer_entry *entry)
{
    if (is_own(packing, entry->shown.path))
        return 0;
    if (entry->type == 'w')
        return add_whiteout(packing, entry->shown.path);
    if (S_ISDIR(entry->shown.mode))
        return add_directory(packing, entry);
    if (S_ISSOCK(entry->shown.mode)) {
        log_warning("%s: a socket is left out: archives have none", entry->shown.path);
        return 0;
    }
    if (entry->type == 'h')
        return add_link(packing, entry);
    int err = tar_writer_add(packing->writer, &entry->shown);
    return err ? err : layertree_content(layer, add_piece, packing);
}

int pack_tree(int tree, enum treekind kind, struct tar_writer *writer,
              void (*seen)(void *context, uint64_t bytes), void *context)
{
    int err = 0, more = 1;
    struct layer_entry entry;
    struct packing packing = {.kind = kind, .writer = writer, .seen = seen, .context = context};
    cleanup_layertree struct layertree *layer = layertree_open(tree, kind, &err);
    if (!layer)
        return err;
    while (!err && (more = layertree_next(layer, &entry)) == 1)
        err = add_entry(&packing, layer, &entry);
    return err ? err : more;
}

/* ---- from the skeleton ---- */

enum { BLOCK = 1 << 18 };

/* Opens a file that the skeleton names. Whatever is there instead is not what came. */
static int open_content(int tree, const struct skeleton_part *part)
{
    struct stat st;
    cleanup_fd int fd = fd_open_beneath(tree, part->path, O_RDONLY | O_NONBLOCK);
    if (fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP || fd == -ENXIO || fd == -EXDEV)
        return -EBADMSG;
    if (fd < 0)
        return fd;
    int err = fd_stat(fd, "", &st);
    if (err)
        return err;
    if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != part->size)
        return -EBADMSG;
    posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    return steal_fd(&fd);
}

static int copy_content(struct packing *packing, int tree, const struct skeleton_part *part)
{
    cleanup_fd int fd = open_content(tree, part);
    if (fd < 0)
        return fd;
    cleanup_free char *block = malloc(BLOCK);
    if (!block)
        return -ENOMEM;
    for (uint64_t left = part->size; left > 0;) {
        ssize_t got = fd_read(fd, block, left < BLOCK ? (size_t)left : BLOCK);
        if (got <= 0)
            return got < 0 ? (int)got : -EBADMSG;
        int err = tar_writer_raw(packing->writer, block, (size_t)got);
        if (err)
            return err;
        count(packing, (size_t)got);
        left -= (uint64_t)got;
    }
    return 0;
}

static int pack_skeleton(int tree, int books, struct packing *packing)
{
    int err = 0, more = 1;
    struct skeleton_part part;
    cleanup_skeleton_reader struct skeleton_reader *reader = skeleton_open(books, "skeleton", &err);
    if (!reader)
        return err;
    while (!err && (more = skeleton_next(reader, &part)) == 1)
        err = part.data ? tar_writer_raw(packing->writer, part.data, (size_t)part.size)
                        : copy_content(packing, tree, &part);
    return err ? err : more;
}

int pack_layer(const struct pack *pack, struct tar_sums *sums)
{
    cleanup_tar_writer struct tar_writer *writer = tar_writer_open(pack->fd, pack->filter);
    if (!writer)
        return -ENOMEM;
    struct packing packing = {.writer = writer, .seen = pack->seen, .context = pack->context};
    int err = pack->skeleton
                  ? pack_skeleton(pack->tree, pack->books, &packing)
                  : pack_tree(pack->tree, TREEKIND_LAYER, writer, pack->seen, pack->context);
    return err ? err : tar_writer_finish(writer, sums);
}
