/* SPDX-License-Identifier: MIT
 *
 * Duty: find the command and run it. Without one it is the drop-in form.
 */
#include "command.h"

#include "log.h"

#include <fuse_lowlevel.h>
#include <stdio.h>
#include <string.h>

static const struct command *const COMMANDS[] = {
    &command_mount,
    &command_umount,
};

enum { COMMAND_COUNT = sizeof(COMMANDS) / sizeof(COMMANDS[0]) };

static int help(void)
{
    puts("usage: plyfs COMMAND [argument]...\n"
         "       plyfs -o lowerdir=A[:B]...[,upperdir=U,workdir=W][,option]... MOUNTPOINT\n"
         "\n"
         "Merges read-only layer directories into one tree and keeps changes in a layer of their "
         "own.\n"
         "\n"
         "commands:");
    for (int i = 0; i < COMMAND_COUNT; i++)
        printf("  %-10s %s\n", COMMANDS[i]->name, COMMANDS[i]->summary);
    puts("\n"
         "plyfs COMMAND --help tells more; the second form takes fuse-overlayfs's options, see "
         "plyfs(1).\n"
         "\n"
         "example: plyfs mount --lower top --lower base --upper changes merged");
    return 0;
}

static int version(void)
{
    printf("plyfs %s\nlibfuse %s\n", PLYFS_VERSION, fuse_pkgversion());
    return 0;
}

int main(int argc, char **argv)
{
    const char *first = argc > 1 ? argv[1] : "--help";
    for (int i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(first, COMMANDS[i]->name) == 0)
            return COMMANDS[i]->run(argc - 1, argv + 1);
    }
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--version") == 0 || strcmp(argv[i], "-V") == 0)
            return version();
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return help();
    }
    if (argc < 2)
        return help(), 1;
    if (first[0] != '-' && argc == 2) {
        log_error("'%s' is no command; plyfs --help lists them", first);
        return 1;
    }
    return command_drop_in(argc, argv);
}
