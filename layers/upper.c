/* SPDX-License-Identifier: MIT
 *
 * Duty: single changes of the writable layer, each of which is whole or not there at every instant.
 *
 *   whiteout over an object:  make the whiteout in the stage, rename it over the object
 *                             (a directory: exchange the two, then clear the stage)
 *   `.wh.` form:              make `.wh.NAME` first, remove NAME then; NAME counts while both are
 *                             there
 */
#include "upper.h"

#include "blank.h"
#include "fd.h"
#include "linkindex.h"
#include "log.h"
#include "rmtree.h"
#include "whiteout.h"
#include "xattr.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

#ifndef RENAME_WHITEOUT
#define RENAME_WHITEOUT (1 << 2)
#endif

void upper_temp_name(char name[UPPER_TEMP_MAX])
{
    static atomic_ullong counter;
    unsigned long long number = atomic_fetch_add(&counter, 1);
    char digits[2 * sizeof(number)];
    size_t at = sizeof(digits);
    do {
        digits[--at] = "0123456789abcdef"[number & 15];
    } while (number >>= 4);
    name[0] = '#';
    memcpy(name + 1, digits + at, sizeof(digits) - at);
    name[1 + sizeof(digits) - at] = 0;
}

static int make_device_whiteout(int dir, const char *name)
{
    return mknodat(dir, name, S_IFCHR, makedev(0, 0)) < 0 ? -errno : 0;
}

static int make_empty_file(int dir, const char *name)
{
    int fd = fd_open_name(dir, name, O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (fd < 0)
        return fd;
    close(fd);
    return 0;
}

/* ---- removing trees ---- */

static int remove_tree(int dir, const char *name);

static int remove_children(int fd)
{
    cleanup_dir DIR *dir = fdopendir(fd);
    if (!dir) {
        int err = -errno;
        close(fd);
        return err;
    }
    int result = 0;
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (!entry)
            return result ? result : -errno;
        int err = fd_is_dot(entry->d_name) ? 0 : remove_tree(fd, entry->d_name);
        result = err ? err : result;
    }
}

static int remove_tree(int dir, const char *name)
{
    if (unlinkat(dir, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return -errno;
    if (unlinkat(dir, name, AT_REMOVEDIR) == 0)
        return 0;
    if (errno != ENOTEMPTY && errno != EEXIST)
        return -errno;
    /* Without privilege the mode of what is to go may forbid to empty it. */
    if (geteuid() != 0)
        (void)!fd_chmod(dir, name, 0700);
    int fd = fd_open_name(dir, name, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return fd;
    int err = remove_children(fd);
    if (err)
        return err;
    return unlinkat(dir, name, AT_REMOVEDIR) < 0 ? -errno : 0;
}

void upper_discard(const struct stack *stack, const char *temp)
{
    int err = remove_tree(stack->stage, temp);
    if (err)
        log_debug("left in the work directory: %s (%s)", temp, strerror(-err));
}

/* ---- whiteouts ---- */

int upper_whiteout(const struct stack *stack, int dir, const char *name)
{
    if (stack->able.whiteform == WHITEFORM_DEVICE)
        return make_device_whiteout(dir, name);
    char white[NAME_MAX + sizeof(WHITEOUT_PREFIX)];
    if (snprintf(white, sizeof(white), WHITEOUT_PREFIX "%s", name) > NAME_MAX)
        return -ENAMETOOLONG;
    int err = make_empty_file(dir, white);
    return err == -EEXIST ? 0 : err;
}

int upper_exchange(const struct stack *stack, int a_dir, const char *a, int b_dir, const char *b)
{
    char temp[UPPER_TEMP_MAX];
    if (renameat2(a_dir, a, b_dir, b, RENAME_EXCHANGE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -errno;
    upper_temp_name(temp);
    if (renameat(b_dir, b, stack->stage, temp) < 0)
        return -errno;
    if (renameat(a_dir, a, b_dir, b) == 0)
        return renameat(stack->stage, temp, a_dir, a) < 0 ? -errno : 0;
    int err = -errno;
    (void)!renameat(stack->stage, temp, b_dir, b);
    return err;
}

static int cover_with_device(const struct stack *stack, int dir, const char *name, bool is_dir)
{
    char temp[UPPER_TEMP_MAX];
    upper_temp_name(temp);
    int err = make_device_whiteout(stack->stage, temp);
    if (err)
        return err;
    if (!is_dir) {
        if (renameat(stack->stage, temp, dir, name) == 0)
            return 0;
        err = -errno;
    } else {
        err = upper_exchange(stack, stack->stage, temp, dir, name);
        /* A read-only directory gets another ".." by who may write into it; it is on its way out.
         */
        if (err == -EACCES && fd_chmod(dir, name, 0700) == 0)
            err = upper_exchange(stack, stack->stage, temp, dir, name);
    }
    upper_discard(stack, temp);
    return err;
}

int upper_cover(const struct stack *stack, int dir, const char *name, bool is_dir)
{
    if (stack->able.whiteform == WHITEFORM_DEVICE)
        return cover_with_device(stack, dir, name, is_dir);
    int err = upper_whiteout(stack, dir, name);
    return err ? err : upper_remove(stack, dir, name, is_dir);
}

int upper_remove(const struct stack *stack, int dir, const char *name, bool is_dir)
{
    if (unlinkat(dir, name, is_dir ? AT_REMOVEDIR : 0) == 0)
        return 0;
    if (!is_dir || (errno != ENOTEMPTY && errno != EEXIST) || stack->plain)
        return -errno;
    char temp[UPPER_TEMP_MAX];
    upper_temp_name(temp);
    int err = rmtree_move(dir, name, stack->stage, temp);
    if (!err)
        upper_discard(stack, temp);
    return err;
}

int upper_uncover(const struct stack *stack, int dir, const char *name)
{
    struct stat st;
    char white[NAME_MAX + sizeof(WHITEOUT_PREFIX)];
    if (stack->able.whiteform == WHITEFORM_DEVICE) {
        int err = fd_stat(dir, name, &st);
        if (err == 0 && whiteout_is_device(&st) && unlinkat(dir, name, 0) < 0)
            err = -errno;
        return err == -ENOENT ? 0 : err;
    }
    if (snprintf(white, sizeof(white), WHITEOUT_PREFIX "%s", name) > NAME_MAX)
        return 0;
    return unlinkat(dir, white, 0) < 0 && errno != ENOENT ? -errno : 0;
}

int upper_set_opaque(const struct stack *stack, int dir, const char *name)
{
    if (stack->able.space != OVLSPACE_NONE)
        return ovlattr_set(stack->able.space, dir, name, OVLATTR_OPAQUE, "y", 1);
    cleanup_fd int fd = fd_open_name(dir, name, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return fd;
    int err = make_empty_file(fd, WHITEOUT_OPAQUE);
    return err == -EEXIST ? 0 : err;
}

int upper_look(const struct stack *stack, int dir, const char *name, struct stat *st)
{
    int err = fd_stat(dir, name, st);
    if (err == 0)
        return whiteout_is_device(st) && !stack->plain ? UPPER_WHITEOUT : UPPER_OBJECT;
    if (err != -ENOENT)
        return err;
    char white[NAME_MAX + sizeof(WHITEOUT_PREFIX)];
    if (stack->able.whiteform == WHITEFORM_DEVICE ||
        snprintf(white, sizeof(white), WHITEOUT_PREFIX "%s", name) > NAME_MAX)
        return UPPER_NOTHING;
    err = fd_stat(dir, white, st);
    return err == 0 ? UPPER_WHITEOUT : err == -ENOENT ? UPPER_NOTHING : err;
}

/* ---- opening: locks, sweep, probes ---- */

static int open_lock(const char *path, enum upper_fault busy, enum upper_fault *fault)
{
    cleanup_fd int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    /* A daemon whose mount has just gone holds its lock for a moment still, so a busy one is asked
     * again for a second and a half. */
    const struct timespec pause = {.tv_nsec = 5000000};
    for (int tries = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; tries++) {
        if (errno != EWOULDBLOCK || tries == 300) {
            *fault = errno == EWOULDBLOCK ? busy : *fault;
            return -errno;
        }
        nanosleep(&pause, NULL);
    }
    return steal_fd(&fd);
}

static int make_dir(int parent, const char *name, int *fd)
{
    if (mkdirat(parent, name, 0700) < 0 && errno != EEXIST)
        return -errno;
    *fd = fd_open_name(parent, name, O_RDONLY | O_DIRECTORY, 0);
    return *fd < 0 ? *fd : 0;
}

/* What is staged must get nothing of the stage, however the work directory was made: an ACL that
 * goes down the tree or a group that is given away would come to light with it in the upper. So it
 * is in the kernel (ovl_workdir_create). */
static int bequeath_nothing(int dir)
{
    static const char *const ACLS[] = {"system.posix_acl_default", "system.posix_acl_access"};
    struct stat st;
    for (unsigned i = 0; i < sizeof(ACLS) / sizeof(ACLS[0]); i++) {
        int err = xattr_remove(dir, "", ACLS[i]);
        if (err && err != -ENODATA && err != -EOPNOTSUPP)
            return err;
    }
    if (fstat(dir, &st) < 0)
        return -errno;
    if (!(st.st_mode & S_ISGID))
        return 0;
    if (st.st_gid != getegid() && fchown(dir, (uid_t)-1, getegid()) < 0)
        return -errno;
    return fchmod(dir, st.st_mode & 07777 & ~(mode_t)S_ISGID) < 0 ? -errno : 0;
}

/* The index holds files of closed directories by names that anybody can guess: nobody else comes
 * in. What the kernel made has mode 0 and is left so. A filesystem whose modes are the same for all
 * (vfat) says EPERM and has nothing to close. */
static int close_to_others(int dir)
{
    struct stat st;
    if (fstat(dir, &st) < 0)
        return -errno;
    if ((st.st_mode & 07777 & ~(mode_t)S_IRWXU) == 0)
        return 0;
    return fchmod(dir, st.st_mode & S_IRWXU) < 0 && errno != EPERM ? -errno : 0;
}

/* A directory of our own in the work directory. */
static int open_own_dir(int work, const char *name, int *fd)
{
    int err = make_dir(work, name, fd);
    if (!err)
        err = bequeath_nothing(*fd);
    return err ? err : close_to_others(*fd);
}

/* 1, 0 or -errno. */
static int has_incompat(int stage)
{
    struct stat st;
    cleanup_fd int dir = fd_open_name(stage, "incompat", O_PATH | O_DIRECTORY, 0);
    int err = dir < 0 ? dir : fd_stat(dir, "volatile", &st);
    return !err ? 1 : err == -ENOENT || err == -ENOTDIR ? 0 : err;
}

int upper_mark_volatile(const struct stack *stack)
{
    int fd = -1;
    int err = make_dir(stack->stage, "incompat", &fd);
    cleanup_fd int incompat = fd;
    if (!err)
        err = make_empty_file(incompat, "volatile");
    return err;
}

/* What came of a probe: what failed says nothing of what can be done here. An upper whose books are
 * in one form must not be read in another because its disk was full for a moment. */
static int concluded(int err, bool *works)
{
    *works = err == 0;
    return fd_is_fault(err) ? err : 0;
}

/* Whether a whiteout device can be made here, and is one when looked at: some network filesystems
 * say yes and make something else. */
static int probe_whiteout(int stage, bool *works)
{
    struct stat st;
    char temp[UPPER_TEMP_MAX];
    upper_temp_name(temp);
    int err = make_device_whiteout(stage, temp);
    if (!err)
        err = fd_stat(stage, temp, &st);
    if (!err)
        err = whiteout_is_device(&st) ? 0 : -EOPNOTSUPP;
    (void)remove_tree(stage, temp);
    return concluded(err, works);
}

static int probe_space(int stage, bool force_user, enum ovlspace *space)
{
    static const enum ovlspace WISHES[] = {OVLSPACE_TRUSTED, OVLSPACE_USER};
    char temp[UPPER_TEMP_MAX];
    bool works = false;
    upper_temp_name(temp);
    *space = OVLSPACE_NONE;
    int err = mkdirat(stage, temp, 0700) < 0 ? -errno : 0;
    for (unsigned i = force_user; i < 2 && !err && !works; i++) {
        err = concluded(ovlattr_set(WISHES[i], stage, temp, OVLATTR_OPAQUE, "y", 1), &works);
        *space = works ? WISHES[i] : OVLSPACE_NONE;
    }
    (void)remove_tree(stage, temp);
    return err;
}

static int probe_tmpfile(int stage, bool *works)
{
    char temp[UPPER_TEMP_MAX], path[FD_PATH_MAX];
    upper_temp_name(temp);
    cleanup_fd int fd = blank_make(stage, 0600);
    if (fd < 0)
        return concluded(fd, works);
    fd_proc_path(path, fd, "");
    int err = linkat(AT_FDCWD, path, stage, temp, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
    (void)remove_tree(stage, temp);
    return concluded(err, works);
}

/* A default ACL, a directory that gives its group away or a server that maps owners would make it
 * something else. */
static int probe_exact(int stage, struct abilities *able)
{
    struct stat st;
    char temp[UPPER_TEMP_MAX];
    const mode_t mode = 0777, mask = umask(0);
    upper_temp_name(temp);
    int err = mkdirat(stage, temp, mode) < 0 ? -errno : 0;
    umask(mask);
    if (!err)
        err = fd_stat(stage, temp, &st);
    (void)remove_tree(stage, temp);
    if (err)
        return err;
    able->exact = (st.st_mode & 07777) == mode;
    able->uid = st.st_uid;
    able->gid = st.st_gid;
    return 0;
}

static int probe_rename_whiteout(int stage, bool *works)
{
    char from[UPPER_TEMP_MAX], to[UPPER_TEMP_MAX];
    struct stat st;
    upper_temp_name(from);
    upper_temp_name(to);
    int err = make_empty_file(stage, from);
    if (!err && renameat2(stage, from, stage, to, RENAME_WHITEOUT) < 0)
        err = -errno;
    if (!err)
        err = fd_stat(stage, from, &st);
    if (!err)
        err = whiteout_is_device(&st) ? 0 : -EOPNOTSUPP;
    (void)remove_tree(stage, from);
    (void)remove_tree(stage, to);
    return concluded(err, works);
}

static int probe_handles(const struct stack *stack, int dir, bool *works)
{
    struct origin origin;
    struct stat st;
    const struct backing *backing = &stack->backings[stack->layers[0].fs];
    int err = origin_of(backing, dir, "", &origin);
    if (!err)
        err = origin.size > 0 ? origin_stat(backing, &origin, &st) : -EOPNOTSUPP;
    /* Stale is what a handle of another kind is; this very directory is open. */
    return concluded(err == -ESTALE ? -EOPNOTSUPP : err, works);
}

static int probe_all(struct stack *stack, bool force_user)
{
    bool device;
    int err = probe_space(stack->stage, force_user, &stack->able.space);
    if (!err)
        err = probe_whiteout(stack->stage, &device);
    if (!err)
        err = probe_tmpfile(stack->stage, &stack->able.tmpfile);
    if (!err)
        err = probe_exact(stack->stage, &stack->able);
    stack->able.whiteform = !err && device ? WHITEFORM_DEVICE : WHITEFORM_FILE;
    if (!err && stack->able.whiteform == WHITEFORM_DEVICE)
        err = probe_rename_whiteout(stack->stage, &stack->able.rename_whiteout);
    stack->able.chown = geteuid() == 0;
    if (!err)
        err = probe_handles(stack, stack->stage, &stack->able.handles);
    if (err)
        return err;
    log_debug("upper: attributes %s, whiteouts %s, O_TMPFILE %s, RENAME_WHITEOUT %s, handles %s",
              stack->able.space == OVLSPACE_TRUSTED ? "trusted.overlay"
              : stack->able.space == OVLSPACE_USER  ? "user.overlay"
                                                    : "none",
              stack->able.whiteform == WHITEFORM_DEVICE ? "device 0:0" : ".wh. files",
              stack->able.tmpfile ? "yes" : "no", stack->able.rename_whiteout ? "yes" : "no",
              stack->able.handles ? "yes" : "no");
    return 0;
}

/* Told once for each filesystem, when it is mounted. */
static void tell_no_handles(const struct stack *stack, unsigned layer, const char *what)
{
    log_warning("%s: the filesystem of the layer %s has no file handles, or they are forbidden "
                "here; copying up one name of a hard-linked file of it parts that from the others",
                what, stack->layers[layer].path);
}

/* The lower filesystems, but that of the first layer, whose files cannot be in the index. */
static int tell_others_without(const struct stack *stack)
{
    bool asked[sizeof(stack->backings) / sizeof(stack->backings[0])] = {false};
    asked[stack->layers[1].fs] = true;
    for (unsigned i = 2; i < stack->count; i++) {
        struct origin origin;
        const struct layer *layer = &stack->layers[i];
        if (asked[layer->fs])
            continue;
        asked[layer->fs] = true;
        int err = origin_of(&stack->backings[layer->fs], layer->root, "", &origin);
        if (err)
            return err;
        if (origin.size == 0)
            tell_no_handles(stack, i, "not all is in the index");
    }
    return 0;
}

/* Whether the upper was last over the same lower layer. The kernel refuses to mount it with an
 * index where it was not; what was copied with its layers, from a backup for instance, is right all
 * the same, and nothing here tells it from what is not. */
static int check_lower_root(const struct stack *stack, const struct origin *origin)
{
    struct origin noted;
    ssize_t size = ovlattr_get(stack_upper_where(stack), stack->layers[0].root, "", OVLATTR_ORIGIN,
                               noted.bytes, sizeof(noted.bytes));
    if (size < 0)
        return fd_is_fault((int)size) ? (int)size : 0;
    if ((size_t)size != origin->size || memcmp(noted.bytes, origin->bytes, origin->size) != 0)
        log_warning("the upper layer %s was written over another layer than %s: where that had "
                    "other content, a file whose data stayed below, or a directory that was moved, "
                    "shows what is here now",
                    stack->layers[0].path, stack->layers[1].path);
    return 0;
}

/* The index needs attributes and, for every lower filesystem, handles; the kernel refuses an upper
 * whose index was made for another root, so its two root marks are kept as it keeps them. */
static int open_index(struct stack *stack, int work)
{
    struct origin origin;
    if (!stack->features.index)
        return 0;
    if (stack->able.space == OVLSPACE_NONE || stack->count < 2) {
        stack->features.index = false;
        return 0;
    }
    int err = origin_of(&stack->backings[stack->layers[1].fs], stack->layers[1].root, "", &origin);
    if (err)
        return err;
    if (origin.size == 0) {
        tell_no_handles(stack, 1, "the index is off");
        stack->features.index = false;
        return 0;
    }
    ovlset attrs;
    err = tell_others_without(stack);
    if (!err)
        err = open_own_dir(work, "index", &stack->index);
    if (err)
        return err;
    linkindex_sweep(stack);
    int root = stack->layers[0].root;
    err = ovlattr_list(stack_upper_where(stack), root, "", &attrs);
    if (!err && ovlset_has(attrs, OVLATTR_ORIGIN))
        err = check_lower_root(stack, &origin);
    else if (!err)
        err = ovlattr_set(stack->able.space, root, "", OVLATTR_ORIGIN, origin.bytes, origin.size);
    return err;
}

static int find_index(struct stack *stack, const char *work)
{
    cleanup_fd int dir = open(work, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return -errno;
    int index = fd_open_name(dir, "index", O_RDONLY | O_DIRECTORY, 0);
    if (index < 0 && index != -ENOENT)
        return index;
    stack->index = index < 0 ? -1 : index;
    return 0;
}

/* Where reading is to leave no date: has the upper by a view of our own, and gives the work
 * directory by the same, or else leaves it to each descriptor, and gives -1. */
static int view_undated(struct stack *stack, int work)
{
    struct layer *upper = &stack->layers[0];
    const int dirs[] = {upper->root, work};
    int views[] = {-1, -1};
    if (stack->features.undated == OWNVIEW_DATED)
        return -1;
    char *real[] = {fd_real_path(upper->root), fd_real_path(work)};
    ownview_open(dirs, real, 2, stack->features.undated, views);
    if (views[0] < 0 || views[1] < 0 || stack_take_view(upper, views[0], real[0]) != 0) {
        fdcache_leave_no_date(stack->fds, stack->features.undated);
        own_close(&views[1]);
    }
    own_close(&views[0]);
    free(real[0]);
    free(real[1]);
    return views[1];
}

int upper_peek(struct stack *stack, int scratch, const char *work, bool force_user)
{
    stack->stage = fd_open_name(scratch, ".", O_RDONLY | O_DIRECTORY, 0);
    if (stack->stage < 0)
        return stack->stage;
    int err = probe_all(stack, force_user);
    return err ? err : find_index(stack, work);
}

/* The kernel asks who writes trusted attributes, and not where: so a file in memory tells. */
static bool may_be_trusted(void)
{
    cleanup_fd int file = memfd_create("attributes", MFD_CLOEXEC);
    return file >= 0 && ovlattr_set(OVLSPACE_TRUSTED, file, "", OVLATTR_OPAQUE, "y", 1) == 0;
}

int upper_peek_frozen(struct stack *stack, const char *work, bool force_user)
{
    stack->able = (struct abilities){
        .space = !force_user && may_be_trusted() ? OVLSPACE_TRUSTED : OVLSPACE_USER,
        .whiteform = WHITEFORM_DEVICE,
    };
    int err = probe_handles(stack, stack->layers[0].root, &stack->able.handles);
    return err ? err : find_index(stack, work);
}

int upper_open(struct stack *stack, const char *work, bool force_user, int lock_fds[2],
               enum upper_fault *fault)
{
    struct stat upper_st, work_st;
    *fault = UPPER_FAULT_NONE;
    lock_fds[0] = open_lock(stack->layers[0].path, UPPER_FAULT_UPPER_BUSY, fault);
    if (lock_fds[0] < 0)
        return lock_fds[0];
    *fault = UPPER_FAULT_WORK;
    lock_fds[1] = open_lock(work, UPPER_FAULT_WORK_BUSY, fault);
    if (lock_fds[1] < 0)
        return lock_fds[1];
    if (fstat(stack->layers[0].root, &upper_st) < 0 || fstat(lock_fds[1], &work_st) < 0)
        return -errno;
    if (upper_st.st_dev != work_st.st_dev) {
        *fault = UPPER_FAULT_OTHER_FS;
        return -EXDEV;
    }
    cleanup_fd int own = view_undated(stack, lock_fds[1]);
    const int dir = own < 0 ? lock_fds[1] : own;
    int err = open_own_dir(dir, "work", &stack->stage);
    if (err)
        return err;
    int marked = has_incompat(stack->stage);
    if (marked > 0)
        *fault = UPPER_FAULT_INCOMPATIBLE;
    if (marked)
        return marked < 0 ? marked : -EINVAL;
    int sweep = fd_open_name(stack->stage, ".", O_RDONLY | O_DIRECTORY, 0);
    err = sweep < 0 ? sweep : remove_children(sweep);
    if (err)
        return err;
    err = probe_all(stack, force_user);
    if (!err)
        err = open_index(stack, dir);
    if (!err)
        *fault = UPPER_FAULT_NONE;
    return err;
}
