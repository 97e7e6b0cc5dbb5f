/* SPDX-License-Identifier: MIT
 *
 * A command is a value: its name, what it is for, how it is called, and the function that does it.
 * Or it is a group: then it has children instead, and `plyfs GROUP --help` lists them.
 */
#ifndef PLYFS_COMMAND_H
#define PLYFS_COMMAND_H

#include <stdio.h>

struct command {
    const char *name;
    const char *summary;                   /* one line for the list of commands */
    const char *usage;                     /* what --help prints; NULL: arguments.h makes it */
    int (*run)(int argc, char **argv);     /* argv[0] is the name; the result is the exit status */
    const struct command *const *children; /* of a group; ends with NULL */
};

extern const struct command command_layer;
extern const struct command command_layer_import;
extern const struct command command_layer_export;
extern const struct command command_layer_verify;
extern const struct command command_layer_diff;
extern const struct command command_mount;
extern const struct command command_umount;
extern const struct command command_create;
extern const struct command command_ps;
extern const struct command command_inspect;
extern const struct command command_rename;
extern const struct command command_commit;
extern const struct command command_export;
extern const struct command command_prune;
extern const struct command command_doctor;
extern const struct command command_rm;
extern const struct command command_run;
extern const struct command command_diff;
extern const struct command command_ls;
extern const struct command command_cat;
extern const struct command command_shadow;
extern const struct command command_copyups;
extern const struct command command_report;
extern const struct command command_explain;
extern const struct command command_policy;
extern const struct command command_waste;
extern const struct command command_expect;
extern const struct command command_trace;
extern const struct command command_stats;
extern const struct command command_top;
extern const struct command command_attach;
extern const struct command command_detach;
extern const struct command command_volume;
extern const struct command command_volume_create;
extern const struct command command_volume_ls;
extern const struct command command_volume_prune;
extern const struct command command_volume_export;
extern const struct command command_volume_import;
extern const struct command command_volume_diff;
extern const struct command command_volume_reseed;
extern const struct command command_image;
extern const struct command command_image_import;
extern const struct command command_image_export;

/* The command of that name in a list that ends with NULL; or NULL. */
const struct command *command_find(const struct command *const *commands, const char *name);

/* Runs a command, or of a group the child that argv[1] names. The exit status. */
int command_dispatch(const struct command *command, int argc, char **argv);

/* Tells name and summary of each. */
void command_list(const struct command *const *commands, FILE *to);

/* The drop-in form: `plyfs -o lowerdir=...[,...] [SOURCE] MOUNTPOINT`. */
int command_drop_in(int argc, char **argv);

#endif
