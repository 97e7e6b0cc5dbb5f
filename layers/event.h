/* SPDX-License-Identifier: MIT
 *
 * One thing that a mount did to its upper layer, or refused to do, and for whom: a plain value.
 * Copy-ups above all; besides what hides the layers beneath (whiteouts, opaque marks) and what
 * points into them (redirects).
 */
#ifndef PLYFS_EVENT_H
#define PLYFS_EVENT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum event_kind {
    EVENT_COPYUP,
    EVENT_WHITEOUT,
    EVENT_OPAQUE,
    EVENT_REDIRECT,
    EVENT_WARNED, /* a copy-up that a rule of the user's speaks of, and allows */
    EVENT_DENIED, /* a copy-up that a rule, or a spent budget, refused */
    EVENT_KINDS
};

/* How the data of a copy-up came to the upper. */
enum event_means {
    EVENT_MEANS_NONE, /* there was none to bring, or none that is still wanted */
    EVENT_MEANS_REFLINK,
    EVENT_MEANS_RANGE, /* copy_file_range(2) */
    EVENT_MEANS_READ_WRITE,
    EVENT_MEANS_METACOPY, /* it stays below */
    EVENT_MEANS_LINK,     /* another name of an inode that was copied up before */
    EVENT_MEANS_COUNT
};

/* As long as the kernel keeps it, the end included (TASK_COMM_LEN). */
enum { EVENT_COMMAND_SIZE = 16 };

struct event {
    int64_t time; /* nanoseconds since 1970 */
    enum event_kind kind;
    const char *path;  /* absolute in the mount; "" of a file that had lost its name */
    const char *cause; /* the operation: "write", "chmod", "rename"... */
    unsigned layer;    /* where it came from, 1 the lowest; 0: from none */
    mode_t type;       /* S_IFMT bits */
    pid_t pid;         /* the process; 0 where the kernel does not tell */
    uid_t uid;         /* where pid is not 0 */
    char command[EVENT_COMMAND_SIZE]; /* "" where it is not known */
    bool writeback; /* nobody is told because the page cache wrote what somebody had left in it */
    uint64_t size;  /* bytes in the file */
    uint64_t moved; /* bytes that were really copied: neither holes nor shared extents */
    enum event_means means;
    int64_t duration; /* nanoseconds, as long as the caller waited for it */
};

/* Their words, as the catalog and people have them: "copyup", "copy_file_range". */
const char *event_kind_word(enum event_kind kind);
const char *event_means_word(enum event_means means);
/* The kind or means of a word, or -EINVAL. */
int event_kind_of(const char *word);
int event_means_of(const char *word);

#endif
