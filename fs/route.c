/* SPDX-License-Identifier: MIT
 *
 * Duty: the table of routes, a tree of names as deep as the paths that are routed. Invariants:
 * - a waypoint without a tree has children; the root waypoint is always there;
 * - trees[t]->way is the waypoint whose tree is t, or NULL;
 * - a directory whose node is not marked NODE_WAY leads to no route, so nothing is asked for it.
 * Cost: a lookup in a marked directory climbs to the root of the mount, one node for each level.
 */
#include "route.h"

#include "fd.h"
#include "find.h"
#include "rootpath.h"
#include "tree.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

struct waypoint {
    char *name;
    struct waypoint *parent, *children, *next;
    uint8_t tree;      /* 0: only on the way */
    char *destination; /* of a route: as it was asked for */
};

struct routes {
    pthread_rwlock_t lock;
    struct waypoint top;
    atomic_uint lingering;
    char *left[TREES_MAX]; /* of a lingering tree: where it was */
};

struct routes *routes_create(void)
{
    struct routes *routes = calloc(1, sizeof(*routes));
    if (!routes)
        return NULL;
    pthread_rwlockattr_t attr;
    pthread_rwlockattr_init(&attr);
    /* Whoever changes a route must not wait for ever behind lookups. */
    pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&routes->lock, &attr);
    pthread_rwlockattr_destroy(&attr);
    return routes;
}

static void waypoint_free(struct waypoint *point)
{
    while (point) {
        struct waypoint *next = point->next;
        waypoint_free(point->children);
        free(point->name);
        free(point->destination);
        free(point);
        point = next;
    }
}

void routes_destroy(struct routes *routes)
{
    if (!routes)
        return;
    waypoint_free(routes->top.children);
    for (unsigned i = 0; i < TREES_MAX; i++)
        free(routes->left[i]);
    pthread_rwlock_destroy(&routes->lock);
    free(routes);
}

void route_enter(struct mount *mount)
{
    pthread_rwlock_rdlock(&mount->routes->lock);
}

void route_leave(struct mount *mount)
{
    pthread_rwlock_unlock(&mount->routes->lock);
}

/* ---- waypoints ---- */

static struct waypoint *child_of(struct waypoint *point, const char *name)
{
    struct waypoint *child = point->children;
    while (child && strcmp(child->name, name) != 0)
        child = child->next;
    return child;
}

static struct waypoint *make_child(struct waypoint *point, const char *name)
{
    struct waypoint *child = child_of(point, name);
    if (child)
        return child;
    child = calloc(1, sizeof(*child));
    if (!child || !(child->name = strdup(name))) {
        free(child);
        return NULL;
    }
    child->parent = point;
    child->next = point->children;
    point->children = child;
    return child;
}

/* Takes away waypoints that lead nowhere any more. */
static void prune(struct waypoint *point)
{
    while (point->parent && !point->children && !point->tree) {
        struct waypoint *parent = point->parent, **at = &parent->children;
        while (*at != point)
            at = &(*at)->next;
        *at = point->next;
        point->next = NULL;
        waypoint_free(point);
        point = parent;
    }
}

/* The waypoint that a directory's node stands at, or NULL. */
static struct waypoint *point_of(struct mount *mount, const struct node_view *dir)
{
    if (dir->index == NODE_ROOT)
        return &mount->routes->top;
    if (!node_is(dir, NODE_WAY))
        return NULL;
    if (node_is(dir, NODE_ROUTE))
        return mount_tree(mount, dir)->way;
    cleanup_view struct node_view parent = {0};
    if (node_view_index(mount->nodes, dir->parent, &parent) != 0)
        return NULL;
    struct waypoint *above = point_of(mount, &parent);
    return above ? child_of(above, dir->name) : NULL;
}

enum way route_look(struct mount *mount, const struct node_view *dir, const char *name,
                    uint8_t *tree)
{
    struct waypoint *above = point_of(mount, dir);
    struct waypoint *point = above ? child_of(above, name) : NULL;
    *tree = point ? point->tree : 0;
    return !point ? WAY_NONE : point->tree ? WAY_ROUTE : WAY_ON;
}

bool route_holds(struct mount *mount, uint8_t tree)
{
    const struct waypoint *way = mount->trees[tree]->way;
    return way && way->children;
}

int route_destination(struct mount *mount, uint8_t tree, char **destination)
{
    route_enter(mount);
    const struct tree *routed = mount->trees[tree];
    const struct waypoint *way = routed ? routed->way : NULL;
    int err = way && way->destination ? own_copy(destination, way->destination) : -ENODATA;
    route_leave(mount);
    return err;
}

static bool shows_directory(const struct mount *mount, const struct waypoint *point)
{
    struct stat st;
    const struct tree *tree = point->tree ? mount->trees[point->tree] : NULL;
    return !tree || !tree->stack.plain ||
           (fstat(tree->stack.layers[0].root, &st) == 0 && S_ISDIR(st.st_mode));
}

int route_each_name(struct mount *mount, const struct node_view *dir,
                    int (*each)(void *context, const char *name, bool is_dir), void *context)
{
    const struct waypoint *above = point_of(mount, dir);
    int err = 0;
    for (const struct waypoint *at = above ? above->children : NULL; at && !err; at = at->next)
        err = each(context, at->name, shows_directory(mount, at));
    return err;
}

bool route_pins(struct mount *mount, const struct node_view *dir, const char *name)
{
    uint8_t tree;
    if (!node_is(dir, NODE_WAY))
        return false;
    route_enter(mount);
    bool pins = route_look(mount, dir, name, &tree) != WAY_NONE;
    route_leave(mount);
    return pins;
}

/* ---- changing the table ---- */

/* What is at `rest` of a routed tree now: its type, 0 for nothing, or -errno. */
static int type_beneath(const struct tree *tree, const char *rest)
{
    struct stat st;
    if (!tree->stack.plain) {
        cleanup_rootpath struct rootpath found = ROOTPATH_NONE;
        int err = rootpath_find(&tree->stack, rest, true, &found);
        return err ? err : found.entry.present ? (int)(found.entry.st.st_mode & S_IFMT) : 0;
    }
    cleanup_fd int fd = fd_open_beneath(tree->stack.layers[0].root, rest, O_PATH);
    if (fd < 0)
        return fd == -ENOENT ? 0 : fd;
    return fstat(fd, &st) < 0 ? -errno : (int)(st.st_mode & S_IFMT);
}

/* The deepest route that `path` lies beneath, and what of the path is behind it; NULL for none. */
static const struct waypoint *route_above(struct mount *mount, const char *path, const char **rest)
{
    const struct waypoint *deepest = NULL;
    struct waypoint *at = &mount->routes->top;
    char name[NAME_MAX + 1];
    for (const char *part = path; at && *part;) {
        size_t length = strcspn(part, "/");
        snprintf(name, sizeof(name), "%.*s", (int)length, part);
        part += length + (part[length] == '/');
        at = child_of(at, name);
        if (at && at->tree && *part) {
            deepest = at;
            *rest = part;
        }
    }
    return deepest;
}

/* Where the destination is once its symlinks are resolved. A path that is said as beneath another
 * route's is beneath that, whatever it hides. */
static int resolve_path(struct mount *mount, const char *destination, char **path, int *type)
{
    const char *rest;
    if (route_above(mount, destination + 1, &rest)) {
        *path = strdup(destination + 1);
        return *path ? 0 : -ENOMEM;
    }
    cleanup_rootpath struct rootpath found = ROOTPATH_NONE;
    int err = rootpath_find(&mount->trees[0]->stack, destination, true, &found);
    if (!err) {
        *type = found.entry.present ? (int)(found.entry.st.st_mode & S_IFMT) : 0;
        *path = steal_ptr(&found.path);
    }
    return err;
}

/* Finds the place of a route, and refuses one where what is there now and what is to be shown do
 * not go together. */
static int resolve_destination(struct mount *mount, const struct route_wish *wish, bool is_dir,
                               char **path, struct route_fault *fault)
{
    int type = 0;
    const char *rest;
    int err = resolve_path(mount, wish->destination, path, &type);
    const struct waypoint *above = err ? NULL : route_above(mount, *path, &rest);
    if (above) {
        type = type_beneath(mount->trees[above->tree], rest);
        err = type < 0 ? type : 0;
    }
    if (err)
        return route_wish_refuse(wish, err, strerror(-err), fault);
    if (!**path)
        return route_wish_refuse(wish, -EINVAL, "that is the root of the mount", fault);
    if (type && is_dir && !S_ISDIR(type))
        return route_wish_refuse(wish, -ENOTDIR,
                                 "cannot mount volume over existing file, file exists", fault);
    if (type && !is_dir && S_ISDIR(type))
        return route_wish_refuse(wish, -EISDIR, "a file cannot be shown over a directory", fault);
    return 0;
}

static uint8_t free_slot(const struct mount *mount)
{
    unsigned slot = 1;
    while (slot < TREES_MAX && mount->trees[slot])
        slot++;
    return slot < TREES_MAX ? (uint8_t)slot : 0;
}

/* The node of the directory `dir` that a waypoint stands for, if the kernel knows it. */
static uint32_t node_at(struct mount *mount, uint32_t dir, const struct waypoint *point)
{
    char key[ROUTE_KEY_MAX];
    return point->tree ? node_find(mount->nodes, dir, route_key(key, point->tree))
                       : node_find(mount->nodes, dir, point->name);
}

/* Marks the nodes on the way to `point` and gives the last one that the kernel knows, with the name
 * in it that it has to ask for again. */
static uint32_t mark_way(struct mount *mount, const struct waypoint *point, const char **name)
{
    uint32_t dir = NODE_ROOT;
    if (point->parent->parent) {
        dir = mark_way(mount, point->parent, name);
        /* Above it was cut already: a name further up is unknown to the kernel. */
        if (*name != point->parent->name)
            return dir;
        uint32_t next = node_at(mount, dir, point->parent);
        if (next == NODE_NONE)
            return dir;
        dir = next;
    }
    node_set_flags(mount->nodes, dir, NODE_WAY, 0);
    *name = point->name;
    return dir;
}

static bool leads_nowhere_without(const struct waypoint *point, const struct waypoint *child)
{
    return point->parent && !point->tree && point->children == child && !child->next;
}

static bool is_stub(struct mount *mount, uint32_t index)
{
    cleanup_view struct node_view view = {0};
    return node_view_index(mount->nodes, index, &view) == 0 && node_is(&view, NODE_STUB);
}

/* What the kernel has to ask for again when `way` goes: its name, or the topmost of the stubs that
 * were shown for its sake alone. */
static uint32_t mark_end(struct mount *mount, const struct waypoint *way, const char **name)
{
    uint32_t dir = mark_way(mount, way, name);
    for (const struct waypoint *at = way; leads_nowhere_without(at->parent, at); at = at->parent) {
        const char *above = NULL;
        uint32_t holder = mark_way(mount, at->parent, &above);
        if (above != at->parent->name || !is_stub(mount, node_at(mount, holder, at->parent)))
            continue;
        dir = holder;
        *name = above;
    }
    return dir;
}

/* The kernel is told outside the lock: it may have to wait for a lookup that wants it. Of a name
 * that it does not know it forgets nothing, not even a listing without that name. */
static void tell_kernel(struct mount *mount, uint32_t dir, const char *name)
{
    cleanup_view struct node_view view = {0};
    if (!mount->name_changed || node_view_index(mount->nodes, dir, &view) != 0)
        return;
    mount->name_changed(mount->session, view.id, name);
    mount->listing_changed(mount->session, view.id);
}

static struct waypoint *make_way(struct mount *mount, const char *path)
{
    struct waypoint *point = &mount->routes->top;
    cleanup_free char *copy = strdup(path);
    char *rest = copy, *part;
    while (copy && point && (part = strsep(&rest, "/")) != NULL) {
        struct waypoint *next = *part ? make_child(point, part) : point;
        if (!next)
            prune(point);
        point = next;
    }
    return copy ? point : NULL;
}

/* Puts an open tree into the table; it is the table's then. */
static int enlist(struct mount *mount, const char *path, const char *destination, uint8_t slot,
                  struct tree *tree, struct waypoint **way)
{
    struct waypoint *point = make_way(mount, path);
    char *copy = strdup(destination);
    int err = !point || !copy ? -ENOMEM : point->tree ? -EEXIST : 0;
    if (err) {
        if (point)
            prune(point);
        free(copy);
        return err;
    }
    point->tree = slot;
    point->destination = copy;
    tree->way = point;
    mount->trees[slot] = tree;
    *way = point;
    return 0;
}

static void reap_locked(struct mount *mount)
{
    struct routes *routes = mount->routes;
    for (unsigned i = 1; i < TREES_MAX; i++) {
        struct tree *tree = mount->trees[i];
        if (!tree || tree->way || node_tree_count(mount->nodes, (uint8_t)i) > 0)
            continue;
        mount->trees[i] = NULL;
        tree_destroy(tree);
        free(steal_ptr(&routes->left[i]));
        atomic_fetch_sub(&routes->lingering, 1);
    }
}

void route_reap(struct mount *mount)
{
    if (atomic_load_explicit(&mount->routes->lingering, memory_order_relaxed) == 0)
        return;
    pthread_rwlock_wrlock(&mount->routes->lock);
    reap_locked(mount);
    pthread_rwlock_unlock(&mount->routes->lock);
}

static uint8_t take_slot(struct mount *mount)
{
    pthread_rwlock_wrlock(&mount->routes->lock);
    reap_locked(mount);
    uint8_t slot = free_slot(mount);
    pthread_rwlock_unlock(&mount->routes->lock);
    return slot;
}

/* Puts an open tree where it is to be seen, and tells the kernel. It is the table's then. */
static int publish(struct mount *mount, const char *path, const struct route_wish *wish,
                   uint8_t slot, struct tree *tree, struct route_fault *fault)
{
    char name[NAME_MAX + 1];
    uint32_t dir = NODE_NONE;
    const char *changed = NULL;
    struct waypoint *way;
    pthread_rwlock_wrlock(&mount->routes->lock);
    int err = enlist(mount, path, wish->destination, slot, tree, &way);
    if (!err) {
        dir = mark_way(mount, way, &changed);
        snprintf(name, sizeof(name), "%s", changed);
    }
    pthread_rwlock_unlock(&mount->routes->lock);
    if (err)
        return route_wish_refuse(
            wish, err, err == -EEXIST ? "another volume is there" : strerror(-err), fault);
    tell_kernel(mount, dir, name);
    return 0;
}

/* What takes time is done before the lock is taken. */
int route_add(struct mount *mount, const struct route_wish *wish, struct route_fault *fault)
{
    cleanup_free char *path = NULL;
    cleanup_entry struct entry root = {0};
    struct tree *tree = NULL;
    fault->words[0] = 0;
    uint8_t slot = take_slot(mount);
    if (!slot)
        return route_wish_refuse(wish, -EMFILE, "there are too many routes already", fault);
    int err = tree_open(mount, wish, slot, &tree, fault);
    if (err)
        return err;
    err = tree_root(tree, &root);
    if (err)
        (void)route_wish_refuse(wish, err, strerror(-err), fault);
    else
        err = resolve_destination(mount, wish, S_ISDIR(root.st.st_mode), &path, fault);
    if (!err)
        err = publish(mount, path, wish, slot, tree, fault);
    if (err)
        tree_destroy(tree);
    return err;
}

/* The waypoint of the route that was asked for as `destination`. */
static struct waypoint *find_route(struct mount *mount, const char *destination)
{
    for (unsigned i = 1; i < TREES_MAX; i++) {
        struct tree *tree = mount->trees[i];
        if (tree && tree->way && strcmp(tree->way->destination, destination) == 0)
            return tree->way;
    }
    return NULL;
}

/* Whether files are open in a tree. */
static int check_unused(struct mount *mount, const struct waypoint *way, struct route_fault *fault)
{
    char name[NAME_MAX + 1];
    uint32_t open = node_tree_opens(mount->nodes, way->tree, name);
    if (open == 0)
        return 0;
    snprintf(fault->words, sizeof(fault->words), "%u %s open there, %s among them", open,
             open == 1 ? "file is" : "files are", name);
    return -EBUSY;
}

static int remove_locked(struct mount *mount, const char *destination, bool lazy, uint32_t *dir,
                         char name[NAME_MAX + 1], struct route_fault *fault)
{
    struct routes *routes = mount->routes;
    const char *changed = NULL;
    struct waypoint *way = find_route(mount, destination);
    if (!way) {
        snprintf(fault->words, sizeof(fault->words), "nothing is mounted on %s", destination);
        return -ENOENT;
    }
    int err = lazy ? 0 : check_unused(mount, way, fault);
    if (err)
        return err;
    struct tree *tree = mount->trees[way->tree];
    *dir = mark_end(mount, way, &changed);
    snprintf(name, NAME_MAX + 1, "%s", changed);
    routes->left[way->tree] = steal_ptr(&way->destination);
    atomic_fetch_add(&routes->lingering, 1);
    tree->way = NULL;
    way->tree = 0;
    prune(way);
    return 0;
}

int route_remove(struct mount *mount, const char *destination, bool lazy, struct route_fault *fault)
{
    char name[NAME_MAX + 1];
    uint32_t dir = NODE_NONE;
    fault->words[0] = 0;
    pthread_rwlock_wrlock(&mount->routes->lock);
    int err = remove_locked(mount, destination, lazy, &dir, name, fault);
    pthread_rwlock_unlock(&mount->routes->lock);
    if (err)
        return err;
    tell_kernel(mount, dir, name);
    route_reap(mount);
    return 0;
}

bool route_lingers(struct mount *mount, const char *destination)
{
    bool lingers = false;
    route_reap(mount);
    route_enter(mount);
    for (unsigned i = 1; i < TREES_MAX && !lingers; i++)
        lingers = mount->routes->left[i] && strcmp(mount->routes->left[i], destination) == 0;
    route_leave(mount);
    return lingers;
}

/* ---- telling ---- */

static int tell_beneath(struct mount *mount, const struct waypoint *point, char *path, size_t used,
                        int (*each)(void *, const struct route_line *), void *context)
{
    char name[NAME_MAX + 1];
    int err = 0;
    for (const struct waypoint *at = point->children; at && !err; at = at->next) {
        int length = snprintf(path + used, PATH_MAX - used, "/%s", at->name);
        if (length < 0 || (size_t)length >= PATH_MAX - used)
            return -ENAMETOOLONG;
        if (at->tree) {
            const struct tree *tree = mount->trees[at->tree];
            const struct route_line line = {
                .destination = at->destination,
                .resolved = path,
                .source = tree->source,
                .tree = tree,
                .open = node_tree_opens(mount->nodes, at->tree, name),
            };
            err = each(context, &line);
        }
        if (!err)
            err = tell_beneath(mount, at, path, used + (size_t)length, each, context);
        path[used] = 0;
    }
    return err;
}

char *route_path(struct mount *mount, uint8_t tree)
{
    char text[PATH_MAX], *path = NULL;
    size_t used = sizeof(text) - 1;
    text[used] = 0;
    route_enter(mount);
    const struct waypoint *at = mount->trees[tree] ? mount->trees[tree]->way : NULL;
    for (; at && at->parent; at = at->parent) {
        size_t length = strlen(at->name);
        if (length + 1 > used)
            break;
        used -= length + 1;
        text[used] = '/';
        memcpy(text + used + 1, at->name, length);
    }
    if (at && !at->parent)
        path = strdup(text + used);
    route_leave(mount);
    return path;
}

char *route_source(struct mount *mount, uint8_t tree)
{
    route_enter(mount);
    const char *source = mount->trees[tree] ? mount->trees[tree]->source : NULL;
    char *copy = source ? strdup(source) : NULL;
    route_leave(mount);
    return copy;
}

int route_each(struct mount *mount, int (*each)(void *context, const struct route_line *line),
               void *context)
{
    char path[PATH_MAX] = "";
    route_enter(mount);
    int err = tell_beneath(mount, &mount->routes->top, path, 0, each, context);
    route_leave(mount);
    return err;
}
