/* SPDX-License-Identifier: MIT
 *
 * A command is a value: its name, what it is for, how it is called, and the function that does it.
 */
#ifndef PLYFS_COMMAND_H
#define PLYFS_COMMAND_H

struct command {
    const char *name;
    const char *summary;               /* one line for the list of commands */
    const char *usage;                 /* what --help prints */
    int (*run)(int argc, char **argv); /* argv[0] is the name; the result is the exit status */
};

extern const struct command command_mount;
extern const struct command command_umount;

/* The drop-in form: `plyfs -o lowerdir=...[,...] [SOURCE] MOUNTPOINT`. */
int command_drop_in(int argc, char **argv);

#endif
