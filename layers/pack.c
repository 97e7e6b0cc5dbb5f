/* SPDX-License-Identifier: MIT
 *
 * Duty: say in an archive's way what layertree.h tells. Cost: every file is read once; memory does
 * not grow with the layer, but for its hard links.
 */
#include "pack.h"

#include "layertree.h"
#include "log.h"
#include "whiteout.h"

#include <stdio.h>
#include <string.h>

struct packing {
    struct tar_writer *writer;
    uint64_t done; /* bytes of content */
    void (*seen)(void *context, uint64_t bytes);
    void *context;
};

static int add_piece(void *context, const void *data, size_t size)
{
    struct packing *packing = context;
    int err = tar_writer_data(packing->writer, data, size);
    packing->done += size;
    if (packing->seen)
        packing->seen(packing->context, packing->done);
    return err;
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

/* The root has no entry of its own: a layer is put into a directory that is there. */
static int add_directory(struct packing *packing, const struct layer_entry *entry)
{
    const char *path = entry->shown.path;
    bool root = strcmp(path, ".") == 0;
    int err = root ? 0 : tar_writer_add(packing->writer, &entry->shown);
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

static int add_entry(struct packing *packing, struct layertree *layer,
                     const struct layer_entry *entry)
{
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

int pack_tree(int tree, struct tar_writer *writer, void (*seen)(void *context, uint64_t bytes),
              void *context)
{
    int err = 0, more = 1;
    struct layer_entry entry;
    struct packing packing = {.writer = writer, .seen = seen, .context = context};
    cleanup_layertree struct layertree *layer = layertree_open(tree, &err);
    if (!layer)
        return err;
    while (!err && (more = layertree_next(layer, &entry)) == 1)
        err = add_entry(&packing, layer, &entry);
    return err ? err : more;
}
