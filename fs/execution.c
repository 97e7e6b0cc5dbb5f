/* SPDX-License-Identifier: MIT
 *
 * Duty: judge by the open file itself: in a plain tree something else may be mounted deeper.
 */
#include "execution.h"

#include "find.h"
#include "idmap.h"

#include <fcntl.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>

/* FMODE_EXEC, which the kernel leaves in the flags of such an open (include/linux/fs.h). */
enum { TO_EXECUTE = 0x20 };

bool execution_is_meant(int flags)
{
    return flags & TO_EXECUTE;
}

static bool gives_more(const struct mount *mount, int fd, uid_t uid, gid_t gid)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return true;
    if (mount->map)
        idmap_show_owner(mount->map, &st);
    const mode_t setgid = S_ISGID | S_IXGRP;
    return ((st.st_mode & S_ISUID) && st.st_uid != uid) ||
           ((st.st_mode & setgid) == setgid && st.st_gid != gid) ||
           (uid != 0 && fgetxattr(fd, "security.capability", NULL, 0) > 0);
}

int execution_check(struct mount *mount, const struct node_view *view, uid_t uid, gid_t gid)
{
    struct statvfs on;
    int err = 0;
    struct fdref *ref = find_data(mount, view, false, &err);
    if (!ref)
        return err;
    if (fstatvfs(ref->fd, &on) < 0)
        err = -errno;
    else if (on.f_flag & ST_NOEXEC)
        err = -EACCES;
    /* An ordinary user's mount is nosuid itself, and gives nobody anything. */
    else if ((on.f_flag & ST_NOSUID) && geteuid() == 0 && gives_more(mount, ref->fd, uid, gid))
        err = -EACCES;
    fdref_release(mount->fds, ref);
    return err;
}
