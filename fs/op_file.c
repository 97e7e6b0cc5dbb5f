/* SPDX-License-Identifier: MIT
 *
 * Duty: file content. The descriptor belongs to the node, not to the open: `fh` says nothing but
 * to locks, so the stateless profile, which answers no opens, and the tracked one run the same
 * code.
 */
#include "ops.h"

#include "ahead.h"
#include "asker.h"
#include "databuffer.h"
#include "datapipe.h"
#include "execution.h"
#include "fd.h"
#include "find.h"
#include "growth.h"
#include "held.h"
#include "moment.h"
#include "promote.h"
#include "reply.h"
#include "settling.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/xattr.h>

/* A descriptor that is held from before would let anybody through. */
static int ask_host_to_open(struct mount *mount, const struct node_view *view, int flags)
{
    struct spot spot = {0};
    if (!mount_is_plain(mount, view) || ((flags & O_ACCMODE) == O_RDONLY && !(flags & O_TRUNC)))
        return 0;
    names_read(mount);
    int err = find_spot(mount, view, &spot);
    if (!err)
        err = held_by_host(spot.ref->fd, spot.name, flags);
    names_end(mount);
    spot_finish(mount, &spot);
    return err;
}

/* The descriptor of a plain tree's file for who has it open with `flags`; it is taken. Where no
 * open is answered it is the write that the host is asked about. */
static struct fdref *as_opened(struct mount *mount, const struct node_view *view, int flags,
                               struct fdref *ref, int *err)
{
    const bool asks = mount->rules.profile == PROFILE_STATELESS;
    *err = asks ? held_by_host(ref->fd, "", flags) : 0;
    const bool narrow = !*err && !(flags & O_APPEND) && fd_only_appends(ref->fd);
    if (!*err && !narrow)
        return ref;
    fdref_release(mount->fds, ref);
    if (narrow && asks) { /* the host has lifted it since */
        fdcache_drop(mount->fds, fdkey(FDKIND_DATA, view->index));
        return find_data(mount, view, true, err);
    }
    *err = *err ? *err : -EPERM;
    return NULL;
}

/* The node's data, open for a change: promoted. `flags`: what the file is taken to be open with. */
static struct fdref *writable_data(struct mount *mount, uint64_t ino, int flags, const char *cause,
                                   int *err)
{
    cleanup_view struct node_view view = {0};
    *err = node_view(mount->nodes, ino, &view);
    if (!*err)
        *err = held_from_open(&view, flags);
    if (*err)
        return NULL;
    if (!node_is(&view, NODE_UPPER) || node_is(&view, NODE_METACOPY)) {
        *err = promote_data(mount, view.index, -1, cause);
        if (!*err) {
            node_view_finish(&view);
            *err = node_view(mount->nodes, ino, &view);
        }
        if (*err)
            return NULL;
    }
    struct fdref *ref = find_data(mount, &view, true, err);
    return ref && mount_is_plain(mount, &view) ? as_opened(mount, &view, flags, ref, err) : ref;
}

static struct fdref *readable_data(struct mount *mount, uint64_t ino, int *err)
{
    cleanup_view struct node_view view = {0};
    *err = node_view(mount->nodes, ino, &view);
    if (*err)
        return NULL;
    ahead_was_read(mount, &view);
    return find_data(mount, &view, false, err);
}

static bool host_lets_only_append(int fd)
{
    unsigned held;
    return held_on_host(fd, "", &held) == 0 && held == NODE_APPEND;
}

/* A backing id for the node's data, or 0 where it has to be cached. */
static int32_t new_backing(fuse_req_t req, const struct node_view *view)
{
    struct mount *mount = ops_mount(req);
    int err = 0;
    bool whole_upper = node_is(view, NODE_UPPER) && !node_is(view, NODE_METACOPY);
    /* The kernel lets O_APPEND be taken away (fcntl(2)), and a mapping be written, of what it does
     * not know to be append-only; and in passthrough nothing asks here. */
    if (node_is(view, NODE_APPEND))
        return 0;
    if (!mount_may_pass(mount, view) || !(whole_upper || mount_tree(mount, view)->read_only))
        return 0;
    struct fdref *ref = find_data(mount, view, false, &err);
    const bool adds = ref && mount_is_plain(mount, view) && host_lets_only_append(ref->fd);
    int32_t backing = ref && !adds ? fuse_passthrough_open(req, ref->fd) : 0;
    fdref_release(mount->fds, ref);
    return backing > 0 ? backing : 0;
}

int op_count_open(fuse_req_t req, const struct node_view *view, struct fuse_file_info *fi)
{
    struct mount *mount = ops_mount(req);
    int32_t backing = 0;
    bool writes = (fi->flags & O_ACCMODE) != O_RDONLY;
    bool plain = mount_is_plain(mount, view);
    /* Counted at once: the one before may be closed meanwhile, and its backing with it. */
    if (!node_opened_again(mount->nodes, view->index, writes, &backing)) {
        backing = new_backing(req, view);
        node_opened(mount->nodes, view->index, writes, backing);
    }
    int err = plain ? find_hold(mount, view, writes) : 0;
    if (err) {
        backing = node_released(mount->nodes, view->index, writes);
        if (backing > 0)
            fuse_passthrough_close(req, backing);
        return err;
    }
    /* What the lookup told is not to outlast it: from now on calls come without a name. */
    bool strict = mount_is_strict(mount, view);
    if (strict)
        mount->attributes_changed(mount->session, view->id);
    fi->backing_id = backing;
    fi->fh = op_new_handle(mount, fi->flags);
    /* What the host may change is asked for at every read. A read lease (fcntl(2)) would keep the
     * host's writers from what is cached, but not its chmod(2) and link(2), and the kernel cannot
     * serve both: it takes cached pages without asking only while fstat(2) does not ask either, or
     * where it never checks pages; then a file that is open for longer than the lease lasts keeps
     * pages that nothing takes away before the next read. */
    fi->direct_io = strict && backing == 0;
    /* In passthrough the kernel takes no other flag; a cached open after one must not trust pages.
     */
    fi->keep_cache = backing == 0 && !strict && !node_is(view, NODE_WRITTEN);
    if (backing > 0 && writes)
        node_set_flags(mount->nodes, view->index, NODE_WRITTEN, 0);
    else if (backing == 0)
        node_set_flags(mount->nodes, view->index, 0, NODE_WRITTEN);
    return 0;
}

/* In passthrough a write never comes by here, so what will be written is brought up at open. A node
 * that is open in cached mode stays cached, and its copy-up can wait for the write. */
static int promote_for_open(struct mount *mount, const struct node_view *view, int flags)
{
    struct node_opens opens = node_opens(mount->nodes, view->index);
    if ((flags & O_ACCMODE) == O_RDONLY || (flags & O_TRUNC) || !mount_may_pass(mount, view) ||
        (opens.count > 0 && opens.backing == 0))
        return 0;
    return promote_data(mount, view->index, -1, "open");
}

/* What the backing file says to an open for writing: one that chattr(1) made append-only or
 * immutable refuses, and in passthrough nothing after the open would ask it again. */
static int ask_backing(struct mount *mount, const struct node_view *view, int flags)
{
    int err = 0;
    if ((flags & O_ACCMODE) == O_RDONLY || !mount_may_pass(mount, view) ||
        !node_is(view, NODE_UPPER) || node_is(view, NODE_METACOPY))
        return 0;
    struct fdref *ref = find_data(mount, view, true, &err);
    bool refused = !ref && err == -EPERM;
    if (refused && (flags & O_APPEND) && (ref = find_data(mount, view, false, &err)) != NULL) {
        cleanup_fd int appending = fd_reopen(ref->fd, O_WRONLY | O_APPEND);
        refused = appending < 0;
    }
    fdref_release(mount->fds, ref);
    return refused ? -EPERM : 0;
}

static bool must_kill(fuse_req_t req, const struct fuse_file_info *fi)
{
#ifdef HAVE_KILL_SUIDGID
    (void)req;
    return fi->kill_suidgid;
#else
    /* This libfuse does not pass the kernel's word on: whoever is not root loses the bits. */
    return !fi->writepage && fuse_req_ctx(req)->uid != 0;
#endif
}

/* What a disk takes for one sync it takes for the next. To let others serve meanwhile costs some
 * 30 us, which is worth it only where they would wait for longer; the first is taken to be slow. */
enum { SYNC_IS_QUICK_NS = 200000 };

static int sync_file(struct mount *mount, struct tree *tree, int fd, bool datasync)
{
    if (!atomic_load_explicit(&tree->syncs_quickly, memory_order_relaxed))
        mount->will_be_slow();
    int64_t began = moment_steady();
    int err = (datasync ? fdatasync(fd) : fsync(fd)) < 0 ? -errno : 0;
    bool quick = moment_steady() - began < SYNC_IS_QUICK_NS;
    atomic_store_explicit(&tree->syncs_quickly, quick, memory_order_relaxed);
    return err;
}

/* A copy-up gives the file a name, or takes the mark of a metacopy from it, when its data is on the
 * disk already. On ext4 fdatasync(2) does not bring that along where the data is written over in
 * its place: the power would go, and with it, for whoever looks next, what was synced. So the first
 * sync of a node is a whole one. With the node's lock held, so that none comes between. */
static int sync_with_name(struct mount *mount, const struct node_view *view, int fd)
{
    int err = sync_file(mount, mount_tree(mount, view), fd, false);
    if (!err)
        node_set_flags(mount->nodes, view->index, NODE_SYNCED, 0);
    return err;
}

/* In passthrough msync(2), and a write to what was opened with O_DSYNC, ask the backing file alone.
 * So what has just been brought up for such an open is synced before. */
static int sync_for_open(struct mount *mount, const struct node_view *view, int flags)
{
    int err = 0;
    if ((flags & O_ACCMODE) != O_RDWR && !(flags & O_DSYNC))
        return 0;
    if (!mount_may_pass(mount, view) || !node_is(view, NODE_UPPER) ||
        node_is(view, NODE_METACOPY | NODE_SYNCED) || !mount_stack(mount, view)->features.sync)
        return 0;
    struct fdref *ref = find_data(mount, view, true, &err);
    if (ref)
        err = sync_with_name(mount, view, ref->fd);
    fdref_release(mount->fds, ref);
    return err;
}

void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct mount *mount = ops_mount(req);
    if (mount->rules.profile == PROFILE_STATELESS)
        return reply_error(req, -ENOSYS);
    cleanup_view struct node_view view = {0};
    int err = node_view(mount->nodes, ino, &view);
    if (!err && mount_tree(mount, &view)->read_only &&
        ((fi->flags & O_ACCMODE) != O_RDONLY || (fi->flags & O_TRUNC)))
        err = -EROFS;
    if (!err)
        err = held_from_open(&view, fi->flags);
    if (!err)
        err = ask_host_to_open(mount, &view, fi->flags);
    if (!err)
        err = promote_for_open(mount, &view, fi->flags);
    /* open(2) of O_TRUNC changes the times of an empty file too, as ftruncate(2) does. */
    if (!err && (fi->flags & O_TRUNC))
        err = op_set_size(req, ino, 0, true, must_kill(req, fi));
    if (err)
        return reply_error(req, err);
    uint32_t index = view.index;
    const bool was_below = !node_is(&view, NODE_UPPER) || node_is(&view, NODE_METACOPY);
    node_lock(mount->nodes, index);
    node_view_finish(&view);
    err = node_view(mount->nodes, ino, &view);
    if (!err && execution_is_meant(fi->flags) && mount_is_plain(mount, &view))
        err = execution_check(mount, &view, fuse_req_ctx(req)->uid, fuse_req_ctx(req)->gid);
    if (!err)
        err = ask_backing(mount, &view, fi->flags);
    if (!err && was_below)
        err = sync_for_open(mount, &view, fi->flags);
    if (!err)
        err = op_count_open(req, &view, fi);
    node_unlock(mount->nodes, index);
    if (err)
        return reply_error(req, err);
    reply_open(req, fi);
}

/* What went past us is as if it were written now. */
static void note_written(struct mount *mount, const struct node_view *view)
{
    struct fdref *ref = fdcache_get(mount->fds, fdkey(FDKIND_DATA, view->index));
    if (ref)
        settling_note_written(mount->settling, ref);
    fdref_release(mount->fds, ref);
}

void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct mount *mount = ops_mount(req);
    cleanup_view struct node_view view = {0};
    op_end_handle(mount, ino, fi->fh);
    int err = node_view(mount->nodes, ino, &view);
    if (!err && mount->rules.profile == PROFILE_TRACKED) {
        bool writes = (fi->flags & O_ACCMODE) != O_RDONLY;
        bool plain = mount_is_plain(mount, &view);
        if (plain)
            node_lock(mount->nodes, view.index);
        int32_t backing = node_released(mount->nodes, view.index, writes);
        if (writes && backing > 0)
            note_written(mount, &view);
        if (backing > 0)
            fuse_passthrough_close(req, backing);
        if (plain) {
            if (node_opens(mount->nodes, view.index).count == 0)
                fdcache_drop(mount->fds, fdkey(FDKIND_DATA, view.index));
            node_unlock(mount->nodes, view.index);
        }
    }
    reply_done(req);
}

/* Less than was asked for is the end of the file to the page cache, which would show zeros there:
 * what fails half way is an error. */
static void answer_by_copy(fuse_req_t req, int fd, size_t size, off_t offset)
{
    char *buffer = databuffer();
    int err = buffer ? 0 : -ENOMEM;
    size_t got = 0;
    while (got < size && !err) {
        ssize_t now = pread(fd, buffer + got, size - got, offset + (off_t)got);
        if (now < 0 && errno == EINTR)
            continue;
        if (now == 0)
            break;
        err = now < 0 ? -errno : 0;
        got += now > 0 ? (size_t)now : 0;
    }
    if (err)
        return reply_error(req, err);
    reply_bytes(req, buffer, got);
}

/* False where it is to be done in another way: into a ring libfuse copies it in any case. */
static bool answer_by_pipe(fuse_req_t req, int fd, size_t size, off_t offset)
{
    size_t got = 0;
    if (ops_mount(req)->rules.uring || !datapipe_suits(size))
        return false;
    int pipe = datapipe_fill(fd, offset, size, &got);
    if (pipe == -EOPNOTSUPP)
        return false;
    if (pipe < 0)
        reply_error(req, pipe);
    else
        reply_piped(req, pipe, got);
    return true;
}

/* Whoever opened with O_NOATIME leaves no date: he reads by a descriptor of his own. The node's is
 * for everybody; where it may not be had, the file is not ours, and what is asked for goes before
 * its date. */
static int open_undated(int fd, int flags)
{
    return flags & O_NOATIME ? fd_reopen(fd, O_RDONLY | O_NOATIME) : -1;
}

void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
    struct mount *mount = ops_mount(req);
    int err = 0;
    struct fdref *ref = readable_data(mount, ino, &err);
    if (!ref)
        return reply_error(req, err);
    cleanup_fd int undated = open_undated(ref->fd, fi->flags);
    const int fd = undated >= 0 ? undated : ref->fd;
    size = size < DATABUFFER_SIZE ? size : DATABUFFER_SIZE;
    if (!answer_by_pipe(req, fd, size, offset))
        answer_by_copy(req, fd, size, offset);
    fdref_release(mount->fds, ref);
}

/* With the writeback cache the kernel stamps a file itself, and sends the time only where it
 * differs from the one it has already (two changes within one tick of its clock do not). So a
 * change of data must leave the time in the backing file as it is; the node's lock keeps a SETATTR
 * from between. */
struct held_time {
    bool held;
    struct timespec mtime;
};

static struct held_time hold_time(const struct mount *mount, int fd)
{
    struct stat st;
    if (!mount->rules.writeback)
        return (struct held_time){0};
    if (fstat(fd, &st) < 0)
        st.st_mtim.tv_nsec = UTIME_OMIT;
    return (struct held_time){.held = true, .mtime = st.st_mtim};
}

static void put_time_back(int fd, const struct held_time *time)
{
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, time->mtime};
    if (!time->held)
        return;
    /* A file that is not ours to date keeps the time of the change, which is not wrong by much. */
    (void)!futimens(fd, times);
}

/* A page written back now was changed before privileges were given to the file that the write would
 * take away: they are put back. Only a file whose privileges were set since it is known can be in
 * that case. */
struct held_privileges {
    bool held;
    mode_t mode;
    ssize_t size;
    char capability[64];
};

static struct held_privileges hold_privileges(int fd)
{
    struct held_privileges held = {0};
    struct stat st;
    if (fstat(fd, &st) < 0)
        return held;
    held.held = true;
    held.mode = st.st_mode & 07777;
    held.size = fgetxattr(fd, "security.capability", held.capability, sizeof(held.capability));
    return held;
}

static int put_privileges_back(int fd, const struct held_privileges *held)
{
    struct stat st;
    if (!held->held)
        return 0;
    if (fstat(fd, &st) < 0)
        return -errno;
    if ((st.st_mode & 07777) != held->mode && fchmod(fd, held->mode) < 0)
        return -errno;
    if (held->size > 0 &&
        fsetxattr(fd, "security.capability", held->capability, (size_t)held->size, 0) < 0)
        return -errno;
    return 0;
}

/* What a change of data puts back when it is done, and whether the node's lock is held until then:
 * what sets the same meanwhile waits (op_setattr, op_setxattr). */
struct holding {
    bool locked;
    struct held_time time;
    struct held_privileges privileges;
};

static struct holding hold(struct mount *mount, uint64_t ino, int fd, bool writes_back)
{
    const bool privileged = writes_back && node_has_flag(mount->nodes, ino, NODE_PRIVILEGED);
    struct holding holding = {.locked = privileged || mount->rules.writeback};
    if (holding.locked)
        mount_lock_node(mount, (uint32_t)ino);
    holding.time = hold_time(mount, fd);
    if (privileged)
        holding.privileges = hold_privileges(fd);
    return holding;
}

/* Puts it back, the privileges only where something was written. */
static int let_go(struct mount *mount, uint64_t ino, int fd, const struct holding *holding,
                  bool written)
{
    int err = written ? put_privileges_back(fd, &holding->privileges) : 0;
    put_time_back(fd, &holding->time);
    if (holding->locked)
        node_unlock(mount->nodes, (uint32_t)ino);
    return err;
}

/* The kernel says where the end of the file was when it looked. The host may have added to a
 * volume's file since, and that must not be written over: such a write goes to the end there is
 * now. */
static bool is_appended(struct mount *mount, uint64_t ino, const struct fuse_file_info *fi)
{
    cleanup_view struct node_view view = {0};
    return (fi->flags & O_APPEND) && !fi->writepage && node_view(mount->nodes, ino, &view) == 0 &&
           mount_is_plain(mount, &view);
}

static ssize_t put_some(int fd, const char *data, size_t size, off_t offset, bool append)
{
    const struct iovec piece = {.iov_base = (void *)(uintptr_t)data, .iov_len = size};
    ssize_t put =
        append ? pwritev2(fd, &piece, 1, offset, RWF_APPEND) : pwrite(fd, data, size, offset);
    return put < 0 ? -errno : put;
}

/* What a write is to the account: the page cache writes back what it holds of a mapping, and, where
 * it gathers writes, of those too. */
static const char *write_cause(const struct mount *mount, const struct fuse_file_info *fi)
{
    if (!fi->writepage)
        return "write";
    asker_is_writeback();
    return mount->rules.writeback ? "writeback" : "mmap";
}

void op_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t offset,
              struct fuse_file_info *fi)
{
    struct mount *mount = ops_mount(req);
    int err = 0;
    /* What the page cache writes back was written to a mapping, or, where it gathers writes, may
     * have been added at the end: nothing tells. */
    const bool added = fi->writepage ? mount->rules.writeback : fi->flags & O_APPEND;
    const int flags = O_WRONLY | (added ? O_APPEND : 0);
    struct fdref *ref = writable_data(mount, ino, flags, write_cause(mount, fi), &err);
    if (!ref)
        return reply_error(req, err);
    if (fi->writepage && fd_only_appends(ref->fd)) { /* a page has its place */
        fdref_release(mount->fds, ref);
        return reply_error(req, -EPERM);
    }
    const size_t wanted = size;
    size_t put = 0;
    off_t most;
    const bool append = is_appended(mount, ino, fi);
    const struct holding holding = hold(mount, ino, ref->fd, fi->writepage);
    struct growth growth = {.locked = holding.locked};
    err =
        growth_begin(mount, ino, ref->fd, offset + (off_t)size, append ? size : 0, &most, &growth);
    off_t at = append && growth.quota ? growth.size : offset;
    if (!err && growth.quota && most - at < (off_t)size) {
        err = most > at ? 0 : -ENOSPC;
        size = most > at ? (size_t)(most - at) : 0;
    }
    if (!err && size > 0 && must_kill(req, fi))
        err = op_kill_privileges(req, ino, ref->fd);
    while (put < size && !err) {
        ssize_t now = put_some(ref->fd, data + put, size - put, offset + (off_t)put, append);
        if (now == -EINTR)
            continue;
        err = now < 0 ? (int)now : 0;
        put += now > 0 ? (size_t)now : 0;
    }
    growth_end(mount, ref->fd, &growth);
    int restored = let_go(mount, ino, ref->fd, &holding, put > 0);
    err = restored ? restored : err;
    settling_note_written(mount->settling, ref);
    fdref_release(mount->fds, ref);
    /* Of a page that is written back the kernel takes note of an error alone (fs/fuse/file.c,
     * fuse_writepage_end): what did not come of it would be lost, and nobody told. */
    if (put < wanted && !err && fi->writepage)
        err = -ENOSPC;
    if (err && (put == 0 || fi->writepage))
        return reply_error(req, err);
    reply_written(req, put);
}

/* Of a metacopy file only metadata is ours, but it is that which is to be safe: the data below,
 * which is what is open of it, is not changed. */
static int sync_metacopy(struct mount *mount, const struct node_view *view, bool datasync)
{
    cleanup_fd int fd = find_open_own(mount, view, false);
    return fd < 0 ? fd : sync_file(mount, mount_tree(mount, view), fd, datasync);
}

void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    (void)fi;
    struct mount *mount = ops_mount(req);
    cleanup_view struct node_view view = {0};
    int err = node_view(mount->nodes, ino, &view);
    if (err || !node_is(&view, NODE_UPPER) || !mount_stack(mount, &view)->features.sync)
        return reply_error(req, err);
    if (node_is(&view, NODE_METACOPY))
        return reply_error(req, sync_metacopy(mount, &view, datasync));
    struct fdref *ref = find_data(mount, &view, true, &err);
    if (!ref)
        ref = find_data(mount, &view, false, &err);
    if (!ref)
        return reply_error(req, err);
    if (!datasync || mount_is_plain(mount, &view) || node_is(&view, NODE_SYNCED)) {
        err = sync_file(mount, mount_tree(mount, &view), ref->fd, datasync);
    } else {
        mount_lock_node(mount, view.index);
        err = sync_with_name(mount, &view, ref->fd);
        node_unlock(mount->nodes, view.index);
    }
    fdref_release(mount->fds, ref);
    reply_error(req, err);
}

void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length,
                  struct fuse_file_info *fi)
{
    (void)fi;
    struct mount *mount = ops_mount(req);
    int err = 0;
    /* What is append-only may be given room, as in the VFS (vfs_fallocate). */
    const int flags = O_WRONLY | (mode & ~FALLOC_FL_KEEP_SIZE ? 0 : O_APPEND);
    struct fdref *ref = writable_data(mount, ino, flags, "fallocate", &err);
    if (!ref)
        return reply_error(req, err);
    mount->will_be_slow();
    off_t most, end = offset + length;
    const struct holding holding = hold(mount, ino, ref->fd, false);
    struct growth growth = {.locked = holding.locked};
    bool inserts = mode & FALLOC_FL_INSERT_RANGE;
    err = growth_begin(mount, ino, ref->fd, end, inserts ? (size_t)length : 0, &most, &growth);
    /* Room behind the end of a file would not be counted. */
    bool behind = (mode & FALLOC_FL_KEEP_SIZE) && !(mode & FALLOC_FL_PUNCH_HOLE);
    if (!err && growth.quota && behind && end > growth.size)
        err = -EOPNOTSUPP;
    else if (!err && growth.quota && !(mode & FALLOC_FL_KEEP_SIZE) &&
             most < (inserts ? growth.size + length : end))
        err = -ENOSPC;
    if (!err && fuse_req_ctx(req)->uid != 0)
        err = op_kill_privileges(req, ino, ref->fd);
    if (!err)
        err = fallocate(ref->fd, mode, offset, length) < 0 ? -errno : 0;
    growth_end(mount, ref->fd, &growth);
    int restored = let_go(mount, ino, ref->fd, &holding, false);
    fdref_release(mount->fds, ref);
    reply_error(req, err ? err : restored);
}

/* Callers ask for more than there is; cp(1) always does. */
static bool copies_much(int from, off_t offset, size_t length)
{
    struct stat st;
    return length > COPY_IS_QUICK && (fstat(from, &st) < 0 || st.st_size - offset > COPY_IS_QUICK);
}

void op_copy_file_range(fuse_req_t req, fuse_ino_t in, off_t in_offset,
                        struct fuse_file_info *in_fi, fuse_ino_t out, off_t out_offset,
                        struct fuse_file_info *out_fi, size_t length, int flags)
{
    (void)in_fi;
    (void)out_fi;
    struct mount *mount = ops_mount(req);
    int err = 0;
    struct fdref *to = writable_data(mount, out, O_WRONLY, "copy_file_range", &err);
    struct fdref *from = to ? readable_data(mount, in, &err) : NULL;
    ssize_t done = -1;
    if (from) {
        if (copies_much(from->fd, in_offset, length))
            mount->will_be_slow();
        off_t most;
        const struct holding holding = hold(mount, out, to->fd, false);
        struct growth growth = {.locked = holding.locked};
        err = growth_begin(mount, out, to->fd, out_offset + (off_t)length, 0, &most, &growth);
        if (!err && growth.quota && most < out_offset + (off_t)length)
            length = most > out_offset ? (size_t)(most - out_offset) : 0;
        if (!err && length == 0)
            err = -ENOSPC;
        if (!err && fuse_req_ctx(req)->uid != 0)
            err = op_kill_privileges(req, out, to->fd);
        if (!err)
            done =
                copy_file_range(from->fd, &in_offset, to->fd, &out_offset, length, (unsigned)flags);
        err = err ? err : done < 0 ? -errno : 0;
        growth_end(mount, to->fd, &growth);
        int restored = let_go(mount, out, to->fd, &holding, false);
        err = err ? err : restored;
    }
    fdref_release(mount->fds, from);
    fdref_release(mount->fds, to);
    if (err)
        return reply_error(req, err);
    reply_written(req, (size_t)done);
}

/* The kernel asks without writing back what it holds (fs/fuse/file.c, fuse_lseek), so a hole of the
 * backing file may have content by now. Such pages come from the writeback cache, or from a mapping
 * that somebody who may write keeps open. */
static bool holes_are_true(struct mount *mount, const struct node_view *view)
{
    struct node_opens opens = node_opens(mount->nodes, view->index);
    if (mount_tree(mount, view)->read_only && !mount_is_plain(mount, view))
        return true;
    return !mount->rules.writeback && mount->rules.profile == PROFILE_TRACKED &&
           (opens.writers == 0 || opens.backing > 0);
}

/* Without holes: all is data, up to the end. */
static off_t seek_plainly(int fd, off_t offset, int whence)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (offset < 0 || offset >= st.st_size)
        return -ENXIO;
    return whence == SEEK_DATA ? offset : st.st_size;
}

void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t offset, int whence, struct fuse_file_info *fi)
{
    (void)fi;
    struct mount *mount = ops_mount(req);
    cleanup_view struct node_view view = {0};
    int err = node_view(mount->nodes, ino, &view);
    if (err)
        return reply_error(req, err);
    bool true_holes = holes_are_true(mount, &view);
    /* The kernel alone knows the size then; told so, it answers for itself. */
    if (!true_holes && mount->rules.writeback)
        return reply_error(req, -ENOSYS);
    struct fdref *ref = find_data(mount, &view, false, &err);
    if (!ref)
        return reply_error(req, err);
    off_t found =
        true_holes ? lseek(ref->fd, offset, whence) : seek_plainly(ref->fd, offset, whence);
    err = found >= 0 ? 0 : true_holes ? -errno : (int)found;
    fdref_release(mount->fds, ref);
    if (err)
        return reply_error(req, err);
    reply_offset(req, found);
}
