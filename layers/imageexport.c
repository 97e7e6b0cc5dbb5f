/* SPDX-License-Identifier: MIT
 *
 * Duty: write the blobs and documents of images to where they go, which is a tar or a directory.
 * A tar has the size of a file in front of it; so each layer is packed into a file of the stage
 * first, one at a time. Cost: each layer is packed, compressed, and written twice.
 */
#include "imageexport.h"

#include "blank.h"
#include "digest.h"
#include "fd.h"
#include "nameset.h"
#include "oci.h"
#include "pack.h"
#include "tarball.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* Room for the longest path in an archive: "blobs/sha256/" and 64 digits. */
enum { PATH_SIZE = 13 + DIGEST_HEX_SIZE };

struct blob {
    char digest[DIGEST_HEX_SIZE];
    uint64_t size;
};

struct work {
    struct store *store;
    struct image_export *export;
    struct stage stage;
    int scratch;               /* the directory of files without a name */
    struct tar_writer *writer; /* NULL: into the directory */
    struct nameset paths;      /* those that are written */
    struct nameset layers;     /* DiffIDs of the layers that are, each with its blob */
    struct blob *blobs;
    size_t room;
    uint64_t done;
};

__attribute__((format(printf, 2, 3))) static int wrong(struct image_export *export,
                                                       const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(export->words, sizeof(export->words), format, args);
    va_end(args);
    return -EBADMSG;
}

/* ---- files of the archive ---- */

/* What a file is made of: memory, or a descriptor that stands at its beginning. */
struct content {
    const char *data;
    int fd;
    uint64_t size;
};

static int put_piece(struct work *work, int out, const void *data, size_t size)
{
    return out < 0 ? tar_writer_data(work->writer, data, size) : fd_write_all(out, data, size);
}

static int put_content(struct work *work, int out, const struct content *content)
{
    enum { room = 1 << 18 };
    if (content->data)
        return put_piece(work, out, content->data, (size_t)content->size);
    cleanup_free char *buffer = malloc(room);
    if (!buffer)
        return -ENOMEM;
    for (uint64_t left = content->size; left > 0;) {
        ssize_t got = fd_read(content->fd, buffer, left < room ? (size_t)left : room);
        if (got <= 0)
            return got < 0 ? (int)got : -EIO;
        int err = put_piece(work, out, buffer, (size_t)got);
        if (err)
            return err;
        left -= (uint64_t)got;
    }
    return 0;
}

/* Writes one file, unless it has been. */
static int put_file(struct work *work, const char *path, const struct content *content)
{
    uint32_t index;
    bool fresh;
    cleanup_fd int out = -1;
    int err = nameset_add(&work->paths, path, &index, &fresh);
    if (err || !fresh)
        return err;
    if (work->writer) {
        const struct tar_entry entry = {
            .path = path, .mode = S_IFREG | 0644, .size = (off_t)content->size};
        err = tar_writer_add(work->writer, &entry);
    } else {
        /* The directory is new and ours: a path of two parts can lead nowhere else. */
        out = openat(work->export->dir, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        err = out < 0 ? -errno : 0;
    }
    return err ? err : put_content(work, out, content);
}

static int put_text(struct work *work, const char *path, const char *text)
{
    if (!text)
        return -ENOMEM;
    const struct content content = {.data = text, .fd = -1, .size = strlen(text)};
    return put_file(work, path, &content);
}

static char *blob_path(char path[PATH_SIZE], const char *digest)
{
    snprintf(path, PATH_SIZE, "blobs/sha256/%.64s", digest);
    return path;
}

/* ---- layers ---- */

static char *layer_path(const struct work *work, char path[PATH_SIZE], const char *diff_id,
                        const struct blob *blob)
{
    if (work->export->form == IMAGE_OCI)
        return blob_path(path, blob->digest);
    snprintf(path, PATH_SIZE, "%.64s.tar", diff_id);
    return path;
}

static void tell_seen(void *context, uint64_t bytes)
{
    const struct work *work = context;
    if (work->export->seen)
        work->export->seen(work->export->context, work->done + bytes);
}

/* Writes the layer's tar to `fd`, and checks that it is the one that its id speaks of. */
static int pack(struct work *work, const struct layer_row *row, int fd, struct tar_sums *sums)
{
    const int flags = O_RDONLY | O_DIRECTORY;
    cleanup_fd int books = fd_open_name(work->store->layers, row->id, flags, 0);
    if (books < 0)
        return books;
    cleanup_fd int tree = fd_open_name(books, "tree", flags, 0);
    if (tree < 0)
        return tree;
    const struct pack pack = {
        .tree = tree,
        .books = books,
        .skeleton = row->skeleton,
        .fd = fd,
        .filter = work->export->form == IMAGE_OCI ? TAR_GZIP : TAR_PLAIN,
        .seen = tell_seen,
        .context = work,
    };
    int err = pack_layer(&pack, sums);
    if (err == -EBADMSG || (!err && strcmp(sums->diff_id, row->id) != 0))
        return wrong(work->export, "layer %s is not any more what it was when it was sealed",
                     row->id);
    return err;
}

/* Packs a layer into a file, and from there into the archive. */
static int put_layer(struct work *work, const struct layer_row *row, struct blob *blob)
{
    char path[PATH_SIZE];
    struct tar_sums sums;
    cleanup_fd int fd = blank_scratch(work->scratch);
    if (fd < 0)
        return fd;
    int err = pack(work, row, fd, &sums);
    if (err)
        return err;
    memcpy(blob->digest, sums.blob, sizeof(blob->digest));
    blob->size = sums.blob_size;
    if (lseek(fd, 0, SEEK_SET) < 0)
        return -errno;
    const struct content content = {.fd = fd, .size = blob->size};
    err = put_file(work, layer_path(work, path, row->id, blob), &content);
    work->done += row->bytes;
    tell_seen(work, 0);
    return err;
}

static int find_layer(struct work *work, const char *id, struct layer_row *row)
{
    int err = catalog_find_layer(work->store->catalog, id, row);
    if (err)
        wrong(work->export, "layer %s is not in the catalog", id);
    return err;
}

/* Writes a layer unless it has been; `blob` is what it became. */
static int need_layer(struct work *work, const char *id, struct blob *blob)
{
    uint32_t index;
    bool fresh;
    int err = nameset_add(&work->layers, id, &index, &fresh);
    if (err)
        return err;
    if (index >= work->room) {
        size_t room = work->room ? work->room * 2 : 64;
        struct blob *blobs = realloc(work->blobs, room * sizeof(*blobs));
        if (!blobs)
            return -ENOMEM;
        work->blobs = blobs;
        work->room = room;
    }
    if (fresh) {
        cleanup(layer_row_finish) struct layer_row row = {0};
        err = find_layer(work, id, &row);
        if (!err)
            err = put_layer(work, &row, &work->blobs[index]);
    }
    *blob = work->blobs[index];
    return err;
}

/* ---- an OCI layout ---- */

/* The manifest of an image; `entry` is what the index says of it. */
static int put_manifest(struct work *work, const struct image_row *image,
                        struct oci_descriptor *entry, char digest[DIGEST_HEX_SIZE])
{
    char path[PATH_SIZE];
    cleanup_free struct blob *blobs = calloc(image->layer_count + 1, sizeof(*blobs));
    cleanup_free struct oci_descriptor *layers = calloc(image->layer_count + 1, sizeof(*layers));
    if (!blobs || !layers)
        return -ENOMEM;
    int err = put_text(work, blob_path(path, image->id), image->config);
    for (unsigned i = 0; !err && i < image->layer_count; i++) {
        err = need_layer(work, image->layers[i], &blobs[i]);
        layers[i] = (struct oci_descriptor){
            .media = OCI_LAYER_GZIP, .digest = blobs[i].digest, .size = blobs[i].size};
    }
    if (err)
        return err;
    const struct oci_descriptor config = {
        .media = OCI_CONFIG, .digest = image->id, .size = strlen(image->config)};
    cleanup_free char *manifest = oci_manifest_write(&config, layers, image->layer_count);
    err = manifest ? digest_of(manifest, strlen(manifest), digest) : -ENOMEM;
    if (err)
        return err;
    entry->media = OCI_MANIFEST;
    entry->digest = digest;
    entry->size = strlen(manifest);
    return put_text(work, blob_path(path, digest), manifest);
}

/* The index has an entry for each name of each image, and one for an image without. */
struct listing {
    struct oci_descriptor *at;
    size_t count;
    char (*digests)[DIGEST_HEX_SIZE]; /* of each image's manifest */
    struct oci_config *configs;       /* of each image: its platform */
    unsigned configs_read;
};

static void listing_finish(struct listing *listing)
{
    for (unsigned i = 0; i < listing->configs_read; i++)
        oci_config_finish(&listing->configs[i]);
    free(listing->configs);
    free(listing->digests);
    free(listing->at);
}

static int listing_begin(struct listing *listing, const struct image_export *export)
{
    size_t entries = 0;
    for (unsigned i = 0; i < export->count; i++)
        entries += export->images[i].name_count + 1;
    listing->at = calloc(entries, sizeof(*listing->at));
    listing->digests = calloc(export->count, sizeof(*listing->digests));
    listing->configs = calloc(export->count, sizeof(*listing->configs));
    return listing->at && listing->digests && listing->configs ? 0 : -ENOMEM;
}

static int list_image(struct work *work, struct listing *listing, unsigned index)
{
    const struct image_row *image = &work->export->images[index];
    struct oci_config *config = &listing->configs[index];
    struct oci_fault fault;
    int err = oci_config_parse(image->config, strlen(image->config), config, &fault);
    if (err)
        return err == -EBADMSG ? wrong(work->export, "config %s: %s", image->id, fault.words) : err;
    listing->configs_read = index + 1;
    struct oci_descriptor entry = {.platform = config->platform};
    err = put_manifest(work, image, &entry, listing->digests[index]);
    for (unsigned i = 0; !err && (i == 0 || i < image->name_count); i++) {
        entry.name = i < image->name_count ? image->names[i] : NULL;
        listing->at[listing->count++] = entry;
    }
    return err;
}

static int put_layout(struct work *work)
{
    cleanup(listing_finish) struct listing listing = {0};
    int err = listing_begin(&listing, work->export);
    if (!err)
        err = put_text(work, "oci-layout", OCI_LAYOUT);
    for (unsigned i = 0; !err && i < work->export->count; i++)
        err = list_image(work, &listing, i);
    if (err)
        return err;
    cleanup_free char *index = oci_index_write(listing.at, listing.count);
    return put_text(work, "index.json", index);
}

/* ---- a docker-archive ---- */

/* What manifest.json says of an image; its paths live in `paths`. */
static int put_saved(struct work *work, const struct image_row *image, struct oci_saved *saved,
                     char (*paths)[PATH_SIZE])
{
    snprintf(paths[0], PATH_SIZE, "%.64s.json", image->id);
    saved->config = paths[0];
    saved->layers.at = calloc(image->layer_count + 1, sizeof(*saved->layers.at));
    saved->names.at = calloc(image->name_count + 1, sizeof(*saved->names.at));
    if (!saved->layers.at || !saved->names.at)
        return -ENOMEM;
    for (unsigned i = 0; i < image->name_count; i++)
        saved->names.at[saved->names.count++] = image->names[i];
    for (unsigned i = 0; i < image->layer_count; i++) {
        struct blob blob;
        int err = need_layer(work, image->layers[i], &blob);
        if (err)
            return err;
        saved->layers.at[saved->layers.count++] =
            layer_path(work, paths[1 + i], image->layers[i], &blob);
    }
    return put_text(work, saved->config, image->config);
}

static int put_all_saved(struct work *work, struct oci_saved *saved)
{
    const struct image_export *export = work->export;
    size_t count = 0, used = 0;
    for (unsigned i = 0; i < export->count; i++)
        count += export->images[i].layer_count + 1;
    cleanup_free char(*paths)[PATH_SIZE] = calloc(count, sizeof(*paths));
    if (!paths)
        return -ENOMEM;
    for (unsigned i = 0; i < export->count; i++) {
        int err = put_saved(work, &export->images[i], &saved[i], &paths[used]);
        if (err)
            return err;
        used += export->images[i].layer_count + 1;
    }
    cleanup_free char *manifest = oci_archive_write(saved, export->count);
    return put_text(work, "manifest.json", manifest);
}

static int put_archive(struct work *work)
{
    const unsigned count = work->export->count;
    struct oci_saved *saved = calloc(count + 1, sizeof(*saved));
    if (!saved)
        return -ENOMEM;
    int err = put_all_saved(work, saved);
    for (unsigned i = 0; i < count; i++) {
        free(saved[i].layers.at);
        free(saved[i].names.at);
    }
    free(saved);
    return err;
}

/* ---- the export ---- */

static int put_images(struct work *work)
{
    return work->export->form == IMAGE_OCI ? put_layout(work) : put_archive(work);
}

static int make_blob_directories(int dir)
{
    return mkdirat(dir, "blobs", 0777) < 0 || mkdirat(dir, "blobs/sha256", 0777) < 0 ? -errno : 0;
}

/* In the stage; what is exported of a store that is read-only is packed where temporary files go.
 */
static int open_scratch(struct work *work)
{
    const char *temporary = getenv("TMPDIR");
    int err = work->store->read_only ? 0 : store_stage(work->store, &work->stage);
    if (err)
        return err;
    if (!work->store->read_only)
        work->scratch = fd_open_name(work->stage.dir, ".", O_RDONLY | O_DIRECTORY, 0);
    else
        work->scratch =
            open(temporary && *temporary ? temporary : "/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return work->scratch < 0 ? -errno : 0;
}

static int write_export(struct work *work)
{
    int err = open_scratch(work);
    if (err)
        return err;
    if (work->export->fd < 0) {
        err = work->export->form == IMAGE_OCI ? make_blob_directories(work->export->dir) : 0;
        return err ? err : put_images(work);
    }
    work->writer = tar_writer_open(work->export->fd, TAR_PLAIN);
    if (!work->writer)
        return -ENOMEM;
    err = put_images(work);
    return err ? err : tar_writer_finish(work->writer, NULL);
}

int image_export(struct store *store, struct image_export *export)
{
    struct work work = {.store = store, .export = export, .stage = STAGE_NONE, .scratch = -1};
    export->words[0] = 0;
    int err = write_export(&work);
    tar_writer_close(work.writer);
    nameset_finish(&work.paths);
    nameset_finish(&work.layers);
    free(work.blobs);
    own_close(&work.scratch);
    store_unstage(store, &work.stage);
    return err;
}

int image_export_size(struct store *store, const struct image_export *export, uint64_t *bytes)
{
    struct nameset counted = {0};
    int err = 0;
    *bytes = 0;
    for (unsigned i = 0; !err && i < export->count; i++) {
        const struct image_row *image = &export->images[i];
        for (unsigned k = 0; !err && k < image->layer_count; k++) {
            uint32_t index;
            bool fresh;
            cleanup(layer_row_finish) struct layer_row row = {0};
            err = nameset_add(&counted, image->layers[k], &index, &fresh);
            if (!err && fresh)
                err = catalog_find_layer(store->catalog, image->layers[k], &row);
            *bytes += row.bytes;
        }
    }
    nameset_finish(&counted);
    return err;
}
