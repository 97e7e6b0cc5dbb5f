/* SPDX-License-Identifier: MIT
 *
 * Duty: `plyfs attach`.
 */
#include "command.h"

#include "arguments.h"
#include "attach.h"
#include "log.h"

struct wishes {
    const char *root;
    struct words words;
};

static const struct argument TABLE[] = {
    ARGUMENT_ROOT(struct wishes, root),
};

static const struct syntax SYNTAX = {
    .command = "attach",
    .words = "MOUNT VOLUME",
    .least = 2,
    .most = 2,
    .words_at = offsetof(struct wishes, words),
    ARGUMENTS(TABLE),
    .about =
        "Gives a named mount one more volume, said as to -v ([SOURCE:]DESTINATION[:MODE]) or to\n"
        "--mount (type=bind,source=...). Where it is mounted now it is seen at once, without a\n"
        "remount; what it hides comes back with plyfs detach.\n",
    .example = "plyfs attach web ./site:/usr/share/nginx/html:ro",
};

static int parse(const char *said, struct volume_specs *specs)
{
    struct volume_fault fault;
    struct volume_spec spec = {0};
    cleanup_free char *cwd = getcwd(NULL, 0);
    int err = volume_spec_parse_any(said, cwd ? cwd : "/", &spec, &fault);
    if (!err)
        err = volume_specs_add(specs, &spec, &fault);
    if (!err)
        return 0;
    volume_spec_finish(&spec);
    log_error("%s", fault.words);
    return err;
}

static int attach(const struct wishes *wishes)
{
    cleanup_store struct store *store = NULL;
    cleanup_mount_row struct mount_row row = {0};
    cleanup_volume_specs struct volume_specs specs = {0};
    int err = parse(wishes->words.at[1], &specs);
    if (!err)
        err = named_open_store(wishes->root, false, &store);
    if (!err)
        err = named_find(store, wishes->words.at[0], false, &row);
    return err ? err : attach_add(store, &row, &specs);
}

static int run_attach(int argc, char **argv)
{
    struct wishes wishes = {0};
    int err = arguments_parse(&SYNTAX, argc, argv, &wishes);
    if (!err)
        err = attach(&wishes);
    arguments_finish(&SYNTAX, &wishes);
    return err < 0 ? 1 : 0;
}

const struct command command_attach = {
    .name = "attach",
    .summary = "give a named mount a volume, also while it is mounted",
    .run = run_attach,
};
