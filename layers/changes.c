/* SPDX-License-Identifier: MIT
 *
 * Duty: compare what the union shows with what it would show without its upper layer.
 *
 * A directory on the way is a level: its upper part, what shows through it, and what lay there
 * before. Where the last two are the same, only the names of the upper part can differ, and only
 * they are read; elsewhere (a renamed, replaced or added directory) every name is. So is every name
 * when a file was changed that has hard links outside the upper: they show the change too, and
 * nothing but the index tells of them. Levels lie in an array, so the depth of a tree costs memory
 * and a descriptor, not the C stack.
 */
#include "changes.h"

#include "contents.h"
#include "fd.h"
#include "linkindex.h"
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
    /* A directory on the way that nobody was told of yet. */
    bool untold;
    struct entry now, was;
};

struct walk {
    const struct stack *stack;
    int (*each)(void *context, const struct change *change);
    void *context;
    bool links_apart; /* some changed inode has names outside the upper */
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

static int read_names(const struct walk *walk, struct level *level)
{
    const struct stack *stack = walk->stack;
    bool same = level->sources && same_sources(level->sources, level->below);
    if (same && !walk->links_apart)
        return level->upper < 0 ? 0 : contents_upper(stack, level->upper, take_name, &level->names);
    const struct upperpart upper = {.fd = level->upper}, none = {.fd = -1};
    int err = contents_shown(stack, &upper, level->sources, false, take_name, &level->names);
    if (!err && level->below)
        err = contents_shown(stack, &none, level->below, false, take_name, &level->names);
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
    entry_finish(&level->now);
    entry_finish(&level->was);
}

/* Goes into a directory. Takes `upper`; holds the sources. NULL and *err. */
static struct level *enter(struct walk *walk, int upper, struct sources *sources,
                           struct sources *below, int *err)
{
    cleanup_fd int owned = upper;
    if (walk->count == walk->room) {
        size_t room = walk->room ? walk->room * 2 : 16;
        struct level *levels = realloc(walk->levels, room * sizeof(*levels));
        *err = levels ? 0 : -ENOMEM;
        if (!levels)
            return NULL;
        walk->levels = levels;
        walk->room = room;
    }
    struct level *level = &walk->levels[walk->count++];
    *level = (struct level){.upper = steal_fd(&owned),
                            .sources = sources_hold(sources),
                            .below = sources_hold(below),
                            .path_length = walk->path ? strlen(walk->path) : 0};
    *err = read_names(walk, level);
    if (!*err)
        *err = sort_names(level);
    return *err ? NULL : level;
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
        if (ovlattr_is_private(space, name) || ovlattr_is_book(name))
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

/* Tells of the directories that a change is in, each right before the first change in it. */
static int tell_the_way(struct walk *walk)
{
    int err = 0;
    for (size_t i = 1; !err && i < walk->count; i++) {
        struct level *level = &walk->levels[i];
        if (!level->untold)
            continue;
        char *end = walk->path + level->path_length, cut = *end;
        *end = 0;
        const char *slash = strrchr(walk->path, '/');
        const struct change change = {
            .kind = CHANGE_CHANGED,
            .on_the_way = true,
            .path = walk->path,
            .name = slash ? slash + 1 : walk->path,
            .entry = &level->now,
            .was = &level->was,
            .upper = walk->levels[i - 1].upper,
            .sources = walk->levels[i - 1].sources,
            .below = walk->levels[i - 1].below,
        };
        err = walk->each(walk->context, &change);
        *end = cut;
        level->untold = false;
    }
    return err;
}

static int tell(struct walk *walk, const struct change *change)
{
    int err = tell_the_way(walk);
    return err ? err : walk->each(walk->context, change);
}

/* A directory that is the same itself: what is in it may not be. Takes `upper`, and the entries. */
static int pass(struct walk *walk, int upper, struct entry *now, struct entry *was)
{
    int err = 0;
    struct level *level = enter(walk, upper, now->sources, was->sources, &err);
    if (!level)
        return err;
    level->untold = true;
    level->now = *now;
    level->was = *was;
    *now = *was = (struct entry){0};
    return 0;
}

static int tell_dir(struct walk *walk, struct change *change, struct entry *now, struct entry *was)
{
    int err = 0;
    bool both = was->present && S_ISDIR(was->st.st_mode);
    cleanup_fd int upper = -1;
    if (now->linked) {
        upper = fd_open_name(change->upper, change->name, O_RDONLY | O_DIRECTORY, 0);
        if (upper < 0)
            return upper;
    }
    change->replaced = both && !same_sources(now->sources, was->sources);
    if (both && !change->replaced) {
        int same = is_same_dir(walk->stack, upper, change);
        if (same < 0)
            return same;
        /* Nothing of it is in the upper: what it shows is what was there. */
        if (same && upper < 0 && !walk->links_apart)
            return 0;
        if (same)
            return pass(walk, steal_fd(&upper), now, was);
    }
    err = tell(walk, change);
    if (!err)
        (void)enter(walk, steal_fd(&upper), now->sources, both ? was->sources : NULL, &err);
    return err;
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
    if (err || (!now.present && !was.present))
        return err;
    struct change change = {
        .kind = !now.present  ? CHANGE_DELETED
                : was.present ? CHANGE_CHANGED
                              : CHANGE_ADDED,
        .path = walk->path,
        .name = name,
        .entry = &now,
        .was = &was,
        .upper = level->upper,
        .sources = level->sources,
        .below = level->below,
    };
    if (now.present && S_ISDIR(now.st.st_mode))
        return tell_dir(walk, &change, &now, &was);
    return change.kind == CHANGE_CHANGED && is_same_file(&change) ? 0 : tell(walk, &change);
}

/* ---- hard links ---- */

/* An entry of the index is one link of its inode; the others should be in the upper. */
static int has_more_links(void *context, const struct content *content)
{
    struct stat st;
    const struct stack *const *stack = context;
    int index = (*stack)->index;
    if (fd_stat(index, content->name, &st) < 0 || S_ISDIR(st.st_mode))
        return 0;
    nlink_t upper = st.st_nlink - 1;
    return linkindex_shown(*stack, index, content->name, st.st_nlink, 0, upper) > upper;
}

/* Whether an inode was changed that has names outside the upper: 1 or 0, or -errno. */
static int has_links_apart(const struct stack *stack)
{
    return stack->index < 0 ? 0 : contents_upper(stack, stack->index, has_more_links, &stack);
}

static int walk_on(struct walk *walk)
{
    int err = 0;
    while (!err && walk->count > 0) {
        struct level *level = &walk->levels[walk->count - 1];
        if (level->next == level->names.used) {
            leave(walk);
            continue;
        }
        const char *name = nameset_name(&level->names, level->order[level->next++]);
        err = look_at(walk, name);
    }
    return err;
}

/* Walks what is in one directory, whose path walk->path is. Takes `upper`. */
static int walk_from(struct walk *walk, int upper, struct sources *sources, struct sources *below)
{
    int err = 0;
    if (enter(walk, upper, sources, below, &err))
        err = walk_on(walk);
    while (walk->count > 0)
        leave(walk);
    free(walk->levels);
    free(walk->path);
    return err;
}

static int walk_from_root(struct walk *walk, struct sources *below)
{
    int root = -1;
    const struct stack *stack = walk->stack;
    if (stack->writable)
        root = fd_open_name(stack->layers[0].root, ".", O_RDONLY | O_DIRECTORY, 0);
    if (stack->writable && root < 0)
        return root;
    return walk_from(walk, root, stack->root, below);
}

int changes_walk(const struct stack *stack, int (*each)(void *context, const struct change *change),
                 void *context)
{
    struct walk walk = {.stack = stack, .each = each, .context = context};
    int apart = has_links_apart(stack);
    if (apart < 0)
        return apart;
    walk.links_apart = apart > 0;
    return walk_from_root(&walk, stack->root);
}

int changes_walk_all(const struct stack *stack,
                     int (*each)(void *context, const struct change *change), void *context)
{
    struct walk walk = {.stack = stack, .each = each, .context = context};
    return walk_from_root(&walk, NULL);
}

int changes_walk_beneath(const struct stack *stack, const char *path, int upper,
                         struct sources *sources,
                         int (*each)(void *context, const struct change *change), void *context)
{
    struct walk walk = {.stack = stack, .each = each, .context = context};
    cleanup_fd int own = upper < 0 ? -1 : fd_open_name(upper, ".", O_RDONLY | O_DIRECTORY, 0);
    if (upper >= 0 && own < 0)
        return own;
    walk.path = strdup(path);
    if (!walk.path)
        return -ENOMEM;
    walk.path_room = strlen(path) + 1;
    return walk_from(&walk, steal_fd(&own), sources, NULL);
}
