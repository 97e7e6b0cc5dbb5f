/* SPDX-License-Identifier: MIT
 *
 * Duty: compute where the layers beneath have an object: the shown path, with the redirects of the
 * upper directories above it in the place of their names.
 */
#include "redirect.h"

#include "fd.h"
#include "find.h"
#include "ovlattr.h"

#include <stdio.h>
#include <string.h>

/* The redirect that an upper object carries now, owned by the caller; NULL for none. What a lower
 * directory carries speaks to the layers beneath that one, not to those beneath the upper. */
static int current(struct mount *mount, const struct node_view *view, char **redirect)
{
    struct spot spot = {0};
    char value[PATH_MAX + 1];
    *redirect = NULL;
    if (!node_is(view, NODE_UPPER))
        return 0;
    ssize_t length = find_spot(mount, view, &spot);
    if (length == 0)
        length = ovlattr_get_owned(stack_upper_where(mount_stack(mount, view)), spot.ref->fd,
                                   spot.name, OVLATTR_REDIRECT, value, PATH_MAX);
    spot_finish(mount, &spot);
    if (length <= 0)
        return length == -ENODATA ? 0 : (int)length;
    *redirect = strndup(value, (size_t)length);
    return *redirect ? 0 : -ENOMEM;
}

/* Puts "/name" in front of `path`, which is replaced. */
static int prepend(char **path, const char *name)
{
    char *longer = NULL;
    if (asprintf(&longer, "/%s%s", name, *path) < 0)
        return -ENOMEM;
    free(*path);
    *path = longer;
    return 0;
}

/* The absolute path of `view` beneath. mount.names is held. */
static int absolute(struct mount *mount, const struct node_view *view, char **path)
{
    *path = strdup("");
    if (!*path)
        return -ENOMEM;
    uint32_t at = view->index;
    while (at != NODE_ROOT) {
        cleanup_view struct node_view step = {0};
        int err = node_view_index(mount->nodes, at, &step);
        cleanup_free char *moved = NULL;
        if (!err)
            err = current(mount, &step, &moved);
        if (err)
            return err;
        if (moved && moved[0] == '/') {
            char *joined = NULL;
            if (asprintf(&joined, "%s%s", moved, *path) < 0)
                return -ENOMEM;
            free(*path);
            *path = joined;
            return 0;
        }
        err = prepend(path, moved ? moved : step.name);
        if (err)
            return err;
        at = step.parent;
    }
    return 0;
}

int redirect_set(struct mount *mount, const struct node_view *view, bool same_dir)
{
    struct stack *stack = mount_stack(mount, view);
    struct spot spot = {0};
    cleanup_free char *path = NULL;
    /* The names of a hard-linked file lie in any directory: for it only an absolute path is good.
     */
    if (!S_ISDIR(view->type) && view->more && view->more->index_name)
        same_dir = false;
    names_read(mount);
    cleanup_free char *before = NULL;
    int err = current(mount, view, &before);
    bool good = before && (same_dir || before[0] == '/');
    if (!err && !good && same_dir)
        path = strdup(view->name);
    else if (!err && !good)
        err = absolute(mount, view, &path);
    if (!err && !good && !path)
        err = -ENOMEM;
    if (!err && !good && strlen(path) >= PATH_MAX)
        err = -EXDEV;
    if (!err && !good)
        err = find_spot(mount, view, &spot);
    if (!err && !good)
        err = ovlattr_set(stack->able.space, spot.ref->fd, spot.name, OVLATTR_REDIRECT, path,
                          strlen(path));
    names_end(mount);
    spot_finish(mount, &spot);
    return err;
}
