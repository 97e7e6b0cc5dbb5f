/* SPDX-License-Identifier: MIT
 *
 * Duty: decide what a change needs in the upper layer and have it copied. A node is promoted under
 * its own lock; its parents are promoted before, one after the other, so no two node locks are
 * held. A node that has been promoted never goes back, so the first look needs no lock.
 */
#include "promote.h"

#include "asker.h"
#include "caller.h"
#include "copyup.h"
#include "edit.h"
#include "fd.h"
#include "find.h"
#include "held.h"
#include "ledger.h"
#include "linkindex.h"
#include "log.h"
#include "moment.h"
#include "ovlattr.h"
#include "pathjoin.h"
#include "policing.h"
#include "question.h"
#include "stack.h"
#include "told.h"
#include "turns.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static enum event_means means_of(const struct copyup *job)
{
    static const enum event_means MEANS[] = {
        [COPYMEANS_NONE] = EVENT_MEANS_NONE,
        [COPYMEANS_REFLINK] = EVENT_MEANS_REFLINK,
        [COPYMEANS_RANGE] = EVENT_MEANS_RANGE,
        [COPYMEANS_READ_WRITE] = EVENT_MEANS_READ_WRITE,
    };
    return job->meta_only ? EVENT_MEANS_METACOPY : MEANS[job->copied.means];
}

/* What a copy-up is done for, since when, and what it came to. */
struct purpose {
    const char *cause;
    int64_t began; /* on the steady clock */
    uint64_t moved;
    struct promote_mode *wish; /* or NULL */
};

static struct purpose purpose_begin(const char *cause, struct promote_mode *wish)
{
    return (struct purpose){.cause = cause, .began = moment_steady(), .wish = wish};
}

/* Tells of a copy-up of the name (parent, name) of a node. */
static void tell(struct mount *mount, const struct node_view *view, uint32_t parent,
                 const char *name, const struct copyup *job, struct purpose *purpose)
{
    struct event event = {
        .kind = EVENT_COPYUP,
        .cause = purpose->cause,
        .layer = question_layer(mount_stack(mount, view), job->src_layer),
        .type = view->type,
        .size = S_ISREG(view->type) ? (uint64_t)job->src.st_size : 0,
        .moved = job->copied.bytes,
        .means = means_of(job),
        .duration = moment_steady() - purpose->began,
    };
    log_debug("copy-up of %s for %s: layer %u, %s, %llu of %llu bytes moved",
              *name ? name : "(no name)", purpose->cause, event.layer,
              event_means_word(event.means), (unsigned long long)event.moved,
              (unsigned long long)event.size);
    purpose->moved += event.moved;
    ledger_note(mount, parent, name, &event);
    policing_note_done(mount, parent, name, &event);
}

int promote_mark_impure(struct mount *mount, uint32_t index)
{
    cleanup_view struct node_view view = {0};
    int err = node_view_index(mount->nodes, index, &view);
    struct stack *stack = mount_stack(mount, &view);
    if (err || node_is(&view, NODE_IMPURE) || stack->able.space == OVLSPACE_NONE)
        return err;
    names_read(mount);
    struct fdref *ref = find_upper_dir(mount, index, &err);
    names_end(mount);
    if (!ref)
        return err;
    err = ovlattr_set(stack->able.space, ref->fd, "", OVLATTR_IMPURE, "y", 1);
    fdref_release(mount->fds, ref);
    if (!err)
        node_set_flags(mount->nodes, index, NODE_IMPURE, 0);
    return err == -EOPNOTSUPP || err == -EPERM ? 0 : err;
}

/* What a wish came to. The blocks of a metacopy are those of its data below; of one of several
 * names the count is not that of the object (find_attr). */
static void grant(struct mount *mount, const struct node_view *view, const struct copyup *job,
                  struct promote_mode *wish)
{
    cleanup_view struct node_view now = {0};
    wish->done = true;
    wish->known =
        job->known && !job->index_name && node_view_index(mount->nodes, view->index, &now) == 0;
    if (!wish->known)
        return;
    wish->st = job->after;
    if (job->meta_only)
        wish->st.st_blocks = job->src.st_blocks;
    find_fix_attr(&now, &wish->st);
}

/* What is copied up looks as it was shown just now. Only data is looked at anew before it is
 * copied: all of it must come. */
static int look_at_source(struct mount *mount, const struct node_view *view, struct copyup *job)
{
    bool moves_data = S_ISREG(view->type) && !job->meta_only;
    job->src_ino = view->ino;
    return !moves_data && find_kept(mount, view, &job->src)
               ? 0
               : stack_stat(job->stack, view->layer, job->src_dir, job->src_name, &job->src);
}

/* Finds the lower object of a view and its place in the upper; runs `copy`; tells the node. */
static int copy_to_place(struct mount *mount, const struct node_view *view, struct copyup *job,
                         const struct purpose *purpose, int (*copy)(struct copyup *))
{
    struct promote_mode *wish = purpose->wish;
    int err = promote_mark_impure(mount, view->parent);
    if (err)
        return err;
    struct spot spot = {0};
    struct fdref *place = NULL;
    names_read(mount);
    err = find_spot(mount, view, &spot);
    if (!err)
        place = find_upper_dir(mount, view->parent, &err);
    names_end(mount);
    if (!err) {
        job->stack = mount_stack(mount, view);
        job->src_dir = spot.ref->fd;
        job->src_name = spot.name;
        job->src_layer = view->layer;
        job->held = held_of(view->flags);
        job->dst_dir = place->fd;
        job->dst_name = view->name;
        job->turn = turn_of(mount, view->tree, view->parent);
        job->mode = wish ? &wish->mode : NULL;
        err = look_at_source(mount, view, job);
    }
    caller_unmask();
    names_rise(mount, view->parent);
    if (!err)
        err = copy(job);
    names_rise(mount, view->parent);
    told_changed(mount, view->parent); /* its times were others for a moment */
    if (!err) {
        unsigned clear = job->meta_only ? 0 : NODE_METACOPY;
        unsigned set = NODE_LINKED | (job->meta_only ? (unsigned)NODE_METACOPY : 0);
        node_promoted(mount->nodes, view->index, set, clear, job->made);
        /* As in the kernel's overlayfs (ovl_getattr): the lower number stays with the other names.
         */
        if (job->torn) {
            node_set_ino(mount->nodes, view->index, stack_ino(job->stack, 0, job->made));
            names_change(mount, view->parent);
        }
        if (wish)
            grant(mount, view, job, wish);
    }
    fdref_release(mount->fds, place);
    spot_finish(mount, &spot);
    return err;
}

/* A directory that was shown for the sake of a route alone comes to be when something is made in
 * it.
 */
static int make_stub(struct mount *mount, const struct node_view *view)
{
    struct stat st;
    int err = 0;
    const struct making making = {.mode = S_IFDIR | 0755, .uid = geteuid(), .gid = getegid()};
    cleanup_view struct node_view parent = {0};
    err = node_view_index(mount->nodes, view->parent, &parent);
    if (err)
        return err;
    names_read(mount);
    struct fdref *place = find_upper_dir(mount, view->parent, &err);
    names_end(mount);
    if (!place)
        return err;
    caller_unmask(); /* it was shown with its mode, whoever comes first */
    names_rise(mount, view->parent);
    const struct editdir dir = {.upper = place->fd, .sources = parent.sources};
    pthread_rwlock_t *turn = turn_share(mount, &parent);
    err = edit_make(mount_stack(mount, view), &dir, view->name, &making, NULL);
    turn_end(turn);
    if (!err)
        err = fd_stat(place->fd, view->name, &st);
    if (!err)
        node_promoted(mount->nodes, view->index, NODE_LINKED, NODE_STUB, st.st_ino);
    names_change(mount, view->parent);
    fdref_release(mount->fds, place);
    return err;
}

static int promote_dir_itself(struct mount *mount, uint32_t index, const char *cause,
                              struct promote_mode *wish)
{
    cleanup_view struct node_view view = {0};
    struct copyup job = {.src_data = -1, .limit = -1};
    struct purpose purpose = purpose_begin(cause, wish);
    node_lock(mount->nodes, index);
    int err = node_view_index(mount->nodes, index, &view);
    if (!err && node_is(&view, NODE_ORPHAN))
        err = -ENOENT;
    if (!err && node_is(&view, NODE_STUB)) {
        err = make_stub(mount, &view);
    } else if (!err && !node_is(&view, NODE_UPPER)) {
        err = copy_to_place(mount, &view, &job, &purpose, copyup_dir);
        if (!err)
            tell(mount, &view, view.parent, view.name, &job, &purpose);
    }
    node_unlock(mount->nodes, index);
    return err;
}

/* The directory and all above it, without asking: their copy-up follows from what was asked about.
 */
static int bring_dir(struct mount *mount, uint32_t index, const char *cause,
                     struct promote_mode *wish)
{
    /* From the nearest directory that is up already, downwards. Each round copies the topmost that
     * is missing; paths are short and this happens once for each directory. */
    for (;;) {
        uint32_t missing = NODE_NONE, at = index;
        while (at != NODE_NONE) {
            cleanup_view struct node_view view = {0};
            int err = node_view_index(mount->nodes, at, &view);
            if (err)
                return err;
            if (mount_tree(mount, &view)->read_only)
                return -EROFS;
            if (node_is(&view, NODE_UPPER))
                break;
            missing = at;
            at = view.parent;
        }
        if (missing == NODE_NONE)
            return 0;
        int err = promote_dir_itself(mount, missing, cause, missing == index ? wish : NULL);
        if (err)
            return err;
    }
}

static int ask_and_bring_dir(struct mount *mount, uint32_t index, const char *cause,
                             struct promote_mode *wish)
{
    struct promotion promotion = {.cause = cause};
    int err = question_ask_node(mount, &promotion, index);
    return err ? err : bring_dir(mount, index, cause, wish);
}

int promote_dir(struct mount *mount, uint32_t index, const char *cause)
{
    return ask_and_bring_dir(mount, index, cause, NULL);
}

int promote_dir_seen(struct mount *mount, struct node_view *dir, const char *cause)
{
    const uint64_t id = dir->id;
    const bool changes = !node_is(dir, NODE_UPPER);
    int err = promote_dir(mount, dir->index, cause);
    if (err || !changes)
        return err;
    node_view_finish(dir);
    return node_view(mount->nodes, id, dir);
}

/* ---- files ---- */

/* What becomes of what was removed and is still open: it lies in the upper without a name, open; or
 * -errno. */
static int copy_orphan(struct mount *mount, const struct node_view *view, int held,
                       struct copyup *job)
{
    cleanup_fd int data = -1;
    job->src_dir = held;
    job->src_layer = view->layer;
    job->src_data = -1;
    if (node_is(view, NODE_METACOPY)) {
        /* Where it cannot be had now, what is held is all zeros. */
        data = find_metacopy_data(mount, view);
        if (data < 0)
            return data;
        job->src_data = data;
    }
    caller_unmask();
    int err = stack_stat(job->stack, view->layer, held, "", &job->src);
    return err ? err : copyup_orphan(job);
}

static int promote_orphan(struct mount *mount, const struct node_view *view,
                          struct purpose *purpose)
{
    struct stat st;
    struct copyup job = {
        .stack = mount_stack(mount, view), .src_name = "", .limit = -1, .given_up = asker_is_dying};
    uint64_t key = fdkey(FDKIND_ORPHAN, view->index);
    struct fdref *old = fdcache_get(mount->fds, key);
    if (!old)
        return -ESTALE;
    int fd = copy_orphan(mount, view, old->fd, &job);
    fdref_release(mount->fds, old);
    if (fd < 0)
        return fd;
    if (fstat(fd, &st) < 0) {
        close(fd);
        return -errno;
    }
    struct fdref *ref = fdcache_pin(mount->fds, key, fd, S_ISREG(view->type));
    fdref_release(mount->fds, ref);
    fdcache_drop(mount->fds, fdkey(FDKIND_DATA, view->index));
    node_promoted(mount->nodes, view->index, 0, NODE_METACOPY, st.st_ino);
    tell(mount, view, NODE_NONE, "", &job, purpose);
    return ref ? 0 : -ENOMEM;
}

/* Its data; or none, where none is wanted and there is no room. */
static int bring_data(struct mount *mount, const struct node_view *view, int fd, off_t limit,
                      struct copyup *job)
{
    cleanup_fd int data = find_metacopy_data(mount, view);
    int err = data < 0 ? data : copyup_complete(job->stack, fd, data, asker_is_dying, &job->copied);
    const bool full = err == -ENOSPC || err == -EDQUOT;
    return full && limit == 0 ? copyup_complete_empty(job->stack, fd) : err;
}

/* Brings the data of a metacopy file up. */
static int complete(struct mount *mount, const struct node_view *view, off_t limit,
                    struct purpose *purpose)
{
    struct copyup job = {.stack = mount_stack(mount, view), .src_layer = view->more->data_layer};
    cleanup_fd int fd = find_open_own(mount, view, true);
    if (fd < 0)
        return fd;
    int err = fd_stat(fd, "", &job.src);
    if (!err)
        err = bring_data(mount, view, fd, limit, &job);
    if (err)
        return err;
    node_set_flags(mount->nodes, view->index, 0, NODE_METACOPY | NODE_SYNCED);
    fdcache_drop(mount->fds, fdkey(FDKIND_DATA, view->index));
    tell(mount, view, view->parent, view->name, &job, purpose);
    return 0;
}

/* Where the data of a file that becomes a metacopy lies now; kept by the node from then on. */
static int remember_data(struct mount *mount, const struct node_view *view,
                         const struct copyup *job, const char *path)
{
    const char *index_name = view->more ? view->more->index_name : NULL;
    if (!job->meta_only || (view->more && view->more->data_path))
        return 0;
    struct filemore *more = filemore_create(view->layer, path, index_name);
    if (!more)
        return -ENOMEM;
    node_set_more(mount->nodes, view->index, more);
    return 0;
}

/* The path of a lower file in its layer: its parent's source and its name. */
static int lower_path(struct mount *mount, const struct node_view *view, char **path)
{
    cleanup_view struct node_view parent = {0};
    const struct source *source;
    int err = find_lower_source(mount, view, &parent, &source);
    if (err)
        return err;
    *path = path_join(source->path, view->name);
    return *path ? 0 : -ENOMEM;
}

/* The node's first copy-up. */
static int copy_file(struct mount *mount, const struct node_view *view, bool data, off_t limit,
                     struct purpose *purpose)
{
    struct stack *stack = mount_stack(mount, view);
    struct copyup job = {.src_data = -1, .limit = limit, .given_up = asker_is_dying};
    cleanup_free char *path = NULL;
    cleanup_fd int below = -1;
    job.meta_only = !data && question_spares_data(stack, view);
    job.index_name = stack->index >= 0 && view->more ? view->more->index_name : NULL;
    if (node_is(view, NODE_METACOPY)) {
        /* Metadata in one sealed layer, data in one beneath: it is made whole. */
        job.meta_only = false;
        below = find_metacopy_data(mount, view);
        if (below < 0)
            return below;
        job.src_data = below;
    }
    int err = job.meta_only ? lower_path(mount, view, &path) : 0;
    if (!err)
        err = remember_data(mount, view, &job, path);
    if (!err)
        err = copy_to_place(mount, view, &job, purpose, copyup_object);
    if (err)
        return err;
    fdcache_drop(mount->fds, fdkey(FDKIND_DATA, view->index));
    tell(mount, view, view->parent, view->name, &job, purpose);
    return 0;
}

static int copy_locked(struct mount *mount, const struct node_view *view, bool data, off_t limit,
                       struct purpose *purpose)
{
    if (node_is(view, NODE_UPPER))
        return complete(mount, view, limit, purpose);
    if (node_is(view, NODE_ORPHAN))
        return promote_orphan(mount, view, purpose);
    return copy_file(mount, view, data, limit, purpose);
}

static int promote_locked(struct mount *mount, uint32_t index, bool data, off_t limit,
                          struct purpose *purpose)
{
    cleanup_view struct node_view view = {0};
    uint64_t taken;
    int err = node_view_index(mount->nodes, index, &view);
    if (err || question_is_settled(&view, data))
        return err;
    err = question_take(mount, &view, data, limit, purpose->cause, &taken);
    if (!err)
        err = copy_locked(mount, &view, data, limit, purpose);
    policing_settle(mount, taken, purpose->moved);
    return err;
}

/* Whether more data is copied than is soon done. What cannot be looked at is not copied either. */
static bool copies_much(struct mount *mount, const struct node_view *view, bool data, off_t limit)
{
    struct stat st;
    bool copies = S_ISREG(view->type) && (limit != 0 || node_is(view, NODE_UPPER)) &&
                  (data || !question_spares_data(mount_stack(mount, view), view));
    if (!copies || (limit >= 0 && limit <= COPY_IS_QUICK && !node_is(view, NODE_UPPER)))
        return false;
    return (find_kept(mount, view, &st) || find_attr(mount, view, &st) == 0) &&
           st.st_size > COPY_IS_QUICK;
}

/* Takes the node's lock. Another thread takes the lead also where much data is copied. */
static void lock_to_promote(struct mount *mount, const struct node_view *view, bool data,
                            off_t limit)
{
    if (copies_much(mount, view, data, limit))
        mount->will_be_slow();
    mount_lock_node(mount, view->index);
}

static int promote_file(struct mount *mount, uint32_t index, bool data, off_t limit,
                        const char *cause, struct promote_mode *wish)
{
    cleanup_view struct node_view view = {0};
    int err = node_view_index(mount->nodes, index, &view);
    if (err)
        return err;
    if (mount_tree(mount, &view)->read_only)
        return -EROFS;
    if (question_is_settled(&view, data))
        return 0;
    struct promotion promotion = {.cause = cause};
    err = question_ask(mount, &view, data, limit, &promotion);
    if (!err && !node_is(&view, NODE_UPPER) && !node_is(&view, NODE_ORPHAN))
        err = bring_dir(mount, view.parent, cause, NULL);
    if (err)
        return err;
    struct purpose purpose = purpose_begin(cause, wish);
    lock_to_promote(mount, &view, data, limit);
    err = promote_locked(mount, index, data, limit, &purpose);
    node_unlock(mount->nodes, index);
    return err;
}

static int promote_either(struct mount *mount, uint32_t index, const char *cause,
                          struct promote_mode *wish)
{
    cleanup_view struct node_view view = {0};
    int err = node_view_index(mount->nodes, index, &view);
    if (err)
        return err;
    /* One that was removed comes up like a file: nothing is brought up around it. */
    return S_ISDIR(view.type) && !node_is(&view, NODE_ORPHAN)
               ? ask_and_bring_dir(mount, index, cause, wish)
               : promote_file(mount, index, false, -1, cause, wish);
}

int promote_meta(struct mount *mount, uint32_t index, const char *cause)
{
    return promote_either(mount, index, cause, NULL);
}

int promote_with_mode(struct mount *mount, uint32_t index, struct promote_mode *wish,
                      const char *cause)
{
    wish->done = wish->known = false;
    return promote_either(mount, index, cause, wish);
}

int promote_data(struct mount *mount, uint32_t index, off_t limit, const char *cause)
{
    return promote_file(mount, index, true, limit, cause, NULL);
}

/* Links an indexed inode at a name that so far only a lower layer has. */
static int link_name(struct mount *mount, const struct node_view *view, uint32_t parent,
                     const char *name, struct purpose *purpose)
{
    struct stat st;
    int err = find_attr(mount, view, &st);
    if (err)
        return err;
    names_read(mount);
    struct fdref *place = find_upper_dir(mount, parent, &err);
    names_end(mount);
    if (!place)
        return err;
    names_rise(mount, parent);
    pthread_rwlock_t *turn = turn_take(mount, view->tree, parent);
    err = linkindex_link(mount_stack(mount, view), view->more->index_name, place->fd, name,
                         st.st_nlink);
    turn_end(turn);
    names_rise(mount, parent);
    told_changed(mount, parent);
    fdref_release(mount->fds, place);
    if (err)
        return err;
    node_set_linked(mount->nodes, parent, name);
    struct event event = {
        .kind = EVENT_COPYUP,
        .cause = purpose->cause,
        .type = view->type,
        .size = S_ISREG(view->type) ? (uint64_t)st.st_size : 0,
        .means = EVENT_MEANS_LINK,
        .duration = moment_steady() - purpose->began,
    };
    ledger_note(mount, parent, name, &event);
    policing_note_done(mount, parent, name, &event);
    return 0;
}

int promote_settle_links(struct mount *mount, uint32_t index)
{
    cleanup_view struct node_view view = {0};
    int err = node_view_index(mount->nodes, index, &view);
    if (err || !view.more || !view.more->index_name || !node_is(&view, NODE_UPPER))
        return err;
    return linkindex_settle(mount_stack(mount, &view), view.more->index_name);
}

/* Brings the name up of a node that is up. */
static int bring_name(struct mount *mount, uint32_t index, uint32_t parent, const char *name,
                      const char *cause)
{
    int err = bring_dir(mount, parent, cause, NULL);
    if (err)
        return err;
    cleanup_view struct node_view view = {0};
    struct purpose purpose = purpose_begin(cause, NULL);
    node_lock(mount->nodes, index);
    err = node_view_index(mount->nodes, index, &view);
    if (!err && !node_name_is_linked(mount->nodes, parent, name))
        err = view.more && view.more->index_name ? link_name(mount, &view, parent, name, &purpose)
                                                 : -ESTALE;
    node_unlock(mount->nodes, index);
    return err;
}

int promote_name(struct mount *mount, uint32_t parent, const char *name, const char *cause)
{
    uint32_t index = node_find(mount->nodes, parent, name);
    if (index == NODE_NONE)
        return -ESTALE;
    struct promotion promotion = {.cause = cause};
    int err = question_ask_name(mount, &promotion, parent, name);
    if (!err)
        err = promote_meta(mount, index, cause);
    if (!err && !node_name_is_linked(mount->nodes, parent, name))
        err = bring_name(mount, index, parent, name, cause);
    return err ? err : promote_settle_links(mount, index);
}
