/* SPDX-License-Identifier: MIT
 *
 * Duty: tell what a directory of a layer means. The rules of what hides what are those of merge.c:
 * a `.wh.NAME` of any kind hides NAME in the layers beneath; beside a NAME that is there it says
 * only that nothing beneath adds to it, which matters to a directory alone and makes it opaque.
 *
 * Cost: for each object the stat of the walk and what attrlist.c says; a file is read once, where
 * its content is asked for.
 */
#include "layertree.h"

#include "attrlist.h"
#include "fd.h"
#include "linkset.h"
#include "log.h"
#include "override.h"
#include "treewalk.h"
#include "whiteout.h"

#include <fcntl.h>
#include <linux/limits.h>
#include <stdio.h>
#include <string.h>

enum { BLOCK = 1 << 18 };

struct layertree {
    enum treekind kind;
    struct treewalk *walk;
    struct linkset *links;
    struct walk_step step;
    off_t size; /* of the current entry's content */
    /* What the current entry points to. */
    struct attrlist attrs;
    char opaque;  /* see read_opaque() */
    char *path;   /* of a whiteout */
    char *target; /* of a symlink */
    char *block;  /* room for a piece of content */
};

struct layertree *layertree_open(int tree, enum treekind kind, int *err)
{
    cleanup_layertree struct layertree *layer = calloc(1, sizeof(*layer));
    *err = -ENOMEM;
    if (!layer)
        return NULL;
    layer->kind = kind;
    layer->block = malloc(BLOCK);
    layer->links = linkset_create();
    if (!layer->block || !layer->links)
        return NULL;
    layer->walk = treewalk_open(tree, err);
    return layer->walk ? steal_ptr(&layer) : NULL;
}

/* Frees what is of the current entry alone. */
static void layertree_forget(struct layertree *layer)
{
    free(steal_ptr(&layer->path));
    free(steal_ptr(&layer->target));
}

void layertree_close(struct layertree *layer)
{
    if (!layer)
        return;
    layertree_forget(layer);
    attrlist_finish(&layer->attrs);
    linkset_destroy(layer->links);
    treewalk_close(layer->walk);
    free(layer->block);
    free(layer);
}

/* ---- what an object is ---- */

static int say_whiteout(struct layertree *layer, const char *name, struct layer_entry *entry)
{
    const struct walk_step *step = &layer->step;
    if (asprintf(&layer->path, "%.*s%s", (int)(step->leaf - step->path), step->path, name) < 0) {
        layer->path = NULL;
        return -ENOMEM;
    }
    *entry = (struct layer_entry){.type = 'w', .shown = {.path = layer->path}};
    return 1;
}

/* An object with a `.wh.` name is never shown: it is a whiteout, or the books of one. 1 or 0. */
static int say_books(struct layertree *layer, struct layer_entry *entry)
{
    if (S_ISDIR(layer->step.st.st_mode))
        treewalk_skip(layer->walk);
    const char *hidden = whiteout_hidden_name(layer->step.leaf);
    return hidden && !treewalk_beside(layer->walk, hidden) ? say_whiteout(layer, hidden, entry) : 0;
}

/* The letter of the opaque mark of the directory that the step is in, or is; only where it matters.
 * A mark that cannot be read must not be taken for none: what it hides would come back. */
static int read_opaque(struct layertree *layer)
{
    const ovlset wanted = 1u << OVLATTR_OPAQUE | 1u << OVLATTR_WHITEOUT;
    layer->opaque = 0;
    if (!(layer->attrs.marks & wanted))
        return 0;
    ssize_t size =
        ovlattr_get(OVLWHERE_SEALED, layer->step.dir, "", OVLATTR_OPAQUE, &layer->opaque, 1);
    return fd_is_fault((int)size) ? (int)size : 0;
}

static bool is_attribute_whiteout(const struct layertree *layer)
{
    const struct stat *st = &layer->step.st;
    return ovlset_has(layer->attrs.marks, OVLATTR_WHITEOUT) && S_ISREG(st->st_mode) &&
           st->st_size == 0 && layer->opaque == 'x';
}

static bool is_opaque(const struct layertree *layer)
{
    const struct walk_step *step = &layer->step;
    char white[NAME_MAX + sizeof(WHITEOUT_PREFIX)];
    snprintf(white, sizeof(white), WHITEOUT_PREFIX "%s", step->leaf);
    return (ovlset_has(layer->attrs.marks, OVLATTR_OPAQUE) && layer->opaque == 'y') ||
           treewalk_within(layer->walk, WHITEOUT_OPAQUE) || treewalk_beside(layer->walk, white);
}

static char type_of(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG:
        return 'f';
    case S_IFDIR:
        return 'd';
    case S_IFLNK:
        return 'l';
    case S_IFCHR:
        return 'c';
    case S_IFBLK:
        return 'b';
    case S_IFIFO:
        return 'p';
    default:
        return 's';
    }
}

/* The size in a stat is not believed: not every filesystem knows it. */
static int read_target(struct layertree *layer)
{
    char target[PATH_MAX];
    ssize_t length = readlinkat(layer->step.dir, layer->step.name, target, sizeof(target));
    if (length < 0)
        return -errno;
    if (length == sizeof(target))
        return -ENAMETOOLONG;
    layer->target = strndup(target, (size_t)length);
    return layer->target ? 0 : -ENOMEM;
}

/* ---- entries ---- */

static int fill(struct layertree *layer, const struct stat *st, struct layer_entry *entry)
{
    const struct walk_step *step = &layer->step;
    const char *first;
    int err = linkset_first(layer->links, &step->st, step->path, &first);
    if (!err && S_ISLNK(st->st_mode))
        err = read_target(layer);
    if (err)
        return err;
    bool node = S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode);
    bool content = S_ISREG(st->st_mode) && !first;
    layer->size = content ? st->st_size : 0;
    entry->type = first ? 'h' : type_of(st->st_mode);
    if (entry->type == 'd' && layer->kind == TREEKIND_LAYER && is_opaque(layer))
        entry->type = 'o';
    entry->shown = (struct tar_entry){
        .path = step->path,
        .target = layer->target,
        .link = first,
        .mode = st->st_mode,
        .uid = st->st_uid,
        .gid = st->st_gid,
        .rdev = node ? st->st_rdev : 0,
        .size = layer->size,
        .mtime = st->st_mtim,
        .xattrs = layer->attrs.at,
        .xattr_count = layer->attrs.count,
    };
    return 1;
}

static int read_attributes(struct layertree *layer, struct stat *st)
{
    const struct walk_step *step = &layer->step;
    enum ovlwhere where = layer->kind == TREEKIND_LAYER ? OVLWHERE_SEALED : OVLWHERE_PLAIN;
    *st = step->st;
    return attrlist_read(&layer->attrs, where, step->dir, step->name,
                         override_counts(layer->kind) ? OVERRIDE_ATTR : NULL, st);
}

static int say_plain(struct layertree *layer, struct layer_entry *entry)
{
    struct stat st;
    int err = read_attributes(layer, &st);
    return err ? err : fill(layer, &st, entry);
}

/* Tells the current step: 1, or 0 when there is nothing to tell. */
static int say_step(struct layertree *layer, struct layer_entry *entry)
{
    const struct walk_step *step = &layer->step;
    if (step->leaving)
        return 0;
    if (layer->kind == TREEKIND_PLAIN)
        return say_plain(layer, entry);
    if (whiteout_is_name(step->leaf))
        return say_books(layer, entry);
    if (whiteout_is_device(&step->st))
        return say_whiteout(layer, step->leaf, entry);
    struct stat st;
    int err = read_attributes(layer, &st);
    if (!err)
        err = read_opaque(layer);
    if (err)
        return err;
    if (is_attribute_whiteout(layer))
        return say_whiteout(layer, step->leaf, entry);
    if (ovlset_has(layer->attrs.marks, OVLATTR_REDIRECT) ||
        ovlset_has(layer->attrs.marks, OVLATTR_METACOPY))
        return -EINVAL;
    return fill(layer, &st, entry);
}

static int tell(const struct layertree *layer, int err)
{
    const char *words = err == -EINVAL   ? "it stands on another layer (redirect or metacopy)"
                        : err == -ESTALE ? "it was changed meanwhile"
                                         : strerror(-err);
    log_error("%s: %s", treewalk_path(layer->walk), words);
    return err;
}

int layertree_next(struct layertree *layer, struct layer_entry *entry)
{
    for (;;) {
        layertree_forget(layer);
        int more = treewalk_next(layer->walk, &layer->step);
        if (more == 0)
            return 0;
        int said = more < 0 ? more : say_step(layer, entry);
        if (said)
            return said < 0 ? tell(layer, said) : said;
    }
}

/* ---- content ---- */

/* What has come to be a pipe in the meantime is not waited for, and has no content. */
static int open_file(const struct walk_step *step)
{
    int fd = fd_open_name(step->dir, step->name, O_RDONLY | O_NONBLOCK, 0);
    if (fd >= 0)
        posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    return fd;
}

int layertree_content(struct layertree *layer,
                      int (*sink)(void *context, const void *data, size_t size), void *context)
{
    if (layer->size == 0)
        return 0;
    cleanup_fd int fd = open_file(&layer->step);
    if (fd < 0)
        return tell(layer, fd);
    for (off_t at = 0;;) {
        ssize_t got = fd_read(fd, layer->block, BLOCK);
        if (got == 0 && at == layer->size)
            return 0;
        if (got <= 0 || got > layer->size - at)
            return tell(layer, got < 0 ? (int)got : -ESTALE);
        int err = sink(context, layer->block, (size_t)got);
        if (err)
            return err;
        at += got;
    }
}
