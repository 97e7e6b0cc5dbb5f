/* SPDX-License-Identifier: MIT
 *
 * Duty: the table of operations. Each is entered through a function that remembers who asks for as
 * long as it is served.
 */
#include "ops.h"

#include "asker.h"
#include "probes.h"

/* Every operation answers before it returns; then the request is gone. */
#define SERVED(operation, parameters, arguments)                                                   \
    static void serve_##operation parameters                                                       \
    {                                                                                              \
        asker_begin(fuse_req_ctx(req)->pid, fuse_req_ctx(req)->uid);                               \
        probe_request_begin(#operation, fuse_req_ctx(req)->pid);                                   \
        op_##operation arguments;                                                                  \
        probe_request_end(#operation);                                                             \
        asker_end();                                                                               \
    }

SERVED(lookup, (fuse_req_t req, fuse_ino_t parent, const char *name), (req, parent, name))
SERVED(forget, (fuse_req_t req, fuse_ino_t ino, uint64_t count), (req, ino, count))
SERVED(forget_multi, (fuse_req_t req, size_t count, struct fuse_forget_data *forgets),
       (req, count, forgets))
SERVED(readlink, (fuse_req_t req, fuse_ino_t ino), (req, ino))
SERVED(getattr, (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi), (req, ino, fi))
#ifdef HAVE_STATX_OP
SERVED(statx, (fuse_req_t req, fuse_ino_t ino, int flags, int mask, struct fuse_file_info *fi),
       (req, ino, flags, mask, fi))
#endif
SERVED(setattr,
       (fuse_req_t req, fuse_ino_t ino, struct stat *attr, int valid, struct fuse_file_info *fi),
       (req, ino, attr, valid, fi))
SERVED(statfs, (fuse_req_t req, fuse_ino_t ino), (req, ino))
SERVED(opendir, (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi), (req, ino, fi))
SERVED(readdir,
       (fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi),
       (req, ino, size, offset, fi))
SERVED(readdirplus,
       (fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi),
       (req, ino, size, offset, fi))
SERVED(releasedir, (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi), (req, ino, fi))
SERVED(fsyncdir, (fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi),
       (req, ino, datasync, fi))
SERVED(mknod, (fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev),
       (req, parent, name, mode, rdev))
SERVED(mkdir, (fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode),
       (req, parent, name, mode))
SERVED(symlink, (fuse_req_t req, const char *target, fuse_ino_t parent, const char *name),
       (req, target, parent, name))
SERVED(link, (fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name),
       (req, ino, parent, name))
SERVED(create,
       (fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
        struct fuse_file_info *fi),
       (req, parent, name, mode, fi))
SERVED(tmpfile, (fuse_req_t req, fuse_ino_t parent, mode_t mode, struct fuse_file_info *fi),
       (req, parent, mode, fi))
SERVED(unlink, (fuse_req_t req, fuse_ino_t parent, const char *name), (req, parent, name))
SERVED(rmdir, (fuse_req_t req, fuse_ino_t parent, const char *name), (req, parent, name))
SERVED(rename,
       (fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
        const char *new_name, unsigned flags),
       (req, parent, name, new_parent, new_name, flags))
SERVED(open, (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi), (req, ino, fi))
SERVED(release, (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi), (req, ino, fi))
SERVED(read, (fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi),
       (req, ino, size, offset, fi))
SERVED(write,
       (fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t offset,
        struct fuse_file_info *fi),
       (req, ino, data, size, offset, fi))
SERVED(flush, (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi), (req, ino, fi))
SERVED(fsync, (fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi),
       (req, ino, datasync, fi))
SERVED(fallocate,
       (fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length,
        struct fuse_file_info *fi),
       (req, ino, mode, offset, length, fi))
SERVED(copy_file_range,
       (fuse_req_t req, fuse_ino_t in, off_t in_offset, struct fuse_file_info *in_fi,
        fuse_ino_t out, off_t out_offset, struct fuse_file_info *out_fi, size_t length, int flags),
       (req, in, in_offset, in_fi, out, out_offset, out_fi, length, flags))
SERVED(lseek, (fuse_req_t req, fuse_ino_t ino, off_t offset, int whence, struct fuse_file_info *fi),
       (req, ino, offset, whence, fi))
SERVED(setxattr,
       (fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size,
        int flags),
       (req, ino, name, value, size, flags))
SERVED(getxattr, (fuse_req_t req, fuse_ino_t ino, const char *name, size_t size),
       (req, ino, name, size))
SERVED(listxattr, (fuse_req_t req, fuse_ino_t ino, size_t size), (req, ino, size))
SERVED(removexattr, (fuse_req_t req, fuse_ino_t ino, const char *name), (req, ino, name))
SERVED(ioctl,
       (fuse_req_t req, fuse_ino_t ino, unsigned command, void *arg, struct fuse_file_info *fi,
        unsigned flags, const void *in, size_t in_size, size_t out_size),
       (req, ino, command, arg, fi, flags, in, in_size, out_size))

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
    .setxattr = serve_setxattr,
    .getxattr = serve_getxattr,
    .listxattr = serve_listxattr,
    .removexattr = serve_removexattr,
    .ioctl = serve_ioctl,
};
