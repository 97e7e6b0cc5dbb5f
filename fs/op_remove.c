/* SPDX-License-Identifier: MIT
 *
 * Duty: unlink and rmdir. What the kernel may still hold open keeps a descriptor, pinned until
 * FORGET, which stands for the object from then on.
 */
#include "ops.h"

#include "edit.h"
#include "fd.h"
#include "find.h"
#include "growth.h"
#include "ledger.h"
#include "listing.h"
#include "promote.h"
#include "reply.h"
#include "route.h"
#include "upper.h"

#include <fcntl.h>
#include <string.h>

int op_hold_victim(struct mount *mount, const struct node_view *victim, int *fd, bool *writable)
{
    struct spot spot = {0};
    *fd = -1;
    *writable = false;
    int err = find_spot(mount, victim, &spot);
    if (err)
        return err;
    /* What is held is read and written from then on, so it is opened for as much as can be. */
    if (S_ISREG(victim->type) && node_is(victim, NODE_UPPER)) {
        *fd = find_open(mount, victim, &spot, true);
        *writable = *fd >= 0;
    }
    if (*fd < 0 && S_ISREG(victim->type))
        *fd = find_open(mount, victim, &spot, false);
    if (*fd < 0)
        *fd = *spot.name ? fd_open_name(spot.ref->fd, spot.name, O_PATH, 0)
                         : fd_reopen(spot.ref->fd, O_PATH);
    err = *fd < 0 ? *fd : 0;
    spot_finish(mount, &spot);
    return err;
}

void op_settle_victim(struct mount *mount, const struct node_view *victim, bool orphan, int fd,
                      bool writable)
{
    if (!orphan) {
        own_close(&fd);
        return;
    }
    growth_unnamed(mount, victim->tree, fd, false);
    fdref_release(mount->fds,
                  fdcache_pin(mount->fds, fdkey(FDKIND_ORPHAN, victim->index), fd, writable));
    fdcache_drop(mount->fds, fdkey(FDKIND_UPPER_DIR, victim->index));
    listings_drop(mount->listings, victim->index);
}

void op_drop_index(struct mount *mount, const struct node_view *victim)
{
    struct stack *stack = mount_stack(mount, victim);
    const char *name = victim->more ? victim->more->index_name : NULL;
    struct stat st;
    if (!name || !node_is(victim, NODE_UPPER) || fd_stat(stack->index, name, &st) < 0)
        return;
    char text[16] = "";
    ssize_t length = ovlattr_get(stack_upper_where(stack), stack->index, name, OVLATTR_NLINK, text,
                                 sizeof(text) - 1);
    if (length > 1 && text[0] == 'U' && (long)st.st_nlink + strtol(text + 1, NULL, 10) <= 0)
        unlinkat(stack->index, name, 0);
}

/* Takes the name out of the union and out of the table. The victim's lock is held. */
static int remove_locked(struct mount *mount, const struct node_view *dir, const char *name,
                         const struct node_view *victim, bool is_dir)
{
    struct stack *stack = mount_stack(mount, dir);
    struct stat st;
    int err = 0, held = -1;
    bool writable = false;
    names_write(mount);
    struct fdref *upper = find_upper_dir(mount, dir->index, &err);
    int look = upper ? upper_look(stack, upper->fd, name, &st) : err;
    if (look == UPPER_WHITEOUT)
        look = -ENOENT;
    err = look < 0 ? look : victim ? op_hold_victim(mount, victim, &held, &writable) : 0;
    if (!err) {
        const struct editdir place = {.upper = upper->fd, .sources = dir->sources};
        err = edit_remove(stack, &place, name, look == UPPER_OBJECT, is_dir);
    }
    bool orphan = !err && node_drop_name(mount->nodes, dir->index, name);
    names_end(mount);
    fdref_release(mount->fds, upper);
    if (victim)
        op_settle_victim(mount, victim, orphan, held, writable);
    if (!err)
        ledger_note_hidden(mount, dir, name, EVENT_WHITEOUT,
                           victim   ? victim->type
                           : is_dir ? S_IFDIR
                                    : 0,
                           is_dir ? "rmdir" : "unlink");
    return err;
}

/* A lower file with several names is copied up before one of them goes, so that the count of the
 * rest has a place to be kept (kernel: ovl_nlink_start). Otherwise its directory alone is. */
static int prepare_victim(struct mount *mount, const struct node_view *dir, const char *name,
                          bool is_dir)
{
    cleanup_view struct node_view victim = {0};
    struct promotion promotion = {.cause = is_dir ? "rmdir" : "unlink"};
    uint32_t index = node_find(mount->nodes, dir->index, name);
    int err = index == NODE_NONE ? 0 : node_view_index(mount->nodes, index, &victim);
    bool indexed = !S_ISDIR(victim.type) && node_is(&victim, NODE_INDEXED);
    if (!err && indexed)
        err = promote_ask_node(mount, &promotion, dir->index);
    if (!err && indexed)
        err = promote_ask_name(mount, &promotion, dir->index, name);
    if (!err)
        err = promote_dir(mount, dir->index, promotion.cause);
    if (!err && indexed)
        err = promote_name(mount, dir->index, name, promotion.cause);
    return err;
}

static int remove_name(struct mount *mount, uint64_t parent, const char *name, bool is_dir)
{
    cleanup_view struct node_view dir = {0};
    int err = node_view(mount->nodes, parent, &dir);
    if (!err && route_pins(mount, &dir, name))
        err = -EBUSY;
    if (!err)
        err = prepare_victim(mount, &dir, name, is_dir);
    if (err)
        return err;
    dir.flags |= NODE_UPPER;
    uint32_t index = node_find(mount->nodes, dir.index, name);
    if (index == NODE_NONE)
        return remove_locked(mount, &dir, name, NULL, is_dir);
    cleanup_view struct node_view victim = {0};
    node_lock(mount->nodes, index);
    err = node_view_index(mount->nodes, index, &victim);
    if (!err && is_dir && !mount_is_plain(mount, &dir)) {
        int empty = listing_is_empty(mount, &victim);
        err = empty < 0 ? empty : empty ? 0 : -ENOTEMPTY;
    }
    if (!err)
        err = remove_locked(mount, &dir, name, &victim, is_dir);
    if (!err)
        op_drop_index(mount, &victim);
    node_unlock(mount->nodes, index);
    return err;
}

void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    reply_error(req, remove_name(ops_mount(req), parent, name, false));
}

void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    reply_error(req, remove_name(ops_mount(req), parent, name, true));
}
