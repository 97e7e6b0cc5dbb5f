/* SPDX-License-Identifier: MIT
 *
 * Duty: decide what a name means. A walk goes through the sealed sources of the parent directory,
 * top to bottom; a redirect found on the way sends it elsewhere (a sibling name in the same
 * sources, or an absolute path in the layers beneath). Each step asks one source for one name.
 *
 * Invariants: a walk only ever goes down the stack, so redirects in circles end; a step opens
 * nothing but single names in directories opened beneath the layer's root.
 *
 * Cost: a name in an upper directory is one stat and one llistxattr; a name in one source one stat;
 * a name in many sources one hash lookup and the stats of the layers that have it, or a stat of
 * each source as long as that is cheaper than to merge them (merge.h).
 */
#include "resolve.h"

#include "fd.h"
#include "linkindex.h"
#include "merge.h"
#include "pathjoin.h"
#include "record.h"
#include "whiteout.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

/* ---- the walk ---- */

struct walk {
    const struct stack *stack;
    const struct sources *from; /* the list being walked; borrowed */
    unsigned at, end;           /* next index into it, and where it ends */
    const char *tail;           /* the name, or the absolute path, looked for in each source */
    char *owned;                /* storage of tail after a redirect */
    bool checked;               /* a merge has already weighed the `.wh.` files */
    bool beside;                /* none has: one beside the very name hides what lies beneath */
};

/* What one step found. */
struct found {
    struct stat st;
    uint8_t held; /* HELD_* */
    uint16_t layer;
    char *path; /* from the layer's root; owned by found */
    bool last;  /* nothing lies beneath this layer */
    /* An opaque directory on the way to it hides what lies beneath. As in the kernel
     * (fs/overlayfs, ovl_lookup_single) an absolute redirect leads out of it, and the data of a
     * metacopy file lies beneath all the same. */
    bool ended;
};

static void found_finish(struct found *found)
{
    free(found->path);
    found->path = NULL;
}

static void walk_finish(struct walk *walk)
{
    free(walk->owned);
}

static bool is_single(const struct sources *sources)
{
    return sources && sources->count == 1;
}

/* Begins a walk for a plain name, narrowed to the sources that have it where a merge can tell. */
static int walk_begin(struct walk *walk, const struct stack *stack, const struct sources *sources,
                      const char *name, bool narrow)
{
    *walk = (struct walk){.stack = stack, .from = sources, .tail = name};
    walk->end = sources ? sources->count : 0;
    if (!sources || !narrow)
        return 0;
    int err = 0;
    struct merge *merge =
        is_single(sources) ? merge_of_single(stack, sources) : merge_if_worth(stack, sources, &err);
    walk->beside = !merge && !is_single(sources);
    if (!merge)
        return err;
    const struct merge_name *known = merge_find(merge, name);
    if (!known || known->hidden) {
        walk->end = 0;
    } else {
        walk->at = known->first;
        walk->end = known->last + 1u;
    }
    walk->checked = true;
    merge_release(stack->merges, merge);
    return 0;
}

/* Whether a redirect value can be true: absolute without odd components, or one sibling name. */
static bool redirect_is_sane(const char *value)
{
    if (value[0] != '/')
        return value[0] && !strchr(value, '/') && !fd_is_dot(value);
    for (const char *at = value; *at;) {
        at += *at == '/';
        size_t length = strcspn(at, "/");
        if (length == 0 || length > NAME_MAX || (length == 1 && at[0] == '.') ||
            (length == 2 && at[0] == '.' && at[1] == '.'))
            return false;
        at += length;
    }
    return true;
}

/* Sends the walk to where `value`, found in `layer`, points. Takes ownership of value. */
static int walk_redirect(struct walk *walk, unsigned layer, char *value)
{
    cleanup_free char *owned = value;
    if (!redirect_is_sane(value))
        return -EIO;
    if (value[0] == '/') {
        memmove(value, value + 1, strlen(value));
        walk->from = walk->stack->root;
        walk->at = 0;
        walk->end = walk->from ? walk->from->count : 0;
        while (walk->at < walk->end && walk->from->at[walk->at].layer <= layer)
            walk->at++;
    } else {
        const char *slash = strrchr(walk->tail, '/');
        if (slash) {
            char *joined = NULL;
            if (asprintf(&joined, "%.*s/%s", (int)(slash - walk->tail), walk->tail, value) < 0)
                return -ENOMEM;
            free(owned);
            owned = joined;
        }
        /* Under its other name the sources were not weighed: every one beneath is asked. */
        if (walk->from)
            walk->end = walk->from->count;
    }
    free(walk->owned);
    walk->tail = walk->owned = steal_ptr(&owned);
    walk->checked = walk->beside = false;
    return 0;
}

/* Reads the redirect of (dir, name). NULL and 0 when it has none. */
static char *read_redirect(enum ovlwhere where, int dir, const char *name, int *err)
{
    char *value = malloc(PATH_MAX + 1);
    if (!value) {
        *err = -ENOMEM;
        return NULL;
    }
    ssize_t length = ovlattr_get_owned(where, dir, name, OVLATTR_REDIRECT, value, PATH_MAX);
    if (length < 0) {
        free(value);
        *err = length == -ENODATA ? 0 : (int)length;
        return NULL;
    }
    value[length] = 0;
    *err = strlen(value) == (size_t)length ? 0 : -EIO;
    if (*err) {
        free(value);
        return NULL;
    }
    return value;
}

enum step { STEP_ABSENT, STEP_FOUND, STEP_STOP };

/* What the filesystem of a layer keeps from being changed, as statx(2) tells. */
static uint8_t held_by(uint64_t attributes)
{
    return (uint8_t)((attributes & STATX_ATTR_IMMUTABLE ? HELD_IMMUTABLE : 0) |
                     (attributes & STATX_ATTR_APPEND ? HELD_APPEND : 0));
}

/* Asks an open source for one name. STEP_STOP: a whiteout, nothing beneath counts. */
static int ask(const struct walk *walk, const struct source *source, int dir, const char *name,
               struct found *found)
{
    struct stat *st = &found->st;
    uint64_t attributes = 0;
    if (whiteout_is_name(name))
        return STEP_ABSENT;
    int err = fd_stat_more(dir, name, st, &attributes);
    found->held = held_by(attributes);
    if (err == -ENOENT || err == -ENAMETOOLONG || err == -ENOTDIR) {
        int white = !walk->checked && walk->at < walk->end ? whiteout_file_exists(dir, name) : 0;
        return white < 0 ? white : white ? STEP_STOP : STEP_ABSENT;
    }
    if (err)
        return err;
    if (whiteout_is_device(st))
        return STEP_STOP;
    /* The mark is of the directory that the source names; a path leads to others beneath it. */
    bool maybe_attr = source->xwhiteouts || strchr(walk->tail, '/');
    int marked = maybe_attr ? whiteout_is_marked(dir, name, st) : 0;
    if (marked)
        return marked < 0 ? marked : STEP_STOP;
    err = record_read(walk->stack->layers[source->layer].record, dir, name, st);
    return err ? err : STEP_FOUND;
}

/* What is written on a lower directory. */
struct marks {
    ovlset attrs;
    bool opaque;
    bool xwhiteouts; /* attribute whiteouts are in it */
};

/* The letter of an opaque attribute; 0 for a longer value, and for one that may not be read. */
static int read_opaque(enum ovlwhere where, int dir, const char *name, char *value)
{
    ssize_t size = ovlattr_get(where, dir, name, OVLATTR_OPAQUE, value, 1);
    if (size == 1)
        return 0;
    *value = 0;
    return size >= 0 || size == -ERANGE || size == -ENODATA || size == -EACCES ? 0 : (int)size;
}

static int read_marks(const struct stack *stack, unsigned layer, const char *path,
                      struct marks *marks)
{
    int err = 0;
    char value = 0;
    struct stat st;
    struct fdref *ref = stack_lower_dir(stack, layer, path, &err);
    if (!ref)
        return err;
    /* By the name "." it is one call; of an O_PATH descriptor itself none is answered. */
    err = ovlattr_list(OVLWHERE_SEALED, ref->fd, ".", &marks->attrs);
    if (!err && ovlset_has(marks->attrs, OVLATTR_OPAQUE))
        err = read_opaque(OVLWHERE_SEALED, ref->fd, ".", &value);
    marks->opaque = value == 'y';
    if (!err && !marks->opaque) {
        err = fd_stat(ref->fd, WHITEOUT_OPAQUE, &st);
        marks->opaque = err == 0;
        err = err == -ENOENT ? 0 : err;
    }
    marks->xwhiteouts = value == 'x';
    fdref_release(stack->fds, ref);
    return err;
}

/* Where the layers beneath are to look instead, when a component of `path` is itself redirected.
 * `rest` is what follows that component in the path; `now` is the path so far, given and replaced.
 */
static int reroute(char **now, const char *rest, const char *value)
{
    char *joined = NULL;
    if (!redirect_is_sane(value))
        return -EIO;
    size_t keep = strlen(*now) - strlen(rest) - 1; /* up to the end of the component */
    while (keep > 0 && (*now)[keep - 1] != '/')
        keep--;
    int length = value[0] == '/' ? asprintf(&joined, "%s/%s", value + 1, rest)
                                 : asprintf(&joined, "%.*s%s/%s", (int)keep, *now, value, rest);
    if (length < 0)
        return -ENOMEM;
    free(*now);
    *now = joined;
    return 0;
}

/* Weighs the directory `prefix`, whose parent's path ends at `leaf`, on the way of a redirect. */
static int weigh_parent(const struct walk *walk, const struct source *source, char *prefix,
                        bool *stop_after, char **value)
{
    int err = 0;
    struct found found;
    char *parent_end = strrchr(prefix, '/');
    const char *leaf = parent_end ? parent_end + 1 : prefix;
    cleanup_free char *parent = strndup(prefix, parent_end ? (size_t)(parent_end - prefix) : 0);
    if (!parent)
        return -ENOMEM;
    struct fdref *ref = stack_lower_dir(walk->stack, source->layer, parent, &err);
    if (!ref)
        return err == -ENOENT ? STEP_ABSENT : err;
    int step = ask(walk, source, ref->fd, leaf, &found);
    if (step == STEP_FOUND && !S_ISDIR(found.st.st_mode))
        step = STEP_STOP;
    struct marks marks = {0};
    if (step == STEP_FOUND)
        err = read_marks(walk->stack, source->layer, prefix, &marks);
    if (marks.opaque)
        *stop_after = true;
    else if (!err && ovlset_has(marks.attrs, OVLATTR_REDIRECT))
        *value = read_redirect(OVLWHERE_SEALED, ref->fd, leaf, &err);
    if (*value && **value == '/')
        *stop_after = false;
    fdref_release(walk->stack->fds, ref);
    return err ? err : step;
}

/* The components of an absolute redirect but the last are weighed in the layer they lie in: a
 * whiteout, a file or an opaque directory among them ends the walk there, a redirect sends the
 * layers beneath elsewhere (*next, owned by the caller), also where the layer has nothing of what
 * follows. Returns a step. */
static int weigh_parents(const struct walk *walk, const struct source *source, const char *path,
                         bool *stop_after, char **next)
{
    cleanup_free char *prefix = strdup(path);
    cleanup_free char *now = strdup(path);
    int step = STEP_FOUND;
    bool moved = false;
    if (!prefix || !now)
        return -ENOMEM;
    for (char *slash = strchr(prefix, '/'); slash; slash = strchr(slash + 1, '/')) {
        cleanup_free char *value = NULL;
        *slash = 0;
        step = weigh_parent(walk, source, prefix, stop_after, &value);
        *slash = '/';
        if (step != STEP_FOUND)
            break;
        if (value) {
            int err = reroute(&now, slash + 1, value);
            if (err)
                return err;
            moved = true;
        }
    }
    *next = moved ? steal_ptr(&now) : NULL;
    return step;
}

/* A `.wh.` file beside a name that was found leaves it, and ends the walk. Returns a step. */
static int weigh_beside(struct walk *walk, int dir, const char *name)
{
    int white = walk->beside && walk->at < walk->end ? whiteout_file_exists(dir, name) : 0;
    if (white > 0)
        walk->end = walk->at;
    return white < 0 ? white : STEP_FOUND;
}

/* The last component of what is looked for. *path, the caller's: from the layer's root. */
static int ask_for_leaf(struct walk *walk, const struct source *source, struct found *found,
                        char **path)
{
    int err = 0;
    char *full = *path = path_join(source->path, walk->tail);
    if (!full)
        return -ENOMEM;
    char *leaf = strrchr(full, '/');
    cleanup_free char *parent = strndup(full, leaf ? (size_t)(leaf - full) : 0);
    struct fdref *ref = parent ? stack_lower_dir(walk->stack, source->layer, parent, &err) : NULL;
    if (!ref)
        return parent ? (err == -ENOENT || err == -ENOTDIR ? STEP_ABSENT : err) : -ENOMEM;
    const char *name = leaf ? leaf + 1 : full;
    int step = ask(walk, source, ref->fd, name, found);
    if (step == STEP_FOUND)
        step = weigh_beside(walk, ref->fd, name);
    fdref_release(walk->stack->fds, ref);
    return step;
}

/* One source of the walk. */
static int walk_step(struct walk *walk, const struct source *source, struct found *found)
{
    int step = STEP_FOUND;
    bool stop_after = false;
    cleanup_free char *next = NULL;
    cleanup_free char *full = NULL;
    if (strchr(walk->tail, '/'))
        step = weigh_parents(walk, source, walk->tail, &stop_after, &next);
    if (step == STEP_FOUND)
        step = ask_for_leaf(walk, source, found, &full);
    if (step < 0)
        return step;
    if (stop_after && !(step == STEP_FOUND && S_ISREG(found->st.st_mode)))
        walk->at = walk->end;
    if (next) {
        free(walk->owned);
        walk->tail = walk->owned = steal_ptr(&next);
    }
    if (step == STEP_FOUND) {
        found->layer = source->layer;
        found->path = steal_ptr(&full);
        found->last = source->layer + 1u == walk->stack->count;
        found->ended = stop_after;
    }
    return step;
}

/* The next layer that has the name: 1, or 0 at the end, or -errno. */
static int walk_next(struct walk *walk, struct found *found)
{
    while (walk->at < walk->end) {
        const struct source *source = &walk->from->at[walk->at++];
        int step = walk_step(walk, source, found);
        if (step == STEP_FOUND)
            return 1;
        if (step == STEP_STOP)
            walk->at = walk->end;
        else if (step < 0)
            return step;
    }
    return 0;
}

/* ---- directories and data ---- */

/* Goes on with a directory walk after `found`: follows its redirect, ends at its opaque mark. In
 * the lowest layer there is nothing to hide, and as in the kernel no mark is asked for. */
static int walk_past_dir(struct walk *walk, const struct found *found, bool *xwhiteouts)
{
    struct marks marks = {0};
    *xwhiteouts = false;
    int err = found->last ? 0 : read_marks(walk->stack, found->layer, found->path, &marks);
    if (err)
        return err;
    *xwhiteouts = marks.xwhiteouts;
    if (found->last || marks.opaque) {
        walk->at = walk->end;
        return 0;
    }
    if (!ovlset_has(marks.attrs, OVLATTR_REDIRECT))
        return 0;
    if (walk->stack->features.nofollow)
        return -EPERM;
    struct fdref *ref = stack_lower_dir(walk->stack, found->layer, found->path, &err);
    if (!ref)
        return err;
    char *value = read_redirect(OVLWHERE_SEALED, ref->fd, "", &err);
    fdref_release(walk->stack->fds, ref);
    if (!value || (found->ended && value[0] != '/')) {
        free(value);
        return err;
    }
    return walk_redirect(walk, found->layer, value);
}

/* Collects the sources of a directory; `first`, when given, is a step already made. */
static int collect_dirs(struct walk *walk, struct found *first, struct entry *entry)
{
    struct sources_builder builder = {0};
    struct found found = {0};
    int more = 1, err = 0;
    if (first) {
        found = *first;
        first->path = NULL;
    } else {
        more = walk_next(walk, &found);
    }
    while (more > 0 && !err && S_ISDIR(found.st.st_mode)) {
        if (builder.count == 0)
            entry->ino = stack_ino(walk->stack, found.layer, found.st.st_ino);
        bool xwhiteouts;
        err = walk_past_dir(walk, &found, &xwhiteouts);
        if (!err)
            err = sources_add(&builder, found.layer, found.path, xwhiteouts);
        found_finish(&found);
        if (!err)
            more = walk_next(walk, &found);
    }
    found_finish(&found);
    if (!err && more < 0)
        err = more;
    if (err) {
        sources_builder_finish(&builder);
        return err;
    }
    entry->sources = sources_build(&builder, &err);
    return err;
}

/* Opens the parent of a found file, to ask its attributes by name. */
static struct fdref *found_parent(const struct stack *stack, const struct found *found,
                                  const char **leaf, int *err)
{
    const char *slash = strrchr(found->path, '/');
    *leaf = slash ? slash + 1 : found->path;
    cleanup_free char *parent = strndup(found->path, slash ? (size_t)(slash - found->path) : 0);
    *err = -ENOMEM;
    return parent ? stack_lower_dir(stack, found->layer, parent, err) : NULL;
}

/* What a file of a sealed layer carries; of a metacopy file also where it redirects to, or NULL. */
static int read_metacopy(int dir, const char *name, ovlset *attrs, char **redirect)
{
    int err = ovlattr_list(OVLWHERE_SEALED, dir, name, attrs);
    *redirect = !err && ovlset_has(*attrs, OVLATTR_METACOPY) && ovlset_has(*attrs, OVLATTR_REDIRECT)
                    ? read_redirect(OVLWHERE_SEALED, dir, name, &err)
                    : NULL;
    return err;
}

/* Finds the data of a metacopy file further down. */
static int collect_data(struct walk *walk, struct entry *entry)
{
    for (;;) {
        struct found found = {0};
        int more = walk_next(walk, &found);
        if (more <= 0)
            return more < 0 ? more : -EIO;
        cleanup_free char *path = found.path;
        if (!S_ISREG(found.st.st_mode))
            return -EIO;
        const char *leaf;
        int err = 0;
        struct fdref *ref = found_parent(walk->stack, &found, &leaf, &err);
        if (!ref)
            return err;
        ovlset attrs;
        char *value;
        err = read_metacopy(ref->fd, leaf, &attrs, &value);
        fdref_release(walk->stack->fds, ref);
        if (err)
            return err;
        if (!ovlset_has(attrs, OVLATTR_METACOPY)) {
            entry->metacopy = true;
            entry->data.layer = found.layer;
            entry->data.path = steal_ptr(&path);
            entry->st.st_blocks = found.st.st_blocks;
            return 0;
        }
        if (value)
            err = walk_redirect(walk, found.layer, value);
        if (err)
            return err;
    }
}

/* ---- the hard-link index ---- */

/* Whether the names of a lower file are kept together: what its upper inode is on disk must be able
 * to carry the count, and user.* goes on files and directories alone (xattr(7)). Of anything else
 * the names part at copy-up, as without an index. */
static bool is_indexable(const struct stack *stack, const struct stat *st)
{
    const mode_t mode = stack->layers[0].record ? record_disk_type(st->st_mode) : st->st_mode;
    return st->st_nlink > 1 && stack->index >= 0 &&
           (stack->able.space != OVLSPACE_USER || S_ISREG(mode));
}

/* What was set in a mount is kept so (kernel: ovl_check_protattr); a value that makes no sense is
 * passed over there too. */
static int read_held(const struct stack *stack, int dir, const char *name, ovlset attrs,
                     uint8_t *held)
{
    char letters[32];
    *held = 0;
    if (!ovlset_has(attrs, OVLATTR_PROTATTR))
        return 0;
    ssize_t size = ovlattr_get_owned(stack_upper_where(stack), dir, name, OVLATTR_PROTATTR, letters,
                                     sizeof(letters));
    if (size < 0)
        return fd_is_fault((int)size) ? (int)size : 0;
    *held = (uint8_t)((memchr(letters, 'i', (size_t)size) ? HELD_IMMUTABLE : 0) |
                      (memchr(letters, 'a', (size_t)size) ? HELD_APPEND : 0));
    return 0;
}

/* Looks a lower file with several links up in the index: shown is then the upper inode. */
static int consult_index(const struct stack *stack, const struct found *found, struct entry *entry)
{
    const char *leaf;
    int err = 0;
    struct origin origin;
    char hex[ORIGIN_HEX_MAX];
    struct stat st;
    struct fdref *ref = found_parent(stack, found, &leaf, &err);
    if (!ref)
        return err;
    err = origin_of(&stack->backings[stack->layers[found->layer].fs], ref->fd, leaf, &origin);
    fdref_release(stack->fds, ref);
    if (err || origin.size == 0)
        return err;
    origin_hex(&origin, hex);
    entry->index_name = strdup(hex);
    if (!entry->index_name)
        return -ENOMEM;
    entry->indexed = true;
    err = stack_stat(stack, 0, stack->index, hex, &st);
    if (err || (st.st_mode & S_IFMT) != (found->st.st_mode & S_IFMT))
        return err == -ENOENT ? 0 : err;
    ovlset attrs;
    err = ovlattr_list(stack_upper_where(stack), stack->index, hex, &attrs);
    entry->st = st;
    entry->layer = 0;
    entry->st.st_nlink =
        linkindex_shown(stack, stack->index, hex, st.st_nlink, found->st.st_nlink, st.st_nlink);
    entry->metacopy = ovlset_has(attrs, OVLATTR_METACOPY);
    if (!err && entry->metacopy && stack->features.nofollow)
        err = -EPERM;
    return err ? err : read_held(stack, stack->index, hex, attrs, &entry->held);
}

/* ---- the two halves ---- */

/* Where the data of a file of a sealed layer lies, if it is a metacopy; else nothing is done. In
 * the lowest layer nothing lies beneath that a mark could mean. A file that has a size and no
 * blocks is asked all the same: as in the kernel, a metacopy without data is an error, not zeros.
 */
static int settle_data(struct walk *walk, const struct found *found, struct entry *entry)
{
    const bool has_data = found->st.st_size == 0 || found->st.st_blocks > 0;
    if (!S_ISREG(found->st.st_mode) || (found->last && has_data))
        return 0;
    const char *leaf;
    int err = 0;
    struct fdref *ref = found_parent(walk->stack, found, &leaf, &err);
    if (!ref)
        return err;
    ovlset attrs;
    char *value;
    err = read_metacopy(ref->fd, leaf, &attrs, &value);
    fdref_release(walk->stack->fds, ref);
    if (!err && walk->stack->features.nofollow && ovlset_has(attrs, OVLATTR_METACOPY)) {
        free(value);
        return -EPERM;
    }
    if (err || !ovlset_has(attrs, OVLATTR_METACOPY))
        return err;
    if (!value && walk->from) {
        /* A merge weighed the sources for a name, not for data: every one beneath is asked. */
        walk->end = walk->from->count;
        walk->checked = walk->beside = false;
    }
    if (value)
        err = walk_redirect(walk, found->layer, value);
    return err ? err : collect_data(walk, entry);
}

/* A file or directory that the sealed sources show. `found` is the first step of `walk`. */
static int settle_lower(struct walk *walk, struct found *found, struct entry *entry)
{
    const struct stack *stack = walk->stack;
    int err = 0;
    entry->present = true;
    entry->st = found->st;
    entry->held = found->held;
    entry->layer = found->layer;
    entry->ino = stack_ino(stack, found->layer, found->st.st_ino);
    if (S_ISDIR(found->st.st_mode))
        return collect_dirs(walk, found, entry);
    if (is_indexable(stack, &found->st))
        err = consult_index(stack, found, entry);
    if (err || (entry->layer == 0 && !entry->metacopy))
        return err;
    err = settle_data(walk, found, entry);
    if (!err && entry->layer == 0 && !entry->data.path) {
        /* The copied-up inode has metadata alone: its data is what this name shows below. */
        entry->data.layer = found->layer;
        entry->data.path = steal_ptr(&found->path);
        entry->st.st_blocks = found->st.st_blocks;
    }
    return err;
}

/* The topmost layer that has the name, as walk_next(). */
static int first_step(struct walk *walk, const struct sources *sources, struct found *found)
{
    int more = walk_next(walk, found);
    if (more == 0 && is_single(sources) && !walk->checked)
        merge_note_absent(walk->stack, sources);
    return more;
}

static int resolve_lower(const struct stack *stack, const struct sources *sources, const char *name,
                         struct entry *entry)
{
    struct walk walk;
    struct found found = {0};
    int err = walk_begin(&walk, stack, sources, name, true);
    if (err)
        return err;
    int more = first_step(&walk, sources, &found);
    err = more > 0 ? settle_lower(&walk, &found, entry) : more;
    found_finish(&found);
    walk_finish(&walk);
    return err;
}

/* What is beneath an upper directory or an upper metacopy file. */
static int settle_beneath(const struct stack *stack, int upper, const struct sources *sources,
                          const char *name, ovlset attrs, struct entry *entry)
{
    struct walk walk;
    int err = 0;
    /* As in the kernel (ovl_lookup): without it an untrusted layer shows what its maker may not
     * see.
     */
    if (stack->features.nofollow &&
        (ovlset_has(attrs, OVLATTR_REDIRECT) || !S_ISDIR(entry->st.st_mode)))
        return -EPERM;
    char *value = ovlset_has(attrs, OVLATTR_REDIRECT)
                      ? read_redirect(stack_upper_where(stack), upper, name, &err)
                      : NULL;
    if (err)
        return err;
    err = walk_begin(&walk, stack, sources, name, value == NULL);
    if (!err && value)
        err = walk_redirect(&walk, 0, value);
    else
        free(value);
    if (!err)
        err = S_ISDIR(entry->st.st_mode) ? collect_dirs(&walk, NULL, entry)
                                         : collect_data(&walk, entry);
    walk_finish(&walk);
    return err;
}

static int upper_is_opaque(const struct stack *stack, int upper, const char *name, ovlset attrs,
                           bool *opaque)
{
    char value = 0;
    *opaque = false;
    if (ovlset_has(attrs, OVLATTR_OPAQUE)) {
        ssize_t size =
            ovlattr_get(stack_upper_where(stack), upper, name, OVLATTR_OPAQUE, &value, 1);
        /* One that may not be read (a directory of mode 0, without privilege) was set by us. */
        *opaque = size == -EACCES || (size == 1 && value == 'y');
        if (size < 0 && size != -EACCES && size != -ERANGE && size != -ENODATA)
            return (int)size;
    }
    if (*opaque ||
        (stack->able.space != OVLSPACE_NONE && stack->able.whiteform == WHITEFORM_DEVICE))
        return 0;
    struct stat st;
    cleanup_fd int dir = fd_open_name(upper, name, O_PATH | O_DIRECTORY, 0);
    int err = dir < 0 ? dir : fd_stat(dir, WHITEOUT_OPAQUE, &st);
    *opaque = err == 0;
    return err == -ENOENT ? 0 : err;
}

static int settle_upper(const struct stack *stack, int upper, const struct sources *sources,
                        const char *name, struct entry *entry)
{
    ovlset attrs;
    int err = ovlattr_list(stack_upper_where(stack), upper, name, &attrs);
    if (!err)
        err = record_read(stack->layers[0].record, upper, name, &entry->st);
    if (!err)
        err = read_held(stack, upper, name, attrs, &entry->held);
    entry->present = entry->linked = true;
    entry->layer = 0;
    entry->ino = stack_ino(stack, 0, entry->st.st_ino);
    if (!err && S_ISDIR(entry->st.st_mode)) {
        err = upper_is_opaque(stack, upper, name, attrs, &entry->opaque);
        entry->impure = ovlset_has(attrs, OVLATTR_IMPURE);
        return err || entry->opaque ? err
                                    : settle_beneath(stack, upper, sources, name, attrs, entry);
    }
    if (err || attrs == 0)
        return err;
    uint64_t ino;
    err = stack_origin_ino(stack, upper, name, attrs, &ino);
    if (err && err != -ESTALE)
        return err;
    if (!err)
        entry->ino = ino;
    if (ovlset_has(attrs, OVLATTR_METACOPY) && S_ISREG(entry->st.st_mode)) {
        err = settle_beneath(stack, upper, sources, name, attrs, entry);
        if (err)
            return err;
    }
    if (!ovlset_has(attrs, OVLATTR_NLINK) || stack->index < 0)
        return 0;
    struct origin origin;
    char hex[ORIGIN_HEX_MAX];
    struct stat st;
    ssize_t size = ovlattr_get_owned(stack_upper_where(stack), upper, name, OVLATTR_ORIGIN,
                                     origin.bytes, sizeof(origin.bytes));
    if (size <= 0)
        return size == -ENODATA || size == -ERANGE ? 0 : (int)size;
    origin.size = (size_t)size;
    origin_hex(&origin, hex);
    /* Only an entry that is this very inode is believed. */
    err = fd_stat(stack->index, hex, &st);
    if (err || st.st_ino != entry->st.st_ino || st.st_dev != entry->st.st_dev)
        return err == -ENOENT ? 0 : err;
    entry->index_name = strdup(hex);
    if (!entry->index_name)
        return -ENOMEM;
    entry->indexed = true;
    entry->st.st_nlink = linkindex_shown(stack, upper, name, entry->st.st_nlink, 0, 1);
    return 0;
}

/* What is there is what is shown. */
static int resolve_plain(const struct stack *stack, int dir, const char *name, struct entry *entry)
{
    int err = stack_stat(stack, 0, dir, name, &entry->st);
    if (err)
        return err == -ENOENT ? 0 : err;
    entry->present = entry->linked = true;
    entry->ino = stack_upper_ino(stack, &entry->st);
    return 0;
}

int resolve_name(const struct stack *stack, int upper, const struct sources *sources,
                 const char *name, struct entry *entry)
{
    *entry = (struct entry){0};
    if (upper < 0)
        return resolve_lower(stack, sources, name, entry);
    if (stack->plain)
        return resolve_plain(stack, upper, name, entry);
    bool files = stack->able.whiteform == WHITEFORM_FILE;
    int err = files && whiteout_is_name(name)
                  ? 1
                  : whiteout_is_opaque_file(stack_upper_where(stack), upper, name);
    if (err)
        return err < 0 ? err : 0;
    err = fd_stat(upper, name, &entry->st);
    if (err == 0 && !whiteout_is_device(&entry->st))
        return settle_upper(stack, upper, sources, name, entry);
    if (err && err != -ENOENT)
        return err;
    int white = err == 0 ? 1 : files ? whiteout_file_exists(upper, name) : 0;
    entry->whiteout = white > 0;
    return white ? (white < 0 ? white : 0) : resolve_lower(stack, sources, name, entry);
}

int resolve_beneath_index(const struct stack *stack, const struct sources *sources,
                          const char *name, struct entry *entry)
{
    struct stack unindexed = *stack;
    unindexed.index = -1;
    *entry = (struct entry){0};
    return resolve_lower(&unindexed, sources, name, entry);
}

int resolve_root(const struct stack *stack, struct entry *entry)
{
    *entry = (struct entry){.present = true, .linked = true};
    unsigned layer = stack->writable ? 0 : 1;
    int err = stack_stat(stack, layer, stack->layers[layer].root, "", &entry->st);
    if (err)
        return err;
    entry->layer = (uint16_t)layer;
    entry->ino = stack_ino(stack, layer, entry->st.st_ino);
    ovlset attrs = 0;
    if (layer == 0)
        err = ovlattr_list(stack_upper_where(stack), stack->layers[0].root, "", &attrs);
    if (!err)
        err = read_held(stack, stack->layers[layer].root, "", attrs, &entry->held);
    if (err)
        return err;
    entry->sources = sources_hold(stack->root);
    return 0;
}

int resolve_lower_shows(const struct stack *stack, const struct sources *sources, const char *name)
{
    struct walk walk;
    struct found found = {0};
    int err = walk_begin(&walk, stack, sources, name, true);
    if (err)
        return err;
    int more = first_step(&walk, sources, &found);
    found_finish(&found);
    walk_finish(&walk);
    return more;
}
