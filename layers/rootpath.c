/* SPDX-License-Identifier: MIT
 *
 * Duty: walk a path down the union, name by name, with everything it passed kept for "..".
 *
 * A step is a name that was taken; the root is the first. What is not there is a step too, with
 * nothing in it, so ".." and what comes after are the same everywhere. A symlink is no step: its
 * target comes in front of what is left to walk, from the root again if it is absolute.
 *
 * Cost: a resolve for each name; a descriptor for each directory on the way that has an upper part.
 */
#include "rootpath.h"

#include "fd.h"
#include "place.h"
#include "resolve.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

enum { LINKS_MAX = 40 };

struct step {
    char *name; /* "" is the root's */
    struct entry entry;
    int upper; /* of a directory with an upper part; or -1 */
};

struct finding {
    const struct stack *stack;
    struct step *steps;
    size_t count, room;
    char *rest; /* what is left to walk */
    unsigned links;
    bool follow;
};

/* ---- steps ---- */

static void step_finish(struct step *step)
{
    free(step->name);
    entry_finish(&step->entry);
    own_close(&step->upper);
}

static void go_back_to(struct finding *finding, size_t count)
{
    while (finding->count > count)
        step_finish(&finding->steps[--finding->count]);
}

static void finding_finish(struct finding *finding)
{
    go_back_to(finding, 0);
    free(finding->steps);
    free(finding->rest);
}

static struct step *here(const struct finding *finding)
{
    return &finding->steps[finding->count - 1];
}

/* Takes everything of `step` on success. */
static int push(struct finding *finding, struct step *step)
{
    if (finding->count == finding->room) {
        size_t room = finding->room ? finding->room * 2 : 16;
        struct step *larger = reallocarray(finding->steps, room, sizeof(*larger));
        if (!larger)
            return -ENOMEM;
        finding->steps = larger;
        finding->room = room;
    }
    finding->steps[finding->count++] = *step;
    *step = (struct step){.upper = -1};
    return 0;
}

/* A root that is sealed has no upper part. */
static int resolve_top(const struct stack *stack, struct entry *entry)
{
    int err = resolve_root(stack, entry);
    entry->linked = stack->writable;
    return err;
}

static int push_root(struct finding *finding)
{
    const struct stack *stack = finding->stack;
    cleanup(step_finish) struct step root = {.name = strdup(""), .upper = -1};
    if (!root.name)
        return -ENOMEM;
    int err = resolve_top(stack, &root.entry);
    if (!err && stack->writable) {
        root.upper = fd_open_name(stack->layers[0].root, ".", O_RDONLY | O_DIRECTORY, 0);
        err = root.upper < 0 ? root.upper : 0;
    }
    return err ? err : push(finding, &root);
}

/* ---- names ---- */

/* What stands before the next slash of `rest`, which goes on behind it. NULL at the end. */
static const char *next_name(const char **rest, char name[NAME_MAX + 1], int *err)
{
    const char *at = *rest + strspn(*rest, "/");
    size_t length = strcspn(at, "/");
    *rest = at + length;
    if (length == 0)
        return NULL;
    if (length > NAME_MAX) {
        *err = -ENAMETOOLONG;
        return NULL;
    }
    memcpy(name, at, length);
    name[length] = 0;
    return name;
}

/* ---- symlinks ---- */

static int read_target(const struct finding *finding, const struct step *link,
                       char target[PATH_MAX])
{
    struct place place;
    const struct change change = {.kind = CHANGE_ADDED,
                                  .name = link->name,
                                  .entry = &link->entry,
                                  .upper = here(finding)->upper,
                                  .sources = here(finding)->entry.sources};
    int err = place_of(finding->stack, &change, &place);
    ssize_t length = err ? 0 : readlinkat(place.dir, place.name, target, PATH_MAX);
    if (length < 0)
        err = -errno;
    else if (length == PATH_MAX)
        err = -ENAMETOOLONG;
    else
        target[length] = 0;
    place_finish(finding->stack, &place);
    return err;
}

static int follow_link(struct finding *finding, const struct step *link, const char *rest)
{
    char target[PATH_MAX];
    char *longer = NULL;
    if (++finding->links > LINKS_MAX)
        return -ELOOP;
    int err = read_target(finding, link, target);
    if (err)
        return err;
    if (strlen(target) + strlen(rest) >= PATH_MAX)
        return -ENAMETOOLONG;
    if (asprintf(&longer, "%s%s", target, rest) < 0)
        return -ENOMEM;
    free(finding->rest);
    finding->rest = longer;
    if (*target == '/')
        go_back_to(finding, 1);
    return 0;
}

/* ---- the walk ---- */

/* One name further down; `rest` is what stands behind it in finding->rest. */
static int go_into(struct finding *finding, const char *name, const char *rest)
{
    const struct step *dir = here(finding);
    cleanup(step_finish) struct step step = {.name = strdup(name), .upper = -1};
    if (!step.name)
        return -ENOMEM;
    int err = 0;
    if (dir->entry.present)
        err = resolve_name(finding->stack, dir->upper, dir->entry.sources, name, &step.entry);
    if (err)
        return err;
    const struct entry *entry = &step.entry;
    if (entry->present && S_ISLNK(entry->st.st_mode) && (finding->follow || *rest))
        return follow_link(finding, &step, rest);
    if (entry->present && entry->linked && S_ISDIR(entry->st.st_mode)) {
        step.upper = fd_open_name(dir->upper, name, O_RDONLY | O_DIRECTORY, 0);
        if (step.upper < 0)
            return step.upper;
    }
    memmove(finding->rest, rest, strlen(rest) + 1);
    return push(finding, &step);
}

/* 1: there is more to walk. */
static int walk_on(struct finding *finding)
{
    int err = 0;
    char buffer[NAME_MAX + 1];
    const char *rest = finding->rest;
    const char *name = next_name(&rest, buffer, &err);
    const struct entry *entry = &here(finding)->entry;
    /* A slash behind it asks for a directory, as a name in it does. */
    if (!err && *finding->rest && entry->present && !S_ISDIR(entry->st.st_mode))
        return -ENOTDIR;
    if (!name)
        return err;
    if (!fd_is_dot(name)) {
        err = go_into(finding, name, rest);
        return err ? err : 1;
    }
    if (name[1] == '.' && finding->count > 1)
        go_back_to(finding, finding->count - 1);
    memmove(finding->rest, rest, strlen(rest) + 1);
    return 1;
}

/* ---- what was found ---- */

static char *join_names(const struct finding *finding)
{
    size_t size = 1;
    for (size_t i = 1; i < finding->count; i++)
        size += strlen(finding->steps[i].name) + 1;
    char *path = malloc(size), *at = path;
    if (!path)
        return NULL;
    *at = 0;
    for (size_t i = 1; i < finding->count; i++)
        at += sprintf(at, i > 1 ? "/%s" : "%s", finding->steps[i].name);
    return path;
}

/* Takes the last step and the one before it out of the walk. */
static int take_found(struct finding *finding, struct rootpath *found)
{
    int err = 0;
    found->path = join_names(finding);
    if (!found->path)
        return -ENOMEM;
    struct step *parent = finding->count > 1 ? here(finding) - 1 : here(finding);
    found->upper = steal_fd(&parent->upper);
    if (finding->count > 1) {
        found->parent = parent->entry;
        parent->entry = (struct entry){0};
    } else {
        err = resolve_top(finding->stack, &found->parent);
    }
    found->entry = here(finding)->entry;
    here(finding)->entry = (struct entry){0};
    return err;
}

int rootpath_find(const struct stack *stack, const char *path, bool follow, struct rootpath *found)
{
    cleanup(finding_finish) struct finding finding = {.stack = stack, .follow = follow};
    *found = ROOTPATH_NONE;
    if (strlen(path) >= PATH_MAX)
        return -ENAMETOOLONG;
    finding.rest = strdup(path);
    if (!finding.rest)
        return -ENOMEM;
    int more = push_root(&finding);
    if (!more)
        more = 1;
    while (more > 0)
        more = walk_on(&finding);
    if (!more)
        more = take_found(&finding, found);
    if (more)
        rootpath_finish(found);
    return more;
}

void rootpath_finish(struct rootpath *found)
{
    free(found->path);
    entry_finish(&found->entry);
    entry_finish(&found->parent);
    own_close(&found->upper);
    *found = ROOTPATH_NONE;
}

const char *rootpath_name(const struct rootpath *found)
{
    const char *slash = strrchr(found->path, '/');
    return slash ? slash + 1 : *found->path ? found->path : ".";
}

struct change rootpath_change(const struct rootpath *found)
{
    return (struct change){
        .kind = CHANGE_ADDED,
        .path = found->path,
        .name = rootpath_name(found),
        .entry = &found->entry,
        .upper = found->upper,
        .sources = found->parent.sources,
    };
}

int rootpath_open_upper(const struct rootpath *found)
{
    if (!found->entry.linked)
        return -ENOENT;
    return fd_open_name(found->upper, rootpath_name(found), O_RDONLY | O_DIRECTORY, 0);
}

int rootpath_walk(const struct stack *stack, const struct rootpath *found,
                  int (*each)(void *context, const struct change *change), void *context)
{
    if (!found->entry.present || !S_ISDIR(found->entry.st.st_mode))
        return -ENOTDIR;
    cleanup_fd int upper = rootpath_open_upper(found);
    if (upper < 0 && upper != -ENOENT)
        return upper;
    return changes_walk_beneath(stack, found->path, upper < 0 ? -1 : upper, found->entry.sources,
                                each, context);
}
