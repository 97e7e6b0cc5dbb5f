/* SPDX-License-Identifier: MIT
 *
 * Duty: `plyfs rename`.
 */
#include "command.h"

#include "arguments.h"
#include "log.h"
#include "named.h"

#include <string.h>

struct wishes {
    const char *root;
    struct words words;
};

static const struct argument TABLE[] = {
    ARGUMENT_ROOT(struct wishes, root),
};

static const struct syntax SYNTAX = {
    .command = "rename",
    .words = "MOUNT NAME",
    .least = 2,
    .most = 2,
    .words_at = offsetof(struct wishes, words),
    ARGUMENTS(TABLE),
    .about = "Gives a mount another name, mounted or not.\n",
    .example = "plyfs rename web web-old",
};

static int rename_mount(const struct wishes *wishes)
{
    cleanup_store struct store *store = NULL;
    cleanup_mount_row struct mount_row row = {0};
    const char *name = wishes->words.at[1];
    int err = named_check_name(name);
    if (!err)
        err = named_open_store(wishes->root, false, &store);
    if (!err)
        err = named_find(store, wishes->words.at[0], false, &row);
    if (!err) {
        err = catalog_rename_mount(store->catalog, row.id, name);
        if (err)
            log_error(err == -EEXIST ? "cannot rename %s: the name %s is taken"
                                     : "cannot rename %s to %s in the catalog",
                      row.name, name);
    }
    return err;
}

static int run_rename(int argc, char **argv)
{
    struct wishes wishes = {0};
    int err = arguments_parse(&SYNTAX, argc, argv, &wishes);
    if (!err)
        err = rename_mount(&wishes);
    arguments_finish(&SYNTAX, &wishes);
    return err < 0 ? 1 : 0;
}

const struct command command_rename = {
    .name = "rename",
    .summary = "give a mount another name",
    .run = run_rename,
};
