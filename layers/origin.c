/* SPDX-License-Identifier: MIT
 *
 * Duty: the kernel's origin format, to the byte. Layout (packed): version 0, magic 0xfb, length of
 * the whole, flags (0 on a little-endian machine, 1 on a big-endian one), handle type, uuid of 16
 * bytes, handle.
 */
#include "origin.h"

#include "fd.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

enum { AT_VERSION, AT_MAGIC, AT_LENGTH, AT_FLAGS, AT_TYPE, AT_UUID, AT_HANDLE = AT_UUID + 16 };
enum { MAGIC = 0xfb };

enum { BIG_ENDIAN_FLAG = 1 };
static const uint8_t CPU_ENDIAN_FLAG = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? BIG_ENDIAN_FLAG : 0;

/* FS_IOC_GETFSUUID of linux/fs.h, which Linux 6.9 brought; declared here for older headers. */
struct fs_uuid {
    uint8_t length;
    uint8_t uuid[16];
};
#define PLYFS_IOC_GETFSUUID _IOR(0x15, 0, struct fs_uuid)

int backing_probe(struct backing *backing, int dir, dev_t dev)
{
    struct fs_uuid found = {0};
    *backing = (struct backing){.dev = dev, .root = dir};
    if (ioctl(dir, PLYFS_IOC_GETFSUUID, &found) < 0)
        return fd_is_fault(-errno) ? -errno : 0;
    backing->has_uuid = found.length == 16;
    memcpy(backing->uuid, found.uuid, 16);
    return 0;
}

/* A file_handle with the room behind it that name_to_handle_at(2) wants. */
union handle {
    struct file_handle head;
    char room[sizeof(struct file_handle) + 128];
};

/* On such a filesystem; in a kernel without them; or where a container's filter answers for it. */
static bool has_no_handles(int number)
{
    return number == EOPNOTSUPP || number == EOVERFLOW || number == ENOSYS || number == EPERM;
}

int origin_of(const struct backing *backing, int dir, const char *name, struct origin *origin)
{
    origin->size = 0;
    if (!backing->has_uuid)
        return 0;
    union handle handle;
    int mount_id;
    handle.head.handle_bytes = 128;
    if (name_to_handle_at(dir, name, &handle.head, &mount_id, AT_EMPTY_PATH) < 0)
        return has_no_handles(errno) ? 0 : -errno;
    if (handle.head.handle_type < 0 || handle.head.handle_type > 0xfe)
        return 0;
    size_t length = AT_HANDLE + handle.head.handle_bytes;
    origin->bytes[AT_VERSION] = 0;
    origin->bytes[AT_MAGIC] = MAGIC;
    origin->bytes[AT_LENGTH] = (uint8_t)length;
    origin->bytes[AT_FLAGS] = CPU_ENDIAN_FLAG;
    origin->bytes[AT_TYPE] = (uint8_t)handle.head.handle_type;
    memcpy(origin->bytes + AT_UUID, backing->uuid, 16);
    memcpy(origin->bytes + AT_HANDLE, handle.head.f_handle, handle.head.handle_bytes);
    origin->size = length;
    return 0;
}

int origin_stat(const struct backing *backing, const struct origin *origin, struct stat *st)
{
    const uint8_t *bytes = origin->bytes;
    if (origin->size <= AT_HANDLE || bytes[AT_LENGTH] != origin->size || bytes[AT_VERSION] != 0 ||
        bytes[AT_MAGIC] != MAGIC || (bytes[AT_FLAGS] & BIG_ENDIAN_FLAG) != CPU_ENDIAN_FLAG)
        return -ESTALE;
    if (!backing->has_uuid || memcmp(bytes + AT_UUID, backing->uuid, 16) != 0)
        return -ESTALE;
    union handle handle;
    handle.head.handle_bytes = (unsigned)(origin->size - AT_HANDLE);
    handle.head.handle_type = bytes[AT_TYPE];
    memcpy(handle.head.f_handle, bytes + AT_HANDLE, handle.head.handle_bytes);
    cleanup_fd int fd = open_by_handle_at(backing->root, &handle.head, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    return fd_stat(fd, "", st);
}

void origin_hex(const struct origin *origin, char hex[ORIGIN_HEX_MAX])
{
    for (size_t i = 0; i < origin->size; i++)
        snprintf(hex + 2 * i, 3, "%02x", origin->bytes[i]);
    hex[2 * origin->size] = 0;
}
