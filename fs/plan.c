/* SPDX-License-Identifier: MIT
 *
 * Duty: everything that can be wrong with a mount before it is made.
 */
#include "plan.h"

#include "fd.h"
#include "log.h"
#include "record.h"
#include "route.h"
#include "tree.h"
#include "upper.h"
#include "xattr.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>

/* ---- overlaps ---- */

static int refuse_overlap(const char *what, const char *a, const char *b, const char *why)
{
    log_error("%s %s and %s overlap: %s", what, a, b, why);
    return -ELOOP;
}

/* Whether what lies beneath a lower layer by its path is not in it all the same, as with the
 * kernel: it is of another filesystem, and what is mounted in the layer is left out. The numbers of
 * btrfs tell its subvolumes apart, which are one filesystem. */
static bool lies_apart(const struct stack *stack, unsigned layer, const char *inner)
{
    struct stat st, own;
    struct statfs fs;
    const int root = stack->layers[layer].root;
    return stack->layers[layer].top && stat(inner, &st) == 0 && fstat(root, &own) == 0 &&
           st.st_dev != own.st_dev && fstatfs(root, &fs) == 0 && fs.f_type != BTRFS_SUPER_MAGIC;
}

/* The upper and the work directory change: neither may hold a layer, nor lie in one. */
static int check_writable_pair(const struct stack *stack, char *const *real, const char *work)
{
    const char *upper = real[0];
    if (route_is_within(work, upper) || route_is_within(upper, work))
        return refuse_overlap("the upper layer", stack->layers[0].path, work,
                              "put the work directory beside the upper layer, not in or above it");
    for (unsigned i = 1; i < stack->count; i++) {
        const char *lower = stack->layers[i].path;
        if ((route_is_within(upper, real[i]) && !lies_apart(stack, i, upper)) ||
            route_is_within(real[i], upper))
            return refuse_overlap("the upper layer", stack->layers[0].path, lower,
                                  "a lower layer must not change while it is mounted");
        if ((route_is_within(work, real[i]) && !lies_apart(stack, i, work)) ||
            route_is_within(real[i], work))
            return refuse_overlap("the work directory", work, lower,
                                  "a lower layer must not change while it is mounted");
    }
    return 0;
}

/* A layer by its real path, and as it was given. */
struct located {
    const char *real, *given;
    unsigned layer;
};

static int by_path(const void *left, const void *right)
{
    return strcmp(((const struct located *)left)->real, ((const struct located *)right)->real);
}

/* The same directory twice, or one lower inside another. Sorted, an outer path comes right before
 * what it holds, but for siblings that sort in between ("a", "a-b", "a/c"): those are walked over.
 *
 * A layer that an image has again further down, an empty one for instance, adds nothing there: each
 * name that it has, or hides, is decided where it stands uppermost. */
static int check_lowers(const struct stack *stack, char *const *real, bool of_image)
{
    cleanup_free struct located *sorted = malloc(stack->count * sizeof(*sorted));
    if (!sorted)
        return -ENOMEM;
    unsigned used = 0;
    for (unsigned i = 1; i < stack->count; i++)
        sorted[used++] =
            (struct located){.real = real[i], .given = stack->layers[i].path, .layer = i};
    qsort(sorted, used, sizeof(*sorted), by_path);
    for (unsigned i = 0; i + 1 < used; i++) {
        const struct located *outer = &sorted[i];
        size_t length = strlen(outer->real);
        for (const struct located *inner = outer + 1;
             inner < sorted + used && strncmp(inner->real, outer->real, length) == 0; inner++) {
            bool again = of_image && strcmp(inner->real, outer->real) == 0;
            if (!again && route_is_within(inner->real, outer->real) &&
                !lies_apart(stack, outer->layer, inner->real))
                return refuse_overlap("the layers", outer->given, inner->given,
                                      "each layer is a directory of its own, given once");
        }
    }
    return 0;
}

static int check_mountpoint(struct stack *stack, char *const *real, const char *mountpoint,
                            const char *work)
{
    for (unsigned i = stack->writable ? 0 : 1; i < stack->count; i++) {
        if (route_is_within(real[i], mountpoint))
            return refuse_overlap("the mountpoint", mountpoint, stack->layers[i].path,
                                  "the mount would hide its own layer; mount somewhere else");
        /* To look at it the daemon would ask itself, and hold its own mount. */
        const bool upper = stack->writable && i == 0;
        if (route_is_within(mountpoint, real[i]) && (upper || stack_set_apart(stack, i) != 0))
            return refuse_overlap("the mountpoint", mountpoint, stack->layers[i].path,
                                  "the mount would show itself; mount somewhere else");
    }
    if (work && route_is_within(work, mountpoint))
        return refuse_overlap("the mountpoint", mountpoint, work,
                              "the mount would hide its own work directory");
    return 0;
}

static int check_overlaps(struct stack *stack, const struct options *options)
{
    const char *work = options->work, *mountpoint = options->mountpoint;
    cleanup_free char **real = calloc(stack->count, sizeof(*real));
    errno = 0;
    cleanup_free char *real_work = work ? realpath(work, NULL) : NULL;
    int err = real ? 0 : -ENOMEM;
    /* One that is not there will be told of where it is opened. */
    if (!err && work && !real_work && errno != ENOENT)
        err = -errno;
    for (unsigned i = stack->writable ? 0 : 1; !err && i < stack->count; i++) {
        real[i] = stack_find_layer(&stack->layers[i]);
        err = real[i] ? 0 : -errno;
    }
    if (!err)
        err = check_lowers(stack, real, options->of_image);
    if (!err && stack->writable && real_work)
        err = check_writable_pair(stack, real, real_work);
    if (!err)
        err = check_mountpoint(stack, real, mountpoint, real_work);
    for (unsigned i = 0; real && i < stack->count; i++)
        free(real[i]);
    return err;
}

/* ---- opening ---- */

static int find_mountpoint(struct options *options)
{
    struct stat st;
    char *real = realpath(options->mountpoint, NULL);
    if (!real || stat(real, &st) < 0) {
        int err = -errno;
        log_error("cannot mount on %s: %s%s", options->mountpoint, strerror(-err),
                  err == -ENOENT ? "; make the directory first" : "");
        free(real);
        return err;
    }
    free(options->mountpoint);
    options->mountpoint = real;
    if (!S_ISDIR(st.st_mode)) {
        log_error("cannot mount on %s: not a directory", real);
        return -ENOTDIR;
    }
    return 0;
}

static int open_layers(const struct options *options, struct stack *stack, struct fdcache *fds)
{
    bool writable = options->upper && !options->read_only;
    unsigned count = options->lower_count + (options->upper ? 1 : 0), culprit = 0;
    cleanup_free const char **paths = calloc(count, sizeof(*paths));
    if (!paths)
        return -ENOMEM;
    unsigned at = 0;
    if (options->upper)
        paths[at++] = options->upper;
    for (unsigned i = 0; i < options->lower_count; i++)
        paths[at++] = options->lowers[i];
    int err = stack_open(stack, paths, count, writable, fds, &culprit);
    if (err == -E2BIG)
        log_error("%u layers are too many; plyfs takes %d", count, STACK_LAYERS_MAX - 1);
    else if (err)
        log_error("cannot open the layer %s: %s", paths[culprit], strerror(-err));
    return err ? err : stack_set_lowers_apart(stack);
}

static bool enabled(enum choice choice, bool by_default)
{
    return choice == CHOICE_DEFAULT ? by_default : choice == CHOICE_ON;
}

static void settle_features(const struct options *options, struct stack *stack)
{
    bool own = !options->drop_in;
    stack->features = (struct features){
        .redirect = enabled(options->redirect, own),
        .metacopy = enabled(options->metacopy, own) && !options->nofollow,
        .nofollow = options->nofollow,
        .index = enabled(options->index, own),
        .sync = !options->is_volatile && !options->no_sync,
        .mode_only = options->acl == CHOICE_OFF,
        .undated = options->undated,
    };
}

static void tell_upper_fault(const struct options *options, enum upper_fault fault, int err)
{
    switch (fault) {
    case UPPER_FAULT_UPPER_BUSY:
        log_error(
            "the upper layer %s is in use by another mount; unmount that first, or take another "
            "upper",
            options->upper);
        break;
    case UPPER_FAULT_WORK_BUSY:
        log_error("the work directory %s is in use by another mount; each mount needs its own",
                  options->work);
        break;
    case UPPER_FAULT_OTHER_FS:
        log_error(
            "the upper layer %s and the work directory %s are on different filesystems; put them "
            "on one",
            options->upper, options->work);
        break;
    case UPPER_FAULT_INCOMPATIBLE:
        log_error(
            "the work directory %s has the mark of a volatile mount that did not end cleanly "
            "(work/incompat/volatile): the upper layer %s may have lost writes; remove the mark to "
            "mount it all the same",
            options->work, options->upper);
        break;
    default:
        log_error("cannot use the work directory %s: %s", options->work, strerror(-err));
    }
}

/* Without --work the work directory is a neighbour of the upper. */
static int default_work(struct options *options)
{
    if (!options->upper || options->work || options->read_only)
        return 0;
    size_t length = strlen(options->upper);
    while (length > 1 && options->upper[length - 1] == '/')
        length--;
    if (asprintf(&options->work, "%.*s.work", (int)length, options->upper) < 0)
        return options->work = NULL, -ENOMEM;
    if (mkdir(options->work, 0755) == 0 || errno == EEXIST)
        return 0;
    int err = -errno;
    log_error("cannot make the work directory %s: %s; name one with --work", options->work,
              strerror(-err));
    return err;
}

/* The first range of a map of this namespace; how many are read of it. */
static int read_map(const char *path, unsigned long *inside, unsigned long *outside,
                    unsigned long *count)
{
    FILE *map = fopen(path, "re");
    if (!map)
        return 0;
    int read = fscanf(map, "%lu %lu %lu", inside, outside, count);
    fclose(map);
    return read;
}

static int read_uid_map(unsigned long *inside, unsigned long *outside, unsigned long *count)
{
    return read_map("/proc/self/uid_map", inside, outside, count);
}

static bool in_first_user_namespace(void)
{
    unsigned long inside = 1, outside = 1, count = 0;
    return read_uid_map(&inside, &outside, &count) == 3 && inside == 0 && outside == 0 &&
           count >= 4294967295UL;
}

/* An ordinary user, or one who is root of a user namespace of a single user. */
static bool is_alone(void)
{
    unsigned long inside, outside, count = 0;
    return geteuid() != 0 || (read_uid_map(&inside, &outside, &count) == 3 && count == 1);
}

static int open_upper(const struct options *options, struct stack *stack, int lock_fds[2])
{
    enum upper_fault fault;
    if (!stack->writable) {
        /* Nothing is written, but what is shown depends on whose books would be kept. */
        bool trusted = geteuid() == 0 && in_first_user_namespace() && !options->userxattr;
        stack->able.space = trusted ? OVLSPACE_TRUSTED : OVLSPACE_USER;
        return 0;
    }
    const bool index = stack->features.index;
    int err = upper_open(stack, options->work, options->userxattr, lock_fds, &fault);
    if (err) {
        tell_upper_fault(options, fault, err);
        return err;
    }
    if (options->is_volatile && (err = upper_mark_volatile(stack)) != 0) {
        log_error("cannot mark the work directory %s as volatile: %s", options->work,
                  strerror(-err));
        return err;
    }
    bool lost = stack->able.space == OVLSPACE_NONE &&
                (stack->features.redirect || stack->features.metacopy || index);
    if (lost) {
        log_warning(
            "the filesystem of %s takes no extended attributes: directories with a lower part "
            "cannot be renamed, a change of mode copies the whole file, and copying up one name of "
            "a hard-linked file parts it from the others",
            options->upper);
        stack->features.redirect = stack->features.metacopy = false;
    }
    return 0;
}

/* ---- the profile ---- */

/* The kernel hands files to passthrough for the administrator of the machine alone. */
static bool passthrough_allowed(void)
{
    return geteuid() == 0 && in_first_user_namespace();
}

/* The kernel's switch is off unless an administrator has turned it. */
static bool uring_allowed(void)
{
    char value = 'N';
    cleanup_fd int fd = open("/sys/module/fuse/parameters/enable_uring", O_RDONLY | O_CLOEXEC);
    return fd >= 0 && read(fd, &value, 1) == 1 && value == 'Y';
}

static void settle_rules(const struct options *options, struct tree *tree, struct rules *rules)
{
    const struct stack *stack = &tree->stack;
    const bool routed = options->routes.count > 0;
    rules->passthrough = options->passthrough != CHOICE_OFF && passthrough_allowed();
    tree->passthrough = tree_may_pass(stack->layers[stack->writable ? 0 : 1].root);
    rules->profile = options->profile;
    /* In a volume a change of the host is to be seen while a file is open. */
    /* Whoever comes to a volume's files in another way is to be kept from them as by a bind mount;
     * without volumes there is nobody, and the kernel is faster alone. */
    rules->shared_locks =
        enabled(options->shared_locks, routed && options->profile != PROFILE_STATELESS);
    bool tracked = routed || options->trace || rules->shared_locks ||
                   (rules->passthrough && tree->passthrough);
    if (rules->profile == PROFILE_AUTO)
        rules->profile = tracked ? PROFILE_TRACKED : PROFILE_STATELESS;
    rules->traced = options->trace;
    rules->coherent = routed || options->attachable;
    /* It makes small writes cheap, and costs a request at the first stat(2) after each close(2),
     * reads included: the kernel then doubts the number of blocks (fs/fuse/file.c, fuse_flush). A
     * tree is read more than it is written, and without it a write is in the upper when write(2)
     * returns. */
    rules->writeback = enabled(options->writeback, false) && stack->writable;
    /* Where owners are only recorded, whoever wrote them all down and alone can look into the mount
     * is as root in it: the kernel would keep him from his own files. It checks where there are
     * ACLs (fs/fuse/inode.c, process_init_reply). */
    rules->unchecked =
        stack->recorded && is_alone() && !options->allow_other_set && !options->default_permissions;
    rules->acl = options->acl != CHOICE_OFF && !rules->unchecked;
    /* Through rings nobody but the thread that has a request can answer it, and who waits for a
     * lock must not keep that from others. */
    rules->uring = enabled(options->uring, true) && uring_allowed() && !rules->shared_locks;
    /* A sealed layer cannot change and the upper is ours alone. */
    rules->timeout = options->timeout >= 0 ? options->timeout : 86400.0 * 365;
}

/* ---- recorded owners ---- */

/* What the upper's root is to say: what it says already, else what is on disk, and where that is so
 * because the layers have records, what the topmost of them says of its own root. */
static int mark_upper(const struct stack *stack, const char *attr, bool follow)
{
    const struct layer *upper = &stack->layers[0], *top = &stack->layers[1];
    struct stat st;
    int err = follow ? stack_stat(stack, 1, top->root, "", &st) : fd_stat(upper->root, "", &st);
    if (err || xattr_get(upper->root, "", attr, NULL, 0) > 0)
        return err;
    return record_write(attr, upper->root, "", &st);
}

static bool lowers_are_recorded(const struct stack *stack)
{
    bool recorded = false;
    for (unsigned i = 1; i < stack->count; i++)
        recorded = recorded || stack->layers[i].record;
    return recorded;
}

static void forget_records(struct stack *stack)
{
    for (unsigned i = 0; i < stack->count; i++)
        stack->layers[i].record = NULL;
    stack->recorded = false;
}

/* Where the upper's owners are recorded: as it was asked for, or as the upper itself says. Over
 * layers that have records whoever may not give files to everybody records too, for a copy-up could
 * not keep what is shown otherwise. */
static int settle_recording(const struct options *options, struct stack *stack)
{
    const bool asked = options->recording > RECORDING_OFF;
    if (options->recording == RECORDING_OFF)
        forget_records(stack);
    if (!stack->writable)
        return 0;
    bool follow = options->recording == RECORDING_AUTO && !stack->layers[0].record &&
                  lowers_are_recorded(stack) && !(geteuid() == 0 && in_first_user_namespace());
    if (!asked && !follow)
        return 0;
    const char *attr = stack->layers[0].record;
    if (!attr)
        attr = options->recording == RECORDING_PRIVILEGED ? RECORD_PRIVILEGED : RECORD_CONTAINERS;
    int err = mark_upper(stack, attr, follow);
    if (err && asked) {
        log_error("xattr_permissions: cannot write the attribute %s to %s: %s; %s", attr,
                  options->upper, strerror(-err),
                  options->recording == RECORDING_PRIVILEGED
                      ? "it needs privilege; 2 stands for one that does not"
                      : "its filesystem must take attributes of users");
        return err;
    }
    if (!err)
        stack_record_upper(stack, attr);
    return 0;
}

/* In a namespace of one id the kernel has no word for any other: who is shown as another could be
 * neither written to nor changed. What is recorded stays. */
static void squash_to_the_only(struct idtable *table, const char *map)
{
    unsigned long inside, outside, count = 0;
    if (!table->squashed && table->count == 0 && read_map(map, &inside, &outside, &count) == 3 &&
        count == 1)
        idtable_squash(table, (uint32_t)inside);
}

static void settle_owners(struct options *options, const struct stack *stack)
{
    if (!stack->recorded)
        return;
    squash_to_the_only(&options->map.users, "/proc/self/uid_map");
    squash_to_the_only(&options->map.groups, "/proc/self/gid_map");
}

static int open_tree(struct options *options, struct mount *mount, struct tree *tree,
                     int lock_fds[2])
{
    int err = open_layers(options, &tree->stack, mount->fds);
    if (err)
        return err;
    tree->stack.blanks = mount->chores.blanks;
    tree->stack.frozen = options->timeout < 0;
    tree->read_only = !tree->stack.writable;
    err = default_work(options);
    if (!err)
        err = check_overlaps(&tree->stack, options);
    settle_features(options, &tree->stack);
    if (!err)
        err = open_upper(options, &tree->stack, lock_fds);
    if (!err)
        err = settle_recording(options, &tree->stack);
    if (!err)
        settle_owners(options, &tree->stack);
    if (!err)
        err = mount_make_root(mount);
    if (!err)
        settle_rules(options, tree, &mount->rules);
    if (!err && mount->rules.shared_locks && mount->rules.profile == PROFILE_STATELESS) {
        log_error("shared_locks=on cannot go with the profile stateless, which is not told who "
                  "closes a file; leave --profile away, or take tracked");
        err = -EINVAL;
    }
    return err;
}

static int open_routes(const struct options *options, struct mount *mount)
{
    struct route_fault fault;
    int err = 0;
    for (unsigned i = 0; i < options->routes.count && !err; i++) {
        err = route_add(mount, &options->routes.at[i], &fault);
        if (err)
            log_error("%s", *fault.words ? fault.words : strerror(-err));
    }
    return err;
}

int plan_open(struct options *options, struct mount *mount, int lock_fds[2])
{
    lock_fds[0] = lock_fds[1] = -1;
    int err = find_mountpoint(options);
    if (err)
        return err;
    err = mount_init(mount);
    mount->at = options->mountpoint;
    if (!err)
        err = open_tree(options, mount, mount->trees[0], lock_fds);
    mount->map = idmap_is_plain(&options->map) ? NULL : &options->map;
    if (!err)
        err = open_routes(options, mount);
    if (err) {
        own_close(&lock_fds[0]);
        own_close(&lock_fds[1]);
        mount_finish(mount);
    }
    return err;
}
