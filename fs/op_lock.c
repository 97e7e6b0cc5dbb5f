/* SPDX-License-Identifier: MIT
 *
 * Duty: locks, where they are shared with the host (shared_locks=on): a volume's are taken on its
 * file; of everything else, which is the mount's alone, among those who are in the mount. Elsewhere
 * the kernel keeps them by itself, and nothing of this is asked.
 */
#include "ops.h"

#include "find.h"
#include "lockwait.h"
#include "reply.h"

#include <sys/file.h>

/* In what an open is known by; above it is a number. */
enum { HANDLE_WRITES = 1 };

/* The volume's file, or NULL of what is no volume's. Only who may write it may have opened it. */
static int find_locked(struct mount *mount, fuse_ino_t ino, struct fdref **ref)
{
    cleanup_view struct node_view view = {0};
    *ref = NULL;
    int err = node_view(mount->nodes, ino, &view);
    if (err || !mount_is_plain(mount, &view))
        return err;
    *ref = find_data(mount, &view, false, &err);
    if (err == -EACCES)
        *ref = find_data(mount, &view, true, &err);
    return err;
}

static struct lock_wish wish_of(fuse_ino_t ino, const struct fuse_file_info *fi,
                                const struct flock *range)
{
    return (struct lock_wish){.file = ino,
                              .owner = fi->lock_owner,
                              .handle = fi->fh,
                              .writes = fi->fh & HANDLE_WRITES,
                              .range = *range};
}

static void take(fuse_req_t req, const struct lock_wish *wish, bool patient)
{
    struct mount *mount = ops_mount(req);
    struct fdref *ref = NULL;
    /* To let go of a lock must not fail for want of a file. */
    int err = wish->range.l_type == F_UNLCK ? 0 : find_locked(mount, wish->file, &ref);
    if (!err)
        err = lockbook_take(mount->lockbook, ref ? ref->fd : LOCKBOOK_ALONE, wish);
    if (err == -EAGAIN)
        return lockwait_add(mount->lockwait, req, wish, ref, patient);
    fdref_release(mount->fds, ref);
    /* Also what is taken may let others in, for reading. */
    if (!err)
        lockwait_look(mount->lockwait);
    reply_error(req, err);
}

void op_setlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, struct flock *range,
              int waits)
{
    const struct lock_wish wish = wish_of(ino, fi, range);
    take(req, &wish, waits);
}

void op_flock(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, int operation)
{
    const int kind = operation & ~LOCK_NB;
    const struct flock all = {.l_type = kind == LOCK_SH   ? F_RDLCK
                                        : kind == LOCK_EX ? F_WRLCK
                                                          : F_UNLCK};
    struct lock_wish wish = wish_of(ino, fi, &all);
    wish.whole = true;
    take(req, &wish, !(operation & LOCK_NB));
}

void op_getlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, struct flock *range)
{
    struct mount *mount = ops_mount(req);
    const struct lock_wish wish = wish_of(ino, fi, range);
    struct flock found;
    struct fdref *ref;
    int err = find_locked(mount, ino, &ref);
    if (!err)
        err = lockbook_look(mount->lockbook, ref ? ref->fd : LOCKBOOK_ALONE, &wish, &found);
    fdref_release(mount->fds, ref);
    if (err)
        return reply_error(req, err);
    reply_lock(req, &found);
}

void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct mount *mount = ops_mount(req);
    /* Nothing is held back here: a write is in the backing file when it is answered. ENOSYS tells
     * the kernel to write its own pages back and ask no more. */
    if (!mount->lockbook)
        return reply_error(req, -ENOSYS);
    if (lockbook_leave(mount->lockbook, ino, fi->lock_owner))
        lockwait_look(mount->lockwait);
    reply_done(req);
}

uint64_t op_new_handle(struct mount *mount, int flags)
{
    if (!mount->lockbook)
        return 0;
    const bool writes = (flags & O_ACCMODE) != O_RDONLY;
    return (atomic_fetch_add(&mount->handles, 1) + 1) << 1 | (writes ? HANDLE_WRITES : 0);
}

void op_end_handle(struct mount *mount, fuse_ino_t ino, uint64_t handle)
{
    if (mount->lockbook && lockbook_close(mount->lockbook, ino, handle))
        lockwait_look(mount->lockwait);
}
