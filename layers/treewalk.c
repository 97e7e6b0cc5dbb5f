/* SPDX-License-Identifier: MIT
 *
 * Duty: the order and the bounds of a walk. A level is a directory that was entered and not yet
 * left, with all its names in memory, sorted.
 *
 * Invariants: the deepest KEPT levels have a descriptor; when a level above them is needed again,
 * it is opened as ".." of the one below and must be the very directory that was left there, so a
 * directory that is moved during the walk ends it and never leads it elsewhere. `path` is that of
 * the last level, followed by the name of the current step where that is no directory.
 *
 * Cost: a stat for each name; an open, a list and a stat for each directory, another open beneath
 * depth KEPT. Memory is that of the names of one line of directories.
 */
#include "treewalk.h"

#include "fd.h"
#include "whiteout.h"

#include <fcntl.h>
#include <string.h>

enum { KEPT = 24 };

struct level {
    int fd; /* -1: closed for now */
    struct stat st;
    size_t length; /* of the path up to here; 0 for the root */
    char *text;    /* the names, each closed by a NUL */
    const char **names;
    size_t count, next;
};

/* What the current step is, to the last level. */
enum state { FRESH, ENTERED, NAMED, LEAVING };

struct treewalk {
    struct level *levels;
    size_t depth, room; /* levels entered, and room for them */
    char *path;
    size_t path_room;
    enum state state;
};

/* ---- the names of a directory ---- */

/* What a name is sorted by. */
static const char *place_of(const char *name)
{
    return whiteout_is_name(name) ? name + strlen(WHITEOUT_PREFIX) : name;
}

static int compare_names(const void *left, const void *right)
{
    const char *a = *(const char *const *)left, *b = *(const char *const *)right;
    int order = strcmp(place_of(a), place_of(b));
    return order ? order : strcmp(a, b);
}

static bool level_holds(const struct level *level, const char *name)
{
    return level->count > 0 &&
           bsearch(&name, level->names, level->count, sizeof(*level->names), compare_names) != NULL;
}

struct listing {
    char *text;
    size_t used, room, count;
};

static int listing_add(struct listing *listing, const char *name)
{
    size_t size = strlen(name) + 1;
    if (listing->used + size > listing->room) {
        size_t room = listing->room ? listing->room * 2 : 1024;
        char *text = realloc(listing->text, room);
        if (!text)
            return -ENOMEM;
        listing->text = text;
        listing->room = room;
    }
    memcpy(listing->text + listing->used, name, size);
    listing->used += size;
    listing->count++;
    return 0;
}

static int read_listing(int fd, struct listing *listing)
{
    cleanup_fd int own = fd_open_name(fd, ".", O_RDONLY | O_DIRECTORY, 0);
    if (own < 0)
        return own;
    cleanup_dir DIR *dir = fdopendir(own);
    if (!dir)
        return -errno;
    steal_fd(&own); /* it is the stream's now */
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (!entry)
            return -errno;
        int err = fd_is_dot(entry->d_name) ? 0 : listing_add(listing, entry->d_name);
        if (err)
            return err;
    }
}

static int level_read(struct level *level)
{
    struct listing listing = {0};
    int err = read_listing(level->fd, &listing);
    level->text = listing.text;
    if (err || listing.count == 0)
        return err;
    level->names = malloc(listing.count * sizeof(*level->names));
    if (!level->names)
        return -ENOMEM;
    for (const char *at = listing.text; level->count < listing.count; at += strlen(at) + 1)
        level->names[level->count++] = at;
    qsort(level->names, level->count, sizeof(*level->names), compare_names);
    return 0;
}

static void level_finish(struct level *level)
{
    own_close(&level->fd);
    free(level->text);
    free(level->names);
}

/* ---- going down and up ---- */

static struct level *last_level(const struct treewalk *walk)
{
    return &walk->levels[walk->depth - 1];
}

/* Enters the directory `fd`, whose path is in walk->path; takes ownership of fd, always. */
static int walk_enter(struct treewalk *walk, int fd, size_t length)
{
    struct level level = {.fd = fd, .length = length};
    int err = fd_stat(fd, "", &level.st);
    if (!err)
        err = level_read(&level);
    if (!err && walk->depth == walk->room) {
        size_t room = walk->room ? walk->room * 2 : 16;
        struct level *levels = realloc(walk->levels, room * sizeof(*levels));
        err = levels ? 0 : -ENOMEM;
        walk->levels = levels ? levels : walk->levels;
        walk->room = levels ? room : walk->room;
    }
    if (err) {
        level_finish(&level);
        return err;
    }
    walk->levels[walk->depth++] = level;
    if (walk->depth > KEPT) {
        own_close(&walk->levels[walk->depth - 1 - KEPT].fd);
        walk->levels[walk->depth - 1 - KEPT].fd = -1;
    }
    return 0;
}

static int reopen_above(const struct level *below, struct level *above)
{
    struct stat st;
    cleanup_fd int fd = fd_open_name(below->fd, "..", O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return fd;
    int err = fd_stat(fd, "", &st);
    if (err)
        return err;
    if (st.st_dev != above->st.st_dev || st.st_ino != above->st.st_ino)
        return -ESTALE;
    above->fd = steal_fd(&fd);
    return 0;
}

static int walk_leave(struct treewalk *walk)
{
    struct level *left = last_level(walk);
    bool closed = walk->depth > 1 && left[-1].fd < 0;
    int err = closed ? reopen_above(left, &left[-1]) : 0;
    level_finish(left);
    walk->depth--;
    walk->state = NAMED;
    return err;
}

struct treewalk *treewalk_open(int tree, int *err)
{
    cleanup_treewalk struct treewalk *walk = calloc(1, sizeof(*walk));
    *err = -ENOMEM;
    if (!walk)
        return NULL;
    walk->path_room = 256;
    walk->path = calloc(1, walk->path_room);
    if (!walk->path)
        return NULL;
    int fd = fd_open_name(tree, ".", O_RDONLY | O_DIRECTORY, 0);
    *err = fd < 0 ? fd : walk_enter(walk, fd, 0);
    return *err ? NULL : steal_ptr(&walk);
}

void treewalk_close(struct treewalk *walk)
{
    if (!walk)
        return;
    while (walk->depth > 0)
        level_finish(&walk->levels[--walk->depth]);
    free(walk->levels);
    free(walk->path);
    free(walk);
}

/* ---- steps ---- */

/* Sets walk->path to that of `name` in the last level. */
static int walk_name(struct treewalk *walk, const char *name, size_t *length)
{
    size_t at = last_level(walk)->length, size = strlen(name);
    if (at + size + 2 > walk->path_room) {
        char *path = realloc(walk->path, (at + size + 2) * 2);
        if (!path)
            return -ENOMEM;
        walk->path = path;
        walk->path_room = (at + size + 2) * 2;
    }
    if (at > 0)
        walk->path[at++] = '/';
    memcpy(walk->path + at, name, size + 1);
    *length = at + size;
    return 0;
}

/* The step is the directory of the last level. */
static int step_level(struct treewalk *walk, enum state state, struct walk_step *step)
{
    const struct level *level = last_level(walk);
    walk->state = state;
    walk->path[level->length] = 0;
    const char *path = treewalk_path(walk), *slash = strrchr(path, '/');
    *step = (struct walk_step){.path = path,
                               .leaf = slash ? slash + 1 : path,
                               .dir = level->fd,
                               .name = "",
                               .st = level->st,
                               .leaving = state == LEAVING};
    return 1;
}

/* The step is a name in the last level, which becomes a level of its own if it is a directory. */
static int step_name(struct treewalk *walk, const char *name, struct walk_step *step)
{
    const int dir = last_level(walk)->fd;
    struct stat st;
    size_t length;
    int err = walk_name(walk, name, &length);
    if (!err)
        err = fd_stat(dir, name, &st);
    if (err)
        return err;
    if (S_ISDIR(st.st_mode)) {
        int fd = fd_open_name(dir, name, O_RDONLY | O_DIRECTORY, 0);
        err = fd < 0 ? fd : walk_enter(walk, fd, length);
        return err ? err : step_level(walk, ENTERED, step);
    }
    walk->state = NAMED;
    *step = (struct walk_step){.path = walk->path,
                               .leaf = walk->path + length - strlen(name),
                               .dir = dir,
                               .name = name,
                               .st = st};
    return 1;
}

int treewalk_next(struct treewalk *walk, struct walk_step *step)
{
    int err = walk->state == LEAVING ? walk_leave(walk) : 0;
    if (err)
        return err;
    if (walk->depth == 0)
        return 0;
    if (walk->state == FRESH)
        return step_level(walk, ENTERED, step);
    struct level *level = last_level(walk);
    if (level->next < level->count)
        return step_name(walk, level->names[level->next++], step);
    return step_level(walk, LEAVING, step);
}

void treewalk_skip(struct treewalk *walk)
{
    last_level(walk)->next = last_level(walk)->count;
}

bool treewalk_beside(const struct treewalk *walk, const char *name)
{
    size_t up = walk->state == NAMED ? 1 : 2;
    return walk->depth >= up && level_holds(&walk->levels[walk->depth - up], name);
}

bool treewalk_within(const struct treewalk *walk, const char *name)
{
    return walk->state == ENTERED && level_holds(last_level(walk), name);
}

const char *treewalk_path(const struct treewalk *walk)
{
    return walk->path[0] ? walk->path : ".";
}
