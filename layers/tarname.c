/* SPDX-License-Identifier: MIT
 *
 * Duty: the grammar of names in layers. Nothing here touches the disk.
 */
#include "tarname.h"

#include "fd.h"
#include "whiteout.h"

#include <linux/limits.h>
#include <string.h>

/* Adds the component of `length` bytes at `text` to the path. */
static const char *add_component(struct tarname *name, size_t *used, const char *text,
                                 size_t length)
{
    if (length > NAME_MAX)
        return "a name longer than 255 bytes";
    size_t slash = *used > 0;
    if (*used + slash + length >= TARNAME_MAX)
        return "a path longer than 4095 bytes";
    if (slash)
        name->path[(*used)++] = '/';
    name->name = *used;
    memcpy(name->path + *used, text, length);
    *used += length;
    name->path[*used] = 0;
    return NULL;
}

/* Turns the whiteout that stands last into the path that it is about. */
static const char *read_whiteout(struct tarname *name)
{
    char *last = name->path + name->name;
    const char *hidden = whiteout_hidden_name(last);
    if (strcmp(last, WHITEOUT_OPAQUE) == 0) {
        name->kind = TARNAME_OPAQUE;
        name->path[name->name ? name->name - 1 : 0] = 0;
        const char *slash = strrchr(name->path, '/');
        name->name = slash ? (size_t)(slash - name->path) + 1 : 0;
        return NULL;
    }
    if (!hidden)
        return "a whiteout of nothing, of \".\" or of \"..\"";
    name->kind = TARNAME_WHITEOUT;
    memmove(last, hidden, strlen(hidden) + 1);
    return NULL;
}

static bool is_aufs_book(const char *component)
{
    return strncmp(component, ".wh..wh.", 8) == 0 && strcmp(component, WHITEOUT_OPAQUE) != 0;
}

const char *tarname_read(const char *text, enum treekind kind, struct tarname *name)
{
    const bool books = kind == TREEKIND_LAYER;
    size_t used = 0, depth = 0, length;
    *name = (struct tarname){.kind = TARNAME_ROOT};
    if (*text == 0)
        return "an empty name";
    if (*text == '/')
        return "an absolute name";
    for (const char *at = text; *at; at += length + (at[length] == '/')) {
        length = strcspn(at, "/");
        if (length == 0 || (length == 1 && at[0] == '.'))
            continue;
        if (length == 2 && at[0] == '.' && at[1] == '.')
            return "a name with \"..\"";
        if (books && used > 0 && whiteout_is_name(name->path + name->name))
            return "something inside a whiteout";
        const char *wrong = add_component(name, &used, at, length);
        if (wrong)
            return wrong;
        if (++depth > TARNAME_DEPTH_MAX)
            return "a path deeper than 256 directories";
        name->kind = TARNAME_PLAIN;
        if (books && is_aufs_book(name->path + name->name)) {
            name->kind = TARNAME_BOOKS;
            return NULL;
        }
    }
    bool whiteout = books && used > 0 && whiteout_is_name(name->path + name->name);
    return whiteout ? read_whiteout(name) : NULL;
}

void tarname_parent(const struct tarname *name, char parent[TARNAME_MAX])
{
    size_t length = name->name > 0 ? name->name - 1 : 0;
    memcpy(parent, name->path, length);
    parent[length] = 0;
}
