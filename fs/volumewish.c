/* SPDX-License-Identifier: MIT
 *
 * Duty: from the words of a command line to rows, in the order of their precedence.
 */
#include "volumewish.h"

#include "imageword.h"
#include "log.h"
#include "named.h"
#include "oci.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

const char *const IMAGE_VOLUMES_WORDS[] = {
    [IMAGE_VOLUMES_BIND] = "bind",
    [IMAGE_VOLUMES_TMPFS] = "tmpfs",
    [IMAGE_VOLUMES_IGNORE] = "ignore",
    NULL,
};

bool volume_words_any(const struct volume_words *words)
{
    return words->shorts.count > 0 || words->longs.count > 0 || words->tmpfs.count > 0 ||
           words->from.count > 0 || words->image_volumes != IMAGE_VOLUMES_BIND || words->strict;
}

void volume_words_finish(struct volume_words *words)
{
    free(words->shorts.at);
    free(words->longs.at);
    free(words->tmpfs.at);
    free(words->from.at);
    *words = (struct volume_words){0};
}

/* ---- passing them on ---- */

static unsigned write_word(const char **argv, unsigned count, const char *word)
{
    if (argv)
        argv[count] = word;
    return count + 1;
}

unsigned volume_words_write(const struct volume_words *words, const char **argv)
{
    const struct {
        const char *option;
        const struct words *said;
    } LISTS[] = {
        {"--volume", &words->shorts},
        {"--mount", &words->longs},
        {"--tmpfs", &words->tmpfs},
        {"--volumes-from", &words->from},
    };
    unsigned count = 0;
    for (size_t list = 0; list < sizeof(LISTS) / sizeof(LISTS[0]); list++) {
        for (unsigned i = 0; i < LISTS[list].said->count; i++) {
            count = write_word(argv, count, LISTS[list].option);
            count = write_word(argv, count, LISTS[list].said->at[i]);
        }
    }
    if (words->image_volumes != IMAGE_VOLUMES_BIND) {
        count = write_word(argv, count, "--image-volume");
        count = write_word(argv, count, IMAGE_VOLUMES_WORDS[words->image_volumes]);
    }
    return words->strict ? write_word(argv, count, "--strict") : count;
}

/* ---- reading ---- */

static int parse_tmpfs(const char *text, const char *cwd, struct volume_spec *spec,
                       struct volume_fault *fault)
{
    (void)cwd;
    return volume_spec_parse_tmpfs(text, spec, fault);
}

static int parse_list(const struct words *said, const char *cwd,
                      int (*parse)(const char *text, const char *cwd, struct volume_spec *spec,
                                   struct volume_fault *fault),
                      struct volume_specs *specs)
{
    int err = 0;
    for (unsigned i = 0; i < said->count && !err; i++) {
        struct volume_fault fault;
        cleanup_volume_spec struct volume_spec spec = {0};
        err = parse(said->at[i], cwd, &spec, &fault);
        if (!err)
            err = volume_specs_add(specs, &spec, &fault);
        if (err)
            log_error("%s", fault.words);
    }
    return err;
}

int volume_words_parse(const struct volume_words *words, struct volume_specs *specs)
{
    cleanup_free char *cwd = getcwd(NULL, 0);
    *specs = (struct volume_specs){0};
    int err = parse_list(&words->shorts, cwd ? cwd : "/", volume_spec_parse_short, specs);
    if (!err)
        err = parse_list(&words->longs, cwd ? cwd : "/", volume_spec_parse_long, specs);
    if (!err)
        err = parse_list(&words->tmpfs, NULL, parse_tmpfs, specs);
    if (err)
        volume_specs_finish(specs);
    return err;
}

bool volume_words_need_store(const struct volume_words *words, const struct volume_specs *specs)
{
    for (unsigned i = 0; i < specs->count; i++) {
        if (specs->at[i].kind == VOLUME_KIND_VOLUME || specs->at[i].kind == VOLUME_KIND_IMAGE)
            return true;
    }
    return words->from.count > 0;
}

/* ---- directories of the host ---- */

/* Makes a directory and what it is in, in place: `path` is whole again in the end. */
static int make_path(char *path)
{
    for (char *at = path + 1;; at++) {
        if (*at && *at != '/')
            continue;
        char was = *at;
        *at = 0;
        int err = mkdir(path, 0755) < 0 && errno != EEXIST ? -errno : 0;
        *at = was;
        if (err || !was)
            return err;
    }
}

static int make_source(const struct volume_spec *spec)
{
    cleanup_free char *path = strdup(spec->source);
    if (!path)
        return -ENOMEM;
    mode_t mask = umask(022);
    int err = make_path(path);
    umask(mask);
    if (err)
        log_error("cannot make %s for %s: %s", spec->source, spec->destination, strerror(-err));
    else
        log_warning("%s was not there; made it, an empty directory, for %s", spec->source,
                    spec->destination);
    return err;
}

static int check_source(const struct volume_spec *spec, bool strict)
{
    struct stat st;
    int err = stat(spec->source, &st) < 0 ? -errno : 0;
    if (err == -ENOENT && spec->make_source && !strict)
        return make_source(spec);
    if (err == -ENOENT)
        log_error("invalid mount config for type \"bind\": bind source path does not exist: %s",
                  spec->source);
    else if (err)
        log_error("invalid mount config for type \"bind\": %s: %s", spec->source, strerror(-err));
    return err ? -EINVAL : 0;
}

/* Refusals come before anything is made: sources that may be made are looked at in a second turn.
 */
static int check_sources(const struct volume_words *words, const struct volume_specs *specs)
{
    int err = 0;
    for (unsigned turn = 0; turn < 2; turn++) {
        for (unsigned i = 0; i < specs->count && !err; i++) {
            const struct volume_spec *spec = &specs->at[i];
            bool may_make = spec->make_source && !words->strict;
            if (spec->kind == VOLUME_KIND_BIND && may_make == (turn == 1))
                err = check_source(spec, words->strict);
        }
    }
    return err;
}

/* ---- images ---- */

/* The image is kept by its id: what its name means later does not change the mount. */
static int take_image_id(const struct store *store, struct volume_spec *spec)
{
    cleanup_image_row struct image_row image = {0};
    const char *name;
    int err = imageword_find(store, spec->source, &image, &name);
    if (err)
        return err == -ENOMEM ? err : -EINVAL;
    free(spec->source);
    spec->source = steal_ptr(&image.id);
    spec->read_only = true;
    return 0;
}

static int take_image_ids(const struct store *store, struct volume_specs *specs)
{
    int err = 0;
    for (unsigned i = 0; i < specs->count && !err; i++) {
        if (specs->at[i].kind == VOLUME_KIND_IMAGE)
            err = take_image_id(store, &specs->at[i]);
    }
    return err;
}

/* ---- precedence ---- */

struct taking {
    struct volume_rows *rows;
    bool read_only;
};

/* A row of another mount: its own mode is not taken over, and it can only be made narrower. */
static int take_from_row(void *context, const struct mount_volume_row *row)
{
    struct taking *taking = context;
    struct mount_volume_row copy;
    int err = volume_rows_copy(row, &copy);
    if (err)
        return err;
    copy.origin = VOLUME_ORIGIN_FROM;
    copy.spec.read_only |= taking->read_only;
    *copy.spec.mode = 0;
    err = volume_rows_put(taking->rows, &copy);
    mount_volume_row_finish(&copy);
    return err;
}

static int take_from(struct store *store, const char *text, struct volume_rows *rows)
{
    struct volume_fault fault;
    struct taking taking = {.rows = rows};
    cleanup_free char *name = NULL;
    cleanup_mount_row struct mount_row mount = {0};
    int err = volume_spec_parse_from(text, &name, &taking.read_only, &fault);
    if (err) {
        log_error("%s", fault.words);
        return err;
    }
    err = named_find(store, name, false, &mount);
    if (err == -ENOENT || err == -ENOTUNIQ)
        err = -EINVAL;
    if (!err) {
        err = catalog_each_mount_volume(store->catalog, mount.id, take_from_row, &taking);
        if (err)
            log_error("cannot take the volumes of %s: %s", name, strerror(-err));
    }
    return err;
}

/* Takes the spec; what gives way does where something is already. */
static int take_spec(struct volume_spec *spec, enum volume_origin origin, struct volume_rows *rows)
{
    bool anonymous = spec->kind == VOLUME_KIND_VOLUME && !spec->source;
    bool gives_way = anonymous || origin == VOLUME_ORIGIN_IMAGE;
    struct mount_volume_row row = {.spec = *spec, .origin = origin, .anonymous = anonymous};
    *spec = (struct volume_spec){0};
    int err =
        gives_way && volume_rows_find(rows, row.spec.destination) ? 0 : volume_rows_put(rows, &row);
    mount_volume_row_finish(&row);
    return err;
}

/* An image is not refused for what its maker wrote: a volume that makes no sense is left out. */
static int take_image_volume(const char *destination, int way, struct volume_rows *rows)
{
    cleanup_volume_spec struct volume_spec spec = {.perm = 01777};
    spec.kind = way == IMAGE_VOLUMES_TMPFS ? VOLUME_KIND_TMPFS : VOLUME_KIND_VOLUME;
    spec.destination = volume_path_clean(destination);
    if (!spec.destination || !spec.destination[1] || strlen(spec.destination) >= PATH_MAX) {
        log_warning("the image's volume '%s' is left out: its path must be absolute, and not '/'",
                    destination);
        return 0;
    }
    spec.mode = strdup("");
    return spec.mode ? take_spec(&spec, VOLUME_ORIGIN_IMAGE, rows) : -ENOMEM;
}

static int take_image_config(const char *text, int way, struct volume_rows *rows)
{
    struct oci_fault fault;
    cleanup_oci_config struct oci_config config = {0};
    int err = oci_config_parse(text, strlen(text), &config, &fault);
    if (err)
        log_error("the config of the image makes no sense: %s", fault.words);
    for (size_t i = 0; i < config.volumes.count && !err; i++)
        err = take_image_volume(config.volumes.at[i], way, rows);
    return err;
}

static int take_image(struct store *store, const char *image, int way, struct volume_rows *rows)
{
    struct image_row row = {0};
    const char *name;
    int err = imageword_find(store, image, &row, &name);
    if (!err && row.config)
        err = take_image_config(row.config, way, rows);
    image_row_finish(&row);
    return err;
}

int volume_words_resolve(struct store *store, const struct volume_words *words,
                         struct volume_specs *specs, const char *image, struct volume_rows *rows)
{
    *rows = (struct volume_rows){0};
    int err = 0;
    for (unsigned i = 0; i < words->from.count && !err; i++)
        err = take_from(store, words->from.at[i], rows);
    if (!err)
        err = take_image_ids(store, specs);
    if (!err)
        err = check_sources(words, specs);
    for (unsigned i = 0; i < specs->count && !err; i++)
        err = take_spec(&specs->at[i], VOLUME_ORIGIN_ASKED, rows);
    if (!err && image && words->image_volumes != IMAGE_VOLUMES_IGNORE)
        err = take_image(store, image, words->image_volumes, rows);
    rows->refused = err == -EINVAL;
    volume_specs_finish(specs);
    return err;
}

/* ---- without a store ---- */

static int add_route(const struct volume_spec *spec, struct route_wishes *routes)
{
    struct route_wish wish;
    int err = route_wish_of(spec, &wish);
    return err ? err : route_wishes_add(routes, &wish);
}

/* Routes are opened in the order of the list, an outer one before what is in it. */
static int by_destination(const void *left, const void *right)
{
    const char *a = ((const struct route_wish *)left)->destination;
    const char *b = ((const struct route_wish *)right)->destination;
    return volume_destination_order(&a, &b);
}

int volume_words_route(const struct volume_words *words, const struct volume_specs *specs,
                       struct route_wishes *routes)
{
    int err = check_sources(words, specs);
    for (unsigned i = 0; i < specs->count && !err; i++)
        err = add_route(&specs->at[i], routes);
    if (routes->count > 1)
        qsort(routes->at, routes->count, sizeof(*routes->at), by_destination);
    return err;
}
