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
#include "held.h"
#include "ledger.h"
#include "listing.h"
#include "promote.h"
#include "question.h"
#include "reply.h"
#include "route.h"
#include "told.h"
#include "turns.h"
#include "upper.h"

#include <fcntl.h>
#include <string.h>

/* Opens what has to be held for as much as can be: it is read and written from then on. A file that
 * was written just now may be open already. */
static int open_victim(struct mount *mount, const struct node_view *victim, const struct spot *spot,
                       bool *writable)
{
    struct fdref *open = fdcache_get(mount->fds, fdkey(FDKIND_DATA, victim->index));
    *writable = node_is(victim, NODE_UPPER);
    int fd = -ENOENT;
    if (*writable)
        fd = open && open->writable && !mount_is_plain(mount, victim)
                 ? fd_dup(open->fd)
                 : find_open(mount, victim, spot, true);
    fdref_release(mount->fds, open);
    if (fd >= 0)
        return fd;
    *writable = false;
    return find_open(mount, victim, spot, false);
}

int op_hold_victim(struct mount *mount, const struct node_view *victim, int *fd, bool *writable)
{
    struct spot spot = {0};
    *fd = -1;
    *writable = false;
    int err = fdcache_can_pin(mount->fds);
    if (!err)
        err = find_spot(mount, victim, &spot);
    if (err)
        return err;
    if (S_ISREG(victim->type))
        *fd = open_victim(mount, victim, &spot, writable);
    if (*fd < 0)
        *fd = *spot.name ? fd_open_name(spot.ref->fd, spot.name, O_PATH, 0) : fd_dup(spot.ref->fd);
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
    ssize_t length = ovlattr_get_owned(stack_upper_where(stack), stack->index, name, OVLATTR_NLINK,
                                       text, sizeof(text) - 1);
    if (length > 1 && text[0] == 'U' && (long)st.st_nlink + strtol(text + 1, NULL, 10) <= 0)
        unlinkat(stack->index, name, 0);
}

struct removal {
    const struct node_view *dir, *victim; /* the victim may be NULL: no node speaks of it */
    const char *name;
    bool is_dir;
    bool unseen; /* a directory that nobody has looked into */
};

/* What the upper directory has of the name. What a node is known to be linked as is there, except
 * in a plain tree, where the host may have been faster. */
static int look_for(struct mount *mount, const struct removal *removal, int upper)
{
    struct stat st;
    const struct node_view *dir = removal->dir;
    if (removal->victim && !mount_is_plain(mount, dir) &&
        node_name_is_linked(mount->nodes, dir->index, removal->name))
        return UPPER_OBJECT;
    int look = upper_look(mount_stack(mount, dir), upper, removal->name, &st);
    return look == UPPER_WHITEOUT ? -ENOENT : look;
}

static int remove_on_disk(struct mount *mount, const struct removal *removal, int upper, int look)
{
    const struct stack *stack = mount_stack(mount, removal->dir);
    const struct editdir place = {.upper = upper, .sources = removal->dir->sources};
    pthread_rwlock_t *turn = turn_share(mount, removal->dir);
    int err = removal->unseen ? edit_remove_unseen(stack, &place, removal->name)
                              : edit_remove(stack, &place, removal->name, look == UPPER_OBJECT,
                                            removal->is_dir);
    turn_end(turn);
    return err;
}

static void tell_removal(struct mount *mount, const struct removal *removal)
{
    mode_t type = removal->victim ? removal->victim->type : removal->is_dir ? S_IFDIR : 0;
    ledger_note_hidden(mount, removal->dir, removal->name, EVENT_WHITEOUT, type,
                       removal->is_dir ? "rmdir" : "unlink");
}

/* Takes the name out of the union and out of the table. The victim's lock is held. */
static int remove_locked(struct mount *mount, const struct removal *removal)
{
    const struct node_view *dir = removal->dir, *victim = removal->victim;
    int err = 0, held = -1;
    bool writable = false;
    names_write(mount);
    struct fdref *upper = find_upper_dir(mount, dir->index, &err);
    int look = upper ? look_for(mount, removal, upper->fd) : err;
    err = look < 0 ? look : victim ? op_hold_victim(mount, victim, &held, &writable) : 0;
    if (!err)
        err = remove_on_disk(mount, removal, upper->fd, look);
    bool orphan = !err && node_drop_name(mount->nodes, dir->index, removal->name);
    if (victim)
        op_settle_victim(mount, victim, orphan, held, writable);
    names_change(mount, dir->index);
    names_end(mount);
    told_changed(mount, dir->index);
    fdref_release(mount->fds, upper);
    if (!err)
        tell_removal(mount, removal);
    return err;
}

/* Of a directory that lies in the upper alone rmdir(2) itself tells whether it is empty. Where
 * something lies beneath, or it may hold whiteouts, its names have to be read. */
static int remove_dir(struct mount *mount, struct removal *removal)
{
    const struct node_view *victim = removal->victim;
    if (mount_is_plain(mount, removal->dir))
        return remove_locked(mount, removal);
    removal->unseen =
        node_is(victim, NODE_UPPER) && !victim->sources && !node_is(victim, NODE_WAY | NODE_STUB);
    int err = removal->unseen ? remove_locked(mount, removal) : -ENOTEMPTY;
    if (err != -ENOTEMPTY)
        return err;
    removal->unseen = false;
    int empty = listing_is_empty(mount, victim);
    return empty < 0 ? empty : empty ? remove_locked(mount, removal) : -ENOTEMPTY;
}

/* What cannot be removed is told before anything is copied up for it (kernel: ovl_do_remove);
 * whoever removes it looks again. */
static int check_emptied(struct mount *mount, const struct node_view *dir,
                         const struct node_view *victim)
{
    if (node_is(dir, NODE_UPPER))
        return 0;
    int empty = listing_is_empty(mount, victim);
    return empty < 0 ? empty : empty ? 0 : -ENOTEMPTY;
}

/* A lower file with several names is copied up before one of them goes, so that the count of the
 * rest has a place to be kept (kernel: ovl_nlink_start). Otherwise its directory alone is. */
static int prepare_victim(struct mount *mount, struct node_view *dir, const char *name, bool is_dir)
{
    cleanup_view struct node_view victim = {0};
    struct promotion promotion = {.cause = is_dir ? "rmdir" : "unlink"};
    uint32_t index = node_find(mount->nodes, dir->index, name);
    int err = index == NODE_NONE ? 0 : node_view_index(mount->nodes, index, &victim);
    bool indexed = !S_ISDIR(victim.type) && node_is(&victim, NODE_INDEXED);
    if (!err)
        err = held_from_loss(dir, &victim);
    if (!err && is_dir && index != NODE_NONE)
        err = check_emptied(mount, dir, &victim);
    if (!err && indexed)
        err = question_ask_node(mount, &promotion, dir->index);
    if (!err && indexed)
        err = question_ask_name(mount, &promotion, dir->index, name);
    if (!err)
        err = promote_dir_seen(mount, dir, promotion.cause);
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
    uint32_t index = node_find(mount->nodes, dir.index, name);
    struct removal removal = {.dir = &dir, .name = name, .is_dir = is_dir};
    if (index == NODE_NONE)
        return remove_locked(mount, &removal);
    cleanup_view struct node_view victim = {0};
    removal.victim = &victim;
    node_lock(mount->nodes, index);
    err = node_view_index(mount->nodes, index, &victim);
    if (!err)
        err = is_dir ? remove_dir(mount, &removal) : remove_locked(mount, &removal);
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
