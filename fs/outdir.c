/* SPDX-License-Identifier: MIT
 *
 * Duty: no half a directory under a name that means a whole one.
 */
#include "outdir.h"

#include "fd.h"
#include "log.h"
#include "rmtree.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static int tell(const struct outdir *out, int err)
{
    if (err == -ENOTEMPTY || err == -EEXIST)
        log_error("%s is not empty; choose another directory", out->path);
    else if (err)
        log_error("cannot write %s: %s", out->path, strerror(-err));
    return err;
}

static int make_beside(struct outdir *out)
{
    char *partial = NULL;
    if (asprintf(&partial, "%s.XXXXXX", out->path) < 0)
        return -ENOMEM;
    if (!mkdtemp(partial)) {
        int err = -errno;
        free(partial);
        return err;
    }
    out->partial = partial;
    out->fd = open(partial, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (out->fd < 0)
        return -errno;
    mode_t mask = umask(0);
    umask(mask);
    return fchmod(out->fd, 0777 & ~mask) < 0 ? -errno : 0;
}

int outdir_open(struct outdir *out, const char *path)
{
    *out = (struct outdir){.fd = -1};
    /* An existing one may be said in many ways, "." among them. */
    out->path = realpath(path, NULL);
    if (!out->path)
        out->path = strdup(path);
    if (!out->path)
        return -ENOMEM;
    for (size_t end = strlen(out->path); end > 1 && out->path[end - 1] == '/'; end--)
        out->path[end - 1] = 0;
    return tell(out, make_beside(out));
}

int outdir_publish(struct outdir *out)
{
    if (syncfs(out->fd) < 0 || rename(out->partial, out->path) < 0)
        return tell(out, -errno);
    free(steal_ptr(&out->partial));
    return tell(out, fd_sync_name(out->path));
}

void outdir_finish(struct outdir *out)
{
    own_close(&out->fd);
    if (out->partial && rmtree(AT_FDCWD, out->partial))
        log_error("%s is left, and cannot be removed", out->partial);
    free(out->partial);
    free(out->path);
}
