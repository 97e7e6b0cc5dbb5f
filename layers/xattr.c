/* SPDX-License-Identifier: MIT
 *
 * Duty: reach attributes by directory and name. Linux 6.13 has calls for that (setxattrat and its
 * kin), which take no O_PATH descriptor for the object itself, but a directory's own name ".";
 * before it, and for what else has such a descriptor or is a directory that may not be searched,
 * the way is a path under /proc/self/fd, which costs three times as much.
 */
#include "xattr.h"

#include "fd.h"

#include <fcntl.h>
#include <linux/limits.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

/* Where the C library does not know the numbers yet: these are the same on all architectures that
 * count as the others do. */
#if !defined(SYS_setxattrat) && !defined(__mips__) && !defined(__alpha__) && !defined(__ILP32__)
#define SYS_setxattrat 463
#define SYS_getxattrat 464
#define SYS_listxattrat 465
#define SYS_removexattrat 466
#endif

enum { AT_FLAGS = AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH };

/* struct xattr_args of linux/xattr.h. */
struct value_args {
    _Alignas(8) uint64_t value;
    uint32_t size;
    uint32_t flags;
};

enum { UNKNOWN, WITH_AT, WITH_PROC };
static atomic_int way;

void xattr_use_proc(bool always)
{
    atomic_store(&way, always ? WITH_PROC : UNKNOWN);
}

#ifdef SYS_setxattrat
/* A filter of system calls may answer EPERM where a kernel without them answers ENOSYS. */
static bool has_at(void)
{
    int known = atomic_load_explicit(&way, memory_order_relaxed);
    if (known == UNKNOWN) {
        bool refused = syscall(SYS_listxattrat, AT_FDCWD, "/", AT_FLAGS, NULL, 0) < 0 &&
                       (errno == ENOSYS || errno == EPERM);
        known = refused ? WITH_PROC : WITH_AT;
        atomic_store_explicit(&way, known, memory_order_relaxed);
    }
    return known == WITH_AT;
}

/* The descriptor is an O_PATH one: of a directory, perhaps. */
static bool wants_dot(long answer, const char *name)
{
    return answer < 0 && errno == EBADF && *name == 0;
}

/* Whether the answer of an *at call stands. */
static bool stands(long answer)
{
    return answer >= 0 || (errno != EBADF && errno != ENOTDIR && errno != EACCES);
}
#else
#define has_at() false
#define wants_dot(answer, name) false
#define stands(answer) true
#define SYS_setxattrat 0
#define SYS_getxattrat 0
#define SYS_listxattrat 0
#define SYS_removexattrat 0
#endif

static long answer_of(long done)
{
    return done < 0 ? -errno : done;
}

ssize_t xattr_list(int dir, const char *name, char *names, size_t size)
{
    char path[FD_PATH_MAX];
    if (has_at()) {
        long length = syscall(SYS_listxattrat, dir, name, AT_FLAGS, names, size);
        if (wants_dot(length, name))
            length = syscall(SYS_listxattrat, dir, ".", AT_FLAGS, names, size);
        if (stands(length))
            return answer_of(length);
    }
    bool follow = fd_proc_path(path, dir, name);
    return answer_of(follow ? listxattr(path, names, size) : llistxattr(path, names, size));
}

ssize_t xattr_list_all(int dir, const char *name, char **names)
{
    char small[512];
    *names = NULL;
    ssize_t length = xattr_list(dir, name, small, sizeof(small));
    bool fits = length != -ERANGE;
    if (length == 0 || (length < 0 && fits))
        return length;
    cleanup_free char *all = malloc(fits ? (size_t)length : XATTR_LIST_MAX);
    if (!all)
        return -ENOMEM;
    if (fits)
        memcpy(all, small, (size_t)length);
    else
        length = xattr_list(dir, name, all, XATTR_LIST_MAX);
    if (length > 0)
        *names = steal_ptr(&all);
    return length;
}

ssize_t xattr_get(int dir, const char *name, const char *attr, void *value, size_t size)
{
    char path[FD_PATH_MAX];
    if (has_at()) {
        struct value_args args = {.value = (uintptr_t)value, .size = (uint32_t)size};
        long length = syscall(SYS_getxattrat, dir, name, AT_FLAGS, attr, &args, sizeof(args));
        if (wants_dot(length, name))
            length = syscall(SYS_getxattrat, dir, ".", AT_FLAGS, attr, &args, sizeof(args));
        if (stands(length))
            return answer_of(length);
    }
    bool follow = fd_proc_path(path, dir, name);
    return answer_of(follow ? getxattr(path, attr, value, size)
                            : lgetxattr(path, attr, value, size));
}

int xattr_set(int dir, const char *name, const char *attr, const void *value, size_t size,
              int flags)
{
    char path[FD_PATH_MAX];
    if (has_at()) {
        const struct value_args args = {
            .value = (uintptr_t)value, .size = (uint32_t)size, .flags = (uint32_t)flags};
        long done = syscall(SYS_setxattrat, dir, name, AT_FLAGS, attr, &args, sizeof(args));
        if (wants_dot(done, name))
            done = syscall(SYS_setxattrat, dir, ".", AT_FLAGS, attr, &args, sizeof(args));
        if (stands(done))
            return (int)answer_of(done);
    }
    bool follow = fd_proc_path(path, dir, name);
    return (int)answer_of(follow ? setxattr(path, attr, value, size, flags)
                                 : lsetxattr(path, attr, value, size, flags));
}

int xattr_remove(int dir, const char *name, const char *attr)
{
    char path[FD_PATH_MAX];
    if (has_at()) {
        long done = syscall(SYS_removexattrat, dir, name, AT_FLAGS, attr);
        if (wants_dot(done, name))
            done = syscall(SYS_removexattrat, dir, ".", AT_FLAGS, attr);
        if (stands(done))
            return (int)answer_of(done);
    }
    bool follow = fd_proc_path(path, dir, name);
    return (int)answer_of(follow ? removexattr(path, attr) : lremovexattr(path, attr));
}
