/* SPDX-License-Identifier: MIT
 *
 * Duty: put a mount's parts together, and take them apart.
 */
#include "mount.h"

#include "ahead.h"
#include "fd.h"
#include "glance.h"
#include "listing.h"
#include "meter.h"
#include "quota.h"
#include "resolve.h"
#include "route.h"
#include "tree.h"
#include "turns.h"

#include <fcntl.h>
#include <sys/resource.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

/* What an unlinked file counted for in a tree with a limit is free with its last user. */
static void release_held(struct mount *mount, uint32_t index, uint8_t tree)
{
    struct stat st;
    struct quota *quota = mount->trees[tree] ? mount->trees[tree]->quota : NULL;
    struct fdref *ref = quota ? fdcache_get(mount->fds, fdkey(FDKIND_ORPHAN, index)) : NULL;
    if (ref && fstat(ref->fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 0) {
        quota_hold(quota, -(int64_t)quota_weight(st.st_size));
        quota_give(quota, quota_weight(st.st_size));
    }
    fdref_release(mount->fds, ref);
}

/* Descriptors that belonged to a node which is no more. */
static void node_is_gone(void *context, uint32_t index, uint8_t tree)
{
    struct mount *mount = context;
    atomic_fetch_add_explicit(&mount->gone, 1, memory_order_relaxed);
    fdcache_drop(mount->fds, fdkey(FDKIND_UPPER_DIR, index));
    fdcache_drop(mount->fds, fdkey(FDKIND_DATA, index));
    release_held(mount, index, tree);
    fdcache_drop(mount->fds, fdkey(FDKIND_ORPHAN, index));
    listings_drop(mount->listings, index);
}

/* What is kept of nodes goes with many of them; malloc keeps what each thread freed below the top
 * of that thread's arena, for ever. */
void mount_trim(struct mount *mount, unsigned least)
{
    if (atomic_load_explicit(&mount->gone, memory_order_relaxed) < least)
        return;
    atomic_store(&mount->gone, 0);
    glances_drop(mount->glances);
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}

static void slow_is_fine(void)
{
}

/* The upper's root is node 1's open directory for as long as the mount lives; the index directory
 * goes by number 0, which no node has. */
static int pin_directory(struct mount *mount, uint32_t index, int fd)
{
    int own = fd_dup(fd);
    if (own < 0)
        return own;
    struct fdref *ref = fdcache_pin(mount->fds, fdkey(FDKIND_UPPER_DIR, index), own, false);
    fdref_release(mount->fds, ref);
    return ref ? 0 : -ENOMEM;
}

enum { FDS_MAX = 2048, FDS_FOR_CHORES = 1024, FDS_SPARED = 256 };

/* As many descriptors as the hard limit has, and half of them for the cache, but not more than
 * help: each holds an inode of a layer in the kernel's memory. */
static struct fdcache *make_fdcache(rlim_t *all)
{
    struct rlimit limit = {.rlim_cur = 1024, .rlim_max = 1024};
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        getrlimit(RLIMIT_NOFILE, &limit);
    *all = limit.rlim_cur;
    rlim_t most = limit.rlim_cur / 2;
    struct fdcache *fds = fdcache_create(most > FDS_MAX ? FDS_MAX : (size_t)most);
    /* Whoever keeps many files open that are unlinked takes none of those that each request needs.
     */
    rlim_t spared = limit.rlim_cur / 4 > FDS_SPARED ? FDS_SPARED : limit.rlim_cur / 4;
    if (fds)
        fdcache_bound(fds, (size_t)(limit.rlim_cur - spared));
    return fds;
}

/* Threads serve in turn: with an arena for each, each would keep what all need. */
static void share_arenas(void)
{
#ifdef __GLIBC__
    mallopt(M_ARENA_MAX, 2);
#endif
}

int mount_init(struct mount *mount)
{
    share_arenas();
    *mount = (struct mount){.will_be_slow = slow_is_fine};
    clock_gettime(CLOCK_REALTIME, &mount->since);
    pthread_rwlockattr_t attr;
    pthread_rwlockattr_init(&attr);
    /* Whoever moves a name must not wait for ever behind readers. */
    pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&mount->names, &attr);
    pthread_rwlockattr_destroy(&attr);
    turns_init(&mount->turns);
    mount->meter = meter_create();
    rlim_t descriptors;
    mount->fds = make_fdcache(&descriptors);
    /* What waits to be closed is open: where descriptors are few none can be spared for that. */
    if (mount->fds && descriptors >= FDS_FOR_CHORES)
        chores_init(&mount->chores, mount->fds);
    mount->listings = listings_create(32u << 20);
    mount->glances = glances_create();
    mount->ahead = ahead_create();
    mount->nodes = node_table_create(node_is_gone, mount);
    mount->routes = routes_create();
    mount->trees[0] = calloc(1, sizeof(*mount->trees[0]));
    if (!mount->meter || !mount->fds || !mount->listings || !mount->glances || !mount->ahead ||
        !mount->nodes || !mount->routes || !mount->trees[0])
        return -ENOMEM;
    mount->trees[0]->stack.stage = mount->trees[0]->stack.index = -1;
    return 0;
}

/* Seconds by which a cached tree may lag behind the host. */
enum { LATE = 1 };

struct validity mount_validity(const struct mount *mount, const struct node_view *view)
{
    const double last = mount->rules.timeout, tick = 1e-8;
    ahead_told(mount, view);
    if (!mount_is_plain(mount, view))
        return (struct validity){last, last};
    if (node_is(view, NODE_ROUTE))
        return (struct validity){last, mount_attr_validity(mount, view)};
    if (mount_tree(mount, view)->cached)
        return (struct validity){LATE, LATE};
    bool closed = mount->rules.profile == PROFILE_TRACKED &&
                  (S_ISDIR(view->type) || node_opens(mount->nodes, view->index).count == 0);
    return (struct validity){0, closed ? tick : 0};
}

double mount_attr_validity(const struct mount *mount, const struct node_view *view)
{
    ahead_told(mount, view);
    if (!mount_is_plain(mount, view))
        return mount->rules.timeout;
    return mount_tree(mount, view)->cached ? LATE : 0;
}

void mount_lock_node(struct mount *mount, uint32_t index)
{
    if (node_try_lock(mount->nodes, index))
        return;
    mount->will_be_slow();
    node_lock(mount->nodes, index);
}

bool mount_is_read_only(const struct mount *mount)
{
    for (unsigned i = 0; i < TREES_MAX; i++) {
        if (mount->trees[i] && !mount->trees[i]->read_only)
            return false;
    }
    return true;
}

struct stat mount_stub_stat(const struct mount *mount, uint64_t ino)
{
    return (struct stat){.st_ino = ino,
                         .st_mode = S_IFDIR | 0755,
                         .st_nlink = 1,
                         .st_uid = geteuid(),
                         .st_gid = getegid(),
                         .st_blksize = 4096,
                         .st_atim = mount->since,
                         .st_mtim = mount->since,
                         .st_ctim = mount->since};
}

int mount_make_root(struct mount *mount)
{
    cleanup_entry struct entry root = {0};
    struct stack *stack = &mount->trees[0]->stack;
    int err = resolve_root(stack, &root);
    if (!err)
        err = node_make_root(mount->nodes, &root);
    if (!err && stack->writable)
        err = pin_directory(mount, NODE_ROOT, stack->layers[0].root);
    if (!err && stack->index >= 0)
        err = pin_directory(mount, NODE_NONE, stack->index);
    return err;
}

void mount_finish(struct mount *mount)
{
    node_table_destroy(mount->nodes);
    listings_destroy(mount->listings);
    glances_destroy(mount->glances);
    ahead_destroy(mount->ahead);
    chores_finish(&mount->chores);
    fdcache_destroy(mount->fds);
    for (unsigned i = 0; i < TREES_MAX; i++)
        tree_destroy(mount->trees[i]);
    routes_destroy(mount->routes);
    meter_destroy(mount->meter);
    turns_finish(&mount->turns);
    pthread_rwlock_destroy(&mount->names);
}
