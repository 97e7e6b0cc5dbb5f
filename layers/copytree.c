/* SPDX-License-Identifier: MIT
 *
 * Duty: one object after the other, in the order of the walk. A directory gets its owner, mode and
 * times when it is left, so that it can be written into until then and is not touched afterwards.
 *
 * Order at each object: owner, attributes, mode, times. A chown takes file capabilities away; a
 * file that is read-only takes no attributes from an ordinary user.
 *
 * Cost: what copydata.c and copymeta.c say, and two opens for each directory.
 */
#include "copytree.h"

#include "copydata.h"
#include "copymeta.h"
#include "dress.h"
#include "fd.h"
#include "linkset.h"
#include "log.h"
#include "ovlattr.h"
#include "treewalk.h"

#include <fcntl.h>
#include <linux/limits.h>
#include <stdio.h>
#include <string.h>

struct copying {
    struct copytree *job;
    struct treewalk *walk;
    struct linkset *links;
    bool recorded;    /* of some object its owner, mode or device */
    struct stat home; /* of the copy's root */
    /* The directory of the copy that was needed last, and its path. */
    int parent;
    char *parent_path;
    uint64_t done;
};

static int refuse(struct copying *copy, const char *why)
{
    snprintf(copy->job->words, sizeof(copy->job->words), "%.400s: %s", treewalk_path(copy->walk),
             why);
    return -EINVAL;
}

/* ---- places in the copy ---- */

/* Opens the directory that the first `length` bytes of a path name; "" is the root. */
static int open_directory(const struct copying *copy, const char *path, size_t length)
{
    cleanup_free char *front = strndup(path, length);
    return front ? fd_open_beneath(copy->job->to, front, O_PATH | O_DIRECTORY) : -ENOMEM;
}

/* What stands before the last name of a path. */
static size_t front_length(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash - path) : 0;
}

/* Sets copy->parent to the directory that `path` lies in. */
static int find_parent(struct copying *copy, const char *path)
{
    size_t length = front_length(path);
    if (copy->parent_path && strlen(copy->parent_path) == length &&
        memcmp(copy->parent_path, path, length) == 0)
        return 0;
    free(steal_ptr(&copy->parent_path));
    own_close(&copy->parent);
    copy->parent = open_directory(copy, path, length);
    if (copy->parent < 0)
        return copy->parent;
    copy->parent_path = strndup(path, length);
    return copy->parent_path ? 0 : -ENOMEM;
}

/* ---- what is not content ---- */

enum {
    KEPT = 1 << OVLATTR_OPAQUE | 1 << OVLATTR_WHITEOUT,
    HALF = 1 << OVLATTR_REDIRECT | 1 << OVLATTR_METACOPY,
};

static int remove_stale(int dir, const char *name, ovlset stale)
{
    for (enum ovlattr attr = 0; attr < OVLATTR_COUNT; attr++) {
        int err = ovlset_has(stale, attr) ? ovlattr_remove(OVLSPACE_USER, dir, name, attr) : 0;
        if (!err && ovlset_has(stale, attr))
            err = ovlattr_remove(OVLSPACE_TRUSTED, dir, name, attr);
        if (err && err != -EPERM)
            return err;
    }
    return 0;
}

/* An opaque mark of fuse-overlayfs, or one that may not be written here, becomes one that may. */
static int mark_opaque(int dir, const char *name)
{
    int err = ovlattr_set(OVLSPACE_TRUSTED, dir, name, OVLATTR_OPAQUE, "y", 1);
    return err ? ovlattr_set(OVLSPACE_USER, dir, name, OVLATTR_OPAQUE, "y", 1) : 0;
}

static int copy_attributes(enum treekind kind, const struct walk_step *step, int dir,
                           const char *name)
{
    ovlset had = 0, has = 0;
    int err =
        kind == TREEKIND_PLAIN ? 0 : ovlattr_list(OVLWHERE_SEALED, step->dir, step->name, &had);
    /* In no namespace nothing is private: all is copied as it lies there. */
    if (!err)
        err = copymeta_xattrs(OVLSPACE_NONE, step->dir, step->name, dir, name, NULL);
    if (!err && had)
        err = ovlattr_list(OVLWHERE_SEALED, dir, name, &has);
    if (err || !had)
        return err;
    err = remove_stale(dir, name, has & ~(ovlset)KEPT);
    ovlset lost = had & KEPT & ~has;
    if (!err && ovlset_has(lost, OVLATTR_OPAQUE))
        err = mark_opaque(dir, name);
    if (!err && ovlset_has(lost, OVLATTR_WHITEOUT))
        err = -EOPNOTSUPP;
    return err;
}

/* Makes (dir, name) look like what the step found. */
static int make_alike(struct copying *copy, const struct walk_step *step, int dir, const char *name)
{
    struct stat now;
    mode_t mode;
    const struct tar_entry owner = {.mode = step->st.st_mode,
                                    .uid = step->st.st_uid,
                                    .gid = step->st.st_gid,
                                    .rdev = step->st.st_rdev};
    int err = fd_stat(dir, name, &now);
    if (!err)
        err = dress_owner(dir, name, &owner, now.st_mode & S_IFMT, &mode);
    copy->recorded = copy->recorded || err > 0;
    if (err >= 0)
        err = copy_attributes(copy->job->kind, step, dir, name);
    if (!err && !S_ISLNK(now.st_mode))
        err = fd_chmod(dir, name, mode);
    return err ? err : copymeta_times(dir, name, &step->st);
}

/* ---- objects ---- */

static int copy_content(struct copying *copy, const struct walk_step *step, int to)
{
    struct copied copied;
    struct stat st;
    /* Empty is also what a file says that makes up its content when it is read. */
    if (step->st.st_size == 0)
        return 0;
    cleanup_fd int from = fd_open_name(step->dir, step->name, O_RDONLY | O_NONBLOCK, 0);
    if (from < 0)
        return from;
    int err = fd_stat(from, "", &st);
    if (err)
        return err;
    /* Owner and mode are those of what the walk met: no other file's content goes under them. */
    if (!S_ISREG(st.st_mode) || st.st_ino != step->st.st_ino || st.st_dev != step->st.st_dev)
        return -ESTALE;
    err = copydata_copy(from, to, st.st_size, true, NULL, &copied);
    copy->done += (uint64_t)st.st_size;
    if (!err && copy->job->seen)
        copy->job->seen(copy->job->context, copy->done);
    return err;
}

static int copy_file(struct copying *copy, const struct walk_step *step)
{
    cleanup_fd int to = fd_open_name(copy->parent, step->leaf, O_WRONLY | O_CREAT | O_EXCL, 0600);
    return to < 0 ? to : copy_content(copy, step, to);
}

/* The size in a stat is not believed: procfs says 0. */
static int copy_symlink(const struct copying *copy, const struct walk_step *step)
{
    char target[PATH_MAX];
    ssize_t length = readlinkat(step->dir, step->name, target, sizeof(target));
    if (length < 0)
        return -errno;
    if (length == sizeof(target))
        return -ENAMETOOLONG;
    target[length] = 0;
    return symlinkat(target, copy->parent, step->leaf) < 0 ? -errno : 0;
}

static int make_node(const struct copying *copy, const struct walk_step *step, mode_t type,
                     dev_t device)
{
    return mknodat(copy->parent, step->leaf, type | 0600, device) < 0 ? -errno : 0;
}

/* A device that may not be made is stood for by an empty file. */
static int copy_node(const struct copying *copy, const struct walk_step *step)
{
    int err = make_node(copy, step, step->st.st_mode & S_IFMT, step->st.st_rdev);
    return err == -EPERM ? make_node(copy, step, S_IFREG, 0) : err;
}

static int copy_link(const struct copying *copy, const struct walk_step *step, const char *first)
{
    size_t length = front_length(first);
    cleanup_fd int dir = open_directory(copy, first, length);
    if (dir < 0)
        return dir;
    const char *name = first + length + (length > 0);
    return linkat(dir, name, copy->parent, step->leaf, 0) < 0 ? -errno : 0;
}

static int make_object(struct copying *copy, const struct walk_step *step)
{
    switch (step->st.st_mode & S_IFMT) {
    case S_IFREG:
        return copy_file(copy, step);
    case S_IFLNK:
        return copy_symlink(copy, step);
    default:
        return copy_node(copy, step);
    }
}

static int copy_object(struct copying *copy, const struct walk_step *step)
{
    const char *first;
    if (S_ISSOCK(step->st.st_mode)) {
        log_warning("%s: a socket is left out", step->path);
        return 0;
    }
    int err = linkset_first(copy->links, &step->st, step->path, &first);
    if (err || first)
        return err ? err : copy_link(copy, step, first);
    err = make_object(copy, step);
    return err ? err : make_alike(copy, step, copy->parent, step->leaf);
}

static int enter_directory(struct copying *copy, const struct walk_step *step)
{
    if (step->st.st_dev == copy->home.st_dev && step->st.st_ino == copy->home.st_ino)
        return refuse(copy, "the copy itself lies in what is copied");
    if (strcmp(step->path, ".") == 0)
        return 0;
    return mkdirat(copy->parent, step->leaf, 0700) < 0 ? -errno : 0;
}

static int leave_directory(struct copying *copy, const struct walk_step *step)
{
    bool root = strcmp(step->path, ".") == 0;
    return make_alike(copy, step, root ? copy->job->to : copy->parent, root ? "" : step->leaf);
}

static int copy_step(struct copying *copy, const struct walk_step *step)
{
    ovlset attrs = 0;
    int err = 0;
    if (!step->leaving && copy->job->kind == TREEKIND_LAYER)
        err = ovlattr_list(OVLWHERE_SEALED, step->dir, step->name, &attrs);
    if (!err && (attrs & HALF))
        return refuse(copy, "it stands on another layer (redirect or metacopy)");
    if (!err)
        err = find_parent(copy, step->path);
    if (err)
        return err;
    if (!S_ISDIR(step->st.st_mode))
        return copy_object(copy, step);
    return step->leaving ? leave_directory(copy, step) : enter_directory(copy, step);
}

static int copy_all(struct copying *copy)
{
    struct walk_step step;
    int err = 0, more = 1;
    while (!err && (more = treewalk_next(copy->walk, &step)) == 1)
        err = copy_step(copy, &step);
    err = err ? err : more;
    if (!err && copy->recorded && copy->job->kind == TREEKIND_LAYER)
        err = dress_mark(copy->job->to);
    if (err && !copy->job->words[0])
        snprintf(copy->job->words, sizeof(copy->job->words), "%.400s: %s",
                 treewalk_path(copy->walk),
                 err == -ESTALE ? "it was changed meanwhile" : strerror(-err));
    return err;
}

int copytree_copy(struct copytree *job)
{
    int err = 0;
    job->words[0] = 0;
    cleanup_linkset struct linkset *links = linkset_create();
    cleanup_treewalk struct treewalk *walk = treewalk_open(job->from, &err);
    struct copying copy = {.job = job, .walk = walk, .links = links, .parent = -1};
    err = links ? err : -ENOMEM;
    if (!err)
        err = fd_stat(job->to, "", &copy.home);
    if (err) {
        snprintf(job->words, sizeof(job->words), "%s", strerror(-err));
        return err;
    }
    err = copy_all(&copy);
    own_close(&copy.parent);
    free(copy.parent_path);
    return err;
}
