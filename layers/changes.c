/* SPDX-License-Identifier: MIT
 *
 * Duty: compare what the union shows with what it would show without its upper layer.
 *
 * A directory on the way is a level: its upper part, what shows through it, and what lay there
 * before. Where the last two are the same, only the names of the upper part can differ, and only
 * they are read; elsewhere (a renamed, replaced or added directory) every name is. Levels lie in an
 * array, so the depth of a tree costs memory and a descriptor, not the C stack.
 */
#include "changes.h"

#include "contents.h"
#include "fd.h"
#include "nameset.h"
#include "ovlattr.h"
#include "resolve.h"
#include "xattr.h"

#include <fcntl.h>
#include <stdbool.h>
#include <string.h>

struct level {
    int upper;               /* or -1; owned, but for the root's */
    struct sources *sources; /* what shows through; NULL: nothing */
    struct sources *below;   /* what lay there before; NULL: nothing */
    struct nameset names;
    uint32_t *order; /* indices of names, sorted by their bytes */
    uint32_t next;
    size_t path_length; /* of the directory, in walk.path */
};

struct walk {
    const struct stack *stack;
    int (*each)(void *context, const struct change *change);
    void *context;
    struct level *levels;
    size_t count, room;
    char *path;
    size_t path_room;
};

/* ---- levels ---- */

static bool same_sources(const struct sources *a, const struct sources *b)
{
    if (!a || !b || a->count != b->count)
        return a == b;
    for (unsigned i = 0; i < a->count; i++) {
        if (a->at[i].layer != b->at[i].layer || strcmp(a->at[i].path, b->at[i].path) != 0)
            return false;
    }
    return true;
}

static int take_name(void *context, const struct content *content)
{
    uint32_t index;
    bool fresh;
    return nameset_add(context, content->name, &index, &fresh);
}

static int read_names(const struct stack *stack, struct level *level)
{
    if (same_sources(level->sources, level->below) && level->sources)
        return level->upper < 0 ? 0 : contents_upper(stack, level->upper, take_name, &level->names);
    int err = contents_shown(stack, level->upper, level->sources, false, take_name, &level->names);
    if (!err && level->below)
        err = contents_shown(stack, -1, level->below, false, take_name, &level->names);
    return err;
}

static int by_name(const void *left, const void *right, void *names)
{
    return strcmp(nameset_name(names, *(const uint32_t *)left),
                  nameset_name(names, *(const uint32_t *)right));
}

static int sort_names(struct level *level)
{
    uint32_t count = level->names.used;
    level->order = calloc(count ? count : 1, sizeof(*level->order));
    if (!level->order)
        return -ENOMEM;
    for (uint32_t i = 0; i < count; i++)
        level->order[i] = i;
    qsort_r(level->order, count, sizeof(*level->order), by_name, &level->names);
    return 0;
}

static void level_finish(struct level *level)
{
    own_close(&level->upper);
    sources_release(level->sources);
    sources_release(level->below);
    nameset_finish(&level->names);
    free(level->order);
}

/* Goes into a directory. Takes `upper`; holds the sources. */
static int enter(struct walk *walk, int upper, struct sources *sources, struct sources *below)
{
    cleanup_fd int owned = upper;
    if (walk->count == walk->room) {
        size_t room = walk->room ? walk->room * 2 : 16;
        struct level *levels = realloc(walk->levels, room * sizeof(*levels));
        if (!levels)
            return -ENOMEM;
        walk->levels = levels;
        walk->room = room;
    }
    struct level *level = &walk->levels[walk->count++];
    *level = (struct level){.upper = steal_fd(&owned),
                            .sources = sources_hold(sources),
                            .below = sources_hold(below),
                            .path_length = walk->path ? strlen(walk->path) : 0};
    int err = read_names(walk->stack, level);
    return err ? err : sort_names(level);
}

static void leave(struct walk *walk)
{
    level_finish(&walk->levels[--walk->count]);
}

/* walk->path becomes the path of `name` in the level's directory. */
static int set_path(struct walk *walk, const struct level *level, const char *name)
{
    size_t need = level->path_length + strlen(name) + 2;
    if (need > walk->path_room) {
        size_t room = need * 2;
        char *path = realloc(walk->path, room);
        if (!path)
            return -ENOMEM;
        if (!walk->path)
            path[0] = 0;
        walk->path = path;
        walk->path_room = room;
    }
    char *at = walk->path + level->path_length;
    if (level->path_length > 0)
        *at++ = '/';
    strcpy(at, name);
    return 0;
}

/* ---- metadata of directories ---- */

/* Whether `b` has every attribute of `a`, with the same value. The overlay's books do not count. */
static int has_attributes_of(enum ovlspace space, int a, int b)
{
    cleanup_free char *names = NULL;
    char mine[4096], other[4096];
    ssize_t length = xattr_list_all(a, "", &names);
    if (length < 0)
        return length == -EOPNOTSUPP ? 1 : (int)length;
    for (ssize_t at = 0; at < length; at += (ssize_t)strlen(names + at) + 1) {
        const char *name = names + at;
        if (ovlattr_is_private(space, name))
            continue;
        ssize_t size = xattr_get(a, "", name, mine, sizeof(mine));
        ssize_t other_size = xattr_get(b, "", name, other, sizeof(other));
        if (size < 0 || size != other_size || memcmp(mine, other, (size_t)size) != 0)
            return 0; /* one that is too long to be compared here is taken for changed */
    }
    return 1;
}

static bool same_metadata(const struct stat *a, const struct stat *b)
{
    return a->st_mode == b->st_mode && a->st_uid == b->st_uid && a->st_gid == b->st_gid &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* Whether a directory of both is the same itself: 1 or 0, or -errno. */
static int is_same_dir(const struct stack *stack, int upper, const struct change *change)
{
    int err = 0;
    const struct sources *was = change->was->sources;
    if (upper < 0)
        return same_sources(change->entry->sources, was);
    if (!same_metadata(&change->entry->st, &change->was->st))
        return 0;
    struct fdref *below = stack_lower_dir(stack, was->at[0].layer, was->at[0].path, &err);
    if (!below)
        return err;
    int same = has_attributes_of(stack->able.space, upper, below->fd);
    if (same > 0)
        same = has_attributes_of(stack->able.space, below->fd, upper);
    fdref_release(stack->fds, below);
    return same;
}

/* ---- one name ---- */

/* A file that a renamed or replaced directory shows may be the very one that lay there before. */
static bool is_same_file(const struct change *change)
{
    const struct entry *now = change->entry, *was = change->was;
    return now->layer != 0 && now->layer == was->layer && now->st.st_ino == was->st.st_ino &&
           now->st.st_dev == was->st.st_dev;
}

static int tell_dir(struct walk *walk, struct change *change)
{
    const struct entry *now = change->entry, *was = change->was;
    bool both = was->present && S_ISDIR(was->st.st_mode);
    cleanup_fd int upper = -1;
    if (now->linked) {
        upper = fd_open_name(change->upper, change->name, O_RDONLY | O_DIRECTORY, 0);
        if (upper < 0)
            return upper;
    }
    if (both) {
        int same = is_same_dir(walk->stack, upper, change);
        if (same < 0)
            return same;
        change->replaced = !same_sources(now->sources, was->sources);
        change->on_the_way = same && !change->replaced;
        /* Nothing of it is in the upper: what it shows is what was there. */
        if (change->on_the_way && upper < 0)
            return 0;
    }
    int err = walk->each(walk->context, change);
    return err ? err : enter(walk, steal_fd(&upper), now->sources, both ? was->sources : NULL);
}

static int tell(struct walk *walk, struct change *change)
{
    const struct entry *now = change->entry, *was = change->was;
    if (!now->present && !was->present)
        return 0;
    change->kind = !now->present ? CHANGE_DELETED : was->present ? CHANGE_CHANGED : CHANGE_ADDED;
    if (now->present && S_ISDIR(now->st.st_mode))
        return tell_dir(walk, change);
    if (change->kind == CHANGE_CHANGED && is_same_file(change))
        return 0;
    return walk->each(walk->context, change);
}

static int look_at(struct walk *walk, const char *name)
{
    const struct level *level = &walk->levels[walk->count - 1];
    cleanup_entry struct entry now = {0}, was = {0};
    int err = set_path(walk, level, name);
    if (!err)
        err = resolve_name(walk->stack, level->upper, level->sources, name, &now);
    if (!err && level->below)
        err = resolve_name(walk->stack, -1, level->below, name, &was);
    struct change change = {
        .path = walk->path,
        .name = name,
        .entry = &now,
        .was = &was,
        .upper = level->upper,
        .sources = level->sources,
    };
    return err ? err : tell(walk, &change);
}

static int walk_from_root(struct walk *walk, struct sources *below)
{
    const struct stack *stack = walk->stack;
    int root = -1;
    if (stack->writable)
        root = fd_open_name(stack->layers[0].root, ".", O_RDONLY | O_DIRECTORY, 0);
    int err = stack->writable && root < 0 ? root : enter(walk, root, stack->root, below);
    while (!err && walk->count > 0) {
        struct level *level = &walk->levels[walk->count - 1];
        if (level->next == level->names.used) {
            leave(walk);
            continue;
        }
        const char *name = nameset_name(&level->names, level->order[level->next++]);
        err = look_at(walk, name);
    }
    while (walk->count > 0)
        leave(walk);
    free(walk->levels);
    free(walk->path);
    return err;
}

int changes_walk(const struct stack *stack, int (*each)(void *context, const struct change *change),
                 void *context)
{
    struct walk walk = {.stack = stack, .each = each, .context = context};
    return walk_from_root(&walk, stack->root);
}

int changes_walk_all(const struct stack *stack,
                     int (*each)(void *context, const struct change *change), void *context)
{
    struct walk walk = {.stack = stack, .each = each, .context = context};
    return walk_from_root(&walk, NULL);
}
