/* SPDX-License-Identifier: MIT
 *
 * Duty: from an entry to descriptors. Layers are opened beneath their roots, upper directories are
 * open already; no path is followed.
 */
#include "place.h"

#include "fd.h"
#include "sources.h"

#include <fcntl.h>
#include <string.h>

static int upper_place(const struct stack *stack, const struct change *change, struct place *place)
{
    place->where = stack_upper_where(stack);
    place->record = stack->layers[0].record;
    place->dir = change->upper;
    place->name = change->name;
    if (!S_ISDIR(change->entry->st.st_mode))
        return 0;
    place->own = fd_open_name(change->upper, change->name, O_RDONLY | O_DIRECTORY, 0);
    place->dir = place->own;
    place->name = "";
    return place->own < 0 ? place->own : 0;
}

static int lower_dir(const struct stack *stack, const struct source *source, struct place *place)
{
    int err = 0;
    place->where = OVLWHERE_SEALED;
    place->record = stack->layers[source->layer].record;
    place->ref = stack_lower_dir(stack, source->layer, source->path, &err);
    if (place->ref)
        place->dir = place->ref->fd;
    return err;
}

static int lower_file(const struct stack *stack, const struct change *change, struct place *place)
{
    const struct sources *sources = change->sources;
    place->name = change->name;
    for (unsigned i = 0; sources && i < sources->count; i++) {
        if (sources->at[i].layer == change->entry->layer)
            return lower_dir(stack, &sources->at[i], place);
    }
    return -ESTALE;
}

int place_of(const struct stack *stack, const struct change *change, struct place *place)
{
    const struct entry *entry = change->entry;
    *place = (struct place){.dir = -1, .own = -1, .name = ""};
    if (entry->linked)
        return upper_place(stack, change, place);
    if (S_ISDIR(entry->st.st_mode))
        return entry->sources ? lower_dir(stack, &entry->sources->at[0], place) : -ESTALE;
    if (entry->layer != 0 || !entry->index_name)
        return lower_file(stack, change, place);
    /* A hard link whose inode was copied up through another of its names. */
    place->where = stack_upper_where(stack);
    place->record = stack->layers[0].record;
    place->dir = stack->index;
    place->name = entry->index_name;
    return 0;
}

void place_finish(const struct stack *stack, struct place *place)
{
    fdref_release(stack->fds, place->ref);
    own_close(&place->own);
    *place = (struct place){.dir = -1, .own = -1};
}

static int open_file(int dir, const char *name)
{
    int fd = fd_open_name(dir, name, O_RDONLY | O_NOATIME | O_NONBLOCK, 0);
    return fd == -EPERM ? fd_open_name(dir, name, O_RDONLY | O_NONBLOCK, 0) : fd;
}

int place_open_data(const struct stack *stack, const struct change *change,
                    const struct place *place)
{
    const struct datasite *data = &change->entry->data;
    if (!change->entry->metacopy)
        return open_file(place->dir, place->name);
    if (!data->path)
        return -EIO;
    int err = 0;
    const char *slash = strrchr(data->path, '/');
    cleanup_free char *parent = strndup(data->path, slash ? (size_t)(slash - data->path) : 0);
    struct fdref *ref = parent ? stack_lower_dir(stack, data->layer, parent, &err) : NULL;
    if (!ref)
        return parent ? err : -ENOMEM;
    int fd = open_file(ref->fd, slash ? slash + 1 : data->path);
    fdref_release(stack->fds, ref);
    return fd;
}
