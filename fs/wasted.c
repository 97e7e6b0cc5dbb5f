/* SPDX-License-Identifier: MIT
 *
 * Duty: read the ledger into sums by path, then walk the changes of the upper and compare each
 * file. Cost: the reading of files that have the size they had, twice.
 */
#include "wasted.h"

#include "account.h"
#include "changes.h"
#include "copied.h"
#include "linkset.h"
#include "log.h"
#include "progress.h"
#include "sameness.h"
#include "usage.h"

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

/* ---- names of one inode ---- */

/* A path in the ledger that is, or was, a name of an inode with several. */
struct link_tally {
    ino_t ino; /* in the upper */
    struct wasted_tally *tally;
};

struct link_tallies {
    struct link_tally *at;
    size_t count, room;
};

static int add_link_tally(struct link_tallies *links, ino_t ino, struct wasted_tally *tally)
{
    if (links->count == links->room) {
        size_t room = links->room ? 2 * links->room : 16;
        struct link_tally *at = reallocarray(links->at, room, sizeof(*at));
        if (!at)
            return -ENOMEM;
        links->at = at;
        links->room = room;
    }
    links->at[links->count++] = (struct link_tally){.ino = ino, .tally = tally};
    return 0;
}

static int by_number(const void *left, const void *right)
{
    const struct link_tally *a = left, *b = right;
    return (a->ino > b->ino) - (a->ino < b->ino);
}

/* Adds what another name says to `all`: an inode is copied up by any of its names. */
static void merge_tally(struct wasted_tally *all, const struct wasted_tally *one)
{
    const struct wasted_tally sum = *all;
    if (one->most > all->most)
        *all = *one;
    all->moved = sum.moved + one->moved;
    all->for_metadata = sum.for_metadata + one->for_metadata;
}

/* The tallies of one inode become that of the first. */
static void merge_link_tallies(struct link_tallies *links)
{
    size_t kept = 0;
    if (links->count > 0)
        qsort(links->at, links->count, sizeof(*links->at), by_number);
    for (size_t i = 0; i < links->count; i++) {
        if (kept > 0 && links->at[kept - 1].ino == links->at[i].ino)
            merge_tally(links->at[kept - 1].tally, links->at[i].tally);
        else
            links->at[kept++] = links->at[i];
    }
    links->count = kept;
}

static const struct wasted_tally *find_link_tally(const struct link_tallies *links, ino_t ino)
{
    const struct link_tally key = {.ino = ino};
    const struct link_tally *found =
        links->count > 0 ? bsearch(&key, links->at, links->count, sizeof(key), by_number) : NULL;
    return found ? found->tally : NULL;
}

/* ---- the upper ---- */

struct search {
    const struct stack *stack;
    struct wasted *wasted;
    struct linkset *links;
    struct link_tallies link_tallies;
    struct nameset several_names; /* of inodes of several names the first, and by its index: */
    struct several *several;
    size_t several_room;
    struct sameness_watch watch;
};

/* What is known of such an inode so far. */
struct several {
    size_t file; /* in wasted.files, and one more; 0: not yet */
    bool needed; /* it has a name that the layers do not have, which only the upper can show */
};

/* Of a path without a slash in front; NULL: the ledger does not have it. */
static int tally_at(struct wasted *wasted, const char *path, struct wasted_tally **tally)
{
    cleanup_free char *absolute = NULL;
    *tally = NULL;
    if (asprintf(&absolute, "/%s", path) < 0)
        return absolute = NULL, -ENOMEM;
    uint32_t index = nameset_find(&wasted->paths, absolute);
    if (index != NAMESET_NONE)
        *tally = &wasted->tallies[index];
    return 0;
}

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
    return S_ISREG(entry->st.st_mode) && !entry->metacopy ? usage_held(&entry->st) : 0;
}

/* What was made anew with the content that it had, or moved there, was not copied up there. */
static int find_tally(const struct search *search, const struct change *change,
                      struct wasted_file *file)
{
    enum copied copied;
    struct wasted_tally *tally = NULL;
    file->linked = change->entry->index_name ? change->entry->st.st_ino : 0;
    file->tally = NULL;
    if (file->linked)
        return 0; /* as soon as all names are known */
    int err = copied_find(search->stack, change, &copied);
    if (!err && copied != COPIED_NOT_HERE)
        err = tally_at(search->wasted, change->path, &tally);
    file->tally = tally;
    return err;
}

static int add_file(const struct search *search, const struct change *change,
                    enum wasted_state state)
{
    struct wasted *wasted = search->wasted;
    if (wasted->count == wasted->room) {
        size_t room = wasted->room ? 2 * wasted->room : 64;
        struct wasted_file *files = reallocarray(wasted->files, room, sizeof(*files));
        if (!files)
            return -ENOMEM;
        wasted->files = files;
        wasted->room = room;
    }
    struct wasted_file *file = &wasted->files[wasted->count];
    *file = (struct wasted_file){0};
    int err = state == WASTED_CHANGED ? 0 : find_tally(search, change, file);
    if (err || asprintf(&file->path, "/%s", change->path) < 0)
        return err ? err : -ENOMEM;
    file->state = state;
    file->size = S_ISREG(change->entry->st.st_mode) ? (uint64_t)change->entry->st.st_size : 0;
    file->wasted = bytes_held(change->entry);
    wasted->count++;
    return 0;
}

/* The layers' inode of this name is in the upper, whatever has the name by now. */
static int take_link(struct search *search, const struct change *change)
{
    const struct entry *was = change->was;
    if (!was->present || was->layer != 0 || !was->index_name)
        return 0;
    struct wasted_tally *tally;
    int err = tally_at(search->wasted, change->path, &tally);
    return err || !tally ? err : add_link_tally(&search->link_tallies, was->st.st_ino, tally);
}

static int judge(struct search *search, const struct change *change, enum wasted_state *state)
{
    unsigned differs = 0;
    int err = sameness_find(search->stack, change, &differs, &search->watch);
    if (err)
        log_error("cannot compare /%s with its layer: %s", change->path, strerror(-err));
    *state = state_of(differs);
    return err;
}

static int take_file(struct search *search, const struct change *change)
{
    enum wasted_state state;
    int err = judge(search, change, &state);
    return err ? err : add_file(search, change, state);
}

static int find_several(struct search *search, const struct change *change, struct several **found)
{
    const char *first = NULL;
    uint32_t index;
    bool fresh;
    int err = linkset_first(search->links, &change->entry->st, change->path, &first);
    if (!err)
        err = nameset_add(&search->several_names, first ? first : change->path, &index, &fresh);
    if (err)
        return err;
    if (index >= search->several_room) {
        size_t room = search->several_room ? 2 * search->several_room : 64;
        struct several *more = reallocarray(search->several, room, sizeof(*more));
        if (!more)
            return -ENOMEM;
        search->several = more;
        search->several_room = room;
    }
    *found = &search->several[index];
    if (fresh)
        **found = (struct several){0};
    return 0;
}

/* Its bytes are in vain only where each of its names shows what the layers have there. */
static int take_one_of_several(struct search *search, const struct change *change)
{
    struct several *several;
    enum wasted_state state;
    int err = find_several(search, change, &several);
    if (err)
        return err;
    if (change->kind != CHANGE_CHANGED) {
        several->needed = true;
        return 0;
    }
    if (!several->file) {
        err = take_file(search, change);
        several->file = search->wasted->count;
        return err;
    }
    struct wasted_file *file = &search->wasted->files[several->file - 1];
    err = file->state == WASTED_CHANGED ? 0 : judge(search, change, &state);
    if (!err && file->state != WASTED_CHANGED && state > file->state)
        file->state = state;
    return err;
}

static int take_change(void *context, const struct change *change)
{
    struct search *search = context;
    const struct entry *entry = change->entry;
    int err = take_link(search, change);
    if (err || !entry->present || S_ISDIR(entry->st.st_mode) || entry->layer != 0)
        return err;
    if (entry->st.st_nlink > 1)
        return take_one_of_several(search, change);
    return change->kind == CHANGE_CHANGED ? take_file(search, change) : 0;
}

static int by_waste(const void *left, const void *right)
{
    const struct wasted_file *a = left, *b = right;
    if (a->wasted != b->wasted)
        return a->wasted > b->wasted ? -1 : 1;
    return strcmp(a->path, b->path);
}

/* Counts the files, of which those that are changed are counted alone. */
static void count_files(struct search *search)
{
    size_t kept = 0;
    struct wasted *wasted = search->wasted;
    for (uint32_t i = 0; i < search->several_names.used; i++) {
        const struct several *several = &search->several[i];
        if (several->needed && several->file)
            wasted->files[several->file - 1].state = WASTED_CHANGED;
    }
    for (size_t i = 0; i < wasted->count; i++) {
        struct wasted_file *file = &wasted->files[i];
        wasted->of[file->state].files++;
        wasted->of[file->state].bytes += file->wasted;
        if (file->state == WASTED_CHANGED)
            free(file->path);
        else
            wasted->files[kept++] = *file;
    }
    wasted->count = kept;
}

/* Who brought what has several names, and with that what metacopy would have saved. */
static void settle_tallies(struct search *search)
{
    struct wasted *wasted = search->wasted;
    merge_link_tallies(&search->link_tallies);
    for (size_t i = 0; i < wasted->count; i++) {
        struct wasted_file *file = &wasted->files[i];
        if (file->linked)
            file->tally = find_link_tally(&search->link_tallies, file->linked);
        wasted->metacopy_saves += file->tally ? file->tally->for_metadata : 0;
    }
}

static int walk(const struct stack *stack, struct wasted *wasted)
{
    cleanup_linkset struct linkset *links = linkset_create();
    cleanup_progress struct progress *progress = progress_start("comparing", 0);
    struct search search = {.stack = stack,
                            .wasted = wasted,
                            .links = links,
                            .watch = {.seen = progress_at, .context = progress}};
    int err = links ? changes_walk(stack, take_change, &search) : -ENOMEM;
    if (!err) {
        count_files(&search);
        settle_tallies(&search);
    }
    free(search.link_tallies.at);
    free(search.several);
    nameset_finish(&search.several_names);
    return err;
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
