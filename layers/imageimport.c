/* SPDX-License-Identifier: MIT
 *
 * Duty: from an archive to rows of the catalog. The story: the source's files (imagefiles.h), the
 * plans of its images (imageplan.h), every layer that the store lacks into the stage (newlayers.h),
 * and then, under the store's lock, each layer in its place and all rows in one transaction.
 * Whoever dies before the commit leaves directories without rows and a stage without a lock, which
 * the store sweeps.
 */
#include "imageimport.h"

#include "fd.h"
#include "imagefiles.h"
#include "imageplan.h"
#include "log.h"
#include "moment.h"
#include "newlayers.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct work {
    struct store *store;
    struct image_import *import;
    struct stage stage;
    int source;
    off_t from;     /* where the source stood when it came */
    struct stat st; /* of the source */
    bool spooled;   /* the source is the copy of a pipe */
    int files_dir;
    struct imagefiles *files; /* NULL: it is the tar of a root filesystem */
    struct imageplans plans;
    struct newlayers layers;
};

/* What is wrong, and -EBADMSG. Words may quote the archive: what a terminal would obey is taken
 * out. */
__attribute__((format(printf, 2, 3))) static int wrong(struct image_import *import,
                                                       const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(import->words, sizeof(import->words), format, args);
    va_end(args);
    log_clean(import->words);
    return -EBADMSG;
}

static void begin(const struct work *work, const char *what, uint64_t total)
{
    if (work->import->begin)
        work->import->begin(work->import->context, what, total);
}

/* ---- the source ---- */

static int copy_all(const struct image_import *import, int from, int to)
{
    enum { room = 1 << 20 };
    cleanup_free char *buffer = malloc(room);
    if (!buffer)
        return -ENOMEM;
    for (uint64_t all = 0;;) {
        ssize_t got = fd_read(from, buffer, room);
        if (got <= 0)
            return (int)got;
        int err = fd_write_all(to, buffer, (size_t)got);
        if (err)
            return err;
        if (import->at)
            import->at(import->context, all += (uint64_t)got);
    }
}

/* What a pipe brings is known at its end, and then it has to be read again: so it is copied. */
static int spool(struct work *work)
{
    cleanup_fd int copy = fd_open_name(work->stage.dir, "source", O_RDWR | O_CREAT | O_EXCL, 0600);
    if (copy < 0)
        return copy;
    begin(work, "reading", 0);
    int err = copy_all(work->import, work->source, copy);
    if (err)
        return err;
    if (fstat(copy, &work->st) < 0 || lseek(copy, 0, SEEK_SET) < 0)
        return -errno;
    own_close(&work->source);
    work->source = steal_fd(&copy);
    work->from = 0;
    work->spooled = true;
    return 0;
}

static int open_source(struct work *work)
{
    const char *path = work->import->source;
    if (strcmp(path, "-") == 0)
        work->source = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0);
    else
        work->source = open(path, O_RDONLY | O_CLOEXEC);
    if (work->source < 0 || fstat(work->source, &work->st) < 0)
        return -errno;
    if (S_ISDIR(work->st.st_mode))
        return 0;
    work->from = lseek(work->source, 0, SEEK_CUR);
    return work->from < 0 ? spool(work) : 0;
}

static int stage_files(struct work *work)
{
    struct imagefiles_fault fault;
    if (mkdirat(work->stage.dir, "files", 0700) < 0)
        return -errno;
    work->files_dir = fd_open_name(work->stage.dir, "files", O_RDONLY | O_DIRECTORY, 0);
    if (work->files_dir < 0)
        return work->files_dir;
    const struct imagefiles_tar tar = {
        .fd = work->source,
        .stage = work->files_dir,
        .size_max = work->import->size_max,
        .seen = work->import->at,
        .context = work->import->context,
    };
    begin(work, "reading", (uint64_t)(work->st.st_size - work->from));
    int err = imagefiles_of_tar(&tar, &work->files, &fault);
    if (err == -EBADMSG || err == -EFBIG)
        wrong(work->import, "%s", fault.words);
    return err;
}

static int open_files(struct work *work)
{
    if (!S_ISDIR(work->st.st_mode))
        return stage_files(work);
    work->files = imagefiles_of_directory(work->source);
    return work->files ? 0 : -ENOMEM;
}

/* ---- images ---- */

static int take_layer(struct work *work, int fd, const struct layer_claim *claim,
                      char diff_id[DIGEST_HEX_SIZE])
{
    work->layers.words[0] = 0;
    int err = newlayers_take(&work->layers, fd, claim, diff_id);
    if (err && work->layers.words[0])
        wrong(work->import, "%s", work->layers.words);
    return err;
}

static int take_image(struct work *work, const struct imageplan *plan)
{
    char diff_id[DIGEST_HEX_SIZE];
    for (size_t i = 0; i < plan->layer_count; i++) {
        const struct imageplan_layer *layer = &plan->layers[i];
        const struct layer_claim claim = {
            .what = layer->path,
            .diff_id = layer->diff_id,
            .digest = layer->digest[0] ? layer->digest : NULL,
        };
        cleanup_fd int fd = imagefiles_open(work->files, layer->path);
        int err = fd < 0 ? fd : take_layer(work, fd, &claim, diff_id);
        if (err)
            return err;
        work->layers.read += layer->size;
    }
    return 0;
}

static int take_images(struct work *work)
{
    uint64_t total = 0;
    int err = imageplans_read(work->files, work->import->platform, &work->plans);
    if (err) {
        wrong(work->import, "%s", work->plans.words);
        return err;
    }
    for (unsigned i = 0; i < work->plans.count; i++) {
        for (size_t k = 0; k < work->plans.at[i].layer_count; k++)
            total += work->plans.at[i].layers[k].size;
    }
    begin(work, "unpacking", total);
    for (unsigned i = 0; !err && i < work->plans.count; i++)
        err = take_image(work, &work->plans.at[i]);
    return err;
}

/* The same file is to give the same image: so the config's date is the file's. */
static int64_t date_of(const struct work *work)
{
    return work->spooled ? moment_now() : moment_of(work->st.st_mtim);
}

/* The tar of a root filesystem: one layer, and a config that says nothing else. */
static int take_rootfs(struct work *work)
{
    char diff_id[DIGEST_HEX_SIZE];
    const struct layer_claim claim = {.what = work->import->source};
    if (lseek(work->source, work->from, SEEK_SET) < 0)
        return -errno;
    begin(work, "unpacking", (uint64_t)(work->st.st_size - work->from));
    int err = take_layer(work, work->source, &claim, diff_id);
    return err ? err : imageplans_of_rootfs(diff_id, date_of(work), &work->plans);
}

/* Gives the only image the name that was asked for, in place of its own. */
static int apply_name(struct work *work)
{
    const char *name = work->import->name;
    if (!name)
        return 0;
    if (work->plans.count > 1) {
        wrong(work->import, "the name %s cannot be given to %u images", name, work->plans.count);
        return -EINVAL;
    }
    struct imageplan *plan = &work->plans.at[0];
    while (plan->name_count > 0)
        free(plan->names[--plan->name_count]);
    int err = imageplan_add_name(plan, name);
    if (err == -EINVAL)
        wrong(work->import, "'%s' is no name of an image", name);
    return err;
}

/* ---- publishing ---- */

static int add_image(struct work *work, struct imageplan *plan)
{
    const size_t count = plan->layer_count;
    cleanup_free char *config = NULL;
    int err = imageplans_config(&work->plans, work->files, plan, &config);
    if (err == -EBADMSG)
        return wrong(work->import, "%s", work->plans.words);
    if (err)
        return err;
    cleanup_free char **layers = calloc(count + 1, sizeof(*layers));
    if (!layers)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        layers[i] = plan->layers[i].diff_id;
    const struct image_row row = {
        .id = plan->id,
        .config = config,
        .layers = layers,
        .layer_count = (unsigned)count,
        .names = plan->names,
        .name_count = plan->name_count,
        .created = moment_now(),
    };
    err = catalog_add_image(work->store->catalog, &row);
    if (err != -ENOENT)
        return err;
    wrong(work->import, "a layer that the store had was removed meanwhile; import it again");
    return -EAGAIN;
}

static int add_rows(struct work *work)
{
    int err = catalog_begin(work->store->catalog);
    if (err)
        return err;
    err = newlayers_add_rows(&work->layers);
    for (unsigned i = 0; !err && i < work->plans.count; i++)
        err = add_image(work, &work->plans.at[i]);
    return catalog_end(work->store->catalog, err);
}

static int publish(struct work *work)
{
    int err = store_publishing(work->store);
    if (err)
        return err;
    err = newlayers_publish(&work->layers);
    if (!err)
        err = add_rows(work);
    if (err)
        newlayers_withdraw(&work->layers);
    store_published(work->store);
    return err;
}

/* ---- what was found ---- */

static void report_image(const struct work *work, struct imageplan *plan, struct imported *image)
{
    memcpy(image->id, plan->id, sizeof(image->id));
    memcpy(image->platform, plan->platform, sizeof(image->platform));
    image->platforms = plan->platforms;
    image->layers = (unsigned)plan->layer_count;
    for (size_t i = 0; i < plan->layer_count; i++)
        image->fresh += newlayers_is_fresh(&work->layers, plan->layers[i].diff_id);
    image->names = steal_ptr(&plan->names);
    image->name_count = plan->name_count;
    plan->name_count = 0;
}

static int reserve_report(struct work *work)
{
    work->import->images = calloc(work->plans.count + 1, sizeof(*work->import->images));
    return work->import->images ? 0 : -ENOMEM;
}

/* Nothing may fail any more: the images are in the store. */
static void report(struct work *work)
{
    struct image_import *import = work->import;
    for (; import->count < work->plans.count; import->count++)
        report_image(work, &work->plans.at[import->count], &import->images[import->count]);
}

static int import_staged(struct work *work)
{
    int err = open_source(work);
    if (!err)
        err = open_files(work);
    if (!err)
        err = work->files ? take_images(work) : take_rootfs(work);
    if (!err)
        err = apply_name(work);
    if (!err)
        err = reserve_report(work);
    if (!err)
        err = publish(work);
    if (!err)
        report(work);
    return err;
}

int image_import(struct store *store, struct image_import *import)
{
    struct work work = {
        .store = store,
        .import = import,
        .stage = STAGE_NONE,
        .source = -1,
        .files_dir = -1,
        .layers = {.store = store,
                   .stage = &work.stage,
                   .source = import->source,
                   .size_max = import->size_max,
                   .files_max = import->files_max,
                   .seen = import->at,
                   .context = import->context},
    };
    import->words[0] = 0;
    int err = store_stage(store, &work.stage);
    if (!err)
        err = import_staged(&work);
    newlayers_finish(&work.layers);
    imageplans_finish(&work.plans);
    imagefiles_destroy(work.files);
    own_close(&work.files_dir);
    own_close(&work.source);
    store_unstage(store, &work.stage);
    return err;
}

void image_import_finish(struct image_import *import)
{
    for (unsigned i = 0; i < import->count; i++) {
        for (unsigned k = 0; k < import->images[i].name_count; k++)
            free(import->images[i].names[k]);
        free(import->images[i].names);
    }
    free(import->images);
    import->images = NULL;
    import->count = 0;
}
