/* SPDX-License-Identifier: MIT
 *
 * Duty: the grammar of the recorded owner, mode and device. A value comes from a layer and may be
 * anything.
 */
#include "override.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static const struct {
    const char *word;
    mode_t type;
    bool device;
} TYPES[] = {
    {"dir", S_IFDIR, false},     {"file", S_IFREG, false}, {"pipe", S_IFIFO, false},
    {"socket", S_IFSOCK, false}, {"block", S_IFBLK, true}, {"char", S_IFCHR, true},
    {"symlink", S_IFLNK, false},
};
enum { TYPE_COUNT = sizeof(TYPES) / sizeof(TYPES[0]) };

size_t override_format(char text[OVERRIDE_MAX], const struct stat *st)
{
    int used = snprintf(text, OVERRIDE_MAX, "%u:%u:%04o", st->st_uid, st->st_gid,
                        (unsigned)st->st_mode & 07777);
    for (size_t i = 0; i < TYPE_COUNT; i++) {
        if (TYPES[i].type != (st->st_mode & S_IFMT))
            continue;
        char *end = text + used;
        size_t room = OVERRIDE_MAX - (size_t)used;
        used += TYPES[i].device ? snprintf(end, room, ":%s-%u-%u", TYPES[i].word,
                                           major(st->st_rdev), minor(st->st_rdev))
                                : snprintf(end, room, ":%s", TYPES[i].word);
    }
    return (size_t)used;
}

/* Takes a number that is followed by `end` (or by nothing, where end is 0). */
static bool take_number(const char **at, unsigned base, char end, uint32_t most, uint32_t *number)
{
    uint64_t value = 0;
    const char *from = *at;
    for (; **at >= '0' && **at < (char)('0' + base); (*at)++) {
        value = value * base + (uint64_t)(**at - '0');
        if (value > most)
            return false;
    }
    if (*at == from || **at != end)
        return false;
    *at += end != 0;
    *number = (uint32_t)value;
    return true;
}

/* "TYPE" or "TYPE-MAJOR-MINOR". */
static bool take_type(const char *text, mode_t *type, dev_t *device)
{
    uint32_t high, low;
    for (size_t i = 0; i < TYPE_COUNT; i++) {
        size_t length = strlen(TYPES[i].word);
        if (strncmp(text, TYPES[i].word, length) != 0)
            continue;
        const char *at = text + length;
        *type = TYPES[i].type;
        if (!TYPES[i].device)
            return *at == 0;
        if (*at++ != '-' || !take_number(&at, 10, '-', UINT32_MAX, &high) ||
            !take_number(&at, 10, 0, UINT32_MAX, &low))
            return false;
        *device = makedev(high, low);
        return true;
    }
    return false;
}

bool override_counts(enum treekind kind)
{
    return kind == TREEKIND_LAYER || geteuid() != 0;
}

bool override_apply(const char *value, size_t size, struct stat *st)
{
    char text[OVERRIDE_MAX];
    uint32_t uid, gid, mode;
    mode_t type = st->st_mode & S_IFMT;
    dev_t device = st->st_rdev;
    if (size >= sizeof(text) || memchr(value, 0, size))
        return false;
    memcpy(text, value, size);
    text[size] = 0;
    const char *at = text;
    if (!take_number(&at, 10, ':', UINT32_MAX - 1, &uid) ||
        !take_number(&at, 10, ':', UINT32_MAX - 1, &gid))
        return false;
    const char *rest = strchr(at, ':');
    if (!take_number(&at, 8, rest ? ':' : 0, S_IFMT | 07777, &mode) ||
        (rest && !take_type(rest + 1, &type, &device)))
        return false;
    mode_t stands = st->st_mode & S_IFMT;
    if (type != stands && (stands != S_IFREG || type == S_IFDIR || type == S_IFLNK))
        return false;
    if ((mode & S_IFMT) && (mode & S_IFMT) != type)
        return false;
    /* That is a whiteout, which nobody can make either. */
    if (type == S_IFCHR && device == makedev(0, 0) && stands == S_IFREG)
        return false;
    if (type != stands)
        st->st_size = 0;
    st->st_uid = uid;
    st->st_gid = gid;
    st->st_mode = type | (mode & 07777);
    st->st_rdev = device;
    return true;
}
