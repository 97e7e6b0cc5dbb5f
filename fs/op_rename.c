/* SPDX-License-Identifier: MIT
 *
 * Duty: rename, with NOREPLACE and EXCHANGE, and in a volume WHITEOUT: in a union nobody would see
 * the device that it asks for, and who relies on it (fuse-overlayfs, for what is deleted in an
 * upper) would find nothing there. In order: what moves is brought into the upper layer, marks say
 * where the layers beneath have it, then one rename on disk and one in the table, under the names
 * lock. A crash before the rename leaves marks that say what was true before as well.
 */
#include "ops.h"

#include "edit.h"
#include "fd.h"
#include "find.h"
#include "held.h"
#include "ledger.h"
#include "listing.h"
#include "promote.h"
#include "question.h"
#include "redirect.h"
#include "reply.h"
#include "route.h"
#include "told.h"
#include "turns.h"
#include "upper.h"

#include <stdio.h>
#include <string.h>

#ifndef RENAME_WHITEOUT
#define RENAME_WHITEOUT (1 << 2)
#endif

/* One end of a rename. */
struct end {
    struct node_view dir; /* the directory */
    const char *name;
    uint32_t index; /* of what has the name; NODE_NONE for nothing */
    struct node_view node;
};

static void end_finish(struct end *end)
{
    node_view_finish(&end->dir);
    node_view_finish(&end->node);
}

static int end_open(struct mount *mount, uint64_t parent, const char *name, struct end *end)
{
    end->name = name;
    if (strlen(name) > NAME_MAX)
        return -ENAMETOOLONG;
    int err = node_view(mount->nodes, parent, &end->dir);
    if (err)
        return err;
    end->index = node_find(mount->nodes, end->dir.index, name);
    return end->index ? node_view_index(mount->nodes, end->index, &end->node) : 0;
}

/* A node may keep a name that the host has taken away, or given to another, as long as it is open
 * or has a second one. What is on the host says whether there is anything to be replaced. */
static int ask_host(struct mount *mount, struct end *to)
{
    struct stat st;
    int err = 0;
    if (!to->index || !mount_is_plain(mount, &to->dir) || to->node.tree != to->dir.tree ||
        node_is(&to->node, NODE_WAY | NODE_ROUTE | NODE_STUB))
        return 0;
    names_read(mount);
    struct fdref *ref = find_upper_dir(mount, to->dir.index, &err);
    if (ref)
        err = fd_stat(ref->fd, to->name, &st);
    names_end(mount);
    fdref_release(mount->fds, ref);
    if (ref && (err == -ENOENT || (!err && st.st_ino != to->node.upper_ino))) {
        node_view_finish(&to->node);
        to->index = NODE_NONE;
        err = 0;
    }
    return err;
}

/* The view anew: promotion has changed it. */
static int end_refresh(struct mount *mount, struct end *end)
{
    uint64_t id = end->dir.id;
    node_view_finish(&end->dir);
    int err = node_view(mount->nodes, id, &end->dir);
    if (err || !end->index)
        return err;
    node_view_finish(&end->node);
    return node_view_index(mount->nodes, end->index, &end->node);
}

static bool is_merged_dir(const struct end *end)
{
    return S_ISDIR(end->node.type) && end->node.sources;
}

static bool stays_in_dir(const struct end *from, const struct end *to)
{
    return from->dir.index == to->dir.index;
}

/* Brings the moving object up and marks it for its new place `to`. */
static int prepare_mover(struct mount *mount, struct end *from, const struct end *to)
{
    struct stack *stack = mount_stack(mount, &from->dir);
    int err = promote_name(mount, from->dir.index, from->name, "rename");
    if (!err)
        err = end_refresh(mount, from);
    if (err)
        return err;
    if (is_merged_dir(from) || node_is(&from->node, NODE_METACOPY))
        err = redirect_set(mount, &from->node, stays_in_dir(from, to));
    else if (S_ISDIR(from->node.type) && to->dir.sources) {
        struct spot spot = {0};
        names_read(mount);
        err = find_spot(mount, &from->node, &spot);
        if (!err)
            err = upper_set_opaque(stack, spot.ref->fd, spot.name);
        names_end(mount);
        spot_finish(mount, &spot);
    }
    if (!err && from->node.ino != stack_ino(stack, 0, from->node.upper_ino))
        err = promote_mark_impure(mount, to->dir.index);
    return err;
}

static int check(struct mount *mount, const struct end *from, const struct end *to, unsigned flags)
{
    bool redirect = mount_stack(mount, &from->dir)->features.redirect &&
                    mount_stack(mount, &from->dir)->able.space != OVLSPACE_NONE;
    bool exchange = flags & RENAME_EXCHANGE;
    if (route_pins(mount, &from->dir, from->name) || route_pins(mount, &to->dir, to->name))
        return -EBUSY;
    if (!from->index || (exchange && !to->index))
        return -ENOENT;
    if ((flags & RENAME_WHITEOUT) && !mount_is_plain(mount, &from->dir))
        return -EINVAL;
    if (from->dir.tree != to->dir.tree)
        return -EXDEV;
    if (to->index && (flags & RENAME_NOREPLACE))
        return -EEXIST;
    int err = held_from_loss(&from->dir, &from->node);
    if (!err)
        err = to->index ? held_from_loss(&to->dir, &to->node) : held_from_names(&to->dir);
    if (err)
        return err;
    if (!redirect && (is_merged_dir(from) || (exchange && is_merged_dir(to))))
        return -EXDEV;
    return 0;
}

static bool replaces_indexed(const struct end *to)
{
    return to->index && node_is(&to->node, NODE_INDEXED) && !S_ISDIR(to->node.type);
}

/* Whether all that is to be brought up may be. */
static int ask(struct mount *mount, const struct end *from, const struct end *to, unsigned flags)
{
    struct promotion promotion = {.cause = "rename"};
    int err = question_ask_node(mount, &promotion, from->dir.index);
    if (!err)
        err = question_ask_node(mount, &promotion, to->dir.index);
    if (!err)
        err = question_ask_name(mount, &promotion, from->dir.index, from->name);
    if (!err && ((flags & RENAME_EXCHANGE) || replaces_indexed(to)))
        err = question_ask_name(mount, &promotion, to->dir.index, to->name);
    return err;
}

static int prepare(struct mount *mount, struct end *from, struct end *to, unsigned flags)
{
    int err = check(mount, from, to, flags);
    if (!err)
        err = ask(mount, from, to, flags);
    if (!err)
        err = promote_dir(mount, from->dir.index, "rename");
    if (!err)
        err = promote_dir(mount, to->dir.index, "rename");
    if (!err)
        err = prepare_mover(mount, from, to);
    if (!err && (flags & RENAME_EXCHANGE))
        err = prepare_mover(mount, to, from);
    else if (!err && replaces_indexed(to))
        err = promote_name(mount, to->dir.index, to->name, "rename");
    if (!err)
        err = end_refresh(mount, from);
    return err ? err : end_refresh(mount, to);
}

/* The move on disk and in the table. mount.names is held exclusively. */
static int move(struct mount *mount, const struct end *from, const struct end *to, unsigned flags)
{
    int err = 0;
    struct fdref *from_dir = find_upper_dir(mount, from->dir.index, &err);
    struct fdref *to_dir = from_dir ? find_upper_dir(mount, to->dir.index, &err) : NULL;
    if (to_dir) {
        const struct editdir from_edit = {.upper = from_dir->fd, .sources = from->dir.sources};
        const struct editdir to_edit = {.upper = to_dir->fd, .sources = to->dir.sources};
        const struct renaming renaming = {
            .from = &from_edit,
            .to = &to_edit,
            .from_name = from->name,
            .to_name = to->name,
            .is_dir = S_ISDIR(from->node.type),
            .exchange = flags & RENAME_EXCHANGE,
            .leave_whiteout = flags & RENAME_WHITEOUT,
            .no_replace = (flags & RENAME_NOREPLACE) && mount_is_plain(mount, &to->dir),
        };
        const struct turn_ends turns = turn_share_ends(mount, &from->dir, &to->dir);
        err = edit_rename(mount_stack(mount, &from->dir), &renaming);
        turn_end_ends(turns);
    }
    fdref_release(mount->fds, from_dir);
    fdref_release(mount->fds, to_dir);
    return err;
}

static int rename_locked(struct mount *mount, struct end *from, struct end *to, unsigned flags)
{
    bool exchange = flags & RENAME_EXCHANGE, orphan = false, writable = false;
    int err = end_refresh(mount, from), held = -1;
    if (!err)
        err = end_refresh(mount, to);
    if (!err && to->index && !exchange && S_ISDIR(to->node.type) &&
        !mount_is_plain(mount, &to->node)) {
        int empty = listing_is_empty(mount, &to->node);
        err = empty < 0 ? empty : empty ? 0 : -ENOTEMPTY;
    }
    if (err)
        return err;
    names_write(mount);
    if (to->index && !exchange)
        err = op_hold_victim(mount, &to->node, &held, &writable);
    if (!err)
        err = move(mount, from, to, flags);
    if (!err && exchange) {
        node_exchange_names(mount->nodes, from->dir.index, from->name, to->dir.index, to->name);
    } else if (!err) {
        orphan = to->index && node_drop_name(mount->nodes, to->dir.index, to->name);
        node_move_name(mount->nodes, from->dir.index, from->name, to->dir.index, to->name);
    }
    if (to->index && !exchange)
        op_settle_victim(mount, &to->node, orphan, held, writable);
    names_change(mount, from->dir.index);
    names_change(mount, to->dir.index);
    names_end(mount);
    told_changed(mount, from->dir.index);
    told_changed(mount, to->dir.index);
    return err;
}

/* Both ends' locks, lower index first. */
static void lock_ends(struct mount *mount, uint32_t a, uint32_t b)
{
    uint32_t first = a < b ? a : b, second = a < b ? b : a;
    if (first)
        node_lock(mount->nodes, first);
    if (second != first)
        node_lock(mount->nodes, second);
}

static void unlock_ends(struct mount *mount, uint32_t a, uint32_t b)
{
    if (a)
        node_unlock(mount->nodes, a);
    if (b && b != a)
        node_unlock(mount->nodes, b);
}

/* What a rename leaves behind: a whiteout at the old name, and a directory at the new one that
 * hides what the layers beneath have there, or points to where they have what it shows. */
static void note_marks(struct mount *mount, const struct end *from, const struct end *to,
                       unsigned flags)
{
    mode_t type = from->node.type;
    if (!(flags & RENAME_EXCHANGE))
        ledger_note_hidden(mount, &from->dir, from->name, EVENT_WHITEOUT, type, "rename");
    if (S_ISDIR(type) && from->node.sources)
        ledger_note_mark(mount, to->dir.index, to->name, EVENT_REDIRECT, type, "rename");
    else if (S_ISDIR(type))
        ledger_note_hidden(mount, &to->dir, to->name, EVENT_OPAQUE, type, "rename");
}

/* A directory with another parent has another "..", of which the kernel may keep the old number. */
static void forget_parent(struct mount *mount, const struct end *from, const struct end *to)
{
    if (from->index && S_ISDIR(from->node.type) && from->dir.index != to->dir.index)
        mount->listing_changed(mount->session, from->node.id);
}

/* A file that takes the place of another without having been synced: ext4 and btrfs begin to write
 * it, so that the power does not take the old content and the new one. Of a file that is below they
 * do not know. */
static void begin_writing(struct mount *mount, const struct end *from, const struct end *to)
{
    int err;
    if (!to->index || !S_ISREG(to->node.type) || node_is(&to->node, NODE_UPPER) ||
        !S_ISREG(from->node.type) || node_is(&from->node, NODE_METACOPY) ||
        !mount_stack(mount, &from->dir)->features.sync)
        return;
    struct fdref *ref = find_data(mount, &from->node, false, &err);
    if (ref)
        (void)!sync_file_range(ref->fd, 0, 0, SYNC_FILE_RANGE_WRITE);
    fdref_release(mount->fds, ref);
}

static int rename_names(struct mount *mount, struct end *from, struct end *to, unsigned flags)
{
    int err = prepare(mount, from, to, flags);
    if (err)
        return err;
    if (!(flags & RENAME_EXCHANGE))
        begin_writing(mount, from, to);
    lock_ends(mount, from->index, to->index);
    err = rename_locked(mount, from, to, flags);
    if (!err && to->index && !(flags & RENAME_EXCHANGE))
        op_drop_index(mount, &to->node);
    unlock_ends(mount, from->index, to->index);
    if (err)
        return err;
    note_marks(mount, from, to, flags);
    forget_parent(mount, from, to);
    if (flags & RENAME_EXCHANGE) {
        note_marks(mount, to, from, flags);
        forget_parent(mount, to, from);
    }
    return 0;
}

void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
               const char *new_name, unsigned flags)
{
    struct mount *mount = ops_mount(req);
    struct end from = {0}, to = {0};
    int err = end_open(mount, parent, name, &from);
    if (!err)
        err = end_open(mount, new_parent, new_name, &to);
    if (!err)
        err = ask_host(mount, &to);
    if (!err)
        err = rename_names(mount, &from, &to, flags);
    end_finish(&from);
    end_finish(&to);
    reply_error(req, err);
}
