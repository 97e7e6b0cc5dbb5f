/* SPDX-License-Identifier: MIT
 *
 * Who else lives in this process's mount namespace. A namespace lasts as long as a process is in
 * it, and the daemon of a mount is one: where everybody else has gone, the daemon alone would keep
 * its mount for nobody for ever. With a mount of the kernel's own such a namespace ends by itself
 * (mount_namespaces(7)), and tools rely on it: each command of a rootless buildah has its own.
 */
#ifndef PLYFS_INHABITANT_H
#define PLYFS_INHABITANT_H

#include "own.h"

#include <stdbool.h>

/* Whether what is mounted on `mountpoint` is lost when nobody else is left: this process may see
 * everybody who is in the namespace (it is root of the user namespace that has it), and the mount
 * is not shared with other namespaces (kernel document sharedsubtree.rst). */
bool inhabitant_counts(const char *mountpoint);

/* A pidfd (pidfd_open(2)), readable when the process has ended, of one who lives here and is no
 * daemon of a mount. -ESRCH: there is nobody; another -errno: it cannot be told. */
must_check int inhabitant_watch(void);

/* The same of the parent, which waits for the mount and is not counted: where nobody else is here
 * any more when the mount is made, who asked for it has just gone. Readable at once where the
 * parent has gone too. */
must_check int inhabitant_watch_parent(void);

#endif
