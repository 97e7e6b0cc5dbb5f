/* SPDX-License-Identifier: MIT
 *
 * Duty: the three names, and the way from one to the next. Each step is one rename, durable before
 * the next begins; each can be done again.
 */
#include "volumeinplace.h"

#include "copymeta.h"
#include "fd.h"
#include "log.h"
#include "rmtree.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

#define FILLING ".plyfs-filling"
#define REPLACING ".plyfs-replacing"
#define FILLED ".plyfs-filled"

static bool is_there(int dir, const char *name)
{
    struct stat st;
    return fd_stat(dir, name, &st) == 0 && S_ISDIR(st.st_mode);
}

/* Of its own, so that it ends with the descriptor, whatever becomes of the caller's. */
static int take_lock(int dir)
{
    cleanup_fd int lock = fd_open_name(dir, ".", O_RDONLY | O_DIRECTORY, 0);
    if (lock < 0)
        return lock;
    while (flock(lock, LOCK_EX) < 0) {
        if (errno != EINTR)
            return -errno;
    }
    return steal_fd(&lock);
}

static int become(int dir, const char *from, const char *to)
{
    if (renameat2(dir, from, dir, to, RENAME_NOREPLACE) < 0)
        return -errno;
    return fsync(dir) < 0 ? -errno : 0;
}

/* ---- empty or not ---- */

static int meet_name(void *context, const char *name)
{
    (void)context;
    return strcmp(name, "lost+found") == 0 ? 0 : -ENOTEMPTY;
}

int volumeinplace_is_empty(int dir)
{
    int err = fd_each_name(dir, meet_name, NULL);
    return err == -ENOTEMPTY ? 0 : err ? err : 1;
}

/* ---- old content ---- */

static int remove_old(void *context, const char *name)
{
    const int *dir = context;
    if (strcmp(name, "lost+found") == 0 || strcmp(name, REPLACING) == 0)
        return 0;
    return rmtree(*dir, name);
}

/* ---- moving up ---- */

struct moving {
    int from, to;
    bool again; /* a name that is taken away may hide another from the reading */
};

/* What somebody else put there meanwhile stays. */
static int move_up(void *context, const char *name)
{
    struct moving *moving = context;
    int err = rmtree_move(moving->from, name, moving->to, name);
    if (err == -EEXIST) {
        log_warning("%s was there already, and stays as it is", name);
        err = rmtree(moving->from, name);
    }
    moving->again = true;
    return err;
}

static int move_all_up(int dir, int from)
{
    int err = 0;
    struct moving moving = {.from = from, .to = dir, .again = true};
    while (!err && moving.again) {
        moving.again = false;
        err = fd_each_name(from, move_up, &moving);
    }
    return err;
}

/* The directory takes the look of the one that its content was made in. What is somebody else's,
 * who lets us write there, keeps its own. */
static int take_look(int dir, int from, const struct stat *look)
{
    int err = copymeta_owner_mode(dir, "", look);
    if (!err)
        err = copymeta_xattrs(OVLSPACE_NONE, from, "", dir, "", NULL);
    return err == -EPERM ? 0 : err;
}

/* Moving changes the times on both sides: they are taken before, and given at the end. */
static int finish(int dir)
{
    struct stat look;
    cleanup_fd int from = fd_open_name(dir, FILLED, O_RDONLY | O_DIRECTORY, 0);
    if (from < 0)
        return from;
    int err = fd_stat(from, "", &look);
    if (!err)
        err = move_all_up(dir, from);
    if (!err)
        err = take_look(dir, from, &look);
    if (!err && unlinkat(dir, FILLED, AT_REMOVEDIR) < 0)
        err = -errno;
    if (!err)
        err = copymeta_times(dir, "", &look);
    return err ? err : fsync(dir) < 0 ? -errno : 0;
}

/* ---- steps ---- */

static int mend_locked(int dir)
{
    int err = is_there(dir, FILLING) ? rmtree(dir, FILLING) : 0;
    if (!err && is_there(dir, REPLACING)) {
        err = fd_each_name(dir, remove_old, &dir);
        if (!err)
            err = become(dir, REPLACING, FILLED);
    }
    return !err && is_there(dir, FILLED) ? finish(dir) : err;
}

/* Nothing of it is there: no lock, and no write. */
static bool is_whole(int dir)
{
    return !is_there(dir, FILLING) && !is_there(dir, REPLACING) && !is_there(dir, FILLED);
}

int volumeinplace_mend(int dir)
{
    if (is_whole(dir))
        return 0;
    cleanup_fd int lock = take_lock(dir);
    return lock < 0 ? lock : mend_locked(dir);
}

static int make_within(int dir, volume_filler *fill, void *context, const char *complete)
{
    if (mkdirat(dir, FILLING, 0700) < 0)
        return -errno;
    cleanup_fd int tree = fd_open_name(dir, FILLING, O_RDONLY | O_DIRECTORY, 0);
    if (tree < 0)
        return tree;
    int err = fill(context, tree);
    if (!err && syncfs(tree) < 0)
        err = -errno;
    return err ? err : become(dir, FILLING, complete);
}

/* What fails leaves no trace, the directory's times included. */
static int make(int dir, volume_filler *fill, void *context, const char *complete)
{
    struct stat before;
    int err = fd_stat(dir, "", &before);
    if (err)
        return err;
    err = make_within(dir, fill, context, complete);
    if (!err)
        return mend_locked(dir);
    if (rmtree(dir, FILLING) == 0)
        (void)!copymeta_times(dir, "", &before);
    return err;
}

int volumeinplace_fill(int dir, volume_filler *fill, void *context)
{
    cleanup_fd int lock = take_lock(dir);
    if (lock < 0)
        return lock;
    int err = mend_locked(dir);
    int empty = err ? err : volumeinplace_is_empty(dir);
    if (empty <= 0)
        return empty;
    err = make(dir, fill, context, FILLED);
    return err ? err : 1;
}

int volumeinplace_replace(int dir, volume_filler *fill, void *context)
{
    cleanup_fd int lock = take_lock(dir);
    if (lock < 0)
        return lock;
    int err = mend_locked(dir);
    return err ? err : make(dir, fill, context, REPLACING);
}
