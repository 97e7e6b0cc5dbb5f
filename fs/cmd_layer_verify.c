/* SPDX-License-Identifier: MIT
 *
 * Duty: `plyfs layer verify`: reads every entry of a layer again, and holds it against the digests
 * that were taken when the layer was sealed. The list of digests has a digest of its own in the
 * catalog, so whoever changes both is found too. Cost: one reading of the whole layer.
 */
#include "command.h"

#include "arguments.h"
#include "cell.h"
#include "layerword.h"
#include "log.h"
#include "named.h"
#include "progress.h"
#include "seal.h"

#include <stdio.h>
#include <string.h>

struct wishes {
    const char *root;
    bool all;
    struct words words;
};

static const struct argument TABLE[] = {
    {.name = "all",
     .letter = 'a',
     .kind = ARGUMENT_FLAG,
     .at = offsetof(struct wishes, all),
     .help = "every layer of the store"},
    ARGUMENT_ROOT(struct wishes, root),
};

static const struct syntax SYNTAX = {
    .command = "layer verify",
    .words = "[LAYER]...",
    .most = ARGUMENTS_ANY,
    .words_at = offsetof(struct wishes, words),
    ARGUMENTS(TABLE),
    .about = "Reads layers again, and names what is not as it was when they were imported, one in\n"
             "a line. The status is 1 when something differs.\n",
    .example = "plyfs layer verify --all",
};

/* What was found in one layer. */
struct finding {
    const char *id;
    unsigned count;
    struct progress *progress;
};

static void tell_difference(struct finding *finding, const char *path, const char *what)
{
    progress_end(steal_ptr(&finding->progress)); /* all is read when the first one is told */
    printf("%.12s /", finding->id);
    cell_write(stdout, strcmp(path, ".") == 0 ? "" : path);
    printf(": %s\n", what);
    finding->count++;
}

static const char *name_difference(const struct entry_digest *then, const struct entry_digest *now)
{
    if (!now)
        return "is missing";
    if (!then)
        return "was not in the layer";
    if (then->type != now->type)
        return "is of another type";
    bool content = strcmp(then->content, now->content) != 0 || then->size != now->size;
    if (content && strcmp(then->meta, now->meta) != 0)
        return "content and metadata were changed";
    return content ? "content was changed" : "metadata were changed";
}

static int take_difference(void *context, const struct entry_digest *then,
                           const struct entry_digest *now)
{
    tell_difference(context, then ? then->path : now->path, name_difference(then, now));
    return 0;
}

/* Without its list of digests nothing can be said of the entries. */
static void tell_list_lost(struct finding *finding, int err)
{
    printf("%.12s: its list of digests %s\n", finding->id,
           err == -ENODATA ? "was not kept" : "was changed");
    finding->count++;
}

/* 1 when something differs. */
static int verify_layer(struct store *store, const struct layer_row *row)
{
    struct finding finding = {
        .id = row->id,
        .progress = progress_start(row->name ? row->name : "verifying", row->bytes),
    };
    struct seal_check check = {.each = take_difference,
                               .context = &finding,
                               .seen = progress_at,
                               .progress = finding.progress};
    int err = seal_verify(store, row, &check);
    progress_end(finding.progress);
    if (err == -EBADMSG || err == -ENODATA)
        tell_list_lost(&finding, err);
    else if (err)
        log_error("cannot verify %.12s: %s", row->id, strerror(-err));
    return finding.count ? 1 : err;
}

static int verify_word(struct store *store, const char *word)
{
    cleanup_layer_row struct layer_row row;
    int err = layerword_find(store, word, &row);
    return err ? err : verify_layer(store, &row);
}

struct survey {
    struct store *store;
    bool failed;
};

/* One that fails is no reason not to look at the next. */
static int survey_layer(void *context, const struct layer_row *row)
{
    struct survey *survey = context;
    survey->failed |= verify_layer(survey->store, row) != 0;
    return 0;
}

static int verify(const struct wishes *wishes)
{
    cleanup_store struct store *store = NULL;
    if (wishes->all == (wishes->words.count > 0)) {
        log_error("layer verify: name layers, or all of them with --all");
        return -EINVAL;
    }
    int err = named_open_store(wishes->root, false, &store);
    if (err)
        return err;
    struct survey survey = {.store = store};
    for (unsigned i = 0; i < wishes->words.count; i++)
        survey.failed |= verify_word(store, wishes->words.at[i]) != 0;
    if (wishes->all)
        err = catalog_each_layer(store->catalog, survey_layer, &survey);
    return err ? err : survey.failed ? -EBADMSG : 0;
}

static int run_verify(int argc, char **argv)
{
    struct wishes wishes = {0};
    int err = arguments_parse(&SYNTAX, argc, argv, &wishes);
    if (!err)
        err = verify(&wishes);
    arguments_finish(&SYNTAX, &wishes);
    return err < 0;
}

const struct command command_layer_verify = {
    .name = "verify",
    .summary = "find what was changed behind the store's back",
    .run = run_verify,
};
