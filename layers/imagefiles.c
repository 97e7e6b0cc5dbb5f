/* SPDX-License-Identifier: MIT
 *
 * Duty: find the files of an image archive, whichever way they came. Paths of a tar are brought to
 * one spelling by their letters alone ("." and ".." taken out, nothing leads above the archive) and
 * put into a table; of a path that is there twice the last counts. Cost: each file of a tar is
 * written once more.
 */
#include "imagefiles.h"

#include "fd.h"
#include "nameset.h"
#include "tarball.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* How many links in a row are followed in the table. */
enum { LINKS_MAX = 16 };

struct imagefiles {
    int dir;     /* where the files lie; borrowed */
    bool staged; /* by number; else by path */
    struct nameset paths;
    char **targets; /* path's index -> the path that it is a link to, or NULL for a file */
    size_t room;
};

/* What stands at the top of root filesystems and never in an archive of images. */
static const char *const ROOTFS_NAMES[] = {
    "bin", "boot", "dev",  "etc", "home", "lib", "lib32", "lib64", "media", "mnt",
    "opt", "proc", "root", "run", "sbin", "srv", "sys",   "tmp",   "usr",   "var",
};

__attribute__((format(printf, 2, 3))) static int wrong(struct imagefiles_fault *fault,
                                                       const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(fault->words, sizeof(fault->words), format, args);
    va_end(args);
    return -EBADMSG;
}

/* ---- paths ---- */

/* Appends the components of `path` to the clean path in `out`. False when it leads above the
 * archive or is too long to be of use. */
static bool append_path(char out[IMAGEFILES_PATH_SIZE], const char *path)
{
    size_t used = strlen(out);
    while (*path) {
        size_t length = strcspn(path, "/");
        bool up = length == 2 && path[0] == '.' && path[1] == '.';
        if (up && used == 0)
            return false;
        if (up) {
            char *slash = strrchr(out, '/');
            used = slash ? (size_t)(slash - out) : 0;
        } else if (length > 1 || (length == 1 && *path != '.')) {
            if (used + 1 + length >= IMAGEFILES_PATH_SIZE)
                return false;
            if (used > 0)
                out[used++] = '/';
            memcpy(out + used, path, length);
            used += length;
        }
        out[used] = 0;
        path += length + (path[length] == '/');
    }
    return true;
}

static bool clean_path(char out[IMAGEFILES_PATH_SIZE], const char *path)
{
    out[0] = 0;
    return *path != '/' && append_path(out, path) && out[0];
}

/* Where the symlink `path` (clean) leads. */
static bool link_path(char out[IMAGEFILES_PATH_SIZE], const char *path, const char *target)
{
    const char *slash = strrchr(path, '/');
    size_t length = slash ? (size_t)(slash - path) : 0;
    memcpy(out, path, length);
    out[length] = 0;
    return *target != '/' && append_path(out, target) && out[0];
}

/* What a (clean) path says of the archive that has it. */
enum evidence {
    OF_NOTHING, /* no image is made of such a file */
    OF_EITHER,  /* a file at the top may belong to an archive of images */
    OF_IMAGES,  /* beneath blobs/, or beneath a directory that is called by an id */
    OF_ROOTFS,
};

static enum evidence evidence_of(const char *path)
{
    size_t first = strcspn(path, "/");
    for (size_t i = 0; i < sizeof(ROOTFS_NAMES) / sizeof(ROOTFS_NAMES[0]); i++) {
        if (strlen(ROOTFS_NAMES[i]) == first && strncmp(ROOTFS_NAMES[i], path, first) == 0)
            return OF_ROOTFS;
    }
    if (!path[first])
        return OF_EITHER;
    bool id = first == 64 && strspn(path, "0123456789abcdef") == 64;
    return id || strncmp(path, "blobs/", 6) == 0 ? OF_IMAGES : OF_NOTHING;
}

/* ---- the table ---- */

static char *staged_name(char name[16], uint32_t index)
{
    snprintf(name, 16, "%u", index);
    return name;
}

static int table_add(struct imagefiles *files, const char *path, const char *target,
                     uint32_t *index, struct imagefiles_fault *fault)
{
    bool fresh;
    int err = nameset_add(&files->paths, path, index, &fresh);
    if (err)
        return err;
    if (*index >= IMAGEFILES_MAX)
        return wrong(fault, "it holds more than %d files", IMAGEFILES_MAX);
    if (*index >= files->room) {
        size_t room = files->room ? files->room * 2 : 64;
        char **targets = realloc(files->targets, room * sizeof(*targets));
        if (!targets)
            return -ENOMEM;
        memset(targets + files->room, 0, (room - files->room) * sizeof(*targets));
        files->targets = targets;
        files->room = room;
    }
    free(files->targets[*index]);
    files->targets[*index] = target ? strdup(target) : NULL;
    return target && !files->targets[*index] ? -ENOMEM : 0;
}

/* The index of the file that a path means, links followed. */
static uint32_t table_find(const struct imagefiles *files, const char *path)
{
    char clean[IMAGEFILES_PATH_SIZE];
    if (!clean_path(clean, path))
        return NAMESET_NONE;
    const char *at = clean;
    for (int links = 0; links <= LINKS_MAX; links++) {
        uint32_t index = nameset_find(&files->paths, at);
        if (index == NAMESET_NONE || !files->targets[index])
            return index;
        at = files->targets[index];
    }
    return NAMESET_NONE;
}

/* ---- staging a tar ---- */

/* What may stand in an archive besides its files: names, padding, what no image is made of. */
static const uint64_t RAW_FREE = 64 << 20;

/* What is in the middle of being staged. */
struct staging {
    const struct imagefiles_tar *tar;
    struct imagefiles *files;
    struct tar_reader *reader;
    struct imagefiles_fault *fault;
    uint64_t bytes, raw;
    bool of_images; /* something was found that is of images alone */
};

/* Holes count too: whoever reads the file reads them. So it is asked before the first byte. */
static int count_file(struct staging *staging, const char *path, off_t size)
{
    uint64_t most = staging->tar->size_max;
    if (most && (uint64_t)size > most - staging->bytes) {
        wrong(staging->fault, "'%.100s': with it the files take more than %llu bytes", path,
              (unsigned long long)most);
        return -EFBIG;
    }
    staging->bytes += (uint64_t)size;
    return 0;
}

static int count_raw(void *context, const void *data, size_t size)
{
    (void)data;
    struct staging *staging = context;
    uint64_t most = staging->tar->size_max;
    staging->raw += size;
    if (!most || staging->raw <= most + RAW_FREE)
        return 0;
    wrong(staging->fault, "more than %llu bytes of it belong to no image",
          (unsigned long long)(most + RAW_FREE));
    return -EFBIG;
}

static int stage_data(struct staging *staging, int fd, off_t size)
{
    const void *data;
    size_t length;
    off_t offset;
    int more;
    while ((more = tar_reader_data(staging->reader, &data, &length, &offset)) > 0) {
        if (lseek(fd, offset, SEEK_SET) < 0)
            return -errno;
        int err = fd_write_all(fd, data, length);
        if (err)
            return err;
    }
    if (more < 0)
        return more;
    return ftruncate(fd, size) < 0 ? -errno : 0;
}

static int stage_file(struct staging *staging, const char *path, off_t size)
{
    uint32_t index;
    char name[16];
    int err = count_file(staging, path, size);
    if (!err)
        err = table_add(staging->files, path, NULL, &index, staging->fault);
    if (err)
        return err;
    cleanup_fd int fd = fd_open_name(staging->tar->stage, staged_name(name, index),
                                     O_WRONLY | O_CREAT | O_TRUNC, 0600);
    return fd < 0 ? fd : stage_data(staging, fd, size);
}

static int stage_link(struct staging *staging, const char *path, const struct tar_entry *entry)
{
    char target[IMAGEFILES_PATH_SIZE];
    uint32_t index;
    bool inside =
        entry->link ? clean_path(target, entry->link) : link_path(target, path, entry->target);
    return inside ? table_add(staging->files, path, target, &index, staging->fault) : 0;
}

/* Takes one entry. 1 when it shows that this is a root filesystem. What leads out of the archive is
 * as good as not there. */
static int stage_entry(struct staging *staging, const struct tar_entry *entry)
{
    char path[IMAGEFILES_PATH_SIZE];
    if (!clean_path(path, entry->path))
        return 0;
    enum evidence evidence = evidence_of(path);
    if (evidence == OF_ROOTFS)
        return 1;
    if (evidence == OF_NOTHING)
        return 0;
    staging->of_images |= evidence == OF_IMAGES;
    if (entry->link || S_ISLNK(entry->mode))
        return stage_link(staging, path, entry);
    return S_ISREG(entry->mode) ? stage_file(staging, path, entry->size) : 0;
}

/* Takes all entries. 1 when this is a root filesystem. */
static int stage_entries(struct staging *staging)
{
    struct tar_entry entry;
    struct tar_sums sums;
    int more;
    while ((more = tar_reader_next(staging->reader, &entry)) > 0) {
        int answer = stage_entry(staging, &entry);
        if (answer)
            return answer;
    }
    int err = more < 0 ? more : tar_reader_finish(staging->reader, &sums);
    if (err)
        return err;
    if (imagefiles_have(staging->files, "index.json") ||
        imagefiles_have(staging->files, "manifest.json"))
        return 0;
    return staging->of_images ? wrong(staging->fault, "it has blobs of images, but neither "
                                                      "index.json nor manifest.json")
                              : 1;
}

int imagefiles_of_tar(const struct imagefiles_tar *tar, struct imagefiles **files,
                      struct imagefiles_fault *fault)
{
    int err = 0;
    *files = NULL;
    fault->words[0] = 0;
    cleanup_imagefiles struct imagefiles *made = imagefiles_of_directory(tar->stage);
    if (!made)
        return -ENOMEM;
    made->staged = true;
    cleanup_tar_reader struct tar_reader *reader =
        tar_reader_open(tar->fd, tar->seen, tar->context, &err);
    if (!reader)
        return err;
    struct staging staging = {.tar = tar, .files = made, .reader = reader, .fault = fault};
    tar_reader_tap(reader, count_raw, &staging);
    int rootfs = stage_entries(&staging);
    if (rootfs == -EBADMSG && !fault->words[0])
        wrong(fault, "%s", tar_reader_words(reader));
    if (rootfs != 0)
        return rootfs < 0 ? rootfs : 0;
    *files = steal_ptr(&made);
    return 0;
}

/* ---- the files ---- */

struct imagefiles *imagefiles_of_directory(int dir)
{
    struct imagefiles *files = calloc(1, sizeof(*files));
    if (files)
        files->dir = dir;
    return files;
}

void imagefiles_destroy(struct imagefiles *files)
{
    if (!files)
        return;
    for (size_t i = 0; i < files->room; i++)
        free(files->targets[i]);
    free(files->targets);
    nameset_finish(&files->paths);
    free(files);
}

bool imagefiles_have(const struct imagefiles *files, const char *path)
{
    if (files->staged)
        return table_find(files, path) != NAMESET_NONE;
    cleanup_fd int fd = fd_open_beneath(files->dir, path, O_PATH);
    return fd >= 0;
}

int imagefiles_open(const struct imagefiles *files, const char *path)
{
    char name[16];
    if (files->staged) {
        uint32_t index = table_find(files, path);
        return index == NAMESET_NONE
                   ? -ENOENT
                   : fd_open_name(files->dir, staged_name(name, index), O_RDONLY, 0);
    }
    /* What a hostile directory has in a file's place, a pipe or a device, is not to be opened. */
    cleanup_fd int found = fd_open_beneath(files->dir, path, O_PATH);
    if (found < 0)
        return found;
    struct stat st;
    if (fstat(found, &st) < 0)
        return -errno;
    return S_ISREG(st.st_mode) ? fd_reopen(found, O_RDONLY) : -ENOENT;
}

int imagefiles_read(const struct imagefiles *files, const char *path, size_t most, char **text,
                    size_t *size, struct imagefiles_fault *fault)
{
    struct stat st;
    cleanup_fd int fd = imagefiles_open(files, path);
    if (fd == -ENOENT)
        return wrong(fault, "it is missing");
    if (fd < 0)
        return fd;
    if (fstat(fd, &st) < 0)
        return -errno;
    if ((uint64_t)st.st_size > most)
        return wrong(fault, "it has %lld bytes, more than the %zu that are allowed",
                     (long long)st.st_size, most);
    cleanup_free char *read_text = malloc((size_t)st.st_size + 1);
    if (!read_text)
        return -ENOMEM;
    ssize_t got = fd_read_all(fd, read_text, (size_t)st.st_size);
    if (got < 0)
        return (int)got;
    read_text[got] = 0;
    *size = (size_t)got;
    *text = steal_ptr(&read_text);
    return 0;
}
