/* SPDX-License-Identifier: MIT
 *
 * Duty: from rows that say what is wanted to volumes that are there.
 */
#include "newvolumes.h"

#include "fd.h"
#include "imageword.h"
#include "log.h"
#include "mount.h"
#include "progress.h"
#include "rootfs.h"
#include "rootpath.h"
#include "shadow.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/* Each is a tree of the mount, which has one itself. */
int newvolumes_check_count(unsigned count)
{
    if (count < TREES_MAX)
        return 0;
    log_error("%u volumes are too many: a mount has room for %d", count, TREES_MAX - 1);
    return -EINVAL;
}

/* ---- what the layers have there ---- */

static bool shows_directory(const struct volume_spec *spec)
{
    struct stat st;
    return spec->kind != VOLUME_KIND_BIND || (stat(spec->source, &st) == 0 && S_ISDIR(st.st_mode));
}

/* *place, the caller's, is where symlinks lead. */
static int check_destination(const struct newvolumes *volumes, const struct volume_spec *spec,
                             char **place)
{
    struct rootpath found;
    int err = rootpath_find(volumes->layers, spec->destination, true, &found);
    if (err) {
        log_error(err == -ENOTDIR ? "cannot mount volume at %s: a file is in the way"
                                  : "cannot mount volume at %s: %s",
                  spec->destination, strerror(-err));
        return -EINVAL;
    }
    if (!*found.path) {
        log_error("invalid specification: destination %s leads to '/'", spec->destination);
        err = -EINVAL;
    }
    if (found.entry.present && !S_ISDIR(found.entry.st.st_mode) && shows_directory(spec)) {
        log_error("cannot mount volume over existing file, file exists %s", spec->destination);
        err = -EINVAL;
    }
    if (!err)
        err = own_copy(place, found.path);
    rootpath_finish(&found);
    return err;
}

/* A directory of an image that is shown has to be there. */
static int check_image_subpath(const struct newvolumes *volumes, const struct volume_spec *spec)
{
    cleanup_rootfs struct rootfs rootfs = {0};
    cleanup_rootpath struct rootpath found = ROOTPATH_NONE;
    if (spec->kind != VOLUME_KIND_IMAGE || !spec->subpath)
        return 0;
    int err = rootfs_open(volumes->store, spec->source, &rootfs);
    if (!err)
        err = rootpath_find(&rootfs.stack, spec->subpath, true, &found);
    if (!err && !found.entry.present)
        err = -ENOENT;
    else if (!err && !S_ISDIR(found.entry.st.st_mode))
        err = -ENOTDIR;
    if (err)
        log_error("cannot take %s of the image for %s: %s", spec->subpath, spec->destination,
                  strerror(-err));
    return err ? -EINVAL : 0;
}

/* Who stays of two at one place, as where both say it alike: what was asked for, then what another
 * mount has, then an image's and what has no name. */
static unsigned rank_of(const struct mount_volume_row *row)
{
    if (row->origin == VOLUME_ORIGIN_FROM)
        return 1;
    return row->anonymous || row->origin == VOLUME_ORIGIN_IMAGE ? 0 : 2;
}

/* Which of the two rows gives way, the later of equals; or -EINVAL. */
static int weaker_of(const struct volume_rows *rows, unsigned earlier, unsigned later)
{
    const struct mount_volume_row *a = &rows->at[earlier], *b = &rows->at[later];
    const unsigned has_a = rank_of(a), has_b = rank_of(b);
    if (has_a == has_b && has_a == 2) {
        log_error("Duplicate mount point: %s and %s lead to the same place", a->spec.destination,
                  b->spec.destination);
        return -EINVAL;
    }
    const unsigned out = has_a < has_b ? earlier : later, in = earlier + later - out;
    log_warning("volume %s is left out: it leads to the same place as %s",
                rows->at[out].spec.destination, rows->at[in].spec.destination);
    return (int)out;
}

/* The first row that leads to where an earlier one leads, *earlier; the count where none does. */
static unsigned find_double(const struct volume_rows *rows, char *const *places, unsigned *earlier)
{
    unsigned later = 1;
    for (; later < rows->count; later++) {
        for (*earlier = 0; *earlier < later; ++*earlier) {
            if (strcmp(places[*earlier], places[later]) == 0)
                return later;
        }
    }
    return rows->count;
}

/* Destinations that differ, and lead to one place of the layers. */
static int settle_places(struct volume_rows *rows, char **places)
{
    unsigned earlier, later;
    while ((later = find_double(rows, places, &earlier)) < rows->count) {
        int out = weaker_of(rows, earlier, later);
        if (out < 0)
            return out;
        volume_rows_remove(rows, (unsigned)out);
        free(places[out]);
        memmove(&places[out], &places[out + 1],
                (rows->count - (unsigned)out + 1) * sizeof(*places));
    }
    return 0;
}

static int check_rows(const struct newvolumes *volumes)
{
    struct volume_rows *rows = volumes->rows;
    /* With NULL at the end. */
    cleanup_paths char **places = calloc((size_t)rows->count + 1, sizeof(*places));
    int err = places ? 0 : -ENOMEM;
    for (unsigned i = 0; i < rows->count && !err; i++) {
        const struct volume_spec *spec = &rows->at[i].spec;
        err = check_image_subpath(volumes, spec);
        if (!err)
            err = check_destination(volumes, spec, &places[i]);
    }
    if (!err)
        err = settle_places(rows, places);
    return err ? err : newvolumes_check_count(rows->count);
}

/* ---- making ---- */

static struct volume_staged *find_staged(const struct newvolumes *volumes, const char *name)
{
    for (unsigned i = 0; name && i < volumes->count; i++) {
        if (strcmp(volumes->at[i].row.name, name) == 0)
            return &volumes->at[i];
    }
    return NULL;
}

static bool wants_content(const struct mount_volume_row *row)
{
    return row->origin != VOLUME_ORIGIN_FROM && !row->spec.nocopy;
}

static struct volume_wish wish_for(const struct newvolumes *volumes,
                                   const struct mount_volume_row *row)
{
    return (struct volume_wish){
        .name = row->spec.source,
        .driver = row->spec.driver,
        .options = &row->spec.options,
        .labels = &row->spec.labels,
        .mount = volumes->mount->name,
        .image = volumes->image_name,
        .destination = row->spec.destination,
        .stack = volumes->layers,
        .content = wants_content(row) ? row->spec.destination : NULL,
        .subpath = row->spec.subpath,
    };
}

static int refuse_subpath(const struct volume_spec *spec, const char *why)
{
    log_error("cannot take %s of the volume %s: %s", spec->subpath, spec->source, why);
    return -EINVAL;
}

/* A path inside a volume must be there, where that can be seen now. */
static int check_subpath(const struct store *store, const struct volume_row *volume,
                         const struct volume_spec *spec)
{
    cleanup_free char *path = NULL;
    int err = spec->subpath ? volume_content_path(store, volume, &path) : -EREMOTE;
    if (err)
        return err == -EREMOTE ? 0 : err;
    cleanup_fd int root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    cleanup_fd int found = root < 0 ? -errno : fd_open_beneath(root, spec->subpath, O_PATH);
    return found < 0 ? refuse_subpath(spec, strerror(-found)) : 0;
}

/* One that is there: what was asked of its making must fit, and if it is empty it is filled. */
static int use_existing(struct newvolumes *volumes, const struct mount_volume_row *row,
                        const struct volume_row *volume)
{
    const struct volume_spec *spec = &row->spec;
    if (spec->driver && strcmp(spec->driver, volume->driver) != 0) {
        log_error("create %s: a volume of that name is there, of the driver %s and not %s",
                  spec->source, volume->driver, spec->driver);
        return -EINVAL;
    }
    int err = check_subpath(volumes->store, volume, spec);
    if (err || !wants_content(row))
        return err;
    cleanup_progress struct progress *progress = progress_start("filling the volume", 0);
    struct volume_wish wish = wish_for(volumes, row);
    wish.seen = progress_at;
    wish.context = progress;
    int filled = volume_fill(volumes->store, volume, &wish);
    return filled < 0 ? filled : 0;
}

static int stage_new(struct newvolumes *volumes, struct stage *stage, struct mount_volume_row *row)
{
    if (row->spec.subpath)
        return refuse_subpath(&row->spec, "the volume is not there yet, and a new one is empty");
    struct volume_staged *larger = reallocarray(volumes->at, volumes->count + 1, sizeof(*larger));
    if (!larger)
        return -ENOMEM;
    volumes->at = larger;
    cleanup_progress struct progress *progress = progress_start("filling the volume", 0);
    struct volume_wish wish = wish_for(volumes, row);
    wish.seen = progress_at;
    wish.context = progress;
    struct volume_staged *staged = &larger[volumes->count];
    int err = volume_stage(volumes->store, stage, &wish, staged);
    if (err)
        return err;
    volumes->count++;
    if (!row->spec.source)
        row->spec.source = strdup(staged->row.name);
    return row->spec.source ? 0 : -ENOMEM;
}

static int prepare_volume(struct newvolumes *volumes, struct stage *stage,
                          struct mount_volume_row *row)
{
    struct volume_row volume = {0};
    const char *name = row->spec.source;
    if (find_staged(volumes, name))
        return 0; /* the same one at another place: its first place gave it its content */
    int err = name ? volume_find(volumes->store, name, true, &volume) : -ENOENT;
    if (err == -ENOENT && row->origin == VOLUME_ORIGIN_FROM)
        log_error("the volume %s, of --volumes-from, is gone meanwhile", name);
    else if (err == -ENOENT)
        err = stage_new(volumes, stage, row);
    else if (!err)
        err = use_existing(volumes, row, &volume);
    volume_row_finish(&volume);
    return err;
}

/* A name is kept, which may come to mean another image: what a volume is compared with follows. */
static int name_image(struct newvolumes *volumes)
{
    const char *word = volumes->image ? volumes->image : volumes->mount->image;
    free(volumes->image_name);
    volumes->image_name = word ? imageword_call(volumes->store, word) : NULL;
    return word && !volumes->image_name ? -ENOMEM : 0;
}

/* Everything that may be refused is looked at before the first byte is copied. */
int newvolumes_stage(struct newvolumes *volumes, struct stage *stage)
{
    int err = name_image(volumes);
    if (err)
        return err;
    err = check_rows(volumes);
    for (unsigned i = 0; i < volumes->rows->count && !err; i++) {
        if (volumes->rows->at[i].spec.kind == VOLUME_KIND_VOLUME)
            err = prepare_volume(volumes, stage, &volumes->rows->at[i]);
    }
    volumes->told = err != 0;
    volumes->rows->refused = err == -EINVAL;
    return err;
}

/* ---- publishing ---- */

int newvolumes_publish(struct newvolumes *volumes, struct stage *stage)
{
    struct store *store = volumes->store;
    int err = 0;
    for (unsigned i = 0; i < volumes->count && !err; i++) {
        err = volume_publish(store, stage, &volumes->at[i]);
        volumes->published += err == 0;
    }
    volumes->told = err != 0 && err != -EEXIST;
    return err;
}

/* Anonymous ones lose the names that went with them: who tries again makes new ones. */
static void forget_names(struct newvolumes *volumes)
{
    for (unsigned i = 0; i < volumes->rows->count; i++) {
        struct mount_volume_row *row = &volumes->rows->at[i];
        if (row->anonymous && find_staged(volumes, row->spec.source)) {
            free(row->spec.source);
            row->spec.source = NULL;
        }
    }
}

void newvolumes_discard(struct newvolumes *volumes)
{
    struct store *store = volumes->store;
    forget_names(volumes);
    for (unsigned i = 0; i < volumes->count; i++) {
        volume_unstage(store, &volumes->at[i]);
        if (i < volumes->published)
            (void)!store_discard(store, store->volumes, volumes->at[i].row.name);
    }
}

void newvolumes_finish(struct newvolumes *volumes)
{
    for (unsigned i = 0; i < volumes->count; i++)
        volume_staged_finish(&volumes->at[i]);
    free(volumes->at);
    free(volumes->image_name);
    volumes->at = NULL;
    volumes->image_name = NULL;
    volumes->count = volumes->published = 0;
}

/* ---- telling ---- */

static void tell_owner(const struct newvolumes *volumes, const struct volume_spec *spec)
{
    struct stat st;
    struct rootpath found;
    if (spec->kind != VOLUME_KIND_BIND || stat(spec->source, &st) < 0 ||
        rootpath_find(volumes->layers, spec->destination, true, &found) != 0)
        return;
    const struct stat *was = &found.entry.st;
    if (found.entry.present && S_ISDIR(was->st_mode) && S_ISDIR(st.st_mode) &&
        (was->st_uid != st.st_uid || was->st_gid != st.st_gid || was->st_mode != st.st_mode))
        log_warning("%s is %u:%u %04o, and the %s that it hides is %u:%u %04o", spec->source,
                    st.st_uid, st.st_gid, st.st_mode & 07777, spec->destination, was->st_uid,
                    was->st_gid, was->st_mode & 07777);
    rootpath_finish(&found);
}

/* Whoever connects to a socket, or opens a pipe, meets only those who came to it in the same way:
 * the kernel joins them by the inode, and the mount has one of its own. */
static void tell_apart(const struct volume_spec *spec)
{
    struct stat st;
    if (spec->kind != VOLUME_KIND_BIND || stat(spec->source, &st) < 0 ||
        (!S_ISSOCK(st.st_mode) && !S_ISFIFO(st.st_mode)))
        return;
    log_warning("%s is a %s: through %s nobody reaches who uses it on the host", spec->source,
                S_ISSOCK(st.st_mode) ? "socket" : "pipe", spec->destination);
}

/* What was copied into the volume is not hidden by it: it is there. */
static bool was_filled(const struct newvolumes *volumes, const struct mount_volume_row *row)
{
    if (row->spec.kind != VOLUME_KIND_VOLUME || !wants_content(row))
        return false;
    const struct volume_staged *staged = find_staged(volumes, row->spec.source);
    return staged && staged->row.by_destination &&
           strcmp(staged->row.by_destination, row->spec.destination) == 0;
}

static void tell_hidden(const struct newvolumes *volumes, const struct volume_spec *spec)
{
    cleanup_shadow_count struct shadow_count count = {0};
    if (shadow_count(volumes->layers, spec->destination, &count) != 0 || count.all.files == 0)
        return;
    cleanup_free char *words = shadow_words(&count);
    if (words)
        log_warning("volume %s hides %s", spec->destination, words);
}

void newvolumes_tell(const struct newvolumes *volumes)
{
    for (unsigned i = 0; i < volumes->rows->count; i++) {
        const struct mount_volume_row *row = &volumes->rows->at[i];
        tell_owner(volumes, &row->spec);
        tell_apart(&row->spec);
        if (!was_filled(volumes, row))
            tell_hidden(volumes, &row->spec);
    }
}
