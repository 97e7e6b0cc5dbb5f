/* SPDX-License-Identifier: MIT
 *
 * Duty: the grammar of overlay attributes. In sealed layers both namespaces are read, so that a
 * layer written without privilege is understood by a mount with it and the reverse; in the upper
 * only the one that is written. A user's own attribute of that prefix is stored escaped, so nobody
 * can forge one through the mount; and so is one that is called like a book of the other namespace,
 * because the upper may become a sealed layer.
 */
#include "ovlattr.h"

#include "fd.h"
#include "xattr.h"

#include <limits.h>
#include <linux/limits.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define TRUSTED_PREFIX "trusted.overlay."
#define USER_PREFIX "user.overlay."

static const char *const PREFIX[] = {
    [OVLSPACE_TRUSTED] = TRUSTED_PREFIX,
    [OVLSPACE_USER] = USER_PREFIX,
};

enum { SPACES = sizeof(PREFIX) / sizeof(PREFIX[0]) };

#define BOOKS_OF(prefix)                                                                           \
    {                                                                                              \
        [OVLATTR_OPAQUE] = prefix "opaque", [OVLATTR_REDIRECT] = prefix "redirect",                \
        [OVLATTR_METACOPY] = prefix "metacopy", [OVLATTR_ORIGIN] = prefix "origin",                \
        [OVLATTR_IMPURE] = prefix "impure", [OVLATTR_NLINK] = prefix "nlink",                      \
        [OVLATTR_WHITEOUT] = prefix "whiteout", [OVLATTR_UPPER] = prefix "upper",                  \
        [OVLATTR_INO] = prefix "plyfs.ino", [OVLATTR_PROTATTR] = prefix "protattr",                \
    }

static const char *const BOOKS[SPACES][OVLATTR_COUNT] = {
    [OVLSPACE_TRUSTED] = BOOKS_OF(TRUSTED_PREFIX),
    [OVLSPACE_USER] = BOOKS_OF(USER_PREFIX),
};

static const char ESCAPE[] = "overlay.";
static const char FUSE_OPAQUE[] = "user.fuseoverlayfs.opaque";
static const char FUSE_PREFIX[] = "user.fuseoverlayfs.";
/* Where a user's own attributes of fuse-overlayfs's names go, and those of this very prefix. */
static const char OUR_PREFIX[] = "user.plyfs.";
enum { USER_LENGTH = sizeof("user.") - 1, OUR_LENGTH = sizeof(OUR_PREFIX) - 1 };

static bool begins(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static bool is_read(enum ovlwhere where, int space)
{
    return where == OVLWHERE_SEALED || (int)where == space;
}

/* What follows the prefix of a namespace, or NULL. */
static const char *after_prefix(int space, const char *name)
{
    return space < SPACES && begins(name, PREFIX[space]) ? name + strlen(PREFIX[space]) : NULL;
}

/* The attribute that a name behind a prefix means, or OVLATTR_COUNT. */
static enum ovlattr attr_named(const char *suffix)
{
    int attr = 0;
    while (attr < OVLATTR_COUNT && strcmp(suffix, after_prefix(0, BOOKS[0][attr])) != 0)
        attr++;
    return (enum ovlattr)attr;
}

static ovlset attr_bit(enum ovlwhere where, const char *disk_name)
{
    if (strcmp(disk_name, FUSE_OPAQUE) == 0)
        return 1u << OVLATTR_OPAQUE;
    for (int space = 0; space < SPACES; space++) {
        const char *suffix = is_read(where, space) ? after_prefix(space, disk_name) : NULL;
        enum ovlattr attr = suffix ? attr_named(suffix) : OVLATTR_COUNT;
        if (attr < OVLATTR_COUNT)
            return 1u << attr;
    }
    return 0;
}

/* What a filesystem answers that has no such attributes, or shows us none. */
static bool has_none(ssize_t err)
{
    return err == -ENODATA || err == -EOPNOTSUPP || err == -ENOSYS || err == -EPERM;
}

int ovlattr_list(enum ovlwhere where, int dir, const char *name, ovlset *set)
{
    cleanup_free char *names = NULL;
    ssize_t length = xattr_list_all(dir, name, &names);
    *set = 0;
    for (ssize_t at = 0; at < length; at += (ssize_t)strlen(names + at) + 1)
        *set |= attr_bit(where, names + at);
    return length >= 0 || has_none(length) || length == -EACCES ? 0 : (int)length;
}

/* An attribute of the user's namespace asks for the right to read or write the object (xattr(7)),
 * which its owner may have taken from himself. What he may do to it all the same (rename it, change
 * its mode again) needs the books, so they are read and written while he has the right for a
 * moment. One at a time: a second one would take the mode that the first gives for the object's
 * own. */
static pthread_mutex_t opening = PTHREAD_MUTEX_INITIALIZER;

/* Who gets in is to leave by close_again(), whatever comes. */
static int open_to_owner(int dir, const char *name, mode_t bit, mode_t *mode)
{
    struct stat st;
    pthread_mutex_lock(&opening);
    int err = fd_stat(dir, name, &st);
    *mode = st.st_mode & 07777;
    if (!err)
        err = st.st_mode & bit ? -EACCES : fd_chmod(dir, name, *mode | bit);
    if (err)
        pthread_mutex_unlock(&opening);
    return err;
}

static int close_again(int dir, const char *name, mode_t mode)
{
    int err = fd_chmod(dir, name, mode);
    pthread_mutex_unlock(&opening);
    return err;
}

ssize_t ovlattr_get(enum ovlwhere where, int dir, const char *name, enum ovlattr attr, void *value,
                    size_t size)
{
    for (int i = 0; i < SPACES; i++) {
        if (!is_read(where, i))
            continue;
        ssize_t length = xattr_get(dir, name, BOOKS[i][attr], value, size);
        if (!has_none(length))
            return length;
    }
    ssize_t length =
        attr == OVLATTR_OPAQUE ? xattr_get(dir, name, FUSE_OPAQUE, value, size) : -ENODATA;
    return has_none(length) ? -ENODATA : length;
}

ssize_t ovlattr_get_owned(enum ovlwhere where, int dir, const char *name, enum ovlattr attr,
                          void *value, size_t size)
{
    mode_t mode;
    ssize_t length = ovlattr_get(where, dir, name, attr, value, size);
    if (length != -EACCES || where != OVLWHERE_UPPER_USER ||
        open_to_owner(dir, name, S_IRUSR, &mode) != 0)
        return length;
    length = ovlattr_get(where, dir, name, attr, value, size);
    int closed = close_again(dir, name, mode);
    return closed ? closed : length;
}

void ovlattr_disk_name(enum ovlwhere where, int dir, const char *name, enum ovlattr attr,
                       char disk[64])
{
    for (int i = 0; i < SPACES; i++) {
        strcpy(disk, BOOKS[i][attr]);
        ssize_t size = is_read(where, i) ? xattr_get(dir, name, disk, NULL, 0) : -ENODATA;
        if (size >= 0 || size == -EACCES)
            return;
    }
    strcpy(disk, FUSE_OPAQUE);
    if (attr != OVLATTR_OPAQUE || xattr_get(dir, name, disk, NULL, 0) < 0)
        disk[0] = 0;
}

int ovlattr_set(enum ovlspace space, int dir, const char *name, enum ovlattr attr,
                const void *value, size_t size)
{
    mode_t mode;
    if (space == OVLSPACE_NONE)
        return -EOPNOTSUPP;
    const char *full = BOOKS[space][attr];
    int err = xattr_set(dir, name, full, value, size, 0);
    if (err != -EACCES || space != OVLSPACE_USER || open_to_owner(dir, name, S_IWUSR, &mode) != 0)
        return err;
    err = xattr_set(dir, name, full, value, size, 0);
    int closed = close_again(dir, name, mode);
    return err ? err : closed;
}

int ovlattr_remove(enum ovlspace space, int dir, const char *name, enum ovlattr attr)
{
    mode_t mode;
    if (space == OVLSPACE_NONE)
        return 0;
    const char *full = BOOKS[space][attr];
    int err = xattr_remove(dir, name, full);
    if (err == -EACCES && space == OVLSPACE_USER && open_to_owner(dir, name, S_IWUSR, &mode) == 0) {
        err = xattr_remove(dir, name, full);
        int closed = close_again(dir, name, mode);
        err = err ? err : closed;
    }
    return err == -ENODATA ? 0 : err;
}

/* "user.plyfs." goes before what follows the "user." of such a name. */
static bool needs_our_prefix(const char *name)
{
    return begins(name, FUSE_PREFIX) || begins(name, OUR_PREFIX);
}

/* What follows our prefix on disk, where it was put there by an escape, or NULL. */
static const char *after_our_prefix(const char *disk_name)
{
    if (!begins(disk_name, OUR_PREFIX))
        return NULL;
    const char *rest = disk_name + OUR_LENGTH;
    return begins(rest, FUSE_PREFIX + USER_LENGTH) || begins(rest, OUR_PREFIX + USER_LENGTH) ? rest
                                                                                             : NULL;
}

/* Whether it is a book's, of some overlay: read here, or kept by the kernel alone. */
static bool names_a_book(const char *suffix)
{
    static const char *const FURTHER[] = {"uuid", "verity"};
    bool further = false;
    for (size_t i = 0; i < sizeof(FURTHER) / sizeof(FURTHER[0]); i++)
        further = further || strcmp(suffix, FURTHER[i]) == 0;
    return further || attr_named(suffix) < OVLATTR_COUNT;
}

/* Whether it is the name of a book, or an escape of one. */
static bool is_of_a_book(const char *suffix)
{
    while (begins(suffix, ESCAPE))
        suffix += strlen(ESCAPE);
    return names_a_book(suffix);
}

/* What follows the prefix of a name that is a book, or is escaped not to be one: in the namespace
 * of the mount all of that prefix, in the other one what a sealed layer would be understood by. */
static const char *after_books_prefix(enum ovlspace space, const char *name)
{
    for (int i = 0; i < SPACES && (int)space < SPACES; i++) {
        const char *suffix = after_prefix(i, name);
        if (suffix && (i == (int)space || is_of_a_book(suffix)))
            return suffix;
    }
    return NULL;
}

bool ovlattr_is_private(enum ovlspace space, const char *disk_name)
{
    if (begins(disk_name, FUSE_PREFIX))
        return true;
    const char *suffix = after_prefix(space, disk_name);
    return suffix && !begins(suffix, ESCAPE);
}

bool ovlattr_is_book(const char *disk_name)
{
    for (int i = 0; i < SPACES; i++) {
        const char *suffix = after_prefix(i, disk_name);
        if (suffix && names_a_book(suffix))
            return true;
    }
    return begins(disk_name, FUSE_PREFIX);
}

int ovlattr_escape(enum ovlspace space, const char *name, char *disk)
{
    const char *suffix = after_books_prefix(space, name);
    int length;
    if (suffix)
        length = snprintf(disk, XATTR_NAME_MAX + 1, "%.*s%s%s", (int)(suffix - name), name, ESCAPE,
                          suffix);
    else if (needs_our_prefix(name))
        length = snprintf(disk, XATTR_NAME_MAX + 1, "%s%s", OUR_PREFIX, name + USER_LENGTH);
    else
        length = snprintf(disk, XATTR_NAME_MAX + 1, "%s", name);
    return length > XATTR_NAME_MAX ? -EOPNOTSUPP : 0;
}

const char *ovlattr_unescape(enum ovlspace space, const char *disk_name, char *buffer)
{
    if (ovlattr_is_private(space, disk_name))
        return NULL;
    const char *suffix = after_books_prefix(space, disk_name), *ours = after_our_prefix(disk_name);
    if (!ours && (!suffix || !begins(suffix, ESCAPE)))
        return disk_name;
    if (ours) {
        snprintf(buffer, XATTR_NAME_MAX + 1, "user.%s", ours);
        return buffer;
    }
    snprintf(buffer, XATTR_NAME_MAX + 1, "%.*s%s", (int)(suffix - disk_name), disk_name,
             suffix + strlen(ESCAPE));
    return buffer;
}
