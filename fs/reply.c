/* SPDX-License-Identifier: MIT
 *
 * Duty: put answers into the protocol's words. A failed reply means that the request was
 * interrupted or the mount is gone; there is nobody left to tell.
 */
#include "reply.h"

#include "serving.h"

#include <sys/sysmacros.h>

void reply_error(fuse_req_t req, int err)
{
    serving_failed(err);
    fuse_reply_err(req, -err);
}

void reply_done(fuse_req_t req)
{
    fuse_reply_err(req, 0);
}

void reply_none(fuse_req_t req)
{
    fuse_reply_none(req);
}

/* Every attribute that leaves goes through here: what is on disk as it is shown. `room` is for what
 * has to be changed. */
static const struct stat *as_shown(const struct mount *mount, const struct stat *st,
                                   struct stat *room)
{
    if (!mount->map)
        return st;
    *room = *st;
    idmap_show_owner(mount->map, room);
    return room;
}

static const struct mount *mount_of(fuse_req_t req)
{
    return fuse_req_userdata(req);
}

void reply_attr(fuse_req_t req, double seconds, const struct stat *st)
{
    struct stat room;
    fuse_reply_attr(req, as_shown(mount_of(req), st, &room), seconds);
}

#ifdef HAVE_STATX_OP
static struct statx_timestamp statx_time(struct timespec time)
{
    return (struct statx_timestamp){.tv_sec = time.tv_sec, .tv_nsec = (uint32_t)time.tv_nsec};
}

void reply_statx(fuse_req_t req, double seconds, const struct stat *real,
                 const struct statx_timestamp *birth)
{
    struct stat room;
    const struct stat *st = as_shown(mount_of(req), real, &room);
    struct statx stx = {
        .stx_mask = STATX_BASIC_STATS | (birth ? STATX_BTIME : 0),
        .stx_blksize = (uint32_t)st->st_blksize,
        .stx_nlink = (uint32_t)st->st_nlink,
        .stx_uid = st->st_uid,
        .stx_gid = st->st_gid,
        .stx_mode = (uint16_t)st->st_mode,
        .stx_ino = st->st_ino,
        .stx_size = (uint64_t)st->st_size,
        .stx_blocks = (uint64_t)st->st_blocks,
        .stx_atime = statx_time(st->st_atim),
        .stx_mtime = statx_time(st->st_mtim),
        .stx_ctime = statx_time(st->st_ctim),
        .stx_rdev_major = major(st->st_rdev),
        .stx_rdev_minor = minor(st->st_rdev),
    };
    if (birth)
        stx.stx_btime = *birth;
    fuse_reply_statx(req, 0, &stx, seconds);
}
#endif

void reply_fill_entry(const struct mount *mount, struct validity valid, uint64_t id,
                      uint32_t edition, const struct stat *st, struct fuse_entry_param *entry)
{
    struct stat room;
    *entry = (struct fuse_entry_param){
        .ino = id,
        .generation = edition,
        .attr = *as_shown(mount, st, &room),
        .attr_timeout = valid.attributes,
        .entry_timeout = valid.name,
    };
}

void reply_entry(fuse_req_t req, struct validity valid, uint64_t id, uint32_t edition,
                 const struct stat *st)
{
    struct fuse_entry_param entry;
    reply_fill_entry(mount_of(req), valid, id, edition, st, &entry);
    fuse_reply_entry(req, &entry);
}

void reply_negative(fuse_req_t req, double seconds)
{
    const struct fuse_entry_param entry = {.entry_timeout = seconds};
    if (seconds == 0)
        return reply_error(req, -ENOENT);
    serving_failed(-ENOENT);
    fuse_reply_entry(req, &entry);
}

void reply_create(fuse_req_t req, struct validity valid, uint64_t id, const struct stat *st,
                  const struct fuse_file_info *fi)
{
    struct fuse_entry_param entry;
    reply_fill_entry(mount_of(req), valid, id, 0, st, &entry);
    fuse_reply_create(req, &entry, fi);
}

void reply_lock(fuse_req_t req, const struct flock *lock)
{
    fuse_reply_lock(req, lock);
}

void reply_open(fuse_req_t req, const struct fuse_file_info *fi)
{
    fuse_reply_open(req, fi);
}

void reply_link_target(fuse_req_t req, const char *target)
{
    fuse_reply_readlink(req, target);
}

void reply_bytes(fuse_req_t req, const void *data, size_t size)
{
    fuse_reply_buf(req, data, size);
}

void reply_piped(fuse_req_t req, int pipe, size_t size)
{
    struct fuse_bufvec data = FUSE_BUFVEC_INIT(size);
    data.buf[0].flags = FUSE_BUF_IS_FD;
    data.buf[0].fd = pipe;
    fuse_reply_data(req, &data, 0);
}

void reply_written(fuse_req_t req, size_t size)
{
    fuse_reply_write(req, size);
}

void reply_xattr_size(fuse_req_t req, size_t size)
{
    fuse_reply_xattr(req, size);
}

void reply_statfs(fuse_req_t req, const struct statvfs *st)
{
    fuse_reply_statfs(req, st);
}

void reply_offset(fuse_req_t req, off_t offset)
{
    fuse_reply_lseek(req, offset);
}

void reply_ioctl(fuse_req_t req, const void *data, size_t size)
{
    fuse_reply_ioctl(req, 0, data, size);
}
