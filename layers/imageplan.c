/* SPDX-License-Identifier: MIT
 *
 * Duty: from the documents of an archive to a list of images. An index leads to manifests and to
 * further indexes (imagechoice.h), a manifest to a config and layers. Cost: the documents, none of
 * the layers; and memory for one document at a time, because a plan keeps of its config what is
 * asked for while the layers are read. An image that is there twice is one plan with the names of
 * both.
 */
#include "imageplan.h"

#include "imageblob.h"
#include "imagechoice.h"
#include "imagename.h"
#include "log.h"
#include "ocicommit.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* An index may lead to another so many times. */
enum { NESTED_MAX = 4 };

struct planner {
    struct imageblobs blobs;
    struct imagechoice choice;
    struct imageplans *plans;
};

static struct planner planner_of(const struct imagefiles *files, struct imageplans *plans)
{
    return (struct planner){
        .blobs = {.files = files, .words = plans->words, .room = sizeof(plans->words)},
        .plans = plans};
}

/* One step from the index of the archive to a manifest. */
struct step {
    const struct oci_descriptor *descriptor;
    const char *name;   /* what the archive calls the image, or "" */
    unsigned platforms; /* from how many it was chosen */
    unsigned depth;
};

/* ---- the list ---- */

static void plan_finish(struct imageplan *plan)
{
    for (size_t i = 0; i < plan->layer_count; i++)
        free(plan->layers[i].path);
    free(plan->layers);
    free(plan->path);
    free(plan->text);
    for (unsigned i = 0; i < plan->name_count; i++)
        free(plan->names[i]);
    free(plan->names);
}

void imageplans_finish(struct imageplans *plans)
{
    for (unsigned i = 0; i < plans->count; i++)
        plan_finish(&plans->at[i]);
    free(plans->at);
    plans->at = NULL;
    plans->count = 0;
}

static struct imageplan *find_plan(const struct imageplans *plans, const char *id)
{
    for (unsigned i = 0; i < plans->count; i++) {
        if (strcmp(plans->at[i].id, id) == 0)
            return &plans->at[i];
    }
    return NULL;
}

/* One more image, still empty, at the end of the list. */
static int add_plan(struct planner *planner, struct imageplan **plan)
{
    struct imageplans *plans = planner->plans;
    if (plans->count == IMAGEPLANS_MAX)
        return imageblobs_wrong(&planner->blobs, "it holds more than %d images", IMAGEPLANS_MAX);
    struct imageplan *at = realloc(plans->at, (plans->count + 1) * sizeof(*at));
    if (!at)
        return -ENOMEM;
    plans->at = at;
    *plan = &at[plans->count++];
    **plan = (struct imageplan){.platforms = 1};
    return 0;
}

int imageplan_add_name(struct imageplan *plan, const char *word)
{
    char name[IMAGENAME_SIZE];
    int err = imagename_normal(word, name);
    if (err)
        return err;
    for (unsigned i = 0; i < plan->name_count; i++) {
        if (strcmp(plan->names[i], name) == 0)
            return 0;
    }
    if (plan->name_count == IMAGEPLAN_NAMES_MAX)
        return -E2BIG;
    char **names = realloc(plan->names, (plan->name_count + 1) * sizeof(*names));
    if (!names)
        return -ENOMEM;
    plan->names = names;
    names[plan->name_count] = strdup(name);
    if (!names[plan->name_count])
        return -ENOMEM;
    plan->name_count++;
    return 0;
}

/* A name that the archive gives. It need not be one by the grammar of names here. */
static int take_name(struct planner *planner, struct imageplan *plan, const char *word)
{
    int err = *word ? imageplan_add_name(plan, word) : 0;
    if (err == -E2BIG)
        return imageblobs_wrong(&planner->blobs, "it gives an image more than %d names",
                                IMAGEPLAN_NAMES_MAX);
    if (err != -EINVAL)
        return err;
    log_warning("the archive calls an image by what is no name of an image; left out");
    return 0;
}

/* Gives a layer of the plan its file. `expected` is the size that is stated, or NULL. */
static int take_layer(struct planner *planner, struct imageplan *plan, size_t index,
                      const char *path, const uint64_t *expected)
{
    struct imageplan_layer *layer = &plan->layers[index];
    struct stat st;
    cleanup_fd int fd = imagefiles_open(planner->blobs.files, path);
    if (fd == -ENOENT)
        return imageblobs_wrong(&planner->blobs, "layer %zu, %.200s: it is missing", index + 1,
                                path);
    if (fd < 0)
        return fd;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (expected && (uint64_t)st.st_size != *expected)
        return imageblobs_wrong(&planner->blobs,
                                "layer %zu, %.200s: %llu bytes expected, %lld found", index + 1,
                                path, (unsigned long long)*expected, (long long)st.st_size);
    layer->size = (uint64_t)st.st_size;
    layer->path = strdup(path);
    return layer->path ? 0 : -ENOMEM;
}

static int wrong_number(struct planner *planner, const char *what, size_t named, size_t found)
{
    return imageblobs_wrong(&planner->blobs,
                            "config %.200s: it names %zu layers, but there are %zu", what, named,
                            found);
}

/* Keeps of a config what the import asks for. */
static int keep_config(struct imageplan *plan, const char *path, const struct oci_config *config)
{
    memcpy(plan->id, config->id, sizeof(plan->id));
    platform_write(&config->platform, plan->platform);
    plan->path = strdup(path);
    plan->layers = calloc(config->diff_ids.count + 1, sizeof(*plan->layers));
    if (!plan->path || !plan->layers)
        return -ENOMEM;
    plan->layer_count = config->diff_ids.count;
    for (size_t i = 0; i < plan->layer_count; i++)
        memcpy(plan->layers[i].diff_id, config->diff_ids.at[i], DIGEST_HEX_SIZE);
    return 0;
}

/* Takes the config's text, which is that of the file `path`; `what` is what it is called to the
 * user. The layers are to be as many as it says. */
static int take_config(struct planner *planner, struct imageplan *plan, const char *path,
                       const char *what, const char *text, size_t size, size_t layers)
{
    struct oci_fault fault;
    char platform[PLATFORM_TEXT_SIZE], wanted[PLATFORM_TEXT_SIZE];
    cleanup_oci_config struct oci_config config;
    int err = oci_config_parse(text, size, &config, &fault);
    if (err)
        return err == -EBADMSG
                   ? imageblobs_wrong(&planner->blobs, "config %.200s: %s", what, fault.words)
                   : err;
    if (config.diff_ids.count != layers)
        return wrong_number(planner, what, config.diff_ids.count, layers);
    if (planner->choice.insist &&
        platform_fit(&config.platform, &planner->choice.want) == PLATFORM_WRONG) {
        imageblobs_wrong(&planner->blobs, "config %.200s: the image is for %s, not for %s", what,
                         platform_write(&config.platform, platform),
                         platform_write(&planner->choice.want, wanted));
        return -ENOENT;
    }
    return keep_config(plan, path, &config);
}

int imageplans_config(struct imageplans *plans, const struct imagefiles *files,
                      const struct imageplan *plan, char **text)
{
    struct planner planner = planner_of(files, plans);
    char hex[DIGEST_HEX_SIZE];
    size_t size = 0;
    if (plan->text) {
        *text = strdup(plan->text);
        return *text ? 0 : -ENOMEM;
    }
    cleanup_free char *again = NULL;
    int err = imageblobs_document(&planner.blobs, plan->path, &again, &size);
    if (!err)
        err = digest_of(again, size, hex);
    if (!err && strcmp(hex, plan->id) != 0)
        return imageblobs_wrong(&planner.blobs,
                                "config %.200s: it was changed while it was imported", plan->path);
    if (!err)
        *text = steal_ptr(&again);
    return err;
}

/* ---- an OCI layout ---- */

static int add_image(struct planner *planner, const struct oci_manifest *manifest,
                     struct imageplan **added)
{
    cleanup_free char *text = NULL;
    char config[IMAGEBLOB_PATH_SIZE];
    const char *digest = manifest->config.digest;
    size_t size = 0;
    int err = imageblobs_read(&planner->blobs, &manifest->config, &text, &size);
    if (!err)
        err = add_plan(planner, added);
    if (err)
        return err;
    struct imageplan *plan = *added;
    err = take_config(planner, plan, imageblobs_path(&planner->blobs, config, digest), digest, text,
                      size, manifest->count);
    for (size_t i = 0; !err && i < manifest->count; i++) {
        const struct oci_descriptor *layer = &manifest->layers[i];
        char path[IMAGEBLOB_PATH_SIZE];
        err = take_layer(planner, plan, i, imageblobs_path(&planner->blobs, path, layer->digest),
                         &layer->size);
        memcpy(plan->layers[i].digest, layer->digest, DIGEST_HEX_SIZE);
    }
    return err;
}

static int plan_image(struct planner *planner, const struct step *step,
                      const struct oci_manifest *manifest)
{
    struct imageplan *plan = find_plan(planner->plans, manifest->config.digest);
    if (plan && plan->layer_count != manifest->count)
        return wrong_number(planner, plan->id, plan->layer_count, manifest->count);
    if (!plan) {
        int err = add_image(planner, manifest, &plan);
        if (err)
            return err;
        plan->platforms = step->platforms;
    }
    return take_name(planner, plan, step->name);
}

static int plan_manifest(struct planner *planner, const struct step *step)
{
    cleanup_free char *text = NULL;
    size_t size = 0;
    int err = imageblobs_read(&planner->blobs, step->descriptor, &text, &size);
    if (err)
        return err;
    struct oci_fault fault;
    cleanup_oci_manifest struct oci_manifest manifest;
    err = oci_manifest_parse(text, size, &manifest, &fault);
    if (err == -EBADMSG || err == -ENOMSG)
        return imageblobs_wrong(&planner->blobs, "manifest sha256:%s: %s", step->descriptor->digest,
                                fault.words);
    return err ? err : plan_image(planner, step, &manifest);
}

static int plan_index(struct planner *planner, const struct step *step);

static int plan_step(struct planner *planner, const struct step *step)
{
    return step->descriptor->media == OCI_INDEX ? plan_index(planner, step)
                                                : plan_manifest(planner, step);
}

/* Of an index within, which stands for one image, the manifest that fits best. */
static int plan_best(struct planner *planner, const struct step *step,
                     const struct oci_index *index)
{
    struct step next = {.name = step->name, .depth = step->depth + 1};
    int err = imagechoice_best(&planner->blobs, &planner->choice, index, &next.descriptor,
                               &next.platforms);
    if (err)
        return err;
    if (!next.descriptor)
        return imageblobs_wrong(&planner->blobs, "index sha256:%s: it holds no image",
                                step->descriptor->digest);
    if (next.platforms < step->platforms)
        next.platforms = step->platforms;
    return plan_step(planner, &next);
}

static int plan_index(struct planner *planner, const struct step *step)
{
    if (step->depth >= NESTED_MAX)
        return imageblobs_wrong(&planner->blobs, "index sha256:%s: more than %d indexes lead to it",
                                step->descriptor->digest, NESTED_MAX);
    cleanup_free char *text = NULL;
    size_t size = 0;
    int err = imageblobs_read(&planner->blobs, step->descriptor, &text, &size);
    if (err)
        return err;
    struct oci_fault fault;
    cleanup_oci_index struct oci_index index;
    err = oci_index_parse(text, size, &index, &fault);
    if (err == -EBADMSG)
        return imageblobs_wrong(&planner->blobs, "index sha256:%s: %s", step->descriptor->digest,
                                fault.words);
    if (!err)
        err = imagechoice_leave_out(&planner->blobs, &index);
    return err ? err : plan_best(planner, step, &index);
}

static int plan_entries(struct planner *planner, const struct oci_index *index)
{
    for (size_t i = 0; i < index->count; i++) {
        struct step step = {.descriptor = &index->at[i], .name = index->at[i].name};
        int err = imagechoice_named(&planner->blobs, &planner->choice, index, i, &step.platforms);
        if (!err && step.platforms > 0)
            err = plan_step(planner, &step);
        if (err)
            return err;
    }
    return planner->plans->count
               ? 0
               : imageblobs_wrong(&planner->blobs, "index.json: it holds no image");
}

static int plan_layout(struct planner *planner)
{
    cleanup_free char *layout = NULL, *text = NULL;
    size_t size = 0;
    struct oci_fault fault;
    int err = imageblobs_document(&planner->blobs, "oci-layout", &layout, &size);
    if (!err)
        err = oci_layout_check(layout, size, &fault);
    if (err == -EBADMSG && layout)
        return imageblobs_wrong(&planner->blobs, "oci-layout: %s", fault.words);
    if (!err)
        err = imageblobs_document(&planner->blobs, "index.json", &text, &size);
    if (err)
        return err;
    cleanup_oci_index struct oci_index index;
    err = oci_index_parse(text, size, &index, &fault);
    if (err == -EBADMSG)
        return imageblobs_wrong(&planner->blobs, "index.json: %s", fault.words);
    if (!err)
        err = imagechoice_leave_out(&planner->blobs, &index);
    return err ? err : plan_entries(planner, &index);
}

/* ---- a docker-archive ---- */

/* A config is called by its digest, "HEX.json" or "blobs/sha256/HEX"; what is called otherwise
 * states none. */
static bool is_called(const char *path, const char *hex)
{
    const char *leaf = strrchr(path, '/');
    leaf = leaf ? leaf + 1 : path;
    size_t digits = strspn(leaf, "0123456789abcdef");
    bool digest = digits == 64 && (leaf[64] == 0 || strcmp(leaf + 64, ".json") == 0);
    return !digest || strncmp(leaf, hex, 64) == 0;
}

static int add_saved(struct planner *planner, const struct oci_saved *saved, const char *text,
                     size_t size, struct imageplan **plan)
{
    int err = add_plan(planner, plan);
    if (!err)
        err = take_config(planner, *plan, saved->config, saved->config, text, size,
                          saved->layers.count);
    for (size_t i = 0; !err && i < saved->layers.count; i++)
        err = take_layer(planner, *plan, i, saved->layers.at[i], NULL);
    return err;
}

static int take_names(struct planner *planner, struct imageplan *plan,
                      const struct oci_saved *saved)
{
    int err = 0;
    for (size_t i = 0; !err && i < saved->names.count; i++)
        err = take_name(planner, plan, saved->names.at[i]);
    return err;
}

static int plan_saved(struct planner *planner, const struct oci_saved *saved)
{
    cleanup_free char *text = NULL;
    char hex[DIGEST_HEX_SIZE];
    size_t size = 0;
    int err = imageblobs_document(&planner->blobs, saved->config, &text, &size);
    if (!err)
        err = digest_of(text, size, hex);
    if (err)
        return err;
    if (!is_called(saved->config, hex))
        return imageblobs_wrong(&planner->blobs,
                                "config %.200s: its content has the digest sha256:%s",
                                saved->config, hex);
    struct imageplan *plan = find_plan(planner->plans, hex);
    if (plan && plan->layer_count != saved->layers.count)
        return wrong_number(planner, saved->config, plan->layer_count, saved->layers.count);
    if (!plan)
        err = add_saved(planner, saved, text, size, &plan);
    return err ? err : take_names(planner, plan, saved);
}

static int plan_all_saved(struct planner *planner, const struct oci_archive *archive)
{
    int err = 0;
    for (size_t i = 0; !err && i < archive->count; i++)
        err = plan_saved(planner, &archive->at[i]);
    if (!err && archive->count == 0)
        return imageblobs_wrong(&planner->blobs, "manifest.json: it holds no image");
    return err;
}

/* An archive that is both at once: the index has led to the images; here their names may be more.
 */
static int take_saved_names(struct planner *planner, const struct oci_archive *archive)
{
    int err = 0;
    for (size_t i = 0; !err && i < archive->count; i++) {
        for (unsigned k = 0; !err && k < planner->plans->count; k++) {
            struct imageplan *plan = &planner->plans->at[k];
            if (strcmp(archive->at[i].config, plan->path) == 0)
                err = take_names(planner, plan, &archive->at[i]);
        }
    }
    return err;
}

/* ---- a directory of one image ---- */

/* As skopeo's "dir:" and podman's docker-dir have it: the manifest itself, and blobs called by the
 * digits of their digests beside it. It has no name. */
static int plan_beside(struct planner *planner, const char *text, size_t size)
{
    struct oci_fault fault;
    cleanup_oci_manifest struct oci_manifest manifest;
    const struct step step = {.name = "", .platforms = 1};
    planner->blobs.flat = true;
    int err = oci_manifest_parse(text, size, &manifest, &fault);
    if (err == -EBADMSG || err == -ENOMSG)
        return imageblobs_wrong(&planner->blobs, "manifest.json: %s", fault.words);
    return err ? err : plan_image(planner, &step, &manifest);
}

static int plan_archive(struct planner *planner, bool names_alone)
{
    cleanup_free char *text = NULL;
    size_t size = 0;
    int err = imageblobs_document(&planner->blobs, "manifest.json", &text, &size);
    if (err)
        return err;
    if (!names_alone && text[strspn(text, " \t\r\n")] == '{')
        return plan_beside(planner, text, size);
    struct oci_fault fault;
    cleanup_oci_archive struct oci_archive archive;
    err = oci_archive_parse(text, size, &archive, &fault);
    if (err == -EBADMSG)
        return imageblobs_wrong(&planner->blobs, "manifest.json: %s", fault.words);
    if (err)
        return err;
    if (archive.count > IMAGEPLANS_MAX)
        return imageblobs_wrong(&planner->blobs, "it holds more than %d images", IMAGEPLANS_MAX);
    return names_alone ? take_saved_names(planner, &archive) : plan_all_saved(planner, &archive);
}

int imageplans_read(const struct imagefiles *files, const struct platform *platform,
                    struct imageplans *plans)
{
    *plans = (struct imageplans){0};
    struct planner planner = planner_of(files, plans);
    planner.choice = (struct imagechoice){.want = platform ? *platform : platform_here(),
                                          .insist = platform != NULL};
    bool layout = imagefiles_have(files, "index.json");
    bool archive = imagefiles_have(files, "manifest.json");
    int err;
    if (layout)
        err = plan_layout(&planner);
    else if (!archive)
        err = imageblobs_wrong(&planner.blobs,
                               "it has neither index.json nor manifest.json: it holds no images");
    else
        err = 0;
    if (!err && archive)
        err = plan_archive(&planner, layout);
    if (err)
        imageplans_finish(plans);
    return err;
}

/* ---- a root filesystem ---- */

static int plan_rootfs(const char *diff_id, int64_t created, struct imageplan *plan)
{
    struct oci_fault fault;
    const struct oci_commit commit = {
        .diff_id = diff_id, .created = created, .created_by = "plyfs image import"};
    cleanup_oci_config struct oci_config config;
    int err = oci_config_commit(&commit, &config, &fault);
    if (!err)
        err = keep_config(plan, "", &config);
    if (!err)
        plan->text = steal_ptr(&config.text);
    return err;
}

int imageplans_of_rootfs(const char *diff_id, int64_t created, struct imageplans *plans)
{
    *plans = (struct imageplans){0};
    struct planner planner = planner_of(NULL, plans);
    struct imageplan *plan;
    int err = add_plan(&planner, &plan);
    if (!err)
        err = plan_rootfs(diff_id, created, plan);
    if (err)
        imageplans_finish(plans);
    return err;
}
