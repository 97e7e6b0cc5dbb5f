/* SPDX-License-Identifier: MIT
 *
 * Duty: `plyfs umount`. When it returns 0 all data is in the upper layer; the daemon of a mount
 * that has no name ends by itself, that of a named one has ended.
 */
#include "command.h"

#include "arguments.h"
#include "log.h"
#include "named.h"
#include "unmount.h"

#include <stdio.h>
#include <string.h>

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
     .help = "out of sight at once, ended when the last one has left"},
};

static const struct syntax SYNTAX = {
    .command = "umount",
    .words = "NAME|MOUNTPOINT...",
    .least = 1,
    .most = ARGUMENTS_ANY,
    .words_at = offsetof(struct wishes, words),
    ARGUMENTS(TABLE),
    .about = "Unmounts. Refused while somebody is inside, unless --lazy.\n",
    .example = "plyfs umount merged",
};

/* By a path, which means what is seen there. */
static int find_mounted_at(struct store *store, const char *path, struct mount_row *row)
{
    int err = named_find(store, path, true, row);
    return !err && row->mountpoint && unmount_is_elsewhere(store, row) ? -ENOENT : err;
}

/* A word is a name where the store has one of it, and a directory otherwise. The store is not made,
 * and a mount without a name needs none. */
static int find_named(const struct wishes *wishes, const char *word, struct store **store,
                      struct mount_row *row)
{
    cleanup_free char *path = store_default_path(wishes->root), *at = NULL;
    if (!path || access(path, F_OK) < 0)
        return -ENOENT;
    int err = store_open(path, false, store);
    if (err || strchr(word, '/'))
        return err ? err : find_mounted_at(*store, word, row);
    err = named_find(*store, word, true, row);
    if (err != -ENOENT)
        return err;
    if (asprintf(&at, "./%s", word) < 0)
        return at = NULL, -ENOMEM;
    return find_mounted_at(*store, at, row);
}

static int unmount_and_wait(const struct store *store, const struct mount_row *row, bool lazy)
{
    enum { PATIENCE = 60 };
    cleanup_fd int watch = named_watch(store, row);
    int err = unmount_named(store, row, lazy);
    if (err || lazy)
        return err;
    err = named_wait(store, row, watch, PATIENCE);
    if (err == -ETIMEDOUT)
        log_error("%s is unmounted, but its daemon has not ended within %d s", row->name, PATIENCE);
    else if (err)
        log_error("%s is unmounted, but whether its daemon has ended cannot be told: %s", row->name,
                  strerror(-err));
    return err;
}

static int unmount_one(const struct wishes *wishes, const char *word)
{
    cleanup_store struct store *store = NULL;
    cleanup_mount_row struct mount_row row = {0};
    int err = find_named(wishes, word, &store, &row);
    /* A store that cannot be opened has said so, and must not keep anything mounted. */
    if (err == -ENOENT || (err && !store)) {
        own_store(&store); /* it may be seen in that very mount, and keep it busy */
        store = NULL;
        return unmount_path(word, wishes->lazy);
    }
    if (!err && !row.mountpoint) {
        log_error("%s is not mounted", row.name);
        err = -EINVAL;
    }
    return err ? err : unmount_and_wait(store, &row, wishes->lazy);
}

static int run_umount(int argc, char **argv)
{
    struct wishes wishes = {0};
    int err = arguments_parse(&SYNTAX, argc, argv, &wishes);
    bool failed = err < 0;
    for (unsigned i = 0; !err && i < wishes.words.count; i++)
        failed |= unmount_one(&wishes, wishes.words.at[i]) != 0;
    arguments_finish(&SYNTAX, &wishes);
    return failed ? 1 : 0;
}

const struct command command_umount = {
    .name = "umount",
    .summary = "unmount such a tree",
    .run = run_umount,
};
