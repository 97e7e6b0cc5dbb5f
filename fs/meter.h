/* SPDX-License-Identifier: MIT
 *
 * What a mount does, counted: of each operation how often it was asked for, how often it failed,
 * how long it took in sum, and a histogram of that; of copy-ups how many and how many bytes. It
 * counts always: a few relaxed atomic additions for a request, no lock and no memory.
 *
 * A bucket of the histogram is a sixteenth of a power of two wide and read as its middle, so a
 * percentile is off by 1/32 at most. Counts that are read while requests are served may be of
 * slightly different moments.
 */
#ifndef PLYFS_METER_H
#define PLYFS_METER_H

#include "own.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum meter_op {
    METER_LOOKUP,
    METER_FORGET,
    METER_READLINK,
    METER_GETATTR,
    METER_STATX,
    METER_SETATTR,
    METER_STATFS,
    METER_OPENDIR,
    METER_READDIR,
    METER_READDIRPLUS,
    METER_RELEASEDIR,
    METER_FSYNCDIR,
    METER_MKNOD,
    METER_MKDIR,
    METER_SYMLINK,
    METER_LINK,
    METER_CREATE,
    METER_TMPFILE,
    METER_UNLINK,
    METER_RMDIR,
    METER_RENAME,
    METER_OPEN,
    METER_RELEASE,
    METER_READ,
    METER_WRITE,
    METER_FLUSH,
    METER_FSYNC,
    METER_FALLOCATE,
    METER_COPY_FILE_RANGE,
    METER_LSEEK,
    METER_GETLK,
    METER_SETLK,
    METER_FLOCK,
    METER_SETXATTR,
    METER_GETXATTR,
    METER_LISTXATTR,
    METER_REMOVEXATTR,
    METER_IOCTL,
    METER_OPS
};

/* "lookup", "copy_file_range"... and back, or -EINVAL. */
const char *meter_op_word(enum meter_op op);
int meter_op_of(const char *word);

struct meter;

/* NULL when out of memory. Pages of operations that never come are never touched. */
struct meter *meter_create(void);
void meter_destroy(struct meter *meter);

/* A request was served in so many nanoseconds. */
void meter_add(struct meter *meter, enum meter_op op, int64_t nanoseconds, bool failed);
/* A copy-up moved so many bytes. */
void meter_add_copyup(struct meter *meter, uint64_t moved);

/* ---- reading ---- */

enum { METER_BUCKETS = 592 };

struct meter_reading {
    uint64_t count, errors;
    uint64_t total; /* nanoseconds */
    uint64_t buckets[METER_BUCKETS];
};
void meter_read(const struct meter *meter, enum meter_op op, struct meter_reading *reading);
void meter_read_copyups(const struct meter *meter, uint64_t *count, uint64_t *moved);

/* Nanoseconds since the meter was made. */
int64_t meter_age(const struct meter *meter);

/* Leaves what was counted since `before`, or adds what another counted. */
void meter_subtract(struct meter_reading *reading, const struct meter_reading *before);
void meter_sum(struct meter_reading *reading, const struct meter_reading *other);

/* The time that a share (0 to 1) of the requests did not exceed, in nanoseconds; 0 of none. */
int64_t meter_percentile(const struct meter_reading *reading, double share);

/* The bucket that a time falls into, and the time that a bucket stands for. What is longer than the
 * histogram reaches (18 minutes) is in the last one. */
unsigned meter_bucket_of(int64_t nanoseconds);
int64_t meter_bucket_time(unsigned bucket);

#endif
