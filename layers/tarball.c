/* SPDX-License-Identifier: MIT
 *
 * Duty: the one door to libarchive.
 *
 * Reading is done by two threads. The inflow's own thread reads the descriptor, decompresses and
 * sums; its chunks go through a bounded queue (chunks.h) to the caller's thread, in which
 * libarchive takes the tar apart. What libarchive was given stays in the list of held chunks until
 * it has been told to the tap, or was handed out as content:
 *
 *   fd -> inflow_read -> libarchive (raw) -> inflow_pump -> chunks -> reader_feed -> libarchive
 * (tar)
 *
 * Invariants: `told` never goes back; every byte before it was told to the tap or handed out as
 * content; a held chunk ends behind `told`. Names are bytes: libarchive would bring UTF-8 into its
 * normal form, and so change names, in any locale that has UTF-8. So both ways it works in "C":
 * there it gives the bytes and a warning, and marks what it writes as "hdrcharset=BINARY" where a
 * name is more than ASCII.
 *
 * Memory: CHUNKS_MOST chunks and what libarchive looks ahead, some MiB at most.
 */
#include "tarball.h"

#include "chunks.h"
#include "digest.h"
#include "fd.h"
#include "gunzip.h"

#include <archive.h>
#include <archive_entry.h>
#include <locale.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>

enum { CHUNKS_MOST = 16, WORDS_SIZE = 256, BLOCK_SIZE = 64 * 1024 };

static inline void own_archive_read(struct archive **archive)
{
    archive_read_free(*archive);
}
#define cleanup_archive_read cleanup(own_archive_read)

static locale_t locale_of_bytes(void)
{
    return newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

/* The one warning that means nothing is that of a name with bytes beyond ASCII. */
static bool is_fine(struct archive *tar, int answer)
{
    return answer == ARCHIVE_OK || (answer == ARCHIVE_WARN && archive_errno(tar) == EILSEQ);
}

/* ---- the inflow: descriptor to uncompressed chunks ---- */

struct inflow {
    int fd;   /* borrowed */
    int wake; /* an eventfd: readable when the thread is to end */
    void (*seen)(void *context, uint64_t bytes);
    void *context;
    struct chunks *out;
    struct digest *blob, *plain;
    struct gunzip *gunzip; /* NULL: it is no gzip */
    /* The thread's until it has ended the queue, the reader's from then on: */
    int read_err; /* of inflow_read(), which libarchive passes on only as a failure */
    char words[WORDS_SIZE];
    struct tar_sums sums;
    const unsigned char *at; /* what of `bytes` nobody has had */
    size_t left;
    unsigned char bytes[CHUNK_SIZE];
    unsigned char inflated[CHUNK_SIZE];
};

/* Until the descriptor has something to say. A file always has. */
static int inflow_wait(const struct inflow *in)
{
    struct pollfd polls[2] = {{.fd = in->fd, .events = POLLIN}, {.fd = in->wake, .events = POLLIN}};
    while (poll(polls, 2, -1) < 0) {
        if (errno != EINTR)
            return -errno;
    }
    return polls[1].revents ? -ECANCELED : 0;
}

static ssize_t inflow_fill(struct inflow *in, size_t from)
{
    for (;;) {
        int err = inflow_wait(in);
        if (err)
            return err;
        ssize_t got = read(in->fd, in->bytes + from, sizeof(in->bytes) - from);
        if (got >= 0)
            return got;
        if (errno != EINTR && errno != EAGAIN)
            return -errno;
    }
}

/* Fills `bytes`, so that at least `least` are there unless the stream ends, and counts them. */
static int inflow_take(struct inflow *in, size_t least)
{
    ssize_t got;
    in->at = in->bytes;
    in->left = 0;
    do {
        got = inflow_fill(in, in->left);
        if (got < 0)
            return (int)got;
        in->left += (size_t)got;
    } while (got > 0 && in->left < least);
    digest_add(in->blob, in->bytes, in->left);
    in->sums.blob_size += in->left;
    if (in->seen)
        in->seen(in->context, in->sums.blob_size);
    return 0;
}

/* What the gzip members hold: how many bytes are in `inflated`, 0 at the end. */
static ssize_t inflow_inflate(struct inflow *in)
{
    for (;;) {
        ssize_t made =
            gunzip_run(in->gunzip, &in->at, &in->left, in->inflated, sizeof(in->inflated));
        if (made != 0)
            return made;
        int err = inflow_take(in, 1);
        if (err || in->left == 0)
            return err ? err : gunzip_end(in->gunzip);
    }
}

/* The stream as libarchive gets it: *data and how long it is, 0 at the end. */
static ssize_t inflow_give(struct inflow *in, const void **data)
{
    if (in->gunzip) {
        *data = in->inflated;
        return inflow_inflate(in);
    }
    int err = in->left > 0 ? 0 : inflow_take(in, 1);
    size_t given = in->left;
    *data = in->at;
    in->left = 0;
    return err ? err : (ssize_t)given;
}

/* What libarchive calls for bytes. */
static la_ssize_t inflow_read(struct archive *archive, void *context, const void **data)
{
    struct inflow *in = context;
    ssize_t got = inflow_give(in, data);
    if (got >= 0)
        return got;
    const char *words = in->gunzip ? gunzip_words(in->gunzip) : NULL;
    in->read_err = (int)got;
    archive_set_error(archive, -in->read_err, "%s", words ? words : strerror(-in->read_err));
    return ARCHIVE_FATAL;
}

static int inflow_broken(struct inflow *in, struct archive *archive)
{
    const char *what = archive_error_string(archive);
    snprintf(in->words, sizeof(in->words), "%s", what ? what : "broken compressed data");
    if (in->read_err)
        return in->read_err;
    return archive_errno(archive) == ENOMEM ? -ENOMEM : -EBADMSG;
}

/* How often it is compressed. */
static int inflow_layers(const struct inflow *in, struct archive *archive)
{
    return archive_filter_count(archive) - 1 + (in->gunzip != NULL);
}

/* Looks whether it is gzip, the one compression that libarchive does not check to the end. */
static int inflow_begin(struct inflow *in)
{
    int err = inflow_take(in, GUNZIP_MAGIC);
    if (err || !gunzip_is_gzip(in->at, in->left))
        return err;
    in->gunzip = gunzip_create();
    return in->gunzip ? 0 : -ENOMEM;
}

/* 1, 0 when there is nothing at all. */
static int inflow_open(struct inflow *in, struct archive *archive)
{
    struct archive_entry *whole;
    int err = inflow_begin(in);
    if (err)
        return err;
    archive_read_support_filter_gzip(archive); /* to tell what is compressed twice */
    archive_read_support_filter_zstd(archive);
    archive_read_support_filter_xz(archive);
    archive_read_support_filter_bzip2(archive);
    archive_read_support_format_raw(archive);
    archive_read_support_format_empty(archive); /* which raw does not take */
    if (archive_read_open(archive, in, NULL, inflow_read, NULL) != ARCHIVE_OK)
        return inflow_broken(in, archive);
    if (inflow_layers(in, archive) > 1) {
        snprintf(in->words, sizeof(in->words), "it is compressed more than once");
        return -EBADMSG;
    }
    int got = archive_read_next_header(archive, &whole);
    if (got == ARCHIVE_EOF)
        return 0;
    return got == ARCHIVE_OK ? 1 : inflow_broken(in, archive);
}

/* Fills one chunk and puts it into the queue: 1, 0 at the end. */
static int inflow_pump_one(struct inflow *in, struct archive *archive)
{
    cleanup_free struct chunk *chunk = malloc(sizeof(*chunk));
    if (!chunk)
        return -ENOMEM;
    la_ssize_t got = archive_read_data(archive, chunk->data, sizeof(chunk->data));
    if (got < 0)
        return inflow_broken(in, archive);
    if (got == 0)
        return 0;
    if (inflow_layers(in, archive) > 0)
        digest_add(in->plain, chunk->data, (size_t)got);
    chunk->at = in->sums.tar_size;
    chunk->size = (size_t)got;
    in->sums.tar_size += (uint64_t)got;
    int err = chunks_put(in->out, chunk);
    if (err)
        return err;
    chunk = NULL;
    return 1;
}

/* Everything up to the end of the descriptor counts for its sum, also what stands behind the
 * compressed data. */
static int inflow_drain(struct inflow *in, struct archive *archive)
{
    const void *data;
    la_ssize_t got;
    do {
        got = inflow_read(archive, in, &data);
    } while (got > 0);
    return got < 0 ? inflow_broken(in, archive) : 0;
}

static int inflow_pump(struct inflow *in, struct archive *archive)
{
    int more = inflow_open(in, archive);
    while (more > 0)
        more = inflow_pump_one(in, archive);
    return more < 0 ? more : inflow_drain(in, archive);
}

static void *inflow_run(void *context)
{
    struct inflow *in = context;
    cleanup_archive_read struct archive *archive = archive_read_new();
    int err = archive ? inflow_pump(in, archive) : -ENOMEM;
    if (!err) {
        digest_finish(in->blob, in->sums.blob);
        if (inflow_layers(in, archive) > 0)
            digest_finish(in->plain, in->sums.diff_id);
        else
            memcpy(in->sums.diff_id, in->sums.blob, sizeof(in->sums.diff_id));
    }
    chunks_end(in->out, err);
    return NULL;
}

/* ---- the reader ---- */

struct tar_reader {
    struct inflow in;
    pthread_t thread;
    bool running;
    struct archive *tar;
    locale_t bytes; /* in which names are bytes */
    struct tar_xattr *xattrs;
    size_t xattr_room;
    char *names; /* those of them that had to be decoded */
    enum { READER_NEW, READER_ENTRY, READER_END } state;
    bool sparse; /* the entry at hand is */
    bool ended;  /* by its mark */
    /* The tap. */
    int (*raw)(void *context, const void *data, size_t size);
    void *raw_context;
    int raw_err;
    struct chunk *held, **held_last;
    uint64_t told;
    size_t handed; /* bytes from `told` on that the caller has as content */
    int feed_err;  /* what ended the inflow */
    char words[WORDS_SIZE];
};

static int reader_start(struct tar_reader *reader)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the caller's */
    int err = pthread_create(&reader->thread, NULL, inflow_run, &reader->in);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    reader->running = err == 0;
    return -err;
}

/* Without threads yet. */
static struct tar_reader *reader_create(void)
{
    cleanup_tar_reader struct tar_reader *reader = calloc(1, sizeof(*reader));
    if (!reader)
        return NULL;
    struct inflow *in = &reader->in;
    in->wake = eventfd(0, EFD_CLOEXEC);
    in->out = chunks_create(CHUNKS_MOST);
    in->blob = digest_create();
    in->plain = digest_create();
    reader->held_last = &reader->held;
    reader->bytes = locale_of_bytes();
    reader->tar = archive_read_new();
    bool whole = in->wake >= 0 && in->out && in->blob && in->plain && reader->bytes && reader->tar;
    return whole ? steal_ptr(&reader) : NULL;
}

struct tar_reader *tar_reader_open(int fd, void (*seen)(void *context, uint64_t bytes),
                                   void *context, int *err)
{
    cleanup_tar_reader struct tar_reader *reader = reader_create();
    *err = -ENOMEM;
    if (!reader)
        return NULL;
    reader->in.fd = fd;
    reader->in.seen = seen;
    reader->in.context = context;
    *err = reader_start(reader);
    return *err ? NULL : steal_ptr(&reader);
}

static void reader_stop(struct tar_reader *reader)
{
    if (!reader->running)
        return;
    chunks_stop(reader->in.out);
    eventfd_write(reader->in.wake, 1);
    pthread_join(reader->thread, NULL);
    reader->running = false;
}

void tar_reader_close(struct tar_reader *reader)
{
    if (!reader)
        return;
    reader_stop(reader);
    archive_read_free(reader->tar);
    while (reader->held) {
        struct chunk *gone = reader->held;
        reader->held = gone->next;
        free(gone);
    }
    if (reader->bytes)
        freelocale(reader->bytes);
    chunks_destroy(reader->in.out);
    digest_destroy(reader->in.blob);
    digest_destroy(reader->in.plain);
    gunzip_destroy(reader->in.gunzip);
    own_close(&reader->in.wake);
    free(reader->xattrs);
    free(reader->names);
    free(reader);
}

void tar_reader_tap(struct tar_reader *reader,
                    int (*raw)(void *context, const void *data, size_t size), void *context)
{
    reader->raw = raw;
    reader->raw_context = context;
}

const char *tar_reader_words(const struct tar_reader *reader)
{
    return reader->words;
}

static int reader_broken(struct tar_reader *reader, const char *words)
{
    snprintf(reader->words, sizeof(reader->words), "%s", words ? words : "it is no tar");
    return -EBADMSG;
}

/* What went wrong when libarchive failed: the inflow's error, memory, or the archive. */
static int reader_failed(struct tar_reader *reader)
{
    const char *inflow_words = reader->in.words;
    if (reader->feed_err) {
        (void)reader_broken(reader, *inflow_words ? inflow_words : strerror(-reader->feed_err));
        return reader->feed_err;
    }
    int err = reader_broken(reader, archive_error_string(reader->tar));
    return archive_errno(reader->tar) == ENOMEM ? -ENOMEM : err;
}

/* ---- chunks to libarchive and to the tap ---- */

static void reader_hold(struct tar_reader *reader, struct chunk *chunk)
{
    chunk->next = NULL;
    *reader->held_last = chunk;
    reader->held_last = &chunk->next;
}

static void reader_let_go(struct tar_reader *reader)
{
    struct chunk *gone = reader->held;
    reader->held = gone->next;
    if (!reader->held)
        reader->held_last = &reader->held;
    free(gone);
}

/* Tells the tap what of the chunk lies between what was told and `end`. */
static void reader_tell_of(struct tar_reader *reader, const struct chunk *chunk, uint64_t end)
{
    uint64_t upto = end < chunk->at + chunk->size ? end : chunk->at + chunk->size;
    if (upto <= reader->told)
        return;
    const unsigned char *from = chunk->data + (reader->told - chunk->at);
    if (reader->raw && !reader->raw_err)
        reader->raw_err = reader->raw(reader->raw_context, from, upto - reader->told);
    reader->told = upto;
}

/* Tells everything before `end`, and lets go of the chunks that lie wholly before it. */
static void reader_tell(struct tar_reader *reader, uint64_t end)
{
    while (reader->held) {
        reader_tell_of(reader, reader->held, end);
        if (reader->held->at + reader->held->size > reader->told)
            return;
        reader_let_go(reader);
    }
}

/* How far libarchive has come in the tar. What it looked ahead does not count, nor does the content
 * that it gave last. */
static uint64_t reader_position(const struct tar_reader *reader)
{
    return (uint64_t)archive_filter_bytes(reader->tar, 0);
}

/* What libarchive calls for bytes of the tar. What it still needs of the chunk before, it has
 * copied by then. */
static la_ssize_t reader_feed(struct archive *tar, void *context, const void **data)
{
    struct tar_reader *reader = context;
    struct chunk *chunk;
    reader_tell(reader, (uint64_t)archive_filter_bytes(tar, 0));
    int got = chunks_take(reader->in.out, &chunk);
    if (got < 0) {
        reader->feed_err = got;
        archive_set_error(tar, -got, "%s", strerror(-got));
        return ARCHIVE_FATAL;
    }
    if (got == 0)
        return 0;
    reader_hold(reader, chunk);
    *data = chunk->data;
    return (la_ssize_t)chunk->size;
}

/* ---- entries ---- */

static int hex_value(char digit)
{
    static const char digits[] = "0123456789abcdefABCDEF";
    const char *at = digit ? strchr(digits, digit) : NULL;
    return !at ? -1 : (int)(at - digits) - (at - digits > 15 ? 6 : 0);
}

/* Writes the name with each %XX as the byte that it stands for, and returns the place behind it. */
static char *decode(const char *name, char *to)
{
    while (*name) {
        const int high = *name == '%' ? hex_value(name[1]) : -1;
        const int low = high >= 0 ? hex_value(name[2]) : -1;
        const bool is_code = low >= 0 && (high || low);
        *to++ = is_code ? (char)(high << 4 | low) : *name;
        name += is_code ? 3 : 1;
    }
    *to++ = 0;
    return to;
}

/* PAX has no place for a "=" in a name: it is written as %3D, and a "%" as %25, by GNU tar, and
 * other bytes alike by tar_writer_add(). */
static int reader_decode_names(struct tar_reader *reader, size_t count)
{
    size_t room = 0;
    for (size_t i = 0; i < count; i++)
        room += strchr(reader->xattrs[i].name, '%') ? strlen(reader->xattrs[i].name) + 1 : 0;
    if (room == 0)
        return 0;
    char *to = realloc(reader->names, room);
    if (!to)
        return -ENOMEM;
    reader->names = to;
    for (size_t i = 0; i < count; i++) {
        struct tar_xattr *xattr = &reader->xattrs[i];
        if (!strchr(xattr->name, '%'))
            continue;
        char *decoded = to;
        to = decode(xattr->name, to);
        xattr->name = decoded;
    }
    return 0;
}

static int reader_xattrs(struct tar_reader *reader, struct archive_entry *from,
                         struct tar_entry *entry)
{
    size_t count = (size_t)archive_entry_xattr_reset(from);
    if (count > reader->xattr_room) {
        struct tar_xattr *more = reallocarray(reader->xattrs, count, sizeof(*more));
        if (!more)
            return -ENOMEM;
        reader->xattrs = more;
        reader->xattr_room = count;
    }
    /* Last come, first served. */
    for (size_t i = count; i-- > 0;) {
        struct tar_xattr *xattr = &reader->xattrs[i];
        archive_entry_xattr_next(from, &xattr->name, &xattr->value, &xattr->size);
    }
    entry->xattrs = reader->xattrs;
    entry->xattr_count = count;
    return reader_decode_names(reader, count);
}

/* (uid_t)-1 means "leave it" to chown(2). */
static bool is_owner(int64_t id)
{
    return id >= 0 && id < UINT32_MAX;
}

static int reader_take(struct tar_reader *reader, struct archive_entry *from,
                       struct tar_entry *entry)
{
    mode_t type = archive_entry_filetype(from);
    *entry = (struct tar_entry){
        .path = archive_entry_pathname(from),
        .target = archive_entry_symlink(from),
        .link = archive_entry_hardlink(from),
        .mode = (type ? type : S_IFREG) | (archive_entry_perm(from) & 07777),
        .uid = (uid_t)archive_entry_uid(from),
        .gid = (gid_t)archive_entry_gid(from),
        .rdev = archive_entry_rdev(from),
        .size = archive_entry_size(from),
        .sparse = archive_entry_sparse_count(from) > 0,
        .mtime = {archive_entry_mtime(from), archive_entry_mtime_nsec(from)},
    };
    reader->sparse = entry->sparse;
    if (!entry->path)
        return reader_broken(reader, "an entry without a name");
    if (!is_owner(archive_entry_uid(from)) || !is_owner(archive_entry_gid(from)))
        return reader_broken(reader, "an owner that is out of range");
    if (entry->size < 0)
        return reader_broken(reader, "a size that is out of range");
    return reader_xattrs(reader, from, entry);
}

static int reader_open_tar(struct tar_reader *reader)
{
    reader->state = READER_END; /* in case it fails */
    archive_read_support_format_tar(reader->tar);
    archive_read_support_format_empty(reader->tar);
    int opened = archive_read_open(reader->tar, reader, NULL, reader_feed, NULL);
    return opened == ARCHIVE_OK ? 0 : reader_failed(reader);
}

static int reader_header(struct tar_reader *reader, struct tar_entry *entry)
{
    struct archive_entry *from;
    int err = reader->state == READER_NEW ? reader_open_tar(reader) : 0;
    if (err)
        return err;
    reader->state = READER_END;
    int got = archive_read_next_header(reader->tar, &from);
    reader_tell(reader, reader_position(reader));
    if (got == ARCHIVE_EOF) {
        /* An end mark is consumed; without one nothing is. */
        reader->ended =
            (int64_t)reader_position(reader) > archive_read_header_position(reader->tar);
        return 0;
    }
    if (!is_fine(reader->tar, got))
        return reader_failed(reader);
    err = reader_take(reader, from, entry);
    if (err)
        return err;
    reader->state = READER_ENTRY;
    return 1;
}

/* What was handed out needs not be told. */
static void reader_pass(struct tar_reader *reader)
{
    reader->told += reader->handed;
    reader->handed = 0;
}

int tar_reader_data(struct tar_reader *reader, const void **data, size_t *size, off_t *offset)
{
    la_int64_t at;
    reader_pass(reader);
    int got = archive_read_data_block(reader->tar, data, size, &at);
    reader_tell(reader, reader_position(reader));
    if (reader->raw_err)
        return reader->raw_err;
    if (got == ARCHIVE_EOF)
        return 0;
    if (got != ARCHIVE_OK)
        return reader_failed(reader);
    if (!reader->sparse)
        reader->handed = *size;
    *offset = at;
    return 1;
}

/* What nobody asked for is raw. Left to libarchive, it would all be held until the next header. */
static int reader_skip(struct tar_reader *reader)
{
    const void *data;
    size_t size;
    off_t offset;
    int more;
    reader_pass(reader);
    reader->sparse = true;
    do {
        more = tar_reader_data(reader, &data, &size, &offset);
    } while (more > 0);
    return more;
}

int tar_reader_next(struct tar_reader *reader, struct tar_entry *entry)
{
    int err = reader->state == READER_ENTRY ? reader_skip(reader) : 0;
    if (err || reader->state == READER_END)
        return err;
    locale_t before = uselocale(reader->bytes);
    int got = reader_header(reader, entry);
    uselocale(before);
    return reader->raw_err ? reader->raw_err : got;
}

int tar_reader_finish(struct tar_reader *reader, struct tar_sums *sums)
{
    struct chunk *chunk;
    int more = 0;
    reader_pass(reader);
    reader_tell(reader, UINT64_MAX);
    while (!reader->raw_err && (more = chunks_take(reader->in.out, &chunk)) > 0) {
        reader_hold(reader, chunk);
        reader_tell(reader, UINT64_MAX);
    }
    if (reader->raw_err)
        return reader->raw_err;
    reader->feed_err = more;
    if (more < 0)
        return reader_failed(reader);
    *sums = reader->in.sums;
    sums->ended = reader->ended;
    return 0;
}

/* ---- the writer ---- */

struct tar_writer {
    int fd; /* borrowed; -1: nowhere */
    struct archive *tar;
    struct archive *filter; /* NULL: plain */
    struct archive_entry *entry;
    locale_t bytes; /* in which names are bytes */
    struct digest *plain, *blob;
    uint64_t tar_size, blob_size;
    off_t left;      /* content that the entry at hand still wants */
    bool raw;        /* the tar comes ready made */
    int err;         /* of the descriptor */
    const char *own; /* borrowed; or NULL */
};

void tar_writer_own(struct tar_writer *writer, const char *name)
{
    writer->own = name;
}

bool tar_writer_is_own(const struct tar_writer *writer, const char *name)
{
    return writer->own && strcmp(name, writer->own) == 0;
}

/* Bytes as they go out. */
static void writer_put(struct tar_writer *writer, const void *data, size_t size)
{
    if (writer->err)
        return;
    if (writer->filter)
        digest_add(writer->blob, data, size);
    writer->blob_size += size;
    if (writer->fd >= 0)
        writer->err = fd_write_all(writer->fd, data, size);
}

/* What libarchive calls with compressed bytes. It is not told of errors: it would then never free
 * what its compressors hold. */
static la_ssize_t writer_drain(struct archive *filter, void *context, const void *data, size_t size)
{
    (void)filter;
    writer_put(context, data, size);
    return (la_ssize_t)size;
}

/* Bytes of the tar, before the filter. */
static void writer_put_tar(struct tar_writer *writer, const void *data, size_t size)
{
    if (writer->err)
        return;
    digest_add(writer->plain, data, size);
    writer->tar_size += size;
    if (!writer->filter)
        writer_put(writer, data, size);
    else if (archive_write_data(writer->filter, data, size) != (la_ssize_t)size && !writer->err)
        writer->err = -EIO;
}

/* What libarchive calls with bytes of the tar. */
static la_ssize_t writer_take(struct archive *tar, void *context, const void *data, size_t size)
{
    (void)tar;
    writer_put_tar(context, data, size);
    return (la_ssize_t)size;
}

/* Nothing in the output may depend on when, where and by whom it was made. */
static bool writer_open_tar(struct tar_writer *writer)
{
    struct archive *tar = writer->tar = archive_write_new();
    writer->entry = archive_entry_new();
    return tar && writer->entry && archive_write_set_format_pax(tar) == ARCHIVE_OK &&
           archive_write_set_format_option(tar, "pax", "xattrheader", "SCHILY") == ARCHIVE_OK &&
           archive_write_set_bytes_per_block(tar, BLOCK_SIZE) == ARCHIVE_OK &&
           archive_write_set_bytes_in_last_block(tar, 1) == ARCHIVE_OK &&
           archive_write_open(tar, writer, NULL, writer_take, NULL) == ARCHIVE_OK;
}

static int writer_add_filter(struct archive *filter, enum tar_filter kind)
{
    if (kind == TAR_ZSTD)
        return archive_write_add_filter_zstd(filter);
    int added = archive_write_add_filter_gzip(filter);
    return added == ARCHIVE_OK ? archive_write_set_filter_option(filter, "gzip", "timestamp", NULL)
                               : added;
}

static bool writer_open_filter(struct tar_writer *writer, enum tar_filter kind)
{
    if (kind == TAR_PLAIN)
        return true;
    struct archive *filter = writer->filter = archive_write_new();
    if (!filter || writer_add_filter(filter, kind) != ARCHIVE_OK ||
        archive_write_set_format_raw(filter) != ARCHIVE_OK ||
        archive_write_set_bytes_per_block(filter, BLOCK_SIZE) != ARCHIVE_OK ||
        archive_write_set_bytes_in_last_block(filter, 1) != ARCHIVE_OK ||
        archive_write_open(filter, writer, NULL, writer_drain, NULL) != ARCHIVE_OK)
        return false;
    archive_entry_set_filetype(writer->entry, AE_IFREG);
    return archive_write_header(filter, writer->entry) == ARCHIVE_OK;
}

const char *const TAR_FILTER_WORDS[] = {
    [TAR_PLAIN] = "none", [TAR_GZIP] = "gzip", [TAR_ZSTD] = "zstd", NULL};

struct tar_writer *tar_writer_open(int fd, enum tar_filter filter)
{
    cleanup_tar_writer struct tar_writer *writer = calloc(1, sizeof(*writer));
    if (!writer)
        return NULL;
    writer->fd = fd;
    writer->bytes = locale_of_bytes();
    writer->plain = digest_create();
    writer->blob = digest_create();
    bool whole = writer->bytes && writer->plain && writer->blob && writer_open_tar(writer) &&
                 writer_open_filter(writer, filter);
    return whole ? steal_ptr(&writer) : NULL;
}

void tar_writer_close(struct tar_writer *writer)
{
    if (!writer)
        return;
    /* What is freed before its end is ended, and what that gives is not for the descriptor. */
    writer->err = -ECANCELED;
    archive_write_free(writer->tar);
    archive_write_free(writer->filter);
    archive_entry_free(writer->entry);
    if (writer->bytes)
        freelocale(writer->bytes);
    digest_destroy(writer->plain);
    digest_destroy(writer->blob);
    free(writer);
}

/* What an answer of libarchive comes to. */
static int writer_answer(const struct tar_writer *writer, int answer)
{
    if (writer->err || is_fine(writer->tar, answer))
        return writer->err;
    if (archive_errno(writer->tar) == ENOMEM)
        return -ENOMEM;
    return answer == ARCHIVE_FAILED ? -EOPNOTSUPP : -EIO;
}

/* libarchive writes attributes in the reverse of the order in which it got them. */
static void writer_add_xattrs(struct archive_entry *to, const struct tar_entry *entry)
{
    for (size_t i = entry->xattr_count; i-- > 0;) {
        const struct tar_xattr *xattr = &entry->xattrs[i];
        archive_entry_xattr_add_entry(to, xattr->name, xattr->value, xattr->size);
    }
}

static void writer_describe(struct archive_entry *to, const struct tar_entry *entry, off_t size)
{
    archive_entry_copy_pathname(to, entry->path);
    archive_entry_set_mode(to, entry->mode);
    archive_entry_set_uid(to, entry->uid);
    archive_entry_set_gid(to, entry->gid);
    archive_entry_set_size(to, size);
    archive_entry_set_mtime(to, entry->mtime.tv_sec, entry->mtime.tv_nsec);
    if (S_ISCHR(entry->mode) || S_ISBLK(entry->mode))
        archive_entry_set_rdev(to, entry->rdev);
    if (entry->link)
        archive_entry_copy_hardlink(to, entry->link);
    else if (S_ISLNK(entry->mode))
        archive_entry_copy_symlink(to, entry->target);
    writer_add_xattrs(to, entry);
}

int tar_writer_add(struct tar_writer *writer, const struct tar_entry *entry)
{
    off_t size = S_ISREG(entry->mode) && !entry->link ? entry->size : 0;
    if (writer->left > 0)
        return -EINVAL;
    locale_t before = uselocale(writer->bytes);
    writer_describe(archive_entry_clear(writer->entry), entry, size);
    int err = writer_answer(writer, archive_write_header(writer->tar, writer->entry));
    uselocale(before);
    writer->left = err ? 0 : size;
    return err;
}

int tar_writer_data(struct tar_writer *writer, const void *data, size_t size)
{
    if ((off_t)size > writer->left)
        return -EINVAL;
    if (archive_write_data(writer->tar, data, size) != (la_ssize_t)size)
        return writer_answer(writer, ARCHIVE_FATAL);
    writer->left -= (off_t)size;
    return writer->err;
}

int tar_writer_raw(struct tar_writer *writer, const void *data, size_t size)
{
    writer->raw = true;
    writer_put_tar(writer, data, size);
    return writer->err;
}

static int writer_end(struct tar_writer *writer)
{
    if (writer->left > 0)
        return -EINVAL;
    int err = writer->raw ? 0 : writer_answer(writer, archive_write_close(writer->tar));
    if (!err && writer->filter && archive_write_close(writer->filter) != ARCHIVE_OK)
        err = -EIO;
    return err ? err : writer->err;
}

int tar_writer_finish(struct tar_writer *writer, struct tar_sums *sums)
{
    struct tar_sums found = {.ended = true};
    int err = writer_end(writer);
    if (err)
        return err;
    found.tar_size = writer->tar_size;
    found.blob_size = writer->blob_size;
    digest_finish(writer->plain, found.diff_id);
    if (writer->filter)
        digest_finish(writer->blob, found.blob);
    else
        memcpy(found.blob, found.diff_id, sizeof(found.blob));
    if (sums)
        *sums = found;
    return 0;
}
