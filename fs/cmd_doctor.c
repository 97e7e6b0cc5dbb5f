/* SPDX-License-Identifier: MIT
 *
 * Duty: `plyfs doctor`: the store against its disk, both ways.
 */
#include "command.h"

#include "arguments.h"
#include "cell.h"
#include "faults.h"
#include "leavings.h"
#include "log.h"
#include "named.h"
#include "seal.h"

#include <stdio.h>
#include <string.h>

struct wishes {
    const char *root;
    bool repair, layers;
};

static const struct argument TABLE[] = {
    ARGUMENT_ROOT(struct wishes, root),
    {.name = "repair",
     .kind = ARGUMENT_FLAG,
     .at = offsetof(struct wishes, repair),
     .help = "mend what was found"},
    {.name = "layers",
     .kind = ARGUMENT_FLAG,
     .at = offsetof(struct wishes, layers),
     .help = "read every layer again too"},
};

static const struct syntax SYNTAX = {
    .command = "doctor",
    .words = "",
    ARGUMENTS(TABLE),
    .about =
        "Compares the catalog with the directories of the store and tells what does not fit.\n"
        "Status 0: nothing is wrong, or all of it was mended; 1: something is; 2: it could not\n"
        "be found out.\n",
    .example = "plyfs doctor --repair",
};

struct visit {
    struct store *store;
    bool repair;
    unsigned found;
    struct leavings leavings; /* of mounts that are forgotten */
};

/* One that is to be mended is told when it is, or is not. */
static bool take_fault(void *context, enum store_fault fault, const char *id)
{
    struct visit *visit = context;
    if (!visit->repair)
        printf("%s %s\n", id, faults_words(fault));
    else if (fault == STORE_FAULT_EPHEMERAL)
        return leavings_note(&visit->leavings, visit->store, id) == 0;
    return visit->repair;
}

static void take_end(void *context, enum store_fault fault, const char *id, bool mended)
{
    (void)context;
    printf("%s %s%s\n", id, faults_words(fault), mended ? ": mended" : "");
}

static int take_difference(void *context, const struct entry_digest *was,
                           const struct entry_digest *is)
{
    const char *layer = context;
    printf("%s layer: ", layer);
    cell_write(stdout, was ? was->path : is->path);
    printf(" %s\n", !is    ? "is gone"
                    : !was ? "was added behind the store's back"
                           : "was changed behind the store's back");
    return 1;
}

/* One word for each layer: `plyfs layer verify` tells all. */
static int verify_layer(void *context, const struct layer_row *row)
{
    struct visit *visit = context;
    struct seal_check check = {.each = take_difference, .context = row->id};
    int err = seal_verify(visit->store, row, &check);
    if (err == -EBADMSG)
        printf("%s layer: the list of its digests was changed behind the store's back\n", row->id);
    else if (err < 0 && err != -ENODATA)
        return err;
    visit->found += err > 0 || err == -EBADMSG;
    return 0;
}

static int examine(const struct wishes *wishes, unsigned *left)
{
    cleanup_store struct store *store = NULL;
    int err = named_open_store(wishes->root, false, &store);
    if (err)
        return err;
    struct visit visit = {.store = store, .repair = wishes->repair};
    int rest = store_check(store, take_fault, take_end, &visit);
    leavings_remove(&visit.leavings, store);
    leavings_finish(&visit.leavings);
    if (rest < 0) {
        log_error("cannot check the store %s: %s", store->path, strerror(-rest));
        return rest;
    }
    if (wishes->layers)
        err = catalog_each_layer(store->catalog, verify_layer, &visit);
    *left = (unsigned)rest + visit.found;
    return err;
}

static int run_doctor(int argc, char **argv)
{
    struct wishes wishes = {0};
    unsigned left = 0;
    int err = arguments_parse(&SYNTAX, argc, argv, &wishes);
    bool helped = err == ARGUMENTS_HELPED;
    if (!err)
        err = examine(&wishes, &left);
    arguments_finish(&SYNTAX, &wishes);
    return helped ? 0 : err ? 2 : left > 0;
}

const struct command command_doctor = {
    .name = "doctor",
    .summary = "compare a store with its disk, and mend it",
    .run = run_doctor,
};
