/* SPDX-License-Identifier: MIT
 *
 * Duty: attributes: getattr, setattr, statfs.
 */
#include "ops.h"

#include "ahead.h"
#include "caller.h"
#include "fd.h"
#include "find.h"
#include "growth.h"
#include "held.h"
#include "promote.h"
#include "quota.h"
#include "record.h"
#include "reply.h"
#include "settling.h"
#include "told.h"
#include "turns.h"
#include "xattr.h"

#include <fcntl.h>
#include <string.h>
#include <sys/xattr.h>

#define META                                                                                       \
    (FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID | FUSE_SET_ATTR_ATIME |            \
     FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_ATIME_NOW | FUSE_SET_ATTR_MTIME_NOW)

static void reply_current_attr(fuse_req_t req, uint64_t ino)
{
    struct mount *mount = ops_mount(req);
    cleanup_view struct node_view view = {0};
    struct stat st;
    int err = node_view(mount->nodes, ino, &view);
    if (err)
        return reply_error(req, err);
    told_before(mount, &view);
    if (!find_kept(mount, &view, &st)) {
        err = find_attr(mount, &view, &st);
        if (err)
            return reply_error(req, err);
        find_keep(mount, &view, &st);
    }
    ahead_give(mount, &view, &st);
    reply_attr(req, mount_attr_validity(mount, &view), &st);
}

void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)fi;
    reply_current_attr(req, ino);
}

#ifdef HAVE_STATX_OP
/* The kernel asks so only when somebody wants the time of birth. */
void op_statx(fuse_req_t req, fuse_ino_t ino, int flags, int mask, struct fuse_file_info *fi)
{
    (void)flags;
    (void)mask;
    (void)fi;
    struct mount *mount = ops_mount(req);
    cleanup_view struct node_view view = {0};
    struct stat st;
    struct statx_timestamp birth;
    int err = node_view(mount->nodes, ino, &view);
    if (err)
        return reply_error(req, err);
    told_before(mount, &view);
    err = find_attr(mount, &view, &st);
    if (err)
        return reply_error(req, err);
    bool known = find_birth(mount, &view, &birth);
    ahead_give(mount, &view, &st);
    reply_statx(req, mount_attr_validity(mount, &view), &st, known ? &birth : NULL);
}
#endif

/* The attribute that the node's owner and mode are recorded in; NULL: they are as on disk. */
static const char *record_of(struct mount *mount, uint64_t ino)
{
    const char *record = mount->trees[0]->stack.layers[0].record;
    cleanup_view struct node_view view = {0};
    bool recorded = record && node_view(mount->nodes, ino, &view) == 0 && view.tree == 0;
    return recorded ? record : NULL;
}

/* What a change of owner leaves: setgid without group execution once meant mandatory locking. */
static mode_t without_privileges(mode_t mode)
{
    mode &= ~(mode_t)S_ISUID;
    return mode & S_IXGRP ? mode & ~(mode_t)S_ISGID : mode;
}

/* Whether setgid goes all the same: nobody keeps it with a group that he is not in (since Linux
 * 6.2, setattr_should_drop_sgid). */
static bool is_a_strangers(fuse_req_t req, const struct stat *st)
{
    return (st->st_mode & S_ISGID) && !(st->st_mode & S_IXGRP) && !caller_is_in_group(req, st);
}

/* What a change by an unprivileged caller leaves. */
static mode_t left_by(fuse_req_t req, const struct stat *st)
{
    const mode_t left = without_privileges(st->st_mode);
    return is_a_strangers(req, st) ? left & ~(mode_t)S_ISGID : left;
}

/* What a change of owner leaves: only root may have it of a file whose group is another's. */
static mode_t left_by_chown(fuse_req_t req, const struct stat *st)
{
    return fuse_req_ctx(req)->uid == 0 ? without_privileges(st->st_mode) : left_by(req, st);
}

int op_kill_privileges(fuse_req_t req, uint64_t ino, int fd)
{
    struct mount *mount = ops_mount(req);
    struct stat st;
    const char *record = record_of(mount, ino);
    if (fstat(fd, &st) < 0)
        return -errno;
    int err = record_read(record, fd, "", &st);
    if (err)
        return err;
    const mode_t mode = st.st_mode;
    st.st_mode = left_by(req, &st);
    if (st.st_mode == mode)
        return 0;
    if (record)
        return record_write(record, fd, "", &st);
    return fchmod(fd, st.st_mode & 07777) < 0 ? -errno : 0;
}

/* With the writeback cache the kernel keeps the times itself: it sends them when they are to
 * change, and a cut that changes nothing must not change the one on disk. Without it truncate(2),
 * unlike ftruncate(2), leaves the time of a file alone whose size stays. Where no open is answered
 * a cut to 0 may be O_TRUNC, which sets the time and is the one in use. */
static int cut(struct mount *mount, int fd, off_t size, bool by_descriptor)
{
    char path[FD_PATH_MAX];
    struct stat st;
    const struct rules *rules = &mount->rules;
    if (rules->writeback && fstat(fd, &st) == 0 && st.st_size == size)
        return 0;
    fd_proc_path(path, fd, "");
    bool maybe_trunc = by_descriptor || (size == 0 && rules->profile == PROFILE_STATELESS);
    if (!maybe_trunc && truncate(path, size) == 0)
        return 0;
    return ftruncate(fd, size) < 0 ? -errno : 0;
}

/* The SETATTR that ends what removing a file's capabilities belongs to has come. */
static void end_uncapping(struct mount *mount, const struct node_view *view)
{
    if (node_is(view, NODE_UNCAPPED))
        node_set_flags(mount->nodes, view->index, 0, NODE_UNCAPPED);
}

int op_set_size(fuse_req_t req, uint64_t ino, off_t size, bool by_descriptor, bool kill)
{
    struct mount *mount = ops_mount(req);
    cleanup_view struct node_view view = {0};
    int err = node_view(mount->nodes, ino, &view);
    if (!err)
        err = held_from_change(&view);
    if (!err)
        err = promote_data(mount, view.index, size, "truncate");
    node_view_finish(&view);
    if (!err)
        err = node_view(mount->nodes, ino, &view);
    if (err)
        return err;
    end_uncapping(mount, &view);
    struct fdref *ref = find_data(mount, &view, true, &err);
    if (!ref)
        return err;
    struct growth growth = {0};
    off_t most = 0;
    const bool was_asked = by_descriptor && mount->rules.profile == PROFILE_TRACKED;
    if (mount_is_plain(mount, &view) && !was_asked)
        err = held_by_host(ref->fd, "", O_WRONLY | O_TRUNC);
    if (!err)
        err = growth_begin(mount, ino, ref->fd, size, 0, &most, &growth);
    if (!err && most < size)
        err = -ENOSPC;
    if (!err && kill)
        err = op_kill_privileges(req, ino, ref->fd);
    if (!err)
        err = cut(mount, ref->fd, size, by_descriptor);
    growth_end(mount, ref->fd, &growth);
    if (!err && size == 0 && mount_stack(mount, &view)->features.sync)
        settling_note_emptied(mount->settling, ref);
    fdref_release(mount->fds, ref);
    return err;
}

enum { OWNER = FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID };
enum { AT_SPOT = AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH }; /* of a spot itself */

/* Owner and mode where they are recorded. A change of owner takes the privileges of a file, as in
 * the VFS (setattr_should_drop_suidgid). */
static int set_recorded(fuse_req_t req, const struct stack *stack, const struct spot *spot,
                        const struct stat *attr, int valid, bool kill)
{
    struct stat st;
    int err = stack_stat(stack, 0, spot->ref->fd, spot->name, &st);
    if (err)
        return err;
    if (kill && !S_ISDIR(st.st_mode)) {
        st.st_mode = left_by_chown(req, &st);
        (void)!xattr_remove(spot->ref->fd, spot->name, "security.capability");
    }
    if (valid & FUSE_SET_ATTR_UID)
        st.st_uid = attr->st_uid;
    if (valid & FUSE_SET_ATTR_GID)
        st.st_gid = attr->st_gid;
    if (valid & FUSE_SET_ATTR_MODE)
        st.st_mode = (st.st_mode & S_IFMT) | (attr->st_mode & 07777);
    return record_write(stack->layers[0].record, spot->ref->fd, spot->name, &st);
}

static int set_mode(fuse_req_t req, const struct stack *stack, const struct spot *spot,
                    const struct stat *attr)
{
    if (stack->layers[0].record)
        return set_recorded(req, stack, spot, attr, FUSE_SET_ATTR_MODE, false);
    return fd_chmod(spot->ref->fd, spot->name, attr->st_mode & 07777);
}

/* With neither in `valid` it is what chown(2) of -1 and -1 is. The filesystem beneath takes of the
 * privileges what the daemon's rights forfeit; one with fewer may have to lose more. */
static int set_owner(fuse_req_t req, const struct stack *stack, const struct spot *spot,
                     const struct stat *attr, int valid)
{
    const bool by_root = fuse_req_ctx(req)->uid == 0;
    struct stat before;
    if (stack->layers[0].record)
        return set_recorded(req, stack, spot, attr, valid & OWNER, true);
    if (!by_root && fstatat(spot->ref->fd, spot->name, &before, AT_SPOT) < 0)
        return -errno;
    uid_t uid = valid & FUSE_SET_ATTR_UID ? attr->st_uid : (uid_t)-1;
    gid_t gid = valid & FUSE_SET_ATTR_GID ? attr->st_gid : (gid_t)-1;
    if (fchownat(spot->ref->fd, spot->name, uid, gid, AT_SPOT) < 0)
        return -errno;
    if (by_root || S_ISDIR(before.st_mode) || !is_a_strangers(req, &before))
        return 0;
    before.st_mode = left_by(req, &before);
    return set_mode(req, stack, spot, &before);
}

static struct timespec chosen_time(int valid, int set, int now, struct timespec value)
{
    if (valid & now)
        return (struct timespec){.tv_nsec = UTIME_NOW};
    return valid & set ? value : (struct timespec){.tv_nsec = UTIME_OMIT};
}

static int set_times(const struct spot *spot, const struct stat *attr, int valid)
{
    const struct timespec times[2] = {
        chosen_time(valid, FUSE_SET_ATTR_ATIME, FUSE_SET_ATTR_ATIME_NOW, attr->st_atim),
        chosen_time(valid, FUSE_SET_ATTR_MTIME, FUSE_SET_ATTR_MTIME_NOW, attr->st_mtim),
    };
    int flags = *spot->name ? AT_SYMLINK_NOFOLLOW : AT_EMPTY_PATH;
    return utimensat(spot->ref->fd, spot->name, times, flags) < 0 ? -errno : 0;
}

/* A SETATTR that sets nothing stands for one of two things: chown(2) of -1 and -1, which takes
 * setuid bits away and is the owner's right, though the kernel, seeing nothing change, has asked
 * for no permission; or the first half of a write, which takes them from whoever has no CAP_FSETID.
 * The kernel does not say which. With the writeback cache only the chown changes the change time,
 * and the write itself says what it takes. Without it a file that nobody may write is not being
 * written; and of a privileged writer all that comes is the end of removing capabilities. Where
 * opens are not answered, a stranger's is left to the write that may follow, which says what it
 * takes. What is no regular file is written without the filesystem: there it is always the chown,
 * and no change time comes with it. */
enum verdict { VERDICT_LEAVE, VERDICT_KILL, VERDICT_REFUSE };

static enum verdict judge_empty(struct mount *mount, const struct node_view *view, int valid,
                                uid_t caller, uid_t owner)
{
    const struct rules *rules = &mount->rules;
    bool entitled = caller == 0 || caller == owner;
    const bool uncapped = node_is(view, NODE_UNCAPPED);
    end_uncapping(mount, view);
    if (!S_ISREG(view->type))
        return entitled ? VERDICT_KILL : VERDICT_REFUSE;
    if (rules->writeback)
        return !(valid & FUSE_SET_ATTR_CTIME) ? VERDICT_LEAVE
               : entitled                     ? VERDICT_KILL
                                              : VERDICT_REFUSE;
    if (rules->profile == PROFILE_STATELESS && !entitled)
        return VERDICT_LEAVE;
    if (rules->profile == PROFILE_TRACKED && node_opens(mount->nodes, view->index).writers == 0)
        return entitled ? VERDICT_KILL : VERDICT_REFUSE;
    return caller == 0 && uncapped ? VERDICT_LEAVE : VERDICT_KILL;
}

static int set_nothing(fuse_req_t req, const struct node_view *view, const struct spot *spot,
                       int valid)
{
    struct mount *mount = ops_mount(req);
    const uid_t caller = fuse_req_ctx(req)->uid;
    struct stat st, shown;
    const struct stack *stack = mount_stack(mount, view);
    int err = stack_stat(stack, 0, spot->ref->fd, spot->name, &st);
    if (err)
        return err;
    shown = st;
    if (mount->map)
        idmap_show_owner(mount->map, &shown);
    enum verdict verdict = judge_empty(mount, view, valid, caller, shown.st_uid);
    if (S_ISDIR(st.st_mode) || !(st.st_mode & (S_ISUID | S_ISGID)) || verdict == VERDICT_LEAVE)
        return 0;
    if (verdict == VERDICT_REFUSE)
        return -EPERM;
    return set_owner(req, stack, spot, &st, 0);
}

bool op_waits_for_data(const struct node_view *view, bool privileges)
{
    return node_is(view, NODE_METACOPY) || (privileges && node_is(view, NODE_PRIVILEGED));
}

/* Everything but the size; the node is in the upper. *wish: what stat(2) says of it then. */
static int set_meta(fuse_req_t req, const struct node_view *view, const struct stat *attr,
                    int valid, struct promote_mode *wish)
{
    struct mount *mount = ops_mount(req);
    const int times = FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_ATIME_NOW |
                      FUSE_SET_ATTR_MTIME_NOW;
    /* With the writeback cache every write puts the time back that it found. */
    const bool in_turn = op_waits_for_data(view, valid & (OWNER | FUSE_SET_ATTR_MODE)) ||
                         (mount->rules.writeback && (valid & times));
    const bool empty = !(valid & (META | FUSE_SET_ATTR_SIZE));
    struct spot spot = {0};
    if (!empty)
        end_uncapping(mount, view);
    if (in_turn)
        mount_lock_node(mount, view->index);
    names_read(mount);
    int err = find_spot_to_ask(mount, view, &spot);
    if (!err && (valid & OWNER))
        err = set_owner(req, mount_stack(mount, view), &spot, attr, valid);
    else if (!err && empty)
        err = set_nothing(req, view, &spot, valid);
    if (!err && (valid & FUSE_SET_ATTR_MODE))
        err = set_mode(req, mount_stack(mount, view), &spot, attr);
    if (!err && (valid & times)) {
        pthread_rwlock_t *turn = S_ISDIR(view->type) ? turn_share(mount, view) : NULL;
        err = set_times(&spot, attr, valid);
        turn_end(turn);
    }
    wish->known = !err && find_spot_attr(mount, view, &spot, &wish->st) == 0;
    names_end(mount);
    if (!err && (valid & FUSE_SET_ATTR_MODE) && (attr->st_mode & (S_ISUID | S_ISGID)))
        node_set_flags(mount->nodes, view->index, NODE_PRIVILEGED, 0);
    if (in_turn)
        node_unlock(mount->nodes, view->index);
    spot_finish(mount, &spot);
    return err;
}

static const char *setattr_cause(int valid)
{
    if (valid & FUSE_SET_ATTR_MODE)
        return "chmod";
    return valid & (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID) ? "chown" : "utimens";
}

const char *op_setattr_word(int valid)
{
    return valid & FUSE_SET_ATTR_SIZE ? "truncate" : setattr_cause(valid);
}

/* With the writeback cache unlink(2) is followed by a SETATTR of the change time. A lower file is
 * not copied up for that. When it has lost its last name, its times can be asked for only through
 * descriptors, and of the kernel, which keeps them; when it has others, its mtime is as it was. */
static bool only_dates_unlinked(struct mount *mount, const struct node_view *view,
                                const struct stat *attr, int valid)
{
    const int kept = FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_MTIME_NOW | FUSE_SET_ATTR_CTIME;
    struct stat st;
    if (!mount->rules.writeback || node_is(view, NODE_UPPER) || !S_ISREG(view->type) ||
        !(valid & kept) || (valid & ~kept))
        return false;
    if (node_is(view, NODE_ORPHAN))
        return true;
    return !(valid & FUSE_SET_ATTR_MTIME_NOW) && find_attr(mount, view, &st) == 0 &&
           st.st_mtim.tv_sec == attr->st_mtim.tv_sec && st.st_mtim.tv_nsec == attr->st_mtim.tv_nsec;
}

/* Whether it is chmod(2) of what is to be copied up for it, and nothing else. A symlink's mode, and
 * what stands for a device, are not the copy-up's to choose. */
static bool is_chmod_below(const struct node_view *view, int valid)
{
    return (valid & (META | FUSE_SET_ATTR_SIZE)) == FUSE_SET_ATTR_MODE &&
           !node_is(view, NODE_UPPER | NODE_ORPHAN | NODE_STUB) &&
           (S_ISREG(view->type) || S_ISDIR(view->type));
}

/* Copies up what is to be changed, unless it is there already. */
static int bring_up(struct mount *mount, const struct node_view *view, int valid,
                    struct promote_mode *wish)
{
    if (node_is(view, NODE_UPPER) && !mount_tree(mount, view)->read_only)
        return 0;
    return is_chmod_below(view, valid)
               ? promote_with_mode(mount, view->index, wish, setattr_cause(valid))
               : promote_meta(mount, view->index, setattr_cause(valid));
}

/* As in the VFS (may_setattr). With the writeback cache the kernel sends times of what was added to
 * a file that is append-only as if they were set. */
static int check_held(const struct mount *mount, const struct node_view *view, int valid)
{
    const int now = FUSE_SET_ATTR_ATIME_NOW | FUSE_SET_ATTR_MTIME_NOW;
    const int times = FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_MTIME;
    const bool set = (valid & (OWNER | FUSE_SET_ATTR_MODE)) ||
                     ((valid & times) && !(valid & now) && !mount->rules.writeback);
    if (set)
        return held_from_change(view);
    return (valid & META) ? held_from_names(view) : 0;
}

/* *wish: what is known of the node afterwards. */
static int set_but_size(fuse_req_t req, uint64_t ino, const struct stat *attr, int valid,
                        struct promote_mode *wish)
{
    struct mount *mount = ops_mount(req);
    cleanup_view struct node_view view = {0};
    int err = node_view(mount->nodes, ino, &view);
    if (!err)
        err = check_held(mount, &view, valid);
    if (err || only_dates_unlinked(mount, &view, attr, valid))
        return err;
    wish->mode = attr->st_mode & 07777;
    err = bring_up(mount, &view, valid, wish);
    if (err)
        return err;
    if (wish->done) {
        if (wish->mode & (S_ISUID | S_ISGID))
            node_set_flags(mount->nodes, view.index, NODE_PRIVILEGED, 0);
        return 0;
    }
    if (!node_is(&view, NODE_UPPER)) {
        node_view_finish(&view);
        err = node_view(mount->nodes, ino, &view);
    }
    return err ? err : set_meta(req, &view, attr, valid, wish);
}

/* What was found out on the way, or as it is now. */
static void reply_changed_attr(fuse_req_t req, uint64_t ino, const struct promote_mode *wish)
{
    struct mount *mount = ops_mount(req);
    cleanup_view struct node_view view = {0};
    if (!wish->known || node_view(mount->nodes, ino, &view) != 0)
        return reply_current_attr(req, ino);
    reply_attr(req, mount_attr_validity(mount, &view), &wish->st);
}

/* The new owner as it is on disk; nobody can be given what has no id there, as in a user namespace
 * (chown(2)). */
static int map_owner(const struct mount *mount, struct stat *attr, int valid)
{
    const struct idmap *map = mount->map;
    bool known =
        !map ||
        ((!(valid & FUSE_SET_ATTR_UID) || idtable_disk(&map->users, attr->st_uid, &attr->st_uid)) &&
         (!(valid & FUSE_SET_ATTR_GID) || idtable_disk(&map->groups, attr->st_gid, &attr->st_gid)));
    return known ? 0 : -EINVAL;
}

void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int valid,
                struct fuse_file_info *fi)
{
    struct mount *mount = ops_mount(req);
    struct promote_mode wish = {0};
    int err = map_owner(mount, attr, valid);
    if (!err && (valid & FUSE_SET_ATTR_SIZE))
        err = op_set_size(req, ino, attr->st_size, fi != NULL, valid & FUSE_SET_ATTR_KILL_SUID);
    if (!err && ((valid & META) || !(valid & FUSE_SET_ATTR_SIZE)))
        err = set_but_size(req, ino, attr, valid, &wish);
    if (err)
        return reply_error(req, err);
    reply_changed_attr(req, ino, &wish);
}

/* Of a tree with a limit, what is left of that, if the filesystem has as much. */
static void limit_room(const struct quota *quota, struct statvfs *st)
{
    fsblkcnt_t limit = quota_limit(quota) / st->f_frsize;
    fsblkcnt_t used = (quota_used(quota) + st->f_frsize - 1) / st->f_frsize;
    fsblkcnt_t left = used < limit ? limit - used : 0;
    st->f_blocks = limit;
    st->f_bfree = left < st->f_bfree ? left : st->f_bfree;
    st->f_bavail = left < st->f_bavail ? left : st->f_bavail;
}

void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
    struct mount *mount = ops_mount(req);
    cleanup_view struct node_view view = {0};
    struct statvfs st;
    int err = node_view(mount->nodes, ino, &view);
    if (err)
        return reply_error(req, err);
    const struct stack *stack = mount_stack(mount, &view);
    if (fstatvfs(stack->layers[stack->writable ? 0 : 1].root, &st) < 0)
        return reply_error(req, -errno);
    if (mount_tree(mount, &view)->quota)
        limit_room(mount_tree(mount, &view)->quota, &st);
    reply_statfs(req, &st);
}
