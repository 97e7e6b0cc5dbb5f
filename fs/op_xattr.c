/* SPDX-License-Identifier: MIT
 *
 * Duty: extended attributes. The overlay's own are neither shown nor settable; a user's attributes
 * of that name are stored under an escaped one. A symlink is never followed.
 */
#include "ops.h"

#include "fd.h"
#include "find.h"
#include "ovlattr.h"
#include "promote.h"
#include "reply.h"

#include <linux/limits.h>
#include <string.h>
#include <sys/xattr.h>

/* Where the *xattr calls reach the node. mount.names is held until place_end. */
struct place {
    struct spot spot;
    char path[FD_PATH_MAX];
    int follow;
};

static int place_begin(struct mount *mount, const struct node_view *view, struct place *place)
{
    names_read(mount);
    int err = find_spot(mount, view, &place->spot);
    if (!err)
        place->follow = fd_proc_path(place->path, place->spot.ref->fd, place->spot.name);
    return err;
}

static void place_end(struct mount *mount, struct place *place)
{
    names_end(mount);
    spot_finish(mount, &place->spot);
}

static bool is_acl(const char *name)
{
    return strncmp(name, "system.posix_acl_", 17) == 0;
}

/* Setting an access ACL takes setgid from a file whose group the caller is not in, unless the
 * caller is privileged, as the VFS does for a local filesystem (posix_acl_update_mode). */
static int after_acl(fuse_req_t req, const char *name, const struct place *place)
{
    const struct fuse_ctx *context = fuse_req_ctx(req);
    struct stat st;
    if (strcmp(name, "system.posix_acl_access") != 0 || context->uid == 0)
        return 0;
    int err = fd_stat(place->spot.ref->fd, place->spot.name, &st);
    if (err || !(st.st_mode & S_ISGID) || st.st_gid == context->gid)
        return err;
    gid_t groups[256];
    int count = fuse_req_getgroups(req, 256, groups);
    for (int i = 0; i < count && i < 256; i++) {
        if (groups[i] == st.st_gid)
            return 0;
    }
    return fd_chmod(place->spot.ref->fd, place->spot.name, st.st_mode & 07777 & ~(mode_t)S_ISGID);
}

/* Changes an attribute; value NULL removes it. */
static int change(fuse_req_t req, uint64_t ino, const char *name, const char *value, size_t size,
                  int flags)
{
    struct mount *mount = ops_mount(req);
    cleanup_view struct node_view view = {0};
    struct place place = {0};
    char disk[XATTR_NAME_MAX + 1];
    int err = node_view(mount->nodes, ino, &view);
    if (!err)
        err = ovlattr_escape(mount_stack(mount, &view)->able.space, name, disk);
    if (!err && !mount->rules.acl && is_acl(name))
        err = -EOPNOTSUPP;
    if (!err)
        err = promote_meta(mount, view.index, value ? "setxattr" : "removexattr");
    if (err)
        return err;
    node_view_finish(&view);
    err = node_view(mount->nodes, ino, &view);
    if (err)
        return err;
    err = place_begin(mount, &view, &place);
    if (!err && value)
        err = (place.follow ? setxattr(place.path, disk, value, size, flags)
                            : lsetxattr(place.path, disk, value, size, flags)) < 0
                  ? -errno
                  : after_acl(req, name, &place);
    else if (!err)
        err = (place.follow ? removexattr(place.path, disk) : lremovexattr(place.path, disk)) < 0
                  ? -errno
                  : 0;
    place_end(mount, &place);
    return err;
}

void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size,
                 int flags)
{
    struct mount *mount = ops_mount(req);
    int err = change(req, ino, name, value, size, flags);
    cleanup_view struct node_view view = {0};
    if (node_view(mount->nodes, ino, &view) == 0 && !err &&
        strcmp(name, "security.capability") == 0)
        node_set_flags(mount->nodes, view.index, NODE_PRIVILEGED, 0);
    reply_error(req, err);
}

/* A removal that would find nothing copies nothing up. */
static int look_before_removal(struct mount *mount, uint64_t ino, const char *name)
{
    cleanup_view struct node_view view = {0};
    struct place place = {0};
    char disk[XATTR_NAME_MAX + 1];
    int err = node_view(mount->nodes, ino, &view);
    if (!err)
        err = ovlattr_escape(mount_stack(mount, &view)->able.space, name, disk);
    if (err || mount->trees[view.tree].read_only)
        return err ? err : -EROFS;
    err = place_begin(mount, &view, &place);
    if (!err)
        err = (place.follow ? getxattr(place.path, disk, NULL, 0)
                            : lgetxattr(place.path, disk, NULL, 0)) < 0
                  ? -errno
                  : 0;
    place_end(mount, &place);
    return err;
}

void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
    struct mount *mount = ops_mount(req);
    int err = look_before_removal(mount, ino, name);
    if (!err)
        err = change(req, ino, name, NULL, 0, 0);
    cleanup_view struct node_view view = {0};
    if (node_view(mount->nodes, ino, &view) == 0 && strcmp(name, "security.capability") == 0)
        node_set_flags(mount->nodes, view.index, err ? 0 : NODE_UNCAPPED, 0);
    reply_error(req, err);
}

void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
    struct mount *mount = ops_mount(req);
    cleanup_view struct node_view view = {0};
    struct place place = {0};
    char disk[XATTR_NAME_MAX + 1];
    cleanup_free char *value = size ? malloc(size) : NULL;
    int err = size && !value ? -ENOMEM : node_view(mount->nodes, ino, &view);
    if (!err && is_acl(name) && !mount->rules.acl)
        err = -EOPNOTSUPP;
    /* A name that is too long once it is escaped was never set. */
    if (!err && ovlattr_escape(mount_stack(mount, &view)->able.space, name, disk) != 0)
        err = -ENODATA;
    if (err)
        return reply_error(req, err);
    ssize_t got = -1;
    err = place_begin(mount, &view, &place);
    if (!err) {
        got = place.follow ? getxattr(place.path, disk, value, size)
                           : lgetxattr(place.path, disk, value, size);
        err = got < 0 ? -errno : 0;
    }
    place_end(mount, &place);
    if (err)
        return reply_error(req, err);
    if (size == 0)
        return reply_xattr_size(req, (size_t)got);
    reply_bytes(req, value, (size_t)got);
}

/* Leaves out what is private and undoes escapes, in place; returns the new length. */
static size_t show_names(enum ovlspace space, char *names, size_t length)
{
    char buffer[XATTR_NAME_MAX + 1];
    size_t kept = 0;
    for (size_t at = 0; at < length;) {
        size_t size = strlen(names + at) + 1;
        const char *shown = ovlattr_unescape(space, names + at, buffer);
        if (shown) {
            size_t shown_size = strlen(shown) + 1;
            memmove(names + kept, shown, shown_size);
            kept += shown_size;
        }
        at += size;
    }
    return kept;
}

void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
    struct mount *mount = ops_mount(req);
    cleanup_view struct node_view view = {0};
    struct place place = {0};
    char names[XATTR_LIST_MAX];
    int err = node_view(mount->nodes, ino, &view);
    if (err)
        return reply_error(req, err);
    ssize_t length = 0;
    err = place_begin(mount, &view, &place);
    if (!err) {
        length = place.follow ? listxattr(place.path, names, sizeof(names))
                              : llistxattr(place.path, names, sizeof(names));
        err = length < 0 ? -errno : 0;
    }
    place_end(mount, &place);
    if (err)
        return reply_error(req, err);
    size_t shown = show_names(mount_stack(mount, &view)->able.space, names, (size_t)length);
    if (size == 0)
        return reply_xattr_size(req, shown);
    if (shown > size)
        return reply_error(req, -ERANGE);
    reply_bytes(req, names, shown);
}
