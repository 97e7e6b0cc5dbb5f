/* SPDX-License-Identifier: MIT
 *
 * The skeleton of a layer that came as a tar: everything of that tar which is not the content of a
 * file of the tree, and where in it such content belongs. With the tree it gives the tar back, byte
 * for byte. A file:
 *
 *   "plyfs skeleton 1\n"
 *   records, in the order of the tar: HEAD [PATH] [BYTES]
 *     RAW      bytes of the tar
 *     CONTENT  here goes the whole content of the file PATH, SIZE bytes
 *     LOST     the content that the file PATH had up to here, before the archive put something else
 *              in its place: every CONTENT of PATH since the last LOST of PATH means these bytes
 *   the place of each LOST in the file
 *   END      the size of the tar, the number of LOST and where their places begin
 *
 * HEAD is kind and length of PATH in 4 bytes each and SIZE in 8; all numbers are little-endian.
 */
#ifndef PLYFS_SKELETON_H
#define PLYFS_SKELETON_H

#include "own.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- writing ---- */

struct skeleton_writer;

/* Makes the file `name` in `dir`, which must not be there. NULL and *err. */
struct skeleton_writer *skeleton_create(int dir, const char *name, int *err);
/* What was not finished is no skeleton. */
void skeleton_abandon(struct skeleton_writer *writer);
static inline void own_skeleton_writer(struct skeleton_writer **writer)
{
    skeleton_abandon(*writer);
}
#define cleanup_skeleton_writer cleanup(own_skeleton_writer)

/* The next bytes of the tar. */
must_check int skeleton_add_raw(struct skeleton_writer *writer, const void *data, size_t size);
/* The next `size` bytes of the tar are the next of the file `path`. The pieces of one file follow
 * one another. */
must_check int skeleton_add_content(struct skeleton_writer *writer, const char *path, size_t size);
/* Whether the tar needs what lies in the file `path`: if so, it has to be kept before the file goes
 * away. */
bool skeleton_needs(const struct skeleton_writer *writer, const char *path);
/* Keeps the content of `path`, which is read from the open file `fd`. */
must_check int skeleton_keep(struct skeleton_writer *writer, const char *path, int fd);

/* Completes the file; `size` is that of the tar. It is not synced. */
must_check int skeleton_finish(struct skeleton_writer *writer, uint64_t *size);

/* ---- reading ---- */

struct skeleton_reader;

/* A run of the tar: bytes in memory, which last until the next call, or the whole content of a file
 * of the tree (`data` is NULL), which has to be `size` bytes long. Nobody vouches for the path: it
 * is for fd_open_beneath(). */
struct skeleton_part {
    const void *data;
    const char *path;
    uint64_t size;
};

/* Opens the file `name` in `dir`. NULL and *err; -EBADMSG: it is no skeleton, or a broken one. */
struct skeleton_reader *skeleton_open(int dir, const char *name, int *err);
void skeleton_close(struct skeleton_reader *reader);
static inline void own_skeleton_reader(struct skeleton_reader **reader)
{
    skeleton_close(*reader);
}
#define cleanup_skeleton_reader cleanup(own_skeleton_reader)

/* The size of the tar. */
uint64_t skeleton_size(const struct skeleton_reader *reader);

/* The next part: 1, 0 at the end, -EBADMSG or what the filesystem says. All parts together have
 * skeleton_size() bytes. */
must_check int skeleton_next(struct skeleton_reader *reader, struct skeleton_part *part);

#endif
