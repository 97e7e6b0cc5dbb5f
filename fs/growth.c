/* SPDX-License-Identifier: MIT
 *
 * Duty: keep a tree's count true to what its files become.
 */
#include "growth.h"

#include "quota.h"

#include <sys/stat.h>

/* As much of `wanted` as there is room for. */
static uint64_t take_what_fits(struct quota *quota, uint64_t wanted)
{
    uint64_t room = 0;
    if (quota_take(quota, wanted, &room) == 0)
        return wanted;
    room -= room % quota_weight(1);
    return room > 0 && room < wanted && quota_take(quota, room, &room) == 0 ? room : 0;
}

int growth_begin(struct mount *mount, uint64_t ino, int fd, off_t end, size_t more, off_t *most,
                 struct growth *growth)
{
    struct stat st;
    cleanup_view struct node_view view = {0};
    *growth = (struct growth){.locked = growth->locked};
    *most = end;
    int err = node_view(mount->nodes, ino, &view);
    if (err || !mount_tree(mount, &view)->quota)
        return err;
    growth->quota = mount_tree(mount, &view)->quota;
    growth->index = view.index;
    growth->held = node_is(&view, NODE_ORPHAN);
    if (!growth->locked)
        node_lock(mount->nodes, view.index);
    if (fstat(fd, &st) < 0) {
        err = -errno;
        st.st_size = 0;
    }
    growth->size = st.st_size;
    growth->before = quota_weight(st.st_size);
    if (more > 0)
        *most = end = st.st_size + (off_t)more;
    if (err || end <= st.st_size)
        return err;
    uint64_t wanted = quota_weight(end) - growth->before;
    growth->taken = take_what_fits(growth->quota, wanted);
    if (growth->taken < wanted)
        *most = (off_t)(growth->before + growth->taken);
    return 0;
}

void growth_end(struct mount *mount, int fd, const struct growth *growth)
{
    struct stat st;
    if (!growth->quota)
        return;
    uint64_t had = growth->before + growth->taken;
    uint64_t has = fstat(fd, &st) < 0 ? had : quota_weight(st.st_size);
    quota_give(growth->quota, had - has); /* what grew by another's hand is added */
    if (growth->held)
        quota_hold(growth->quota, (int64_t)(has - growth->before));
    if (!growth->locked)
        node_unlock(mount->nodes, growth->index);
}

void growth_unnamed(struct mount *mount, uint8_t tree, int fd, bool again)
{
    struct stat st;
    struct quota *quota = mount->trees[tree]->quota;
    if (!quota || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || (st.st_nlink == 0) == again)
        return;
    int64_t weight = (int64_t)quota_weight(st.st_size);
    quota_hold(quota, again ? -weight : weight);
}
