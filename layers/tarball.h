/* SPDX-License-Identifier: MIT
 *
 * Tar archives, entry by entry: the one door to libarchive. Reading takes plain, gzip, zstd, xz and
 * bzip2; writing gives PAX (OCI image-spec, "Image Layer Filesystem Changeset"). Nothing here
 * touches the filesystem: what a name means is decided by unpack.h.
 */
#ifndef PLYFS_TARBALL_H
#define PLYFS_TARBALL_H

#include "own.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <time.h>

struct tar_xattr {
    const char *name;
    const void *value;
    size_t size;
};

/* One entry, as the archive says it; nothing is made safe. Strings and attributes belong to the
 * reader and last until its next entry; written, they are borrowed. */
struct tar_entry {
    const char *path;   /* bytes, in no encoding */
    const char *target; /* of a symlink; or NULL */
    const char *link;   /* of a hard link the path of the other name; or NULL */
    mode_t mode;        /* type and permissions; the type of a hard link is that of a file */
    uid_t uid;
    gid_t gid;
    dev_t rdev;
    off_t size;  /* of the content that follows */
    bool sparse; /* read: the archive leaves its holes out; written: of no account */
    struct timespec mtime;
    const struct tar_xattr *xattrs; /* read: %XX in a name is the byte that it stands for */
    size_t xattr_count;
};

/* ---- reading ---- */

struct tar_reader;

/* What is known of the whole stream when its end has been read, or written. */
struct tar_sums {
    char diff_id[65];  /* sha256 of the uncompressed tar */
    char blob[65];     /* sha256 of the bytes as they came, or went */
    uint64_t tar_size; /* bytes uncompressed */
    uint64_t blob_size;
    /* It has its end mark. Without one it may be cut short between two entries, which nothing but a
     * digest from elsewhere can tell. */
    bool ended;
};

/* Reads from `fd` (a file or a pipe; borrowed), decompressing in a thread of its own. `seen`, when
 * not NULL, is told from that thread how many bytes of fd were read so far. NULL and *err. */
struct tar_reader *tar_reader_open(int fd, void (*seen)(void *context, uint64_t bytes),
                                   void *context, int *err);
/* At any time; does not wait for a pipe that says nothing. */
void tar_reader_close(struct tar_reader *reader);
static inline void own_tar_reader(struct tar_reader **reader)
{
    tar_reader_close(*reader);
}
#define cleanup_tar_reader cleanup(own_tar_reader)

/* The next entry: 1, 0 at the end, -errno (-EBADMSG: not a tar, or broken; tar_reader_words()). */
must_check int tar_reader_next(struct tar_reader *reader, struct tar_entry *entry);

/* The content of the current entry, piece by piece: *data lasts until the next call, `offset` is
 * where it lies in the file (what is between pieces is a hole). 1, 0 at the end, -errno. */
must_check int tar_reader_data(struct tar_reader *reader, const void **data, size_t *size,
                               off_t *offset);

/* Gives `raw`, in order and from the first byte on, all of the uncompressed tar but the content
 * that tar_reader_data() hands out: headers, padding, what nobody asked for, the end. What stands
 * before an entry, or before a piece of content, is given before tar_reader_next() or
 * tar_reader_data() hands that out. The pieces of a sparse file count as raw. An error that it
 * returns is the answer of the call in which it happens. To be set before the first entry is read.
 */
void tar_reader_tap(struct tar_reader *reader,
                    int (*raw)(void *context, const void *data, size_t size), void *context);

/* After the last entry: reads what follows the end of the archive, and gives the sums. */
must_check int tar_reader_finish(struct tar_reader *reader, struct tar_sums *sums);

/* What is wrong, in words, after -EBADMSG. */
const char *tar_reader_words(const struct tar_reader *reader);

/* ---- writing ---- */

struct tar_writer;
enum tar_filter { TAR_PLAIN, TAR_GZIP, TAR_ZSTD };
/* Their names for people, by their number, and NULL at the end. */
extern const char *const TAR_FILTER_WORDS[];

/* Writes to `fd` (borrowed; -1: nowhere, for the sums alone). NULL when out of memory. */
struct tar_writer *tar_writer_open(int fd, enum tar_filter filter);
/* What was not finished stays as far as it came. */
void tar_writer_close(struct tar_writer *writer);
static inline void own_tar_writer(struct tar_writer **writer)
{
    tar_writer_close(*writer);
}
#define cleanup_tar_writer cleanup(own_tar_writer)

/* The name, without a directory, that the tar has while it is written, and no other file has:
 * borrowed. A tar that is written into what it is made of leaves itself out by that. */
void tar_writer_own(struct tar_writer *writer, const char *name);
bool tar_writer_is_own(const struct tar_writer *writer, const char *name);

/* Begins an entry; in the name of an attribute a "=", "%", blank or byte beyond ASCII goes out as
 * %XX, because PAX has no other place for a "=". entry->size bytes of content follow through
 * tar_writer_data(). -EOPNOTSUPP: PAX has no such thing (a socket). -EINVAL: the entry before got
 * less content than it said. */
must_check int tar_writer_add(struct tar_writer *writer, const struct tar_entry *entry);
must_check int tar_writer_data(struct tar_writer *writer, const void *data, size_t size);

/* Instead of entries: bytes of a tar that has been made before, its end too. */
must_check int tar_writer_raw(struct tar_writer *writer, const void *data, size_t size);

/* Ends the archive and gives the sums; `sums` may be NULL. Nothing can be added any more. */
must_check int tar_writer_finish(struct tar_writer *writer, struct tar_sums *sums);

#endif
