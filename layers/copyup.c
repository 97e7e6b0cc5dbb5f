/* SPDX-License-Identifier: MIT
 *
 * Duty: the steps of a copy-up, in this order, each in the stage where nobody sees it:
 * make, data, owner and mode, attributes, origin (and metacopy, nlink), times, sync; then publish.
 * With a hard-link index the object is published as index/HEX first and linked into place from
 * there (kernel: fs/overlayfs/copy_up.c). The times of the directory that it appears in are put
 * back.
 */
#include "copyup.h"

#include "blank.h"
#include "copymeta.h"
#include "entry.h"
#include "fd.h"
#include "fileflags.h"
#include "linkindex.h"
#include "origin.h"
#include "record.h"
#include "upper.h"
#include "xattr.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>

/* A staged object: by descriptor (a file without a name), or by name in the stage. */
struct staged {
    int fd; /* open for writing when it is a regular file; else -1 */
    char temp[UPPER_TEMP_MAX];
    bool named;
    struct stat made; /* what it looked like when it had just been made */
    struct stat look; /* what it is to look like: the source, but for a mode that is wished */
};

/* How the *at calls reach a staged object. */
static int staged_dir(const struct copyup *job, const struct staged *staged)
{
    return staged->named ? job->stack->stage : staged->fd;
}

static const char *staged_name(const struct staged *staged)
{
    return staged->named ? staged->temp : "";
}

static void staged_finish(const struct copyup *job, struct staged *staged)
{
    own_close(&staged->fd);
    if (staged->named)
        upper_discard(job->stack, staged->temp);
}

/* The mode to make it with: its own, which need not be set then, where its owner may work on it. */
static mode_t first_mode(const struct copyup *job, const struct staged *staged, mode_t least)
{
    mode_t mode = staged->look.st_mode & 0777;
    return (mode & least) == least && !job->stack->layers[0].record ? mode : least;
}

static int make_regular(const struct copyup *job, struct staged *staged, mode_t mode)
{
    if (job->stack->able.tmpfile) {
        const struct blank_kind kind = {
            .mode = mode,
            .metacopy = job->meta_only ? job->stack->able.space : OVLSPACE_NONE,
        };
        staged->fd = blanks_take(job->stack->blanks, job->stack->stage, &kind);
        return staged->fd < 0 ? staged->fd : 0;
    }
    staged->fd = fd_open_name(job->stack->stage, staged->temp, O_RDWR | O_CREAT | O_EXCL, mode);
    staged->named = staged->fd >= 0;
    return staged->fd < 0 ? staged->fd : 0;
}

static int make_symlink(const struct copyup *job, struct staged *staged)
{
    char target[PATH_MAX + 1];
    ssize_t length = readlinkat(job->src_dir, job->src_name, target, PATH_MAX);
    if (length < 0)
        return -errno;
    target[length] = 0;
    if (symlinkat(target, job->stack->stage, staged->temp) < 0)
        return -errno;
    staged->named = true;
    return 0;
}

/* What stands for it in the upper. */
static mode_t disk_type(const struct copyup *job)
{
    mode_t mode = job->src.st_mode;
    return job->stack->layers[0].record ? record_disk_type(mode) : mode & S_IFMT;
}

/* *mode: what was asked for. */
static int make_by_type(const struct copyup *job, struct staged *staged, mode_t *mode)
{
    const mode_t type = disk_type(job);
    *mode = type | first_mode(job, staged, S_ISDIR(type) ? 0700 : 0600);
    switch (type) {
    case S_IFREG:
        return make_regular(job, staged, *mode & 0777);
    case S_IFLNK:
        return make_symlink(job, staged);
    case S_IFDIR:
        if (mkdirat(job->stack->stage, staged->temp, *mode & 0777) < 0)
            return -errno;
        break;
    default:
        *mode = type | 0600;
        if (mknodat(job->stack->stage, staged->temp, *mode, job->src.st_rdev) < 0)
            return -errno;
    }
    staged->named = true;
    return 0;
}

/* Where it is looked at in its place anyway, what is known of a new object need not be asked. */
static int look_at_made(const struct copyup *job, struct staged *staged, mode_t mode)
{
    const struct abilities *able = &job->stack->able;
    if (!job->mode || job->torn || !able->exact || S_ISLNK(mode))
        return fd_stat(staged_dir(job, staged), staged_name(staged), &staged->made);
    staged->made = (struct stat){.st_mode = mode, .st_uid = able->uid, .st_gid = able->gid};
    return 0;
}

static int make_staged(const struct copyup *job, struct staged *staged)
{
    *staged = (struct staged){.fd = -1, .look = job->src};
    if (job->mode)
        staged->look.st_mode = (job->src.st_mode & S_IFMT) | (*job->mode & 07777);
    upper_temp_name(staged->temp);
    mode_t mode;
    int err = make_by_type(job, staged, &mode);
    return err ? err : look_at_made(job, staged, mode);
}

/* Opens the data of the object that is copied up. */
static int open_source(const struct copyup *job)
{
    if (job->src_data >= 0)
        return fd_reopen(job->src_data, O_RDONLY);
    if (*job->src_name == 0)
        return fd_reopen(job->src_dir, O_RDONLY);
    int fd = fd_open_name(job->src_dir, job->src_name, O_RDONLY | O_NOATIME | O_NONBLOCK, 0);
    return fd != -EPERM ? fd : fd_open_name(job->src_dir, job->src_name, O_RDONLY | O_NONBLOCK, 0);
}

static int copy_data(struct copyup *job, const struct staged *staged)
{
    off_t size = job->src.st_size;
    bool whole = job->limit < 0 || job->limit >= size;
    if (job->meta_only)
        return ftruncate(staged->fd, size) < 0 ? -errno : 0;
    if (!whole)
        size = job->limit;
    if (size == 0)
        return 0;
    cleanup_fd int src = open_source(job);
    if (src < 0)
        return src;
    int err = copydata_copy(src, staged->fd, size, whole, job->given_up, &job->copied);
    if (!err && job->stack->features.sync && job->copied.bytes > 0 && fdatasync(staged->fd) < 0)
        err = -errno;
    return err;
}

/* An attribute of the books that is good to have; where the object cannot carry it (user.* on a
 * symlink), it goes without. */
static int set_if_possible(const struct copyup *job, const struct staged *staged, enum ovlattr attr,
                           const void *value, size_t size)
{
    if (job->stack->able.space == OVLSPACE_NONE)
        return 0;
    int err = ovlattr_set(job->stack->able.space, staged_dir(job, staged), staged_name(staged),
                          attr, value, size);
    return err == -EPERM || err == -EOPNOTSUPP ? 0 : err;
}

static int set_origin(const struct copyup *job, const struct staged *staged)
{
    struct origin origin;
    const struct stack *stack = job->stack;
    bool is_dir = S_ISDIR(job->src.st_mode);
    /* The links of a lower inode that part ways must not share a number. */
    if (job->torn)
        return 0;
    int err = origin_of(&stack->backings[stack->layers[job->src_layer].fs], job->src_dir,
                        job->src_name, &origin);
    if (!err && origin.size > 0)
        err = set_if_possible(job, staged, OVLATTR_ORIGIN, origin.bytes, origin.size);
    if (!err && !is_dir && (origin.size == 0 || !stack->able.handles)) {
        err = set_if_possible(job, staged, OVLATTR_INO, &job->src_ino, sizeof(job->src_ino));
    }
    return err;
}

/* In the upper it is kept from nothing by the filesystem itself, for we have to work on it: an
 * attribute says so (kernel: ovl_copy_fileattr). */
static int set_held(const struct copyup *job, const struct staged *staged)
{
    char letters[2];
    size_t count = held_write(job->held, letters);
    return count ? set_if_possible(job, staged, OVLATTR_PROTATTR, letters, count) : 0;
}

static int set_books(const struct copyup *job, const struct staged *staged)
{
    int err = set_origin(job, staged);
    if (!err)
        err = set_held(job, staged);
    if (!err && job->meta_only && job->redirect)
        err = ovlattr_set(job->stack->able.space, staged_dir(job, staged), staged_name(staged),
                          OVLATTR_REDIRECT, job->redirect, strlen(job->redirect));
    /* A file without a name was made with it (make_regular). */
    if (!err && job->meta_only && staged->named)
        err = ovlattr_set(job->stack->able.space, staged_dir(job, staged), staged_name(staged),
                          OVLATTR_METACOPY, "", 0);
    /* Relative to the lower count until it has its name: the shown count cannot be wrong meanwhile.
     */
    if (!err && job->index_name)
        err = ovlattr_set(job->stack->able.space, staged_dir(job, staged), staged_name(staged),
                          OVLATTR_NLINK, "L+0", 3);
    return err;
}

/* A file that is cut short on its way up is what truncate(2) would have left: changed now. */
static int set_times(const struct copyup *job, const struct staged *staged)
{
    struct stat times = job->src;
    bool whole = job->limit < 0 || job->limit >= job->src.st_size || !S_ISREG(job->src.st_mode);
    if (!whole && !job->meta_only)
        times.st_mtim = (struct timespec){.tv_nsec = UTIME_NOW};
    if (staged->fd < 0)
        return copymeta_times(job->stack->stage, staged->temp, &times);
    const struct timespec both[2] = {times.st_atim, times.st_mtim};
    return futimens(staged->fd, both) < 0 ? -errno : 0;
}

/* Where the mode alone is asked, a list that cannot be held here says nothing. */
static int copy_attributes(const struct copyup *job, int dir, const char *name, bool *any)
{
    const struct stack *stack = job->stack;
    int err = copymeta_xattrs(stack->able.space, job->src_dir, job->src_name, dir, name, any);
    return err == -EOPNOTSUPP && stack->features.mode_only ? 0 : err;
}

/* Owner, attributes and mode. A record of the source does not go along: what it says is given, or
 * recorded anew. The mode or the record comes last: without privilege nobody sets attributes of
 * what he may not write (xattr(7)), and a lower file may be read-only. */
static int set_look(const struct copyup *job, const struct staged *staged)
{
    const int dir = staged_dir(job, staged);
    const char *name = staged_name(staged);
    const struct layer *layers = job->stack->layers;
    const char *record = layers[0].record, *source_record = layers[job->src_layer].record;
    bool any = false;
    int err = record ? 0 : copymeta_owner(dir, name, &staged->made, &staged->look);
    if (!err)
        err = copy_attributes(job, dir, name, &any);
    if (!err && source_record) {
        err = xattr_remove(dir, name, source_record);
        err = err == -ENODATA || err == -EOPNOTSUPP || err == -EPERM ? 0 : err;
    }
    if (err)
        return err;
    if (record)
        return record_write(record, dir, name, &staged->look);
    /* An access list that came along has brought the mode of the source. */
    if (any && job->mode)
        return fd_chmod(dir, name, staged->look.st_mode & 07777);
    return copymeta_mode(dir, name, &staged->made, &staged->look);
}

static int dress(const struct copyup *job, const struct staged *staged)
{
    int err = set_books(job, staged);
    if (!err)
        err = set_look(job, staged);
    if (!err && (S_ISREG(job->src.st_mode) || S_ISDIR(job->src.st_mode)))
        fileflags_copy(job->src_dir, job->src_name, staged_dir(job, staged), staged_name(staged));
    return err ? err : set_times(job, staged);
}

static int link_fd(int fd, int dir, const char *name)
{
    char path[FD_PATH_MAX];
    /* To whoever opened it (Linux 6.10), and to the privileged. */
    if (linkat(fd, "", dir, name, AT_EMPTY_PATH) == 0)
        return 0;
    if (errno != ENOENT && errno != EPERM)
        return -errno;
    fd_proc_path(path, fd, "");
    return linkat(AT_FDCWD, path, dir, name, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

static int publish_at(const struct copyup *job, struct staged *staged, int dir, const char *name)
{
    if (!staged->named)
        return link_fd(staged->fd, dir, name);
    if (renameat2(job->stack->stage, staged->temp, dir, name, RENAME_NOREPLACE) == 0) {
        staged->named = false;
        return 0;
    }
    if (errno != EINVAL)
        return -errno;
    /* No RENAME_NOREPLACE here: a link refuses to replace as well, a rename of a directory replaces
     * an empty directory at most, and there is none. */
    if (S_ISDIR(job->src.st_mode) ? renameat(job->stack->stage, staged->temp, dir, name) < 0
                                  : linkat(job->stack->stage, staged->temp, dir, name, 0) < 0)
        return -errno;
    staged->named = !S_ISDIR(job->src.st_mode);
    return 0;
}

/* Without privilege a directory is moved to another by who may write into it, for its ".." is
 * rewritten: one that is read-only is its owner's to write until it is in its place. */
static int publish_read_only_dir(const struct copyup *job, struct staged *staged)
{
    const mode_t mode = staged->look.st_mode & 07777;
    int err = fd_chmod(job->stack->stage, staged->temp, mode | S_IWUSR);
    if (!err)
        err = publish_at(job, staged, job->dst_dir, job->dst_name);
    if (err)
        return err;
    err = fd_chmod(job->dst_dir, job->dst_name, mode);
    if (err) /* it must not stay with a mode that nobody asked for */
        unlinkat(job->dst_dir, job->dst_name, AT_REMOVEDIR);
    return err;
}

/* An entry of the index that no name was linked to, because that failed: nobody looks for it. */
static bool is_stranded(const struct stack *stack, const char *index_name)
{
    struct stat st;
    return fd_stat(stack->index, index_name, &st) == 0 && st.st_nlink == 1;
}

static int publish_in_index(const struct copyup *job, struct staged *staged)
{
    const struct stack *stack = job->stack;
    int err = publish_at(job, staged, stack->index, job->index_name);
    if (err == -EEXIST && is_stranded(stack, job->index_name) &&
        unlinkat(stack->index, job->index_name, 0) == 0)
        err = publish_at(job, staged, stack->index, job->index_name);
    if (err)
        return err;
    err = linkindex_link_first(stack, job->index_name, job->dst_dir, job->dst_name,
                               job->src.st_nlink);
    if (err && is_stranded(stack, job->index_name))
        unlinkat(stack->index, job->index_name, 0);
    return err;
}

static int publish_there(const struct copyup *job, struct staged *staged)
{
    if (job->index_name)
        return publish_in_index(job, staged);
    int err = publish_at(job, staged, job->dst_dir, job->dst_name);
    if (err == -EACCES && S_ISDIR(job->src.st_mode) && !(staged->look.st_mode & S_IWUSR) &&
        !job->stack->layers[0].record)
        err = publish_read_only_dir(job, staged);
    return err;
}

/* To change what is there already needs no right to write the directory. Without privilege it is
 * its owner's to write for the moment in which the copy gets its name. */
static int publish_in_closed_dir(const struct copyup *job, struct staged *staged,
                                 const struct stat *dir)
{
    int err = fd_chmod(job->dst_dir, "", (dir->st_mode & 07777) | 0300);
    if (err)
        return err;
    err = publish_there(job, staged);
    /* Who could open it can close it. */
    (void)!fd_chmod(job->dst_dir, "", dir->st_mode & 07777);
    return err;
}

/* The last step that can fail: when this does, the place is as it was. The times of the directory
 * are put back as far as that goes, as in the kernel (ovl_copy_up_workdir). */
static int publish_now(const struct copyup *job, struct staged *staged)
{
    struct stat before;
    if (fstat(job->dst_dir, &before) < 0)
        return -errno;
    const bool closed =
        (before.st_mode & 0300) != 0300 && geteuid() != 0 && before.st_uid == geteuid();
    int err = closed ? publish_in_closed_dir(job, staged, &before) : publish_there(job, staged);
    if (!err && !job->index_name)
        (void)!copymeta_times(job->dst_dir, "", &before);
    return err;
}

/* Nobody else changes the directory between the look at its times and their return. */
static int publish(const struct copyup *job, struct staged *staged)
{
    if (job->turn)
        pthread_rwlock_wrlock(job->turn);
    int err = publish_now(job, staged);
    if (job->turn)
        pthread_rwlock_unlock(job->turn);
    return err;
}

static void look_after(struct copyup *job, const struct staged *staged)
{
    bool open = staged->fd >= 0;
    job->known = stack_stat(job->stack, 0, open ? staged->fd : job->dst_dir,
                            open ? "" : job->dst_name, &job->after) == 0;
}

static int run(struct copyup *job)
{
    struct staged staged;
    job->copied = (struct copied){0};
    job->known = false;
    job->torn = !S_ISDIR(job->src.st_mode) && job->src.st_nlink > 1 && !job->index_name;
    int err = make_staged(job, &staged);
    if (!err && S_ISREG(job->src.st_mode))
        err = copy_data(job, &staged);
    if (!err)
        err = dress(job, &staged);
    if (!err)
        err = publish(job, &staged);
    if (!err && job->mode)
        look_after(job, &staged);
    job->made = job->known ? job->after.st_ino : staged.made.st_ino;
    if (!err && staged.fd >= 0) /* it has a name now, so that nobody waits for its end */
        fdcache_close(job->stack->fds, steal_fd(&staged.fd));
    staged_finish(job, &staged);
    return err;
}

int copyup_object(struct copyup *job)
{
    return run(job);
}

int copyup_dir(struct copyup *job)
{
    job->meta_only = false;
    job->index_name = NULL;
    return run(job);
}

/* What is no file, before it loses its name. */
static int open_staged(const struct copyup *job, const struct staged *staged)
{
    const int flags = S_ISDIR(job->src.st_mode) ? O_RDONLY | O_DIRECTORY : O_PATH;
    return fd_open_name(job->stack->stage, staged->temp, flags, 0);
}

int copyup_orphan(struct copyup *job)
{
    struct staged staged;
    job->meta_only = false;
    job->index_name = NULL;
    int err = make_staged(job, &staged);
    if (!err && S_ISREG(job->src.st_mode))
        err = copy_data(job, &staged);
    if (!err)
        err = set_look(job, &staged);
    if (!err)
        err = set_times(job, &staged);
    int fd = err ? err : staged.fd >= 0 ? steal_fd(&staged.fd) : open_staged(job, &staged);
    staged_finish(job, &staged); /* takes the name away that it was made by */
    return fd;
}

/* What the upper file of a metacopy looked like before it was filled. */
struct before {
    struct stat st;
    char capability[64];
    ssize_t capability_size; /* 0 for none */
};

static int look_before(int fd, struct before *before)
{
    if (fstat(fd, &before->st) < 0)
        return -errno;
    before->capability_size =
        xattr_get(fd, "", "security.capability", before->capability, sizeof(before->capability));
    if (before->capability_size == -ENODATA || before->capability_size == -EOPNOTSUPP)
        before->capability_size = 0;
    return before->capability_size < 0 ? (int)before->capability_size : 0;
}

/* The first write took setuid bits and capabilities away, as it does from anybody's file. */
static int restore(int fd, const struct before *before, bool moved)
{
    int err = copymeta_owner_mode(fd, "", &before->st);
    if (!err && before->capability_size > 0 && moved &&
        fsetxattr(fd, "security.capability", before->capability, (size_t)before->capability_size,
                  0) < 0)
        err = -errno;
    return err ? err : copymeta_times(fd, "", &before->st);
}

static int fill(const struct stack *stack, int fd, int data, off_t size, bool (*given_up)(void),
                struct copied *copied)
{
    int err = copydata_fill(data, fd, size, true, given_up, copied);
    if (!err && stack->features.sync && copied->bytes > 0 && fdatasync(fd) < 0)
        err = -errno;
    return err;
}

/* What was copied before a failure or a crash is copied again: the file shows the lower data until
 * the mark goes. */
int copyup_complete(const struct stack *stack, int fd, int data, bool (*given_up)(void),
                    struct copied *copied)
{
    struct before before;
    *copied = (struct copied){0};
    int err = look_before(fd, &before);
    if (err)
        return err;
    err = fill(stack, fd, data, before.st.st_size, given_up, copied);
    if (err) /* on a full disk nobody else could write either */
        (void)!fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, before.st.st_size);
    else
        err = restore(fd, &before, copied->means != COPYMEANS_NONE);
    if (!err)
        err = ovlattr_remove(stack->able.space, fd, "", OVLATTR_METACOPY);
    if (err)
        (void)!restore(fd, &before, copied->means != COPYMEANS_NONE);
    return err;
}

int copyup_complete_empty(const struct stack *stack, int fd)
{
    if (ftruncate(fd, 0) < 0)
        return -errno;
    return ovlattr_remove(stack->able.space, fd, "", OVLATTR_METACOPY);
}

bool copyup_moves_nothing(const struct stack *stack, int data)
{
    if (!stack->able.tmpfile)
        return false;
    cleanup_fd int fd = blank_make(stack->stage, 0600);
    return fd >= 0 && copydata_can_clone(data, fd);
}
