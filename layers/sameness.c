/* SPDX-License-Identifier: MIT
 *
 * Duty: compare, the cheap before the dear. Cost: of files of one size the reading of both.
 */
#include "sameness.h"

#include "attrlist.h"
#include "fd.h"
#include "place.h"
#include "resolve.h"

#include <limits.h>
#include <string.h>

int sameness_bytes(int left, int right, struct sameness_watch *watch)
{
    enum { PIECE = 1 << 16 };
    cleanup_free char *pieces = malloc(2 * PIECE);
    if (!pieces)
        return -ENOMEM;
    for (;;) {
        ssize_t a = fd_read_all(left, pieces, PIECE);
        ssize_t b = fd_read_all(right, pieces + PIECE, PIECE);
        if (a < 0 || b < 0)
            return a < 0 ? (int)a : (int)b;
        if (a != b || memcmp(pieces, pieces + PIECE, (size_t)a) != 0)
            return 0;
        if (a == 0)
            return 1;
        if (watch)
            watch->bytes += (uint64_t)a;
        if (watch && watch->seen)
            watch->seen(watch->context, watch->bytes);
    }
}

/* One side: what it is, and where it lies. */
struct side {
    struct change change;
    struct place place;
    struct stat st;
};

/* ---- content ---- */

/* A metacopy file and what its data is of are one file. */
static int same_file(const struct stack *stack, const struct side *now, const struct side *was,
                     struct sameness_watch *watch)
{
    struct stat a, b;
    if (now->st.st_size != was->st.st_size)
        return 0;
    cleanup_fd int left = place_open_data(stack, &now->change, &now->place);
    cleanup_fd int right = place_open_data(stack, &was->change, &was->place);
    if (left < 0 || right < 0)
        return left < 0 ? left : right;
    if (fstat(left, &a) < 0 || fstat(right, &b) < 0)
        return -errno;
    if (a.st_dev == b.st_dev && a.st_ino == b.st_ino)
        return 1;
    return a.st_size == b.st_size ? sameness_bytes(left, right, watch) : 0;
}

static int same_target(const struct place *now, const struct place *was)
{
    char a[PATH_MAX], b[PATH_MAX];
    ssize_t length = readlinkat(now->dir, now->name, a, sizeof(a));
    if (length < 0)
        return -errno;
    ssize_t other = readlinkat(was->dir, was->name, b, sizeof(b));
    if (other < 0)
        return -errno;
    return length == other && memcmp(a, b, (size_t)length) == 0;
}

static int same_content(const struct stack *stack, const struct side *now, const struct side *was,
                        struct sameness_watch *watch)
{
    switch (now->st.st_mode & S_IFMT) {
    case S_IFREG:
        return same_file(stack, now, was, watch);
    case S_IFLNK:
        return same_target(&now->place, &was->place);
    case S_IFCHR:
    case S_IFBLK:
        return now->st.st_rdev == was->st.st_rdev;
    default:
        return 1;
    }
}

/* ---- metadata ---- */

static bool same_attribute(const struct tar_xattr *a, const struct tar_xattr *b)
{
    return strcmp(a->name, b->name) == 0 && a->size == b->size &&
           memcmp(a->value, b->value, a->size) == 0;
}

/* Reads those of both; what was only recorded of owner and mode goes into the sides. */
static int same_attributes(struct side *now, struct side *was)
{
    cleanup_attrlist struct attrlist a = {0}, b = {0};
    int err = attrlist_read(&a, now->place.where, now->place.dir, now->place.name,
                            now->place.record, &now->st);
    if (!err)
        err = attrlist_read(&b, was->place.where, was->place.dir, was->place.name,
                            was->place.record, &was->st);
    if (err)
        return err;
    bool same = a.count == b.count;
    for (size_t i = 0; same && i < a.count; i++)
        same = same_attribute(&a.at[i], &b.at[i]);
    return same;
}

static bool same_meta(const struct stat *a, const struct stat *b)
{
    return a->st_mode == b->st_mode && a->st_uid == b->st_uid && a->st_gid == b->st_gid;
}

static bool same_times(const struct stat *a, const struct stat *b)
{
    return a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* ---- both ---- */

static int compare(const struct stack *stack, struct side *now, struct side *was, unsigned *differs,
                   struct sameness_watch *watch)
{
    int attributes = same_attributes(now, was);
    int content = attributes < 0 ? attributes : same_content(stack, now, was, watch);
    if (content < 0)
        return content;
    *differs = (content ? 0u : SAMENESS_CONTENT) | (attributes ? 0u : SAMENESS_ATTRIBUTES) |
               (same_meta(&now->st, &was->st) ? 0u : SAMENESS_META) |
               (same_times(&now->st, &was->st) ? 0u : SAMENESS_TIMES);
    return 0;
}

int sameness_find(const struct stack *stack, const struct change *change, unsigned *differs,
                  struct sameness_watch *watch)
{
    cleanup_entry struct entry beneath = {0};
    const bool indexed = change->was->index_name && change->was->layer == 0;
    int err = indexed ? resolve_beneath_index(stack, change->below, change->name, &beneath) : 0;
    if (!err && indexed && !beneath.present)
        err = -ENOENT;
    if (err)
        return err;
    struct side now = {.change = *change, .st = change->entry->st};
    struct side was = {.change = *change};
    was.change.entry = indexed ? &beneath : change->was;
    was.st = was.change.entry->st;
    was.change.sources = change->below;
    was.change.upper = -1;
    *differs = SAMENESS_TYPE;
    if ((now.st.st_mode & S_IFMT) != (was.st.st_mode & S_IFMT))
        return 0;
    err = place_of(stack, &now.change, &now.place);
    if (!err) {
        err = place_of(stack, &was.change, &was.place);
        if (!err)
            err = compare(stack, &now, &was, differs, watch);
        place_finish(stack, &was.place);
    }
    place_finish(stack, &now.place);
    return err;
}
