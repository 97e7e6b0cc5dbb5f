/* SPDX-License-Identifier: MIT
 *
 * Duty: `plyfs mount`, and the drop-in form of the same.
 */
#include "command.h"

#include "log.h"
#include "options.h"
#include "plan.h"
#include "ready.h"
#include "serve.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum {
    OPT_LOWER = 256,
    OPT_UPPER,
    OPT_WORK,
    OPT_RO,
    OPT_PROFILE,
    OPT_REDIRECT,
    OPT_METACOPY,
    OPT_INDEX,
    OPT_HELP
};

static const struct option LONG_OPTIONS[] = {
    {"lower", required_argument, NULL, OPT_LOWER},
    {"upper", required_argument, NULL, OPT_UPPER},
    {"work", required_argument, NULL, OPT_WORK},
    {"ro", no_argument, NULL, OPT_RO},
    {"profile", required_argument, NULL, OPT_PROFILE},
    {"redirect-dir", required_argument, NULL, OPT_REDIRECT},
    {"metacopy", required_argument, NULL, OPT_METACOPY},
    {"index", required_argument, NULL, OPT_INDEX},
    {"foreground", no_argument, NULL, 'f'},
    {"debug", no_argument, NULL, 'd'},
    {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0},
};

static int take_choice(const char *name, const char *value, enum choice *choice)
{
    if (options_parse_choice(value, choice))
        return 0;
    log_error("--%s: '%s' is not a value it takes; it takes on or off", name, value);
    return -EINVAL;
}

static int take_profile(const char *value, enum profile *profile)
{
    if (options_parse_profile(value, profile))
        return 0;
    log_error("--profile: '%s' is not a profile; there are stateless, tracked and auto", value);
    return -EINVAL;
}

static int take_option(struct options *options, int option, const char *value)
{
    switch (option) {
    case OPT_LOWER:
        return options_add_lower(options, value);
    case OPT_UPPER:
        return options_set_string(&options->upper, value);
    case OPT_WORK:
        return options_set_string(&options->work, value);
    case OPT_RO:
        return options->read_only = true, 0;
    case OPT_PROFILE:
        return take_profile(value, &options->profile);
    case OPT_REDIRECT:
        return take_choice("redirect-dir", value, &options->redirect);
    case OPT_METACOPY:
        return take_choice("metacopy", value, &options->metacopy);
    case OPT_INDEX:
        return take_choice("index", value, &options->index);
    case 'o':
        return options_take(options, value);
    case 'f':
        return options->foreground = true, 0;
    case 'd':
        return options->debug = true, 0;
    default:
        return -EINVAL;
    }
}

/* The one word that is left is the mountpoint; the drop-in form may have a source before it, which
 * says nothing. */
static int take_words(struct options *options, int count, char **words)
{
    int most = options->drop_in ? 2 : 1;
    if (count > most) {
        log_error("'%s' is one word too many: there is one mountpoint, %s", words[most],
                  words[most - 1]);
        return -EINVAL;
    }
    return count == 0 ? 0 : options_set_string(&options->mountpoint, words[count - 1]);
}

static int parse(struct options *options, int argc, char **argv, const char *usage, bool *helped)
{
    int option, err = 0;
    *helped = false;
    optind = 1;
    while (!err && (option = getopt_long(argc, argv, ":o:fd", LONG_OPTIONS, NULL)) != -1) {
        if (option == OPT_HELP) {
            fputs(usage, stdout);
            *helped = true;
            return 0;
        }
        if (option == '?' || option == ':') {
            log_error(option == ':' ? "option %s needs a value" : "unknown option '%s'",
                      argv[optind - 1]);
            err = -EINVAL;
        } else {
            err = take_option(options, option, optarg);
        }
    }
    if (!err)
        err = take_words(options, argc - optind, argv + optind);
    return err ? err : options_check(options);
}

/* The rest happens in the process that will serve. */
static int mount_and_serve(struct options *options)
{
    struct mount mount;
    int locks[2];
    int err = plan_open(options, &mount, locks);
    if (err)
        return err;
    err = serve_run(options, &mount);
    /* The locks go first: whoever mounts the same upper next should not wait for memory to be
     * freed. */
    own_close(&locks[0]);
    own_close(&locks[1]);
    mount_finish(&mount);
    free(mount.trees);
    return err;
}

static int run(int argc, char **argv, bool drop_in, const char *usage)
{
    struct options options;
    bool helped;
    options_init(&options);
    options.drop_in = drop_in;
    int err = parse(&options, argc, argv, usage, &helped);
    if (!err && !helped) {
        log_enable_debug(options.debug);
        umask(022);
        if (!options.foreground && !options.debug)
            err = ready_background();
        if (!err)
            err = mount_and_serve(&options);
        ready_tell(err ? 1 : 0);
    }
    options_finish(&options);
    return err ? 1 : 0;
}

static const char USAGE[] =
    "usage: plyfs mount --lower DIR [--lower DIR]... [--upper DIR [--work DIR]] [option]... "
    "MOUNTPOINT\n"
    "\n"
    "Shows the layers as one tree; changes go to the upper layer. Without --upper the tree is "
    "read-only.\n"
    "\n"
    "options:\n"
    "  --lower DIR           a read-only layer; the topmost first\n"
    "  --upper DIR           the layer that takes the changes\n"
    "  --work DIR            its work directory, on the same filesystem (UPPER.work)\n"
    "  --ro                  no changes, also with --upper\n"
    "  --profile=P           stateless, tracked or auto (auto)\n"
    "  --redirect-dir=on|off rename directories without copying them (on)\n"
    "  --metacopy=on|off     leave the data below when only metadata changes (on)\n"
    "  --index=on|off        keep hard links together over copy-up (on)\n"
    "  -o OPTION[,...]       further options, see plyfs(1)\n"
    "  -f, --foreground      stay in the foreground\n"
    "  -d, --debug           stay in the foreground and tell what happens\n"
    "      --help            this text\n"
    "\n"
    "example: plyfs mount --lower top --lower base --upper changes merged\n";

static int run_mount(int argc, char **argv)
{
    return run(argc, argv, false, USAGE);
}

const struct command command_mount = {
    .name = "mount",
    .summary = "show layers as one tree",
    .usage = USAGE,
    .run = run_mount,
};

int command_drop_in(int argc, char **argv)
{
    return run(argc, argv, true, USAGE);
}
