/* SPDX-License-Identifier: MIT
 *
 * Duty: names to nodes and back: lookup, forget, readlink.
 */
#include "ops.h"

#include "fd.h"
#include "find.h"
#include "reply.h"
#include "route.h"
#include "serving.h"
#include "shown.h"
#include "told.h"

#include <fcntl.h>

void op_made_in_vain(struct mount *mount, uint64_t directory, uint64_t changed)
{
    mount->attributes_changed(mount->session, directory);
    if (changed != directory)
        mount->attributes_changed(mount->session, changed);
}

void op_reply_lookup(fuse_req_t req, const struct node_view *parent, const char *name,
                     uint64_t changed)
{
    struct mount *mount = ops_mount(req);
    cleanup_view struct node_view view = {0};
    struct stat st;
    const unsigned before = told_so_far(mount);
    int found = shown_look_up(mount, parent, name, &view, &st);
    if (found < 0 && changed)
        op_made_in_vain(mount, parent->id, changed);
    if (found < 0)
        return reply_error(req, found);
    if (!found)
        return reply_negative(req, mount_is_plain(mount, parent) ? 0 : mount->rules.timeout);
    if (node_is(&view, NODE_ROUTE))
        serving_crossed(mount, parent, name, view.tree, view.type);
    reply_entry(req, told_after(mount, &view, before), view.id, told_edition(mount, &view, &st),
                &st);
}

/* What the kernel has by a file handle (open_by_handle_at(2), NFS) and by no name it asks for
 * itself, and for the directory above (fs/fuse/inode.c: fuse_get_dentry(), fuse_get_parent()). */
static void reply_itself(fuse_req_t req, uint64_t id, bool above)
{
    struct mount *mount = ops_mount(req);
    cleanup_view struct node_view view = {0};
    struct stat st;
    const unsigned before = told_so_far(mount);
    int err = node_look_itself(mount->nodes, id, above, &view);
    if (err)
        return reply_error(req, err);
    err = find_attr(mount, &view, &st);
    if (err) {
        node_forget(mount->nodes, view.id, 1);
        return reply_error(req, err);
    }
    reply_entry(req, told_after(mount, &view, before), view.id, told_edition(mount, &view, &st),
                &st);
}

void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    if (fd_is_dot(name))
        return reply_itself(req, parent, name[1] == '.');
    cleanup_view struct node_view dir = {0};
    int err = node_view(ops_mount(req)->nodes, parent, &dir);
    if (err)
        return reply_error(req, err);
    op_reply_lookup(req, &dir, name, 0);
}

void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t count)
{
    struct mount *mount = ops_mount(req);
    node_forget(mount->nodes, ino, count);
    route_reap(mount);
    mount_trim(mount, TRIM_BUSY);
    reply_none(req);
}

void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
    struct mount *mount = ops_mount(req);
    for (size_t i = 0; i < count; i++)
        node_forget(mount->nodes, forgets[i].ino, forgets[i].nlookup);
    route_reap(mount);
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
