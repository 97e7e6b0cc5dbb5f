/* SPDX-License-Identifier: MIT
 *
 * Duty: keep in each directory's node who was told of it. Cost: a few instructions under the
 * table's lock, and a message to the kernel where two threads are at one directory.
 */
#include "told.h"

#include "asker.h"

void told_before(struct mount *mount, const struct node_view *view)
{
    if (S_ISDIR(view->type))
        node_tell(mount->nodes, view->index, asker_thread());
}

/* Both only ever grow: the sum stays as it is as long as both do. */
unsigned told_so_far(struct mount *mount)
{
    return atomic_load(&mount->names_changed) + atomic_load(&mount->names_risen);
}

struct validity told_after(struct mount *mount, const struct node_view *view, unsigned before)
{
    struct validity valid = mount_validity(mount, view);
    if (!S_ISDIR(view->type))
        return valid;
    node_tell(mount->nodes, view->index, asker_thread());
    if (told_so_far(mount) != before)
        valid.attributes = 0;
    return valid;
}

void told_changed(struct mount *mount, uint32_t index)
{
    const uint64_t id = node_told_others(mount->nodes, index, asker_thread());
    if (id)
        mount->attributes_changed(mount->session, id);
}
