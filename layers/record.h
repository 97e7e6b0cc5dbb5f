/* SPDX-License-Identifier: MIT
 *
 * Recorded owners of a whole layer: whether the attributes of override.h count in it, reading what
 * a file of it is meant to be, and writing that. fuse-overlayfs does so at xattr_permissions=, and
 * marks the layer by a record on its root; without that no record counts. So a user's own attribute
 * of that name stays one, and a layer is read as whoever wrote it meant it.
 *
 * What is meant is spoken of as a struct stat with the numbers of the disk. A file or directory may
 * carry a record; a device, a pipe or a socket is a file with one. A symbolic link carries none in
 * the namespaces of users (xattr(7)): it belongs to who made it, or, by somebody privileged, to
 * whom it was given.
 */
#ifndef PLYFS_RECORD_H
#define PLYFS_RECORD_H

#include "own.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

/* The attributes that may hold a record, by the value of xattr_permissions=: "security." needs
 * CAP_SYS_ADMIN to be written, "user.containers." is everybody's. */
#define RECORD_PRIVILEGED "security.fuseoverlayfs.override_stat"
#define RECORD_CONTAINERS "user.containers.override_stat"

/* The name of the attribute that counts in the layer whose root is open; NULL when none does. Root
 * does not believe the directory of another user, who could give away by it what only root can. */
const char *record_of_layer(int root);

/* Whether an attribute of this name may be a record. */
bool record_is_name(const char *attr);

/* Puts what (dir, name) is meant to be into `st`, which holds what is on disk. `attr` NULL, no
 * record, and one that makes no sense change nothing. 0, or -errno where it cannot be told. */
must_check int record_read(const char *attr, int dir, const char *name, struct stat *st);

/* Records what (dir, name), which is there, is meant to be; on disk it becomes its maker's to read
 * and write, without set-id bits. */
must_check int record_write(const char *attr, int dir, const char *name, const struct stat *meant);

/* An access ACL of what is meant to have `mode`, as it is meant: what it says of the owner, of the
 * group or mask, and of others is that mode (acl(5)), and on disk it follows the mode there. In
 * place; what makes no sense as an ACL is left as it is. */
void record_show_acl(mode_t mode, void *value, size_t size);

/* The type of what stands on disk for an object of type `mode` with a record. */
mode_t record_disk_type(mode_t mode);

#endif
