/* SPDX-License-Identifier: MIT
 *
 * What a daemon of root gives up once its mount is made: a fault in it that a layer or a caller can
 * reach then has less to work with. Root of a user namespace is root here.
 *
 * Kept are the capabilities (capabilities(7)) that a request may need, for the kernel has checked
 * what the caller may do, and the daemon does it for him on the layers:
 *   CHOWN, FOWNER, FSETID, DAC_OVERRIDE, MKNOD, SETFCAP, LINUX_IMMUTABLE
 *                        owners, modes with their setgid bit, times, devices, file capabilities and
 *                        chattr(1), in directories that are anybody's
 *   DAC_READ_SEARCH      open_by_handle_at(2): an origin gives an inode its number again
 *   SETUID, SETGID       setfsuid(2): what is made is the caller's (caller.h)
 *   SYS_ADMIN            trusted.* attributes, passthrough, umount(2) on a signal, a tmpfs that is
 *                        attached
 *   MAC_ADMIN, MAC_OVERRIDE
 *                        labels of security modules are copied up with their file
 * All others go. SYS_RESOURCE among them: with it writes of a caller who is over his quota would
 * pass, because they are the daemon's.
 *
 * no_new_privs, the emptied bounding set and Landlock are for a mount that a store does not keep.
 * One that it keeps may be given a volume at any time that mount(8), its helper of that filesystem
 * or a plug-in makes, and these need what root has, and the network.
 *
 * A daemon that must see who else lives in its mount namespace (inhabitant.h), which is where a
 * namespace of its own was made for the mount, keeps CAP_SYS_PTRACE, without which nobody is told
 * the namespaces of others, and does without Landlock, which hides all others from it.
 *
 * A daemon of an ordinary user has nothing to give up, and keeps the way to the setuid fusermount3
 * that takes its mount away on a signal.
 *
 * Landlock takes away the TCP network, abstract Unix sockets of others, and signals to others. It
 * does not fit the filesystem: whoever has any rule of it for files may neither mount nor unmount
 * (kernel document landlock.rst, "Filesystem topology modification"), and a file reached by its
 * handle lies beneath no path that a rule could name.
 */
#ifndef PLYFS_PRIVILEGES_H
#define PLYFS_PRIVILEGES_H

/* What a daemon has to do yet, besides serving requests. */
enum {
    PRIVILEGES_HELPERS = 1, /* programs may have to be started */
    PRIVILEGES_CENSUS = 2,  /* others in its mount namespace are to be seen */
};

/* After the mount is made and caller_init(), and before there is a second thread, for all of this
 * is each thread's own and inherited. `needs`: any of the above. What cannot be given up is told
 * as a warning; what this kernel does not know is left. */
void privileges_give_up(unsigned needs);

#endif
