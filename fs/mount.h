/* SPDX-License-Identifier: MIT
 *
 * A mount as data: a set of trees, the table of nodes that speak of them, and the locks. The root
 * tree is number 0; every node says which tree it is in.
 *
 * Lock order, outermost first:
 *   1. node locks (nodestate.h): directory before file, lower index before higher among files;
 *   2. the lock of the routes (route.h): held shared by whoever asks where a name leads, until the
 *      node is made; held exclusively while a route comes or goes, never over a word to the kernel;
 *   3. mount.names (rwlock): held shared by whoever turns a node into a path or a descriptor, for
 *      the few system calls that this takes; held exclusively while a name is moved or removed;
 *      never over a copy of data, never taken twice by one thread;
 *   4. the turns at directories of the upper (turns.h), for the system calls of one change;
 *   5. the mutexes in the node table, the caches and the merges: leaves, nothing is taken inside.
 * All are given back before a reply is sent; after a reply nothing touches the node.
 */
#ifndef PLYFS_MOUNT_H
#define PLYFS_MOUNT_H

#include "chores.h"
#include "fdcache.h"
#include "idmap.h"
#include "node.h"
#include "nodestate.h"
#include "stack.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct waypoint;
struct quota;
struct ledger;
struct policing;
struct meter;
struct tracequeue;

/* A stack and its rules. Tree 0 is the root's and lasts as long as the mount; the others are those
 * of routes (route.h), and last until no node speaks of them any more. */
struct tree {
    struct stack stack;
    bool read_only;
    bool passthrough;          /* the kernel may be handed its files */
    bool cached;               /* plain: the host's changes may be seen a second late */
    char *source;              /* what is shown, for people; NULL of the root and of a tmpfs */
    char *subpath;             /* of a union: what of it is shown; NULL: all */
    struct waypoint *way;      /* where it is routed; NULL of the root, and once it was detached */
    struct quota *quota;       /* what may be written to it; or NULL */
    atomic_bool syncs_quickly; /* as the last sync of a file of it did: see op_fsync */
};

enum { TREES_MAX = STACK_ROUTE_TAG };

/* See turns.h. */
enum { TURNS = 64 };
struct turns {
    pthread_rwlock_t at[TURNS];
};

/* So much is copied before another thread would have taken the next request. */
enum { COPY_IS_QUICK = 256 * 1024 };

enum profile { PROFILE_AUTO, PROFILE_STATELESS, PROFILE_TRACKED };

/* What was agreed on with the kernel. */
struct rules {
    enum profile profile; /* never AUTO once serving */
    bool passthrough;
    bool writeback;
    bool acl;
    bool unchecked; /* whoever may look into the mount may do everything in it */
    bool uring;
    bool traced;       /* whoever writes is to be known: it was asked for */
    bool ahead;        /* the kernel may be given content that it has not asked for: ahead.h */
    double timeout;    /* seconds that names and attributes are good for */
    bool shared_locks; /* locks of a volume's files are the host's too: op_lock.c */
    bool coherent; /* there are routes, or may be: cached pages are checked against attributes */
};

struct ahead;
struct glances;
struct listings;
struct lockbook;
struct lockwait;
struct rings;
struct routes;
struct scout;
struct settling;

/* How often names have changed, see names_change(), and have been copied up, see names_rise(). */
struct namecount {
    atomic_uint changed, risen;
};

/* Where several directories meet in one, each counts what happens in the others too. */
enum { NAME_COUNTS = 8192 };

struct mount {
    struct tree *trees[TREES_MAX]; /* a slot is NULL when it is free */
    struct routes *routes;
    struct node_table *nodes;
    struct fdcache *fds;
    struct chores chores;          /* what is done beside */
    struct settling *settling;     /* NULL: none */
    struct scout *scout;           /* likewise */
    struct lockbook *lockbook;     /* NULL: locks are the kernel's own business */
    struct lockwait *lockwait;     /* likewise */
    atomic_uint_least64_t handles; /* of opens, where locks are asked for by them */
    struct listings *listings;
    struct glances *glances;
    struct ahead *ahead;
    struct turns turns;
    pthread_rwlock_t names;
    struct namecount names_of[NAME_COUNTS]; /* of a directory the one that its index leads to */
    struct namecount names_of_all;
    struct rules rules;
    const struct idmap *map; /* whose is shown as whose; NULL: as it lies on disk. Borrowed */
    struct ledger *ledger; /* what it does is noted there; NULL: nowhere. Set before it is served */
    struct policing *policing; /* what may be copied up; NULL: everything. Set likewise */
    struct meter *meter;
    struct tracequeue *trace; /* where those who trace it are told; NULL: there can be none */
    const char *at;           /* the mountpoint, as a real path */
    struct timespec since;    /* when it was made: what stubs are dated */
    atomic_uint gone;         /* nodes that died since memory was last given back to the kernel */
    struct rings *rings;      /* told who asks through rings; NULL: that is of no use */
    atomic_bool ringing;      /* requests do come through them */
    /* A request that is about to take long says so, so that another thread takes the next ones.
     * That costs some 30 us, and what takes long without a word is seen after 2 ms (serve.c). */
    void (*will_be_slow)(void);
    /* The kernel is to forget what (directory, name) led to. Not to be called by one who serves a
     * request. NULL before there is a session. */
    void (*name_changed)(void *session, uint64_t directory, const char *name);
    /* The kernel is to ask for a node's attributes again. This waits for nobody. */
    void (*attributes_changed)(void *session, uint64_t id);
    /* The same, and what it keeps of a directory's listing. */
    void (*listing_changed)(void *session, uint64_t id);
    /* Puts the whole content of a file into the kernel's cache of it: see ahead.h. */
    void (*store)(void *session, uint64_t id, const char *content, size_t size);
    void *session;
};

/* Makes the table, the caches and the locks, and tree 0, which is opened before the root node is
 * made. A mount that was initialised is finished in every case. */
must_check int mount_init(struct mount *mount);
must_check int mount_make_root(struct mount *mount);
void mount_finish(struct mount *mount);

/* Whether nothing in it can be written: no tree may. */
bool mount_is_read_only(const struct mount *mount);

/* What stat(2) says of a directory that is shown only for the sake of a route beneath. */
struct stat mount_stub_stat(const struct mount *mount, uint64_t ino);

/* Gives freed memory back to the kernel when at least so many nodes have died since it last did. */
enum { TRIM_BUSY = 16384, TRIM_IDLE = 512 };
void mount_trim(struct mount *mount, unsigned least);

static inline struct tree *mount_tree(const struct mount *mount, const struct node_view *view)
{
    return mount->trees[view->tree];
}

static inline struct stack *mount_stack(struct mount *mount, const struct node_view *view)
{
    return &mount_tree(mount, view)->stack;
}

static inline bool mount_is_plain(const struct mount *mount, const struct node_view *view)
{
    return mount_tree(mount, view)->stack.plain;
}

/* Whether the kernel may be handed this node's file. */
static inline bool mount_may_pass(const struct mount *mount, const struct node_view *view)
{
    return mount->rules.passthrough && mount_tree(mount, view)->passthrough;
}

/* How long an answer is good for, in seconds. */
struct validity {
    double name, attributes;
};

/* Of a lookup. Nothing of a plain tree outlasts the answer, because the host may change it; but
 * where it is routed to changes through us alone. What a lookup told of attributes serves the very
 * call that looked, and so is good for one tick of the kernel's clock: the next call by that name
 * looks again. It is not where calls come without a name: of a file that is open, and where opens
 * are not told of. */
struct validity mount_validity(const struct mount *mount, const struct node_view *view);

/* Of attributes that were asked for. */
double mount_attr_validity(const struct mount *mount, const struct node_view *view);

/* Takes a node's lock; where it has to be waited for, another thread takes the lead meanwhile. */
void mount_lock_node(struct mount *mount, uint32_t index);

/* Whether the host may change a node's tree, and that is to be seen at the very next call. */
static inline bool mount_is_strict(const struct mount *mount, const struct node_view *view)
{
    return mount_is_plain(mount, view) && !mount_tree(mount, view)->cached;
}

static inline void names_read(struct mount *mount)
{
    pthread_rwlock_rdlock(&mount->names);
}
static inline void names_write(struct mount *mount)
{
    pthread_rwlock_wrlock(&mount->names);
}
static inline void names_end(struct mount *mount)
{
    pthread_rwlock_unlock(&mount->names);
}

static inline struct namecount *names_of(struct mount *mount, uint32_t directory)
{
    return &mount->names_of[directory % NAME_COUNTS];
}

/* Said by whoever made, moved or removed a name in a directory (its index), after that and before
 * the reply: a listing that was begun before is not to serve whoever asks from then on. */
static inline void names_change(struct mount *mount, uint32_t directory)
{
    atomic_fetch_add(&names_of(mount, directory)->changed, 1);
    atomic_fetch_add(&mount->names_of_all.changed, 1);
}

/* Said before a name of a lower layer becomes one of the upper, which changes nothing that a
 * directory shows: but whoever knows that the upper does not have it knows that no longer. And
 * after: whoever looked at the directory meanwhile may have seen times that were put back. */
static inline void names_rise(struct mount *mount, uint32_t directory)
{
    atomic_fetch_add(&names_of(mount, directory)->risen, 1);
    atomic_fetch_add(&mount->names_of_all.risen, 1);
}

#endif
