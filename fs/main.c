/* SPDX-License-Identifier: MIT
 *
 * Duty: find the command and run it. Without one it is the drop-in form.
 */
#include "command.h"

#include "log.h"
#include "mounthelper.h"

#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct command *const COMMANDS[] = {
    /* named mounts */
    &command_mount,
    &command_umount,
    &command_create,
    &command_ps,
    &command_inspect,
    &command_rename,
    &command_rm,
    &command_diff,
    &command_ls,
    &command_cat,
    &command_shadow,
    &command_copyups,
    &command_report,
    &command_explain,
    &command_policy,
    &command_waste,
    &command_expect,
    &command_trace,
    &command_stats,
    &command_top,
    &command_attach,
    &command_detach,
    &command_commit,
    &command_export,
    &command_run,
    /* the store */
    &command_image,
    &command_layer,
    &command_volume,
    &command_prune,
    &command_doctor,
    NULL,
};

static void tell_usage(FILE *to)
{
    fputs("usage: plyfs COMMAND [argument]...\n"
          "       plyfs -o lowerdir=A[:B]...[,upperdir=U,workdir=W][,option]... MOUNTPOINT\n"
          "       plyfs --version\n"
          "\n"
          "Merges read-only layer directories into one tree and keeps changes in a layer of their "
          "own.\n"
          "\n"
          "commands:\n",
          to);
    command_list(COMMANDS, to);
    fputs("\n"
          "plyfs COMMAND --help tells more; the second form takes fuse-overlayfs's options, see "
          "plyfs(1).\n"
          "\n"
          "example: plyfs mount --lower top --lower base --upper changes merged\n",
          to);
}

static int version(void)
{
    printf("plyfs %s\nlibfuse %s\n", PLYFS_VERSION, fuse_pkgversion());
    return 0;
}

/* The drop-in form has an option, whatever order its words are in. */
static bool has_option(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] == '-')
            return true;
    }
    return false;
}

static int help_mount(int argc, char **argv)
{
    bool fake;
    argc = mounthelper_strip(argc, argv, &fake);
    return fake ? 0 : command_drop_in(argc, argv);
}

/* A caller may have closed its standard streams: what is opened next must not take their place. To
 * read one, or to tell something there, fails as it would without: no listing is told to nobody
 * with success. */
static void fill_standard_streams(void)
{
    static const int MODES[] = {
        [STDIN_FILENO] = O_WRONLY, [STDOUT_FILENO] = O_RDONLY, [STDERR_FILENO] = O_RDWR};
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) < 0)
            (void)!open("/dev/null", MODES[fd]); /* the lowest number that is free */
    }
}

static int run(int argc, char **argv)
{
    /* mount(8) names the source first; a person may ask for the version. */
    if (argc > 1 && mounthelper_is(argv[0]) && argv[1][0] != '-')
        return help_mount(argc, argv);
    if (argc < 2) {
        tell_usage(stderr);
        return 1;
    }
    const struct command *command = command_find(COMMANDS, argv[1]);
    if (command)
        return command_dispatch(command, argc - 1, argv + 1);
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--version") == 0 || strcmp(argv[i], "-V") == 0)
            return version();
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return tell_usage(stdout), 0;
    }
    if (!has_option(argc, argv)) {
        log_error("'%s' is no command; plyfs --help lists them", argv[1]);
        return 1;
    }
    return command_drop_in(argc, argv);
}

/* What was to be told and cannot be is a failure, as of a full disk. Told here for all commands. */
static int check_told(int status)
{
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    log_error("what was to be told could not be written to stdout%s%s", errno ? ": " : "",
              errno ? strerror(errno) : "");
    return status ? status : 1;
}

int main(int argc, char **argv)
{
    fill_standard_streams();
    return check_told(run(argc, argv));
}
