/* SPDX-License-Identifier: MIT
 *
 * Duty: switch fsuid, fsgid and umask of the calling thread. A thread first parts from the
 * process's umask (CLONE_FS). Cost: nothing for root's own requests with an unchanged umask.
 */
#include "caller.h"

#include "mount.h"

#include <linux/securebits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

static bool may_switch;

static _Thread_local bool apart;
static _Thread_local mode_t current_umask;
static _Thread_local bool switched;

void caller_init(void)
{
    int bits = prctl(PR_GET_SECUREBITS);
    may_switch = geteuid() == 0 && bits >= 0 &&
                 prctl(PR_SET_SECUREBITS, (unsigned long)bits | SECBIT_NO_SETUID_FIXUP) == 0;
}

int caller_ids(fuse_req_t req, uid_t *uid, gid_t *gid)
{
    const struct mount *mount = fuse_req_userdata(req);
    const struct fuse_ctx *context = fuse_req_ctx(req);
    *uid = context->uid;
    *gid = context->gid;
    if (!mount->map)
        return 0;
    return idtable_disk(&mount->map->users, context->uid, uid) &&
                   idtable_disk(&mount->map->groups, context->gid, gid)
               ? 0
               : -EOVERFLOW;
}

bool caller_is_in_group(fuse_req_t req, const struct stat *st)
{
    const struct mount *mount = fuse_req_userdata(req);
    struct stat shown = *st;
    if (mount->map)
        idmap_show_owner(mount->map, &shown);
    if (fuse_req_ctx(req)->gid == shown.st_gid)
        return true;
    const int room = fuse_req_getgroups(req, 0, NULL);
    cleanup_free gid_t *groups = room > 0 ? calloc((size_t)room, sizeof(*groups)) : NULL;
    int count = groups ? fuse_req_getgroups(req, room, groups) : 0;
    for (int i = 0; i < count && i < room; i++) {
        if (groups[i] == shown.st_gid)
            return true;
    }
    return false;
}

static void take_umask(mode_t mask)
{
    if (!apart) {
        apart = unshare(CLONE_FS) == 0;
        current_umask = umask(mask);
    }
    if (current_umask != mask)
        umask(mask);
    current_umask = mask;
}

void caller_begin(fuse_req_t req, uid_t uid, gid_t gid)
{
    take_umask(fuse_req_ctx(req)->umask);
    if (may_switch && (uid != 0 || gid != 0)) {
        setfsgid(gid);
        setfsuid(uid);
        switched = true;
    }
}

void caller_unmask(void)
{
    take_umask(0);
}

void caller_end(void)
{
    if (!switched)
        return;
    setfsuid(geteuid());
    setfsgid(getegid());
    switched = false;
}
