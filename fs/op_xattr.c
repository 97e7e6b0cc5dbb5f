/* SPDX-License-Identifier: MIT
 *
 * Duty: extended attributes. The overlay's own are neither shown nor settable; a user's attributes
 * of that name are stored under an escaped one. A symlink is never followed. What provenance.h says
 * of a node is read as an attribute, and is neither listed nor settable.
 */
#include "ops.h"

#include "caller.h"
#include "fd.h"
#include "find.h"
#include "held.h"
#include "ovlattr.h"
#include "promote.h"
#include "provenance.h"
#include "record.h"
#include "reply.h"
#include "xattr.h"

#include <linux/limits.h>
#include <stdio.h>
#include <string.h>

enum { NAMES_MOSTLY = 1024 /* bytes of all names of an object, as a rule */ };

static bool is_acl(const char *name)
{
    return strncmp(name, "system.posix_acl_", 17) == 0;
}

static bool is_capability(const char *name)
{
    return strcmp(name, "security.capability") == 0;
}

static bool is_security(const char *name)
{
    return strncmp(name, "security.", 9) == 0;
}

static bool is_access_acl(const char *name)
{
    return strcmp(name, "system.posix_acl_access") == 0;
}

/* Whether changing, or removing, an access ACL takes setgid from a file: its group is none of the
 * caller's, who is not privileged (posix_acl_update_mode). */
static bool takes_setgid(fuse_req_t req, const struct stat *st)
{
    return (st->st_mode & S_ISGID) && fuse_req_ctx(req)->uid != 0 && !caller_is_in_group(req, st);
}

static int set_mode(const struct stack *stack, const struct spot *spot, const struct stat *st)
{
    const char *record = stack->layers[0].record;
    return record ? record_write(record, spot->ref->fd, spot->name, st)
                  : fd_chmod(spot->ref->fd, spot->name, st->st_mode & 07777);
}

/* What an access ACL that was set says of owner, group and others is in the mode on disk already,
 * and goes into a record. */
static int after_acl(fuse_req_t req, const struct stack *stack, const struct spot *spot, bool set)
{
    struct stat st, disk;
    int err = fd_stat(spot->ref->fd, spot->name, &disk);
    if (!err)
        err = stack_stat(stack, 0, spot->ref->fd, spot->name, &st);
    if (err)
        return err;
    const mode_t before = st.st_mode;
    if (set)
        st.st_mode = (st.st_mode & ~(mode_t)0777) | (disk.st_mode & 0777);
    if (takes_setgid(req, &st))
        st.st_mode &= ~(mode_t)S_ISGID;
    return st.st_mode != before ? set_mode(stack, spot, &st) : 0;
}

/* The node, and its attribute's name on disk. */
static int find_attribute(struct mount *mount, uint64_t ino, const char *name,
                          struct node_view *view, char disk[XATTR_NAME_MAX + 1])
{
    int err = node_view(mount->nodes, ino, view);
    if (!err && !mount->rules.acl && is_acl(name))
        err = -EOPNOTSUPP;
    /* A record is told as owner and mode; one on the root would make others count. */
    if (!err && !mount_is_plain(mount, view) && record_is_name(name) &&
        (mount_stack(mount, view)->recorded || view->index == NODE_ROOT))
        err = -ENODATA;
    if (!err && mount_is_plain(mount, view))
        err = snprintf(disk, XATTR_NAME_MAX + 1, "%s", name) > XATTR_NAME_MAX ? -ERANGE : 0;
    else if (!err)
        err = ovlattr_escape(mount_stack(mount, view)->able.space, name, disk);
    return err;
}

/* The kernel stores a user's attribute that looks like a book of the other namespace as it is: in
 * the upper it keeps that name. */
static void keep_kernels_name(struct mount *mount, const struct node_view *view,
                              const struct spot *spot, const char *name,
                              char disk[XATTR_NAME_MAX + 1])
{
    if (view->layer == 0 && strcmp(name, disk) != 0 && ovlattr_is_book(name) &&
        !ovlattr_is_private(mount_stack(mount, view)->able.space, name) &&
        xattr_get(spot->ref->fd, spot->name, name, NULL, 0) >= 0)
        strcpy(disk, name);
}

/* Changes an attribute; value NULL removes it. */
static int change(fuse_req_t req, uint64_t ino, const char *name, const char *value, size_t size,
                  int flags)
{
    struct mount *mount = ops_mount(req);
    cleanup_view struct node_view view = {0};
    struct spot spot = {0};
    char disk[XATTR_NAME_MAX + 1];
    int err = find_attribute(mount, ino, name, &view, disk);
    if (err == -ENODATA)
        return value ? -EPERM : err;
    if (!err)
        err = held_from_change(&view);
    if (!err)
        err = promote_meta(mount, view.index, value ? "setxattr" : "removexattr");
    node_view_finish(&view);
    if (!err)
        err = node_view(mount->nodes, ino, &view);
    if (err)
        return err;
    if (value) /* before it is there: whoever has found none meanwhile does not say so any more */
        node_set_flags(mount->nodes, view.index, NODE_DRESSED, NODE_BARE);
    const bool in_turn = op_waits_for_data(&view, is_capability(name) || is_access_acl(name));
    if (in_turn)
        mount_lock_node(mount, view.index);
    names_read(mount);
    err = find_spot(mount, &view, &spot);
    if (!err)
        keep_kernels_name(mount, &view, &spot, name, disk);
    if (!err)
        err = value ? xattr_set(spot.ref->fd, spot.name, disk, value, size, flags)
                    : xattr_remove(spot.ref->fd, spot.name, disk);
    if (err == -ENODATA && is_acl(name))
        err = 0; /* see remove_absent_acl() */
    if (!err && is_access_acl(name))
        err = after_acl(req, mount_stack(mount, &view), &spot, value != NULL);
    names_end(mount);
    if (in_turn)
        node_unlock(mount->nodes, view.index);
    spot_finish(mount, &spot);
    return err;
}

/* The value as it is on disk: itself, or a copy (*owned) whose ids are mapped. */
static int map_value(const struct idmap *map, const char *name, const char **value, size_t size,
                     char **owned)
{
    *owned = NULL;
    if (!map || size == 0)
        return 0;
    char *copy = malloc(size);
    if (!copy)
        return -ENOMEM;
    memcpy(copy, *value, size);
    *value = *owned = copy;
    return idmap_store_attr(map, name, copy, size);
}

void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size,
                 int flags)
{
    struct mount *mount = ops_mount(req);
    if (provenance_is(name))
        return reply_error(req, -EPERM);
    cleanup_free char *owned = NULL;
    int err = map_value(mount->map, name, &value, size, &owned);
    if (!err)
        err = change(req, ino, name, value, size, flags);
    cleanup_view struct node_view view = {0};
    if (node_view(mount->nodes, ino, &view) == 0 && !err && is_capability(name))
        node_set_flags(mount->nodes, view.index, NODE_PRIVILEGED, 0);
    reply_error(req, err);
}

/* The value of an attribute, of which `disk` is the name on disk; with size 0 its length. */
static ssize_t read_value(struct mount *mount, const struct node_view *view, const char *name,
                          char disk[XATTR_NAME_MAX + 1], void *value, size_t size)
{
    struct spot spot = {0};
    names_read(mount);
    ssize_t got = find_spot(mount, view, &spot);
    if (got == 0) {
        keep_kernels_name(mount, view, &spot, name, disk);
        got = xattr_get(spot.ref->fd, spot.name, disk, value, size);
    }
    names_end(mount);
    spot_finish(mount, &spot);
    return got;
}

/* A removal that would find nothing copies nothing up. */
static int look_before_removal(struct mount *mount, uint64_t ino, const char *name)
{
    cleanup_view struct node_view view = {0};
    char disk[XATTR_NAME_MAX + 1];
    int err = find_attribute(mount, ino, name, &view, disk);
    if (err)
        return err;
    if (mount_tree(mount, &view)->read_only)
        return -EROFS;
    if (mount_is_plain(mount, &view))
        return 0; /* the host says */
    ssize_t got = read_value(mount, &view, name, disk, NULL, 0);
    return got < 0 ? (int)got : 0;
}

/* To the VFS an ACL that is not there is one that says no more than the mode, and removing it is
 * setting that. */
static int remove_absent_acl(fuse_req_t req, uint64_t ino, const char *name)
{
    struct mount *mount = ops_mount(req);
    cleanup_view struct node_view view = {0};
    struct stat st;
    int err = node_view(mount->nodes, ino, &view);
    if (!err)
        err = find_attr(mount, &view, &st);
    const bool changes = !err && is_access_acl(name) && takes_setgid(req, &st);
    return changes ? change(req, ino, name, NULL, 0, 0) : err;
}

void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
    struct mount *mount = ops_mount(req);
    if (provenance_is(name))
        return reply_error(req, -EPERM);
    int err = look_before_removal(mount, ino, name);
    if (!err)
        err = change(req, ino, name, NULL, 0, 0);
    else if (err == -ENODATA && is_acl(name))
        err = remove_absent_acl(req, ino, name);
    cleanup_view struct node_view view = {0};
    if (node_view(mount->nodes, ino, &view) == 0 && is_capability(name))
        node_set_flags(mount->nodes, view.index, err ? 0 : NODE_UNCAPPED, 0);
    reply_error(req, err);
}

static void answer(fuse_req_t req, const char *value, ssize_t got, size_t size)
{
    if (got < 0)
        return reply_error(req, (int)got);
    if (size == 0)
        return reply_xattr_size(req, (size_t)got);
    reply_bytes(req, value, (size_t)got);
}

static void tell_provenance(fuse_req_t req, uint64_t ino, const char *name, size_t size)
{
    struct mount *mount = ops_mount(req);
    cleanup_view struct node_view view = {0};
    cleanup_free char *value = NULL;
    ssize_t got = node_view(mount->nodes, ino, &view);
    if (got == 0)
        got = provenance_value(mount, &view, name, &value);
    if (got > XATTR_SIZE_MAX)
        got = -E2BIG;
    else if (size > 0 && got > (ssize_t)size)
        got = -ERANGE;
    answer(req, value, got, size);
}

/* Leaves out what is private and undoes escapes, in place, in a plain tree only what provenance.h
 * answers for; returns the new length. */
static size_t show_names(const struct mount *mount, const struct stack *stack, enum ovlwhere where,
                         char *names, size_t length)
{
    char buffer[XATTR_NAME_MAX + 1];
    size_t kept = 0;
    for (size_t at = 0; at < length;) {
        size_t size = strlen(names + at) + 1;
        const char *shown = names + at;
        if (where == OVLWHERE_SEALED && ovlattr_is_book(shown))
            shown = NULL;
        else if (where != OVLWHERE_PLAIN)
            shown = ovlattr_unescape(stack->able.space, shown, buffer);
        if (shown && stack->recorded && record_is_name(shown))
            shown = NULL;
        if (shown && !mount->rules.acl && is_acl(shown))
            shown = NULL;
        if (shown && !provenance_is(shown)) {
            size_t shown_size = strlen(shown) + 1;
            memmove(names + kept, shown, shown_size);
            kept += shown_size;
        }
        at += size;
    }
    return kept;
}

/* Mostly there are few or none, and the kernel makes room for as much as it is offered. */
static ssize_t list_names(const struct spot *spot, char *names, size_t size)
{
    ssize_t length = xattr_list(spot->ref->fd, spot->name, names, NAMES_MOSTLY);
    return length == -ERANGE && size > NAMES_MOSTLY
               ? xattr_list(spot->ref->fd, spot->name, names, size)
               : length;
}

/* The names that a node shows; -ERANGE when there are more than fit. What was found out once stays
 * true of a node that is not a plain tree's: attributes change through us alone. */
static ssize_t shown_names(struct mount *mount, const struct node_view *view, char *names,
                           size_t size)
{
    struct spot spot = {0};
    const struct stack *stack = mount_stack(mount, view);
    const bool plain = mount_is_plain(mount, view);
    if (node_is(view, NODE_BARE))
        return 0;
    names_read(mount);
    ssize_t length = find_spot(mount, view, &spot);
    if (length == 0)
        length = list_names(&spot, names, size);
    names_end(mount);
    spot_finish(mount, &spot);
    if (length < 0)
        return length == -ENODATA ? 0 : length; /* a stub has none */
    enum ovlwhere where = plain             ? OVLWHERE_PLAIN
                          : view->layer > 0 ? OVLWHERE_SEALED
                                            : ovlwhere_upper(stack->able.space);
    length = (ssize_t)show_names(mount, stack, where, names, (size_t)length);
    if (length > 0)
        node_set_flags(mount->nodes, view->index, NODE_DRESSED, 0);
    else if (!plain)
        node_found_bare(mount->nodes, view->index);
    return length;
}

/* The kernel asks for capabilities before each write and each change of owner, ls(1) for a label at
 * each listing. That there is not one attribute answers such questions, and it need not be asked of
 * the layer again. */
static bool is_bare(struct mount *mount, const struct node_view *view)
{
    char names[NAMES_MOSTLY];
    return !mount_is_plain(mount, view) && !node_is(view, NODE_DRESSED) &&
           shown_names(mount, view, names, sizeof(names)) == 0;
}

/* Where modes are recorded what an ACL says of them is too. */
static int show_access_acl(struct mount *mount, const struct node_view *view, char *value,
                           size_t size)
{
    struct stat st;
    if (!mount_stack(mount, view)->layers[node_layer(view)].record)
        return 0;
    int err = find_attr(mount, view, &st);
    if (!err)
        record_show_acl(st.st_mode, value, size);
    return err;
}

void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
    if (provenance_is(name))
        return tell_provenance(req, ino, name, size);
    struct mount *mount = ops_mount(req);
    cleanup_view struct node_view view = {0};
    char disk[XATTR_NAME_MAX + 1];
    cleanup_free char *value = size ? malloc(size) : NULL;
    if (size && !value)
        return reply_error(req, -ENOMEM);
    int err = find_attribute(mount, ino, name, &view, disk);
    if (err == -EOPNOTSUPP && !is_acl(name))
        err = -ENODATA; /* a name that is too long once it is escaped was never set */
    if (!err && is_security(name) && is_bare(mount, &view))
        err = -ENODATA;
    if (err)
        return reply_error(req, err);
    ssize_t got = read_value(mount, &view, name, disk, value, size);
    /* A layer's filesystem may know no ACLs; the kernel, which was told that there may be some,
     * takes that for a failure of its check (fs/fuse/acl.c, __fuse_get_acl). */
    if (got == -EOPNOTSUPP && is_acl(name))
        got = -ENODATA;
    if (got > 0 && size > 0 && is_access_acl(name))
        err = show_access_acl(mount, &view, value, (size_t)got);
    if (err)
        got = err;
    if (got > 0 && size > 0 && mount->map) {
        err = idmap_show_attr(mount->map, name, value, (size_t)got);
        got = err ? err : got;
    }
    answer(req, value, got, size);
}

void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
    struct mount *mount = ops_mount(req);
    cleanup_view struct node_view view = {0};
    char names[XATTR_LIST_MAX];
    ssize_t length = node_view(mount->nodes, ino, &view);
    if (length == 0)
        length = shown_names(mount, &view, names, sizeof(names));
    if (length < 0)
        return reply_error(req, (int)length);
    if (size == 0)
        return reply_xattr_size(req, (size_t)length);
    if ((size_t)length > size)
        return reply_error(req, -ERANGE);
    reply_bytes(req, names, (size_t)length);
}
