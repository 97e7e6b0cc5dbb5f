/* SPDX-License-Identifier: MIT
 *
 * Duty: the verbs of a directory. Where a whiteout stands at the name, what is made is staged and
 * renamed over it (a directory: marked opaque first, then exchanged with it), so that what lies
 * beneath never shows through in between.
 */
#include "edit.h"

#include "copymeta.h"
#include "fd.h"
#include "record.h"
#include "resolve.h"
#include "upper.h"
#include "xattr.h"

#include <fcntl.h>
#include <stdio.h>

#ifndef RENAME_WHITEOUT
#define RENAME_WHITEOUT (1 << 2)
#endif

static int make_at(int dir, const char *name, const struct making *making, int *fd)
{
    mode_t perm = making->mode & 07777;
    switch (making->mode & S_IFMT) {
    case S_IFREG: {
        int made = fd_open_name(dir, name, O_RDWR | O_CREAT | O_EXCL | making->flags, perm);
        if (made < 0)
            return made;
        if (fd)
            *fd = made;
        else
            close(made);
        return 0;
    }
    case S_IFDIR:
        return mkdirat(dir, name, perm) < 0 ? -errno : 0;
    case S_IFLNK:
        return symlinkat(making->target, dir, name) < 0 ? -errno : 0;
    default:
        return mknodat(dir, name, making->mode, making->rdev) < 0 ? -errno : 0;
    }
}

/* Whether a new object in `dir`, which looks like *st, takes more from it than its place: a group,
 * or a default ACL. 1, 0 or -errno. */
static int dir_is_inherited_from(int dir, struct stat *st)
{
    if (fstat(dir, st) < 0)
        return -errno;
    if (st->st_mode & S_ISGID)
        return 1;
    ssize_t size = xattr_get(dir, "", "system.posix_acl_default", NULL, 0);
    return size >= 0 ? size > 0 : size == -ENODATA || size == -EOPNOTSUPP ? 0 : (int)size;
}

/* A place in the stage where a new object inherits what it would in `dir`: the stage itself, or a
 * directory in it (named `temp`) that looks like `dir`. *place is to be closed when it has a name.
 */
static int stage_like(const struct stack *stack, int dir, char temp[UPPER_TEMP_MAX], int *place)
{
    struct stat st;
    temp[0] = 0;
    *place = stack->stage;
    int inherited = dir_is_inherited_from(dir, &st);
    if (inherited <= 0)
        return inherited;
    *place = -1; /* the stage itself is not the caller's to close */
    upper_temp_name(temp);
    if (mkdirat(stack->stage, temp, 0700) < 0)
        return -errno;
    int err = fd_chmod(stack->stage, temp, 0700); /* the umask is the caller's */
    if (err)
        return err;
    *place = fd_open_name(stack->stage, temp, O_RDONLY | O_DIRECTORY, 0);
    if (*place < 0)
        return *place;
    return copymeta_look(stack->able.space, dir, "", *place, "", &st);
}

/* Puts a staged object in the place of a whiteout. What fails after that is no failure: a mark that
 * is left beside an object hides nothing of it, a whiteout in the stage is swept. */
static int publish_over(const struct stack *stack, int place, const char *staged,
                        const struct editdir *dir, const char *name, bool is_dir)
{
    int err;
    if (stack->able.whiteform == WHITEFORM_FILE) {
        err = renameat(place, staged, dir->upper, name) < 0 ? -errno : 0;
        if (!err)
            (void)!upper_uncover(stack, dir->upper, name);
        return err;
    }
    if (!is_dir)
        return renameat(place, staged, dir->upper, name) < 0 ? -errno : 0;
    err = upper_exchange(stack, place, staged, dir->upper, name);
    if (!err)
        unlinkat(place, staged, 0);
    return err;
}

static bool is_closed_to_its_maker(mode_t mode)
{
    return (mode & S_IRWXU) != S_IRWXU;
}

/* A directory that its maker could not write into (mkdir of mode 0 happens, and so does a umask of
 * 0777) could neither be marked nor moved without privilege: it is its maker's own until it is in
 * its place. *mode: what it is to have there. */
static int make_opaque_dir(const struct stack *stack, int place, const char *staged,
                           const struct making *making, mode_t *mode)
{
    struct stat st;
    int err = make_at(place, staged, making, NULL);
    if (!err)
        err = fd_stat(place, staged, &st);
    if (err)
        return err;
    *mode = st.st_mode & 07777;
    if (is_closed_to_its_maker(*mode))
        err = fd_chmod(place, staged, *mode | S_IRWXU);
    return err ? err : upper_set_opaque(stack, place, staged);
}

/* Whoever has the privilege moves it closed. Else it is closed in its place: a crash between the
 * two leaves it open to its maker. */
static int publish_closed_dir(const struct stack *stack, int place, const char *staged,
                              const struct editdir *dir, const char *name, mode_t mode)
{
    int err = fd_chmod(place, staged, mode);
    if (!err)
        err = publish_over(stack, place, staged, dir, name, true);
    if (err != -EACCES)
        return err;
    err = fd_chmod(place, staged, mode | S_IRWXU);
    if (!err)
        err = publish_over(stack, place, staged, dir, name, true);
    if (err)
        return err;
    err = fd_chmod(dir->upper, name, mode);
    if (err) /* it must not stay with a mode that nobody asked for */
        (void)!upper_cover(stack, dir->upper, name, true);
    return err;
}

/* Leaves the place that stage_like() gave: its own directory goes, with what is in it; in the stage
 * itself `staged`, unless NULL, is taken away. */
static void leave_stage(const struct stack *stack, int place, const char *place_name,
                        const char *staged)
{
    if (staged && place == stack->stage)
        upper_discard(stack, staged);
    if (place_name[0]) {
        own_close(&place);
        upper_discard(stack, place_name);
    }
}

static int make_over_whiteout(const struct stack *stack, const struct editdir *dir,
                              const char *name, const struct making *making, int *fd)
{
    char place_name[UPPER_TEMP_MAX], staged[UPPER_TEMP_MAX];
    int place;
    mode_t mode = S_IRWXU;
    bool is_dir = S_ISDIR(making->mode), made = false;
    int err = stage_like(stack, dir->upper, place_name, &place);
    upper_temp_name(staged);
    if (!err) {
        err = is_dir ? make_opaque_dir(stack, place, staged, making, &mode)
                     : make_at(place, staged, making, fd);
        made = !err;
    }
    if (!err && is_closed_to_its_maker(mode))
        err = publish_closed_dir(stack, place, staged, dir, name, mode);
    else if (!err)
        err = publish_over(stack, place, staged, dir, name, is_dir);
    if (err && made && fd)
        close(steal_fd(fd));
    leave_stage(stack, place, place_name, err ? staged : NULL);
    return err;
}

/* ---- where owners are recorded ---- */

int edit_record(const struct stack *stack, int dir, int at, const char *name,
                const struct making *making)
{
    struct stat st, parent;
    int err = fd_stat(at, name, &st);
    if (!err)
        err = stack_stat(stack, 0, dir, "", &parent);
    if (err)
        return err;
    const mode_t given = making->mode & (S_ISUID | S_ISGID | S_ISVTX);
    struct stat meant = {.st_mode = (making->mode & S_IFMT) | given | (st.st_mode & 0777),
                         .st_rdev = making->rdev,
                         .st_uid = making->uid,
                         .st_gid = making->gid};
    if (parent.st_mode & S_ISGID) {
        meant.st_gid = parent.st_gid;
        meant.st_mode |= S_ISDIR(meant.st_mode) ? S_ISGID : 0;
    }
    return record_write(stack->layers[0].record, at, name, &meant);
}

/* Makes it, and all that is written on it, in the stage. */
static int stage_recorded(const struct stack *stack, const struct editdir *dir, int place,
                          const char *staged, const struct making *making, bool opaque, int *fd)
{
    struct making disk = *making;
    disk.mode = record_disk_type(making->mode) | (making->mode & 0777);
    int err = make_at(place, staged, &disk, fd);
    if (!err)
        err = edit_record(stack, dir->upper, place, staged, making);
    return err || !opaque ? err : upper_set_opaque(stack, place, staged);
}

static int publish_new(int place, const char *staged, int dir, const char *name)
{
    if (renameat2(place, staged, dir, name, RENAME_NOREPLACE) == 0)
        return 0;
    return errno == EINVAL && renameat(place, staged, dir, name) == 0 ? 0 : -errno;
}

/* An owner that is recorded comes after the object, so each new one is staged. */
static int make_recorded(const struct stack *stack, const struct editdir *dir, const char *name,
                         const struct making *making, int *fd)
{
    char place_name[UPPER_TEMP_MAX], staged[UPPER_TEMP_MAX];
    struct stat st;
    int place, look = upper_look(stack, dir->upper, name, &st);
    if (look < 0 || look == UPPER_OBJECT)
        return look < 0 ? look : -EEXIST;
    const bool is_dir = S_ISDIR(making->mode), over = look == UPPER_WHITEOUT;
    const bool opaque = is_dir && (over || (dir->sources && stack->able.space != OVLSPACE_NONE));
    int err = stage_like(stack, dir->upper, place_name, &place);
    upper_temp_name(staged);
    if (!err)
        err = stage_recorded(stack, dir, place, staged, making, opaque, fd);
    if (!err)
        err = over ? publish_over(stack, place, staged, dir, name, is_dir)
                   : publish_new(place, staged, dir->upper, name);
    if (err && fd)
        own_close(fd);
    leave_stage(stack, place, place_name, err ? staged : NULL);
    return err;
}

int edit_make(const struct stack *stack, const struct editdir *dir, const char *name,
              const struct making *making, int *fd)
{
    struct stat st;
    int look = UPPER_NOTHING, err = 0;
    if (stack->layers[0].record)
        return make_recorded(stack, dir, name, making, fd);
    if (stack->able.whiteform == WHITEFORM_FILE)
        look = upper_look(stack, dir->upper, name, &st);
    if (look == UPPER_NOTHING)
        err = make_at(dir->upper, name, making, fd);
    if (err == -EEXIST)
        look = upper_look(stack, dir->upper, name, &st);
    if (look == UPPER_WHITEOUT)
        return make_over_whiteout(stack, dir, name, making, fd);
    if (look < 0 || (look == UPPER_OBJECT && !err))
        return look < 0 ? look : -EEXIST;
    /* Nothing lies beneath a new name, but saying so saves later lookups the question. As in the
     * kernel it may fail. */
    if (!err && S_ISDIR(making->mode) && dir->sources && stack->able.space != OVLSPACE_NONE)
        (void)!upper_set_opaque(stack, dir->upper, name);
    return err;
}

static int link_at(int from_dir, const char *from_name, int dir, const char *name)
{
    char path[FD_PATH_MAX];
    if (*from_name)
        return linkat(from_dir, from_name, dir, name, 0) < 0 ? -errno : 0;
    fd_proc_path(path, from_dir, "");
    return linkat(AT_FDCWD, path, dir, name, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

int edit_link(const struct stack *stack, int from_dir, const char *from_name,
              const struct editdir *dir, const char *name)
{
    struct stat st;
    char temp[UPPER_TEMP_MAX];
    int look = upper_look(stack, dir->upper, name, &st);
    if (look < 0)
        return look;
    if (look != UPPER_WHITEOUT)
        return link_at(from_dir, from_name, dir->upper, name);
    upper_temp_name(temp);
    int err = link_at(from_dir, from_name, stack->stage, temp);
    if (err)
        return err;
    err = publish_over(stack, stack->stage, temp, dir, name, false);
    if (err)
        upper_discard(stack, temp);
    return err;
}

int edit_remove(const struct stack *stack, const struct editdir *dir, const char *name,
                bool in_upper, bool is_dir)
{
    int shows = resolve_lower_shows(stack, dir->sources, name);
    if (shows < 0)
        return shows;
    if (!in_upper)
        return upper_whiteout(stack, dir->upper, name);
    return shows ? upper_cover(stack, dir->upper, name, is_dir)
                 : upper_remove(stack, dir->upper, name, is_dir);
}

int edit_remove_unseen(const struct stack *stack, const struct editdir *dir, const char *name)
{
    int shows = resolve_lower_shows(stack, dir->sources, name);
    if (shows)
        return shows < 0 ? shows : -ENOTEMPTY;
    if (unlinkat(dir->upper, name, AT_REMOVEDIR) == 0)
        return 0;
    return errno == EEXIST ? -ENOTEMPTY : -errno;
}

/* ---- rename ---- */

/* Replaces an upper directory, empty in the union but full of whiteouts, by one without any. */
static int clear_dir(const struct stack *stack, int dir, const char *name)
{
    char temp[UPPER_TEMP_MAX];
    struct stat st;
    upper_temp_name(temp);
    int err = fd_stat(dir, name, &st);
    if (err)
        return err;
    if (mkdirat(stack->stage, temp, 0700) < 0)
        return -errno;
    err = copymeta_look(stack->able.space, dir, name, stack->stage, temp, &st);
    if (!err)
        err = upper_set_opaque(stack, stack->stage, temp);
    if (!err)
        err = copymeta_times(stack->stage, temp, &st);
    if (!err)
        err = upper_exchange(stack, stack->stage, temp, dir, name);
    upper_discard(stack, temp);
    return err;
}

/* renameat2(2). Where the filesystem knows no RENAME_NOREPLACE (NFS) it is enough that the name was
 * free when edit_rename() looked. */
static int move_on_disk(const struct renaming *renaming, unsigned flags)
{
    const int from = renaming->from->upper, to = renaming->to->upper;
    const unsigned careful = renaming->no_replace ? RENAME_NOREPLACE : 0;
    if (renameat2(from, renaming->from_name, to, renaming->to_name, flags | careful) == 0)
        return 0;
    return careful && errno == EINVAL &&
                   renameat2(from, renaming->from_name, to, renaming->to_name, flags) == 0
               ? 0
               : -errno;
}

/* The move itself, with a whiteout left behind when `cover`. */
static int move(const struct stack *stack, const struct renaming *renaming, bool cover)
{
    const struct editdir *from = renaming->from;
    unsigned flags = cover && stack->able.rename_whiteout ? RENAME_WHITEOUT : 0;
    /* In the `.wh.` form the mark comes first; it counts only when the name itself is gone. */
    if (cover && stack->able.whiteform == WHITEFORM_FILE) {
        int err = upper_whiteout(stack, from->upper, renaming->from_name);
        if (err)
            return err;
    }
    int err = move_on_disk(renaming, flags);
    if (err)
        return err;
    if (cover && !flags && stack->able.whiteform == WHITEFORM_DEVICE)
        return upper_whiteout(stack, from->upper, renaming->from_name);
    return 0;
}

/* A directory moves onto a whiteout: exchanged with it, which covers the old name at once. */
static int move_dir_over_whiteout(const struct stack *stack, const struct renaming *renaming,
                                  bool cover)
{
    const struct editdir *from = renaming->from, *to = renaming->to;
    int err = upper_exchange(stack, from->upper, renaming->from_name, to->upper, renaming->to_name);
    /* A whiteout that stays where nothing lies beneath hides nothing. */
    if (!err && !cover)
        (void)!upper_uncover(stack, from->upper, renaming->from_name);
    return err;
}

/* Where opaqueness is a file, no directory that says so is empty on disk: the two are exchanged,
 * and what was emptied goes from the old name. */
static int move_dir_over_emptied(const struct stack *stack, const struct renaming *renaming,
                                 bool cover)
{
    const struct editdir *from = renaming->from, *to = renaming->to;
    int err = upper_exchange(stack, from->upper, renaming->from_name, to->upper, renaming->to_name);
    if (err)
        return err;
    return cover ? upper_cover(stack, from->upper, renaming->from_name, true)
                 : upper_remove(stack, from->upper, renaming->from_name, true);
}

static int move_dir(const struct stack *stack, const struct renaming *renaming, int look,
                    const struct stat *target, bool cover)
{
    if (look == UPPER_WHITEOUT && stack->able.whiteform == WHITEFORM_DEVICE)
        return move_dir_over_whiteout(stack, renaming, cover);
    int err = move(stack, renaming, cover);
    if ((err != -ENOTEMPTY && err != -EEXIST) || look != UPPER_OBJECT ||
        !S_ISDIR(target->st_mode) || stack->plain)
        return err;
    if (stack->able.space == OVLSPACE_NONE)
        return move_dir_over_emptied(stack, renaming, cover);
    err = clear_dir(stack, renaming->to->upper, renaming->to_name);
    return err ? err : move(stack, renaming, cover);
}

int edit_rename(const struct stack *stack, const struct renaming *renaming)
{
    const struct editdir *from = renaming->from, *to = renaming->to;
    struct stat target;
    if (renaming->exchange)
        return renameat2(from->upper, renaming->from_name, to->upper, renaming->to_name,
                         RENAME_EXCHANGE) < 0
                   ? -errno
                   : 0;
    int shows = resolve_lower_shows(stack, from->sources, renaming->from_name);
    int look = upper_look(stack, to->upper, renaming->to_name, &target);
    if (shows < 0 || look < 0)
        return shows < 0 ? shows : look;
    if (renaming->no_replace && look == UPPER_OBJECT)
        return -EEXIST;
    bool cover = shows || renaming->leave_whiteout;
    int err = renaming->is_dir ? move_dir(stack, renaming, look, &target, cover)
                               : move(stack, renaming, cover);
    if (!err && look == UPPER_WHITEOUT && stack->able.whiteform == WHITEFORM_FILE)
        (void)!upper_uncover(stack, to->upper, renaming->to_name); /* see publish_over() */
    return err;
}
