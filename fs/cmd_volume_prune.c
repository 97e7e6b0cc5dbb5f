/* SPDX-License-Identifier: MIT
 *
 * Duty: `plyfs volume prune`. What may go is decided before the question and once more by
 * volume_remove(): a volume that a mount came to need in between stays.
 */
#include "command.h"

#include "arguments.h"
#include "log.h"
#include "named.h"
#include "progress.h"
#include "report.h"
#include "volume.h"
#include "volumeword.h"

#include <stdio.h>
#include <string.h>

/* The label that one without a name of its own was made with. */
static const char ANONYMOUS[] = "com.docker.volume.anonymous";

struct wishes {
    const char *root;
    bool all, force;
    struct words filters;
};

static const struct argument TABLE[] = {
    {.name = "all",
     .letter = 'a',
     .kind = ARGUMENT_FLAG,
     .at = offsetof(struct wishes, all),
     .help = "those that somebody named, too"},
    {.name = "filter",
     .kind = ARGUMENT_LIST,
     .at = offsetof(struct wishes, filters),
     .value = "FILTER",
     .help = "label=KEY[=VALUE]: only those; label!=...: not those"},
    {.name = "force",
     .letter = 'f',
     .kind = ARGUMENT_FLAG,
     .at = offsetof(struct wishes, force),
     .help = "do not ask"},
    ARGUMENT_ROOT(struct wishes, root),
};

static const struct syntax SYNTAX = {
    .command = "volume prune",
    .words = "",
    ARGUMENTS(TABLE),
    .about = "Removes the volumes that no mount refers to: anonymous ones, with -a those with a\n"
             "name too. It asks first. Volumes of another driver than local, or with options,\n"
             "stay.\n",
    .example = "plyfs volume prune --filter label!=keep",
};

/* ---- what may go ---- */

/* The label of a filter "label=..." or "label!=..."; NULL when it is neither. */
static const char *filter_label(const char *filter, bool *keeps)
{
    *keeps = strncmp(filter, "label!=", 7) == 0;
    if (*keeps)
        return filter + 7;
    return strncmp(filter, "label=", 6) == 0 ? filter + 6 : NULL;
}

static int check_filters(const struct words *filters)
{
    for (unsigned i = 0; i < filters->count; i++) {
        bool keeps;
        if (filter_label(filters->at[i], &keeps))
            continue;
        log_error("--filter '%s': there are label=KEY[=VALUE] and label!=KEY[=VALUE]",
                  filters->at[i]);
        return -EINVAL;
    }
    return 0;
}

/* As Docker has it, where the filters of one key are one condition: what goes has every label= and
 * lacks one label!= at least, if there are any. */
static bool passes(const struct words *filters, const struct volume_row *row)
{
    unsigned keeping = 0, kept = 0;
    for (unsigned i = 0; i < filters->count; i++) {
        bool keeps;
        const char *label = filter_label(filters->at[i], &keeps);
        bool has = volumeword_has(&row->labels, label);
        if (!keeps && !has)
            return false;
        keeping += keeps;
        kept += keeps && has;
    }
    return keeping == 0 || kept < keeping;
}

struct pruning {
    struct store *store;
    const struct wishes *wishes;
    char **names;
    size_t count;
    uint64_t bytes, done; /* that are to go, that are gone */
    struct progress *progress;
    bool removed;
};

static void pruning_finish(struct pruning *pruning)
{
    for (size_t i = 0; i < pruning->count; i++)
        free(pruning->names[i]);
    free(pruning->names);
}

static int note_volume(struct pruning *pruning, const struct volume_row *row)
{
    uint64_t bytes, names;
    char **more = reallocarray(pruning->names, pruning->count + 1, sizeof(*more));
    if (!more)
        return -ENOMEM;
    pruning->names = more;
    more[pruning->count] = strdup(row->name);
    if (!more[pruning->count])
        return -ENOMEM;
    pruning->count++;
    volume_usage(pruning->store, row, &bytes, &names);
    pruning->bytes += bytes;
    return 0;
}

static int take_volume(void *context, const struct volume_row *row)
{
    struct pruning *pruning = context;
    unsigned users;
    if (strcmp(row->driver, "local") != 0 || row->options.count > 0)
        return 0;
    if (!pruning->wishes->all && !volumeword_has(&row->labels, ANONYMOUS))
        return 0;
    if (!passes(&pruning->wishes->filters, row))
        return 0;
    int err = volumeword_users(pruning->store, row, &users);
    return err || users ? err : note_volume(pruning, row);
}

/* ---- removing ---- */

static int remove_volume(struct pruning *pruning, const char *name)
{
    cleanup_volume_row struct volume_row row = {0};
    uint64_t bytes = 0, names = 0;
    int err = volume_find(pruning->store, name, true, &row);
    if (!err) {
        volume_usage(pruning->store, &row, &bytes, &names);
        err = volume_remove(pruning->store, &row, true);
    }
    if (err) /* somebody who removed it, or needs it now, was faster */
        return err == -ENOENT || err == -EBUSY ? 0 : err;
    pruning->done += bytes;
    progress_at(pruning->progress, pruning->done);
    printf("%s%s\n", pruning->removed ? "" : "Deleted Volumes:\n", name);
    pruning->removed = true;
    return 0;
}

/* Goes on after one that cannot be removed. */
static int remove_all(struct pruning *pruning)
{
    char size[16];
    int failed = 0;
    pruning->progress = progress_start("pruning", pruning->bytes);
    for (size_t i = 0; i < pruning->count; i++) {
        int err = remove_volume(pruning, pruning->names[i]);
        failed = err ? err : failed;
    }
    progress_end(pruning->progress);
    printf("%sTotal reclaimed space: %s\n", pruning->removed ? "\n" : "",
           report_size(size, pruning->done));
    return fflush(stdout) != 0 ? -EIO : failed;
}

static bool agreed(const struct pruning *pruning)
{
    char question[256], size[16];
    if (pruning->wishes->force || pruning->count == 0)
        return true;
    snprintf(question, sizeof(question),
             "WARNING! This will remove %s local volumes not used by at least one mount: %zu, of "
             "%s.\nAre you sure you want to continue?",
             pruning->wishes->all ? "all" : "anonymous", pruning->count,
             report_size(size, pruning->bytes));
    return progress_confirm(question);
}

static int prune(const struct wishes *wishes)
{
    cleanup_store struct store *store = NULL;
    int err = check_filters(&wishes->filters);
    if (!err)
        err = named_open_store(wishes->root, true, &store);
    if (err)
        return err;
    cleanup(pruning_finish) struct pruning pruning = {.store = store, .wishes = wishes};
    err = catalog_each_volume(store->catalog, take_volume, &pruning);
    if (err) {
        log_error("cannot look through the volumes of %s: %s", store->path, strerror(-err));
        return err;
    }
    return agreed(&pruning) ? remove_all(&pruning) : 0;
}

static int run_prune(int argc, char **argv)
{
    struct wishes wishes = {0};
    int err = arguments_parse(&SYNTAX, argc, argv, &wishes);
    if (!err)
        err = prune(&wishes);
    arguments_finish(&SYNTAX, &wishes);
    return err < 0;
}

const struct command command_volume_prune = {
    .name = "prune",
    .summary = "remove volumes that no mount refers to",
    .run = run_prune,
};
