/* SPDX-License-Identifier: MIT
 *
 * least [--copying | --gathering] HOST MOUNTPOINT: the least that a FUSE filesystem can be. It
 * shows the regular files of one directory, and knows nothing else. It opens them and hands them to
 * the kernel (passthrough); or, copying, it answers each write with one call, and each read through
 * a pipe without any copy of its own; or, gathering, it leaves it to the kernel to gather writes.
 * What it costs beyond a bind mount is what the kernel's own passthrough costs, or its page cache
 * and the way of the bytes through a daemon: no daemon can cost less.
 */
#define FUSE_USE_VERSION FUSE_MAKE_VERSION(3, 17)
#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILES_MAX = 64 };
static const double FOREVER = 1e9; /* seconds */

static int host;                /* the directory */
static bool copying, gathering; /* the latter is a way of the former */
static char names[FILES_MAX][NAME_MAX + 1];
static int opened[FILES_MAX]; /* copying: the descriptor of each */
static int file_count;

/* 0 and the path "." for the root; nodes beyond it are indices into `names`. */
static const char *name_of(fuse_ino_t ino)
{
    return ino == FUSE_ROOT_ID ? "." : names[ino - 2];
}

static void on_init(void *userdata, struct fuse_conn_info *conn)
{
    (void)userdata;
    (void)fuse_set_feature_flag(conn, FUSE_CAP_HANDLE_KILLPRIV_V2);
    if (gathering)
        (void)fuse_set_feature_flag(conn, FUSE_CAP_WRITEBACK_CACHE);
    if (copying) {
        (void)fuse_set_feature_flag(conn, FUSE_CAP_SPLICE_WRITE);
        return;
    }
    (void)fuse_set_feature_flag(conn, FUSE_CAP_PASSTHROUGH);
    conn->max_backing_stack_depth = 1;
}

/* What is there by the name now, in `entry`; 0 or an errno. */
static int look_up(fuse_ino_t parent, const char *name, struct fuse_entry_param *entry)
{
    int i = 0;
    *entry = (struct fuse_entry_param){.attr_timeout = FOREVER, .entry_timeout = FOREVER};
    if (parent != FUSE_ROOT_ID || fstatat(host, name, &entry->attr, AT_SYMLINK_NOFOLLOW) < 0)
        return ENOENT;
    while (i < file_count && strcmp(names[i], name) != 0)
        i++;
    if (i == file_count && (i == FILES_MAX || strlen(name) > NAME_MAX))
        return ENFILE;
    if (i == file_count) {
        strcpy(names[file_count++], name);
        opened[i] = copying ? openat(host, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC) : -1;
    }
    entry->ino = entry->attr.st_ino = (fuse_ino_t)i + 2;
    return 0;
}

static void on_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct fuse_entry_param entry;
    int err = look_up(parent, name, &entry);
    if (err)
        fuse_reply_err(req, err);
    else
        fuse_reply_entry(req, &entry);
}

static void on_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                      struct fuse_file_info *fi)
{
    struct fuse_entry_param entry;
    int fd = openat(host, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    int err = fd < 0 ? errno : look_up(parent, name, &entry);
    if (fd >= 0)
        close(fd);
    if (err) {
        fuse_reply_err(req, err);
        return;
    }
    fi->keep_cache = 1;
    fuse_reply_create(req, &entry, fi);
}

static void on_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct stat st;
    (void)fi;
    if (fstatat(host, name_of(ino), &st, AT_SYMLINK_NOFOLLOW) < 0) {
        fuse_reply_err(req, errno);
        return;
    }
    st.st_ino = ino;
    fuse_reply_attr(req, &st, FOREVER);
}

static void on_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    int fd = openat(host, name_of(ino), (fi->flags & O_ACCMODE) | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        fuse_reply_err(req, errno);
        return;
    }
    int backing = fuse_passthrough_open(req, fd);
    if (backing <= 0) {
        close(fd);
        fuse_reply_err(req, ENOTSUP);
        return;
    }
    fi->backing_id = backing;
    fi->fh = (uint64_t)fd << 32 | (uint32_t)backing;
    fuse_reply_open(req, fi);
}

static void on_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t offset,
                     struct fuse_file_info *fi)
{
    (void)fi;
    ssize_t put = pwrite(opened[ino - 2], data, size, offset);
    if (put < 0)
        fuse_reply_err(req, errno);
    else
        fuse_reply_write(req, (size_t)put);
}

/* Its file ends where the kernel was told. */
static void on_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                    struct fuse_file_info *fi)
{
    struct fuse_bufvec data = FUSE_BUFVEC_INIT(size);
    (void)fi;
    data.buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK;
    data.buf[0].fd = opened[ino - 2];
    data.buf[0].pos = offset;
    fuse_reply_data(req, &data, 0);
}

/* The kernel stamps what it has gathered; the file has a time of its own. */
static void on_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int which,
                       struct fuse_file_info *fi)
{
    (void)attr, (void)which;
    on_getattr(req, ino, fi);
}

static void on_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    fuse_passthrough_close(req, (int)(uint32_t)fi->fh);
    close((int)(fi->fh >> 32));
    fuse_reply_err(req, 0);
}

static void on_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    (void)ino;
    int fd = (int)(fi->fh >> 32);
    fuse_reply_err(req, (datasync ? fdatasync(fd) : fsync(fd)) < 0 ? errno : 0);
}

static const struct fuse_lowlevel_ops PASSING = {
    .init = on_init,
    .lookup = on_lookup,
    .getattr = on_getattr,
    .open = on_open,
    .release = on_release,
    .fsync = on_fsync,
};
static const struct fuse_lowlevel_ops COPYING = {
    .init = on_init,
    .lookup = on_lookup,
    .getattr = on_getattr,
    .setattr = on_setattr,
    .create = on_create,
    .read = on_read,
    .write = on_write,
};

int main(int count, char **words)
{
    char own_name[] = "least", options[] = "-oallow_other,default_permissions,fsname=least";
    char *no_words[] = {own_name, options, NULL};
    struct fuse_args args = FUSE_ARGS_INIT(2, no_words);
    gathering = count == 4 && strcmp(words[1], "--gathering") == 0;
    copying = gathering || (count == 4 && strcmp(words[1], "--copying") == 0);
    const char *from = words[count - 2], *at = words[count - 1];
    host = count == 3 || copying ? open(from, O_PATH | O_DIRECTORY) : -1;
    if (host < 0) {
        fprintf(stderr, "usage: least [--copying | --gathering] HOST MOUNTPOINT\n");
        return 2;
    }
    const struct fuse_lowlevel_ops *operations = copying ? &COPYING : &PASSING;
    struct fuse_session *session = fuse_session_new(&args, operations, sizeof(*operations), NULL);
    if (!session || fuse_session_mount(session, at) != 0) {
        fprintf(stderr, "least: cannot mount on %s\n", at);
        return 1;
    }
    fuse_daemonize(0);
    int err = fuse_session_loop(session);
    fuse_session_unmount(session);
    fuse_session_destroy(session);
    return err ? 1 : 0;
}
