/* SPDX-License-Identifier: MIT
 *
 * The operations: one function for each request of the kernel, in one file per family. The user
 * data of the session is the mount. Each is four thoughts: find, permit, do, reply.
 */
#ifndef PLYFS_OPS_H
#define PLYFS_OPS_H

#include "mount.h"

#include <fuse_lowlevel.h>

/* The table that the session is made with. */
extern const struct fuse_lowlevel_ops ops_table;

static inline struct mount *ops_mount(fuse_req_t req)
{
    return fuse_req_userdata(req);
}

/* names: op_name.c */
void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t count);
void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets);
void op_readlink(fuse_req_t req, fuse_ino_t ino);

/* Looks (parent, name) up and answers with the entry: the end of every operation that makes one.
 * `changed` is the node whose attributes that changed beside the parent's, or the parent itself; 0
 * where nothing was made. */
void op_reply_lookup(fuse_req_t req, const struct node_view *parent, const char *name,
                     uint64_t changed);

/* To be called before an error is answered for something that was made all the same: what the
 * kernel remembers of these two nodes is no longer so. */
void op_made_in_vain(struct mount *mount, uint64_t directory, uint64_t changed);

/* attributes: op_attr.c */
void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
#ifdef HAVE_STATX_OP
void op_statx(fuse_req_t req, fuse_ino_t ino, int flags, int mask, struct fuse_file_info *fi);
#endif
void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int valid,
                struct fuse_file_info *fi);
void op_statfs(fuse_req_t req, fuse_ino_t ino);

/* "truncate", "chmod", "chown" or "utimens". */
const char *op_setattr_word(int valid);

/* Cuts or extends a file. `by_descriptor`: as ftruncate(2), which changes the times also of a file
 * whose size stays; `kill`: and takes privileges away, those that the caller may not keep. */
int op_set_size(fuse_req_t req, uint64_t ino, off_t size, bool by_descriptor, bool kill);

/* Takes setuid, setgid and capabilities away where a change by an unprivileged caller must: before
 * the change, as the kernel does, so that no crash leaves somebody's data with another's rights. */
int op_kill_privileges(fuse_req_t req, uint64_t ino, int fd);

/* Whether what is under way with a node's data, and puts back what it found (a copy-up of data that
 * stayed below; op_write, of a page that is written back), must not find half of a change of its
 * metadata: that is made under the node's lock then. `privileges`: the change is of those. */
bool op_waits_for_data(const struct node_view *view, bool privileges);

/* directories: op_dir.c */
void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                struct fuse_file_info *fi);
void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                    struct fuse_file_info *fi);
void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);

/* making: op_make.c */
void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev);
void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode);
void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name);
void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name);
void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
               struct fuse_file_info *fi);
void op_tmpfile(fuse_req_t req, fuse_ino_t parent, mode_t mode, struct fuse_file_info *fi);

/* removing and moving: op_remove.c, op_rename.c */
void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
               const char *new_name, unsigned flags);

/* Opens what is about to lose its name, so that a node which the kernel still holds keeps working.
 * mount.names is held. *fd is -1 when nothing needs to be kept. */
int op_hold_victim(struct mount *mount, const struct node_view *victim, int *fd, bool *writable);
/* The name is gone: pins what was held when the node has no other name, else closes it. */
void op_settle_victim(struct mount *mount, const struct node_view *victim, bool orphan, int fd,
                      bool writable);

/* An indexed inode that has lost its last shown name gives up its index entry too. */
void op_drop_index(struct mount *mount, const struct node_view *victim);

/* file content: op_file.c */
void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi);
void op_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t offset,
              struct fuse_file_info *fi);
void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);
void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length,
                  struct fuse_file_info *fi);
void op_copy_file_range(fuse_req_t req, fuse_ino_t in, off_t in_offset,
                        struct fuse_file_info *in_fi, fuse_ino_t out, off_t out_offset,
                        struct fuse_file_info *out_fi, size_t length, int flags);
void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t offset, int whence, struct fuse_file_info *fi);

/* Decides how an open of this node is answered in the tracked profile, passthrough or cached, and
 * counts it; of a plain tree the file is opened now. The node's lock is held. */
must_check int op_count_open(fuse_req_t req, const struct node_view *view,
                             struct fuse_file_info *fi);

/* locks: op_lock.c */
void op_setlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, struct flock *range,
              int waits);
void op_getlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, struct flock *range);
void op_flock(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, int operation);
void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);

/* What an open with these flags is known by where locks are asked for by it, else 0; and its end.
 */
uint64_t op_new_handle(struct mount *mount, int flags);
void op_end_handle(struct mount *mount, fuse_ino_t ino, uint64_t handle);

/* extended attributes and inode flags: op_xattr.c, op_ioctl.c */
void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size,
                 int flags);
void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size);
void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size);
void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name);
void op_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned command, void *arg,
              struct fuse_file_info *fi, unsigned flags, const void *in, size_t in_size,
              size_t out_size);

/* the handshake: op_init.c */
void op_init(void *userdata, struct fuse_conn_info *conn);

#endif
