/* SPDX-License-Identifier: MIT
 *
 * Owners as they lie on disk and as they are shown: a pure function of a table. The table comes as
 * fuse-overlayfs has it from its callers, triples "ON-DISK:SHOWN:LENGTH" joined by colons, as in
 * "0:1000:1:1:110000:65536"; a colon before the first is usual. What is in no range is shown as the
 * overflow id and cannot be given, as in user_namespaces(7). Squashing shows one owner for all; on
 * disk it changes nothing.
 */
#ifndef PLYFS_IDMAP_H
#define PLYFS_IDMAP_H

#include "own.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

/* The kernel's default of /proc/sys/kernel/overflowuid and overflowgid. */
enum { IDMAP_OVERFLOW = 65534 };

struct idrange {
    uint32_t disk, shown, length;
};

/* The ranges of one kind of id, users or groups, and what all of them are squashed to. Without
 * ranges every id stands for itself. */
struct idtable {
    struct idrange *at; /* owned */
    unsigned count;
    bool squashed;
    uint32_t squash_to;
};

/* All zero: nothing is mapped. */
struct idmap {
    struct idtable users, groups;
};

void idmap_finish(struct idmap *map);

/* Reads triples in place of those that the table has. -EINVAL: it is none, a length is 0, an id is
 * beyond 4294967294, or two ranges overlap on either side, which user_namespaces(7) forbids too. */
must_check int idtable_parse(struct idtable *table, const char *text);

/* From now on every id is shown as this one. */
void idtable_squash(struct idtable *table, uint32_t id);

/* Whether it changes nothing. */
bool idmap_is_plain(const struct idmap *map);

uint32_t idtable_shown(const struct idtable *table, uint32_t disk);

/* The id on disk of one that a caller knows; false where there is none. An id that is squashed is
 * taken as any other. */
must_check bool idtable_disk(const struct idtable *table, uint32_t shown, uint32_t *disk);

/* Owner and group of `st` from the disk's to what is shown. */
void idmap_show_owner(const struct idmap *map, struct stat *st);

/* The value of an attribute, changed in place, on its way out or in: the ids that a POSIX ACL names
 * (system.posix_acl_*), and the root of a file capability of version 3 (security.capability;
 * capabilities(7)). Nobody is squashed: an ACL must not name one user twice. On the way in -EINVAL
 * for an id that has none on disk; on the way out such an id of an ACL is the overflow id, and a
 * capability of an unmapped root is -EOVERFLOW, as from the kernel (cap_inode_getsecurity). What
 * makes no sense is left to whoever reads it. */
must_check int idmap_show_attr(const struct idmap *map, const char *name, void *value, size_t size);
must_check int idmap_store_attr(const struct idmap *map, const char *name, void *value,
                                size_t size);

#endif
