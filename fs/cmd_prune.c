/* SPDX-License-Identifier: MIT
 *
 * Duty: `plyfs prune`: what dead mounts and interrupted work left behind.
 */
#include "command.h"

#include "arguments.h"
#include "faults.h"
#include "log.h"
#include "named.h"
#include "progress.h"
#include "unmount.h"

#include <stdio.h>
#include <string.h>

struct wishes {
    const char *root;
    bool force;
};

static const struct argument TABLE[] = {
    ARGUMENT_ROOT(struct wishes, root),
    {.name = "force",
     .letter = 'f',
     .kind = ARGUMENT_FLAG,
     .at = offsetof(struct wishes, force),
     .help = "do not ask"},
};

static const struct syntax SYNTAX = {
    .command = "prune",
    .words = "",
    ARGUMENTS(TABLE),
    .about =
        "Unmounts what dead daemons left mounted, and removes ephemeral mounts and unfinished\n"
        "work that nobody will come back to. It tells what it found and asks first. Named\n"
        "mounts and their changes stay.\n",
    .example = "plyfs prune",
};

/* Everything but rows of the catalog that have lost their directory: those are doctor's. */
static bool is_prunable(enum store_fault fault)
{
    return fault != STORE_FAULT_LAYER_ROW && fault != STORE_FAULT_MOUNT_ROW;
}

static bool count_fault(void *context, enum store_fault fault, const char *id)
{
    unsigned *found = context;
    if (is_prunable(fault)) {
        printf("%s %s\n", id, faults_words(fault));
        ++*found;
    }
    return false;
}

static bool mend_fault(void *context, enum store_fault fault, const char *id)
{
    (void)context;
    (void)id;
    return is_prunable(fault);
}

/* The mountpoint of a dead daemon answers ENOTCONN until it is unmounted. One that is not mounted
 * any more is fine. */
static int unmount_dead(void *context, const struct mount_row *row)
{
    enum named_state state;
    struct store *store = context;
    if (row->mountpoint && named_state(store, row, &state) == 0 && state == NAMED_DEAD)
        unmount_dead_path(row->mountpoint);
    return 0;
}

static int prune(const struct wishes *wishes)
{
    unsigned found = 0;
    cleanup_store struct store *store = NULL;
    int err = named_open_store(wishes->root, false, &store);
    if (err)
        return err;
    int left = store_check(store, count_fault, &found);
    if (left >= 0 && found > 0 && (wishes->force || progress_confirm("Remove all of this?"))) {
        err = catalog_each_mount(store->catalog, unmount_dead, store);
        left = err ? err : store_check(store, mend_fault, NULL);
    }
    if (left < 0)
        log_error("cannot prune the store %s: %s", store->path, strerror(-left));
    return left < 0 ? left : 0;
}

static int run_prune(int argc, char **argv)
{
    struct wishes wishes = {0};
    int err = arguments_parse(&SYNTAX, argc, argv, &wishes);
    if (!err)
        err = prune(&wishes);
    arguments_finish(&SYNTAX, &wishes);
    return err < 0 ? 1 : 0;
}

const struct command command_prune = {
    .name = "prune",
    .summary = "clear what dead mounts left behind",
    .run = run_prune,
};
