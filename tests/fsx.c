/* SPDX-License-Identifier: MIT
 *
 * fsx: random I/O on one file, compared with a model of it in memory.
 *
 * Duty: whatever sequence of reads, writes, mappings, truncations, fallocates, copies and reopens
 * is drawn from a seed, the file reads as the model says, through every descriptor and every
 * mapping. The file exists with its content beforehand (in a union mount it lies in a lower layer),
 * so the sequence runs across its copy-up. A second, read-only file serves as a source of copies.
 *
 * Invariants:
 * - model[0..size) is the content; model[size..room) is zero, so growing needs no clearing;
 * - `reader` was opened O_RDONLY before the first change and is never opened again: it must see
 * all;
 * - an operation changes the model only after the system call has said that it succeeded.
 *
 * Exit status: 0 all the same, 1 a difference (seed, operation, the last operations and the first
 * wrong byte are printed), 2 wrong use or an environment that cannot serve.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE 4096U
#define HISTORY 50U
#define LINE 160U
#define FULL_CHECK_EVERY 64U

enum verdict { DONE, SKIPPED, DIFFERS };

enum needs { NOTHING = 0, READING = 1, WRITING = 2, BOTH = 3 };

struct fsx {
    const char *path, *model_path, *other_path;
    uint64_t seed, random;
    unsigned long ops, op;
    unsigned char *model, *scratch, *other_model;
    size_t size, room, longest, other_size;
    int fd, reader, other;
    enum needs can; /* what `fd` was opened for */
    unsigned long
        spoil;  /* a wrong byte in the model before this operation: proves that one is seen */
    bool early; /* also hold mappings of what was opened before the first change to it */
    unsigned char *kept; /* a shared mapping that lives as long as the run, or NULL */
    char history[HISTORY][LINE];
    unsigned long done[64], skipped[64];
};

struct range {
    size_t off, len;
};

/* ---- randomness: splitmix64, so that a seed means the same everywhere ---- */

static uint64_t draw(struct fsx *x)
{
    uint64_t z = (x->random += 0x9e3779b97f4a7c15U);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

static size_t below(struct fsx *x, size_t limit)
{
    return limit ? (size_t)(draw(x) % limit) : 0;
}

static bool one_in(struct fsx *x, size_t n)
{
    return below(x, n) == 0;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Page borders and the end of the file are where errors live: one range in two touches one. */
static struct range draw_range(struct fsx *x, size_t limit)
{
    struct range r = {below(x, limit), 0};
    if (one_in(x, 4))
        r.off &= ~(size_t)(PAGE - 1);
    else if (one_in(x, 4) && x->size < limit)
        r.off = x->size;
    size_t longest = smaller(x->longest, limit - r.off);
    r.len = one_in(x, 3) ? smaller(longest, 1 + below(x, 64)) : 1 + below(x, longest);
    if (one_in(x, 4))
        r.len = smaller(longest, (r.len + PAGE - 1) & ~(size_t)(PAGE - 1));
    r.len = smaller(r.len, longest);
    return r;
}

static void fill(struct fsx *x, size_t len)
{
    for (size_t i = 0; i < len; i += sizeof(uint64_t)) {
        uint64_t word = draw(x) | 0x0101010101010101U; /* never a zero byte: holes stay visible */
        memcpy(x->scratch + i, &word, smaller(sizeof(word), len - i));
    }
}

/* ---- history and verdicts ---- */

__attribute__((format(printf, 2, 3))) static void note(struct fsx *x, const char *format, ...)
{
    char *line = x->history[x->op % HISTORY];
    size_t used = strlen(line);
    va_list args;
    va_start(args, format);
    vsnprintf(line + used, LINE - used, format, args);
    va_end(args);
}

__attribute__((format(printf, 2, 3))) static enum verdict differs(struct fsx *x, const char *format,
                                                                  ...)
{
    va_list args;
    fprintf(stderr, "fsx: %s: seed %llu, operation %lu: ", x->path, (unsigned long long)x->seed,
            x->op);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\nfsx: the last operations (size now %zu):\n", x->size);
    unsigned long first = x->op >= HISTORY ? x->op - HISTORY + 1 : 0;
    for (unsigned long i = first; i <= x->op; i++)
        fprintf(stderr, "  %6lu %s\n", i, x->history[i % HISTORY]);
    return DIFFERS;
}

/* For calls that should succeed: what the filesystem does not have is skipped, the rest differs. */
static enum verdict refused(struct fsx *x, const char *call)
{
    int error = errno;
    if (error == EOPNOTSUPP || error == ENOSYS) {
        note(x, " [%s: not supported]", call);
        return SKIPPED;
    }
    return differs(x, "%s: %s", call, strerror(error));
}

static enum verdict compare(struct fsx *x, const char *what, const unsigned char *got, size_t off,
                            size_t len)
{
    if (memcmp(got, x->model + off, len) == 0)
        return DONE;
    size_t first = 0, wrong = 0;
    while (got[first] == x->model[off + first])
        first++;
    for (size_t i = first; i < len; i++)
        wrong += got[i] != x->model[off + i];
    return differs(x,
                   "%s: first wrong byte at offset %zu (0x%zx): 0x%02x should be 0x%02x; "
                   "%zu of %zu bytes wrong",
                   what, off + first, off + first, got[first], x->model[off + first], wrong, len);
}

/* ---- the model ---- */

static void model_resize(struct fsx *x, size_t size)
{
    if (size < x->size)
        memset(x->model + size, 0, x->size - size);
    x->size = size;
}

static void model_write(struct fsx *x, size_t off, const unsigned char *data, size_t len)
{
    memmove(x->model + off, data, len);
    if (off + len > x->size)
        x->size = off + len;
}

static void model_zero(struct fsx *x, struct range r, bool grow)
{
    if (r.off < x->size)
        memset(x->model + r.off, 0, smaller(r.len, x->size - r.off));
    if (grow && r.off + r.len > x->size)
        x->size = r.off + r.len;
}

/* ---- reading ---- */

static enum verdict read_through(struct fsx *x, int fd, const char *what, struct range r)
{
    size_t expected = r.off >= x->size ? 0 : smaller(r.len, x->size - r.off);
    ssize_t got = pread(fd, x->scratch, r.len, (off_t)r.off);
    if (got < 0)
        return refused(x, what);
    if ((size_t)got != expected)
        return differs(x, "%s: read %zd bytes at offset %zu, should be %zu", what, got, r.off,
                       expected);
    return compare(x, what, x->scratch, r.off, expected);
}

static enum verdict op_read(struct fsx *x)
{
    struct range r = draw_range(x, x->room);
    note(x, "%zu at %zu", r.len, r.off);
    return read_through(x, x->fd, "read", r);
}

static enum verdict op_read_early_fd(struct fsx *x)
{
    struct range r = draw_range(x, x->room);
    note(x, "%zu at %zu", r.len, r.off);
    return read_through(x, x->reader, "read by the descriptor opened before the first change", r);
}

static enum verdict op_read_direct(struct fsx *x)
{
    struct range r = draw_range(x, x->room);
    r.off &= ~(size_t)(PAGE - 1);
    r.len = (r.len + PAGE - 1) & ~(size_t)(PAGE - 1);
    note(x, "%zu at %zu", r.len, r.off);
    int fd = open(x->path, O_RDONLY | O_DIRECT | O_CLOEXEC);
    if (fd < 0 && errno == EINVAL) /* the backing filesystem has no direct I/O */
        return SKIPPED;
    if (fd < 0)
        return refused(x, "open O_DIRECT");
    enum verdict verdict = read_through(x, fd, "direct read", r);
    close(fd);
    return verdict;
}

static enum verdict op_check_all(struct fsx *x)
{
    int fd = open(x->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return refused(x, "open");
    enum verdict verdict = read_through(x, fd, "whole file", (struct range){0, x->room});
    close(fd);
    return verdict;
}

static enum verdict op_stat(struct fsx *x)
{
    struct stat by_fd, by_path;
    if (fstat(x->fd, &by_fd) != 0 || stat(x->path, &by_path) != 0)
        return refused(x, "stat");
    if ((size_t)by_fd.st_size != x->size || (size_t)by_path.st_size != x->size)
        return differs(x, "size: fstat says %lld, stat says %lld, should be %zu",
                       (long long)by_fd.st_size, (long long)by_path.st_size, x->size);
    if (by_fd.st_ino != by_path.st_ino)
        return differs(x, "inode number: fstat says %llu, stat says %llu",
                       (unsigned long long)by_fd.st_ino, (unsigned long long)by_path.st_ino);
    return DONE;
}

/* A hole may be reported as data, but what is reported as a hole must be zeros. */
static enum verdict op_seek(struct fsx *x)
{
    size_t off = below(x, x->room);
    note(x, "at %zu", off);
    off_t end = lseek(x->fd, 0, SEEK_END);
    if (end < 0 || (size_t)end != x->size)
        return differs(x, "SEEK_END: %lld, should be %zu", (long long)end, x->size);
    off_t data = lseek(x->fd, (off_t)off, SEEK_DATA);
    int data_error = errno;
    off_t hole = lseek(x->fd, (off_t)off, SEEK_HOLE);
    if (off >= x->size) {
        if (data >= 0 || hole >= 0 || data_error != ENXIO)
            return differs(x, "SEEK_DATA %lld, SEEK_HOLE %lld beyond the end: should be ENXIO",
                           (long long)data, (long long)hole);
        return DONE;
    }
    if (data < 0 && data_error != ENXIO)
        return errno = data_error, refused(x, "SEEK_DATA");
    if (hole < (off_t)off || (size_t)hole > x->size)
        return differs(x, "SEEK_HOLE at %zu: %lld (size %zu)", off, (long long)hole, x->size);
    size_t stop = data < 0 ? x->size : (size_t)data;
    if (stop < off || stop > x->size)
        return differs(x, "SEEK_DATA at %zu: %zu (size %zu)", off, stop, x->size);
    for (size_t i = off; i < stop; i++)
        if (x->model[i] != 0)
            return differs(x, "SEEK_DATA at %zu says %zu, but there is data at %zu", off, stop, i);
    if ((size_t)hole < x->size && x->model[hole] != 0)
        return differs(x, "SEEK_HOLE at %zu says %lld, but there is data", off, (long long)hole);
    return DONE;
}

/* ---- writing ---- */

static enum verdict write_through(struct fsx *x, int fd, const char *what, struct range r)
{
    fill(x, r.len);
    ssize_t put = pwrite(fd, x->scratch, r.len, (off_t)r.off);
    if (put < 0)
        return refused(x, what);
    if ((size_t)put != r.len)
        return differs(x, "%s: wrote %zd of %zu bytes", what, put, r.len);
    model_write(x, r.off, x->scratch, r.len);
    return DONE;
}

static enum verdict op_write(struct fsx *x)
{
    struct range r = draw_range(x, x->room);
    note(x, "%zu at %zu", r.len, r.off);
    return write_through(x, x->fd, "write", r);
}

/* A descriptor of its own: its close comes right behind the write. */
static enum verdict op_write_apart(struct fsx *x)
{
    struct range r = draw_range(x, x->room);
    note(x, "%zu at %zu", r.len, r.off);
    int fd = open(x->path, (one_in(x, 2) ? O_WRONLY : O_RDWR) | O_CLOEXEC);
    if (fd < 0)
        return refused(x, "open for writing");
    enum verdict verdict = write_through(x, fd, "write by another descriptor", r);
    close(fd);
    return verdict;
}

static enum verdict op_write_direct(struct fsx *x)
{
    struct range r = draw_range(x, x->room);
    r.off &= ~(size_t)(PAGE - 1);
    r.len = smaller((r.len + PAGE - 1) & ~(size_t)(PAGE - 1), x->room - r.off);
    note(x, "%zu at %zu", r.len, r.off);
    int fd = open(x->path, O_WRONLY | O_DIRECT | O_CLOEXEC);
    if (fd < 0 && errno == EINVAL)
        return SKIPPED;
    if (fd < 0)
        return refused(x, "open O_DIRECT for writing");
    enum verdict verdict = write_through(x, fd, "direct write", r);
    close(fd);
    return verdict;
}

static enum verdict op_append(struct fsx *x)
{
    size_t len = smaller(1 + below(x, 3 * PAGE), x->room - x->size);
    if (len == 0)
        return SKIPPED;
    note(x, "%zu at the end, %zu", len, x->size);
    int fd = open(x->path, O_WRONLY | O_APPEND | O_CLOEXEC);
    if (fd < 0)
        return refused(x, "open O_APPEND");
    fill(x, len);
    ssize_t put = write(fd, x->scratch, len);
    int error = errno;
    close(fd);
    errno = error;
    if (put < 0)
        return refused(x, "append");
    if ((size_t)put != len)
        return differs(x, "append: wrote %zd of %zu bytes", put, len);
    model_write(x, x->size, x->scratch, len);
    return DONE;
}

static enum verdict op_truncate(struct fsx *x)
{
    size_t size = one_in(x, 6) ? x->size & ~(size_t)(PAGE - 1) : below(x, x->room + 1);
    bool by_path = one_in(x, 3);
    note(x, "%zu to %zu%s", x->size, size, by_path ? " by path" : "");
    int rc = by_path ? truncate(x->path, (off_t)size) : ftruncate(x->fd, (off_t)size);
    if (rc != 0)
        return refused(x, "truncate");
    model_resize(x, size);
    return DONE;
}

static enum verdict op_open_trunc(struct fsx *x)
{
    int fd = open(x->path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    if (fd < 0)
        return refused(x, "open O_TRUNC");
    model_resize(x, 0);
    enum verdict verdict =
        write_through(x, fd, "write after O_TRUNC", (struct range){0, x->room / 2});
    close(fd);
    return verdict;
}

/* ---- mappings ---- */

struct map {
    unsigned char *start, *bytes; /* what mmap gave, and the first byte asked for */
    size_t length;
};

/* A range inside the file, so that no access faults. */
static bool draw_mapped(struct fsx *x, struct range *r)
{
    if (x->size == 0)
        return false;
    *r = draw_range(x, x->size);
    return r->len > 0;
}

static enum verdict map_range(struct fsx *x, struct range r, int prot, int flags, struct map *map)
{
    size_t start = r.off & ~(size_t)(PAGE - 1);
    map->length = r.off + r.len - start;
    map->start = mmap(NULL, map->length, prot, flags, x->fd, (off_t)start);
    if (map->start == MAP_FAILED)
        return refused(x, "mmap");
    map->bytes = map->start + (r.off - start);
    return DONE;
}

/* Beyond the end of the file, the rest of its last page reads as zeros. */
static enum verdict check_tail(struct fsx *x, struct range r, const struct map *map)
{
    if (r.off + r.len != x->size)
        return DONE;
    for (size_t at = x->size; at % PAGE != 0; at++)
        if (map->bytes[at - r.off] != 0)
            return differs(x, "mapped byte at %zu beyond the end %zu is 0x%02x", at, x->size,
                           map->bytes[at - r.off]);
    return DONE;
}

static enum verdict mapped_read(struct fsx *x, int flags, const char *what)
{
    struct range r;
    struct map map = {0};
    if (!draw_mapped(x, &r))
        return SKIPPED;
    note(x, "%zu at %zu", r.len, r.off);
    enum verdict verdict = map_range(x, r, PROT_READ, flags, &map);
    if (verdict != DONE)
        return verdict;
    verdict = compare(x, what, map.bytes, r.off, r.len);
    if (verdict == DONE)
        verdict = check_tail(x, r, &map);
    munmap(map.start, map.length);
    return verdict;
}

static enum verdict op_map_read(struct fsx *x)
{
    return mapped_read(x, MAP_SHARED, "shared mapping");
}

static enum verdict op_map_private_read(struct fsx *x)
{
    return mapped_read(x, MAP_PRIVATE, "private mapping");
}

/* A private mapping takes writes that the file must not get. */
static enum verdict op_map_private_write(struct fsx *x)
{
    struct range r;
    struct map map = {0};
    if (!draw_mapped(x, &r))
        return SKIPPED;
    note(x, "%zu at %zu", r.len, r.off);
    enum verdict verdict = map_range(x, r, PROT_READ | PROT_WRITE, MAP_PRIVATE, &map);
    if (verdict != DONE)
        return verdict;
    memset(map.bytes, 0xa5, r.len);
    munmap(map.start, map.length);
    return read_through(x, x->reader, "file after a write to a private mapping", r);
}

static enum verdict op_map_write(struct fsx *x)
{
    static const char *const ways[] = {"", ", msync", ", msync async", ", fsync mapped"};
    struct range r;
    struct map map = {0};
    if (!draw_mapped(x, &r))
        return SKIPPED;
    size_t way = below(x, 4);
    note(x, "%zu at %zu%s", r.len, r.off, ways[way]);
    enum verdict verdict = map_range(x, r, PROT_READ | PROT_WRITE, MAP_SHARED, &map);
    if (verdict != DONE)
        return verdict;
    fill(x, r.len);
    memcpy(map.bytes, x->scratch, r.len);
    model_write(x, r.off, x->scratch, r.len);
    int rc = 0;
    if (way == 1 || way == 2)
        rc = msync(map.start, map.length, way == 1 ? MS_SYNC : MS_ASYNC);
    else if (way == 3)
        rc = fsync(x->fd);
    if (rc != 0)
        verdict = refused(x, "msync or fsync");
    else if (one_in(x, 2))
        verdict = read_through(x, x->reader, "read beside a live mapping", r);
    munmap(map.start, map.length);
    return verdict;
}

/* Made before the first change with -e, else at its first use: on the kernel's overlayfs a mapping
 * through a descriptor from before the copy-up stays with the lower file for good. */
static enum verdict op_map_kept(struct fsx *x)
{
    struct range r;
    if (x->kept == NULL) {
        void *map = mmap(NULL, x->room, PROT_READ, MAP_SHARED, x->fd, 0);
        if (map == MAP_FAILED)
            return refused(x, "mmap");
        x->kept = map;
    }
    if (!draw_mapped(x, &r))
        return SKIPPED;
    note(x, "%zu at %zu", r.len, r.off);
    return compare(x, "long-lived shared mapping", x->kept + r.off, r.off, r.len);
}

/* ---- fallocate ---- */

static enum verdict allocate(struct fsx *x, int mode, struct range r)
{
    note(x, "%zu at %zu", r.len, r.off);
    if (fallocate(x->fd, mode, (off_t)r.off, (off_t)r.len) == 0)
        return DONE;
    return refused(x, "fallocate");
}

static enum verdict op_fallocate(struct fsx *x)
{
    struct range r = draw_range(x, x->room);
    enum verdict verdict = allocate(x, 0, r);
    if (verdict == DONE && r.off + r.len > x->size)
        model_resize(x, r.off + r.len);
    return verdict;
}

static enum verdict op_fallocate_keep(struct fsx *x)
{
    return allocate(x, FALLOC_FL_KEEP_SIZE, draw_range(x, x->room));
}

static enum verdict op_punch(struct fsx *x)
{
    struct range r = draw_range(x, x->room);
    enum verdict verdict = allocate(x, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, r);
    if (verdict == DONE)
        model_zero(x, r, false);
    return verdict;
}

static enum verdict op_zero_range(struct fsx *x)
{
    struct range r = draw_range(x, x->room);
    bool grow = one_in(x, 2);
    enum verdict verdict = allocate(x, FALLOC_FL_ZERO_RANGE | (grow ? 0 : FALLOC_FL_KEEP_SIZE), r);
    if (verdict == DONE)
        model_zero(x, r, grow);
    return verdict;
}

/* Whole blocks, wholly before the end: what every filesystem that has these modes takes. */
static enum verdict op_collapse(struct fsx *x)
{
    size_t pages = x->size / PAGE;
    if (pages < 2)
        return SKIPPED;
    struct range r = {below(x, pages - 1) * PAGE, PAGE};
    if (r.off + r.len >= x->size)
        return SKIPPED;
    enum verdict verdict = allocate(x, FALLOC_FL_COLLAPSE_RANGE, r);
    if (verdict == DONE) {
        memmove(x->model + r.off, x->model + r.off + r.len, x->size - r.off - r.len);
        model_resize(x, x->size - r.len);
    }
    return verdict;
}

static enum verdict op_insert(struct fsx *x)
{
    size_t pages = x->size / PAGE;
    if (pages < 1 || x->size + PAGE > x->room)
        return SKIPPED;
    struct range r = {below(x, pages) * PAGE, PAGE};
    if (r.off >= x->size)
        return SKIPPED;
    enum verdict verdict = allocate(x, FALLOC_FL_INSERT_RANGE, r);
    if (verdict == DONE) {
        memmove(x->model + r.off + r.len, x->model + r.off, x->size - r.off);
        memset(x->model + r.off, 0, r.len);
        x->size += r.len;
    }
    return verdict;
}

/* ---- copies in the kernel ---- */

static enum verdict copy_range(struct fsx *x, int from, const unsigned char *content, size_t src,
                               struct range r)
{
    note(x, "%zu from %zu to %zu", r.len, src, r.off);
    off_t in = (off_t)src, out = (off_t)r.off;
    ssize_t copied = copy_file_range(from, &in, x->fd, &out, r.len, 0);
    if (copied < 0 && errno == EXDEV)
        return SKIPPED;
    if (copied < 0)
        return refused(x, "copy_file_range");
    if (copied == 0 || (size_t)copied > r.len)
        return differs(x, "copy_file_range: copied %zd of %zu bytes", copied, r.len);
    model_write(x, r.off, content + src, (size_t)copied);
    return DONE;
}

static enum verdict op_copy_within(struct fsx *x)
{
    if (x->size < 2)
        return SKIPPED;
    size_t src = below(x, x->size);
    struct range r = draw_range(x, x->room);
    size_t apart = src > r.off ? src - r.off : r.off - src;
    r.len = smaller(smaller(r.len, apart), x->size - src); /* ranges that overlap are refused */
    if (r.len == 0)
        return SKIPPED;
    return copy_range(x, one_in(x, 2) ? x->fd : x->reader, x->model, src, r);
}

static enum verdict op_copy_from_other(struct fsx *x)
{
    if (x->other < 0 || x->other_size == 0)
        return SKIPPED;
    size_t src = below(x, x->other_size);
    struct range r = draw_range(x, x->room);
    r.len = smaller(r.len, x->other_size - src);
    return r.len ? copy_range(x, x->other, x->other_model, src, r) : SKIPPED;
}

/* ---- everything else that may not change a byte ---- */

static enum verdict op_sync(struct fsx *x)
{
    bool data = one_in(x, 2);
    note(x, "%s", data ? "fdatasync" : "fsync");
    return (data ? fdatasync(x->fd) : fsync(x->fd)) == 0 ? DONE : refused(x, "fsync");
}

/* Page cache dropped: the next read shows what the filesystem itself holds. */
static enum verdict op_dontneed(struct fsx *x)
{
    if (one_in(x, 2) && fdatasync(x->fd) != 0)
        return refused(x, "fdatasync");
    int error = posix_fadvise(x->fd, 0, 0, POSIX_FADV_DONTNEED);
    return error == 0 ? DONE : (errno = error, refused(x, "posix_fadvise"));
}

/* On a lower file: a change of metadata alone, before or between changes of data. */
static enum verdict op_metadata(struct fsx *x)
{
    mode_t mode = one_in(x, 2) ? 0600 : 0644;
    bool chmods = one_in(x, 2);
    note(x, "%s", chmods ? "fchmod" : "futimens");
    return (chmods ? fchmod(x->fd, mode) : futimens(x->fd, NULL)) == 0 ? DONE
                                                                       : refused(x, "setattr");
}

static enum verdict op_reopen(struct fsx *x)
{
    static const struct {
        const char *name;
        int flags;
        enum needs can;
    } modes[] = {{"O_RDWR", O_RDWR, BOTH},
                 {"O_RDONLY", O_RDONLY, READING},
                 {"O_WRONLY", O_WRONLY, WRITING},
                 {"O_RDWR|O_SYNC", O_RDWR | O_SYNC, BOTH},
                 {"O_RDWR|O_NOATIME", O_RDWR | O_NOATIME, BOTH}};
    size_t i = one_in(x, 2) ? 0 : below(x, sizeof(modes) / sizeof(modes[0]));
    note(x, "%s", modes[i].name);
    if (close(x->fd) != 0)
        return refused(x, "close");
    x->fd = open(x->path, modes[i].flags | O_CLOEXEC);
    x->can = modes[i].can;
    return x->fd >= 0 ? DONE : refused(x, "reopen");
}

/* ---- the table of operations ---- */

static const struct op {
    const char *name;
    enum verdict (*run)(struct fsx *);
    unsigned weight;
    enum needs needs;
} ops[] = {
    {"read", op_read, 14, READING},
    {"read-early-fd", op_read_early_fd, 8, NOTHING},
    {"read-direct", op_read_direct, 4, NOTHING},
    {"check-all", op_check_all, 2, NOTHING},
    {"stat", op_stat, 4, NOTHING},
    {"seek", op_seek, 4, NOTHING},
    {"write", op_write, 14, WRITING},
    {"write-apart", op_write_apart, 4, NOTHING},
    {"write-direct", op_write_direct, 2, NOTHING},
    {"append", op_append, 4, NOTHING},
    {"truncate", op_truncate, 6, WRITING},
    {"open-trunc", op_open_trunc, 1, NOTHING},
    {"map-read", op_map_read, 6, READING},
    {"map-private-read", op_map_private_read, 3, READING},
    {"map-private-write", op_map_private_write, 2, READING},
    {"map-write", op_map_write, 10, BOTH},
    {"map-kept", op_map_kept, 6, READING},
    {"fallocate", op_fallocate, 3, WRITING},
    {"fallocate-keep", op_fallocate_keep, 2, WRITING},
    {"punch", op_punch, 5, WRITING},
    {"zero-range", op_zero_range, 3, WRITING},
    {"collapse", op_collapse, 3, WRITING},
    {"insert", op_insert, 3, WRITING},
    {"copy-within", op_copy_within, 4, BOTH},
    {"copy-from-other", op_copy_from_other, 4, WRITING},
    {"sync", op_sync, 3, NOTHING},
    {"dontneed", op_dontneed, 3, NOTHING},
    {"metadata", op_metadata, 2, NOTHING},
    {"reopen", op_reopen, 6, NOTHING},
};
#define OPS (sizeof(ops) / sizeof(ops[0]))

static size_t choose(struct fsx *x)
{
    unsigned total = 0;
    for (size_t i = 0; i < OPS; i++)
        total += ops[i].weight;
    for (;;) {
        size_t ticket = below(x, total), i = 0;
        while (ticket >= ops[i].weight)
            ticket -= ops[i++].weight;
        if ((ops[i].needs & x->can) == ops[i].needs)
            return i;
    }
}

static enum verdict step(struct fsx *x)
{
    size_t i = choose(x);
    snprintf(x->history[x->op % HISTORY], LINE, "%s ", ops[i].name);
    enum verdict verdict = ops[i].run(x);
    x->done[i] += verdict == DONE;
    x->skipped[i] += verdict == SKIPPED;
    if (verdict != DIFFERS && x->op % FULL_CHECK_EVERY == FULL_CHECK_EVERY - 1)
        verdict = op_check_all(x);
    return verdict;
}

/* ---- the run ---- */

static struct fsx *on_fault; /* for the handler alone: one run a process */

static void fault(int signal)
{
    differs(on_fault, "signal %d while touching a mapping inside the file", signal);
    _exit(1);
}

static void die(const char *what)
{
    fprintf(stderr, "fsx: %s: %s\n", what, strerror(errno));
    exit(2);
}

static void *buffer(size_t size)
{
    void *memory = NULL;
    if (posix_memalign(&memory, PAGE, size) != 0)
        die("memory");
    return memset(memory, 0, size);
}

static size_t load(int fd, const char *path, unsigned char *into, size_t room)
{
    size_t used = 0;
    ssize_t got = 0;
    while (used < room && (got = pread(fd, into + used, room - used, (off_t)used)) > 0)
        used += (size_t)got;
    if (got < 0)
        die(path);
    return used;
}

static void begin(struct fsx *x)
{
    struct stat st;
    x->reader = open(x->path, O_RDONLY | O_CLOEXEC);
    x->fd = open(x->path, (x->early ? O_RDONLY : O_RDWR) | O_CLOEXEC);
    x->can = x->early ? READING : BOTH;
    if (x->fd < 0 || x->reader < 0 || fstat(x->fd, &st) != 0)
        die(x->path);
    if ((size_t)st.st_size > x->room)
        x->room = (size_t)st.st_size;
    x->room = (x->room + PAGE - 1) & ~(size_t)(PAGE - 1);
    x->longest = x->room / 4 > PAGE ? x->room / 4 : PAGE;
    x->model = buffer(x->room + PAGE);
    x->scratch = buffer(x->room + PAGE);
    x->size = load(x->fd, x->path, x->model, x->room);
    x->other = x->other_path ? open(x->other_path, O_RDONLY | O_CLOEXEC) : -1;
    if (x->other_path && x->other < 0)
        die(x->other_path);
    x->other_model = buffer(x->room + PAGE);
    if (x->other >= 0)
        x->other_size = load(x->other, x->other_path, x->other_model, x->room);
    on_fault = x;
    signal(SIGBUS, fault);
    signal(SIGSEGV, fault);
}

/* Read at once, before an operation can write the right byte over it. */
static enum verdict find_spoilt(struct fsx *x)
{
    x->model[x->size / 2] ^= 1;
    snprintf(x->history[x->op % HISTORY], LINE, "spoil a byte ");
    return op_check_all(x);
}

static enum verdict exercise(struct fsx *x)
{
    /* Read once, so that old pages are in the cache when the file is copied up. */
    enum verdict verdict = op_check_all(x);
    if (verdict == DONE && x->early)
        verdict = op_map_kept(x);
    for (x->op = 0; verdict != DIFFERS && x->op < x->ops; x->op++) {
        verdict = x->op < x->spoil || x->size == 0 ? step(x) : find_spoilt(x);
    }
    if (verdict == DIFFERS)
        return DIFFERS;
    x->op = x->ops;
    snprintf(x->history[x->op % HISTORY], LINE, "the end ");
    if (op_check_all(x) == DIFFERS)
        return DIFFERS;
    return read_through(x, x->reader, "the early descriptor", (struct range){0, x->room});
}

static void finish(struct fsx *x)
{
    if (x->kept)
        munmap(x->kept, x->room);
    close(x->fd);
    close(x->reader);
    if (x->other >= 0)
        close(x->other);
    free(x->model);
    free(x->scratch);
    free(x->other_model);
}

static void save_model(const struct fsx *x)
{
    FILE *file = fopen(x->model_path, "wb");
    if (!file || fwrite(x->model, 1, x->size, file) != x->size || fclose(file) != 0)
        die(x->model_path);
}

static void report(const struct fsx *x)
{
    unsigned long done = 0, skipped = 0;
    for (size_t i = 0; i < OPS; i++) {
        done += x->done[i];
        skipped += x->skipped[i];
    }
    printf("seed %llu: %lu operations, %lu skipped\n", (unsigned long long)x->seed, done, skipped);
    for (size_t i = 0; i < OPS; i++)
        if (x->done[i] == 0)
            printf("never done: %s (skipped %lu)\n", ops[i].name, x->skipped[i]);
}

static void usage(void)
{
    fputs("usage: fsx [-s seed] [-n operations] [-l longest file] [-c second file to copy from]\n"
          "           [-m file for the final model] [-e] [-b operation] FILE\n"
          "  -e  mappings through descriptors opened before the first change must follow the file\n"
          "  -b  spoil one byte of the model before this operation: the run must fail\n",
          stderr);
    exit(2);
}

static void arguments(struct fsx *x, int argc, char **argv)
{
    int option;
    while ((option = getopt(argc, argv, "s:n:l:c:m:b:e")) != -1) {
        switch (option) {
        case 's':
            x->seed = strtoull(optarg, NULL, 0);
            break;
        case 'n':
            x->ops = strtoul(optarg, NULL, 0);
            break;
        case 'l':
            x->room = strtoul(optarg, NULL, 0);
            break;
        case 'c':
            x->other_path = optarg;
            break;
        case 'm':
            x->model_path = optarg;
            break;
        case 'b':
            x->spoil = strtoul(optarg, NULL, 0);
            break;
        case 'e':
            x->early = true;
            break;
        default:
            usage();
        }
    }
    if (optind + 1 != argc || x->room == 0)
        usage();
    x->path = argv[optind];
    x->random = x->seed;
}

int main(int argc, char **argv)
{
    static struct fsx x = {
        .seed = 1, .ops = 1000, .room = 256 * 1024, .fd = -1, .reader = -1, .spoil = ULONG_MAX};
    arguments(&x, argc, argv);
    begin(&x);
    enum verdict verdict = exercise(&x);
    if (verdict != DIFFERS && x.model_path)
        save_model(&x);
    if (verdict != DIFFERS)
        report(&x);
    finish(&x);
    return verdict == DIFFERS ? 1 : 0;
}
