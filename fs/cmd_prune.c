/* SPDX-License-Identifier: MIT
 *
 * Duty: `plyfs prune`: what dead mounts and interrupted work left behind.
 */
#include "command.h"

#include "arguments.h"
#include "faults.h"
#include "fd.h"
#include "leavings.h"
#include "log.h"
#include "named.h"
#include "progress.h"
#include "report.h"
#include "unmount.h"
#include "usage.h"

#include <fcntl.h>
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

/* One that is being removed. */
struct removal {
    enum store_fault fault;
    char *id;
    uint64_t bytes;
};

struct pruning {
    struct store *store;
    unsigned found, failed;
    uint64_t bytes; /* that removing takes away */
    uint64_t begun; /* of them, those that it has begun with */
    uint64_t done;  /* and those that are gone */
    struct removal *removals;
    unsigned count;
    struct progress *progress;
    struct leavings leavings; /* of mounts that are forgotten */
};

/* Where what is to be removed lies; -1 where the fault is no directory that goes. Rows of the
 * catalog that have lost their directory are doctor's. */
static int place_of_fault(const struct store *store, enum store_fault fault)
{
    switch (fault) {
    case STORE_FAULT_STAGE:
        return store->stage;
    case STORE_FAULT_LAYER_DIR:
        return store->layers;
    case STORE_FAULT_MOUNT_DIR:
    case STORE_FAULT_EPHEMERAL:
        return store->mounts;
    case STORE_FAULT_VOLUME_DIR:
        return store->volumes;
    default:
        return -1;
    }
}

static bool is_prunable(const struct store *store, enum store_fault fault)
{
    return fault == STORE_FAULT_DAEMON || place_of_fault(store, fault) >= 0;
}

static uint64_t bytes_of_fault(const struct store *store, enum store_fault fault, const char *id)
{
    struct usage usage = {0};
    int place = place_of_fault(store, fault);
    cleanup_fd int dir = place < 0 ? -1 : fd_open_name(place, id, O_RDONLY | O_DIRECTORY, 0);
    if (dir >= 0 && usage_of(dir, &usage) != 0)
        return 0; /* it is measured for people alone */
    return usage.bytes;
}

static bool count_fault(void *context, enum store_fault fault, const char *id)
{
    struct pruning *pruning = context;
    if (!is_prunable(pruning->store, fault))
        return false;
    printf("%s %s\n", id, faults_words(fault));
    pruning->found++;
    pruning->bytes += bytes_of_fault(pruning->store, fault, id);
    return false;
}

static int note_removal(struct pruning *pruning, enum store_fault fault, const char *id)
{
    struct removal *larger =
        reallocarray(pruning->removals, pruning->count + 1, sizeof(*pruning->removals));
    if (!larger)
        return -ENOMEM;
    pruning->removals = larger;
    struct removal *removal = &larger[pruning->count];
    *removal = (struct removal){
        .fault = fault, .id = strdup(id), .bytes = bytes_of_fault(pruning->store, fault, id)};
    if (!removal->id)
        return -ENOMEM;
    pruning->count++;
    pruning->begun += removal->bytes;
    return 0;
}

static bool mend_fault(void *context, enum store_fault fault, const char *id)
{
    struct pruning *pruning = context;
    progress_at(pruning->progress, pruning->begun);
    if (!is_prunable(pruning->store, fault) ||
        (fault == STORE_FAULT_EPHEMERAL &&
         leavings_note(&pruning->leavings, pruning->store, id) != 0))
        return false;
    int err = note_removal(pruning, fault, id);
    if (err)
        log_error("cannot remove %s: %s", id, strerror(-err));
    pruning->failed += err != 0;
    return !err;
}

/* Only what is gone has given its space back. */
static void take_end(void *context, enum store_fault fault, const char *id, bool mended)
{
    struct pruning *pruning = context;
    pruning->failed += !mended;
    for (unsigned i = 0; mended && i < pruning->count; i++) {
        const struct removal *removal = &pruning->removals[i];
        if (removal->fault == fault && strcmp(removal->id, id) == 0)
            pruning->done += removal->bytes;
    }
}

static void forget_removals(struct pruning *pruning)
{
    for (unsigned i = 0; i < pruning->count; i++)
        free(pruning->removals[i].id);
    free(pruning->removals);
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

static int mend(struct pruning *pruning)
{
    char size[16];
    int err = catalog_each_mount(pruning->store->catalog, unmount_dead, pruning->store);
    if (err)
        return err;
    pruning->progress = progress_start("pruning", pruning->bytes);
    int left = store_check(pruning->store, mend_fault, take_end, pruning);
    leavings_remove(&pruning->leavings, pruning->store);
    leavings_finish(&pruning->leavings);
    progress_end(pruning->progress);
    if (left >= 0)
        printf("Total reclaimed space: %s\n", report_size(size, pruning->done));
    forget_removals(pruning);
    return left;
}

static int prune(const struct wishes *wishes)
{
    cleanup_store struct store *store = NULL;
    int err = named_open_store(wishes->root, false, &store);
    if (err)
        return err;
    struct pruning pruning = {.store = store};
    int left = store_check(store, count_fault, NULL, &pruning);
    if (left >= 0 && pruning.found > 0 &&
        (wishes->force || progress_confirm("Remove all of this?")))
        left = mend(&pruning);
    if (left < 0)
        log_error("cannot prune the store %s: %s", store->path, strerror(-left));
    return left < 0 ? left : pruning.failed > 0 ? -EIO : 0;
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
