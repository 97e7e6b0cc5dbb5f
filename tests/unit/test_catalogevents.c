/* SPDX-License-Identifier: MIT */
#include "catalogkit.h"

#include "catalogevents.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int64_t ledger_of(struct catalog *catalog, const char *mount)
{
    int64_t ledger = 0;
    assert_int_equal(catalog_open_ledger(catalog, mount, &ledger), 0);
    return ledger;
}

static struct event event_of(enum event_kind kind, const char *path, int64_t time)
{
    return (struct event){.kind = kind, .path = path, .cause = "write", .time = time};
}

static void add(struct catalog *catalog, const char *mount, enum event_kind kind, const char *path,
                int64_t time)
{
    const struct event event = event_of(kind, path, time);
    assert_int_equal(catalog_add_events(catalog, ledger_of(catalog, mount), &event, 1, 0), 0);
}

/* Paths, one behind the other. */
static int note_path(void *context, const struct event *event)
{
    char *text = context;
    strcat(text, event->path);
    strcat(text, " ");
    return 0;
}

static void assert_paths(struct catalog *catalog, const char *mount, const struct event_wish *wish,
                         const char *paths)
{
    char text[512] = "";
    assert_int_equal(catalog_each_event(catalog, mount, wish, note_path, text), 0);
    assert_string_equal(text, paths);
}

static const struct event_wish ALL;

static int compare(void *context, const struct event *event)
{
    const struct event *was = context;
    assert_int_equal(event->time, was->time);
    assert_int_equal(event->kind, was->kind);
    assert_string_equal(event->path, was->path);
    assert_string_equal(event->cause, was->cause);
    assert_string_equal(event->command, was->command);
    assert_int_equal(event->layer, was->layer);
    assert_int_equal(event->type, was->type);
    assert_int_equal(event->pid, was->pid);
    assert_int_equal(event->uid, was->uid);
    assert_int_equal(event->writeback, was->writeback);
    assert_int_equal(event->size, was->size);
    assert_int_equal(event->moved, was->moved);
    assert_int_equal(event->means, was->means);
    assert_int_equal(event->duration, was->duration);
    return 7;
}

static void an_event_comes_back_as_it_was(void **state)
{
    (void)state;
    cleanup_catalog struct catalog *catalog = open_with_mounts();
    struct event event = {
        .time = 1700000000000000001,
        .kind = EVENT_COPYUP,
        .path = "/not \xff utf-8/\xe2\x82\xac",
        .cause = "chmod",
        .layer = 3,
        .type = S_IFREG,
        .pid = 4711,
        .uid = UINT32_MAX - 1,
        .command = "fifteen letters",
        .size = UINT64_C(1) << 40,
        .moved = 17,
        .means = EVENT_MEANS_READ_WRITE,
        .duration = 123456,
    };
    assert_int_equal(catalog_add_events(catalog, ledger_of(catalog, MOUNT), &event, 1, 0), 0);
    assert_int_equal(catalog_each_event(catalog, MOUNT, &ALL, compare, &event), 7);
}

static void a_ledger_is_of_its_mount_alone(void **state)
{
    (void)state;
    cleanup_catalog struct catalog *catalog = open_with_mounts();
    add(catalog, MOUNT, EVENT_COPYUP, "/mine", 1);
    add(catalog, OTHER, EVENT_COPYUP, "/theirs", 1);
    assert_paths(catalog, MOUNT, &ALL, "/mine ");
    assert_int_equal(catalog_remove_mount(catalog, MOUNT), 0);
    assert_paths(catalog, MOUNT, &ALL, "");
    assert_paths(catalog, OTHER, &ALL, "/theirs ");
}

static void a_mount_that_is_not_there_has_no_ledger(void **state)
{
    (void)state;
    int64_t ledger;
    cleanup_catalog struct catalog *catalog = open_with_mounts();
    assert_int_equal(catalog_remove_mount(catalog, MOUNT), 0);
    assert_int_equal(catalog_open_ledger(catalog, MOUNT, &ledger), -ENOENT);
}

static void a_mount_removed_meanwhile_takes_no_events(void **state)
{
    (void)state;
    cleanup_catalog struct catalog *catalog = open_with_mounts();
    int64_t ledger = ledger_of(catalog, MOUNT);
    const struct event event = event_of(EVENT_COPYUP, "/f", 1);
    assert_int_equal(catalog_remove_mount(catalog, MOUNT), 0);
    assert_int_equal(catalog_add_events(catalog, ledger, &event, 1, 0), -ENOENT);
}

static void events_are_found_by_time_and_by_path(void **state)
{
    (void)state;
    cleanup_catalog struct catalog *catalog = open_with_mounts();
    add(catalog, MOUNT, EVENT_COPYUP, "/a", 10);
    add(catalog, MOUNT, EVENT_COPYUP, "/b", 20);
    add(catalog, MOUNT, EVENT_COPYUP, "/a", 30);
    assert_paths(catalog, MOUNT, &(struct event_wish){.since = 20}, "/b /a ");
    assert_paths(catalog, MOUNT, &(struct event_wish){.path = "/a"}, "/a /a ");
    assert_paths(catalog, MOUNT, &(struct event_wish){.path = "/a", .since = 11}, "/a ");
}

static void of_a_whiteout_the_last_is_kept_and_of_copy_ups_all(void **state)
{
    (void)state;
    cleanup_catalog struct catalog *catalog = open_with_mounts();
    add(catalog, MOUNT, EVENT_COPYUP, "/a", 1);
    add(catalog, MOUNT, EVENT_WHITEOUT, "/w", 2);
    add(catalog, MOUNT, EVENT_OPAQUE, "/w", 3);
    add(catalog, MOUNT, EVENT_WHITEOUT, "/w", 4);
    add(catalog, MOUNT, EVENT_COPYUP, "/a", 5);
    assert_paths(catalog, MOUNT, &ALL, "/a /w /w /a ");
    assert_paths(catalog, MOUNT, &(struct event_wish){.since = 4}, "/w /a ");
}

static int count_event(void *context, const struct event *event)
{
    uint64_t *next = context;
    assert_int_equal(event->size, (*next)++);
    return 0;
}

static void a_long_ledger_is_read_whole_and_in_order(void **state)
{
    (void)state;
    enum { COUNT = 2000 };
    uint64_t next = 0;
    cleanup_catalog struct catalog *catalog = open_with_mounts();
    cleanup_free struct event *events = calloc(COUNT, sizeof(*events));
    for (unsigned i = 0; i < COUNT; i++) {
        events[i] = event_of(EVENT_COPYUP, "/f", COUNT - i);
        events[i].size = i;
    }
    int64_t ledger = ledger_of(catalog, MOUNT);
    assert_int_equal(catalog_add_events(catalog, ledger, events, COUNT / 2, 0), 0);
    assert_int_equal(catalog_add_events(catalog, ledger, events + COUNT / 2, COUNT - COUNT / 2, 0),
                     0);
    assert_int_equal(catalog_each_event(catalog, MOUNT, &ALL, count_event, &next), 0);
    assert_int_equal(next, COUNT);
}

static int remove_mount(void *context, const struct event *event)
{
    (void)event;
    return catalog_remove_mount(context, MOUNT);
}

static void the_catalog_may_be_changed_while_events_are_told(void **state)
{
    (void)state;
    cleanup_catalog struct catalog *catalog = open_with_mounts();
    add(catalog, MOUNT, EVENT_COPYUP, "/a", 1);
    assert_int_equal(catalog_each_event(catalog, MOUNT, &ALL, remove_mount, catalog), 0);
}

static void what_was_lost_adds_up(void **state)
{
    (void)state;
    uint64_t lost = 1;
    cleanup_catalog struct catalog *catalog = open_with_mounts();
    assert_int_equal(catalog_lost_events(catalog, MOUNT, &lost), 0);
    assert_int_equal(lost, 0);
    assert_int_equal(catalog_add_events(catalog, ledger_of(catalog, MOUNT), NULL, 0, 3), 0);
    assert_int_equal(catalog_add_events(catalog, ledger_of(catalog, MOUNT), NULL, 0, 4), 0);
    assert_int_equal(catalog_lost_events(catalog, MOUNT, &lost), 0);
    assert_int_equal(lost, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(an_event_comes_back_as_it_was),
        kit_test(a_ledger_is_of_its_mount_alone),
        kit_test(a_mount_that_is_not_there_has_no_ledger),
        kit_test(a_mount_removed_meanwhile_takes_no_events),
        kit_test(events_are_found_by_time_and_by_path),
        kit_test(of_a_whiteout_the_last_is_kept_and_of_copy_ups_all),
        kit_test(a_long_ledger_is_read_whole_and_in_order),
        kit_test(the_catalog_may_be_changed_while_events_are_told),
        kit_test(what_was_lost_adds_up),
    };
    return kit_run("catalogevents", tests, sizeof(tests) / sizeof(tests[0]));
}
