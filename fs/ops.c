/* SPDX-License-Identifier: MIT
 *
 * Duty: the table of operations. Each is entered through a function that remembers who asks for as
 * long as it is served, and counts it.
 */
#include "ops.h"

#include "probes.h"
#include "rings.h"
#include "serving.h"

/* Every operation answers before it returns; then the request is gone. (One that waits for a lock
 * is answered later, and may be gone as well.) What stands behind the
 * arguments is what the operation is about: a serving_target. */
#define SERVED(word, operation, parameters, arguments, ...)                                        \
    static void serve_##operation parameters                                                       \
    {                                                                                              \
        const struct serving_target about = {__VA_ARGS__};                                         \
        struct serving serving;                                                                    \
        begin(req, &serving, METER_##word, &about);                                                \
        probe_request_begin(#operation, fuse_req_ctx(req)->pid);                                   \
        op_##operation arguments;                                                                  \
        probe_request_end(#operation);                                                             \
        serving_end(&serving);                                                                     \
        rest(serving.mount, METER_##word);                                                         \
    }

static void begin(fuse_req_t req, struct serving *serving, enum meter_op op,
                  const struct serving_target *about)
{
    const struct fuse_ctx *ctx = fuse_req_ctx(req);
    struct mount *mount = ops_mount(req);
    if (mount->rings)
        rings_note(mount->rings, ctx->pid, op, about->length);
    if (rings_carry(req))
        atomic_store_explicit(&mount->ringing, true, memory_order_relaxed);
    serving_begin(serving, mount, op, ctx->pid, ctx->uid, about);
}

/* Where requests come through io_uring a FORGET still comes by the device, whose thread would be
 * woken for each. Nobody waits for it: some may gather, which the kernel then hands out as one. */
static void rest(struct mount *mount, enum meter_op op)
{
    if (op == METER_FORGET && atomic_load_explicit(&mount->ringing, memory_order_relaxed))
        rings_let_gather();
}

SERVED(LOOKUP, lookup, (fuse_req_t req, fuse_ino_t parent, const char *name), (req, parent, name),
       parent, name)
SERVED(FORGET, forget, (fuse_req_t req, fuse_ino_t ino, uint64_t count), (req, ino, count), ino)
SERVED(FORGET, forget_multi, (fuse_req_t req, size_t count, struct fuse_forget_data *forgets),
       (req, count, forgets), 0)
SERVED(READLINK, readlink, (fuse_req_t req, fuse_ino_t ino), (req, ino), ino)
SERVED(GETATTR, getattr, (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi),
       (req, ino, fi), ino)
#ifdef HAVE_STATX_OP
SERVED(STATX, statx,
       (fuse_req_t req, fuse_ino_t ino, int flags, int mask, struct fuse_file_info *fi),
       (req, ino, flags, mask, fi), ino)
#endif
SERVED(SETATTR, setattr,
       (fuse_req_t req, fuse_ino_t ino, struct stat *attr, int valid, struct fuse_file_info *fi),
       (req, ino, attr, valid, fi), ino, .act = op_setattr_word(valid))
SERVED(STATFS, statfs, (fuse_req_t req, fuse_ino_t ino), (req, ino), ino)
SERVED(OPENDIR, opendir, (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi),
       (req, ino, fi), ino)
SERVED(READDIR, readdir,
       (fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi),
       (req, ino, size, offset, fi), ino)
SERVED(READDIRPLUS, readdirplus,
       (fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi),
       (req, ino, size, offset, fi), ino)
SERVED(RELEASEDIR, releasedir, (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi),
       (req, ino, fi), ino)
SERVED(FSYNCDIR, fsyncdir,
       (fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi),
       (req, ino, datasync, fi), ino)
SERVED(MKNOD, mknod, (fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev),
       (req, parent, name, mode, rdev), parent, name)
SERVED(MKDIR, mkdir, (fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode),
       (req, parent, name, mode), parent, name)
SERVED(SYMLINK, symlink, (fuse_req_t req, const char *target, fuse_ino_t parent, const char *name),
       (req, target, parent, name), parent, name)
SERVED(LINK, link, (fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name),
       (req, ino, parent, name), ino, .to = parent, .to_name = name)
SERVED(CREATE, create,
       (fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
        struct fuse_file_info *fi),
       (req, parent, name, mode, fi), parent, name)
SERVED(TMPFILE, tmpfile,
       (fuse_req_t req, fuse_ino_t parent, mode_t mode, struct fuse_file_info *fi),
       (req, parent, mode, fi), parent)
SERVED(UNLINK, unlink, (fuse_req_t req, fuse_ino_t parent, const char *name), (req, parent, name),
       parent, name)
SERVED(RMDIR, rmdir, (fuse_req_t req, fuse_ino_t parent, const char *name), (req, parent, name),
       parent, name)
SERVED(RENAME, rename,
       (fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
        const char *new_name, unsigned flags),
       (req, parent, name, new_parent, new_name, flags), parent, name, new_parent, new_name)
SERVED(OPEN, open, (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi), (req, ino, fi), ino)
SERVED(RELEASE, release, (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi),
       (req, ino, fi), ino)
SERVED(READ, read,
       (fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi),
       (req, ino, size, offset, fi), ino, .length = size)
SERVED(WRITE, write,
       (fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t offset,
        struct fuse_file_info *fi),
       (req, ino, data, size, offset, fi), ino)
SERVED(FLUSH, flush, (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi), (req, ino, fi),
       ino)
SERVED(FSYNC, fsync, (fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi),
       (req, ino, datasync, fi), ino)
SERVED(FALLOCATE, fallocate,
       (fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length,
        struct fuse_file_info *fi),
       (req, ino, mode, offset, length, fi), ino)
SERVED(COPY_FILE_RANGE, copy_file_range,
       (fuse_req_t req, fuse_ino_t in, off_t in_offset, struct fuse_file_info *in_fi,
        fuse_ino_t out, off_t out_offset, struct fuse_file_info *out_fi, size_t length, int flags),
       (req, in, in_offset, in_fi, out, out_offset, out_fi, length, flags), in, .to = out)
SERVED(LSEEK, lseek,
       (fuse_req_t req, fuse_ino_t ino, off_t offset, int whence, struct fuse_file_info *fi),
       (req, ino, offset, whence, fi), ino)
SERVED(GETLK, getlk,
       (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, struct flock *range),
       (req, ino, fi, range), ino)
SERVED(SETLK, setlk,
       (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, struct flock *range, int waits),
       (req, ino, fi, range, waits), ino)
SERVED(FLOCK, flock, (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, int operation),
       (req, ino, fi, operation), ino)
SERVED(SETXATTR, setxattr,
       (fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size,
        int flags),
       (req, ino, name, value, size, flags), ino)
SERVED(GETXATTR, getxattr, (fuse_req_t req, fuse_ino_t ino, const char *name, size_t size),
       (req, ino, name, size), ino)
SERVED(LISTXATTR, listxattr, (fuse_req_t req, fuse_ino_t ino, size_t size), (req, ino, size), ino)
SERVED(REMOVEXATTR, removexattr, (fuse_req_t req, fuse_ino_t ino, const char *name),
       (req, ino, name), ino)
SERVED(IOCTL, ioctl,
       (fuse_req_t req, fuse_ino_t ino, unsigned command, void *arg, struct fuse_file_info *fi,
        unsigned flags, const void *in, size_t in_size, size_t out_size),
       (req, ino, command, arg, fi, flags, in, in_size, out_size), ino)

const struct fuse_lowlevel_ops ops_table = {
    .init = op_init,
    .lookup = serve_lookup,
    .forget = serve_forget,
    .forget_multi = serve_forget_multi,
    .readlink = serve_readlink,
    .getattr = serve_getattr,
#ifdef HAVE_STATX_OP
    .statx = serve_statx,
#endif
    .setattr = serve_setattr,
    .statfs = serve_statfs,
    .opendir = serve_opendir,
    .readdir = serve_readdir,
    .readdirplus = serve_readdirplus,
    .releasedir = serve_releasedir,
    .fsyncdir = serve_fsyncdir,
    .mknod = serve_mknod,
    .mkdir = serve_mkdir,
    .symlink = serve_symlink,
    .link = serve_link,
    .create = serve_create,
    .tmpfile = serve_tmpfile,
    .unlink = serve_unlink,
    .rmdir = serve_rmdir,
    .rename = serve_rename,
    .open = serve_open,
    .release = serve_release,
    .read = serve_read,
    .write = serve_write,
    .flush = serve_flush,
    .fsync = serve_fsync,
    .fallocate = serve_fallocate,
    .copy_file_range = serve_copy_file_range,
    .lseek = serve_lseek,
    .getlk = serve_getlk,
    .setlk = serve_setlk,
    .flock = serve_flock,
    .setxattr = serve_setxattr,
    .getxattr = serve_getxattr,
    .listxattr = serve_listxattr,
    .removexattr = serve_removexattr,
    .ioctl = serve_ioctl,
};
