/* SPDX-License-Identifier: MIT
 *
 * Duty: the file format of skeletons. The writer gathers raw bytes and the pieces of a file into
 * one record each. Whoever reads one takes nothing in it for true: each length is held against what
 * is left of the file before anything is allocated or skipped.
 *
 * Cost: one record and the entry's headers for each file; the writer remembers the path of every
 * file with content (nameset.h), the reader the path of every lost one.
 */
#include "skeleton.h"

#include "fd.h"
#include "nameset.h"

#include <endian.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

enum { RAW = 1, CONTENT, LOST, END };
enum { RAW_MOST = 64 * 1024, PATH_MOST = 64 * 1024 };

static const char MAGIC[] = "plyfs skeleton 1\n";
enum { MAGIC_SIZE = sizeof(MAGIC) - 1 };

struct head {
    uint32_t kind;
    uint32_t path_size;
    uint64_t size;
};

struct tail {
    uint64_t tar_size;
    uint64_t lost_count;
    uint64_t places_at; /* where the places of the lost begin; each takes 8 bytes */
};

static inline void own_file(FILE **file)
{
    if (*file)
        fclose(*file);
}
#define cleanup_file cleanup(own_file)

/* ---- writing ---- */

struct skeleton_writer {
    FILE *file;
    unsigned char raw[RAW_MOST]; /* gathered */
    size_t raw_size;
    char *path; /* whose content is gathered, or NULL */
    uint64_t content_size;
    uint64_t tar_size;
    struct nameset paths; /* of all content; beside it, how much of each the tar needs */
    uint64_t *needed;
    size_t needed_room;
    uint64_t *places; /* of the lost */
    size_t place_count, place_room;
};

struct skeleton_writer *skeleton_create(int dir, const char *name, int *err)
{
    cleanup_skeleton_writer struct skeleton_writer *writer = calloc(1, sizeof(*writer));
    *err = -ENOMEM;
    if (!writer)
        return NULL;
    cleanup_fd int fd = fd_open_name(dir, name, O_WRONLY | O_CREAT | O_EXCL, 0644);
    if (fd < 0) {
        *err = fd;
        return NULL;
    }
    writer->file = fdopen(fd, "w");
    if (!writer->file)
        return NULL;
    steal_fd(&fd);
    *err = 0;
    if (fwrite(MAGIC, 1, MAGIC_SIZE, writer->file) != MAGIC_SIZE)
        *err = -errno;
    return *err ? NULL : steal_ptr(&writer);
}

void skeleton_abandon(struct skeleton_writer *writer)
{
    if (!writer)
        return;
    own_file(&writer->file);
    nameset_finish(&writer->paths);
    free(writer->path);
    free(writer->needed);
    free(writer->places);
    free(writer);
}

static int put(struct skeleton_writer *writer, const void *data, size_t size)
{
    return size == 0 || fwrite(data, 1, size, writer->file) == size ? 0 : -errno;
}

static int put_head(struct skeleton_writer *writer, uint32_t kind, const char *path, uint64_t size)
{
    size_t length = strlen(path);
    struct head head = {htole32(kind), htole32((uint32_t)length), htole64(size)};
    int err = put(writer, &head, sizeof(head));
    return err ? err : put(writer, path, length);
}

static int flush_raw(struct skeleton_writer *writer)
{
    if (writer->raw_size == 0)
        return 0;
    int err = put_head(writer, RAW, "", writer->raw_size);
    if (!err)
        err = put(writer, writer->raw, writer->raw_size);
    writer->raw_size = 0;
    return err;
}

/* Remembers that the tar needs so much of a file. */
static int need(struct skeleton_writer *writer, const char *path, uint64_t size)
{
    uint32_t index;
    bool fresh;
    int err = nameset_add(&writer->paths, path, &index, &fresh);
    if (err)
        return err;
    if (index >= writer->needed_room) {
        size_t room = writer->needed_room ? 2 * writer->needed_room : 256;
        uint64_t *more = reallocarray(writer->needed, room, sizeof(*more));
        if (!more)
            return -ENOMEM;
        writer->needed = more;
        writer->needed_room = room;
    }
    writer->needed[index] = size;
    return 0;
}

static int flush_content(struct skeleton_writer *writer)
{
    if (!writer->path)
        return 0;
    cleanup_free char *path = steal_ptr(&writer->path);
    int err = need(writer, path, writer->content_size);
    return err ? err : put_head(writer, CONTENT, path, writer->content_size);
}

int skeleton_add_raw(struct skeleton_writer *writer, const void *data, size_t size)
{
    const unsigned char *at = data;
    int err = flush_content(writer);
    writer->tar_size += size;
    while (!err && size > 0) {
        size_t room = RAW_MOST - writer->raw_size, piece = size < room ? size : room;
        memcpy(writer->raw + writer->raw_size, at, piece);
        writer->raw_size += piece;
        at += piece;
        size -= piece;
        if (writer->raw_size == RAW_MOST)
            err = flush_raw(writer);
    }
    return err;
}

int skeleton_add_content(struct skeleton_writer *writer, const char *path, size_t size)
{
    int err = flush_raw(writer);
    if (!err && writer->path && strcmp(writer->path, path) != 0)
        err = flush_content(writer);
    if (err || size == 0)
        return err;
    if (!writer->path) {
        writer->path = strdup(path);
        writer->content_size = 0;
        if (!writer->path)
            return -ENOMEM;
    }
    writer->content_size += size;
    writer->tar_size += size;
    return 0;
}

/* How much of the file the tar needs; 0: nothing. */
static uint64_t needed_of(const struct skeleton_writer *writer, const char *path)
{
    uint32_t index = nameset_find(&writer->paths, path);
    if (index != NAMESET_NONE)
        return writer->needed[index];
    return 0;
}

bool skeleton_needs(const struct skeleton_writer *writer, const char *path)
{
    return (writer->path && strcmp(writer->path, path) == 0) || needed_of(writer, path) > 0;
}

static int add_place(struct skeleton_writer *writer)
{
    off_t at = ftello(writer->file);
    if (at < 0)
        return -errno;
    if (writer->place_count == writer->place_room) {
        size_t room = writer->place_room ? 2 * writer->place_room : 16;
        uint64_t *more = reallocarray(writer->places, room, sizeof(*more));
        if (!more)
            return -ENOMEM;
        writer->places = more;
        writer->place_room = room;
    }
    writer->places[writer->place_count++] = htole64((uint64_t)at);
    return 0;
}

static int put_file(struct skeleton_writer *writer, int fd, uint64_t size)
{
    for (uint64_t at = 0; at < size;) {
        ssize_t got = pread(fd, writer->raw, sizeof(writer->raw), (off_t)at);
        if (got < 0)
            return -errno;
        if (got == 0)
            return -EIO; /* somebody else cut it */
        size_t piece = (uint64_t)got < size - at ? (size_t)got : (size_t)(size - at);
        int err = put(writer, writer->raw, piece);
        if (err)
            return err;
        at += piece;
    }
    return 0;
}

int skeleton_keep(struct skeleton_writer *writer, const char *path, int fd)
{
    int err = flush_content(writer);
    if (!err)
        err = flush_raw(writer);
    uint64_t size = needed_of(writer, path);
    if (err || size == 0)
        return err;
    err = add_place(writer);
    if (!err)
        err = put_head(writer, LOST, path, size);
    if (!err)
        err = put_file(writer, fd, size);
    return err ? err : need(writer, path, 0);
}

int skeleton_finish(struct skeleton_writer *writer, uint64_t *size)
{
    int err = flush_content(writer);
    if (!err)
        err = flush_raw(writer);
    off_t at = ftello(writer->file);
    struct head head = {.kind = htole32(END)};
    const struct tail tail = {htole64(writer->tar_size), htole64(writer->place_count),
                              htole64((uint64_t)at)};
    if (!err)
        err = put(writer, writer->places, writer->place_count * sizeof(*writer->places));
    if (!err)
        err = put(writer, &head, sizeof(head));
    if (!err)
        err = put(writer, &tail, sizeof(tail));
    if (!err && fflush(writer->file) != 0)
        err = -errno;
    *size = writer->tar_size;
    return err;
}

/* ---- reading ---- */

struct lost {
    char *path;
    uint64_t record, bytes_at, size;
};

struct skeleton_reader {
    FILE *file;
    uint64_t at, end; /* the record to come; behind the last */
    uint64_t size, left;
    struct lost *lost; /* sorted by path, then by record */
    size_t lost_count;
    uint64_t kept_at, kept_left; /* a lost content that is being given */
    char path[PATH_MOST + 1];
    unsigned char raw[RAW_MOST];
};

static int take(struct skeleton_reader *reader, void *data, size_t size)
{
    if (fread(data, 1, size, reader->file) == size)
        return 0;
    return ferror(reader->file) ? -errno : -EBADMSG;
}

/* Reads the head at `at`, and the path behind it into reader->path; *next is what follows. */
static int take_head(struct skeleton_reader *reader, uint64_t at, struct head *head, uint64_t *next)
{
    if (reader->end - at < sizeof(*head))
        return -EBADMSG;
    int err = take(reader, head, sizeof(*head));
    if (err)
        return err;
    head->kind = le32toh(head->kind);
    head->path_size = le32toh(head->path_size);
    head->size = le64toh(head->size);
    *next = at + sizeof(*head);
    if (head->path_size > PATH_MOST || head->path_size > reader->end - *next)
        return -EBADMSG;
    err = take(reader, reader->path, head->path_size);
    reader->path[head->path_size] = 0;
    *next += head->path_size;
    /* Content lies elsewhere; what lies here has to fit. */
    if (!err && head->kind != CONTENT && head->size > reader->end - *next)
        err = -EBADMSG;
    if (!err && strlen(reader->path) != head->path_size)
        err = -EBADMSG;
    return err;
}

static int seek(struct skeleton_reader *reader, uint64_t at)
{
    return fseeko(reader->file, (off_t)at, SEEK_SET) < 0 ? -errno : 0;
}

static int by_path(const struct lost *a, const struct lost *b)
{
    int order = strcmp(a->path, b->path);
    return order ? order : (a->record > b->record) - (a->record < b->record);
}

static int compare_lost(const void *a, const void *b)
{
    return by_path(a, b);
}

static int take_lost(struct skeleton_reader *reader, uint64_t record)
{
    struct head head;
    struct lost *lost = &reader->lost[reader->lost_count];
    if (record < MAGIC_SIZE || record >= reader->end)
        return -EBADMSG;
    int err = seek(reader, record);
    if (!err)
        err = take_head(reader, record, &head, &lost->bytes_at);
    if (err || head.kind != LOST)
        return err ? err : -EBADMSG;
    lost->path = strdup(reader->path);
    if (!lost->path)
        return -ENOMEM;
    lost->record = record;
    lost->size = head.size;
    reader->lost_count++;
    return 0;
}

static int take_places(struct skeleton_reader *reader, uint64_t count)
{
    cleanup_free uint64_t *places = calloc(count, sizeof(*places));
    reader->lost = calloc(count, sizeof(*reader->lost));
    if (!places || !reader->lost)
        return -ENOMEM;
    int err = seek(reader, reader->end);
    if (!err)
        err = take(reader, places, count * sizeof(*places));
    for (uint64_t i = 0; !err && i < count; i++)
        err = take_lost(reader, le64toh(places[i]));
    qsort(reader->lost, reader->lost_count, sizeof(*reader->lost), compare_lost);
    return err;
}

/* Reads the end, which says where everything is. */
static int take_tail(struct skeleton_reader *reader)
{
    struct head head;
    struct tail tail;
    const uint64_t tail_size = sizeof(head) + sizeof(tail);
    struct stat st;
    if (fstat(fileno(reader->file), &st) < 0)
        return -errno;
    if ((uint64_t)st.st_size < MAGIC_SIZE + tail_size)
        return -EBADMSG;
    uint64_t tail_at = (uint64_t)st.st_size - tail_size;
    int err = seek(reader, tail_at);
    if (!err)
        err = take(reader, &head, sizeof(head));
    if (!err)
        err = take(reader, &tail, sizeof(tail));
    if (err)
        return err;
    uint64_t count = le64toh(tail.lost_count);
    reader->end = le64toh(tail.places_at);
    reader->size = reader->left = le64toh(tail.tar_size);
    if (le32toh(head.kind) != END || reader->end < MAGIC_SIZE || reader->end > tail_at ||
        count != (tail_at - reader->end) / sizeof(uint64_t) ||
        (tail_at - reader->end) % sizeof(uint64_t) != 0)
        return -EBADMSG;
    return count ? take_places(reader, count) : 0;
}

static int take_start(struct skeleton_reader *reader)
{
    char magic[MAGIC_SIZE];
    int err = take(reader, magic, sizeof(magic));
    if (!err && memcmp(magic, MAGIC, MAGIC_SIZE) != 0)
        err = -EBADMSG;
    if (!err)
        err = take_tail(reader);
    reader->at = MAGIC_SIZE;
    return err ? err : seek(reader, reader->at);
}

struct skeleton_reader *skeleton_open(int dir, const char *name, int *err)
{
    cleanup_skeleton_reader struct skeleton_reader *reader = calloc(1, sizeof(*reader));
    *err = -ENOMEM;
    if (!reader)
        return NULL;
    cleanup_fd int fd = fd_open_name(dir, name, O_RDONLY, 0);
    if (fd < 0) {
        *err = fd;
        return NULL;
    }
    reader->file = fdopen(fd, "r");
    if (!reader->file)
        return NULL;
    steal_fd(&fd);
    *err = take_start(reader);
    return *err ? NULL : steal_ptr(&reader);
}

void skeleton_close(struct skeleton_reader *reader)
{
    if (!reader)
        return;
    own_file(&reader->file);
    for (size_t i = 0; i < reader->lost_count; i++)
        free(reader->lost[i].path);
    free(reader->lost);
    free(reader);
}

uint64_t skeleton_size(const struct skeleton_reader *reader)
{
    return reader->size;
}

/* What the content record at `record` of the file `path` means if it was lost later, or NULL: the
 * first loss of the path behind it. */
static const struct lost *lost_later(const struct skeleton_reader *reader, uint64_t record)
{
    const struct lost wanted = {.path = (char *)(uintptr_t)reader->path, .record = record};
    size_t low = 0, high = reader->lost_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (by_path(&reader->lost[middle], &wanted) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    bool found = low < reader->lost_count && strcmp(reader->lost[low].path, reader->path) == 0;
    return found ? &reader->lost[low] : NULL;
}

/* The next bytes of a content that was kept here. */
static int give_kept(struct skeleton_reader *reader, struct skeleton_part *part)
{
    uint64_t most = sizeof(reader->raw);
    size_t piece = (size_t)(reader->kept_left < most ? reader->kept_left : most);
    ssize_t got = pread(fileno(reader->file), reader->raw, piece, (off_t)reader->kept_at);
    if (got <= 0)
        return got < 0 ? -errno : -EBADMSG;
    *part = (struct skeleton_part){.data = reader->raw, .size = (uint64_t)got};
    reader->kept_at += (uint64_t)got;
    reader->kept_left -= (uint64_t)got;
    return 1;
}

static int give_raw(struct skeleton_reader *reader, uint64_t size, struct skeleton_part *part)
{
    if (size == 0 || size > RAW_MOST)
        return -EBADMSG;
    int err = take(reader, reader->raw, (size_t)size);
    *part = (struct skeleton_part){.data = reader->raw, .size = size};
    reader->at += size;
    return err ? err : 1;
}

static int give_content(struct skeleton_reader *reader, uint64_t record, uint64_t size,
                        struct skeleton_part *part)
{
    const struct lost *lost = lost_later(reader, record);
    if (size == 0 || (lost && lost->size != size))
        return -EBADMSG;
    if (lost) {
        reader->kept_at = lost->bytes_at;
        reader->kept_left = size;
        return give_kept(reader, part);
    }
    *part = (struct skeleton_part){.path = reader->path, .size = size};
    return 1;
}

/* The next record: 1 with a part, 2 where it gives none. */
static int give_record(struct skeleton_reader *reader, struct skeleton_part *part)
{
    struct head head;
    uint64_t record = reader->at;
    int err = take_head(reader, record, &head, &reader->at);
    if (err)
        return err;
    switch (head.kind) {
    case RAW:
        return give_raw(reader, head.size, part);
    case CONTENT:
        return give_content(reader, record, head.size, part);
    case LOST:
        reader->at += head.size;
        err = seek(reader, reader->at);
        return err ? err : 2;
    default:
        return -EBADMSG;
    }
}

int skeleton_next(struct skeleton_reader *reader, struct skeleton_part *part)
{
    int got = 2;
    if (reader->kept_left > 0)
        got = give_kept(reader, part);
    while (got == 2 && reader->at < reader->end)
        got = give_record(reader, part);
    if (got == 2)
        return reader->left == 0 ? 0 : -EBADMSG;
    if (got == 1 && part->size > reader->left)
        return -EBADMSG;
    if (got == 1)
        reader->left -= part->size;
    return got;
}
