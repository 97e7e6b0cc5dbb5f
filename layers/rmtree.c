/* SPDX-License-Identifier: MIT
 *
 * Duty: delete trees that hostile hands have made: of any depth and width, with any names and
 * modes.
 *
 * A directory in the tree that is not empty is moved up, to right beneath the tree's top. So a tree
 * of any depth becomes a list of directories that hold no others; two open directories and no
 * recursion clear it. The top is read again as long as that removes something.
 *
 * Invariants: every step is one name in a directory that is open, and no symlink is followed; a
 * directory on which something is mounted answers EBUSY before it is opened.
 *
 * Cost: a directory that holds others is renamed once, and opened once like any other.
 */
#include "rmtree.h"

#include "fd.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>

/* One tree that goes. */
struct removal {
    int top;
    unsigned long moved; /* gives those that were moved up a name */
    bool progress;
    int err; /* the last failure */
};

static bool is_full(int err)
{
    return err == -ENOTEMPTY || err == -EEXIST;
}

static int remove_empty(int dir, const char *name)
{
    return unlinkat(dir, name, AT_REMOVEDIR) < 0 ? -errno : 0;
}

/* The directory gets another "..", which is a change of its content. */
int rmtree_move(int from, const char *name, int to, const char *as)
{
    if (renameat2(from, name, to, as, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EACCES)
        return -errno;
    /* Only its owner can: to anyone else the first answer stands. */
    if (fd_chmod(from, name, 0700) < 0)
        return -EACCES;
    return renameat2(from, name, to, as, RENAME_NOREPLACE) < 0 ? -errno : 0;
}

/* Opens a directory and makes it one that its owner can empty. */
static int open_to_empty(int dir, const char *name)
{
    struct stat st;
    int fd = fd_open_name(dir, name, O_RDONLY | O_DIRECTORY, 0);
    if (fd == -EACCES && fd_chmod(dir, name, 0700) == 0)
        fd = fd_open_name(dir, name, O_RDONLY | O_DIRECTORY, 0);
    /* Where this fails, so do the removals, and tell why. */
    if (fd >= 0 && fstat(fd, &st) == 0 && (st.st_mode & 0700) != 0700)
        (void)!fchmod(fd, 0700);
    return fd;
}

static bool is_directory(int dir, const struct dirent *entry)
{
    struct stat st;
    if (entry->d_type != DT_UNKNOWN)
        return entry->d_type == DT_DIR;
    return fd_stat(dir, entry->d_name, &st) == 0 && S_ISDIR(st.st_mode);
}

/* What is to be done with a directory in the one that is being cleared. */
typedef int meet_directory(struct removal *removal, int dir, const char *name);

static void clear_one(struct removal *removal, int dir, const struct dirent *entry,
                      meet_directory *meet)
{
    int err = 0;
    if (is_directory(dir, entry))
        err = meet(removal, dir, entry->d_name);
    else if (unlinkat(dir, entry->d_name, 0) < 0)
        err = -errno;
    if (!err)
        removal->progress = true;
    else if (err != -ENOENT) /* another process was faster */
        removal->err = err;
}

/* Takes `fd`. Everything in it that is no directory goes; `meet` is given the directories. */
static void clear(struct removal *removal, int fd, meet_directory *meet)
{
    cleanup_dir DIR *dir = fdopendir(fd);
    if (!dir) {
        removal->err = -errno;
        close(fd);
        return;
    }
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (!entry) {
            removal->err = errno ? -errno : removal->err;
            return;
        }
        if (!fd_is_dot(entry->d_name))
            clear_one(removal, fd, entry, meet);
    }
}

static int move_up(struct removal *removal, int dir, const char *name)
{
    int err = remove_empty(dir, name);
    if (!is_full(err))
        return err;
    /* The tree may have such names of its own. */
    do {
        char as[24];
        snprintf(as, sizeof(as), "#%lu", removal->moved++);
        err = rmtree_move(dir, name, removal->top, as);
    } while (err == -EEXIST);
    return err;
}

static int empty_out(struct removal *removal, int dir, const char *name)
{
    int err = remove_empty(dir, name);
    if (!is_full(err))
        return err;
    int fd = open_to_empty(dir, name);
    if (fd < 0)
        return fd;
    clear(removal, fd, move_up);
    err = remove_empty(dir, name);
    /* Why it is not empty is known already. */
    return is_full(err) && removal->err ? removal->err : err;
}

static int remove_directory(int dir, const char *name)
{
    int err = remove_empty(dir, name);
    if (!is_full(err))
        return err;
    cleanup_fd int top = open_to_empty(dir, name);
    if (top < 0)
        return top;
    struct removal removal = {.top = top, .progress = true};
    while (is_full(err) && removal.progress) {
        int again = fd_open_name(top, ".", O_RDONLY | O_DIRECTORY, 0);
        if (again < 0)
            return again;
        removal.progress = false;
        removal.err = 0;
        clear(&removal, again, empty_out);
        err = remove_empty(dir, name);
    }
    return is_full(err) && removal.err ? removal.err : err;
}

int rmtree(int dir, const char *name)
{
    struct stat st;
    int err = fd_stat(dir, name, &st);
    if (!err && S_ISDIR(st.st_mode))
        err = remove_directory(dir, name);
    else if (!err && unlinkat(dir, name, 0) < 0)
        err = -errno;
    return err == -ENOENT ? 0 : err;
}
