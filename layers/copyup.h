/* SPDX-License-Identifier: MIT
 *
 * Copy-up: giving a lower object its place in the upper layer. Staged in the work directory, with
 * everything that can be seen of it, and published by one link or rename; a crash leaves the lower
 * object shown, or the upper one, which looks the same.
 */
#ifndef PLYFS_COPYUP_H
#define PLYFS_COPYUP_H

#include "copydata.h"
#include "own.h"
#include "stack.h"

#include <pthread.h>
#include <stdbool.h>
#include <sys/stat.h>

struct copyup {
    const struct stack *stack;
    /* the object: its open parent, its name, what it looks like, the number it is shown by; of a
     * metacopy file src_data is the open data, else -1 and the object itself is opened */
    int src_dir;
    const char *src_name;
    struct stat src;
    uint64_t src_ino;
    uint16_t src_layer;
    int src_data;
    /* its place: the open upper directory and the name in it */
    int dst_dir;
    const char *dst_name;
    /* held while it is published, by all others who change the directory as well; or NULL */
    pthread_rwlock_t *turn;
    bool meta_only; /* leave the data below */
    off_t limit;    /* how many bytes of the data are wanted; -1 is all */
    const char
        *redirect; /* for meta_only: where the data is, when its name does not tell; or NULL */
    uint8_t held;  /* HELD_* (entry.h): what the object is kept from, which it keeps */
    const char *index_name; /* hex name in the index of a hard-linked object; or NULL */
    const mode_t *mode;     /* the permissions that it is to have; NULL: those of the source */
    bool (*given_up)(void); /* whether nobody waits for it any more (copydata.h); or NULL */
    /* the result */
    struct copied copied;
    ino_t made; /* its number in the upper filesystem */
    bool torn; /* one of several names, and no index holds them together: it is a file of its own */
    bool known; /* `after` is filled: that was asked for with `mode`, and could be found out */
    struct stat after; /* what it looks like in its place */
};

/* Copies up any object that is not a directory. -EEXIST when the place is taken. */
must_check int copyup_object(struct copyup *job);

/* Copies up a directory (not what is in it). -EEXIST when the place is taken. */
must_check int copyup_dir(struct copyup *job);

/* Copies an object that has lost its name (removed while open) into the upper, where it has none
 * either; returns it: a file open for reading and writing, a directory for reading, all else with
 * O_PATH. */
must_check int copyup_orphan(struct copyup *job);

/* Copies the data that a metacopy file left below: `fd` is the upper file, open for writing, `data`
 * the lower one. Times and privileges stay as they were. The file is whole when the metacopy
 * attribute goes, which is the last step; until then the data below is shown, so all of it is
 * copied, also where the file is to be cut short next (as the kernel's truncate does). A crash in
 * between leaves the file as it was but for its time, which may be that of the attempt; a failure
 * leaves no data of the attempt either, where the filesystem can punch holes. */
must_check int copyup_complete(const struct stack *stack, int fd, int data, bool (*given_up)(void),
                               struct copied *copied);

/* The same of a file that is to be empty next, where there is no room for its data. Its times are
 * those of the cut. A crash in between leaves it empty, though the kernel's overlayfs, which looks
 * at the mark and not at the size, reads the data below from it. */
must_check int copyup_complete_empty(const struct stack *stack, int fd);

/* Whether the copy-up of all of `data`, a file open for reading, would move nothing, because the
 * upper can share its extents: it is tried. */
bool copyup_moves_nothing(const struct stack *stack, int data);

#endif
