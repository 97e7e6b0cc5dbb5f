/* SPDX-License-Identifier: MIT
 *
 * Duty: `plyfs rm`.
 */
#include "command.h"

#include "arguments.h"
#include "log.h"
#include "named.h"
#include "unmount.h"

#include <string.h>

struct wishes {
    const char *root;
    bool force, volumes;
    struct words words;
};

static const struct argument TABLE[] = {
    ARGUMENT_ROOT(struct wishes, root),
    {.name = "force",
     .letter = 'f',
     .kind = ARGUMENT_FLAG,
     .at = offsetof(struct wishes, force),
     .help = "unmount it first; one that is not there is no error"},
    {.name = "volumes",
     .letter = 'v',
     .kind = ARGUMENT_FLAG,
     .at = offsetof(struct wishes, volumes),
     .help = "its anonymous volumes too"},
};

static const struct syntax SYNTAX = {
    .command = "rm",
    .words = "MOUNT...",
    .least = 1,
    .most = ARGUMENTS_ANY,
    .words_at = offsetof(struct wishes, words),
    ARGUMENTS(TABLE),
    .about =
        "Removes named mounts and every change that was made in them. Images and layers stay.\n",
    .example = "plyfs rm web",
};

/* Out of the way of its removal: unmounted, its daemon ended. */
static int take_down(struct store *store, const struct mount_row *row)
{
    enum { PATIENCE = 60 };
    cleanup_fd int watch = named_watch(store, row);
    int err = unmount_named(store, row, true);
    if (!err)
        err = named_wait(store, row, watch, PATIENCE);
    if (err == -ETIMEDOUT)
        log_error("cannot remove %s: somebody is inside, and it has not ended within %d s",
                  row->name, PATIENCE);
    return err;
}

static int remove_mount(struct store *store, const struct mount_row *row,
                        const struct wishes *wishes)
{
    bool force = wishes->force;
    enum named_state state;
    cleanup_fd int lock = -1;
    int err = named_state(store, row, &state);
    if (!err && state == NAMED_MOUNTED && !force) {
        log_error("cannot remove %s: it is mounted on %s; plyfs umount %s first, or rm -f",
                  row->name, row->mountpoint ? row->mountpoint : "a directory", row->name);
        return -EBUSY;
    }
    if (!err && state == NAMED_DEAD)
        unmount_dead_path(row->mountpoint);
    if (!err && state == NAMED_MOUNTED && row->mountpoint)
        err = take_down(store, row);
    if (!err)
        err = named_lock(store, row, &lock);
    return err ? err : named_forget(store, row, wishes->volumes || row->ephemeral);
}

static int remove_one(struct store *store, const struct wishes *wishes, const char *word)
{
    cleanup_mount_row struct mount_row row = {0}, again = {0};
    int err = named_find(store, word, wishes->force, &row);
    if (!err) {
        err = remove_mount(store, &row, wishes);
        /* Whoever was faster is not told of there. One whose directory is lost was. */
        if (err == -ENOENT && named_find(store, row.id, wishes->force, &again) == 0)
            return err;
    }
    return err == -ENOENT && wishes->force ? 0 : err;
}

static int run_rm(int argc, char **argv)
{
    struct wishes wishes = {0};
    cleanup_store struct store *store = NULL;
    int err = arguments_parse(&SYNTAX, argc, argv, &wishes);
    if (!err)
        err = named_open_store(wishes.root, false, &store);
    bool failed = err < 0;
    for (unsigned i = 0; !err && i < wishes.words.count; i++)
        failed |= remove_one(store, &wishes, wishes.words.at[i]) != 0;
    arguments_finish(&SYNTAX, &wishes);
    return failed ? 1 : 0;
}

const struct command command_rm = {
    .name = "rm",
    .summary = "remove named mounts and their changes",
    .run = run_rm,
};
