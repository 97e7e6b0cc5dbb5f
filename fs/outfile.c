/* SPDX-License-Identifier: MIT
 *
 * Duty: no half a file under a name that means a whole one.
 */
#include "outfile.h"

#include "fd.h"
#include "log.h"

#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#define OWN_FILES "/proc/self/fd"

/* A file without a name is gone whenever we are, by whatever signal. Where the filesystem has none
 * it has one beside its place. */
static int open_unnamed(const struct outfile *file)
{
    cleanup_free char *path = strdup(file->path);
    if (!path)
        return -ENOMEM;
    /* What cannot be named in the end is to fail before all the work. */
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    if (access(OWN_FILES, X_OK) < 0 || !*name || strlen(name) + 9 > NAME_MAX)
        return -EOPNOTSUPP;
    int fd = open(dirname(path), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666);
    return fd < 0 ? -errno : fd;
}

static int open_named(struct outfile *file)
{
    if (asprintf(&file->partial, "%s.XXXXXX", file->path) < 0)
        return file->partial = NULL, -ENOMEM;
    file->fd = mkostemp(file->partial, O_CLOEXEC);
    if (file->fd < 0) {
        int err = -errno;
        free(steal_ptr(&file->partial));
        return err;
    }
    mode_t mask = umask(0);
    umask(mask);
    return fchmod(file->fd, 0666 & ~mask) < 0 ? -errno : 0;
}

static int open_beside(struct outfile *file)
{
    file->fd = open_unnamed(file);
    file->unnamed = file->fd >= 0;
    return file->unnamed ? 0 : open_named(file);
}

static int tell(const struct outfile *file, int err)
{
    if (err == -ENOTTY)
        log_error("a tar is nothing for a terminal; use -o FILE, or a pipe");
    else if (err)
        log_error("cannot write %s: %s", file->path ? file->path : "to standard output",
                  strerror(-err));
    return err;
}

int outfile_open(struct outfile *file, const char *path)
{
    struct stat st;
    *file = (struct outfile){.path = path, .fd = STDOUT_FILENO};
    if (!path)
        return tell(file, isatty(STDOUT_FILENO) ? -ENOTTY : 0);
    if (stat(path, &st) < 0 || S_ISREG(st.st_mode))
        return tell(file, open_beside(file));
    file->fd = open(path, O_WRONLY | O_CLOEXEC);
    return tell(file, file->fd < 0 ? -errno : 0);
}

const char *outfile_name(const struct outfile *file)
{
    const char *slash = file->partial ? strrchr(file->partial, '/') : NULL;
    return slash ? slash + 1 : file->partial;
}

/* Gives a file without one a name beside its place, by which it can replace what is there. */
static int name_it(struct outfile *file)
{
    enum { TRIES = 100 };
    char own[64];
    int err = -EEXIST;
    snprintf(own, sizeof(own), OWN_FILES "/%d", file->fd);
    for (int i = 0; err == -EEXIST && i < TRIES; i++) {
        uint32_t number = 0;
        if (getrandom(&number, sizeof(number), 0) < 0)
            return -errno;
        free(steal_ptr(&file->partial));
        if (asprintf(&file->partial, "%s.%08x", file->path, number) < 0)
            return file->partial = NULL, -ENOMEM;
        err = linkat(AT_FDCWD, own, AT_FDCWD, file->partial, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
    }
    if (err)
        free(steal_ptr(&file->partial));
    return err;
}

int outfile_publish(struct outfile *file)
{
    if (!file->partial && !file->unnamed)
        return 0;
    int err = fsync(file->fd) < 0 ? -errno : file->unnamed ? name_it(file) : 0;
    if (!err && rename(file->partial, file->path) < 0)
        err = -errno;
    if (err)
        return tell(file, err);
    free(steal_ptr(&file->partial));
    return tell(file, fd_sync_name(file->path));
}

void outfile_finish(struct outfile *file)
{
    if (file->partial)
        unlink(file->partial);
    free(file->partial);
    if (file->path)
        own_close(&file->fd);
}
