/* SPDX-License-Identifier: MIT
 *
 * least HOST MOUNTPOINT: the least that a FUSE filesystem can be which hands its files to the
 * kernel (passthrough). It shows the regular files of one directory, opens them, and knows nothing
 * else. What it costs beyond a bind mount is what the kernel's own passthrough costs: no daemon can
 * cost less.
 */
#define FUSE_USE_VERSION FUSE_MAKE_VERSION(3, 17)
#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILES_MAX = 64 };
static const double FOREVER = 1e9; /* seconds */

static int host; /* the directory */
static char names[FILES_MAX][NAME_MAX + 1];
static int file_count;

/* 0 and the path "." for the root; nodes beyond it are indices into `names`. */
static const char *name_of(fuse_ino_t ino)
{
    return ino == FUSE_ROOT_ID ? "." : names[ino - 2];
}

static void on_init(void *userdata, struct fuse_conn_info *conn)
{
    (void)userdata;
    (void)fuse_set_feature_flag(conn, FUSE_CAP_PASSTHROUGH);
    (void)fuse_set_feature_flag(conn, FUSE_CAP_HANDLE_KILLPRIV_V2);
    conn->max_backing_stack_depth = 1;
}

static void on_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct fuse_entry_param entry = {.attr_timeout = FOREVER, .entry_timeout = FOREVER};
    int i = 0;
    if (parent != FUSE_ROOT_ID || fstatat(host, name, &entry.attr, AT_SYMLINK_NOFOLLOW) < 0) {
        fuse_reply_err(req, ENOENT);
        return;
    }
    while (i < file_count && strcmp(names[i], name) != 0)
        i++;
    if (i == file_count && (i == FILES_MAX || strlen(name) > NAME_MAX)) {
        fuse_reply_err(req, ENFILE);
        return;
    }
    if (i == file_count)
        strcpy(names[file_count++], name);
    entry.ino = entry.attr.st_ino = (fuse_ino_t)i + 2;
    fuse_reply_entry(req, &entry);
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

static const struct fuse_lowlevel_ops OPERATIONS = {
    .init = on_init,
    .lookup = on_lookup,
    .getattr = on_getattr,
    .open = on_open,
    .release = on_release,
    .fsync = on_fsync,
};

int main(int count, char **words)
{
    char own_name[] = "least", options[] = "-oallow_other,default_permissions,fsname=least";
    char *no_words[] = {own_name, options, NULL};
    struct fuse_args args = FUSE_ARGS_INIT(2, no_words);
    host = count == 3 ? open(words[1], O_PATH | O_DIRECTORY) : -1;
    if (host < 0) {
        fprintf(stderr, "usage: least HOST MOUNTPOINT\n");
        return 2;
    }
    struct fuse_session *session = fuse_session_new(&args, &OPERATIONS, sizeof(OPERATIONS), NULL);
    if (!session || fuse_session_mount(session, words[2]) != 0) {
        fprintf(stderr, "least: cannot mount on %s\n", words[2]);
        return 1;
    }
    fuse_daemonize(0);
    int err = fuse_session_loop(session);
    fuse_session_unmount(session);
    fuse_session_destroy(session);
    return err ? 1 : 0;
}
