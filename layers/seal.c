/* SPDX-License-Identifier: MIT
 *
 * Duty: the steps from the stage to the row, in the order that store.h asks for: everything is read
 * and written before the store's lock is taken, and the row comes last. Whoever seals the same
 * layer at the same time may be faster at any point; then that one's row is taken.
 *
 * Cost: one reading of the layer for its entries, one more where its DiffID is not known.
 */
#include "seal.h"

#include "fd.h"
#include "moment.h"
#include "pack.h"
#include "rmtree.h"
#include "skeleton.h"

#include <fcntl.h>
#include <string.h>

static int open_directory(int dir, const char *name)
{
    return fd_open_name(dir, name, O_RDONLY | O_DIRECTORY, 0);
}

static int make_directory(int dir, const char *name, int *fd)
{
    if (mkdirat(dir, name, 0755) < 0)
        return -errno;
    *fd = open_directory(dir, name);
    return *fd < 0 ? *fd : 0;
}

int seal_make_staged(const struct stage *stage, const char *staged, int *layer, int *tree)
{
    *layer = *tree = -1;
    int err = make_directory(stage->dir, staged, layer);
    if (!err)
        err = make_directory(*layer, "tree", tree);
    return !err && fchmod(*tree, 0755) < 0 ? -errno : err;
}

/* The sums of the archive that the tree would be. */
static int sum_up(int tree, const struct seal *seal, struct tar_sums *sums)
{
    cleanup_tar_writer struct tar_writer *writer = tar_writer_open(-1, TAR_PLAIN);
    int err = writer ? pack_tree(tree, TREEKIND_LAYER, writer, seal->seen, seal->context) : -ENOMEM;
    return err ? err : tar_writer_finish(writer, sums);
}

/* ---- a layer that is there ---- */

/* The row of the layer `id`: -ENOENT when there is none. */
static int find_row(struct store *store, const char *id, struct layer_row *row)
{
    int err = catalog_find_layer(store->catalog, id, row);
    if (err || strcmp(row->id, id) == 0)
        return err == -ENOTUNIQ ? -ENOENT : err;
    layer_row_finish(row); /* it only has such a name */
    return -ENOENT;
}

static int rename_row(struct store *store, const char *name, struct layer_row *row)
{
    if (!name || (row->name && strcmp(row->name, name) == 0))
        return 0;
    cleanup_free char *copy = strdup(name);
    int err = copy ? catalog_name_layer(store->catalog, row->id, name) : -ENOMEM;
    if (err)
        return err;
    free(row->name);
    row->name = steal_ptr(&copy);
    return 0;
}

/* Takes the layer that the store has in place of the staged one: -ENOENT when it has none. */
static int use_known(struct store *store, const struct stage *stage, const struct seal *seal,
                     const char *id, struct layer_row *row)
{
    int err = find_row(store, id, row);
    if (err)
        return err;
    err = rename_row(store, seal->name, row);
    if (!err)
        err = rmtree(stage->dir, seal->staged);
    if (!err && seal->with_row)
        err = seal->with_row(seal->row_context, row);
    if (err)
        layer_row_finish(row);
    return err;
}

/* ---- a new layer ---- */

/* Whether the tar of these sums can be given back. */
static bool has_skeleton(int layer, const struct tar_sums *sums)
{
    int err;
    cleanup_skeleton_reader struct skeleton_reader *reader = skeleton_open(layer, "skeleton", &err);
    return reader && skeleton_size(reader) == sums->tar_size;
}

/* Digests the tree into its entries file, and fills the row with all that is known. */
static int fill_row(int layer, int tree, const struct seal *seal, const struct tar_sums *sums,
                    struct layer_row *row)
{
    char digest[33];
    cleanup_entries struct entries entries = {0};
    int err = entries_take(tree, TREEKIND_LAYER, &entries, seal->seen, seal->context);
    if (!err)
        err = entries_write(&entries, layer, "entries", digest);
    if (err)
        return err;
    *row = (struct layer_row){
        .id = strdup(sums->diff_id),
        .name = seal->name ? strdup(seal->name) : NULL,
        .source = strdup(seal->source),
        .entries = strdup(digest),
        .created = moment_now(),
        .files = entries.files,
        .bytes = entries.bytes,
        .tar_bytes = sums->tar_size,
        .skeleton = seal->sums && has_skeleton(layer, sums),
    };
    bool whole = row->id && row->source && row->entries && (row->name || !seal->name);
    return whole ? 0 : -ENOMEM;
}

/* The directory is in its place and has no row: puts it out of the way again. */
static void take_back(struct store *store, const char *id)
{
    int err = store_discard(store, store->layers, id);
    (void)err; /* what is left has no row, and is swept */
}

static int add_rows(struct store *store, const struct seal *seal, const struct layer_row *row)
{
    int err = catalog_begin(store->catalog);
    if (err)
        return err;
    err = catalog_add_layer(store->catalog, row);
    if (!err && seal->with_row)
        err = seal->with_row(seal->row_context, row);
    return catalog_end(store->catalog, err);
}

/* Publishes the directory, then adds the row. *taken: another process has just done so. */
static int publish(struct store *store, struct stage *stage, const struct seal *seal,
                   const struct layer_row *row, bool *taken)
{
    int err = store_publishing(store);
    if (err)
        return err;
    err = store_publish(store, stage, seal->staged, store->layers, row->id);
    *taken = err == -EEXIST;
    if (!err) {
        err = add_rows(store, seal, row);
        if (err)
            take_back(store, row->id);
    }
    store_published(store);
    return err;
}

static int seal_new(struct store *store, struct stage *stage, const struct seal *seal, int layer,
                    int tree, const struct tar_sums *sums, struct layer_row *row)
{
    bool taken = false;
    int err = fill_row(layer, tree, seal, sums, row);
    if (!err)
        err = publish(store, stage, seal, row, &taken);
    if (err)
        layer_row_finish(row);
    return taken ? use_known(store, stage, seal, sums->diff_id, row) : err;
}

int seal_layer(struct store *store, struct stage *stage, const struct seal *seal,
               struct layer_row *row)
{
    struct tar_sums packed;
    const struct tar_sums *sums = seal->sums ? seal->sums : &packed;
    *row = (struct layer_row){0};
    cleanup_fd int layer = open_directory(stage->dir, seal->staged);
    if (layer < 0)
        return layer;
    cleanup_fd int tree = open_directory(layer, "tree");
    if (tree < 0)
        return tree;
    int err = seal->sums ? 0 : sum_up(tree, seal, &packed);
    if (err)
        return err;
    err = use_known(store, stage, seal, sums->diff_id, row);
    return err == -ENOENT ? seal_new(store, stage, seal, layer, tree, sums, row) : err;
}

int seal_prepare(const struct stage *stage, const struct seal *seal, struct layer_row *row)
{
    *row = (struct layer_row){0};
    cleanup_fd int layer = open_directory(stage->dir, seal->staged);
    if (layer < 0)
        return layer;
    cleanup_fd int tree = open_directory(layer, "tree");
    if (tree < 0)
        return tree;
    int err = fill_row(layer, tree, seal, seal->sums, row);
    if (err)
        layer_row_finish(row);
    return err;
}

/* ---- verifying ---- */

/* The entries as they were written down. */
static int read_entries(int layer, const struct layer_row *row, struct entries *entries)
{
    char digest[33];
    int err = entries_read(layer, "entries", entries, digest);
    if (err)
        return err == -ENOENT ? -EBADMSG : err;
    return strcmp(digest, row->entries) == 0 ? 0 : -EBADMSG;
}

int seal_verify(struct store *store, const struct layer_row *row, const struct seal_check *check)
{
    cleanup_entries struct entries was = {0}, is = {0};
    if (!row->entries[0])
        return -ENODATA;
    cleanup_fd int layer = open_directory(store->layers, row->id);
    if (layer < 0)
        return layer;
    int err = read_entries(layer, row, &was);
    if (err)
        return err;
    cleanup_fd int tree = open_directory(layer, "tree");
    if (tree < 0)
        return tree;
    err = entries_take(tree, TREEKIND_LAYER, &is, check->seen, check->progress);
    return err ? err : entries_compare(&was, &is, check->each, check->context);
}
