/* SPDX-License-Identifier: MIT
 *
 * The extended attributes by which overlay filesystems keep their books: names, reading, writing,
 * and the escape by which a user's own attributes of that name are stored (kernel document
 * overlayfs.rst, "Nesting overlayfs mounts": overlay.* becomes overlay.overlay.*).
 * What fuse-overlayfs would take for its own, user.fuseoverlayfs.*, becomes
 * user.plyfs.fuseoverlayfs.*. Beyond the kernel, the names of books (opaque, redirect...) are kept
 * in either namespace, whichever the mount writes: an upper that becomes a sealed layer is read in
 * both, and a user's own user.overlay.redirect would lead into whatever it names.
 */
#ifndef PLYFS_OVLATTR_H
#define PLYFS_OVLATTR_H

#include "own.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Whose namespace the mount's own attributes are in; NONE where the upper takes none at all. */
enum ovlspace { OVLSPACE_TRUSTED, OVLSPACE_USER, OVLSPACE_NONE };

/* Where attributes are looked for. In the upper layer only the mount's own namespace counts, as in
 * the kernel: what users store in the other is theirs. A sealed layer may have been written by a
 * mount of either kind. In a plain tree (treekind.h) none are: all attributes are a user's, as they
 * lie there. */
enum ovlwhere {
    OVLWHERE_UPPER_TRUSTED,
    OVLWHERE_UPPER_USER,
    OVLWHERE_UPPER_NONE,
    OVLWHERE_SEALED,
    OVLWHERE_PLAIN
};

static inline enum ovlwhere ovlwhere_upper(enum ovlspace space)
{
    return (enum ovlwhere)space;
}

enum ovlattr {
    OVLATTR_OPAQUE,
    OVLATTR_REDIRECT,
    OVLATTR_METACOPY,
    OVLATTR_ORIGIN,
    OVLATTR_IMPURE,
    OVLATTR_NLINK,
    OVLATTR_WHITEOUT,
    OVLATTR_UPPER,
    OVLATTR_INO,      /* plyfs's own, hidden from the kernel by its prefix: see origin.h */
    OVLATTR_PROTATTR, /* letters: 'a' append-only, 'i' immutable */
    OVLATTR_COUNT
};

/* Which of the attributes a file has, from one listxattr(2): bit 1 << attr. */
typedef uint32_t ovlset;

static inline bool ovlset_has(ovlset set, enum ovlattr attr)
{
    return set >> attr & 1;
}

/* Lists what (dir, name) carries; user.fuseoverlayfs.opaque counts as OPAQUE everywhere. On a
 * filesystem without attributes, and where they may not be asked for, there are none; whoever meets
 * another error does not know, and must not go on as if there were none. */
must_check int ovlattr_list(enum ovlwhere where, int dir, const char *name, ovlset *set);

/* Reads one. The length, or -errno: -ENODATA where it is not there, also on a filesystem without
 * attributes; -ERANGE, -EACCES; or what the filesystem failed with. */
must_check ssize_t ovlattr_get(enum ovlwhere where, int dir, const char *name, enum ovlattr attr,
                               void *value, size_t size);

/* The same by whoever must know: of an object in the upper that its owner may not read, an owner
 * without privilege reads it too, for which its mode is widened for a moment. A sealed layer is
 * never touched. */
must_check ssize_t ovlattr_get_owned(enum ovlwhere where, int dir, const char *name,
                                     enum ovlattr attr, void *value, size_t size);

/* The name on disk under which ovlattr_get() finds one: written to `disk` (64 bytes); "" for none.
 */
void ovlattr_disk_name(enum ovlwhere where, int dir, const char *name, enum ovlattr attr,
                       char disk[64]);

/* Writes one in the mount's namespace; -EOPNOTSUPP in OVLSPACE_NONE. What its owner may not write
 * is his to write for that moment, and so it is with ovlattr_remove(). */
must_check int ovlattr_set(enum ovlspace space, int dir, const char *name, enum ovlattr attr,
                           const void *value, size_t size);

/* Removes one from the mount's namespace; a missing one is fine. */
must_check int ovlattr_remove(enum ovlspace space, int dir, const char *name, enum ovlattr attr);

/* True for an attribute that belongs to the books of a mount of this namespace as it lies on disk,
 * and is never shown. */
bool ovlattr_is_private(enum ovlspace space, const char *disk_name);

/* True for an attribute that may be of the books of a sealed layer, of either namespace: by name
 * one of those that some overlay keeps. There it is not shown, and it is never copied. In the upper
 * one of the other namespace is the user's, who can only have set it through the kernel's
 * overlayfs. */
bool ovlattr_is_book(const char *disk_name);

/* The name on disk of a user's attribute: escaped when it would be taken for ours. `disk` has
 * XATTR_NAME_MAX + 1 bytes. -EOPNOTSUPP when the escaped name is too long. */
must_check int ovlattr_escape(enum ovlspace space, const char *name, char *disk);

/* The user's name of an attribute on disk: a pointer into `disk_name` or into `buffer`
 * (XATTR_NAME_MAX + 1 bytes); NULL when it is private. */
const char *ovlattr_unescape(enum ovlspace space, const char *disk_name, char *buffer);

#endif
