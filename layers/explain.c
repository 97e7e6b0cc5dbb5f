/* SPDX-License-Identifier: MIT
 *
 * Duty: walk a path down the union name by name, and at each name down the layers, with everything
 * kept that the resolver drops: what lies behind a whiteout, beneath an opaque directory, beside a
 * redirect.
 *
 *   a standing   of a layer, between two names: where it has the directory, and whether that adds
 * to what is shown, or what hides it a barrier    of a name, on the way down the layers: what ended
 * the search. Beneath it layers are looked at all the same, to say what is hidden there
 *
 * Cost: a sight (sight.h) of each layer for each name of the path, and one more for each name of an
 * absolute redirect.
 */
#include "explain.h"

#include "fd.h"
#include "pathjoin.h"
#include "sight.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

const char *explain_state_word(enum explain_state state)
{
    static const char *const WORDS[] = {
        [EXPLAIN_ABSENT] = "absent",         [EXPLAIN_WINS] = "wins",
        [EXPLAIN_MERGED] = "merged",         [EXPLAIN_DATA] = "data",
        [EXPLAIN_HIDDEN] = "hidden",         [EXPLAIN_WHITEOUT] = "whiteout",
        [EXPLAIN_UNREADABLE] = "unreadable",
    };
    return WORDS[state];
}

const char *explain_reason_word(enum explain_reason reason)
{
    static const char *const WORDS[] = {
        [EXPLAIN_FREE] = "",
        [EXPLAIN_BY_WHITEOUT] = "whiteout",
        [EXPLAIN_BY_OPAQUE] = "opaque",
        [EXPLAIN_BY_FILE] = "file",
        [EXPLAIN_BY_DIRECTORY] = "directory",
        [EXPLAIN_BY_REDIRECT] = "redirect",
        [EXPLAIN_BY_LINK] = "hard link",
        [EXPLAIN_BY_FAULT] = "fault",
    };
    return WORDS[reason];
}

/* ---- values ---- */

static void cause_finish(struct explain_cause *cause)
{
    free(cause->path);
    *cause = (struct explain_cause){0};
}

/* What was there is given up. `form` may be NULL. */
static int cause_set(struct explain_cause *cause, enum explain_reason reason, unsigned slot,
                     const char *path, const char *form)
{
    struct explain_cause set = {.reason = reason, .slot = slot, .path = strdup(path)};
    if (!set.path)
        return -ENOMEM;
    if (form)
        snprintf(set.form, sizeof(set.form), "%s", form);
    cause_finish(cause);
    *cause = set;
    return 0;
}

static int cause_copy(struct explain_cause *to, const struct explain_cause *from)
{
    return from->reason == EXPLAIN_FREE
               ? 0
               : cause_set(to, from->reason, from->slot, from->path, from->form);
}

static void layer_finish(struct explain_layer *layer)
{
    free(layer->path);
    free(layer->redirect);
    cause_finish(&layer->by);
    *layer = (struct explain_layer){0};
}

void explain_finish(struct explain *explain)
{
    for (unsigned i = 0; explain->at && i < explain->count; i++)
        layer_finish(&explain->at[i]);
    free(explain->at);
    cause_finish(&explain->why);
    *explain = (struct explain){0};
}

/* ---- the walk down the path ---- */

struct standing {
    char *path;
    bool live;       /* it adds to the directory that is shown */
    bool xwhiteouts; /* attribute whiteouts are in it */
    struct explain_cause by;
};

struct account {
    const struct stack *stack;
    struct standing *at; /* by slot */
    bool *marked;        /* by slot: the root of the layer holds attribute whiteouts */
};

/* One name, on the way down the layers. */
struct search {
    struct account *account;
    struct explain *explain;
    const char *name;
    char *tail;    /* what is looked for, instead of the name, after a redirect; owned */
    bool absolute; /* ... from the root of the layer */
    enum { SEEKS_FIRST, SEEKS_DIRECTORIES, SEEKS_DATA } seeks;
    struct explain_cause barrier, redirect;
};

static unsigned first_slot(const struct stack *stack)
{
    return stack->writable ? 0 : 1;
}

static const char *tail_of(const struct search *search)
{
    return search->tail ? search->tail : search->name;
}

/* Nothing beneath counts from here on. The first barrier is the one that is told. */
static int stop(struct search *search, enum explain_reason reason, unsigned slot, const char *path,
                const char *form)
{
    return search->barrier.reason == EXPLAIN_FREE
               ? cause_set(&search->barrier, reason, slot, path, form)
               : 0;
}

/* `form` is the redirect that is at fault, or NULL. */
static int fail(struct search *search, int err, unsigned slot, const char *path, const char *form)
{
    if (search->explain->err == 0)
        search->explain->err = err;
    return stop(search, EXPLAIN_BY_FAULT, slot, path, form);
}

/* ---- redirects ---- */

/* As the resolver has it: absolute without odd components, or one sibling name. */
static bool is_sane(const char *value)
{
    if (value[0] != '/')
        return value[0] && !strchr(value, '/') && !fd_is_dot(value);
    for (const char *at = value; *at;) {
        at += *at == '/';
        size_t length = strcspn(at, "/");
        char name[NAME_MAX + 1];
        if (length == 0 || length > NAME_MAX)
            return false;
        snprintf(name, sizeof(name), "%.*s", (int)length, at);
        if (fd_is_dot(name))
            return false;
        at += length;
    }
    return true;
}

static void take_tail(struct search *search, char *tail)
{
    free(search->tail);
    search->tail = tail;
}

/* The layers beneath `slot` are asked elsewhere from now on. */
static int follow(struct search *search, unsigned slot, const char *path, const struct sight *sight)
{
    char *tail = NULL;
    const char *value = sight->redirect;
    if (sight->fault || !is_sane(value))
        return fail(search, sight->fault ? sight->fault : -EIO, slot, path, value);
    if (*value == '/') {
        tail = strdup(value + 1);
        search->absolute = true;
    } else {
        const char *now = tail_of(search), *slash = strrchr(now, '/');
        cleanup_free char *front = strndup(now, slash ? (size_t)(slash - now) : 0);
        tail = front ? path_join(front, value) : NULL;
    }
    if (!tail)
        return -ENOMEM;
    take_tail(search, tail);
    return cause_set(&search->redirect, EXPLAIN_BY_REDIRECT, slot, path, NULL);
}

/* ---- the way of an absolute redirect ---- */

/* What the components of the tail but the last come to in one layer. */
struct passage {
    bool open;                  /* the last one may be asked for */
    struct explain_cause stops; /* what nothing beneath this layer gets past */
    char *next;                 /* what the layers beneath are asked for instead; or NULL */
};

/* An absolute redirect leads out of an opaque directory on the way to what has it. */
static bool leads_out(const struct sight *sight)
{
    return sight->fault || (sight->redirect && *sight->redirect == '/');
}

static void passage_finish(struct passage *passage)
{
    cause_finish(&passage->stops);
    free(passage->next);
}

/* A component that is redirected itself sends the layers beneath elsewhere: `rest` is what follows
 * it in the tail. */
static int reroute(struct passage *passage, const char *tail, const char *rest, const char *value)
{
    char *joined = NULL;
    const char *now = passage->next ? passage->next : tail;
    size_t keep = strlen(now) - strlen(rest) - 1;
    while (keep > 0 && now[keep - 1] != '/')
        keep--;
    int length = *value == '/' ? asprintf(&joined, "%s/%s", value + 1, rest)
                               : asprintf(&joined, "%.*s%s/%s", (int)keep, now, value, rest);
    if (length < 0)
        return -ENOMEM;
    free(passage->next);
    passage->next = joined;
    return 0;
}

/* Weighs the directory `prefix` of one layer; passage->open says whether it leads on. */
static int weigh(struct search *search, unsigned slot, const char *prefix, const char *rest,
                 struct passage *passage)
{
    cleanup_sight struct sight sight = {0};
    int err = sight_take(search->account->stack, slot, prefix, true, &sight);
    passage->open = false;
    if (err || sight.kind == SIGHT_NOTHING)
        return err;
    if (sight.kind == SIGHT_WHITEOUT)
        return cause_set(&passage->stops, EXPLAIN_BY_WHITEOUT, slot, prefix, sight.form);
    if (!S_ISDIR(sight.st.st_mode))
        return cause_set(&passage->stops, EXPLAIN_BY_FILE, slot, prefix, NULL);
    passage->open = true;
    if (sight.opaque && passage->stops.reason == EXPLAIN_FREE)
        err = cause_set(&passage->stops, EXPLAIN_BY_OPAQUE, slot, prefix, sight.mark);
    if (err || sight.opaque || (!sight.redirect && !sight.fault))
        return err;
    if (leads_out(&sight))
        cause_finish(&passage->stops);
    if (sight.fault || !is_sane(sight.redirect)) {
        passage->open = false;
        err = cause_set(&passage->stops, EXPLAIN_BY_FAULT, slot, prefix, sight.redirect);
        return err ? err : fail(search, -EIO, slot, prefix, sight.redirect);
    }
    return reroute(passage, tail_of(search), rest, sight.redirect);
}

static int pass(struct search *search, unsigned slot, struct passage *passage)
{
    int err = 0;
    cleanup_free char *prefix = strdup(tail_of(search));
    *passage = (struct passage){.open = true};
    if (!prefix)
        return -ENOMEM;
    for (char *slash = strchr(prefix, '/'); slash && passage->open && !err;
         slash = strchr(slash + 1, '/')) {
        *slash = 0;
        err = weigh(search, slot, prefix, slash + 1, passage);
        *slash = '/';
    }
    return err;
}

/* ---- one layer ---- */

static int take_sight(struct explain_layer *layer, struct sight *sight)
{
    layer->there = sight->kind == SIGHT_OBJECT;
    layer->st = sight->st;
    layer->form = sight->form;
    layer->metacopy = sight->metacopy;
    strcpy(layer->mark, sight->mark);
    free(layer->redirect);
    layer->redirect = NULL;
    return sight->redirect ? own_copy(&layer->redirect, sight->redirect) : 0;
}

static enum explain_state hidden_state(const struct sight *sight)
{
    return sight->kind == SIGHT_OBJECT     ? EXPLAIN_HIDDEN
           : sight->kind == SIGHT_WHITEOUT ? EXPLAIN_WHITEOUT
                                           : EXPLAIN_ABSENT;
}

static bool is_lowest(const struct search *search, unsigned slot, const struct passage *passage)
{
    const struct stack *stack = search->account->stack;
    return slot + 1 == stack->count || passage->stops.reason != EXPLAIN_FREE;
}

/* A directory that counts: what lies beneath is merged with it, unless it says otherwise. */
static int go_past_directory(struct search *search, const struct explain_layer *layer,
                             const struct sight *sight, bool lowest)
{
    const bool upper = search->account->stack->writable && layer->slot == 0;
    search->seeks = SEEKS_DIRECTORIES;
    if (lowest && !upper)
        return 0;
    if (sight->opaque)
        return stop(search, EXPLAIN_BY_OPAQUE, layer->slot, layer->path, layer->mark);
    if (sight->redirect || sight->fault)
        return follow(search, layer->slot, layer->path, sight);
    /* Only under its own name a `.wh.` file beside it was weighed. */
    if (sight->cut && !search->tail)
        return stop(search, EXPLAIN_BY_WHITEOUT, layer->slot, layer->path, ".wh. file");
    return 0;
}

/* A file that counts: nothing beneath does, but for the data of a metacopy file. */
static int go_past_file(struct search *search, const struct explain_layer *layer,
                        const struct sight *sight, bool lowest)
{
    const bool upper = search->account->stack->writable && layer->slot == 0;
    /* In the lowest layer the mark counts where there is a size and no blocks (resolve.c). */
    const bool has_data = layer->st.st_size == 0 || layer->st.st_blocks > 0;
    if (!sight->metacopy || (lowest && !upper && has_data))
        return stop(search, EXPLAIN_BY_FILE, layer->slot, layer->path, NULL);
    search->seeks = SEEKS_DATA;
    return sight->redirect || sight->fault ? follow(search, layer->slot, layer->path, sight) : 0;
}

static int hide_behind_winner(struct search *search, struct explain_layer *layer,
                              enum explain_reason reason)
{
    const struct explain_layer *winner = explain_winner(search->explain);
    layer->state = EXPLAIN_HIDDEN;
    return cause_set(&layer->by, reason, winner->slot, winner->path, NULL);
}

static int take_first(struct search *search, struct explain_layer *layer, const struct sight *sight,
                      bool lowest)
{
    layer->state = EXPLAIN_WINS;
    search->explain->present = true;
    search->explain->winner = layer->slot;
    return S_ISDIR(layer->st.st_mode) ? go_past_directory(search, layer, sight, lowest)
                                      : go_past_file(search, layer, sight, lowest);
}

static int take_directory(struct search *search, struct explain_layer *layer,
                          const struct sight *sight, bool lowest)
{
    if (S_ISDIR(layer->st.st_mode)) {
        layer->state = EXPLAIN_MERGED;
        return go_past_directory(search, layer, sight, lowest);
    }
    int err = hide_behind_winner(search, layer, EXPLAIN_BY_DIRECTORY);
    return err ? err : stop(search, EXPLAIN_BY_FILE, layer->slot, layer->path, NULL);
}

static int take_data(struct search *search, struct explain_layer *layer, const struct sight *sight)
{
    if (S_ISREG(layer->st.st_mode) && !layer->metacopy) {
        layer->state = EXPLAIN_DATA;
        return stop(search, EXPLAIN_BY_FILE, layer->slot, layer->path, NULL);
    }
    int err = hide_behind_winner(search, layer, EXPLAIN_BY_FILE);
    if (!err && !S_ISREG(layer->st.st_mode))
        err = fail(search, -EIO, layer->slot, layer->path, NULL);
    else if (!err && (sight->redirect || sight->fault))
        err = follow(search, layer->slot, layer->path, sight);
    else if (!err && sight->cut && !search->tail && explain_winner(search->explain)->slot == 0)
        err = stop(search, EXPLAIN_BY_WHITEOUT, layer->slot, layer->path, ".wh. file");
    return err;
}

/* What a layer has that nothing above is in the way of. */
static int take_object(struct search *search, struct explain_layer *layer,
                       const struct sight *sight, bool lowest)
{
    switch (search->seeks) {
    case SEEKS_DIRECTORIES:
        return take_directory(search, layer, sight, lowest);
    case SEEKS_DATA:
        return take_data(search, layer, sight);
    case SEEKS_FIRST:
        break;
    }
    return take_first(search, layer, sight, lowest);
}

/* Beside a redirect the layer may have something under the name itself, which is passed by. */
static int look_beside(struct search *search, struct explain_layer *layer)
{
    cleanup_sight struct sight sight = {0};
    const struct standing *standing = &search->account->at[layer->slot];
    if (!search->tail)
        return 0;
    cleanup_free char *plain = path_join(standing->path, search->name);
    if (!plain)
        return -ENOMEM;
    int err = sight_take(search->account->stack, layer->slot, plain, standing->xwhiteouts, &sight);
    if (err || sight.kind != SIGHT_OBJECT)
        return err == -ENOMEM ? err : 0;
    layer->state = EXPLAIN_HIDDEN;
    free(layer->path);
    layer->path = steal_ptr(&plain);
    err = take_sight(layer, &sight);
    return err ? err : cause_copy(&layer->by, &search->redirect);
}

/* A layer that something is in the way of: it is looked at to say what is hidden. */
static int look_behind(struct search *search, struct explain_layer *layer, struct sight *sight,
                       const struct explain_cause *by)
{
    layer->state = hidden_state(sight);
    int err = take_sight(layer, sight);
    if (!err)
        err = cause_copy(&layer->by, by);
    return err || sight->kind != SIGHT_NOTHING ? err : look_beside(search, layer);
}

static int look_freely(struct search *search, struct explain_layer *layer, struct sight *sight,
                       struct passage *passage)
{
    int err = take_sight(layer, sight);
    if (err)
        return err;
    switch (sight->kind) {
    case SIGHT_NOTHING:
        return look_beside(search, layer);
    case SIGHT_WHITEOUT:
        layer->state = EXPLAIN_WHITEOUT;
        return stop(search, EXPLAIN_BY_WHITEOUT, layer->slot, layer->path, layer->form);
    case SIGHT_OBJECT:
        break;
    }
    /* And the data of a metacopy file lies beneath in any case. */
    if (passage->stops.reason == EXPLAIN_BY_OPAQUE &&
        (S_ISREG(sight->st.st_mode) ||
         (S_ISDIR(sight->st.st_mode) && !sight->opaque && leads_out(sight))))
        cause_finish(&passage->stops);
    return take_object(search, layer, sight, is_lowest(search, layer->slot, passage));
}

static bool reads_attributes(const struct search *search, unsigned slot)
{
    const struct account *account = search->account;
    bool upper = account->stack->writable && slot == 0;
    if (search->absolute)
        return strchr(search->tail, '/') || account->marked[slot];
    return account->at[slot].xwhiteouts && !upper;
}

/* What may not be looked at ends the search, where the resolver would have had to look. */
static int give_up(struct search *search, struct explain_layer *layer, int err, bool free_way)
{
    if (err != -EACCES && err != -EPERM)
        return err;
    layer->state = EXPLAIN_UNREADABLE;
    return free_way ? fail(search, err, layer->slot, layer->path, NULL) : 0;
}

static int search_layer(struct search *search, struct explain_layer *layer, struct passage *passage,
                        bool free_way, const struct explain_cause *by)
{
    cleanup_sight struct sight sight = {0};
    int err = sight_take(search->account->stack, layer->slot, layer->path,
                         reads_attributes(search, layer->slot), &sight);
    if (err)
        return give_up(search, layer, err, free_way);
    if (!free_way)
        return look_behind(search, layer, &sight, by);
    if (passage->next)
        take_tail(search, steal_ptr(&passage->next));
    return look_freely(search, layer, &sight, passage);
}

/* One layer for one name: first the way that a redirect takes there, then the layer itself, then
 * what the way said of the layers beneath. */
static int search_slot(struct search *search, struct explain_layer *layer)
{
    struct standing *standing = &search->account->at[layer->slot];
    cleanup(passage_finish) struct passage passage = {.open = true};
    layer->path =
        search->absolute ? strdup(search->tail) : path_join(standing->path, tail_of(search));
    if (!layer->path)
        return -ENOMEM;
    bool free_way = search->barrier.reason == EXPLAIN_FREE && (search->absolute || standing->live);
    const struct explain_cause *by =
        search->barrier.reason != EXPLAIN_FREE ? &search->barrier : &standing->by;
    int err = free_way && search->absolute ? pass(search, layer->slot, &passage) : 0;
    if (err)
        return give_up(search, layer, err, true);
    /* A way that is barred bars this layer too; one that is not there leads to nothing here. */
    bool barred = !passage.open && passage.stops.reason != EXPLAIN_FREE &&
                  passage.stops.reason != EXPLAIN_BY_OPAQUE;
    if (barred)
        by = &passage.stops;
    err = search_layer(search, layer, &passage, free_way && !barred, by);
    if (!err && passage.stops.reason != EXPLAIN_FREE)
        err = stop(search, passage.stops.reason, passage.stops.slot, passage.stops.path,
                   passage.stops.form);
    return err;
}

static int search_name(struct search *search)
{
    int err = 0;
    struct explain *explain = search->explain;
    for (unsigned i = 0; i < explain->count && !err; i++)
        err = search_slot(search, &explain->at[i]);
    if (err)
        return err;
    /* A metacopy file without data shows nothing. */
    if (search->seeks == SEEKS_DATA && !explain_data(explain)) {
        const struct explain_layer *winner = explain_winner(explain);
        cleanup(cause_finish) struct explain_cause ended = search->barrier;
        search->barrier = (struct explain_cause){0};
        err = fail(search, -EIO, ended.reason ? ended.slot : winner->slot,
                   ended.reason ? ended.path : winner->path, NULL);
    }
    return err;
}

/* ---- from one name to the next ---- */

static void search_finish(struct search *search)
{
    free(search->tail);
    cause_finish(&search->barrier);
    cause_finish(&search->redirect);
}

/* An account of nothing yet, of all layers. */
static int explain_begin(const struct stack *stack, struct explain *explain)
{
    const unsigned first = first_slot(stack);
    *explain = (struct explain){.count = stack->count - first};
    explain->at = calloc(explain->count ? explain->count : 1, sizeof(*explain->at));
    if (!explain->at)
        return -ENOMEM;
    for (unsigned i = 0; i < explain->count; i++)
        explain->at[i].slot = first + i;
    return 0;
}

static int explain_name(struct account *account, const char *name, struct explain *explain)
{
    cleanup(search_finish) struct search search = {
        .account = account, .explain = explain, .name = name};
    int err = explain_begin(account->stack, explain);
    if (!err)
        err = search_name(&search);
    explain->why = search.barrier;
    search.barrier = (struct explain_cause){0};
    return err;
}

/* What a layer has of a directory becomes its standing for what is in it. */
static int stand(struct account *account, struct explain_layer *layer)
{
    struct standing *standing = &account->at[layer->slot];
    struct explain_cause by = {0};
    bool live = layer->there && S_ISDIR(layer->st.st_mode) &&
                (layer->state == EXPLAIN_WINS || layer->state == EXPLAIN_MERGED);
    int err = live ? 0 : cause_copy(&by, &layer->by);
    if (err)
        return err;
    free(standing->path);
    cause_finish(&standing->by);
    *standing = (struct standing){.path = steal_ptr(&layer->path), .live = live, .by = by};
    cleanup_sight struct sight sight = {0};
    err = layer->there ? sight_take(account->stack, layer->slot, standing->path, false, &sight) : 0;
    if (err)
        return err == -ENOMEM ? err : 0;
    standing->xwhiteouts = sight.xwhiteouts && layer->slot + 1 < account->stack->count;
    return 0;
}

static int account_begin(const struct stack *stack, struct account *account)
{
    int err = 0;
    *account = (struct account){.stack = stack};
    account->at = calloc(stack->count, sizeof(*account->at));
    account->marked = calloc(stack->count, sizeof(*account->marked));
    if (!account->at || !account->marked)
        return -ENOMEM;
    for (unsigned slot = first_slot(stack); slot < stack->count && !err; slot++) {
        cleanup_sight struct sight sight = {0};
        struct standing *standing = &account->at[slot];
        standing->path = strdup("");
        err = standing->path ? sight_take(stack, slot, "", false, &sight) : -ENOMEM;
        standing->live = true;
        standing->xwhiteouts = account->marked[slot] = sight.xwhiteouts;
    }
    return err;
}

static void account_finish(struct account *account)
{
    for (unsigned i = 0; account->at && i < account->stack->count; i++) {
        free(account->at[i].path);
        cause_finish(&account->at[i].by);
    }
    free(account->at);
    free(account->marked);
}

/* The root is in every layer, and all of them are merged in it. */
static int explain_root(const struct stack *stack, struct explain *explain)
{
    int err = explain_begin(stack, explain);
    explain->present = true;
    explain->winner = first_slot(stack);
    for (unsigned i = 0; i < explain->count && !err; i++) {
        struct explain_layer *layer = &explain->at[i];
        layer->path = strdup("");
        layer->there = true;
        layer->state = i == 0 ? EXPLAIN_WINS : EXPLAIN_MERGED;
        err = layer->path ? fd_stat(stack->layers[layer->slot].root, "", &layer->st) : -ENOMEM;
    }
    return err;
}

/* From what was found to what is in it. Where books on the way cannot be true, that stays the
 * verdict. */
static int go_into(struct account *account, const char *name, struct explain *explain)
{
    int err = 0;
    for (unsigned i = 0; i < explain->count && !err; i++)
        err = stand(account, &explain->at[i]);
    const int failed = explain->err;
    cleanup(cause_finish) struct explain_cause why = explain->why;
    explain->why = (struct explain_cause){0};
    explain_finish(explain);
    if (!err)
        err = explain_name(account, name, explain);
    if (err || !failed)
        return err;
    explain->err = failed;
    cause_finish(&explain->why);
    return cause_copy(&explain->why, &why);
}

static int walk(struct account *account, const char *path, struct explain *explain)
{
    char name[NAME_MAX + 1];
    int err = explain_root(account->stack, explain);
    for (const char *at = path; *at && !err;) {
        size_t length = strcspn(at, "/");
        if (length > NAME_MAX)
            return -ENAMETOOLONG;
        snprintf(name, sizeof(name), "%.*s", (int)length, at);
        err = go_into(account, name, explain);
        at += length + (at[length] == '/');
    }
    return err;
}

/* ---- the verdict ---- */

/* A hard link whose inode was copied up through another of its names. */
static int take_link(const struct entry *entry, struct explain *explain)
{
    if (!entry || !entry->present || entry->layer != 0 || entry->linked || !entry->index_name ||
        !explain->present || explain->winner == 0)
        return 0;
    struct explain_layer *upper = &explain->at[0], *below = NULL, *data = NULL;
    for (unsigned i = 0; i < explain->count; i++) {
        below = explain->at[i].slot == explain->winner ? &explain->at[i] : below;
        data = explain->at[i].state == EXPLAIN_DATA ? &explain->at[i] : data;
    }
    upper->state = EXPLAIN_WINS;
    upper->there = true;
    upper->st = entry->st;
    upper->metacopy = entry->metacopy;
    explain->winner = 0;
    below->state = EXPLAIN_HIDDEN;
    /* What lies below may be a metacopy itself, whose data is then that of the upper inode. */
    struct explain_layer *source = data ? data : below;
    source->state = entry->metacopy ? EXPLAIN_DATA : EXPLAIN_HIDDEN;
    int err = cause_set(&below->by, EXPLAIN_BY_LINK, 0, upper->path, NULL);
    return err || !data || entry->metacopy
               ? err
               : cause_set(&data->by, EXPLAIN_BY_LINK, 0, upper->path, NULL);
}

int explain_path(const struct stack *stack, const char *path, const struct entry *entry,
                 struct explain *explain)
{
    cleanup(account_finish) struct account account = {0};
    *explain = (struct explain){0};
    int err = account_begin(stack, &account);
    if (!err)
        err = walk(&account, path, explain);
    if (!err)
        err = take_link(entry, explain);
    if (err)
        explain_finish(explain);
    return err;
}

static const struct explain_layer *find_state(const struct explain *explain,
                                              enum explain_state state)
{
    for (unsigned i = 0; i < explain->count; i++) {
        if (explain->at[i].state == state)
            return &explain->at[i];
    }
    return NULL;
}

const struct explain_layer *explain_winner(const struct explain *explain)
{
    return find_state(explain, EXPLAIN_WINS);
}

const struct explain_layer *explain_data(const struct explain *explain)
{
    return find_state(explain, EXPLAIN_DATA);
}

/* The sealed layers that a directory shows, one for one. */
static bool sources_agree(const struct explain *explain, const struct sources *sources,
                          bool writable)
{
    unsigned count = 0;
    for (unsigned i = 0; i < explain->count; i++) {
        const struct explain_layer *layer = &explain->at[i];
        if ((layer->state != EXPLAIN_WINS && layer->state != EXPLAIN_MERGED) ||
            (writable && layer->slot == 0))
            continue;
        if (!sources || count == sources->count || sources->at[count].layer != layer->slot ||
            strcmp(sources->at[count].path, layer->path) != 0)
            return false;
        count++;
    }
    return count == (sources ? sources->count : 0);
}

bool explain_agrees(const struct explain *explain, const struct entry *entry, int err)
{
    if (err || explain->err)
        return err == explain->err;
    if (!entry->present || !explain->present)
        return entry->present == explain->present;
    const struct explain_layer *data = explain_data(explain);
    if (entry->layer != explain->winner || entry->metacopy != (data != NULL))
        return false;
    if (data && (data->slot != entry->data.layer || strcmp(data->path, entry->data.path) != 0))
        return false;
    return !S_ISDIR(entry->st.st_mode) ||
           sources_agree(explain, entry->sources, explain->at[0].slot == 0);
}
