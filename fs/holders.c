/* SPDX-License-Identifier: MIT
 *
 * Duty: read the links of /proc. What a link says is compared as text first, so no other filesystem
 * is asked anything; then its device says whether it is the very mount. Processes that end
 * meanwhile are no failure.
 */
#include "holders.h"

#include "fd.h"

#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct search {
    const char *mountpoint, *inside;
    uint64_t least;
    dev_t dev;
    struct holder holder;
    char path[PATH_MAX];
};

static bool begins(const char *path, const char *top, const char **rest)
{
    size_t length = strlen(top);
    *rest = path + length;
    return strncmp(path, top, length) == 0 && (path[length] == '/' || path[length] == 0);
}

/* Whether the text of a link leads to what is looked for: from here, or where the mount is the
 * root. */
static bool is_inside(const struct search *search, const char *path)
{
    const char *rest;
    if (begins(path, search->mountpoint, &rest) && begins(rest, search->inside, &rest))
        return true;
    return begins(path, search->inside, &rest);
}

/* Whether the link `name` of an open directory beneath /proc holds it. */
static bool link_holds(struct search *search, int dir, const char *name)
{
    struct stat st;
    ssize_t length = readlinkat(dir, name, search->path, sizeof(search->path) - 1);
    if (length < 0)
        return false;
    search->path[length] = 0;
    return is_inside(search, search->path) && fstatat(dir, name, &st, 0) == 0 &&
           st.st_dev == search->dev && st.st_ino >= search->least;
}

static DIR *open_names(int dir, const char *name)
{
    cleanup_fd int fd = fd_open_name(dir, name, O_RDONLY | O_DIRECTORY, 0);
    DIR *names = fd < 0 ? NULL : fdopendir(fd);
    if (names)
        fd = -1; /* now the stream's */
    return names;
}

static bool process_holds(struct search *search, int process)
{
    if (link_holds(search, process, "cwd") || link_holds(search, process, "root"))
        return true;
    cleanup_dir DIR *files = open_names(process, "fd");
    const struct dirent *entry;
    while (files && (entry = readdir(files))) {
        if (!fd_is_dot(entry->d_name) && link_holds(search, dirfd(files), entry->d_name))
            return true;
    }
    return false;
}

static void read_name(int process, char name[32])
{
    cleanup_fd int fd = fd_open_name(process, "comm", O_RDONLY, 0);
    ssize_t length = fd < 0 ? -1 : read(fd, name, 31);
    name[length > 0 ? length : 0] = 0;
    name[strcspn(name, "\n")] = 0;
}

int holders_each(const char *mountpoint, const char *inside, uint64_t least,
                 int (*each)(void *context, const struct holder *holder), void *context)
{
    struct stat st;
    struct search search = {.mountpoint = mountpoint, .inside = inside, .least = least};
    cleanup_dir DIR *processes = opendir("/proc");
    if (!processes || stat(mountpoint, &st) < 0)
        return -errno;
    search.dev = st.st_dev;
    const struct dirent *entry;
    while ((entry = readdir(processes))) {
        long pid = strtol(entry->d_name, NULL, 10);
        cleanup_fd int process =
            pid <= 0 ? -1
                     : fd_open_name(dirfd(processes), entry->d_name, O_RDONLY | O_DIRECTORY, 0);
        if (process < 0 || !process_holds(&search, process))
            continue;
        search.holder.pid = (pid_t)pid;
        search.holder.path = search.path;
        read_name(process, search.holder.name);
        int result = each(context, &search.holder);
        if (result)
            return result;
    }
    return 0;
}

/* ---- in words ---- */

struct words {
    FILE *to;
    unsigned count, most;
};

static int add_words(void *context, const struct holder *holder)
{
    struct words *words = context;
    if (words->count++ == words->most)
        return fputs(", ...", words->to) < 0 ? -EIO : 1;
    fprintf(words->to, "%s%s (%d)", words->count > 1 ? ", " : "", holder->name, (int)holder->pid);
    return 0;
}

char *holders_words(const char *mountpoint, const char *inside, uint64_t least, unsigned most)
{
    char *text = NULL;
    size_t size;
    struct words words = {.to = open_memstream(&text, &size), .most = most};
    if (!words.to)
        return NULL;
    int err = holders_each(mountpoint, inside, least, add_words, &words);
    if (fclose(words.to) == 0 && err >= 0 && words.count > 0)
        return text;
    free(text);
    return NULL;
}
