/* SPDX-License-Identifier: MIT
 *
 * Duty: counters. How many requests there were is the sum of their histogram, so that counting one
 * is two additions, and a third where it failed.
 */
#include "meter.h"

#include "moment.h"

#include <stdatomic.h>
#include <string.h>

enum { FINE_BITS = 4, FINE = 1 << FINE_BITS };

typedef atomic_uint_least64_t counter;

struct meter {
    int64_t since;
    counter copyups, moved;
    struct {
        counter errors, total;
        counter buckets[METER_BUCKETS];
    } of[METER_OPS];
};

static const char *const WORDS[METER_OPS] = {
    [METER_LOOKUP] = "lookup",
    [METER_FORGET] = "forget",
    [METER_READLINK] = "readlink",
    [METER_GETATTR] = "getattr",
    [METER_STATX] = "statx",
    [METER_SETATTR] = "setattr",
    [METER_STATFS] = "statfs",
    [METER_OPENDIR] = "opendir",
    [METER_READDIR] = "readdir",
    [METER_READDIRPLUS] = "readdirplus",
    [METER_RELEASEDIR] = "releasedir",
    [METER_FSYNCDIR] = "fsyncdir",
    [METER_MKNOD] = "mknod",
    [METER_MKDIR] = "mkdir",
    [METER_SYMLINK] = "symlink",
    [METER_LINK] = "link",
    [METER_CREATE] = "create",
    [METER_TMPFILE] = "tmpfile",
    [METER_UNLINK] = "unlink",
    [METER_RMDIR] = "rmdir",
    [METER_RENAME] = "rename",
    [METER_OPEN] = "open",
    [METER_RELEASE] = "release",
    [METER_READ] = "read",
    [METER_WRITE] = "write",
    [METER_FLUSH] = "flush",
    [METER_FSYNC] = "fsync",
    [METER_FALLOCATE] = "fallocate",
    [METER_COPY_FILE_RANGE] = "copy_file_range",
    [METER_LSEEK] = "lseek",
    [METER_GETLK] = "getlk",
    [METER_SETLK] = "setlk",
    [METER_FLOCK] = "flock",
    [METER_SETXATTR] = "setxattr",
    [METER_GETXATTR] = "getxattr",
    [METER_LISTXATTR] = "listxattr",
    [METER_REMOVEXATTR] = "removexattr",
    [METER_IOCTL] = "ioctl",
};

const char *meter_op_word(enum meter_op op)
{
    return WORDS[op];
}

int meter_op_of(const char *word)
{
    for (int op = 0; op < METER_OPS; op++) {
        if (strcmp(WORDS[op], word) == 0)
            return op;
    }
    return -EINVAL;
}

struct meter *meter_create(void)
{
    struct meter *meter = calloc(1, sizeof(*meter));
    if (meter)
        meter->since = moment_steady();
    return meter;
}

void meter_destroy(struct meter *meter)
{
    free(meter);
}

int64_t meter_age(const struct meter *meter)
{
    return moment_steady() - meter->since;
}

/* ---- counting ---- */

static void add(counter *to, uint64_t more)
{
    atomic_fetch_add_explicit(to, more, memory_order_relaxed);
}

static uint64_t get(const counter *from)
{
    return atomic_load_explicit(from, memory_order_relaxed);
}

unsigned meter_bucket_of(int64_t nanoseconds)
{
    if (nanoseconds < FINE)
        return nanoseconds > 0 ? (unsigned)nanoseconds : 0;
    unsigned power = 63 - (unsigned)__builtin_clzll((unsigned long long)nanoseconds);
    unsigned fine = (unsigned)(nanoseconds >> (power - FINE_BITS)) % FINE;
    unsigned bucket = (power - FINE_BITS + 1) * FINE + fine;
    return bucket < METER_BUCKETS ? bucket : METER_BUCKETS - 1;
}

int64_t meter_bucket_time(unsigned bucket)
{
    if (bucket < FINE)
        return bucket;
    unsigned shift = bucket / FINE - 1;
    int64_t low = (int64_t)(FINE + bucket % FINE) << shift;
    return low + ((INT64_C(1) << shift) >> 1);
}

void meter_add(struct meter *meter, enum meter_op op, int64_t nanoseconds, bool failed)
{
    add(&meter->of[op].buckets[meter_bucket_of(nanoseconds)], 1);
    add(&meter->of[op].total, nanoseconds > 0 ? (uint64_t)nanoseconds : 0);
    if (failed)
        add(&meter->of[op].errors, 1);
}

void meter_add_copyup(struct meter *meter, uint64_t moved)
{
    add(&meter->copyups, 1);
    add(&meter->moved, moved);
}

/* ---- reading ---- */

void meter_read(const struct meter *meter, enum meter_op op, struct meter_reading *reading)
{
    *reading = (struct meter_reading){.errors = get(&meter->of[op].errors),
                                      .total = get(&meter->of[op].total)};
    for (unsigned i = 0; i < METER_BUCKETS; i++) {
        reading->buckets[i] = get(&meter->of[op].buckets[i]);
        reading->count += reading->buckets[i];
    }
}

void meter_read_copyups(const struct meter *meter, uint64_t *count, uint64_t *moved)
{
    *count = get(&meter->copyups);
    *moved = get(&meter->moved);
}

/* Of a meter that was made anew in between there is less than before. */
static uint64_t less(uint64_t now, uint64_t before)
{
    return now > before ? now - before : 0;
}

void meter_subtract(struct meter_reading *reading, const struct meter_reading *before)
{
    reading->errors = less(reading->errors, before->errors);
    reading->total = less(reading->total, before->total);
    reading->count = 0;
    for (unsigned i = 0; i < METER_BUCKETS; i++) {
        reading->buckets[i] = less(reading->buckets[i], before->buckets[i]);
        reading->count += reading->buckets[i];
    }
}

void meter_sum(struct meter_reading *reading, const struct meter_reading *other)
{
    reading->count += other->count;
    reading->errors += other->errors;
    reading->total += other->total;
    for (unsigned i = 0; i < METER_BUCKETS; i++)
        reading->buckets[i] += other->buckets[i];
}

int64_t meter_percentile(const struct meter_reading *reading, double share)
{
    double wanted = share * (double)reading->count;
    uint64_t seen = 0;
    unsigned last = 0;
    for (unsigned i = 0; i < METER_BUCKETS; i++) {
        if (reading->buckets[i] == 0)
            continue;
        seen += reading->buckets[i];
        last = i;
        if ((double)seen >= wanted)
            break;
    }
    return meter_bucket_time(last);
}
