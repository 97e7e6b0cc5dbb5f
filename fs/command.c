/* SPDX-License-Identifier: MIT
 *
 * Duty: from the words of a command line to the command.
 */
#include "command.h"

#include "log.h"

#include <string.h>

const struct command *command_find(const struct command *const *commands, const char *name)
{
    for (; *commands; commands++) {
        if (strcmp((*commands)->name, name) == 0)
            return *commands;
    }
    return NULL;
}

void command_list(const struct command *const *commands, FILE *to)
{
    for (; *commands; commands++)
        fprintf(to, "  %-10s %s\n", (*commands)->name, (*commands)->summary);
}

static void tell_group(const struct command *group, FILE *to)
{
    fprintf(to, "usage: plyfs %s COMMAND [argument]...\n\n%s\n\ncommands:\n", group->name,
            group->summary);
    command_list(group->children, to);
    fprintf(to, "\nplyfs %s COMMAND --help tells more.\n", group->name);
}

int command_dispatch(const struct command *command, int argc, char **argv)
{
    if (!command->children)
        return command->run(argc, argv);
    if (argc < 2)
        return tell_group(command, stderr), 1;
    const struct command *child = command_find(command->children, argv[1]);
    if (child)
        return command_dispatch(child, argc - 1, argv + 1);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return tell_group(command, stdout), 0;
    log_error("%s: '%s' is no command; plyfs %s --help lists them", command->name, argv[1],
              command->name);
    return 1;
}
