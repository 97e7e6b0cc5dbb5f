/* SPDX-License-Identifier: MIT
 *
 * Duty: from a node to words. Everything is taken from the node and its parent's sources, but for
 * the origin of a file that was copied up: there the layers are asked for its name, and what they
 * show is its origin if it has the number that the file kept.
 */
#include "provenance.h"

#include "find.h"
#include "resolve.h"
#include "route.h"

#include <stdio.h>

/* ---- layer ---- */

static char *layer_word(const struct stack *stack, unsigned slot)
{
    char *word = NULL;
    if (slot == 0)
        return strdup("upper");
    return asprintf(&word, "%u", stack->count - slot) < 0 ? NULL : word;
}

static unsigned content_slot(const struct node_view *view)
{
    if (node_is(view, NODE_METACOPY) && view->more)
        return view->more->data_layer;
    return node_is(view, NODE_UPPER) ? 0 : view->layer;
}

static int say_layer(struct mount *mount, const struct node_view *view, char **value)
{
    if (node_is(view, NODE_STUB))
        return -ENODATA;
    if (mount_is_plain(mount, view))
        *value = strdup(mount_tree(mount, view)->source ? "host" : "tmpfs");
    else
        *value = layer_word(mount_stack(mount, view), content_slot(view));
    return *value ? 0 : -ENOMEM;
}

/* ---- origin ---- */

/* LAYER:/FRONT/NAME, without the slash where a part is empty. */
static int place_words(const struct stack *stack, unsigned slot, const char *front,
                       const char *name, char **value)
{
    int length =
        asprintf(value, "%u:/%s%s%s", stack->count - slot, front, *front && *name ? "/" : "", name);
    return length < 0 ? -ENOMEM : 0;
}

static const struct source *source_of(const struct sources *sources, unsigned layer)
{
    for (unsigned i = 0; sources && i < sources->count; i++) {
        if (sources->at[i].layer == layer)
            return &sources->at[i];
    }
    return NULL;
}

static int say_lower_file(struct mount *mount, const struct node_view *view,
                          const struct node_view *parent, const char *name, unsigned slot,
                          char **value)
{
    const struct source *source = source_of(parent->sources, slot);
    return source ? place_words(mount_stack(mount, view), slot, source->path, name, value)
                  : -ENODATA;
}

/* The name in the layers is where it was copied up from, if what is there has the same number. */
static int say_copied_file(struct mount *mount, const struct node_view *view,
                           const struct node_view *parent, char **value)
{
    cleanup_entry struct entry below = {0};
    /* The index would say again what is in the upper. */
    struct stack sealed = *mount_stack(mount, view);
    sealed.index = -1;
    int err = resolve_name(&sealed, -1, parent->sources, view->name, &below);
    if (err || !below.present || below.ino != view->ino)
        return err ? err : -ENODATA;
    return say_lower_file(mount, view, parent, view->name, below.layer, value);
}

static int say_file_origin(struct mount *mount, const struct node_view *view, char **value)
{
    cleanup_view struct node_view parent = {0};
    if (node_is(view, NODE_METACOPY) && view->more && view->more->data_path)
        return place_words(mount_stack(mount, view), view->more->data_layer, view->more->data_path,
                           "", value);
    if (node_is(view, NODE_ORPHAN) || view->parent == NODE_NONE)
        return -ENODATA;
    int err = node_view_index(mount->nodes, view->parent, &parent);
    if (err)
        return err;
    return node_is(view, NODE_UPPER)
               ? say_copied_file(mount, view, &parent, value)
               : say_lower_file(mount, view, &parent, view->name, view->layer, value);
}

static int say_origin(struct mount *mount, const struct node_view *view, char **value)
{
    if (node_is(view, NODE_STUB) || mount_is_plain(mount, view))
        return -ENODATA;
    if (!S_ISDIR(view->type))
        return say_file_origin(mount, view, value);
    if (!view->sources)
        return -ENODATA;
    return place_words(mount_stack(mount, view), view->sources->at[0].layer,
                       view->sources->at[0].path, "", value);
}

/* ---- state and volume ---- */

static int say_state(struct mount *mount, const struct node_view *view, char **value)
{
    const bool upper = node_is(view, NODE_UPPER);
    const unsigned count = upper + (view->sources ? view->sources->count : 0);
    const char *word = view->tree != 0                    ? "volume"
                       : node_is(view, NODE_STUB)         ? "stub"
                       : node_is(view, NODE_METACOPY)     ? "metacopy"
                       : S_ISDIR(view->type) && count > 1 ? "merged"
                       : upper                            ? "upper"
                                                          : "lower";
    (void)mount;
    return own_copy(value, word);
}

static int say_volume(struct mount *mount, const struct node_view *view, char **value)
{
    if (view->tree == 0)
        return -ENODATA;
    return route_destination(mount, view->tree, value);
}

/* ---- the names ---- */

static const struct {
    const char *name; /* behind "user.plyfs." */
    int (*say)(struct mount *mount, const struct node_view *view, char **value);
} NAMES[] = {
    {"layer", say_layer}, {"origin", say_origin}, {"state", say_state}, {"volume", say_volume}};

enum { PREFIX = sizeof("user.plyfs.") - 1, COUNT = sizeof(NAMES) / sizeof(NAMES[0]) };

bool provenance_is_one(const char *name)
{
    for (unsigned i = 0; i < COUNT; i++) {
        if (strcmp(name + PREFIX, NAMES[i].name) == 0)
            return true;
    }
    return false;
}

ssize_t provenance_value(struct mount *mount, const struct node_view *view, const char *name,
                         char **value)
{
    int err = -ENODATA;
    *value = NULL;
    for (unsigned i = 0; i < COUNT; i++) {
        if (strcmp(name + PREFIX, NAMES[i].name) == 0)
            err = NAMES[i].say(mount, view, value);
    }
    return err ? err : (ssize_t)strlen(*value);
}
