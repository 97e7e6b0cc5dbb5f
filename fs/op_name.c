/* SPDX-License-Identifier: MIT
 *
 * Duty: names to nodes and back: lookup, forget, readlink.
 */
#include "ops.h"

#include "fd.h"
#include "find.h"
#include "reply.h"
#include "resolve.h"

#include <fcntl.h>
#include <string.h>

int op_resolve(struct mount *mount, const struct node_view *parent, const char *name,
               struct entry *entry)
{
    int err = 0;
    struct fdref *upper = NULL;
    *entry = (struct entry){0};
    if (strlen(name) > NAME_MAX)
        return -ENAMETOOLONG;
    if (node_is(parent, NODE_ORPHAN))
        return -ENOENT;
    if (node_is(parent, NODE_UPPER)) {
        names_read(mount);
        upper = find_upper_dir(mount, parent->index, &err);
        names_end(mount);
        if (!upper)
            return err;
    }
    err = resolve_name(mount_stack(mount, parent), upper ? upper->fd : -1, parent->sources, name,
                       entry);
    fdref_release(mount->fds, upper);
    return err;
}

void op_reply_lookup(fuse_req_t req, const struct node_view *parent, const char *name)
{
    struct mount *mount = ops_mount(req);
    cleanup_entry struct entry entry = {0};
    cleanup_view struct node_view view = {0};
    uint64_t id = 0;
    int err = op_resolve(mount, parent, name, &entry);
    if (err)
        return reply_error(req, err);
    if (!entry.present)
        return reply_negative(req, mount);
    struct stat st = entry.st;
    err = node_intern(mount->nodes, parent->index, name, parent->tree, &entry, &id);
    if (!err)
        err = node_view(mount->nodes, id, &view);
    if (err)
        return reply_error(req, err);
    find_fix_attr(&view, &st);
    reply_entry(req, mount, id, &st);
}

void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    cleanup_view struct node_view dir = {0};
    int err = node_view(ops_mount(req)->nodes, parent, &dir);
    if (err)
        return reply_error(req, err);
    op_reply_lookup(req, &dir, name);
}

void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t count)
{
    struct mount *mount = ops_mount(req);
    node_forget(mount->nodes, ino, count);
    mount_trim(mount, TRIM_BUSY);
    reply_none(req);
}

void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
    struct mount *mount = ops_mount(req);
    for (size_t i = 0; i < count; i++)
        node_forget(mount->nodes, forgets[i].ino, forgets[i].nlookup);
    mount_trim(mount, TRIM_BUSY);
    reply_none(req);
}

void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
    struct mount *mount = ops_mount(req);
    cleanup_view struct node_view view = {0};
    struct spot spot = {0};
    char target[PATH_MAX + 1];
    int err = node_view(mount->nodes, ino, &view);
    if (err)
        return reply_error(req, err);
    names_read(mount);
    err = find_spot(mount, &view, &spot);
    ssize_t length = -1;
    if (!err) {
        length = readlinkat(spot.ref->fd, spot.name, target, PATH_MAX);
        err = length < 0 ? -errno : 0;
    }
    names_end(mount);
    spot_finish(mount, &spot);
    if (err)
        return reply_error(req, err);
    target[length] = 0;
    reply_link_target(req, target);
}
