/* SPDX-License-Identifier: MIT
 *
 * Duty: records on disk. Cost: one getxattr(2) for each file or directory of a layer in which they
 * count; nothing in any other.
 */
#include "record.h"

#include "fd.h"
#include "override.h"
#include "xattr.h"

#include <endian.h>
#include <fcntl.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <stdint.h>
#include <string.h>

/* In the order in which fuse-overlayfs looks for them on the root of a layer. */
static const char *const NAMES[] = {RECORD_PRIVILEGED, RECORD_CONTAINERS,
                                    "user.fuseoverlayfs.override_stat"};
enum { NAME_COUNT = sizeof(NAMES) / sizeof(NAMES[0]) };

bool record_is_name(const char *attr)
{
    for (size_t i = 0; i < NAME_COUNT; i++) {
        if (strcmp(attr, NAMES[i]) == 0)
            return true;
    }
    return false;
}

const char *record_of_layer(int root)
{
    struct stat st;
    for (size_t i = 0; i < NAME_COUNT; i++) {
        if (xattr_get(root, "", NAMES[i], NULL, 0) < 0)
            continue;
        bool believed = geteuid() != 0 || (fd_stat(root, "", &st) == 0 && st.st_uid == 0);
        return believed ? NAMES[i] : NULL;
    }
    return NULL;
}

/* Without a record, or with one that is longer than any that makes sense. */
static bool has_none(ssize_t err)
{
    return err == -ENODATA || err == -EOPNOTSUPP || err == -ERANGE || err == -ENOENT ||
           err == -EACCES;
}

int record_read(const char *attr, int dir, const char *name, struct stat *st)
{
    char value[OVERRIDE_MAX];
    if (!attr || (!S_ISREG(st->st_mode) && !S_ISDIR(st->st_mode)))
        return 0;
    ssize_t size = xattr_get(dir, name, attr, value, sizeof(value));
    if (size > 0)
        (void)override_apply(value, (size_t)size, st);
    return size < 0 && !has_none(size) ? (int)size : 0;
}

/* The permissions that an entry of an ACL with a mask, or without one, has of the mode; else those
 * that it has. */
static unsigned perm_of(const struct posix_acl_xattr_entry *entry, mode_t mode, bool masked)
{
    switch (le16toh(entry->e_tag)) {
    case ACL_USER_OBJ:
        return mode >> 6 & 7;
    case ACL_GROUP_OBJ:
        return masked ? le16toh(entry->e_perm) : mode >> 3 & 7;
    case ACL_MASK:
        return mode >> 3 & 7;
    case ACL_OTHER:
        return mode & 7;
    default:
        return le16toh(entry->e_perm);
    }
}

void record_show_acl(mode_t mode, void *value, size_t size)
{
    struct posix_acl_xattr_entry entry;
    const size_t head = sizeof(struct posix_acl_xattr_header);
    bool masked = false;
    if (size < head || (size - head) % sizeof(entry) != 0)
        return;
    char *const begin = (char *)value + head, *const end = (char *)value + size;
    for (const char *at = begin; at < end; at += sizeof(entry)) {
        memcpy(&entry, at, sizeof(entry));
        masked = masked || le16toh(entry.e_tag) == ACL_MASK;
    }
    for (char *at = begin; at < end; at += sizeof(entry)) {
        memcpy(&entry, at, sizeof(entry));
        entry.e_perm = htole16((uint16_t)perm_of(&entry, mode, masked));
        memcpy(at, &entry, sizeof(entry));
    }
}

mode_t record_disk_type(mode_t mode)
{
    return S_ISDIR(mode) || S_ISLNK(mode) ? mode & S_IFMT : S_IFREG;
}

/* What carries no record: given away where that is allowed. A pipe or a device is one of an upper
 * in which owners were not recorded yet. */
static int give(int dir, const char *name, const struct stat *now, const struct stat *meant)
{
    const int flags = AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH;
    const bool other = now->st_uid != meant->st_uid || now->st_gid != meant->st_gid;
    if (other && fchownat(dir, name, meant->st_uid, meant->st_gid, flags) < 0 && errno != EPERM &&
        errno != EINVAL)
        return -errno;
    bool same = (now->st_mode & 07777) == (meant->st_mode & 07777);
    return same || S_ISLNK(now->st_mode) ? 0 : fd_chmod(dir, name, meant->st_mode & 07777);
}

int record_write(const char *attr, int dir, const char *name, const struct stat *meant)
{
    struct stat st;
    char text[OVERRIDE_MAX];
    int err = fd_stat(dir, name, &st);
    if (err || (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)))
        return err ? err : give(dir, name, &st, meant);
    const mode_t disk = (meant->st_mode & 0777) | (S_ISDIR(st.st_mode) ? 0700u : 0600u);
    if (disk != (st.st_mode & 07777))
        err = fd_chmod(dir, name, disk);
    size_t size = override_format(text, meant);
    return err ? err : xattr_set(dir, name, attr, text, size, 0);
}
