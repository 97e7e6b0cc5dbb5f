/* SPDX-License-Identifier: MIT
 *
 * Duty: the record, and the way from one of its states to the next. Each step is one rename of the
 * record, durable before the next begins; each can be done again.
 */
#include "volumeinplace.h"

#include "copymeta.h"
#include "fd.h"
#include "log.h"
#include "rmtree.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>

#define RECORDS "filling"

enum { NAME_SIZE = 48, LINE_SIZE = 256 };

/* What makes a directory this one, and not another of its name. */
struct identity {
    uint64_t inode;
    int64_t seconds;      /* of its birth; 0 where the filesystem does not keep that */
    unsigned nanoseconds; /* of it */
};

enum state { STATE_FILLING, STATE_REPLACING, STATE_FILLED };

struct record {
    char key[NAME_SIZE]; /* its own name */
    enum state state;
    char name[NAME_SIZE]; /* of the tray */
    struct identity tray; /* inode 0: it was not made yet, or just then */
};

/* ---- what is which ---- */

static int identify(int dir, struct identity *identity)
{
    struct statx st;
    if (statx(dir, "", AT_EMPTY_PATH, STATX_INO | STATX_BTIME, &st) < 0)
        return -errno;
    bool born = st.stx_mask & STATX_BTIME;
    *identity = (struct identity){.inode = st.stx_ino,
                                  .seconds = born ? st.stx_btime.tv_sec : 0,
                                  .nanoseconds = born ? st.stx_btime.tv_nsec : 0};
    return 0;
}

static bool is_same(const struct identity *a, const struct identity *b)
{
    return a->inode == b->inode && a->seconds == b->seconds && a->nanoseconds == b->nanoseconds;
}

static int find_key(int dir, char key[NAME_SIZE])
{
    struct identity identity;
    int err = identify(dir, &identity);
    if (!err)
        snprintf(key, NAME_SIZE, "%" PRIx64 "-%" PRIx64 "-%x", identity.inode,
                 (uint64_t)identity.seconds, identity.nanoseconds);
    return err;
}

/* ---- the record ---- */

static int open_records(int store)
{
    return fd_open_name(store, RECORDS, O_RDONLY | O_DIRECTORY, 0);
}

static int make_records(int store)
{
    if (mkdirat(store, RECORDS, 0700) < 0 && errno != EEXIST)
        return -errno;
    return fsync(store) < 0 ? -errno : open_records(store);
}

static int parse_record(const char *line, struct record *record)
{
    unsigned state;
    struct identity *tray = &record->tray;
    if (sscanf(line, "%u %47s %" SCNu64 " %" SCNd64 " %u", &state, record->name, &tray->inode,
               &tray->seconds, &tray->nanoseconds) != 5 ||
        state > STATE_FILLED || strchr(record->name, '/') || fd_is_dot(record->name))
        return -EIO;
    record->state = (enum state)state;
    return 0;
}

/* 1, or 0 where there is none of this directory. */
static int read_record(int store, int dir, struct record *record)
{
    char line[LINE_SIZE];
    *record = (struct record){0};
    int err = find_key(dir, record->key);
    if (err)
        return err;
    cleanup_fd int records = open_records(store);
    cleanup_fd int file = records < 0 ? records : fd_open_name(records, record->key, O_RDONLY, 0);
    if (file < 0)
        return file == -ENOENT ? 0 : file;
    ssize_t length = fd_read_all(file, line, sizeof(line) - 1);
    if (length < 0)
        return (int)length;
    line[length] = 0;
    err = parse_record(line, record);
    return err ? err : 1;
}

/* A record that is half written is not there yet. */
static int write_beside(int records, const char *name, const struct record *record)
{
    char line[LINE_SIZE];
    const struct identity *tray = &record->tray;
    int length =
        snprintf(line, sizeof(line), "%u %s %" PRIu64 " %" PRId64 " %u\n", (unsigned)record->state,
                 record->name, tray->inode, tray->seconds, tray->nanoseconds);
    cleanup_fd int file = fd_open_name(records, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    int err = file < 0 ? file : fd_write_all(file, line, (size_t)length);
    return err ? err : fsync(file) < 0 ? -errno : 0;
}

static int write_record(int store, const struct record *record)
{
    char beside[NAME_SIZE + 8];
    cleanup_fd int records = make_records(store);
    if (records < 0)
        return records;
    snprintf(beside, sizeof(beside), "%s.new", record->key);
    int err = write_beside(records, beside, record);
    if (err)
        return err;
    if (renameat(records, beside, records, record->key) < 0)
        return -errno;
    return fsync(records) < 0 ? -errno : 0;
}

static int become(int store, struct record *record, enum state state)
{
    record->state = state;
    return write_record(store, record);
}

static int remove_record(int store, const struct record *record)
{
    cleanup_fd int records = open_records(store);
    if (records < 0)
        return records;
    if (unlinkat(records, record->key, 0) < 0 && errno != ENOENT)
        return -errno;
    return fsync(records) < 0 ? -errno : 0;
}

/* ---- the lock, and the tray ---- */

/* Of its own, so that it ends with the descriptor, whatever becomes of the caller's. */
static int take_lock(int dir)
{
    cleanup_fd int lock = fd_open_name(dir, ".", O_RDONLY | O_DIRECTORY, 0);
    if (lock < 0)
        return lock;
    while (flock(lock, LOCK_EX) < 0) {
        if (errno != EINTR)
            return -errno;
    }
    return steal_fd(&lock);
}

/* The tray of the record, open; -ENOENT where it is not there, or another is in its place. */
static int open_tray(int dir, const struct record *record)
{
    struct identity is;
    cleanup_fd int tray = fd_open_name(dir, record->name, O_RDONLY | O_DIRECTORY, 0);
    if (tray == -ENOTDIR || tray == -ELOOP)
        return -ENOENT;
    int err = tray < 0 ? tray : identify(tray, &is);
    if (err)
        return err;
    return is_same(&is, &record->tray) ? steal_fd(&tray) : -ENOENT;
}

/* ---- empty or not ---- */

static int meet_name(void *context, const char *name)
{
    (void)context;
    return strcmp(name, "lost+found") == 0 ? 0 : -ENOTEMPTY;
}

int volumeinplace_is_empty(int dir)
{
    int err = fd_each_name(dir, meet_name, NULL);
    return err == -ENOTEMPTY ? 0 : err ? err : 1;
}

/* ---- old content ---- */

struct clearing {
    int dir;
    const char *but; /* what stays */
};

static int remove_old(void *context, const char *name)
{
    const struct clearing *clearing = context;
    if (strcmp(name, "lost+found") == 0 || strcmp(name, clearing->but) == 0)
        return 0;
    return rmtree(clearing->dir, name);
}

static int remove_within(void *context, const char *name)
{
    const int *tray = context;
    return rmtree(*tray, name);
}

/* By its descriptor, so that it is this one that is emptied. Of its name only what is empty goes: a
 * tray whose making was not yet written down holds nothing. */
static int remove_tray(int dir, const struct record *record)
{
    if (record->tray.inode) {
        cleanup_fd int tray = open_tray(dir, record);
        if (tray < 0)
            return tray == -ENOENT ? 0 : tray;
        (void)!fchmod(tray, 0700);
        int err = fd_each_name(tray, remove_within, &tray);
        if (err)
            return err;
    }
    if (unlinkat(dir, record->name, AT_REMOVEDIR) == 0)
        return 0;
    return errno == ENOENT || errno == ENOTDIR || errno == ENOTEMPTY ? 0 : -errno;
}

/* ---- moving up ---- */

struct moving {
    int from, to;
    bool again; /* a name that is taken away may hide another from the reading */
};

/* What somebody else put there meanwhile stays. */
static int move_up(void *context, const char *name)
{
    struct moving *moving = context;
    int err = rmtree_move(moving->from, name, moving->to, name);
    if (err == -EEXIST) {
        log_warning("%s was there already, and stays as it is", name);
        err = rmtree(moving->from, name);
    }
    moving->again = true;
    return err;
}

static int move_all_up(int dir, int from)
{
    int err = 0;
    struct moving moving = {.from = from, .to = dir, .again = true};
    while (!err && moving.again) {
        moving.again = false;
        err = fd_each_name(from, move_up, &moving);
    }
    return err;
}

/* The directory takes the look of the one that its content was made in. What is somebody else's,
 * who lets us write there, keeps its own. */
static int take_look(int dir, int from, const struct stat *look)
{
    int err = copymeta_owner_mode(dir, "", look);
    if (!err)
        err = copymeta_xattrs(OVLSPACE_NONE, from, "", dir, "", NULL);
    return err == -EPERM ? 0 : err;
}

/* Moving changes the times on both sides: they are taken before, and given at the end. */
static int finish(int dir, int tray, const char *name)
{
    struct stat look;
    int err = fd_stat(tray, "", &look);
    if (!err)
        err = move_all_up(dir, tray);
    if (!err)
        err = take_look(dir, tray, &look);
    if (!err && unlinkat(dir, name, AT_REMOVEDIR) < 0)
        err = -errno;
    if (!err)
        err = copymeta_times(dir, "", &look);
    return err ? err : fsync(dir) < 0 ? -errno : 0;
}

/* ---- steps ---- */

/* Nothing is removed before it is sure that what takes its place is there. */
static int go_on(int store, int dir, struct record *record)
{
    int err = 0;
    cleanup_fd int tray = open_tray(dir, record);
    if (tray == -ENOENT)
        return 0; /* it was done, or somebody took it away: what is there is the content */
    if (tray < 0)
        return tray;
    if (record->state == STATE_REPLACING) {
        struct clearing clearing = {.dir = dir, .but = record->name};
        err = fd_each_name(dir, remove_old, &clearing);
        if (!err)
            err = become(store, record, STATE_FILLED);
    }
    return err ? err : finish(dir, tray, record->name);
}

static int mend_record(int store, int dir, struct record *record)
{
    int err = record->state == STATE_FILLING ? remove_tray(dir, record) : go_on(store, dir, record);
    return err ? err : remove_record(store, record);
}

static int mend_locked(int store, int dir)
{
    struct record record;
    int there = read_record(store, dir, &record);
    return there <= 0 ? there : mend_record(store, dir, &record);
}

/* Where there is no record: no lock, and no write. */
int volumeinplace_mend(int store, int dir)
{
    struct record record;
    int there = read_record(store, dir, &record);
    if (there <= 0)
        return there;
    cleanup_fd int lock = take_lock(dir);
    return lock < 0 ? lock : mend_locked(store, dir);
}

/* The name is written down before the tray is made, and what the tray is before anything is in it:
 * so a crash leaves none that is not known. */
static int make_tray(int store, int dir, struct record *record)
{
    int err = write_record(store, record);
    if (err)
        return err;
    if (mkdirat(dir, record->name, 0700) < 0)
        return -errno;
    cleanup_fd int tray = fd_open_name(dir, record->name, O_RDONLY | O_DIRECTORY, 0);
    if (tray < 0)
        return tray;
    err = identify(tray, &record->tray);
    if (!err)
        err = write_record(store, record);
    return err ? err : steal_fd(&tray);
}

static int make_within(int store, int dir, volume_filler *fill, void *context,
                       struct record *record)
{
    cleanup_fd int tray = make_tray(store, dir, record);
    if (tray < 0)
        return tray;
    int err = fill(context, tray);
    return !err && syncfs(tray) < 0 ? -errno : err;
}

static int begin_record(int dir, struct record *record)
{
    uint64_t random;
    *record = (struct record){.state = STATE_FILLING};
    if (getrandom(&random, sizeof(random), 0) != sizeof(random))
        return -EIO;
    snprintf(record->name, sizeof(record->name), ".plyfs-%016" PRIx64, random);
    return find_key(dir, record->key);
}

/* What fails leaves no trace, the directory's times included. */
static void undo(int store, int dir, const struct record *record, const struct stat *before)
{
    if (remove_tray(dir, record) != 0)
        return;
    (void)!copymeta_times(dir, "", before);
    (void)!remove_record(store, record);
}

static int make(int store, int dir, volume_filler *fill, void *context, enum state complete)
{
    struct stat before;
    struct record record;
    int err = fd_stat(dir, "", &before);
    if (!err)
        err = begin_record(dir, &record);
    if (err)
        return err;
    err = make_within(store, dir, fill, context, &record);
    if (err) {
        undo(store, dir, &record, &before);
        return err;
    }
    err = become(store, &record, complete);
    return err ? err : mend_record(store, dir, &record);
}

int volumeinplace_fill(int store, int dir, volume_filler *fill, void *context)
{
    cleanup_fd int lock = take_lock(dir);
    if (lock < 0)
        return lock;
    int err = mend_locked(store, dir);
    int empty = err ? err : volumeinplace_is_empty(dir);
    if (empty <= 0)
        return empty;
    err = make(store, dir, fill, context, STATE_FILLED);
    return err ? err : 1;
}

int volumeinplace_replace(int store, int dir, volume_filler *fill, void *context)
{
    cleanup_fd int lock = take_lock(dir);
    if (lock < 0)
        return lock;
    int err = mend_locked(store, dir);
    return err ? err : make(store, dir, fill, context, STATE_REPLACING);
}
