/* SPDX-License-Identifier: MIT
 *
 * Duty: statx(2) that does not synchronise, and the fields of /proc/self/mountinfo (proc(5)).
 */
#include "mountinfo.h"

#include "fd.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

int mountinfo_device(const char *path, dev_t *device)
{
    struct statx st;
    cleanup_fd int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0 || statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &st) < 0)
        return -errno;
    *device = makedev(st.stx_dev_major, st.stx_dev_minor);
    return 0;
}

static bool is_of(const char *line, dev_t device)
{
    unsigned here_major, here_minor;
    return sscanf(line, "%*u %*u %u:%u", &here_major, &here_minor) == 2 &&
           makedev(here_major, here_minor) == device;
}

/* Of "36 35 0:42 / /mnt rw shared:1 - fuse.plyfs plyfs rw,user_id=0,group_id=0": what follows
 * "user_id=" where the device is this one and the type is FUSE's. */
static bool read_owner(const char *line, dev_t device, uid_t *owner)
{
    unsigned id;
    const char *type = strstr(line, " - fuse");
    const char *field = type ? strstr(type, "user_id=") : NULL;
    if (!is_of(line, device) || !field || sscanf(field, "user_id=%u", &id) != 1)
        return false;
    *owner = id;
    return true;
}

int mountinfo_fuse_owner(dev_t device, uid_t *owner)
{
    cleanup_free char *line = NULL;
    size_t room = 0;
    bool found = false;
    FILE *file = fopen("/proc/self/mountinfo", "re");
    if (!file)
        return -errno;
    while (!found && getline(&line, &room, file) > 0)
        found = read_owner(line, device, owner);
    fclose(file);
    return found ? 0 : -ENOENT;
}

/* The optional fields end with a hyphen of their own; blanks in paths are written as "\\040". */
static bool is_shared(const char *line)
{
    const char *end = strstr(line, " - "), *field = strstr(line, " shared:");
    return end && field && field < end;
}

bool mountinfo_is_private(dev_t device)
{
    cleanup_free char *line = NULL;
    size_t room = 0;
    bool found = false, shared = false;
    FILE *file = fopen("/proc/self/mountinfo", "re");
    if (!file)
        return false;
    while (!shared && getline(&line, &room, file) > 0) {
        bool here = is_of(line, device);
        found = found || here;
        shared = here && is_shared(line);
    }
    fclose(file);
    return found && !shared;
}
