/* SPDX-License-Identifier: MIT
 *
 * Duty: the handshake: which of the kernel's offers are taken, by profile. What is in force is
 * shown in the debug log. Why each is taken or left stands beside it.
 */
#include "ops.h"

#include "log.h"
#include "ready.h"

static bool offer(struct fuse_conn_info *conn, uint64_t feature, bool wanted)
{
    if (!wanted) {
        fuse_unset_feature_flag(conn, feature);
        return false;
    }
    return fuse_set_feature_flag(conn, feature);
}

/* A kernel before Linux 6.11 may leave what is behind the end of a file in its last page as it was
 * in memory, for whoever maps it to read (some were mended later, which cannot be told from here);
 * this is what 6.12 says of itself. One that checks no permissions does not ask before it opens. */
enum { CLEARS_TAILS = 41 };

static bool may_be_given(const struct rules *rules, const struct fuse_conn_info *conn)
{
    return conn->proto_minor >= CLEARS_TAILS && !rules->unchecked;
}

static void init_profile(struct mount *mount, struct fuse_conn_info *conn)
{
    struct rules *rules = &mount->rules;
    bool stateless = rules->profile == PROFILE_STATELESS;
    /* OPEN answered ENOSYS: the kernel opens, reads cached pages and closes without asking. */
    offer(conn, FUSE_CAP_NO_OPEN_SUPPORT, stateless);
    /* Small writes gather in the page cache; excludes passthrough. */
    rules->writeback = offer(conn, FUSE_CAP_WRITEBACK_CACHE, rules->writeback && stateless);
    rules->passthrough = offer(conn, FUSE_CAP_PASSTHROUGH, rules->passthrough && !stateless);
    /* No file of a stacked filesystem is handed over (tree.h), so the mount counts as one level,
     * and an overlayfs, of which the kernel allows two on each other, can still lie on it. */
    if (rules->passthrough)
        conn->max_backing_stack_depth = 0;
    /* Where OPEN is answered it must know of O_TRUNC: passthrough copies up there, and only there
     * does O_TRUNC differ from truncate(2), which leaves the time of an empty file alone. Otherwise
     * it comes as a SETATTR of the size. By neither way is anything copied up. */
    offer(conn, FUSE_CAP_ATOMIC_O_TRUNC, !stateless);
}

void op_init(void *userdata, struct fuse_conn_info *conn)
{
    struct mount *mount = userdata;
    struct rules *rules = &mount->rules;
    init_profile(mount, conn);
    rules->ahead = may_be_given(rules, conn);
    offer(conn, FUSE_CAP_NO_OPENDIR_SUPPORT, !rules->coherent);
    offer(conn, FUSE_CAP_PARALLEL_DIROPS, true);
    offer(conn, FUSE_CAP_READDIRPLUS, true);
    /* "Auto" asks for attributes with a directory's first names only, and then once for each other
     * name that somebody looks at. How many come with attributes is op_readdirplus()'s to say; what
     * is not to outlast the answer has none, and its records are shorter without them. */
    offer(conn, FUSE_CAP_READDIRPLUS_AUTO, rules->coherent);
    offer(conn, FUSE_CAP_CACHE_SYMLINKS, true);
    offer(conn, FUSE_CAP_ASYNC_READ, true);
    offer(conn, FUSE_CAP_ASYNC_DIO, true);
    offer(conn, FUSE_CAP_IOCTL_DIR, true);
    /* Node numbers carry a generation; a stale one is answered ESTALE. */
    offer(conn, FUSE_CAP_EXPORT_SUPPORT, true);
    /* The backing filesystem applies umask and default ACLs, knowing both. */
    offer(conn, FUSE_CAP_DONT_MASK, true);
    rules->acl = offer(conn, FUSE_CAP_POSIX_ACL, rules->acl);
    /* Without it every write costs a GETXATTR of security.capability. */
    offer(conn, FUSE_CAP_HANDLE_KILLPRIV, false);
    offer(conn, FUSE_CAP_HANDLE_KILLPRIV_V2, true);
    /* Where all changes come through us, cached pages are never stale for a changed mtime; the host
     * may change what is routed to, and then the kernel looks at mtime and size before it trusts
     * its pages, of files (stateless) as of directories. */
    offer(conn, FUSE_CAP_AUTO_INVAL_DATA, rules->coherent);
    offer(conn, FUSE_CAP_EXPLICIT_INVAL_DATA, !rules->coherent);
    /* A volume's file that is not passed through is read without cache, and mapped all the same. */
    offer(conn, FUSE_CAP_DIRECT_IO_ALLOW_MMAP, rules->coherent);
    /* Reading requests through a pipe costs more calls than it saves, and without CAP_SYS_RESOURCE
     * a pipe made anew for each. Large reads are answered through one: that saves a copy. */
    offer(conn, FUSE_CAP_SPLICE_READ, false);
    offer(conn, FUSE_CAP_SPLICE_WRITE, true);
    offer(conn, FUSE_CAP_SPLICE_MOVE, false);
    /* Else locks are the kernel's own business. */
    offer(conn, FUSE_CAP_POSIX_LOCKS, rules->shared_locks);
    offer(conn, FUSE_CAP_FLOCK_LOCKS, rules->shared_locks);
#ifdef HAVE_NO_INTERRUPT
    /* None but a wait for a lock looks for an INTERRUPT, and that is told of it in another way
     * (duty.c): libfuse refuses the first, and the kernel sends no more. Nor does libfuse take a
     * lock twice for each request then, to find what it is about. */
    conn->no_interrupt = 1;
#endif
    conn->time_gran = 1;
    conn->max_background = 64;
    log_debug("profile %s, writeback %s, passthrough %s, io_uring %s, ACLs %s",
              rules->profile == PROFILE_STATELESS ? "stateless" : "tracked",
              rules->writeback ? "on" : "off", rules->passthrough ? "on" : "off",
              rules->uring ? "on" : "off", rules->acl ? "on" : "off");
    ready_tell(0);
}
