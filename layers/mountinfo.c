/* SPDX-License-Identifier: MIT
 *
 * Duty: statx(2) that does not synchronise, and the fields of /proc/self/mountinfo (proc(5)).
 */
#include "mountinfo.h"

#include "fd.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

int mountinfo_device(const char *path, dev_t *device)
{
    struct statx st;
    cleanup_fd int fd = open(path, O_PATH | O_CLOEXEC);
    /* Of somebody else's FUSE mount nobody, not even root, is told more than the device. */
    if (fd < 0 || statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, 0, &st) < 0)
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

/* A path as it is written there, in place: a blank is "\\040". */
static void unescape(char *text)
{
    char *to = text;
    for (const char *from = text; *from; to++) {
        unsigned byte;
        if (*from == '\\' && sscanf(from + 1, "%3o", &byte) == 1) {
            *to = (char)byte;
            from += 4;
        } else {
            *to = *from++;
        }
    }
    *to = 0;
}

/* What of `path` lies beneath `top`: "" right at it, else with a slash in front; NULL: nothing. */
static const char *beneath(const char *path, const char *top)
{
    const size_t length = strcmp(top, "/") == 0 ? 0 : strlen(top);
    if (strncmp(path, top, length) != 0 || (path[length] && path[length] != '/'))
        return NULL;
    return path + length;
}

/* The part of the filesystem that is mounted there, and where: both the caller's. */
static bool read_place(const char *line, dev_t device, char **part, char **at)
{
    *part = *at = NULL;
    if (!is_of(line, device) || sscanf(line, "%*u %*u %*s %ms %ms", part, at) != 2)
        return false;
    unescape(*part);
    unescape(*at);
    return true;
}

/* Of two mountpoints on the way the later line is the upper one. */
int mountinfo_inside(const char *real, dev_t device, char **inside)
{
    cleanup_free char *line = NULL;
    size_t room = 0, best = 0;
    int err = -ENOENT;
    FILE *file = fopen("/proc/self/mountinfo", "re");
    if (!file)
        return -errno;
    while (err != -ENOMEM && getline(&line, &room, file) > 0) {
        cleanup_free char *part = NULL, *at = NULL;
        const char *rest = read_place(line, device, &part, &at) ? beneath(real, at) : NULL;
        if (!rest || strlen(at) < best)
            continue;
        best = strlen(at);
        if (!err)
            free(*inside);
        const char *front = strcmp(part, "/") == 0 ? "" : part;
        err = asprintf(inside, "%s%s", front, *front || *rest ? rest : "/") < 0 ? -ENOMEM : 0;
    }
    fclose(file);
    return err;
}

static void mark_crossed(const char *at, char *const *directories, unsigned count, bool *crossed)
{
    for (unsigned i = 0; i < count; i++) {
        const char *rest = directories[i] ? beneath(at, directories[i]) : NULL;
        crossed[i] = crossed[i] || (rest && rest[0] && rest[1]);
    }
}

void mountinfo_crossed(char *const *directories, unsigned count, bool *crossed)
{
    cleanup_free char *line = NULL;
    size_t room = 0;
    memset(crossed, 0, count * sizeof(*crossed));
    FILE *file = fopen("/proc/self/mountinfo", "re");
    if (!file)
        return;
    while (getline(&line, &room, file) > 0) {
        cleanup_free char *at = NULL;
        if (sscanf(line, "%*u %*u %*s %*s %ms", &at) != 1)
            continue;
        unescape(at);
        mark_crossed(at, directories, count, crossed);
    }
    fclose(file);
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
