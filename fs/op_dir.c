/* SPDX-License-Identifier: MIT
 *
 * Duty: reading directories. There is no state between two reads but the cookie. Where all that is
 * shown is ours, opendir is answered "not needed" (ENOSYS), and the kernel keeps what it has read.
 */
#include "ops.h"

#include "ahead.h"
#include "fd.h"
#include "find.h"
#include "listing.h"
#include "reply.h"
#include "scout.h"
#include "shown.h"
#include "told.h"

#include <fcntl.h>
#include <string.h>

enum { PLUS_MOST = 4096 /* names of a directory that are told with attributes */ };

/* Where no volumes can be, the kernel opens and caches directories by itself. Where they can, what
 * it keeps of theirs could not be told from what is there: a directory's mtime does not change with
 * each change on every filesystem. */
static bool are_told_of(const struct mount *mount)
{
    return mount->rules.coherent;
}

/* A plain tree's directory is kept open as long as the mount has it open, wherever the host moves
 * it. One that is there only because a volume lies beneath is nowhere on the host. */
static int hold_directory(struct mount *mount, const struct node_view *view)
{
    const uint64_t key = fdkey(FDKIND_UPPER_DIR, view->index);
    int err = 0;
    if (node_is(view, NODE_STUB))
        return 0;
    names_read(mount);
    struct fdref *ref = find_upper_dir(mount, view->index, &err);
    names_end(mount);
    if (!ref || ref->pinned) {
        fdref_release(mount->fds, ref);
        return err;
    }
    err = fdcache_can_pin(mount->fds);
    int fd = err ? err : fd_dup(ref->fd);
    err = fd < 0 ? fd : 0;
    fdref_release(mount->fds, ref);
    ref = fd < 0 ? NULL : fdcache_pin(mount->fds, key, fd, false);
    fdref_release(mount->fds, ref);
    return err ? err : ref ? 0 : -ENOMEM;
}

void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct mount *mount = ops_mount(req);
    cleanup_view struct node_view view = {0};
    int err = are_told_of(mount) ? node_view(mount->nodes, ino, &view) : -ENOSYS;
    if (err)
        return reply_error(req, err);
    bool plain = mount_is_plain(mount, &view);
    node_lock(mount->nodes, view.index);
    /* A removed one, which may still be somebody's working directory, is empty: there is nothing to
     * hold. */
    if (plain && !node_has_flag(mount->nodes, ino, NODE_ORPHAN))
        err = hold_directory(mount, &view);
    if (!err)
        node_opened(mount->nodes, view.index, false, 0);
    node_unlock(mount->nodes, view.index);
    if (err)
        return reply_error(req, err);
    fi->cache_readdir = fi->keep_cache = !plain;
    reply_open(req, fi);
}

void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)fi;
    struct mount *mount = ops_mount(req);
    cleanup_view struct node_view view = {0};
    if (are_told_of(mount) && node_view(mount->nodes, ino, &view) == 0) {
        node_lock(mount->nodes, view.index);
        (void)node_released(mount->nodes, view.index, false);
        bool last = node_opens(mount->nodes, view.index).count == 0;
        if (last && mount_is_plain(mount, &view) && !node_is(&view, NODE_ROUTE))
            fdcache_drop(mount->fds, fdkey(FDKIND_UPPER_DIR, view.index));
        node_unlock(mount->nodes, view.index);
    }
    reply_done(req);
}

void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    (void)fi;
    struct mount *mount = ops_mount(req);
    cleanup_view struct node_view view = {0};
    int err = node_view(mount->nodes, ino, &view);
    if (err || !node_is(&view, NODE_UPPER) || node_is(&view, NODE_ORPHAN) ||
        !mount_stack(mount, &view)->features.sync)
        return reply_error(req, err);
    names_read(mount);
    struct fdref *ref = find_upper_dir(mount, view.index, &err);
    names_end(mount);
    cleanup_fd int fd = ref ? fd_open_name(ref->fd, ".", O_RDONLY | O_DIRECTORY, 0) : err;
    fdref_release(mount->fds, ref);
    if (fd < 0)
        return reply_error(req, fd);
    mount->will_be_slow();
    err = (datasync ? fdatasync(fd) : fsync(fd)) < 0 ? -errno : 0;
    reply_error(req, err);
}

/* The reply being filled. */
struct page {
    fuse_req_t req;
    struct mount *mount;
    const struct node_view *dir;
    bool plus;
    char *at;
    size_t used, size;
    uint32_t scouted; /* what scout_begin() said */
};

static size_t add_plus(struct page *page, const char *name, const struct fuse_entry_param *entry,
                       off_t cookie)
{
    return fuse_add_direntry_plus(page->req, page->at + page->used, page->size - page->used, name,
                                  entry, cookie);
}

/* Adds a record without attributes; false when there is no room for it. */
static bool add_record(struct page *page, const char *name, uint64_t ino, mode_t type, off_t cookie)
{
    const struct fuse_entry_param none = {.attr = {.st_ino = ino, .st_mode = type}};
    size_t size = page->plus ? add_plus(page, name, &none, cookie)
                             : fuse_add_direntry(page->req, page->at + page->used,
                                                 page->size - page->used, name, &none.attr, cookie);
    if (size > page->size - page->used)
        return false;
    page->used += size;
    return true;
}

/* The number of the directory above, as shown; its own for the root. */
static uint64_t parent_ino(struct page *page)
{
    cleanup_view struct node_view parent = {0};
    return node_view_index(page->mount->nodes, page->dir->parent, &parent) == 0 ? parent.ino
                                                                                : page->dir->ino;
}

/* What a name has for a number that cannot be looked up, as in libfuse: 0 would hide it. */
enum { UNKNOWN_INO = 0xffffffff };

/* What a listing says of the type; where owners are recorded a file may stand for a device, a pipe
 * or a socket. */
static mode_t listed_type(struct page *page, const struct listing_entry *listed)
{
    bool unknown = listed->dtype == DT_REG && mount_stack(page->mount, page->dir)->recorded;
    return unknown ? 0 : DTTOIF(listed->dtype);
}

/* A name that cannot be looked up for what its layers hold is there nevertheless: left out, it
 * would be lost without a word to whoever copies or removes the directory. So it is listed, and a
 * lookup tells what is wrong. One that has just gone is left out. */
static bool add_unresolved(struct page *page, const struct listing_entry *listed, const char *name,
                           int err)
{
    if (err == 0 || err == -ENOENT)
        return true;
    return add_record(page, name, listed->ino ? listed->ino : UNKNOWN_INO,
                      listed_type(page, listed), (off_t)listed->cookie);
}

static int look_up(struct page *page, struct listing *listing, uint32_t at, struct node_view *view,
                   struct stat *st)
{
    struct shown shown;
    const char *name = listing_name(listing, at);
    int found = listing_take_prepared(page->mount, page->dir, listing, at, &shown)
                    ? shown_look_up_found(page->mount, page->dir, name, &shown, view, st)
                    : -EAGAIN;
    if (found != -EAGAIN)
        return found;
    return listing_is_sealed(page->mount, listing, at)
               ? shown_look_up_sealed(page->mount, page->dir, name, view, st)
               : shown_look_up(page->mount, page->dir, name, view, st);
}

/* A record with attributes is a lookup: it is counted only when it has found room. */
static bool add_looked_up(struct page *page, struct listing *listing, uint32_t at)
{
    struct listing_entry *listed = &listing->at[at];
    const char *name = listing_name(listing, at);
    cleanup_view struct node_view view = {0};
    struct fuse_entry_param record;
    struct stat st;
    size_t need = fuse_add_direntry_plus(page->req, NULL, 0, name, NULL, 0);
    if (need > page->size - page->used)
        return false;
    const unsigned before = told_so_far(page->mount);
    int found = look_up(page, listing, at, &view, &st);
    if (found <= 0)
        return add_unresolved(page, listed, name, found);
    atomic_store_explicit(&listed->ino, view.ino, memory_order_relaxed);
    struct validity valid = told_after(page->mount, &view, before);
    if (ahead_withholds(page->mount, &view, &st))
        valid.attributes = 0;
    reply_fill_entry(page->mount, valid, view.id, told_edition(page->mount, &view, &st), &st,
                     &record);
    page->used += add_plus(page, name, &record, (off_t)listed->cookie);
    scout_tell(page->mount->scout, page->scouted, &view);
    return true;
}

/* The number that a lookup would tell, and its error; 0 when the name has just gone. */
static uint64_t shown_ino(struct page *page, const char *name, int *err)
{
    struct shown shown;
    *err = shown_find(page->mount, page->dir, name, &shown);
    uint64_t ino = !*err && shown.entry.present ? shown.entry.ino : 0;
    shown_finish(page->mount, &shown);
    return ino;
}

/* What is not to outlast the answer is not worth a lookup: such a record has no attributes. Nor
 * have those of a large directory beyond its first names: who lists it may want no more than names.
 * Nor have those that were told already from this very listing. */
static bool is_bare(const struct page *page, const struct listing *listing, uint32_t at)
{
    return at >= PLUS_MOST || at < atomic_load(&listing->told) ||
           mount_is_strict(page->mount, page->dir);
}

static bool add_listed(struct page *page, struct listing *listing, uint32_t at)
{
    int err = 0;
    const struct listing_entry *listed = &listing->at[at];
    const char *name = listing_name(listing, at);
    if (page->plus && !is_bare(page, listing, at)) {
        bool room = add_looked_up(page, listing, at);
        if (room)
            atomic_store(&listing->told, at + 1);
        return room;
    }
    uint64_t ino = listed->ino ? listed->ino : shown_ino(page, name, &err);
    if (ino == 0)
        return add_unresolved(page, listed, name, err);
    return add_record(page, name, ino, listed_type(page, listed), (off_t)listed->cookie);
}

static int fill_page(struct page *page, uint64_t cookie)
{
    int err = 0;
    struct listing *listing = listing_get(page->mount, page->dir, cookie == 0, &err);
    if (!listing)
        return err;
    bool room = true;
    if (cookie < LISTING_COOKIE_DOT)
        room = add_record(page, ".", page->dir->ino, S_IFDIR, LISTING_COOKIE_DOT);
    if (room && cookie < LISTING_COOKIE_DOTDOT)
        room = add_record(page, "..", parent_ino(page), S_IFDIR, LISTING_COOKIE_DOTDOT);
    for (uint32_t at = listing_after(listing, cookie); room && at < listing->count; at++)
        room = add_listed(page, listing, at);
    listing_release(page->mount, listing);
    /* The end was told. Whoever begins anew lists anew, so nobody is waiting for this one. */
    if (page->used == 0)
        listings_drop(page->mount->listings, page->dir->index);
    return 0;
}

static void read_directory(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, bool plus)
{
    struct mount *mount = ops_mount(req);
    cleanup_view struct node_view dir = {0};
    int err = node_view(mount->nodes, ino, &dir);
    if (err)
        return reply_error(req, err);
    cleanup_free char *buffer = malloc(size);
    if (!buffer)
        return reply_error(req, -ENOMEM);
    struct page page = {
        .req = req, .mount = mount, .dir = &dir, .plus = plus, .at = buffer, .size = size};
    if (plus)
        page.scouted = scout_begin(mount->scout, ino, offset == 0);
    err = node_is(&dir, NODE_ORPHAN) ? 0 : fill_page(&page, (uint64_t)offset);
    if (err)
        return reply_error(req, err);
    if (plus)
        scout_end(mount->scout);
    reply_bytes(req, buffer, page.used);
}

void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                struct fuse_file_info *fi)
{
    (void)fi;
    read_directory(req, ino, size, offset, false);
}

void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                    struct fuse_file_info *fi)
{
    (void)fi;
    read_directory(req, ino, size, offset, true);
}
