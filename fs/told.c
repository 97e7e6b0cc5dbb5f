/* SPDX-License-Identifier: MIT
 *
 * Duty: keep in each directory's node who was told of it, and tell links of a plain tree apart.
 * Cost: a few instructions under the table's lock, and a message to the kernel where two threads
 * are at one directory; of such a link one statx(2) for each lookup.
 */
#include "told.h"

#include "asker.h"
#include "find.h"
#include "hash.h"

void told_before(struct mount *mount, const struct node_view *view)
{
    if (S_ISDIR(view->type))
        node_tell(mount->nodes, view->index, asker_thread());
}

/* Both only ever grow: the sum stays as it is as long as both do. */
unsigned told_so_far(struct mount *mount)
{
    return atomic_load(&mount->names_of_all.changed) + atomic_load(&mount->names_of_all.risen);
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

/* Where no time of birth is kept the last change tells as much, and has more editions. */
uint32_t told_edition(struct mount *mount, const struct node_view *view, const struct stat *st)
{
    struct statx_timestamp birth;
    if (!S_ISLNK(st->st_mode) || !mount_is_plain(mount, view))
        return 0;
    if (!find_birth(mount, view, &birth))
        birth = (struct statx_timestamp){.tv_sec = st->st_ctim.tv_sec,
                                         .tv_nsec = (uint32_t)st->st_ctim.tv_nsec};
    const uint64_t born = (uint64_t)birth.tv_sec * 1000000000u + birth.tv_nsec;
    return (uint32_t)hash_bytes(&born, sizeof(born), 0);
}

void told_changed(struct mount *mount, uint32_t index)
{
    const uint64_t id = node_told_others(mount->nodes, index, asker_thread());
    if (id)
        mount->attributes_changed(mount->session, id);
}
