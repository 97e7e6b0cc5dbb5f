/* SPDX-License-Identifier: MIT
 *
 * Duty: turn nodes into descriptors. An upper directory is opened step by step from the nearest
 * open ancestor, each step one name, so no path is ever followed. Descriptors come from the mount's
 * cache.
 */
#include "find.h"

#include "fd.h"
#include "glance.h"
#include "linkindex.h"
#include "resolve.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/* In a plain tree the host may have moved another directory to the name: only the very inode that
 * the node stands for will do. */
static int open_plain_dir(const struct node_view *view, int dir)
{
    struct stat st;
    cleanup_fd int fd = fd_open_name(dir, view->name, O_PATH | O_DIRECTORY, 0);
    if (fd < 0)
        return fd;
    if (fstat(fd, &st) < 0)
        return -errno;
    return st.st_ino == view->upper_ino ? steal_fd(&fd) : -ESTALE;
}

/* For reading, where that is allowed. */
static int open_upper_child(struct mount *mount, const struct node_view *view, int dir,
                            bool *readable)
{
    *readable = false;
    if (mount_is_plain(mount, view))
        return open_plain_dir(view, dir);
    int fd = fd_open_name(dir, view->name, O_RDONLY | O_DIRECTORY, 0);
    *readable = fd >= 0;
    return fd == -EACCES ? fd_open_name(dir, view->name, O_PATH | O_DIRECTORY, 0) : fd;
}

/* Opens an upper directory by way of its parents; `chain` are the nodes still to be opened. */
struct fdref *find_upper_dir(struct mount *mount, uint32_t index, int *err)
{
    struct fdref *ref = fdcache_get(mount->fds, fdkey(FDKIND_UPPER_DIR, index));
    *err = 0;
    if (ref)
        return ref;
    struct {
        uint32_t *at;
        size_t used, room;
    } chain = {0};
    cleanup_free uint32_t *owned = NULL;
    uint32_t at = index;
    while (!ref && !*err) {
        cleanup_view struct node_view view = {0};
        *err = node_view_index(mount->nodes, at, &view);
        if (*err)
            break;
        if (!node_is(&view, NODE_UPPER) || view.parent == NODE_NONE) {
            *err = -ENOENT;
            break;
        }
        /* It is reached by its descriptor alone; what it is kept under is no name. */
        if (node_is(&view, NODE_ROUTE)) {
            *err = -ESTALE;
            break;
        }
        if (chain.used == chain.room) {
            chain.room = chain.room ? chain.room * 2 : 16;
            uint32_t *more = realloc(owned, chain.room * sizeof(*more));
            if (!more) {
                *err = -ENOMEM;
                break;
            }
            chain.at = owned = more;
        }
        chain.at[chain.used++] = at;
        at = view.parent;
        ref = fdcache_get(mount->fds, fdkey(FDKIND_UPPER_DIR, at));
    }
    while (ref && chain.used > 0) {
        cleanup_view struct node_view view = {0};
        uint32_t next = chain.at[--chain.used];
        bool readable = false;
        int fd = node_view_index(mount->nodes, next, &view);
        if (fd == 0)
            fd = open_upper_child(mount, &view, ref->fd, &readable);
        fdref_release(mount->fds, ref);
        ref = fd < 0 ? NULL
                     : fdcache_put_dir(mount->fds, fdkey(FDKIND_UPPER_DIR, next), fd, readable);
        *err = fd < 0 ? fd : ref ? 0 : -ENOMEM;
    }
    return ref;
}

void spot_finish(struct mount *mount, struct spot *spot)
{
    fdref_release(mount->fds, spot->ref);
    spot->ref = NULL;
}

/* A file in the upper layer: by its index entry, or by a name that is linked. */
static int find_upper_file(struct mount *mount, const struct node_view *view, struct spot *spot)
{
    int err = 0;
    if (view->more && view->more->index_name) {
        spot->ref = fdcache_get(mount->fds, fdkey(FDKIND_UPPER_DIR, NODE_NONE));
        snprintf(spot->name, sizeof(spot->name), "%s", view->more->index_name);
        return spot->ref ? 0 : -EIO;
    }
    uint32_t parent = view->parent;
    if (node_is(view, NODE_LINKED))
        strcpy(spot->name, view->name);
    else if (!node_linked_name(mount->nodes, view->index, &parent, spot->name))
        return -ESTALE;
    spot->ref = find_upper_dir(mount, parent, &err);
    return spot->ref ? 0 : err;
}

int find_lower_source(struct mount *mount, const struct node_view *view, struct node_view *parent,
                      const struct source **source)
{
    int err = node_view_index(mount->nodes, view->parent, parent);
    for (unsigned i = 0; !err && parent->sources && i < parent->sources->count; i++) {
        *source = &parent->sources->at[i];
        if ((*source)->layer == view->layer)
            return 0;
    }
    return err ? err : -ESTALE;
}

static int find_lower_file(struct mount *mount, const struct node_view *view, struct spot *spot)
{
    cleanup_view struct node_view parent = {0};
    const struct source *source;
    int err = find_lower_source(mount, view, &parent, &source);
    if (err)
        return err;
    strcpy(spot->name, view->name);
    spot->ref = stack_lower_dir(mount_stack(mount, view), source->layer, source->path, &err);
    return spot->ref ? 0 : err;
}

/* A file or directory of a plain tree that the host has moved away is reached only by a descriptor
 * that was opened before. One that is open is reached by it in any case: that is the file itself,
 * whatever has its name by now. */
static struct fdref *find_held(struct mount *mount, const struct node_view *view)
{
    if (node_is(view, NODE_ROUTE) || S_ISDIR(view->type))
        return fdcache_get(mount->fds, fdkey(FDKIND_UPPER_DIR, view->index));
    return S_ISREG(view->type) ? fdcache_get(mount->fds, fdkey(FDKIND_DATA, view->index)) : NULL;
}

static int find_spot_of(struct mount *mount, const struct node_view *view, struct spot *spot)
{
    int err = 0;
    spot->ref = NULL;
    spot->name[0] = 0;
    spot->layer = node_layer(view);
    if (node_is(view, NODE_STUB))
        return -ENODATA;
    if (mount_is_plain(mount, view) && (spot->ref = find_held(mount, view)) != NULL)
        return 0;
    if (node_is(view, NODE_ORPHAN)) {
        spot->ref = fdcache_get(mount->fds, fdkey(FDKIND_ORPHAN, view->index));
        return spot->ref ? 0 : -ESTALE;
    }
    if (!S_ISDIR(view->type))
        return node_is(view, NODE_UPPER) ? find_upper_file(mount, view, spot)
                                         : find_lower_file(mount, view, spot);
    if (node_is(view, NODE_UPPER))
        spot->ref = find_upper_dir(mount, view->index, &err);
    else if (view->sources)
        spot->ref = stack_lower_dir(mount_stack(mount, view), view->sources->at[0].layer,
                                    view->sources->at[0].path, &err);
    else
        err = -ESTALE;
    return spot->ref ? 0 : err;
}

/* By its old name something else might be found. */
int find_spot(struct mount *mount, const struct node_view *view, struct spot *spot)
{
    if (view->moves == node_moves(mount->nodes))
        return find_spot_of(mount, view, spot);
    cleanup_view struct node_view now = {0};
    spot->ref = NULL;
    int err = node_view(mount->nodes, view->id, &now);
    return err ? err : find_spot_of(mount, &now, spot);
}

/* What is open for writing is the upper file itself, whatever its name. */
int find_spot_to_ask(struct mount *mount, const struct node_view *view, struct spot *spot)
{
    if (!S_ISREG(view->type) || !node_is(view, NODE_UPPER) || node_is(view, NODE_ORPHAN) ||
        mount_is_plain(mount, view))
        return find_spot(mount, view, spot);
    struct fdref *ref = fdcache_get(mount->fds, fdkey(FDKIND_DATA, view->index));
    if (!ref || !ref->writable) {
        fdref_release(mount->fds, ref);
        return find_spot(mount, view, spot);
    }
    spot->ref = ref;
    spot->layer = 0;
    spot->name[0] = 0;
    return 0;
}

/* Where the data of a metacopy file lies. */
static int find_data_below(struct mount *mount, const struct node_view *view, struct spot *spot)
{
    int err = 0;
    spot->ref = NULL;
    if (!view->more || !view->more->data_path)
        return -EIO;
    const char *path = view->more->data_path;
    const char *slash = strrchr(path, '/');
    cleanup_free char *parent = strndup(path, slash ? (size_t)(slash - path) : 0);
    if (!parent)
        return -ENOMEM;
    snprintf(spot->name, sizeof(spot->name), "%s", slash ? slash + 1 : path);
    spot->ref = stack_lower_dir(mount_stack(mount, view), view->more->data_layer, parent, &err);
    return spot->ref ? 0 : err;
}

static int open_lower(const struct spot *spot)
{
    int fd = fd_open_name(spot->ref->fd, spot->name, O_RDONLY | O_NOATIME, 0);
    return fd == -EPERM ? fd_open_name(spot->ref->fd, spot->name, O_RDONLY, 0) : fd;
}

int find_metacopy_data(struct mount *mount, const struct node_view *view)
{
    struct spot spot;
    int err = find_data_below(mount, view, &spot);
    int fd = err ? err : open_lower(&spot);
    spot_finish(mount, &spot);
    return fd;
}

/* Opens an upper file of our own even where its mode forbids it to us: an ordinary user owns files
 * of mode 0444 that the kernel, which remembers an earlier open, still sends writes for. */
static int open_despite_mode(int dir, const char *name, int flags)
{
    struct stat st;
    int fd = fd_open_name(dir, name, flags, 0);
    if (fd != -EACCES || fd_stat(dir, name, &st) != 0 || st.st_uid != geteuid())
        return fd;
    if (fd_chmod(dir, name, (st.st_mode & 07777) | S_IRUSR | S_IWUSR) != 0)
        return fd;
    fd = fd_open_name(dir, name, flags, 0);
    int err = fd_chmod(dir, name, st.st_mode & 07777);
    return err && fd < 0 ? err : fd;
}

/* What the host made append-only is opened for writing in no other way; `fd` is what came of the
 * first attempt. Whoever writes is asked whether he adds (op_file.c). */
static bool may_only_append(int fd, int flags)
{
    return fd == -EPERM && (flags & O_ACCMODE) != O_RDONLY;
}

static int reopen_plain(int from, int flags)
{
    const int fd = fd_reopen(from, flags);
    return may_only_append(fd, flags) ? fd_reopen(from, flags | O_APPEND) : fd;
}

/* What a plain tree has by the name now is opened only if it is what the node stands for. The mode
 * of a host's file is not for us to change. */
static int open_plain(const struct node_view *view, const struct spot *spot, int flags)
{
    struct stat st;
    flags |= O_NONBLOCK;
    cleanup_fd int fd = fd_open_name(spot->ref->fd, spot->name, flags, 0);
    if (may_only_append(fd, flags))
        fd = fd_open_name(spot->ref->fd, spot->name, flags | O_APPEND, 0);
    if (fd < 0)
        return fd;
    if (fstat(fd, &st) < 0)
        return -errno;
    return st.st_ino == view->upper_ino ? steal_fd(&fd) : -ESTALE;
}

int find_open(struct mount *mount, const struct node_view *view, const struct spot *spot,
              bool write)
{
    const int flags = write ? O_RDWR : O_RDONLY;
    if (mount_is_plain(mount, view))
        return *spot->name ? open_plain(view, spot, flags) : reopen_plain(spot->ref->fd, flags);
    if (!*spot->name)
        return fd_reopen(spot->ref->fd, flags);
    if (node_is(view, NODE_UPPER))
        return open_despite_mode(spot->ref->fd, spot->name, flags);
    return open_lower(spot);
}

static int open_data(struct mount *mount, const struct node_view *view, bool write)
{
    struct spot spot;
    if (!write && node_is(view, NODE_METACOPY))
        return find_metacopy_data(mount, view);
    names_read(mount);
    int fd = find_spot(mount, view, &spot);
    if (fd == 0)
        fd = find_open(mount, view, &spot, write);
    names_end(mount);
    spot_finish(mount, &spot);
    return fd;
}

/* Whether the backing file that `view` speaks of is still the node's. */
static bool still_backed_by(struct mount *mount, const struct node_view *view)
{
    cleanup_view struct node_view now = {0};
    unsigned same = NODE_UPPER | NODE_METACOPY;
    return node_view(mount->nodes, view->id, &now) == 0 &&
           (now.flags & same) == (view->flags & same);
}

int find_once_more(const struct fdref *ref, bool write)
{
    if (write && !ref->writable)
        return fd_reopen(ref->fd, O_RDWR);
    return fd_dup(ref->fd);
}

int find_open_own(struct mount *mount, const struct node_view *view, bool write)
{
    struct spot spot;
    names_read(mount);
    int fd = find_spot(mount, view, &spot);
    if (fd == 0)
        fd = *spot.name ? find_open(mount, view, &spot, write) : find_once_more(spot.ref, write);
    names_end(mount);
    spot_finish(mount, &spot);
    return fd;
}

int find_hold(struct mount *mount, const struct node_view *view, bool write)
{
    const uint64_t key = fdkey(FDKIND_DATA, view->index);
    struct fdref *ref = fdcache_get(mount->fds, key);
    /* One that only appends is asked for anew: the host may have lifted that. */
    bool widens = ref && write && (!ref->writable || fd_only_appends(ref->fd));
    bool held = ref && ref->pinned && !widens;
    int fd = held ? 0 : fdcache_can_pin(mount->fds);
    if (!held && fd == 0)
        fd = widens ? reopen_plain(ref->fd, O_RDWR)
             : ref  ? fd_dup(ref->fd)
                    : open_data(mount, view, write);
    fdref_release(mount->fds, ref);
    if (held || fd < 0)
        return held ? 0 : fd;
    ref = fdcache_pin(mount->fds, key, fd, write);
    fdref_release(mount->fds, ref);
    return ref ? 0 : -ENOMEM;
}

struct fdref *find_data(struct mount *mount, const struct node_view *view, bool write, int *err)
{
    *err = 0;
    if (write && (!node_is(view, NODE_UPPER) || node_is(view, NODE_METACOPY))) {
        *err = -EROFS;
        return NULL;
    }
    if (write && mount_tree(mount, view)->read_only) {
        *err = -EROFS;
        return NULL;
    }
    if (node_is(view, NODE_ORPHAN) && !node_is(view, NODE_METACOPY)) {
        struct fdref *ref = fdcache_get(mount->fds, fdkey(FDKIND_ORPHAN, view->index));
        if (ref && (ref->writable || !write))
            return ref;
        fdref_release(mount->fds, ref);
    }
    uint64_t key = fdkey(FDKIND_DATA, view->index);
    struct fdref *ref = fdcache_get(mount->fds, key);
    if (ref && (ref->writable || !write))
        return ref;
    fdref_release(mount->fds, ref);
    int fd = open_data(mount, view, write);
    if (fd < 0) {
        *err = fd;
        return NULL;
    }
    /* Of an open file of a plain tree the descriptor is all that can be relied on. */
    bool held = mount_is_plain(mount, view) && node_opens(mount->nodes, view->index).count > 0;
    ref = held ? fdcache_pin(mount->fds, key, fd, write) : fdcache_put(mount->fds, key, fd, write);
    if (!ref) {
        *err = -ENOMEM;
        return NULL;
    }
    if (!node_is(view, NODE_UPPER) && !mount_is_plain(mount, view))
        fdref_may_linger(ref);
    if (mount_is_plain(mount, view))
        fdref_is_lent(ref);
    /* A copy-up may have come between: what was opened serves this request, but no later one. */
    if (!still_backed_by(mount, view))
        fdcache_drop(mount->fds, key);
    return ref;
}

void find_fix_attr(const struct node_view *view, struct stat *st)
{
    st->st_ino = view->ino;
    bool upper = node_is(view, NODE_UPPER);
    if (node_is(view, NODE_ORPHAN)) {
        if (!upper || S_ISDIR(view->type))
            st->st_nlink = 0;
    } else if (S_ISDIR(view->type) && view->sources && (upper || view->sources->count > 1)) {
        /* As the kernel's overlayfs: counting would cost a merge, and 1 tells find(1) not to. */
        st->st_nlink = 1;
    }
}

/* What only some nodes need: the count of an indexed inode, the blocks of a metacopy file. */
static void fix_rare_attr(struct mount *mount, const struct node_view *view,
                          const struct spot *spot, struct stat *st)
{
    struct spot below;
    struct stat data;
    if (!view->more)
        return;
    if (node_is(view, NODE_UPPER) && view->more->index_name) {
        /* The index entry is a link that is not shown. */
        nlink_t fallback = st->st_nlink > 0 ? st->st_nlink - 1 : 0;
        st->st_nlink = linkindex_shown(mount_stack(mount, view), spot->ref->fd, spot->name,
                                       st->st_nlink, 0, fallback);
    }
    if (!node_is(view, NODE_METACOPY))
        return;
    if (find_data_below(mount, view, &below) == 0 && fd_stat(below.ref->fd, below.name, &data) == 0)
        st->st_blocks = data.st_blocks;
    spot_finish(mount, &below);
}

int find_spot_attr(struct mount *mount, const struct node_view *view, const struct spot *spot,
                   struct stat *st)
{
    int err = stack_stat(mount_stack(mount, view), node_layer(view), spot->ref->fd, spot->name, st);
    if (err)
        return err;
    fix_rare_attr(mount, view, spot, st);
    find_fix_attr(view, st);
    return 0;
}

int find_attr(struct mount *mount, const struct node_view *view, struct stat *st)
{
    struct spot spot;
    if (node_is(view, NODE_STUB)) {
        *st = mount_stub_stat(mount, view->ino);
        return 0;
    }
    names_read(mount);
    int err = find_spot_to_ask(mount, view, &spot);
    if (!err)
        err = find_spot_attr(mount, view, &spot, st);
    names_end(mount);
    spot_finish(mount, &spot);
    return err;
}

bool find_birth(struct mount *mount, const struct node_view *view, struct statx_timestamp *birth)
{
    struct spot spot;
    struct statx real = {0};
    names_read(mount);
    int err = find_spot(mount, view, &spot);
    if (!err)
        err =
            statx(spot.ref->fd, spot.name, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH, STATX_BTIME, &real);
    names_end(mount);
    spot_finish(mount, &spot);
    *birth = real.stx_btime;
    return !err && (real.stx_mask & STATX_BTIME);
}

bool find_is_sealed(const struct mount *mount, const struct node_view *view)
{
    const unsigned open = NODE_UPPER | NODE_ORPHAN | NODE_STUB | NODE_WAY | NODE_ROUTE;
    return !node_is(view, open) && !mount_is_plain(mount, view);
}

void find_keep(struct mount *mount, const struct node_view *view, const struct stat *st)
{
    if (find_is_sealed(mount, view))
        glance_keep(mount->glances, view->id, st);
}

bool find_kept(struct mount *mount, const struct node_view *view, struct stat *st)
{
    return find_is_sealed(mount, view) &&
           glance_get(mount->glances, view->id, mount->rules.timeout, st);
}

/* Whether a node says all that a lookup of its name would find out. A route leads elsewhere, and a
 * plain tree is the host's to change; the count of an indexed file is not that of its name. */
static bool node_says_all(struct mount *mount, const struct node_view *dir,
                          const struct node_view *view)
{
    const unsigned elsewhere = NODE_WAY | NODE_ROUTE | NODE_STUB;
    return node_is(view, NODE_UPPER) && !node_is(view, elsewhere) && view->tree == dir->tree &&
           !(view->more && view->more->index_name) && !mount_is_plain(mount, view);
}

int find_again(struct mount *mount, const struct node_view *dir, const char *name,
               struct node_view *view, struct stat *st)
{
    struct spot spot = {0};
    int err = node_view_linked(mount->nodes, dir->index, name, view);
    if (!err && !node_says_all(mount, dir, view))
        err = -ENOENT;
    if (err)
        return err;
    names_read(mount);
    spot.ref = find_upper_dir(mount, dir->index, &err);
    if (spot.ref)
        err = stack_stat(mount_stack(mount, view), 0, spot.ref->fd, name, st);
    /* Another object by now: another mount of the same files, or the host. */
    if (!err && (st->st_ino != view->upper_ino || (st->st_mode & S_IFMT) != view->type))
        err = -ENOENT;
    if (!err)
        fix_rare_attr(mount, view, &spot, st);
    names_end(mount);
    spot_finish(mount, &spot);
    if (err || !node_look_again(mount->nodes, dir->index, name, view->id))
        return -ENOENT;
    find_fix_attr(view, st);
    return 0;
}
