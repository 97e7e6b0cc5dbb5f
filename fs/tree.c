/* SPDX-License-Identifier: MIT
 *
 * Duty: open host directories, host files, images and tmpfs as trees, and close them.
 */
#include "tree.h"

#include "fd.h"
#include "quota.h"
#include "resolve.h"
#include "rootpath.h"
#include "scratch.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/vfs.h>

void tree_destroy(struct tree *tree)
{
    if (!tree)
        return;
    quota_close(tree->quota);
    free(tree->source);
    free(tree->subpath);
    if (tree->stack.layers)
        stack_close(&tree->stack);
    free(tree);
}

/* A directory is opened for reading; anything else is only pointed at. */
static int open_source(const struct route_wish *wish)
{
    int fd = open(wish->source, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && errno == ENOTDIR)
        fd = open(wish->source, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (!wish->subpath)
        return fd;
    cleanup_fd int base = fd;
    fd = fd_open_beneath(base, wish->subpath, O_RDONLY | O_DIRECTORY);
    return fd == -ENOTDIR ? fd_open_beneath(base, wish->subpath, O_PATH) : fd;
}

/* A mount that finds itself beneath a volume would ask itself, and when all its threads do there is
 * none left to answer. */
static int check_recursion(const struct mount *mount, const struct route_wish *wish, int fd,
                           struct route_fault *fault)
{
    cleanup_free char *path = fd_real_path(fd);
    if (!path || !mount->at)
        return 0;
    if (route_is_within(path, mount->at))
        return route_wish_refuse(wish, -ELOOP, "it lies in the mount itself", fault);
    if (route_is_within(mount->at, path) && !wish->one_filesystem)
        return route_wish_refuse(wish, -ELOOP,
                                 "the mount itself lies in it; --mount with "
                                 "bind-recursive=disabled leaves out what is mounted beneath",
                                 fault);
    return 0;
}

static int open_tmpfs(const struct route_wish *wish, struct route_fault *fault)
{
    int fd = scratch_open(wish->limit, wish->perm, &wish->options);
    if (fd >= 0)
        return fd;
    return route_wish_refuse(
        wish, fd,
        fd == -EINVAL ? "the kernel refuses its options; without root, uid= and gid= can be the "
                        "caller's own alone"
                      : "a tmpfs needs root, or a kernel that lets users make user namespaces",
        fault);
}

static int open_root(const struct mount *mount, const struct route_wish *wish,
                     struct route_fault *fault)
{
    if (!wish->source)
        return open_tmpfs(wish, fault);
    cleanup_fd int fd = open_source(wish);
    if (fd < 0)
        return route_wish_refuse(wish, fd, strerror(-fd), fault);
    int err = check_recursion(mount, wish, fd, fault);
    if (err || !wish->one_filesystem)
        return err ? err : steal_fd(&fd);
    int alone = ownview_of(fd, OWNVIEW_DATED);
    return alone < 0 ? route_wish_refuse(
                           wish, alone, "to leave out what is mounted beneath it needs root", fault)
                     : alone;
}

bool tree_may_pass(int root)
{
    struct statfs st;
    return fstatfs(root, &st) == 0 && st.f_type != OVERLAYFS_SUPER_MAGIC &&
           st.f_type != FUSE_SUPER_MAGIC;
}

static int open_plain(const struct mount *mount, const struct route_wish *wish, uint8_t slot,
                      struct tree *tree, struct route_fault *fault)
{
    int root = open_root(mount, wish, fault);
    if (root < 0)
        return root;
    int err = stack_open_plain(&tree->stack, root, wish->source ? wish->source : "tmpfs",
                               (uint8_t)(STACK_ROUTE_TAG + slot), mount->fds);
    tree->read_only = wish->read_only;
    tree->cached = wish->cached;
    tree->passthrough = !err && tree_may_pass(root);
    if (!err && wish->source && wish->limit > 0)
        err = quota_open(root, wish->limit, wish->usage, &tree->quota);
    /* What is passed on is not counted. */
    if (tree->quota)
        tree->passthrough = false;
    return err;
}

/* Sealed layers as one tree: an image. */
static int open_union(const struct mount *mount, const struct route_wish *wish, uint8_t slot,
                      struct tree *tree)
{
    unsigned culprit;
    int err = stack_open(&tree->stack, (const char *const *)wish->layers, wish->layer_count, false,
                         mount->fds, &culprit);
    tree->stack.tag = (uint8_t)(STACK_ROUTE_TAG + slot);
    tree->stack.able.space = mount->trees[0]->stack.able.space;
    tree->read_only = true;
    tree->passthrough = !err && tree_may_pass(tree->stack.layers[1].root);
    tree->subpath = wish->subpath ? strdup(wish->subpath) : NULL;
    return !err && wish->subpath && !tree->subpath ? -ENOMEM : err;
}

int tree_open(const struct mount *mount, const struct route_wish *wish, uint8_t slot,
              struct tree **made, struct route_fault *fault)
{
    struct tree *tree = calloc(1, sizeof(*tree));
    if (!tree)
        return -ENOMEM;
    int err = wish->layer_count > 0 ? open_union(mount, wish, slot, tree)
                                    : open_plain(mount, wish, slot, tree, fault);
    tree->source = wish->source ? strdup(wish->source) : NULL;
    if (!err && wish->source && !tree->source)
        err = -ENOMEM;
    if (err) {
        tree_destroy(tree);
        return *fault->words ? err : route_wish_refuse(wish, err, strerror(-err), fault);
    }
    *made = tree;
    return 0;
}

int tree_root(const struct tree *tree, struct entry *entry)
{
    const struct stack *stack = &tree->stack;
    *entry = (struct entry){0};
    if (stack->plain) {
        int err = stack_stat(stack, 0, stack->layers[0].root, "", &entry->st);
        entry->present = !err;
        entry->ino = err ? 0 : stack_upper_ino(stack, &entry->st);
        return err;
    }
    if (!tree->subpath)
        return resolve_root(stack, entry);
    cleanup_rootpath struct rootpath found = ROOTPATH_NONE;
    int err = rootpath_find(stack, tree->subpath, true, &found);
    if (err)
        return err;
    *entry = found.entry;
    found.entry = (struct entry){0};
    return !entry->present ? -ENOENT : S_ISDIR(entry->st.st_mode) ? 0 : -ENOTDIR;
}
