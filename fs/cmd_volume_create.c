/* SPDX-License-Identifier: MIT
 *
 * Duty: `plyfs volume create`. stdout gets the name alone.
 */
#include "command.h"

#include "arguments.h"
#include "log.h"
#include "named.h"
#include "volume.h"
#include "volumeword.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

struct wishes {
    const char *root, *driver, *uid, *gid, *mode;
    struct words options, labels, words;
};

static const struct argument TABLE[] = {
    {.name = "driver",
     .letter = 'd',
     .kind = ARGUMENT_STRING,
     .at = offsetof(struct wishes, driver),
     .value = "DRIVER",
     .help = "who keeps it: local, or a volume plug-in"},
    {.name = "opt",
     .letter = 'o',
     .kind = ARGUMENT_LIST,
     .at = offsetof(struct wishes, options),
     .value = "KEY=VALUE",
     .help = "of the driver; local has type, device, o and size"},
    {.name = "label",
     .kind = ARGUMENT_LIST,
     .at = offsetof(struct wishes, labels),
     .value = "KEY=VALUE",
     .help = "to find it by"},
    {.name = "uid",
     .kind = ARGUMENT_STRING,
     .at = offsetof(struct wishes, uid),
     .value = "N",
     .help = "who its root belongs to"},
    {.name = "gid",
     .kind = ARGUMENT_STRING,
     .at = offsetof(struct wishes, gid),
     .value = "N",
     .help = "the group of its root"},
    {.name = "mode",
     .kind = ARGUMENT_STRING,
     .at = offsetof(struct wishes, mode),
     .value = "MODE",
     .help = "the mode of its root, octal"},
    ARGUMENT_ROOT(struct wishes, root),
};

static const struct syntax SYNTAX = {
    .command = "volume create",
    .words = "[NAME]",
    .most = 1,
    .words_at = offsetof(struct wishes, words),
    ARGUMENTS(TABLE),
    .about =
        "Makes a volume and prints its name. Without a NAME it is anonymous, with 64 digits for\n"
        "a name. One that is there already stays as it is.\n",
    .example = "plyfs volume create --label stage=test -o size=1g data",
};

/* A number that --uid, --gid or --mode said; -1 where nothing was said. */
static int read_number(const char *option, const char *text, int base, int64_t most,
                       int64_t *number)
{
    char *end;
    *number = -1;
    if (!text)
        return 0;
    errno = 0;
    long long value = strtoll(text, &end, base);
    if (!errno && isdigit((unsigned char)*text) && !*end && value <= most) {
        *number = value;
        return 0;
    }
    log_error("--%s '%s': write %s", option, text,
              base == 8 ? "an octal number up to 7777" : "a number");
    return -EINVAL;
}

static int read_root(const struct wishes *wishes, struct volume_root *root)
{
    const int64_t most = (int64_t)UINT32_MAX - 1; /* the last one means none to chown(2) */
    int err = read_number("uid", wishes->uid, 10, most, &root->uid);
    if (!err)
        err = read_number("gid", wishes->gid, 10, most, &root->gid);
    return err ? err : read_number("mode", wishes->mode, 8, 07777, &root->mode);
}

static int create_wish(const struct wishes *wishes, const struct volume_wish *wish)
{
    cleanup_store struct store *store = NULL;
    cleanup(volume_row_finish) struct volume_row row = {0};
    bool existed;
    int err = named_open_store(wishes->root, true, &store);
    if (!err)
        err = volume_create(store, wish, &row, &existed);
    if (err && !log_has_told())
        log_error("cannot create volume %s: %s", wish->name ? wish->name : "", strerror(-err));
    if (err)
        return err;
    return printf("%s\n", row.name) < 0 || fflush(stdout) != 0 ? -EIO : 0;
}

static int create(const struct wishes *wishes)
{
    cleanup(volume_pairs_finish) struct volume_pairs options = {0}, labels = {0};
    struct volume_root root;
    int err = volumeword_pairs(&wishes->options, "--opt", &options);
    if (!err)
        err = volumeword_pairs(&wishes->labels, "--label", &labels);
    if (!err)
        err = read_root(wishes, &root);
    if (err)
        return err;
    const struct volume_wish wish = {
        .name = wishes->words.count ? wishes->words.at[0] : NULL,
        .driver = wishes->driver,
        /* What was not said need not be what a volume of that name has. */
        .options = options.count ? &options : NULL,
        .labels = labels.count ? &labels : NULL,
        .root = &root,
    };
    return create_wish(wishes, &wish);
}

static int run_create(int argc, char **argv)
{
    struct wishes wishes = {0};
    int err = arguments_parse(&SYNTAX, argc, argv, &wishes);
    if (!err)
        err = create(&wishes);
    arguments_finish(&SYNTAX, &wishes);
    return err < 0;
}

const struct command command_volume_create = {
    .name = "create",
    .summary = "make a volume",
    .run = run_create,
};
