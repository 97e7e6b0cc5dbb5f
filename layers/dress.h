/* SPDX-License-Identifier: MIT
 *
 * What an entry of an archive says of owner, mode, attributes and time goes onto an object that was
 * just made. In a layer attributes that would be taken for an overlay's books are escaped, whoever
 * they are meant for. What is refused for lack of privilege, the owner or a device, is recorded
 * (override.h); such an object never has set-id bits, and its maker can always read it. Objects are
 * named by an open directory and a name in it; name "" is the descriptor itself.
 */
#ifndef PLYFS_DRESS_H
#define PLYFS_DRESS_H

#include "own.h"
#include "tarball.h"
#include "treekind.h"

#include <sys/stat.h>

/* In this order: a change of owner takes capabilities away, and without privilege only a file that
 * is writable yet takes attributes. */

/* The owner. `type` is what stands on disk (S_IFREG for a device that could not be made); *mode is
 * what it may have there, for dress_mode(). 1: something of it is recorded. */
must_check int dress_owner(int dir, const char *name, const struct tar_entry *entry, mode_t type,
                           mode_t *mode);

/* Attributes. What the filesystem or the kernel does not take is left out. */
must_check int dress_xattrs(enum treekind kind, int dir, const char *name,
                            const struct tar_entry *entry);

/* Mode, without a umask, and time. */
must_check int dress_mode(int dir, const char *name, mode_t mode, struct timespec mtime);

/* Takes away every attribute that is not of a layer's books: another entry comes over it. */
must_check int dress_strip(enum treekind kind, int dir, const char *name);

/* Records what the root of a layer is on disk, where nothing is recorded of it: without a record
 * there, none in the layer counts (record.h). */
must_check int dress_mark(int tree);

/* Time alone: of whiteouts and symlinks. */
must_check int dress_time(int dir, const char *name, struct timespec mtime);

#endif
