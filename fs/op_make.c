/* SPDX-License-Identifier: MIT
 *
 * Duty: making new names: mknod, mkdir, symlink, link, create, tmpfile. The object is made under
 * the caller's identity; then the name is looked up like any other.
 */
#include "ops.h"

#include "caller.h"
#include "edit.h"
#include "fd.h"
#include "find.h"
#include "growth.h"
#include "held.h"
#include "ledger.h"
#include "ovlattr.h"
#include "promote.h"
#include "question.h"
#include "redirect.h"
#include "reply.h"
#include "route.h"
#include "shown.h"
#include "told.h"
#include "turns.h"
#include "whiteout.h"

#include <fcntl.h>
#include <string.h>

/* The directory that something is made in: promoted, and open. */
struct target {
    struct node_view view;
    struct fdref *upper;
    struct editdir dir;
};

static void target_finish(struct mount *mount, struct target *target)
{
    fdref_release(mount->fds, target->upper);
    node_view_finish(&target->view);
}

/* `name` is what is to be made in it; "" for something without a name. */
static int target_open(struct mount *mount, uint64_t parent, const char *name, const char *cause,
                       struct target *target)
{
    target->upper = NULL;
    int err = node_view(mount->nodes, parent, &target->view);
    if (!err && node_is(&target->view, NODE_ORPHAN))
        err = -ENOENT;
    if (!err && route_pins(mount, &target->view, name))
        err = -EEXIST;
    if (!err)
        err = held_from_names(&target->view);
    if (!err)
        err = promote_dir_seen(mount, &target->view, cause);
    if (err)
        return err;
    names_read(mount);
    target->upper = find_upper_dir(mount, target->view.index, &err);
    names_end(mount);
    if (!target->upper)
        return err;
    target->dir = (struct editdir){.upper = target->upper->fd, .sources = target->view.sources};
    return 0;
}

/* Whose it becomes. Where owners are recorded it is ours on disk. */
static int begin_making(fuse_req_t req, const struct stack *stack, struct making *making)
{
    int err = caller_ids(req, &making->uid, &making->gid);
    bool recorded = stack->layers[0].record != NULL;
    if (!err)
        caller_begin(req, recorded ? geteuid() : making->uid, recorded ? getegid() : making->gid);
    return err;
}

static int make(fuse_req_t req, struct target *target, uint64_t parent, const char *name,
                struct making *making, int *fd)
{
    struct mount *mount = ops_mount(req);
    if (strlen(name) > NAME_MAX) {
        *target = (struct target){0};
        return -ENAMETOOLONG;
    }
    int err = target_open(mount, parent, name, "create", target);
    if (err)
        return err;
    err = begin_making(req, mount_stack(mount, &target->view), making);
    if (!err) {
        pthread_rwlock_t *turn = turn_share(mount, &target->view);
        err = edit_make(mount_stack(mount, &target->view), &target->dir, name, making, fd);
        turn_end(turn);
    }
    names_change(mount, target->view.index);
    caller_end();
    told_changed(mount, target->view.index);
    if (!err && S_ISDIR(making->mode))
        ledger_note_hidden(mount, &target->view, name, EVENT_OPAQUE, S_IFDIR, "mkdir");
    return err;
}

static void make_and_reply(fuse_req_t req, uint64_t parent, const char *name, struct making *making)
{
    struct mount *mount = ops_mount(req); /* the request is gone after the reply */
    struct target target;
    int err = make(req, &target, parent, name, making, NULL);
    if (err)
        reply_error(req, err);
    else
        op_reply_lookup(req, &target.view, name, target.view.id);
    target_finish(mount, &target);
}

static bool is_in_plain(struct mount *mount, uint64_t parent)
{
    cleanup_view struct node_view dir = {0};
    return node_view(mount->nodes, parent, &dir) == 0 && mount_is_plain(mount, &dir);
}

void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
    struct making making = {.mode = mode, .rdev = rdev};
    /* As in the kernel's overlayfs: it would be a whiteout, and vanish as soon as it is made. */
    if (S_ISCHR(mode) && rdev == makedev(0, 0) && !is_in_plain(ops_mount(req), parent))
        return reply_error(req, -EPERM);
    make_and_reply(req, parent, name, &making);
}

void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
    struct making making = {.mode = S_IFDIR | mode};
    make_and_reply(req, parent, name, &making);
}

void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
    struct making making = {.mode = S_IFLNK, .target = target};
    make_and_reply(req, parent, name, &making);
}

/* ---- link ---- */

/* What must be known before anything is brought up for the link: both lie in one tree (to the mount
 * as to the kernel a volume is another filesystem, and one that is read-only says so first). */
static int check_trees(struct mount *mount, const struct node_view *view,
                       const struct node_view *dir)
{
    if (mount_tree(mount, dir)->read_only)
        return -EROFS;
    return view->tree == dir->tree ? 0 : -EXDEV;
}

/* Whether both may be brought up: the object and the directory where it gets one more name. */
static int ask_for_link(struct mount *mount, const struct node_view *view,
                        const struct node_view *dir)
{
    struct promotion promotion = {.cause = "link"};
    int err = question_ask_node(mount, &promotion, dir->index);
    return err ? err : question_ask_node(mount, &promotion, view->index);
}

/* No path leads to the data of a file that has lost every name that is known of it, so it is
 * brought up. One that lies in a layer has no count of its own that another name could raise (a
 * lower inode whose names part when one is changed): it is gone, as find_fix_attr() tells, and as
 * in the kernel. */
static int prepare_unnamed(struct mount *mount, const struct node_view *view)
{
    if (!node_is(view, NODE_UPPER))
        return -ENOENT;
    return promote_data(mount, view->index, -1, "link");
}

/* A metacopy file with a second name is found by an absolute redirect, as the kernel has it. */
static int prepare_link_source(struct mount *mount, uint64_t ino, uint64_t parent,
                               struct node_view *view)
{
    cleanup_view struct node_view dir = {0};
    int err = node_view(mount->nodes, ino, view);
    if (!err)
        err = node_view(mount->nodes, parent, &dir);
    if (!err)
        err = check_trees(mount, view, &dir);
    if (!err)
        err = held_from_change(view);
    if (!err && !node_is(view, NODE_ORPHAN)) {
        err = ask_for_link(mount, view, &dir);
        if (!err)
            err = promote_meta(mount, view->index, "link");
        node_view_finish(view);
        if (!err)
            err = node_view(mount->nodes, ino, view);
    }
    if (!err && node_is(view, NODE_ORPHAN))
        err = prepare_unnamed(mount, view);
    else if (!err && node_is(view, NODE_METACOPY))
        err = redirect_set(mount, view, false);
    return err ? err : promote_settle_links(mount, view->index);
}

void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
    struct mount *mount = ops_mount(req);
    cleanup_view struct node_view view = {0};
    struct target target = {0};
    struct spot spot = {0};
    int err =
        strlen(name) > NAME_MAX ? -ENAMETOOLONG : prepare_link_source(mount, ino, parent, &view);
    if (!err)
        err = target_open(mount, parent, name, "link", &target);
    if (!err && !mount_is_plain(mount, &view) &&
        view.ino != stack_ino(mount_stack(mount, &view), 0, view.upper_ino))
        err = promote_mark_impure(mount, target.view.index);
    bool linked = false;
    if (!err) {
        names_read(mount);
        err = find_spot(mount, &view, &spot);
        if (!err) {
            pthread_rwlock_t *turn = turn_share(mount, &target.view);
            err = edit_link(mount_stack(mount, &view), spot.ref->fd, spot.name, &target.dir, name);
            turn_end(turn);
        }
        linked = !err;
        if (!err && node_is(&view, NODE_ORPHAN))
            growth_unnamed(mount, view.tree, spot.ref->fd, true);
        names_change(mount, target.view.index);
        names_end(mount);
        told_changed(mount, target.view.index);
        spot_finish(mount, &spot);
    }
    if (!err)
        err = node_add_name(mount->nodes, view.index, target.view.index, name, true);
    if (err && linked)
        op_made_in_vain(mount, target.view.id, view.id);
    if (err)
        reply_error(req, err);
    else
        op_reply_lookup(req, &target.view, name, view.id);
    target_finish(mount, &target);
}

/* ---- create ---- */

/* What the kernel has to know of a file that it has just had made and opened. */
static int created(struct mount *mount, const struct node_view *dir, const char *name, int fd,
                   uint64_t *id, struct stat *st)
{
    int err = stack_stat(mount_stack(mount, dir), 0, fd, "", st);
    if (err)
        return err;
    cleanup_entry struct entry entry = {.st = *st, .present = true, .linked = true};
    entry.ino = stack_upper_ino(mount_stack(mount, dir), st);
    st->st_ino = entry.ino;
    return node_intern(mount->nodes, dir->index, name, dir->tree, &entry, id);
}

static void reply_created(fuse_req_t req, uint64_t id, const struct stat *st,
                          struct fuse_file_info *fi)
{
    struct mount *mount = ops_mount(req);
    cleanup_view struct node_view view = {0};
    fi->keep_cache = 1;
    node_lock(mount->nodes, (uint32_t)id);
    int err = node_view(mount->nodes, id, &view);
    if (!err && mount->rules.profile == PROFILE_TRACKED)
        err = op_count_open(req, &view, fi);
    node_unlock(mount->nodes, (uint32_t)id);
    if (err) {
        node_forget(mount->nodes, id, 1);
        return reply_error(req, err);
    }
    reply_create(req, mount_validity(mount, &view), id, st, fi);
}

/* The name was there after all: another mount of the same files, or a race with the host. */
static void create_existing(fuse_req_t req, const struct node_view *dir, const char *name,
                            struct fuse_file_info *fi)
{
    struct mount *mount = ops_mount(req);
    cleanup_view struct node_view view = {0};
    struct stat st;
    int found = shown_look_up(mount, dir, name, &view, &st);
    int err = found < 0 ? found : found && S_ISREG(st.st_mode) ? 0 : -EEXIST;
    if (found > 0 && err)
        node_forget(mount->nodes, view.id, 1);
    if (!err && (fi->flags & O_TRUNC))
        err = op_set_size(req, view.id, 0, true, false);
    if (err)
        return reply_error(req, err);
    if (fi->flags & O_TRUNC)
        st.st_size = 0;
    reply_created(req, view.id, &st, fi);
}

void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
               struct fuse_file_info *fi)
{
    struct mount *mount = ops_mount(req);
    struct target target;
    struct making making = {.mode = S_IFREG | (mode & 07777)};
    int fd = -1;
    uint64_t id = 0;
    struct stat st;
    int err = make(req, &target, parent, name, &making, &fd);
    if (err == -EEXIST && !(fi->flags & O_EXCL)) {
        create_existing(req, &target.view, name, fi);
        return target_finish(mount, &target);
    }
    if (!err)
        err = created(mount, &target.view, name, fd, &id, &st);
    if (!err) {
        struct fdref *ref =
            fdcache_put(mount->fds, fdkey(FDKIND_DATA, (uint32_t)id), steal_fd(&fd), true);
        if (mount_is_plain(mount, &target.view))
            fdref_is_lent(ref);
        fdref_release(mount->fds, ref);
        reply_created(req, id, &st, fi);
    } else {
        if (fd >= 0)
            op_made_in_vain(mount, target.view.id, target.view.id);
        reply_error(req, err);
    }
    own_close(&fd);
    target_finish(mount, &target);
}

/* The new file, open; or -errno. */
static int make_unnamed(fuse_req_t req, const struct target *target, mode_t mode, int flags)
{
    const struct stack *stack = mount_stack(ops_mount(req), &target->view);
    struct making making = {.mode = S_IFREG | (mode & 07777)};
    const mode_t perm = stack->layers[0].record ? mode & 0777 : mode & 07777;
    int err = begin_making(req, stack, &making);
    if (err)
        return err;
    cleanup_fd int fd =
        openat(target->upper->fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC | flags, perm);
    err = fd < 0 ? -errno : 0;
    caller_end();
    if (!err && stack->layers[0].record)
        err = edit_record(stack, target->upper->fd, fd, "", &making);
    return err ? err : steal_fd(&fd);
}

void op_tmpfile(fuse_req_t req, fuse_ino_t parent, mode_t mode, struct fuse_file_info *fi)
{
    struct mount *mount = ops_mount(req);
    struct target target;
    struct stat st;
    uint64_t id = 0;
    int err = target_open(mount, parent, "", "create", &target);
    if (!err)
        err = fdcache_can_pin(mount->fds);
    int fd = err ? err : make_unnamed(req, &target, mode, fi->flags & O_EXCL);
    err = fd < 0 ? fd : stack_stat(mount_stack(mount, &target.view), 0, fd, "", &st);
    if (!err) {
        struct entry entry = {.st = st, .present = true};
        entry.ino = stack_upper_ino(mount_stack(mount, &target.view), &st);
        st.st_ino = entry.ino;
        err = node_make_orphan(mount->nodes, target.view.tree, &entry, &id);
    }
    struct fdref *ref = NULL;
    if (!err) {
        ref = fdcache_pin(mount->fds, fdkey(FDKIND_ORPHAN, (uint32_t)id), steal_fd(&fd), true);
        err = ref ? 0 : -ENOMEM;
    }
    fdref_release(mount->fds, ref);
    if (err && id)
        node_forget(mount->nodes, id, 1);
    own_close(&fd);
    if (err)
        reply_error(req, err);
    else
        reply_created(req, id, &st, fi);
    target_finish(mount, &target);
}
