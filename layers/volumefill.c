/* SPDX-License-Identifier: MIT
 *
 * Duty: one change of a walk after the other becomes an object.
 *
 * Directories come before what is in them, so the one that is being filled is always the last of
 * those that were entered and not left: a level. A directory gets its look when it is left, since
 * by then nothing more is written into it: an owner, a mode without write permission, default ACLs
 * that would be inherited, times. The path of the walk is that of the last level; it alone is open,
 * so a tree of any depth costs memory and no descriptors.
 *
 * Cost: what resolve.h and copydata.c say, and three calls for each object's look.
 */
#include "volumefill.h"

#include "attrlist.h"
#include "copydata.h"
#include "copymeta.h"
#include "dress.h"
#include "fd.h"
#include "linkset.h"
#include "log.h"
#include "place.h"
#include "rootpath.h"

#include <fcntl.h>
#include <linux/limits.h>
#include <string.h>

/* How an object is to look. */
struct look {
    struct stat st;
    struct attrlist attributes;
};

struct level {
    size_t length; /* of its path in the copy; 0 is the root's */
    struct look look;
};

struct filling {
    const struct stack *stack;
    size_t front; /* what stands in a change's path before its path in the copy */
    int to;
    struct level *levels;
    size_t count, room;
    char *path; /* of the last level */
    int dir;    /* the last level, open; or -1 */
    struct linkset *links;
    struct look look; /* of what is no directory */
    void (*seen)(void *context, uint64_t bytes);
    void *context;
    uint64_t bytes;
};

/* ---- looks ---- */

static int read_look(const struct place *place, struct look *look)
{
    int err = fd_stat(place->dir, place->name, &look->st);
    if (err)
        return err;
    return attrlist_read(&look->attributes, place->where, place->dir, place->name, place->record,
                         &look->st);
}

/* In this order: a change of owner takes capabilities away, and without privilege only a file that
 * is writable yet takes attributes. */
static int give_look(const struct look *look, int dir, const char *name)
{
    struct stat now;
    mode_t mode = 0;
    const struct tar_entry entry = {.mode = look->st.st_mode,
                                    .uid = look->st.st_uid,
                                    .gid = look->st.st_gid,
                                    .rdev = look->st.st_rdev,
                                    .xattrs = look->attributes.at,
                                    .xattr_count = look->attributes.count};
    int err = fd_stat(dir, name, &now);
    if (!err)
        err = dress_owner(dir, name, &entry, now.st_mode & S_IFMT, &mode);
    if (err >= 0)
        err = dress_xattrs(TREEKIND_PLAIN, dir, name, &entry);
    if (!err && !S_ISLNK(now.st_mode))
        err = fd_chmod(dir, name, mode);
    return err ? err : copymeta_times(dir, name, &look->st);
}

/* ---- levels ---- */

static int open_level(struct filling *filling)
{
    if (filling->dir >= 0)
        return 0;
    filling->dir = fd_open_beneath(filling->to, filling->path, O_RDONLY | O_DIRECTORY);
    return filling->dir < 0 ? filling->dir : 0;
}

static struct level *new_level(struct filling *filling)
{
    if (filling->count == filling->room) {
        size_t room = filling->room ? filling->room * 2 : 16;
        struct level *larger = reallocarray(filling->levels, room, sizeof(*larger));
        if (!larger)
            return NULL;
        filling->levels = larger;
        filling->room = room;
    }
    struct level *level = &filling->levels[filling->count++];
    *level = (struct level){0};
    return level;
}

/* Goes into the directory `path` of the copy, whose look `place` has. Takes `dir`. */
static int enter(struct filling *filling, const char *path, int dir, const struct place *place)
{
    cleanup_fd int owned = dir;
    cleanup_free char *copy = strdup(path);
    struct level *level = copy ? new_level(filling) : NULL;
    if (!level)
        return -ENOMEM;
    level->length = strlen(path);
    free(filling->path);
    filling->path = steal_ptr(&copy);
    own_close(&filling->dir);
    filling->dir = steal_fd(&owned);
    return read_look(place, &level->look);
}

static void drop_level(struct filling *filling)
{
    struct level *level = &filling->levels[--filling->count];
    attrlist_finish(&level->look.attributes);
    own_close(&filling->dir);
    filling->dir = -1;
    if (filling->count > 0)
        filling->path[filling->levels[filling->count - 1].length] = 0;
}

static int leave(struct filling *filling)
{
    int err = open_level(filling);
    if (!err)
        err = give_look(&filling->levels[filling->count - 1].look, filling->dir, "");
    drop_level(filling);
    return err;
}

/* Leaves the directories that `path` is not in. The root of the copy stays. */
static int leave_until(struct filling *filling, const char *path)
{
    int err = 0;
    while (!err && filling->count > 1) {
        size_t length = filling->levels[filling->count - 1].length;
        if (strncmp(path, filling->path, length) == 0 && path[length] == '/')
            break;
        err = leave(filling);
    }
    return err;
}

/* ---- objects ---- */

static int copy_file(struct filling *filling, const struct change *change,
                     const struct place *place)
{
    struct copied copied;
    struct stat st;
    off_t size = filling->look.st.st_size;
    cleanup_fd int to = fd_open_name(filling->dir, change->name, O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (to < 0 || size == 0)
        return to < 0 ? to : 0;
    cleanup_fd int from = place_open_data(filling->stack, change, place);
    if (from < 0)
        return from;
    int err = fd_stat(from, "", &st);
    if (!err)
        err = S_ISREG(st.st_mode) ? copydata_copy(from, to, size, st.st_size == size, NULL, &copied)
                                  : -ESTALE;
    filling->bytes += (uint64_t)size;
    if (!err && filling->seen)
        filling->seen(filling->context, filling->bytes);
    return err;
}

static int copy_symlink(struct filling *filling, const struct change *change,
                        const struct place *place)
{
    char target[PATH_MAX];
    ssize_t length = readlinkat(place->dir, place->name, target, sizeof(target));
    if (length < 0)
        return -errno;
    if (length == sizeof(target))
        return -ENAMETOOLONG;
    target[length] = 0;
    return symlinkat(target, filling->dir, change->name) < 0 ? -errno : 0;
}

static int make_node(struct filling *filling, const char *name, mode_t type, dev_t device)
{
    return mknodat(filling->dir, name, type | 0600, device) < 0 ? -errno : 0;
}

/* A device that may not be made is stood for by an empty file. */
static int copy_node(struct filling *filling, const struct change *change)
{
    const struct stat *st = &filling->look.st;
    int err = make_node(filling, change->name, st->st_mode & S_IFMT, st->st_rdev);
    return err == -EPERM ? make_node(filling, change->name, S_IFREG, 0) : err;
}

/* One more name of what was made as `first`, a path of the union. */
static int copy_link(struct filling *filling, const struct change *change, const char *first)
{
    const char *path = first + filling->front, *slash = strrchr(path, '/');
    cleanup_free char *front = strndup(path, slash ? (size_t)(slash - path) : 0);
    if (!front)
        return -ENOMEM;
    cleanup_fd int dir = fd_open_beneath(filling->to, front, O_PATH | O_DIRECTORY);
    if (dir < 0)
        return dir;
    const char *name = slash ? slash + 1 : path;
    return linkat(dir, name, filling->dir, change->name, 0) < 0 ? -errno : 0;
}

static int copy_object(struct filling *filling, const struct change *change,
                       const struct place *place)
{
    const char *first;
    int err = linkset_first(filling->links, &change->entry->st, change->path, &first);
    if (err || first)
        return err ? err : copy_link(filling, change, first);
    err = read_look(place, &filling->look);
    if (err)
        return err;
    if (S_ISREG(filling->look.st.st_mode))
        err = copy_file(filling, change, place);
    else if (S_ISLNK(filling->look.st.st_mode))
        err = copy_symlink(filling, change, place);
    else
        err = copy_node(filling, change);
    return err ? err : give_look(&filling->look, filling->dir, change->name);
}

static int copy_directory(struct filling *filling, const struct change *change,
                          const struct place *place)
{
    if (mkdirat(filling->dir, change->name, 0700) < 0)
        return -errno;
    int dir = fd_open_name(filling->dir, change->name, O_RDONLY | O_DIRECTORY, 0);
    return dir < 0 ? dir : enter(filling, change->path + filling->front, dir, place);
}

static int copy_change(void *context, const struct change *change)
{
    struct filling *filling = context;
    struct place place;
    int err = leave_until(filling, change->path + filling->front);
    if (!err)
        err = open_level(filling);
    if (err)
        return err;
    err = place_of(filling->stack, change, &place);
    if (!err)
        err = S_ISDIR(change->entry->st.st_mode) ? copy_directory(filling, change, &place)
                                                 : copy_object(filling, change, &place);
    place_finish(filling->stack, &place);
    if (err)
        log_error("cannot copy /%s: %s", change->path, strerror(-err));
    return err;
}

/* ---- all of it ---- */

static int enter_root(struct filling *filling, const struct rootpath *found)
{
    struct place place;
    const struct change change = rootpath_change(found);
    int err = place_of(filling->stack, &change, &place);
    int dir = err ? err : fd_open_name(filling->to, ".", O_RDONLY | O_DIRECTORY, 0);
    err = dir < 0 ? dir : enter(filling, "", dir, &place);
    place_finish(filling->stack, &place);
    return err;
}

static int copy_all(struct filling *filling, const struct rootpath *found)
{
    int err = enter_root(filling, found);
    if (!err)
        err = rootpath_walk(filling->stack, found, copy_change, filling);
    while (!err && filling->count > 0)
        err = leave(filling);
    while (filling->count > 0)
        drop_level(filling);
    return err;
}

int volumefill_copy(const struct stack *stack, const char *path, int to,
                    void (*seen)(void *context, uint64_t bytes), void *context)
{
    cleanup_rootpath struct rootpath found = ROOTPATH_NONE;
    int err = rootpath_find(stack, path, true, &found);
    if (err == -ENOTDIR || (!err && (!found.entry.present || !S_ISDIR(found.entry.st.st_mode))))
        return 0;
    cleanup_linkset struct linkset *links = linkset_create();
    struct filling filling = {
        .stack = stack, .to = to, .dir = -1, .links = links, .seen = seen, .context = context};
    if (!err && !links)
        err = -ENOMEM;
    if (!err) {
        filling.front = strlen(found.path) + (*found.path != 0);
        err = copy_all(&filling, &found);
    }
    /* Then it is no matter what failed, if anything did. */
    int gone = stack_in_place(stack);
    err = gone ? gone : err;
    attrlist_finish(&filling.look.attributes);
    free(filling.levels);
    free(filling.path);
    if (err)
        log_error("cannot copy what is at %s: %s", path,
                  err == -ESTALE ? "a layer was removed meanwhile" : strerror(-err));
    return err ? err : 1;
}
