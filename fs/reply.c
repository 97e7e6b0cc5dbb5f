/* SPDX-License-Identifier: MIT
 *
 * Duty: put answers into the protocol's words. A failed reply means that the request was
 * interrupted or the mount is gone; there is nobody left to tell.
 */
#include "reply.h"

void reply_error(fuse_req_t req, int err)
{
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

void reply_attr(fuse_req_t req, const struct mount *mount, const struct stat *st)
{
    fuse_reply_attr(req, st, mount->rules.timeout);
}

void reply_fill_entry(const struct mount *mount, uint64_t id, const struct stat *st,
                      struct fuse_entry_param *entry)
{
    *entry = (struct fuse_entry_param){
        .ino = id,
        .attr = *st,
        .attr_timeout = mount->rules.timeout,
        .entry_timeout = mount->rules.timeout,
    };
}

void reply_entry(fuse_req_t req, const struct mount *mount, uint64_t id, const struct stat *st)
{
    struct fuse_entry_param entry;
    reply_fill_entry(mount, id, st, &entry);
    fuse_reply_entry(req, &entry);
}

void reply_negative(fuse_req_t req, const struct mount *mount)
{
    const struct fuse_entry_param entry = {.entry_timeout = mount->rules.timeout};
    fuse_reply_entry(req, &entry);
}

void reply_create(fuse_req_t req, const struct mount *mount, uint64_t id, const struct stat *st,
                  const struct fuse_file_info *fi)
{
    struct fuse_entry_param entry;
    reply_fill_entry(mount, id, st, &entry);
    fuse_reply_create(req, &entry, fi);
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
