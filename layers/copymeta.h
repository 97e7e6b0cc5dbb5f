/* SPDX-License-Identifier: MIT
 *
 * Copying what is not content: owner, mode, extended attributes (POSIX ACLs and capabilities among
 * them) and times. Each object is named by an open directory and a name in it; name "" is the
 * descriptor itself.
 */
#ifndef PLYFS_COPYMETA_H
#define PLYFS_COPYMETA_H

#include "ovlattr.h"
#include "own.h"

#include <stdbool.h>
#include <sys/stat.h>

/* Every attribute but those of the books of a mount of this namespace and those that a sealed layer
 * is read by; all of them with OVLSPACE_NONE. Where the target cannot hold
 * a kind of attribute at all, or the caller may not write that kind, it is left out, as the
 * kernel's copy-up does; but not an access or default ACL, without which the mode would give the
 * group what the ACL gives to some (kernel: ovl_copy_acl). -EOPNOTSUPP: the target cannot hold one,
 * and all the rest is copied. *any, which may be NULL, tells whether there was one: the mode of an
 * object may have become another by it (acl(5)). */
must_check int copymeta_xattrs(enum ovlspace space, int src_dir, const char *src_name, int dst_dir,
                               const char *dst_name, bool *any);

/* Owner, then mode (a chown clears setuid, so the order matters). Nothing is asked to change that
 * is right already. */
must_check int copymeta_owner_mode(int dir, const char *name, const struct stat *want);

/* The two by themselves: attributes of the user's namespace can be set between them, while the
 * owner may still write (xattr(7)). `now` is what the object looked like before both. */
must_check int copymeta_owner(int dir, const char *name, const struct stat *now,
                              const struct stat *want);
must_check int copymeta_mode(int dir, const char *name, const struct stat *now,
                             const struct stat *want);

/* Owner, attributes and mode, in this order. */
must_check int copymeta_look(enum ovlspace space, int src_dir, const char *src_name, int dst_dir,
                             const char *dst_name, const struct stat *want);

/* Access and modification time, to the nanosecond. */
must_check int copymeta_times(int dir, const char *name, const struct stat *want);

#endif
