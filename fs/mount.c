/* SPDX-License-Identifier: MIT
 *
 * Duty: put a mount's parts together, and take them apart.
 */
#include "mount.h"

#include "listing.h"
#include "resolve.h"

#include <fcntl.h>
#include <sys/resource.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

/* Descriptors that belonged to a node which is no more. */
static void node_is_gone(void *context, uint32_t index)
{
    struct mount *mount = context;
    atomic_fetch_add_explicit(&mount->gone, 1, memory_order_relaxed);
    fdcache_drop(mount->fds, fdkey(FDKIND_UPPER_DIR, index));
    fdcache_drop(mount->fds, fdkey(FDKIND_DATA, index));
    fdcache_drop(mount->fds, fdkey(FDKIND_ORPHAN, index));
    listings_drop(mount->listings, index);
}

/* malloc keeps what each thread freed below the top of that thread's arena, for ever. */
void mount_trim(struct mount *mount, unsigned least)
{
    if (atomic_load_explicit(&mount->gone, memory_order_relaxed) < least)
        return;
    atomic_store(&mount->gone, 0);
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
    int own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (own < 0)
        return -errno;
    struct fdref *ref = fdcache_pin(mount->fds, fdkey(FDKIND_UPPER_DIR, index), own, false);
    fdref_release(mount->fds, ref);
    return ref ? 0 : -ENOMEM;
}

enum { FDS_MAX = 2048 };

/* As many descriptors as the hard limit has, and half of them for the cache, but not more than
 * help: each holds an inode of a layer in the kernel's memory. */
static struct fdcache *make_fdcache(void)
{
    struct rlimit limit = {.rlim_cur = 1024, .rlim_max = 1024};
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        getrlimit(RLIMIT_NOFILE, &limit);
    rlim_t most = limit.rlim_cur / 2;
    return fdcache_create(most > FDS_MAX ? FDS_MAX : (size_t)most);
}

/* Threads serve in turn: with an arena for each, each would keep what all need. */
static void share_arenas(void)
{
#ifdef __GLIBC__
    mallopt(M_ARENA_MAX, 2);
#endif
}

int mount_init(struct mount *mount, struct tree *trees, unsigned tree_count)
{
    share_arenas();
    *mount = (struct mount){.trees = trees, .tree_count = tree_count};
    mount->will_be_slow = slow_is_fine;
    pthread_rwlockattr_t attr;
    pthread_rwlockattr_init(&attr);
    /* Whoever moves a name must not wait for ever behind readers. */
    pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&mount->names, &attr);
    pthread_rwlockattr_destroy(&attr);
    mount->fds = make_fdcache();
    mount->listings = listings_create(32u << 20);
    mount->nodes = node_table_create(node_is_gone, mount);
    return mount->fds && mount->listings && mount->nodes ? 0 : -ENOMEM;
}

int mount_make_root(struct mount *mount)
{
    cleanup_entry struct entry root = {0};
    struct stack *stack = &mount->trees[0].stack;
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
    fdcache_destroy(mount->fds);
    for (unsigned i = 0; i < mount->tree_count; i++)
        stack_close(&mount->trees[i].stack);
    pthread_rwlock_destroy(&mount->names);
}
