/* SPDX-License-Identifier: MIT
 *
 * Duty: entries to objects. tarname.h says what a name means, dress.h gives an object what it
 * wears, skeleton.h keeps what the tree does not hold; here is decided what stands in whose way.
 *
 * Invariants: every object is made, opened and removed by one name in a directory that was opened
 * beneath the tree without following anything (fd.h); a directory is 0700 until the end, so that
 * its maker gets in, and every one of them is in `dirs`, parents before children; what the skeleton
 * says of a file's content is true of the tree, or is kept before the file goes away.
 *
 * Cost: a file takes one open, one write for each 256 KiB, and three calls for what it wears; its
 * directory is opened once for all entries in a row. Memory: the path of each directory, and of
 * each file for the skeleton.
 */
#include "unpack.h"

#include "dress.h"
#include "fd.h"
#include "nameset.h"
#include "ovlattr.h"
#include "skeleton.h"
#include "tarname.h"
#include "whiteout.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/* What may stand in an archive besides content: names, attributes, padding. */
static const uint64_t RAW_FREE = 64 << 20;

/* What a directory gets at the end. */
struct finery {
    mode_t mode;
    struct timespec mtime;
};

struct unpacking {
    struct unpack *job;
    struct tar_reader *reader;
    struct skeleton_writer *skeleton; /* NULL: none is wanted */
    uint64_t raw;                     /* bytes that are no content */
    struct nameset dirs;
    struct finery *finery; /* beside dirs */
    size_t finery_room;
    struct nameset hidden; /* what lower layers have there is; a directory must be opaque */
    bool recorded;         /* of some object its owner, mode or device */
    int parent; /* the directory of the last entry, or -1; what goes away lies below it */
    char parent_path[TARNAME_MAX];
    struct tarname name; /* of the entry at hand */
};

/* ---- words ---- */

/* Says what is wrong with the entry at hand, whose name must not speak to a terminal. */
static int refuse(struct unpacking *u, const char *path, const char *what)
{
    char shown[160];
    size_t length = strnlen(path, sizeof(shown) - 1);
    for (size_t i = 0; i < length; i++)
        shown[i] = (unsigned char)path[i] < ' ' || path[i] == 0x7f ? '?' : path[i];
    shown[length] = 0;
    const char *more = path[length] ? "..." : "";
    snprintf(u->job->words, sizeof(u->job->words), "%s%s: %s", shown, more, what);
    return -EBADMSG;
}

static int beyond(struct unpacking *u, const char *what, uint64_t limit)
{
    snprintf(u->job->words, sizeof(u->job->words), "more than %llu %s", (unsigned long long)limit,
             what);
    return -EFBIG;
}

/* ---- kinds of trees ---- */

/* Whether what stands there hides a name and is nothing else. */
static bool is_whiteout(const struct unpacking *u, const struct stat *st)
{
    return u->job->kind == TREEKIND_LAYER && whiteout_is_device(st);
}

/* A directory that no entry describes. A layer's is the same for everybody who unpacks it. */
static struct tar_entry implied_directory(const struct unpacking *u)
{
    struct tar_entry entry = {.mode = S_IFDIR | 0755};
    if (u->job->kind == TREEKIND_PLAIN) {
        entry.uid = geteuid();
        entry.gid = getegid();
        clock_gettime(CLOCK_REALTIME, &entry.mtime);
    }
    return entry;
}

/* ---- limits ---- */

static int count_object(struct unpacking *u)
{
    u->job->files++;
    bool fits = u->job->files_max == 0 || u->job->files <= u->job->files_max;
    return fits ? 0 : beyond(u, "entries", u->job->files_max);
}

static int count_content(struct unpacking *u, uint64_t size)
{
    uint64_t most = u->job->size_max ? u->job->size_max : INT64_MAX;
    if (size > most - u->job->bytes)
        return beyond(u, "bytes of content", most);
    u->job->bytes += size;
    return 0;
}

static int take_raw(void *context, const void *data, size_t size)
{
    struct unpacking *u = context;
    uint64_t most = u->job->size_max ? u->job->size_max + RAW_FREE : UINT64_MAX;
    u->raw += size;
    if (u->raw > most)
        return beyond(u, "bytes that are no content", most);
    return u->skeleton ? skeleton_add_raw(u->skeleton, data, size) : 0;
}

/* ---- directories ---- */

static int remember_dir(struct unpacking *u, const char *path, mode_t mode, struct timespec mtime)
{
    uint32_t index;
    bool fresh;
    int err = nameset_add(&u->dirs, path, &index, &fresh);
    if (err)
        return err;
    if (index >= u->finery_room) {
        size_t room = u->finery_room ? 2 * u->finery_room : 64;
        struct finery *more = reallocarray(u->finery, room, sizeof(*more));
        if (!more)
            return -ENOMEM;
        u->finery = more;
        u->finery_room = room;
    }
    u->finery[index] = (struct finery){mode, mtime};
    return 0;
}

/* Whose it is; a layer in which something is recorded is marked in the end. */
static int give_owner(struct unpacking *u, int dir, const char *name, const struct tar_entry *entry,
                      mode_t type, mode_t *mode)
{
    int err = dress_owner(dir, name, entry, type, mode);
    u->recorded = u->recorded || err > 0;
    return err < 0 ? err : 0;
}

static int dress_dir(struct unpacking *u, int dir, const char *name, const char *path,
                     const struct tar_entry *entry)
{
    mode_t mode;
    int err = give_owner(u, dir, name, entry, S_IFDIR, &mode);
    if (!err)
        err = dress_xattrs(u->job->kind, dir, name, entry);
    return err ? err : remember_dir(u, path, mode, entry->mtime);
}

/* Times and modes, children before parents. What was replaced since is passed over. */
static int finish_dirs(struct unpacking *u)
{
    for (uint32_t i = u->dirs.used; i-- > 0;) {
        const char *path = nameset_name(&u->dirs, i);
        cleanup_fd int dir = fd_open_beneath(u->job->tree, path, O_PATH | O_DIRECTORY);
        if (dir == -ENOENT || dir == -ENOTDIR || dir == -ELOOP)
            continue;
        int err = dir < 0 ? dir : dress_mode(dir, "", u->finery[i].mode, u->finery[i].mtime);
        if (err)
            return err;
    }
    return 0;
}

/* ---- what stands in the way ---- */

/* Keeps the content of a file that is about to go, if the tar needs it. */
static int keep_content(struct unpacking *u, int dir, const char *name, const char *path)
{
    if (!u->skeleton || !skeleton_needs(u->skeleton, path))
        return 0;
    cleanup_fd int fd = fd_open_name(dir, name, O_RDONLY, 0);
    return fd < 0 ? fd : skeleton_keep(u->skeleton, path, fd);
}

static int remove_object(struct unpacking *u, int dir, const char *name, const char *path);

/* Removes what is in a directory. Its depth is that of names (tarname.h). */
static int empty_dir(struct unpacking *u, int parent, const char *name, const char *path)
{
    cleanup_free char *inner = malloc(TARNAME_MAX + NAME_MAX + 1);
    cleanup_fd int fd = fd_open_name(parent, name, O_RDONLY | O_DIRECTORY, 0);
    if (!inner || fd < 0)
        return inner ? fd : -ENOMEM;
    cleanup_dir DIR *dir = fdopendir(fd);
    if (!dir)
        return -errno;
    steal_fd(&fd);
    int err = 0;
    for (struct dirent *entry; !err && (errno = 0, entry = readdir(dir));) {
        snprintf(inner, TARNAME_MAX + NAME_MAX + 1, "%s/%s", path, entry->d_name);
        if (!fd_is_dot(entry->d_name))
            err = remove_object(u, dirfd(dir), entry->d_name, inner);
    }
    return err ? err : -errno;
}

static int remove_object(struct unpacking *u, int dir, const char *name, const char *path)
{
    struct stat st;
    int err = fd_stat(dir, name, &st);
    if (!err && S_ISDIR(st.st_mode))
        err = empty_dir(u, dir, name, path);
    else if (!err && S_ISREG(st.st_mode))
        err = keep_content(u, dir, name, path);
    if (err)
        return err;
    return unlinkat(dir, name, S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0) < 0 ? -errno : 0;
}

/* Makes room for an entry at a path that may be taken. */
static int clear_way(struct unpacking *u, int dir, const char *name, const char *path)
{
    int err = remove_object(u, dir, name, path);
    return err == -ENOENT ? 0 : err;
}

static int mark_opaque(int dir, const char *name)
{
    int err = ovlattr_set(OVLSPACE_TRUSTED, dir, name, OVLATTR_OPAQUE, "y", 1);
    if (err == -EPERM || err == -EOPNOTSUPP)
        err = ovlattr_set(OVLSPACE_USER, dir, name, OVLATTR_OPAQUE, "y", 1);
    return err;
}

static int remember_hidden(struct unpacking *u, const char *path)
{
    uint32_t index;
    bool fresh;
    return nameset_add(&u->hidden, path, &index, &fresh);
}

static int make_dir(struct unpacking *u, int dir, const char *name, const char *path)
{
    if (mkdirat(dir, name, 0700) < 0)
        return -errno;
    return nameset_find(&u->hidden, path) == NAMESET_NONE ? 0 : mark_opaque(dir, name);
}

/* Makes a directory where none is, whatever else is there. *made: it is new. */
static int ensure_dir(struct unpacking *u, int dir, const char *name, const char *path, bool *made)
{
    struct stat st;
    int err = make_dir(u, dir, name, path);
    *made = !err;
    if (err != -EEXIST)
        return err;
    err = fd_stat(dir, name, &st);
    if (err || S_ISDIR(st.st_mode))
        return err;
    *made = true;
    err = clear_way(u, dir, name, path);
    return err ? err : make_dir(u, dir, name, path);
}

/* ---- parents ---- */

/* A directory on the way to an entry that no entry has described. */
static int make_implied(struct unpacking *u, int dir, const char *name, const char *path)
{
    const struct tar_entry implied = implied_directory(u);
    struct stat st;
    bool made;
    int err = fd_stat(dir, name, &st);
    if (!err && !is_whiteout(u, &st))
        return refuse(u, path, "it is used as a directory and is none");
    err = count_object(u);
    if (!err)
        err = ensure_dir(u, dir, name, path, &made);
    return err ? err : dress_dir(u, dir, name, path, &implied);
}

/* Opens the directory `path` name by name and makes what is missing. */
static int walk_parent(struct unpacking *u, const char *path)
{
    char part[TARNAME_MAX];
    cleanup_fd int dir = fd_open_name(u->job->tree, "", O_PATH | O_DIRECTORY, 0);
    for (size_t at = 0; dir >= 0 && path[at];) {
        size_t length = strcspn(path + at, "/"), end = at + length;
        memcpy(part, path, end);
        part[end] = 0;
        int next = fd_open_name(dir, part + at, O_PATH | O_DIRECTORY, 0);
        if (next == -ENOENT || next == -ENOTDIR || next == -ELOOP) {
            next = make_implied(u, dir, part + at, part);
            if (!next)
                next = fd_open_name(dir, part + at, O_PATH | O_DIRECTORY, 0);
        }
        own_close(&dir);
        dir = next;
        at = end + (path[end] == '/');
    }
    return steal_fd(&dir);
}

/* The directory that the entry at hand lies in; it stays the unpacking's. */
static int open_parent(struct unpacking *u, const struct tarname *name)
{
    char path[TARNAME_MAX];
    tarname_parent(name, path);
    if (u->parent >= 0 && strcmp(path, u->parent_path) == 0)
        return u->parent;
    int dir = fd_open_beneath(u->job->tree, path, O_PATH | O_DIRECTORY);
    if (dir == -ENOENT || dir == -ENOTDIR || dir == -ELOOP)
        dir = walk_parent(u, path);
    if (dir < 0)
        return dir;
    own_close(&u->parent);
    u->parent = dir;
    strcpy(u->parent_path, path);
    return dir;
}

/* ---- kinds of entries ---- */

/* Where an entry goes. */
struct place {
    int dir;
    const char *name, *path;
};

static int unpack_dir(struct unpacking *u, struct place at, const struct tar_entry *entry)
{
    bool made = false;
    int err = 0;
    if (*at.path)
        err = ensure_dir(u, at.dir, at.name, at.path, &made);
    if (!err && !made)
        err = dress_strip(u->job->kind, at.dir, at.name);
    return err ? err : dress_dir(u, at.dir, at.name, at.path, entry);
}

/* Creates an empty file; whatever was there goes. */
static int create_file(struct unpacking *u, struct place at)
{
    const int flags = O_WRONLY | O_CREAT | O_EXCL;
    int fd = fd_open_name(at.dir, at.name, flags, 0600);
    if (fd != -EEXIST)
        return fd;
    int err = clear_way(u, at.dir, at.name, at.path);
    return err ? err : fd_open_name(at.dir, at.name, flags, 0600);
}

static int write_at(int fd, const char *data, size_t size, off_t at)
{
    while (size > 0) {
        ssize_t done = pwrite(fd, data, size, at);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return -errno;
        data += done;
        at += done;
        size -= (size_t)done;
    }
    return 0;
}

static int write_content(struct unpacking *u, int fd, struct place at,
                         const struct tar_entry *entry)
{
    const void *data;
    size_t size;
    off_t offset, end = 0;
    int more;
    while ((more = tar_reader_data(u->reader, &data, &size, &offset)) > 0) {
        bool fits = offset >= end && (uint64_t)offset + size <= (uint64_t)entry->size;
        if (!fits || (!entry->sparse && offset != end))
            return refuse(u, entry->path, "its content does not fit its size");
        int err = write_at(fd, data, size, offset);
        if (!err && !entry->sparse && u->skeleton)
            err = skeleton_add_content(u->skeleton, at.path, size);
        if (err)
            return err;
        end = offset + (off_t)size;
    }
    if (more < 0 || end == entry->size)
        return more;
    if (!entry->sparse)
        return refuse(u, entry->path, "it has less content than its size says");
    return ftruncate(fd, entry->size) < 0 ? -errno : 0;
}

static int unpack_file(struct unpacking *u, struct place at, const struct tar_entry *entry)
{
    mode_t mode;
    int err = count_content(u, (uint64_t)entry->size);
    if (err)
        return err;
    cleanup_fd int fd = create_file(u, at);
    if (fd < 0)
        return fd;
    err = write_content(u, fd, at, entry);
    if (!err)
        err = give_owner(u, fd, "", entry, S_IFREG, &mode);
    if (!err)
        err = dress_xattrs(u->job->kind, fd, "", entry);
    return err ? err : dress_mode(fd, "", mode, entry->mtime);
}

static int unpack_symlink(struct unpacking *u, struct place at, const struct tar_entry *entry)
{
    mode_t mode;
    if (!entry->target || !*entry->target || strlen(entry->target) >= PATH_MAX)
        return refuse(u, entry->path, "a symbolic link to nothing, or too long");
    int err = clear_way(u, at.dir, at.name, at.path);
    if (!err && symlinkat(entry->target, at.dir, at.name) < 0)
        err = -errno;
    if (!err)
        err = give_owner(u, at.dir, at.name, entry, S_IFLNK, &mode);
    if (!err)
        err = dress_xattrs(u->job->kind, at.dir, at.name, entry);
    return err ? err : dress_time(at.dir, at.name, entry->mtime);
}

/* Whether a fifo of a layer cannot be given to its owner, which then must be recorded: a fifo
 * carries no record, and a file in its place does. */
static bool loses_its_owner(enum treekind kind, struct place at, const struct tar_entry *entry)
{
    return kind == TREEKIND_LAYER &&
           fchownat(at.dir, at.name, entry->uid, entry->gid, AT_SYMLINK_NOFOLLOW) < 0 &&
           (errno == EPERM || errno == EINVAL);
}

/* Makes a device or fifo, or an empty file in its place where that is not allowed. */
static int make_node(enum treekind kind, struct place at, const struct tar_entry *entry,
                     mode_t *type)
{
    *type = entry->mode & S_IFMT;
    bool made = mknodat(at.dir, at.name, *type | 0600, entry->rdev) == 0;
    if (!made && errno != EPERM)
        return -errno;
    if (made && !loses_its_owner(kind, at, entry))
        return 0;
    if (made && unlinkat(at.dir, at.name, 0) < 0)
        return -errno;
    *type = S_IFREG;
    return mknodat(at.dir, at.name, S_IFREG | 0600, 0) < 0 ? -errno : 0;
}

static int unpack_node(struct unpacking *u, struct place at, const struct tar_entry *entry)
{
    mode_t type, mode;
    int err = clear_way(u, at.dir, at.name, at.path);
    if (!err)
        err = make_node(u->job->kind, at, entry, &type);
    if (!err)
        err = give_owner(u, at.dir, at.name, entry, type, &mode);
    if (!err)
        err = dress_xattrs(u->job->kind, at.dir, at.name, entry);
    return err ? err : dress_mode(at.dir, at.name, mode, entry->mtime);
}

/* Inside an overlay nobody may make its whiteout, or what was made is not there: then an empty file
 * with the name that it has in archives hides the same. It may stay beside what comes there later.
 */
static int make_whiteout(int dir, const char *name, struct timespec mtime)
{
    struct stat st;
    char white[sizeof(WHITEOUT_PREFIX) + NAME_MAX];
    bool made = mknodat(dir, name, S_IFCHR, makedev(0, 0)) == 0;
    if (!made && errno != EPERM)
        return -errno;
    if (made && fd_stat(dir, name, &st) == 0)
        return dress_time(dir, name, mtime);
    snprintf(white, sizeof(white), WHITEOUT_PREFIX "%s", name);
    cleanup_fd int file = fd_open_name(dir, white, O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (file < 0)
        return file == -EEXIST ? 0 : file;
    return dress_mode(file, "", 0644, mtime);
}

/* Hides what lower layers have there. What this one brings hides it anyway, but for a directory,
 * which has to be opaque. */
static int unpack_whiteout(struct unpacking *u, struct place at, const struct tar_entry *entry)
{
    struct stat st;
    int err = remember_hidden(u, at.path);
    if (err)
        return err;
    err = fd_stat(at.dir, at.name, &st);
    if (!err)
        return S_ISDIR(st.st_mode) ? mark_opaque(at.dir, at.name) : 0;
    if (err != -ENOENT)
        return err;
    return make_whiteout(at.dir, at.name, entry->mtime);
}

/* Opens the directory of a hard link's other name, which need not be that of the last entry. */
static int open_link_dir(struct unpacking *u, const struct tarname *link)
{
    char path[TARNAME_MAX];
    tarname_parent(link, path);
    return fd_open_beneath(u->job->tree, path, O_PATH | O_DIRECTORY);
}

static int unpack_link(struct unpacking *u, struct place at, const struct tar_entry *entry)
{
    struct tarname link;
    struct stat here, there;
    if (tarname_read(entry->link, u->job->kind, &link) || link.kind != TARNAME_PLAIN)
        return refuse(u, entry->path, "a hard link to what no entry can be");
    cleanup_fd int dir = open_link_dir(u, &link);
    const char *name = link.path + link.name;
    int err = dir < 0 ? dir : fd_stat(dir, name, &there);
    if (err || S_ISDIR(there.st_mode) || is_whiteout(u, &there))
        return refuse(u, entry->path, "a hard link to what the archive does not have before it");
    if (fd_stat(at.dir, at.name, &here) == 0 && here.st_ino == there.st_ino)
        return 0; /* it is that already */
    err = clear_way(u, at.dir, at.name, at.path);
    if (!err && linkat(dir, name, at.dir, at.name, 0) < 0)
        err = -errno;
    return err == -ENOENT ? refuse(u, entry->path, "a hard link to what it replaces") : err;
}

/* ---- the archive ---- */

static int unpack_plain(struct unpacking *u, struct place at, const struct tar_entry *entry)
{
    if (entry->link)
        return unpack_link(u, at, entry);
    switch (entry->mode & S_IFMT) {
    case S_IFDIR:
        return unpack_dir(u, at, entry);
    case S_IFREG:
        return unpack_file(u, at, entry);
    case S_IFLNK:
        return unpack_symlink(u, at, entry);
    case S_IFCHR:
        /* This is how a layer's whiteout looks on disk, so it is one. */
        if (entry->rdev == makedev(0, 0) && u->job->kind == TREEKIND_LAYER)
            return unpack_whiteout(u, at, entry);
        return unpack_node(u, at, entry);
    case S_IFBLK:
    case S_IFIFO:
        return unpack_node(u, at, entry);
    default:
        return refuse(u, entry->path, "an unknown kind of entry");
    }
}

/* The directory itself is an entry's place: the layer's root, or the one that is made opaque. */
static int unpack_opaque(struct unpacking *u)
{
    /* As if something lay in it, so that it is there. */
    struct tarname inside = u->name;
    size_t length = strlen(inside.path);
    if (length + 3 > sizeof(inside.path))
        return refuse(u, u->name.path, "a path longer than 4095 bytes");
    strcpy(inside.path + length, length ? "/x" : "x");
    inside.name = length ? length + 1 : 0;
    int err = remember_hidden(u, u->name.path);
    int dir = err ? err : open_parent(u, &inside);
    return dir < 0 ? dir : mark_opaque(dir, "");
}

static int unpack_named(struct unpacking *u, const struct tar_entry *entry)
{
    const struct tarname *name = &u->name;
    if (name->kind == TARNAME_BOOKS)
        return 0;
    if (name->kind == TARNAME_OPAQUE)
        return unpack_opaque(u);
    if (name->kind == TARNAME_ROOT) {
        const struct place root = {u->job->tree, "", ""};
        bool is_dir = S_ISDIR(entry->mode) && !entry->link;
        return is_dir ? unpack_dir(u, root, entry)
                      : refuse(u, entry->path, "the root of the archive must be a directory");
    }
    int dir = open_parent(u, name);
    const struct place at = {dir, name->path + name->name, name->path};
    if (dir < 0)
        return dir;
    return name->kind == TARNAME_WHITEOUT ? unpack_whiteout(u, at, entry)
                                          : unpack_plain(u, at, entry);
}

static int unpack_entry(struct unpacking *u, const struct tar_entry *entry)
{
    const char *wrong = tarname_read(entry->path, u->job->kind, &u->name);
    if (wrong)
        return refuse(u, entry->path, wrong);
    int err = count_object(u);
    if (!err)
        err = unpack_named(u, entry);
    const char *words = tar_reader_words(u->reader);
    if (err && !*u->job->words)
        (void)refuse(u, entry->path, *words ? words : strerror(-err));
    return err;
}

static int unpack_entries(struct unpacking *u)
{
    struct tar_entry entry;
    int more;
    while ((more = tar_reader_next(u->reader, &entry)) > 0) {
        int err = unpack_entry(u, &entry);
        if (err)
            return err;
    }
    return more;
}

/* The end of the stream, and of the skeleton. */
static int unpack_end(struct unpacking *u, struct tar_sums *sums)
{
    uint64_t size = 0;
    int err = tar_reader_finish(u->reader, sums);
    if (!err && !sums->ended && !u->job->vouched) {
        snprintf(u->job->words, sizeof(u->job->words), "the archive has no end: cut short?");
        err = -EBADMSG;
    }
    if (!err && u->skeleton)
        err = skeleton_finish(u->skeleton, &size);
    u->job->skeleton = !err && u->skeleton && size == sums->tar_size;
    if (!err && u->skeleton && !u->job->skeleton && unlinkat(u->job->books, "skeleton", 0) < 0)
        err = -errno;
    return err;
}

/* What the tree's own directory wears when no entry says it. A volume's was made by somebody. */
static int begin_root(struct unpacking *u)
{
    struct stat st;
    const struct tar_entry root = implied_directory(u);
    if (u->job->kind == TREEKIND_LAYER)
        return dress_dir(u, u->job->tree, "", "", &root);
    int err = fd_stat(u->job->tree, "", &st);
    return err ? err : remember_dir(u, "", st.st_mode & 07777, st.st_mtim);
}

static int unpack_all(struct unpacking *u, struct tar_sums *sums)
{
    int err = 0;
    if (u->job->books >= 0)
        u->skeleton = skeleton_create(u->job->books, "skeleton", &err);
    tar_reader_tap(u->reader, take_raw, u);
    if (!err)
        err = begin_root(u);
    if (!err)
        err = unpack_entries(u);
    if (!err)
        err = unpack_end(u, sums);
    if (!err)
        err = finish_dirs(u);
    return !err && u->recorded && u->job->kind == TREEKIND_LAYER ? dress_mark(u->job->tree) : err;
}

int unpack_tree(struct unpack *unpack, struct tar_reader *reader, struct tar_sums *sums)
{
    cleanup_free struct unpacking *u = calloc(1, sizeof(*u));
    unpack->files = unpack->bytes = 0;
    unpack->skeleton = false;
    unpack->words[0] = 0;
    if (!u)
        return -ENOMEM;
    u->job = unpack;
    u->reader = reader;
    u->parent = -1;
    int err = unpack_all(u, sums);
    if (err && !*unpack->words)
        snprintf(unpack->words, sizeof(unpack->words), "%s",
                 *tar_reader_words(reader) ? tar_reader_words(reader) : strerror(-err));
    skeleton_abandon(u->skeleton);
    nameset_finish(&u->dirs);
    nameset_finish(&u->hidden);
    free(u->finery);
    own_close(&u->parent);
    return err;
}
