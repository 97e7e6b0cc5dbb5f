/* SPDX-License-Identifier: MIT
 *
 * The inode flags that a copy has like its original: "S" and "A" of chattr(1), written at once and
 * never dated. What an object is kept from ("i", "a") is not for the copy: see copyup.h. All others
 * are how a filesystem keeps it, which is that one's own business.
 */
#ifndef PLYFS_FILEFLAGS_H
#define PLYFS_FILEFLAGS_H

/* Gives the file or directory (to, to_name) those that (from, from_name) has; a name may be "". As
 * far as both filesystems have such flags, and tell them: it is good to have. Cost: one system call
 * where there are none, on a kernel that has file_getattr(2) (6.17). */
void fileflags_copy(int from, const char *from_name, int to, const char *to_name);

#endif
