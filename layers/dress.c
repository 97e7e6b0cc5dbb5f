/* SPDX-License-Identifier: MIT
 *
 * Duty: metadata from an archive to the disk. Cost: three system calls for each object and one for
 * each attribute; a list where attributes are taken away.
 */
#include "dress.h"

#include "fd.h"
#include "override.h"
#include "ovlattr.h"
#include "xattr.h"

#include <fcntl.h>
#include <linux/limits.h>
#include <string.h>
#include <sys/xattr.h>

/* ---- attributes ---- */

/* The name on disk of an attribute of a layer's archive. A sealed layer is read with the books of
 * both namespaces, so both are escaped. */
static int escaped_name(const char *attr, char disk[XATTR_NAME_MAX + 1])
{
    char once[XATTR_NAME_MAX + 1];
    int err = ovlattr_escape(OVLSPACE_TRUSTED, attr, once);
    if (err)
        return err;
    if (strcmp(once, attr) == 0)
        return ovlattr_escape(OVLSPACE_USER, attr, disk);
    strcpy(disk, once);
    return 0;
}

static int set_attribute(enum treekind kind, int dir, const char *name,
                         const struct tar_xattr *xattr)
{
    char escaped[XATTR_NAME_MAX + 1];
    const char *disk = kind == TREEKIND_LAYER ? escaped : xattr->name;
    int err = kind == TREEKIND_LAYER ? escaped_name(xattr->name, escaped) : 0;
    return err ? err : xattr_set(dir, name, disk, xattr->value, xattr->size, 0);
}

/* What the filesystem does not keep, what takes privilege, and an ACL that names users or groups
 * which this user namespace does not have. */
static bool is_left_out(const char *attr, int err)
{
    static const char lists[] = "system.posix_acl_";
    return err == -EOPNOTSUPP || err == -EPERM ||
           (err == -EINVAL && strncmp(attr, lists, sizeof(lists) - 1) == 0);
}

int dress_xattrs(enum treekind kind, int dir, const char *name, const struct tar_entry *entry)
{
    for (size_t i = 0; i < entry->xattr_count; i++) {
        const struct tar_xattr *xattr = &entry->xattrs[i];
        /* Ours to write: an archive's own would speak in our name. */
        if (strcmp(xattr->name, OVERRIDE_ATTR) == 0 && override_counts(kind))
            continue;
        int err = set_attribute(kind, dir, name, xattr);
        if (err && !is_left_out(xattr->name, err))
            return err;
    }
    return 0;
}

static bool is_books(const char *disk)
{
    return ovlattr_is_private(OVLSPACE_TRUSTED, disk) || ovlattr_is_private(OVLSPACE_USER, disk);
}

int dress_strip(enum treekind kind, int dir, const char *name)
{
    cleanup_free char *names = NULL;
    ssize_t length = xattr_list_all(dir, name, &names);
    if (length < 0)
        return length == -EOPNOTSUPP ? 0 : (int)length;
    for (ssize_t at = 0; at < length; at += (ssize_t)strlen(names + at) + 1) {
        bool kept = kind == TREEKIND_LAYER && is_books(names + at);
        int err = kept ? 0 : xattr_remove(dir, name, names + at);
        if (err && err != -EOPNOTSUPP && err != -EPERM && err != -EACCES && err != -ENODATA)
            return err;
    }
    return 0;
}

/* ---- owner, mode, time ---- */

/* What the object may have on disk when its owner could (not) be given. */
static mode_t disk_mode(mode_t type, mode_t wanted, bool owned)
{
    const mode_t maker = S_ISDIR(type) ? 0700 : 0400;
    wanted &= 07777;
    if (!owned)
        return (wanted & 01777) | maker;
    return geteuid() == 0 ? wanted : wanted | maker;
}

static int record(int dir, const char *name, const struct tar_entry *entry)
{
    char text[OVERRIDE_MAX];
    const struct stat st = {
        .st_uid = entry->uid, .st_gid = entry->gid, .st_mode = entry->mode, .st_rdev = entry->rdev};
    size_t size = override_format(text, &st);
    return xattr_set(dir, name, OVERRIDE_ATTR, text, size, 0);
}

int dress_owner(int dir, const char *name, const struct tar_entry *entry, mode_t type, mode_t *mode)
{
    bool owned =
        fchownat(dir, name, entry->uid, entry->gid, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) == 0;
    /* EINVAL: an owner that this user namespace does not have. */
    if (!owned && errno != EPERM && errno != EINVAL)
        return -errno;
    *mode = disk_mode(type, entry->mode, owned);
    bool same = owned && *mode == (entry->mode & 07777) && type == (entry->mode & S_IFMT);
    /* Only files and directories can have attributes of users. */
    if (same || (!S_ISREG(type) && !S_ISDIR(type)))
        return 0;
    int err = record(dir, name, entry);
    return err ? err : 1;
}

int dress_mark(int tree)
{
    struct stat st;
    if (xattr_get(tree, "", OVERRIDE_ATTR, NULL, 0) >= 0)
        return 0;
    int err = fd_stat(tree, "", &st);
    const struct tar_entry root = {.mode = st.st_mode, .uid = st.st_uid, .gid = st.st_gid};
    return err ? err : record(tree, "", &root);
}

int dress_time(int dir, const char *name, struct timespec mtime)
{
    bool valid = mtime.tv_nsec >= 0 && mtime.tv_nsec < 1000000000;
    const struct timespec time = {mtime.tv_sec, valid ? mtime.tv_nsec : 0};
    const struct timespec times[2] = {time, time};
    int flags = AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH;
    return utimensat(dir, name, times, flags) < 0 ? -errno : 0;
}

int dress_mode(int dir, const char *name, mode_t mode, struct timespec mtime)
{
    int err = fd_chmod(dir, name, mode);
    return err ? err : dress_time(dir, name, mtime);
}
