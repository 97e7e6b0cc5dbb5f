/* SPDX-License-Identifier: MIT
 *
 * Duty: no half a file under a name that means a whole one.
 */
#include "outfile.h"

#include "fd.h"
#include "log.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static int open_beside(struct outfile *file)
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

int outfile_publish(struct outfile *file)
{
    if (!file->partial)
        return 0;
    if (fsync(file->fd) < 0 || rename(file->partial, file->path) < 0)
        return tell(file, -errno);
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
