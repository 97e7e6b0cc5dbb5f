/* SPDX-License-Identifier: MIT
 *
 * Duty: ask the resolver, the account and the routes about one path. The upper may be in use, so
 * the first two are asked again until they agree.
 */
#include "inquiry.h"

#include "covering.h"
#include "fd.h"
#include "place.h"
#include "rootpath.h"
#include "routedir.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

static void volume_finish(struct inquiry_volume *volume)
{
    free(volume->destination);
    free(volume->source);
    free(volume->rest);
}

void inquiry_finish(struct inquiry *inquiry)
{
    for (unsigned i = 0; i < inquiry->link_count; i++) {
        free(inquiry->links[i].path);
        free(inquiry->links[i].target);
    }
    for (unsigned i = 0; i < inquiry->volume_count; i++)
        volume_finish(&inquiry->volumes[i]);
    free(inquiry->links);
    free(inquiry->volumes);
    free(inquiry->said);
    free(inquiry->path);
    free(inquiry->beneath);
    nameset_finish(&inquiry->places);
    explain_finish(&inquiry->explain);
    *inquiry = (struct inquiry){0};
}

/* ---- symlinks on the way ---- */

static int read_target(const struct stack *stack, const struct rootpath *link,
                       char target[PATH_MAX + 1])
{
    struct place place;
    const struct change change = rootpath_change(link);
    int err = place_of(stack, &change, &place);
    ssize_t length = err ? 0 : readlinkat(place.dir, place.name, target, PATH_MAX);
    if (length < 0)
        err = -errno;
    target[err ? 0 : length] = 0;
    place_finish(stack, &place);
    return err;
}

static int add_link(struct inquiry *inquiry, const struct rootpath *found)
{
    char target[PATH_MAX + 1];
    int err = read_target(inquiry->stack, found, target);
    if (err)
        return err;
    struct inquiry_link *longer =
        reallocarray(inquiry->links, inquiry->link_count + 1, sizeof(*longer));
    if (!longer)
        return -ENOMEM;
    inquiry->links = longer;
    struct inquiry_link *link = &longer[inquiry->link_count];
    *link = (struct inquiry_link){.target = strdup(target)};
    if (!link->target || asprintf(&link->path, "/%s", found->path) < 0) {
        free(link->target);
        return -ENOMEM;
    }
    inquiry->link_count++;
    return 0;
}

/* The first `length` bytes of what was asked. */
static int find_front(const struct inquiry *inquiry, size_t length, bool follow,
                      struct rootpath *found)
{
    cleanup_free char *front = strndup(inquiry->said, length);
    *found = ROOTPATH_NONE;
    return front ? rootpath_find(inquiry->stack, front, follow, found) : -ENOMEM;
}

/* Where the name that begins at `at` ends. */
static size_t end_of_name(const char *path, size_t at)
{
    at += strspn(path + at, "/");
    return at + strcspn(path + at, "/");
}

/* Notes the links among all names but the last; of a path that ends in a slash the last too. */
static int note_links(struct inquiry *inquiry)
{
    const char *said = inquiry->said;
    for (size_t end = end_of_name(said, 0); said[end]; end = end_of_name(said, end)) {
        cleanup_rootpath struct rootpath found = ROOTPATH_NONE;
        int err = find_front(inquiry, end, false, &found);
        if (err)
            return err == -ENOMEM ? err : 0; /* the account tells why */
        if (found.entry.present && S_ISLNK(found.entry.st.st_mode))
            err = add_link(inquiry, &found);
        if (err)
            return err;
    }
    return 0;
}

/* ---- the union ---- */

/* Of a path that leads to nothing: as far as it is resolved, and then as it was said. */
static int stop_short(struct inquiry *inquiry)
{
    const char *said = inquiry->said;
    cleanup_free char *front = strdup(""), *whole = NULL;
    size_t end = 0;
    for (size_t next = 0; front && (said[end] || next == 0); end = next) {
        cleanup_rootpath struct rootpath found = ROOTPATH_NONE;
        next = end_of_name(said, end);
        if (next == end || find_front(inquiry, next, true, &found) != 0)
            break;
        free(front);
        front = steal_ptr(&found.path);
    }
    /* The rest for itself, so that no ".." in it leads out of where it stopped. */
    cleanup_free char *rest = volume_path_clean(said[end] ? said + end : "/");
    if (!front || !rest || asprintf(&whole, "%s%s", front, *front && rest[1] ? rest : rest + 1) < 0)
        return whole = NULL, -ENOMEM;
    inquiry->path = steal_ptr(&whole);
    return 0;
}

/* The root of the upper is a copy of those of the layers. */
static int find_copied(struct inquiry *inquiry, const struct rootpath *found)
{
    const struct change change = rootpath_change(found);
    inquiry->copied = COPIED_HERE;
    return found->entry.present && found->entry.layer == 0 && *found->path
               ? copied_find(inquiry->stack, &change, &inquiry->copied)
               : 0;
}

/* 1: the two do not agree, because it was changed in between. */
static int ask_once(struct inquiry *inquiry)
{
    cleanup_rootpath struct rootpath found = ROOTPATH_NONE;
    inquiry->err = rootpath_find(inquiry->stack, inquiry->said, false, &found);
    if (inquiry->err == -ENOMEM)
        return -ENOMEM;
    int err = inquiry->err ? stop_short(inquiry) : find_copied(inquiry, &found);
    if (!inquiry->err)
        inquiry->path = steal_ptr(&found.path);
    if (!err) {
        err = note_links(inquiry);
        err = err && err != -ENOMEM ? 1 : err;
    }
    if (!err)
        err = explain_path(inquiry->stack, inquiry->path, inquiry->err ? NULL : &found.entry,
                           &inquiry->explain);
    if (err == -ENAMETOOLONG)
        return inquiry->err ? 0 : err;
    if (err || inquiry->err == -ENOTDIR || inquiry->err == -ELOOP || inquiry->err == -ENAMETOOLONG)
        return err;
    return explain_agrees(&inquiry->explain, &found.entry, inquiry->err) ? 0 : 1;
}

int inquiry_make(const struct stack *stack, const char *path, struct inquiry *inquiry)
{
    enum { TRIES = 20 };
    *inquiry = (struct inquiry){0};
    int err = 1;
    for (unsigned i = 0; i < TRIES && err == 1; i++) {
        inquiry_finish(inquiry);
        inquiry->stack = stack;
        if (asprintf(&inquiry->said, "%s%s", *path == '/' ? "" : "/", path) < 0)
            return inquiry->said = NULL, -ENOMEM;
        err = ask_once(inquiry);
    }
    return err == 1 ? -EAGAIN : err;
}

/* ---- volumes ---- */

/* What the volume has there. */
static int look_into(int host, const char *rest, bool as_dir, struct stat *st)
{
    if (host < 0)
        return host;
    cleanup_fd int fd = *rest ? fd_open_beneath(host, rest, O_PATH) : fd_dup(host);
    int err = fd < 0 ? fd : fd_stat(fd, "", st);
    return !err && as_dir && !S_ISDIR(st->st_mode) ? -ENOTDIR : err;
}

static int note_over(struct inquiry *inquiry, const struct volume_spec *spec, const char *rest,
                     int host)
{
    struct inquiry_volume *longer =
        reallocarray(inquiry->volumes, inquiry->volume_count + 1, sizeof(*longer));
    if (!longer)
        return -ENOMEM;
    inquiry->volumes = longer;
    struct inquiry_volume *volume = &longer[inquiry->volume_count++];
    *volume = (struct inquiry_volume){.kind = spec->kind, .read_only = spec->read_only};
    int err = own_copy(&volume->destination, spec->destination);
    if (!err)
        err = own_copy(&volume->source, spec->source);
    if (!err)
        err = own_copy(&volume->rest, rest);
    volume->err = look_into(host, rest, volume_path_as_dir(inquiry->said), &volume->st);
    return err;
}

static int note_beneath(struct inquiry *inquiry, const struct volume_spec *spec)
{
    free(inquiry->beneath);
    return own_copy(&inquiry->beneath, spec->destination);
}

struct routes_of {
    struct inquiry *inquiry;
    struct store *store;
};

static int take_route(void *context, const struct mount_volume_row *route,
                      const struct covered *covered)
{
    struct routes_of *of = context;
    if (covered->how == COVERING_BENEATH)
        return note_beneath(of->inquiry, &route->spec);
    /* -ENXIO and -EREMOTE: it is not on the host. */
    cleanup_fd int host = routedir_open(of->store, route);
    return note_over(of->inquiry, &route->spec, covered->rest, host);
}

static char *said_of(const struct inquiry *inquiry)
{
    return covering_said(inquiry->said, inquiry->err ? NULL : inquiry->path);
}

int inquiry_add_volumes(struct inquiry *inquiry, struct store *store, const struct mount_row *row)
{
    struct routes_of of = {inquiry, store};
    cleanup_free char *said = said_of(inquiry);
    if (!said)
        return -ENOMEM;
    const struct covering_path path = {inquiry->stack, said, inquiry->path, NULL};
    return covering_each(store, row, path, take_route, &of);
}

int inquiry_add_volume(struct inquiry *inquiry, const struct volume_spec *spec, int host)
{
    cleanup_free char *said = said_of(inquiry);
    if (!said)
        return -ENOMEM;
    const struct covering_path path = {inquiry->stack, said, inquiry->path, &inquiry->places};
    struct covered covered;
    int err = covering_of(&path, spec->destination, &covered);
    if (err)
        return err;
    switch (covered.how) {
    case COVERING_OVER:
        return note_over(inquiry, spec, covered.rest, host);
    case COVERING_BENEATH:
        return note_beneath(inquiry, spec);
    case COVERING_NONE:
        break;
    }
    return 0;
}

const struct inquiry_volume *inquiry_volume(const struct inquiry *inquiry)
{
    return inquiry->volume_count > 0 ? &inquiry->volumes[inquiry->volume_count - 1] : NULL;
}
