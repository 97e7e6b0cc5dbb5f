/* SPDX-License-Identifier: MIT
 *
 * Duty: `plyfs detach`.
 */
#include "command.h"

#include "arguments.h"
#include "attach.h"
#include "log.h"

struct wishes {
    const char *root;
    bool lazy;
    struct words words;
};

static const struct argument TABLE[] = {
    ARGUMENT_ROOT(struct wishes, root),
    {.name = "lazy",
     .letter = 'l',
     .kind = ARGUMENT_FLAG,
     .at = offsetof(struct wishes, lazy),
     .help = "also while files under it are in use: who has them keeps them"},
};

static const struct syntax SYNTAX = {
    .command = "detach",
    .words = "MOUNT DESTINATION",
    .least = 2,
    .most = 2,
    .words_at = offsetof(struct wishes, words),
    ARGUMENTS(TABLE),
    .about =
        "Takes a volume away from a named mount; where it is mounted now, what the volume hid is\n"
        "seen again at once. What the volume holds stays, and an anonymous volume too.\n",
    .example = "plyfs detach web /usr/share/nginx/html",
};

static int detach(const struct wishes *wishes)
{
    cleanup_store struct store *store = NULL;
    cleanup_mount_row struct mount_row row = {0};
    const char *said = wishes->words.at[1];
    cleanup_free char *destination = volume_path_clean(said);
    if (!destination) {
        log_error("invalid mount path: '%s' mount path must be absolute", said);
        return -EINVAL;
    }
    int err = named_open_store(wishes->root, false, &store);
    if (!err)
        err = named_find(store, wishes->words.at[0], false, &row);
    return err ? err : attach_remove(store, &row, destination, wishes->lazy);
}

static int run_detach(int argc, char **argv)
{
    struct wishes wishes = {0};
    int err = arguments_parse(&SYNTAX, argc, argv, &wishes);
    if (!err)
        err = detach(&wishes);
    arguments_finish(&SYNTAX, &wishes);
    return err < 0 ? 1 : 0;
}

const struct command command_detach = {
    .name = "detach",
    .summary = "take a volume away from a named mount",
    .run = run_detach,
};
