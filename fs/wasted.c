/* SPDX-License-Identifier: MIT
 *
 * Duty: read the ledger into sums by path, then walk the changes of the upper and compare each
 * file. Cost: the reading of files that have the size they had, twice.
 */
#include "wasted.h"

#include "account.h"
#include "changes.h"
#include "linkset.h"
#include "log.h"
#include "progress.h"
#include "sameness.h"

#include <stdio.h>
#include <string.h>

const char *wasted_word(enum wasted_state state)
{
    static const char *const WORDS[WASTED_STATES] = {
        [WASTED_IDENTICAL] = "identical",
        [WASTED_TOUCHED] = "touched",
        [WASTED_METADATA] = "metadata",
        [WASTED_CHANGED] = "changed",
    };
    return WORDS[state];
}

void wasted_finish(struct wasted *wasted)
{
    for (size_t i = 0; i < wasted->count; i++)
        free(wasted->files[i].path);
    free(wasted->files);
    free(wasted->tallies);
    nameset_finish(&wasted->paths);
    *wasted = (struct wasted){0};
}

/* ---- the ledger ---- */

static bool needs_no_data(const char *cause)
{
    static const char *const CAUSES[] = {"chmod",       "chown", "utimens", "setxattr",
                                         "removexattr", "link",  "rename",  "unlink"};
    for (size_t i = 0; i < sizeof(CAUSES) / sizeof(CAUSES[0]); i++) {
        if (strcmp(cause, CAUSES[i]) == 0)
            return true;
    }
    return false;
}

/* The tally of a path, all zero when it is new; or NULL. */
static struct wasted_tally *tally_of(struct wasted *wasted, const char *path, bool *fresh)
{
    uint32_t index;
    if (nameset_add(&wasted->paths, path, &index, fresh) != 0)
        return NULL;
    if (index >= wasted->tally_room) {
        size_t room = wasted->tally_room ? 2 * wasted->tally_room : 256;
        struct wasted_tally *at = reallocarray(wasted->tallies, room, sizeof(*at));
        if (!at)
            return NULL;
        wasted->tallies = at;
        wasted->tally_room = room;
    }
    if (*fresh)
        wasted->tallies[index] = (struct wasted_tally){0};
    return &wasted->tallies[index];
}

static int take_event(void *context, const struct event *event)
{
    bool fresh;
    struct wasted *wasted = context;
    if (event->kind != EVENT_COPYUP)
        return 0;
    struct wasted_tally *tally = tally_of(wasted, event->path, &fresh);
    if (!tally)
        return -ENOMEM;
    wasted->copyups++;
    wasted->moved += event->moved;
    wasted->reflink_saves += event->moved; /* what was reflinked counts as nothing there */
    tally->moved += event->moved;
    tally->for_metadata += needs_no_data(event->cause) ? event->moved : 0;
    if (!fresh && event->moved <= tally->most)
        return 0;
    tally->most = event->moved;
    snprintf(tally->cause, sizeof(tally->cause), "%s", event->cause);
    eventword_caller(tally->caller, event);
    snprintf(tally->process, sizeof(tally->process), "%s",
             event->command[0] ? event->command : tally->caller);
    return 0;
}

/* ---- the upper ---- */

struct search {
    const struct stack *stack;
    struct wasted *wasted;
    struct linkset *links;
    struct sameness_watch watch;
};

static enum wasted_state state_of(unsigned differs)
{
    if (differs & (SAMENESS_TYPE | SAMENESS_CONTENT))
        return WASTED_CHANGED;
    if (differs & (SAMENESS_META | SAMENESS_ATTRIBUTES))
        return WASTED_METADATA;
    return differs ? WASTED_TOUCHED : WASTED_IDENTICAL;
}

/* What the upper holds of a file: of a sparse one what is there, of a metacopy one nothing. */
static uint64_t bytes_held(const struct entry *entry)
{
    uint64_t size = (uint64_t)entry->st.st_size, blocks = (uint64_t)entry->st.st_blocks * 512;
    if (!S_ISREG(entry->st.st_mode) || entry->metacopy)
        return 0;
    return size < blocks ? size : blocks;
}

static int add_file(struct wasted *wasted, const struct change *change, enum wasted_state state)
{
    if (wasted->count == wasted->room) {
        size_t room = wasted->room ? 2 * wasted->room : 64;
        struct wasted_file *files = reallocarray(wasted->files, room, sizeof(*files));
        if (!files)
            return -ENOMEM;
        wasted->files = files;
        wasted->room = room;
    }
    struct wasted_file *file = &wasted->files[wasted->count];
    if (asprintf(&file->path, "/%s", change->path) < 0)
        return -ENOMEM;
    uint32_t index = nameset_find(&wasted->paths, file->path);
    file->state = state;
    file->tally = index == NAMESET_NONE ? NULL : &wasted->tallies[index];
    file->size = S_ISREG(change->entry->st.st_mode) ? (uint64_t)change->entry->st.st_size : 0;
    file->wasted = bytes_held(change->entry);
    wasted->count++;
    wasted->metacopy_saves += file->tally ? file->tally->for_metadata : 0;
    return 0;
}

static int take_change(void *context, const struct change *change)
{
    struct search *search = context;
    const struct entry *entry = change->entry;
    const char *first = NULL;
    unsigned differs;
    if (change->kind != CHANGE_CHANGED || S_ISDIR(entry->st.st_mode) || entry->layer != 0)
        return 0;
    int err = linkset_first(search->links, &entry->st, change->path, &first);
    if (err || first)
        return err;
    err = sameness_find(search->stack, change, &differs, &search->watch);
    if (err) {
        log_error("cannot compare /%s with its layer: %s", change->path, strerror(-err));
        return err;
    }
    enum wasted_state state = state_of(differs);
    search->wasted->of[state].files++;
    search->wasted->of[state].bytes += bytes_held(entry);
    return state == WASTED_CHANGED ? 0 : add_file(search->wasted, change, state);
}

static int by_waste(const void *left, const void *right)
{
    const struct wasted_file *a = left, *b = right;
    if (a->wasted != b->wasted)
        return a->wasted > b->wasted ? -1 : 1;
    return strcmp(a->path, b->path);
}

static int walk(const struct stack *stack, struct wasted *wasted)
{
    cleanup_linkset struct linkset *links = linkset_create();
    cleanup_progress struct progress *progress = progress_start("comparing", 0);
    struct search search = {.stack = stack,
                            .wasted = wasted,
                            .links = links,
                            .watch = {.seen = progress_at, .context = progress}};
    return links ? changes_walk(stack, take_change, &search) : -ENOMEM;
}

int wasted_find(struct store *store, const struct mount_row *row, const struct stack *stack,
                struct wasted *wasted)
{
    const struct event_wish all = {0};
    *wasted = (struct wasted){0};
    int err = account_each(store, row, &all, take_event, wasted);
    if (!err)
        err = walk(stack, wasted);
    if (err)
        log_error("cannot tell what %s wastes: %s", row->name, strerror(-err));
    if (wasted->count > 1)
        qsort(wasted->files, wasted->count, sizeof(*wasted->files), by_waste);
    return err;
}
