/* SPDX-License-Identifier: MIT
 *
 * Duty: two walks. The first, of the union, looks for each name on the host and remembers it; the
 * second, of the host, tells what was not remembered. Cost: the paths of what is hidden in memory,
 * and one reading of each pair of files of one size.
 */
#include "hostside.h"

#include "fd.h"
#include "nameset.h"
#include "place.h"
#include "sameness.h"
#include "shadow.h"
#include "treewalk.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>

struct comparison {
    const struct stack *stack;
    int host;
    struct nameset known; /* paths beneath the destination that the union has */
    int (*each)(void *context, const struct hostside_item *item);
    void *context;
};

const char *hostside_word(enum hostside_state state)
{
    static const char *const WORDS[] = {
        [HOSTSIDE_HIDDEN] = "hidden",
        [HOSTSIDE_SAME] = "same",
        [HOSTSIDE_DIFFERS] = "differs",
        [HOSTSIDE_NEW] = "new",
    };
    return WORDS[state];
}

/* ---- content ---- */

static int same_file(const struct comparison *comparison, const struct change *change,
                     const struct place *place, int host)
{
    cleanup_fd int hidden = place_open_data(comparison->stack, change, place);
    cleanup_fd int shown = fd_reopen(host, O_RDONLY);
    if (hidden < 0 || shown < 0)
        return hidden < 0 ? hidden : shown;
    return sameness_bytes(hidden, shown, NULL);
}

static int same_target(const struct place *place, int host)
{
    char hidden[PATH_MAX], shown[PATH_MAX];
    ssize_t length = readlinkat(place->dir, place->name, hidden, sizeof(hidden));
    if (length < 0)
        return -errno;
    ssize_t other = readlinkat(host, "", shown, sizeof(shown));
    if (other < 0)
        return -errno;
    return length == other && memcmp(hidden, shown, (size_t)length) == 0;
}

/* Whether what the union has and what the host has are the same: 1 or 0, or -errno. */
static int is_same(const struct comparison *comparison, const struct change *change, int host,
                   const struct stat *shown)
{
    const struct stat *hidden = &change->entry->st;
    if ((hidden->st_mode & S_IFMT) != (shown->st_mode & S_IFMT))
        return 0;
    if (S_ISREG(hidden->st_mode) && hidden->st_size != shown->st_size)
        return 0;
    if (!S_ISREG(hidden->st_mode) && !S_ISLNK(hidden->st_mode))
        return hidden->st_rdev == shown->st_rdev || S_ISDIR(hidden->st_mode);
    struct place place;
    int same = place_of(comparison->stack, change, &place);
    if (!same)
        same = S_ISREG(hidden->st_mode) ? same_file(comparison, change, &place, host)
                                        : same_target(&place, host);
    place_finish(comparison->stack, &place);
    return same;
}

/* ---- what is hidden ---- */

/* What the host has of a name; -ENOENT. */
static int open_shown(const struct comparison *comparison, const char *beneath)
{
    if (comparison->host < 0)
        return -ENOENT;
    int fd =
        *beneath ? fd_open_beneath(comparison->host, beneath, O_PATH) : fd_dup(comparison->host);
    if (!*beneath)
        return fd;
    /* A file or a symlink where the union has a directory: nothing lies beneath it. */
    return fd == -ENOTDIR || fd == -ELOOP ? -ENOENT : fd;
}

static int judge(const struct comparison *comparison, const struct shadow_item *hidden,
                 struct hostside_item *item)
{
    struct stat st;
    cleanup_fd int shown = open_shown(comparison, hidden->beneath);
    if (shown < 0)
        return shown == -ENOENT ? 0 : shown;
    int err = fd_stat(shown, "", &st);
    if (err)
        return err;
    int same = is_same(comparison, hidden->change, shown, &st);
    if (same < 0)
        return same;
    item->state = same ? HOSTSIDE_SAME : HOSTSIDE_DIFFERS;
    item->bytes = S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
    item->mode = st.st_mode;
    return 0;
}

static int tell_hidden(void *context, const struct shadow_item *hidden)
{
    uint32_t index;
    bool fresh;
    struct comparison *comparison = context;
    struct hostside_item item = {.beneath = hidden->beneath,
                                 .state = HOSTSIDE_HIDDEN,
                                 .mode = hidden->change->entry->st.st_mode,
                                 .layer = (int)hidden->layer,
                                 .bytes = hidden->bytes};
    int err = nameset_add(&comparison->known, hidden->beneath, &index, &fresh);
    if (!err)
        err = judge(comparison, hidden, &item);
    return err ? err : comparison->each(comparison->context, &item);
}

/* ---- what came on the host ---- */

static int tell_new(const struct comparison *comparison, const char *beneath, const struct stat *st)
{
    const struct hostside_item item = {.beneath = beneath,
                                       .state = HOSTSIDE_NEW,
                                       .mode = st->st_mode,
                                       .layer = -1,
                                       .bytes = S_ISREG(st->st_mode) ? (uint64_t)st->st_size : 0};
    if (nameset_find(&comparison->known, beneath) != NAMESET_NONE)
        return 0;
    return comparison->each(comparison->context, &item);
}

static int walk_host(const struct comparison *comparison)
{
    int err = 0, more;
    struct walk_step step;
    cleanup_treewalk struct treewalk *walk = treewalk_open(comparison->host, &err);
    if (!walk)
        return err;
    while (!err && (more = treewalk_next(walk, &step)) != 0) {
        if (more < 0)
            return more;
        if (!step.leaving && !fd_is_dot(step.path))
            err = tell_new(comparison, step.path, &step.st);
    }
    return err;
}

static int tell_host(const struct comparison *comparison)
{
    struct stat st;
    int err = fd_stat(comparison->host, "", &st);
    if (err)
        return err;
    return S_ISDIR(st.st_mode) ? walk_host(comparison) : tell_new(comparison, "", &st);
}

int hostside_compare(const struct stack *stack, const char *destination, int host,
                     int (*each)(void *context, const struct hostside_item *item), void *context)
{
    struct comparison comparison = {.stack = stack, .host = host, .each = each, .context = context};
    int err = shadow_walk(stack, destination, tell_hidden, &comparison);
    if (!err && host >= 0)
        err = tell_host(&comparison);
    nameset_finish(&comparison.known);
    return err;
}
