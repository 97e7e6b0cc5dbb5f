/* SPDX-License-Identifier: MIT
 *
 * Duty: ask the routes first where a directory is on the way to one, then its own tree.
 */
#include "shown.h"

#include "fd.h"
#include "find.h"
#include "hash.h"
#include "resolve.h"
#include "route.h"
#include "tree.h"

#include <fcntl.h>
#include <string.h>

enum { TRIES = 1000 }; /* to look something up while names move */

/* What the directory's own tree has; `sealed`: its upper part does not have it. */
static int find_in_tree(struct mount *mount, const struct node_view *dir, const char *name,
                        bool sealed, struct entry *entry)
{
    int err = 0;
    struct fdref *upper = NULL;
    if (node_is(dir, NODE_STUB))
        return 0;
    if (node_is(dir, NODE_UPPER) && !sealed) {
        names_read(mount);
        upper = find_upper_dir(mount, dir->index, &err);
        names_end(mount);
        if (!upper)
            return err;
    }
    err = resolve_name(mount_stack(mount, dir), upper ? upper->fd : -1, dir->sources, name, entry);
    fdref_release(mount->fds, upper);
    return err;
}

static int find_root_of(struct mount *mount, uint8_t tree, struct shown *shown)
{
    shown->tree = tree;
    shown->flags = NODE_ROUTE | (route_holds(mount, tree) ? (unsigned)NODE_WAY : 0);
    return tree_root(mount->trees[tree], &shown->entry);
}

/* A directory on the way that no layer has. Its number is always the same, and no file's. */
static void become_stub(struct mount *mount, const struct node_view *dir, const char *name,
                        struct shown *shown)
{
    uint64_t ino = hash_bytes(name, strlen(name), dir->ino) >> 2 | 1ull << 62;
    shown->entry = (struct entry){.present = true, .stub = true, .ino = ino, .layer = 1};
    shown->entry.st = mount_stub_stat(mount, ino);
}

static int find(struct mount *mount, const struct node_view *dir, const char *name, bool sealed,
                struct shown *shown)
{
    uint8_t tree = 0;
    enum way way = WAY_NONE;
    *shown = (struct shown){.tree = dir->tree, .moves = node_moves(mount->nodes)};
    if (strlen(name) > NAME_MAX)
        return -ENAMETOOLONG;
    if (node_is(dir, NODE_ORPHAN))
        return -ENOENT;
    if (node_is(dir, NODE_WAY)) {
        route_enter(mount);
        shown->crossing = true;
        way = route_look(mount, dir, name, &tree);
    }
    if (way == WAY_ROUTE)
        return find_root_of(mount, tree, shown);
    int err = find_in_tree(mount, dir, name, sealed, &shown->entry);
    if (err || way == WAY_NONE)
        return err;
    shown->flags = NODE_WAY;
    if (!shown->entry.present)
        become_stub(mount, dir, name, shown);
    return 0;
}

int shown_find(struct mount *mount, const struct node_view *dir, const char *name,
               struct shown *shown)
{
    return find(mount, dir, name, false, shown);
}

int shown_find_sealed(struct mount *mount, const struct node_view *dir, const char *name,
                      struct shown *shown)
{
    return find(mount, dir, name, true, shown);
}

void shown_finish(struct mount *mount, struct shown *shown)
{
    entry_finish(&shown->entry);
    if (shown->crossing)
        route_leave(mount);
    shown->crossing = false;
}

/* The root of a plain tree is reached by its descriptor alone, which stays as long as its node. */
static int pin_root(struct mount *mount, const struct node_view *view)
{
    const uint64_t key = fdkey(FDKIND_UPPER_DIR, view->index);
    struct fdref *ref = fdcache_get(mount->fds, key);
    if (!ref) {
        int fd = fd_dup(mount_stack(mount, view)->layers[0].root);
        if (fd < 0)
            return fd;
        ref = fdcache_pin(mount->fds, key, fd, false);
    }
    fdref_release(mount->fds, ref);
    return ref ? 0 : -ENOMEM;
}

/* Of a host's file the name that was found just now is sure to be there; another that it had may
 * have been taken away. */
static int prefer_name(struct mount *mount, uint32_t parent, const char *name,
                       struct node_view *view)
{
    if (S_ISDIR(view->type) || !mount_is_plain(mount, view) ||
        (view->parent == parent && strcmp(view->name, name) == 0) ||
        !node_prefer_name(mount->nodes, parent, name))
        return 0;
    const uint64_t id = view->id;
    node_view_finish(view);
    return node_view(mount->nodes, id, view);
}

/* The node of what was found, with one more lookup, and its view. Takes what the entry owns.
 * -EAGAIN: names have moved since, and what was found may be gone. */
static int intern(struct mount *mount, const struct node_view *dir, const char *name,
                  struct shown *shown, struct node_view *view)
{
    char key[ROUTE_KEY_MAX];
    uint64_t id;
    if (shown->flags & NODE_ROUTE)
        name = route_key(key, shown->tree);
    /* Not between what a rename does on the disk and what it does to the nodes. */
    names_read(mount);
    int err = node_intern_since(mount->nodes, shown->moves, dir->index, name, shown->tree,
                                &shown->entry, &id);
    names_end(mount);
    if (err)
        return err;
    if (shown->flags)
        node_set_flags(mount->nodes, (uint32_t)id, shown->flags, 0);
    err = node_view(mount->nodes, id, view);
    if (!err && (shown->flags & NODE_ROUTE) && mount_is_plain(mount, view))
        err = pin_root(mount, view);
    if (!err)
        err = prefer_name(mount, dir->index, name, view);
    if (err)
        node_forget(mount->nodes, id, 1);
    return err;
}

/* Whether names have moved since it was looked for: what was found, or not found, may be half of
 * one object and half of another. */
static bool has_moved(struct mount *mount, const struct shown *shown)
{
    names_read(mount);
    const bool moved = node_moves(mount->nodes) != shown->moves;
    names_end(mount);
    return moved;
}

int shown_look_up_found(struct mount *mount, const struct node_view *dir, const char *name,
                        struct shown *shown, struct node_view *view, struct stat *st)
{
    *st = shown->entry.st;
    int err = intern(mount, dir, name, shown, view);
    shown_finish(mount, shown);
    if (err)
        return err;
    find_fix_attr(view, st);
    find_keep(mount, view, st);
    return 1;
}

static int look_up_once(struct mount *mount, const struct node_view *dir, const char *name,
                        bool sealed, struct node_view *view, struct stat *st)
{
    struct shown shown;
    if (!sealed) {
        if (find_again(mount, dir, name, view, st) == 0)
            return 1;
        node_view_finish(view);
    }
    int err = find(mount, dir, name, sealed, &shown);
    if (!err && shown.entry.present)
        return shown_look_up_found(mount, dir, name, &shown, view, st);
    if (has_moved(mount, &shown))
        err = -EAGAIN;
    shown_finish(mount, &shown);
    return err;
}

int shown_look_up(struct mount *mount, const struct node_view *dir, const char *name,
                  struct node_view *view, struct stat *st)
{
    int found = -EAGAIN;
    for (int tries = 0; found == -EAGAIN && tries < TRIES; tries++)
        found = look_up_once(mount, dir, name, false, view, st);
    return found;
}

int shown_look_up_sealed(struct mount *mount, const struct node_view *dir, const char *name,
                         struct node_view *view, struct stat *st)
{
    int found = look_up_once(mount, dir, name, true, view, st);
    return found == -EAGAIN ? shown_look_up(mount, dir, name, view, st) : found;
}
