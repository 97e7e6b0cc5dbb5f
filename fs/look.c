/* SPDX-License-Identifier: MIT
 *
 * Duty: decide who shows a path, then read it from there. Names are collected before they are told,
 * so that they come in order; each is resolved by the one resolver, or by stat(2) on the host.
 */
#include "look.h"

#include "contents.h"
#include "covering.h"
#include "fd.h"
#include "log.h"
#include "nameset.h"
#include "place.h"
#include "resolve.h"
#include "routedir.h"
#include "shadow.h"
#include "volumespec.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

/* ---- who shows it ---- */

struct search {
    struct store *store;
    int host;          /* or why there is none, of the deepest route so far; -ENODATA: none */
    const char *rest;  /* what of the path lies beneath it */
    char *destination; /* of it */
    struct belows *belows;
};

static int try_route(void *context, const struct mount_volume_row *route,
                     const struct covered *covered)
{
    struct search *search = context;
    if (covered->how == COVERING_BENEATH)
        return belows_add(search->belows, search->store, route, covered);
    own_close(&search->host);
    search->host = routedir_open(search->store, route);
    search->rest = covered->rest;
    free(search->destination);
    return own_copy(&search->destination, route->spec.destination);
}

/* What a route shows at the absolute path; -ENODATA: none covers it. */
static int find_route(struct store *store, const struct mount_row *row, const char *absolute,
                      struct look *look)
{
    cleanup_free char *said = covering_said(absolute, look->found.path);
    if (!said)
        return -ENOMEM;
    const struct covering_path path = {look->stack, said,
                                       look->found.path ? look->found.path : said, NULL};
    struct search search = {.store = store, .host = -ENODATA, .belows = &look->belows};
    int err = covering_each(store, row, path, try_route, &search);
    cleanup_fd int host = search.host;
    look->destination = search.destination;
    if (err || host < 0)
        return err ? err : host;
    struct stat st;
    look->host = *search.rest ? fd_open_beneath(host, search.rest, O_PATH) : steal_fd(&host);
    err = look->host < 0 ? look->host : fd_stat(look->host, "", &st);
    return !err && volume_path_as_dir(absolute) && !S_ISDIR(st.st_mode) ? -ENOTDIR : err;
}

int look_find(struct store *store, const struct mount_row *row, const struct stack *stack,
              const struct look_wish *wish, struct look *look)
{
    cleanup_free char *absolute = NULL;
    *look =
        (struct look){.stack = stack, .found = ROOTPATH_NONE, .host = -1, .since = row->mounted};
    if (!look->since)
        look->since = row->created;
    if (asprintf(&absolute, "/%s", wish->path) < 0)
        return absolute = NULL, -ENOMEM;
    int err = rootpath_find(look->stack, absolute, wish->follow, &look->found);
    /* Where the union has a file in the way, a route may have a directory. */
    int routed = wish->under ? -ENODATA : find_route(store, row, absolute, look);
    if (routed != -ENODATA)
        err = routed;
    else if (!err && !look->found.entry.present)
        err = -ENOENT;
    look->stub = err == -ENOENT && look->belows.count > 0;
    return look->stub ? 0 : err;
}

void look_finish(struct look *look)
{
    rootpath_finish(&look->found);
    own_close(&look->host);
    free(look->destination);
    belows_finish(&look->belows);
}

/* ---- names ---- */

struct listing {
    const struct look *look;
    struct nameset names;
    int dir; /* of a directory on the host, or the upper part of one in the union; or -1 */
    int (*each)(void *context, const struct look_name *name);
    void *context;
};

static int tell(const struct listing *listing, struct look_name *name, int dir, const char *at)
{
    char target[PATH_MAX + 1];
    if (S_ISLNK(name->st.st_mode)) {
        ssize_t length = readlinkat(dir, at, target, PATH_MAX);
        if (length < 0)
            return -errno;
        target[length] = 0;
        name->target = target;
    }
    return listing->each(listing->context, name);
}

static int tell_host(const struct listing *listing, const char *name)
{
    struct look_name told = {.name = name, .layer = -1};
    int err = fd_stat(listing->dir, name, &told.st);
    if (err == -ENOENT) /* gone since it was read */
        return 0;
    err = err ? err : tell(listing, &told, listing->dir, name);
    return err ? err : 1;
}

/* What a walk of the union would tell: the place of a symlink is needed to read it. */
static int tell_shown(const struct listing *listing, const struct change *change, const char *name)
{
    const struct stack *stack = listing->look->stack;
    struct place place;
    struct look_name told = {
        .name = name, .st = change->entry->st, .layer = (int)shadow_layer_of(stack, change->entry)};
    told.st.st_ino = change->entry->ino;
    int err = place_of(stack, change, &place);
    if (!err)
        err = tell(listing, &told, place.dir, place.name);
    place_finish(stack, &place);
    return err;
}

static int tell_union(const struct listing *listing, const char *name)
{
    const struct look *look = listing->look;
    const struct sources *sources = look->found.entry.sources;
    const struct entry nothing = {0};
    cleanup_entry struct entry entry = {0};
    int err = resolve_name(look->stack, listing->dir, sources, name, &entry);
    if (err || !entry.present)
        return err;
    const struct change change = {.kind = CHANGE_ADDED,
                                  .path = name,
                                  .name = name,
                                  .entry = &entry,
                                  .was = &nothing,
                                  .upper = listing->dir,
                                  .sources = sources};
    err = tell_shown(listing, &change, name);
    return err ? err : 1;
}

/* What a route shows as a name, or a directory on the way to one. */
static int tell_below(const struct listing *listing, const struct below *below)
{
    struct look_name told = {.name = below->name, .layer = below->route ? -1 : LOOK_STUB};
    int err = below_stat(below, listing->look->since, &told.st);
    return err ? err : tell(listing, &told, below->host, "");
}

/* 1: it was told; 0: its directory itself does not have it. */
static int tell_own(const struct listing *listing, const char *name)
{
    const struct look *look = listing->look;
    if (look->stub)
        return 0;
    return look->host >= 0 ? tell_host(listing, name) : tell_union(listing, name);
}

static int tell_name(const struct listing *listing, const char *name)
{
    const struct below *below = belows_find(&listing->look->belows, name);
    int told = below && below->route ? 0 : tell_own(listing, name);
    if (told)
        return told < 0 ? told : 0;
    return below ? tell_below(listing, below) : 0;
}

static int take_name(void *context, const struct content *content)
{
    uint32_t index;
    bool fresh;
    struct listing *listing = context;
    return nameset_add(&listing->names, content->name, &index, &fresh);
}

static int read_host(struct listing *listing)
{
    uint32_t index;
    bool fresh;
    listing->dir = fd_reopen(listing->look->host, O_RDONLY | O_DIRECTORY);
    cleanup_fd int fd = listing->dir < 0
                            ? listing->dir
                            : fd_open_name(listing->dir, ".", O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return fd;
    cleanup_dir DIR *names = fdopendir(fd);
    int err = names ? 0 : -errno;
    if (names)
        fd = -1; /* now the stream's */
    while (!err) {
        errno = 0;
        const struct dirent *entry = readdir(names);
        if (!entry)
            return -errno;
        if (!fd_is_dot(entry->d_name))
            err = nameset_add(&listing->names, entry->d_name, &index, &fresh);
    }
    return err;
}

static int read_union(struct listing *listing)
{
    const struct rootpath *found = &listing->look->found;
    listing->dir = rootpath_open_upper(found);
    if (listing->dir < 0 && listing->dir != -ENOENT)
        return listing->dir;
    if (listing->dir < 0)
        listing->dir = -1;
    const struct upperpart upper = {.fd = listing->dir};
    return contents_shown(listing->look->stack, &upper, found->entry.sources, false, take_name,
                          listing);
}

static int add_belows(struct listing *listing)
{
    uint32_t index;
    bool fresh;
    const struct belows *belows = &listing->look->belows;
    int err = 0;
    for (unsigned i = 0; i < belows->count && !err; i++)
        err = nameset_add(&listing->names, belows->at[i].name, &index, &fresh);
    return err;
}

static int by_name(const void *left, const void *right, void *names)
{
    return strcmp(nameset_name(names, *(const uint32_t *)left),
                  nameset_name(names, *(const uint32_t *)right));
}

static int tell_in_order(struct listing *listing)
{
    uint32_t count = listing->names.used;
    cleanup_free uint32_t *order = calloc(count ? count : 1, sizeof(*order));
    if (!order)
        return -ENOMEM;
    for (uint32_t i = 0; i < count; i++)
        order[i] = i;
    if (count > 1)
        qsort_r(order, count, sizeof(*order), by_name, &listing->names);
    int err = 0;
    for (uint32_t i = 0; !err && i < count; i++)
        err = tell_name(listing, nameset_name(&listing->names, order[i]));
    return err;
}

/* Something that is no directory is told by the last part of its path. */
static int tell_itself(const struct listing *listing)
{
    const struct look *look = listing->look;
    const struct change itself = rootpath_change(&look->found);
    struct look_name told = {.name = itself.name, .layer = -1};
    if (look->host < 0)
        return tell_shown(listing, &itself, itself.name);
    int err = fd_stat(look->host, "", &told.st);
    return err ? err : tell(listing, &told, look->host, "");
}

static int stat_of(const struct look *look, struct stat *st)
{
    *st = look->stub ? below_stub(look->since, 0755) : look->found.entry.st;
    return look->host < 0 ? 0 : fd_stat(look->host, "", st);
}

int look_each(const struct look *look, int (*each)(void *context, const struct look_name *name),
              void *context)
{
    struct stat st;
    struct listing listing = {.look = look, .dir = -1, .each = each, .context = context};
    int err = stat_of(look, &st);
    if (!err && !S_ISDIR(st.st_mode))
        return tell_itself(&listing);
    if (!err && !look->stub)
        err = look->host < 0 ? read_union(&listing) : read_host(&listing);
    if (!err)
        err = add_belows(&listing);
    if (!err)
        err = tell_in_order(&listing);
    own_close(&listing.dir);
    nameset_finish(&listing.names);
    return err;
}

/* ---- content ---- */

int look_read(const struct look *look)
{
    struct stat st;
    struct place place;
    int err = stat_of(look, &st);
    if (err || !S_ISREG(st.st_mode))
        return err ? err : S_ISDIR(st.st_mode) ? -EISDIR : -EMEDIUMTYPE;
    if (look->host >= 0)
        return fd_reopen(look->host, O_RDONLY);
    const struct change change = rootpath_change(&look->found);
    err = place_of(look->stack, &change, &place);
    int fd = err ? err : place_open_data(look->stack, &change, &place);
    place_finish(look->stack, &place);
    return fd;
}

/* ---- from a word to what is there ---- */

static const char *reason(int err)
{
    switch (err) {
    case -ENOENT:
        return "there is no such file or directory";
    case -ENXIO:
        return "it lies in a tmpfs or an image, which only the mount itself shows";
    case -EREMOTE:
        return "it lies in a volume that only its driver reaches";
    case -ELOOP:
        return "too many symlinks, or one in a volume, where none is followed";
    case -EMEDIUMTYPE:
        return "it is no regular file";
    default:
        return strerror(-err);
    }
}

static int look_in(struct store *store, const struct mount_row *row, const struct look_wish *wish,
                   int (*use)(void *context, const struct look *look), void *context)
{
    struct named_view view;
    int err = named_view_flushed(store, row, &view);
    if (err)
        return err;
    struct look look;
    err = look_find(store, row, &view.stack, wish, &look);
    if (!err)
        err = use(context, &look);
    look_finish(&look);
    named_view_close(&view);
    if (err)
        log_error("cannot look at %s in %s: %s", wish->path, row->name, reason(err));
    return err;
}

int look_at(const struct look_wish *wish, int (*use)(void *context, const struct look *look),
            void *context)
{
    cleanup_store struct store *store = NULL;
    cleanup_mount_row struct mount_row row = {0};
    int err = named_open_store(wish->root, false, &store);
    if (!err)
        err = named_find(store, wish->mount, false, &row);
    return err ? err : look_in(store, &row, wish, use, context);
}
