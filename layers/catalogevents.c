/* SPDX-License-Identifier: MIT
 *
 * Duty: events as rows in and out of the database. Read page by page, so that no statement is left
 * stepped while a caller looks at what was found.
 */
#include "catalogevents.h"

#include "catalogdb.h"

#include <stdio.h>
#include <string.h>

enum { PAGE = 256 };

int catalog_sync_less(struct catalog *catalog)
{
    return query_run(catalog, SYNC_LESS);
}

/* ---- writing ---- */

/* The one number that a statement of one parameter finds: 1, or 0 where it finds no row. */
static int find_number(struct catalog *catalog, enum statement which, const char *mount,
                       int64_t *number)
{
    cleanup_query struct query query = query_ask(catalog, which);
    query_give_text(&query, mount);
    int found = query_step(&query);
    if (found > 0)
        *number = query_take_number(&query);
    return found;
}

int catalog_open_ledger(struct catalog *catalog, const char *mount, int64_t *ledger)
{
    int found = find_number(catalog, LEDGER_FIND, mount, ledger);
    if (found)
        return found < 0 ? found : 0;
    cleanup_query struct query query = query_ask(catalog, LEDGER_MAKE);
    query_give_text(&query, mount);
    int err = query_step(&query);
    if (err)
        return query_referred(err);
    found = find_number(catalog, LEDGER_FIND, mount, ledger);
    return found > 0 ? 0 : found ? found : -ENOENT;
}

static int last_number(struct catalog *catalog, int64_t ledger, int64_t *last)
{
    cleanup_query struct query query = query_ask(catalog, LEDGER_LAST);
    query_give_number(&query, ledger);
    int found = query_step(&query);
    if (found > 0)
        *last = query_take_number(&query);
    return found < 0 ? found : found ? 0 : -EIO;
}

static int forget_earlier(struct catalog *catalog, int64_t ledger, const struct event *event)
{
    cleanup_query struct query query = query_ask(catalog, EVENT_FORGET);
    query_give_number(&query, ledger);
    query_give_text(&query, event->path);
    query_give_text(&query, event_kind_word(event->kind));
    return query_step(&query);
}

static int add_event(struct catalog *catalog, int64_t ledger, int64_t number,
                     const struct event *event)
{
    int err = event->kind == EVENT_COPYUP ? 0 : forget_earlier(catalog, ledger, event);
    if (err)
        return err;
    cleanup_query struct query query = query_ask(catalog, EVENT_ADD);
    query_give_number(&query, ledger);
    query_give_number(&query, number);
    query_give_number(&query, event->time);
    query_give_text(&query, event_kind_word(event->kind));
    query_give_text(&query, event->path);
    query_give_text(&query, event->cause);
    query_give_number(&query, event->layer);
    query_give_number(&query, event->type);
    query_give_number(&query, event->pid);
    query_give_number(&query, event->uid);
    query_give_text(&query, event->command);
    query_give_number(&query, event->writeback);
    query_give_number(&query, (int64_t)event->size);
    query_give_number(&query, (int64_t)event->moved);
    query_give_text(&query, event_means_word(event->means));
    query_give_number(&query, event->duration);
    return query_step(&query);
}

static int count_lost(struct catalog *catalog, int64_t ledger, uint64_t lost)
{
    if (lost == 0)
        return 0;
    cleanup_query struct query query = query_ask(catalog, LEDGER_LOSE);
    query_give_number(&query, (int64_t)lost);
    query_give_number(&query, ledger);
    return query_change_one(&query);
}

int catalog_add_events(struct catalog *catalog, int64_t ledger, const struct event *events,
                       size_t count, uint64_t lost)
{
    bool own;
    int64_t last = 0;
    int err = catalogdb_change_begin(catalog, &own);
    if (err)
        return err;
    err = last_number(catalog, ledger, &last);
    for (size_t i = 0; i < count && !err; i++)
        err = query_referred(add_event(catalog, ledger, ++last, &events[i]));
    if (!err)
        err = count_lost(catalog, ledger, lost);
    return catalogdb_change_end(catalog, own, err);
}

/* ---- reading ---- */

/* An event as it was read, with what owns its strings. */
struct row {
    struct event event;
    int64_t number;
    char *path, *cause;
};

struct page {
    struct row rows[PAGE];
    unsigned count;
};

static void page_clear(struct page *page)
{
    for (unsigned i = 0; i < page->count; i++) {
        free(page->rows[i].path);
        free(page->rows[i].cause);
    }
    page->count = 0;
}

static void page_free(struct page **page)
{
    if (*page)
        page_clear(*page);
    free(*page);
}

/* A word that this program does not know fails the query. */
static int take_word(struct query *query, int (*number_of)(const char *word))
{
    cleanup_free char *word = query_take_text(query);
    int number = word ? number_of(word) : -EIO;
    if (number < 0 && !query->err)
        query->err = -EIO;
    return number < 0 ? 0 : number;
}

static int take_row(struct query *query, struct row *row)
{
    struct event *event = &row->event;
    row->number = query_take_number(query);
    event->time = query_take_number(query);
    event->kind = (enum event_kind)take_word(query, event_kind_of);
    event->path = row->path = query_take_text(query);
    event->cause = row->cause = query_take_text(query);
    event->layer = (unsigned)query_take_number(query);
    event->type = (mode_t)query_take_number(query);
    event->pid = (pid_t)query_take_number(query);
    event->uid = (uid_t)query_take_number(query);
    cleanup_free char *command = query_take_text(query);
    snprintf(event->command, sizeof(event->command), "%s", command ? command : "");
    event->writeback = query_take_number(query);
    event->size = (uint64_t)query_take_number(query);
    event->moved = (uint64_t)query_take_number(query);
    event->means = (enum event_means)take_word(query, event_means_of);
    event->duration = query_take_number(query);
    return query->err;
}

/* The events behind number `after`, as many as fit. */
static int read_page(struct catalog *catalog, const char *mount, const struct event_wish *wish,
                     int64_t after, struct page *page)
{
    int more;
    cleanup_query struct query query =
        query_ask(catalog, wish->path ? EVENT_PAGE_OF_PATH : EVENT_PAGE);
    query_give_text(&query, mount);
    query_give_number(&query, after);
    query_give_number(&query, wish->since);
    query_give_number(&query, PAGE);
    if (wish->path)
        query_give_text(&query, wish->path);
    while ((more = query_step(&query)) > 0 && page->count < PAGE) {
        struct row *row = &page->rows[page->count++];
        *row = (struct row){0};
        int err = take_row(&query, row);
        if (err)
            return err;
    }
    return more < 0 ? more : 0;
}

int catalog_each_event(struct catalog *catalog, const char *mount, const struct event_wish *wish,
                       int (*each)(void *context, const struct event *event), void *context)
{
    int64_t after = 0;
    cleanup(page_free) struct page *page = calloc(1, sizeof(*page));
    bool more = page != NULL;
    if (!page)
        return -ENOMEM;
    while (more) {
        int err = read_page(catalog, mount, wish, after, page);
        for (unsigned i = 0; i < page->count && !err; i++)
            err = each(context, &page->rows[i].event);
        if (err)
            return err;
        more = page->count == PAGE;
        after = more ? page->rows[PAGE - 1].number : 0;
        page_clear(page);
    }
    return 0;
}

int catalog_moved_bytes(struct catalog *catalog, const char *mount, uint64_t *moved)
{
    int64_t number = 0;
    int found = find_number(catalog, EVENT_MOVED, mount, &number);
    *moved = (uint64_t)number;
    return found < 0 ? found : 0;
}

int catalog_lost_events(struct catalog *catalog, const char *mount, uint64_t *lost)
{
    int64_t number = 0;
    int found = find_number(catalog, LEDGER_LOST, mount, &number);
    *lost = (uint64_t)number;
    return found < 0 ? found : 0;
}
