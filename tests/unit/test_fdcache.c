/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "fdcache.h"

#include <fcntl.h>

static void a_descriptor_put_in_is_got_again(void **state)
{
    (void)state;
    struct fdcache *cache = fdcache_create(64);
    int fd = kit_open_something();
    uint64_t key = fdkey(FDKIND_DATA, 7);
    assert_null(fdcache_get(cache, key));
    struct fdref *put = fdcache_put(cache, key, fd, true);
    struct fdref *got = fdcache_get(cache, key);
    assert_ptr_equal(got, put);
    assert_int_equal(got->fd, fd);
    assert_true(got->writable);
    assert_null(fdcache_get(cache, fdkey(FDKIND_UPPER_DIR, 7)));
    fdref_release(cache, got);
    fdref_release(cache, put);
    assert_true(kit_is_open(fd));
    fdcache_destroy(cache);
    assert_false(kit_is_open(fd));
}

static void a_dropped_descriptor_closes_with_its_last_user(void **state)
{
    (void)state;
    struct fdcache *cache = fdcache_create(64);
    int fd = kit_open_something();
    uint64_t key = fdkey(FDKIND_DATA, 1);
    struct fdref *ref = fdcache_put(cache, key, fd, false);
    fdcache_drop(cache, key);
    assert_null(fdcache_get(cache, key));
    assert_true(kit_is_open(fd));
    fdref_release(cache, ref);
    assert_false(kit_is_open(fd));
    fdcache_drop(cache, key);
    fdcache_destroy(cache);
}

static void a_descriptor_put_in_anothers_place_leaves_the_other_to_its_users(void **state)
{
    (void)state;
    struct fdcache *cache = fdcache_create(64);
    int first = kit_open_something(), second = kit_open_something();
    uint64_t key = fdkey(FDKIND_DATA, 1);
    struct fdref *old = fdcache_put(cache, key, first, false);
    struct fdref *new = fdcache_put(cache, key, second, true);
    assert_true(kit_is_open(first));
    fdref_release(cache, old);
    assert_false(kit_is_open(first));
    assert_true(kit_is_open(second));
    fdref_release(cache, new);
    assert_int_equal(fdcache_count(cache), 1);
    fdcache_destroy(cache);
}

static void unused_descriptors_are_kept_within_the_limit(void **state)
{
    (void)state;
    struct fdcache *cache = fdcache_create(64);
    for (uint64_t i = 0; i < 500; i++)
        fdref_release(cache,
                      fdcache_put(cache, fdkey(FDKIND_DATA, i), kit_open_something(), false));
    assert_true(fdcache_count(cache) <= 64);
    assert_true(fdcache_count(cache) >= 32);
    fdcache_destroy(cache);
}

static void what_was_in_use_at_once_is_closed_when_it_is_not_any_more(void **state)
{
    (void)state;
    struct fdcache *cache = fdcache_create(64);
    struct fdref *refs[300];
    for (uint64_t i = 0; i < 300; i++)
        refs[i] = fdcache_put(cache, fdkey(FDKIND_DATA, i), kit_open_something(), false);
    assert_int_equal(fdcache_count(cache), 300);
    for (int i = 0; i < 300; i++) {
        assert_true(kit_is_open(refs[i]->fd));
        fdref_release(cache, refs[i]);
    }
    for (uint64_t i = 300; i < 600; i++)
        fdref_release(cache,
                      fdcache_put(cache, fdkey(FDKIND_DATA, i), kit_open_something(), false));
    assert_true(fdcache_count(cache) <= 64);
    fdcache_destroy(cache);
}

static void a_pinned_descriptor_is_never_closed_for_room(void **state)
{
    (void)state;
    struct fdcache *cache = fdcache_create(64);
    int fd = kit_open_something();
    uint64_t key = fdkey(FDKIND_ORPHAN, 5);
    fdref_release(cache, fdcache_pin(cache, key, fd, true));
    for (uint64_t i = 0; i < 1000; i++)
        fdref_release(cache,
                      fdcache_put(cache, fdkey(FDKIND_DATA, i), kit_open_something(), false));
    assert_true(kit_is_open(fd));
    struct fdref *ref = fdcache_get(cache, key);
    assert_int_equal(ref->fd, fd);
    fdcache_drop(cache, key);
    fdref_release(cache, ref);
    assert_false(kit_is_open(fd));
    fdcache_destroy(cache);
}

static void the_least_recently_used_goes_first(void **state)
{
    (void)state;
    struct fdcache *cache = fdcache_create(64);
    uint64_t favourite = fdkey(FDKIND_DATA, 0);
    fdref_release(cache, fdcache_put(cache, favourite, kit_open_something(), false));
    for (uint64_t i = 1; i < 2000; i++) {
        fdref_release(cache,
                      fdcache_put(cache, fdkey(FDKIND_DATA, i), kit_open_something(), false));
        struct fdref *ref = fdcache_get(cache, favourite);
        assert_non_null(ref);
        fdref_release(cache, ref);
    }
    assert_null(fdcache_get(cache, fdkey(FDKIND_DATA, 1)));
    fdcache_destroy(cache);
}

static int count(void *context, int fd, const struct dirent *entry)
{
    (void)fd;
    (void)entry;
    (*(unsigned *)context)++;
    return 0;
}

/* Whoever reads it while it is read: that is another reading, from the beginning. */
static int count_within(void *context, int fd, const struct dirent *entry)
{
    (void)fd;
    (void)entry;
    unsigned inner = 0;
    assert_int_equal(fdref_each_entry(*(struct fdref **)context, count, &inner), 0);
    assert_int_equal(inner, 3);
    return 0;
}

static unsigned entries_of(struct fdref *ref)
{
    unsigned entries = 0;
    assert_int_equal(fdref_each_entry(ref, count, &entries), 0);
    return entries;
}

static void a_directory_is_read_again_and_again_from_its_beginning(void **state)
{
    (void)state;
    const bool readable[] = {true, false};
    for (int i = 0; i < 2; i++) {
        const char *path = readable[i] ? "d" : "passed";
        kit_tree(readable[i] ? "f d/one, f d/two" : "f passed/one, f passed/two");
        struct fdcache *cache = fdcache_create(64);
        int fd = kit_open(path, (readable[i] ? O_RDONLY : O_PATH) | O_DIRECTORY);
        struct fdref *ref = fdcache_put_dir(cache, fdkey(FDKIND_UPPER_DIR, 1), fd, readable[i]);
        kit_file(readable[i] ? "d/three" : "passed/three", ""); /* after it was opened */
        assert_int_equal(entries_of(ref), 3);
        assert_int_equal(fdref_each_entry(ref, count_within, &ref), 0);
        kit_file(readable[i] ? "d/four" : "passed/four", "");
        assert_int_equal(entries_of(ref), 4);
        fdref_release(cache, ref);
        fdcache_destroy(cache);
    }
}

static void only_what_may_linger_is_laid_on_the_tray(void **state)
{
    (void)state;
    struct tray *tray = tray_create();
    struct fdcache *cache = fdcache_create(64);
    fdcache_use_tray(cache, tray);
    tray_begin(tray);
    const bool lingers[] = {false, true};
    for (int i = 0; i < 2; i++) {
        int fd = kit_open_something();
        struct fdref *ref = fdcache_put(cache, fdkey(FDKIND_DATA, 1), fd, false);
        if (lingers[i])
            fdref_may_linger(ref);
        fdref_release(cache, ref);
        fdcache_drop(cache, fdkey(FDKIND_DATA, 1));
        assert_int_equal(kit_is_open(fd), lingers[i]);
        tray_clear(tray);
        assert_false(kit_is_open(fd));
    }
    tray_end(tray);
    fdcache_destroy(cache);
    tray_destroy(tray);
}

static void a_program_that_is_lent_is_kept_open_for_reading_alone(void **state)
{
    (void)state;
    static const struct {
        mode_t mode;
        bool pinned, writable;
    } cases[] = {{0755, false, false}, {0644, false, true}, {0755, true, true}};
    struct fdcache *cache = fdcache_create(64);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const uint64_t key = fdkey(FDKIND_DATA, i);
        kit_file("program", "text");
        assert_int_equal(fchmodat(kit_root(), "program", cases[i].mode, 0), 0);
        int fd = kit_open("program", O_RDWR);
        struct fdref *ref =
            cases[i].pinned ? fdcache_pin(cache, key, fd, true) : fdcache_put(cache, key, fd, true);
        fdref_is_lent(ref);
        fdref_release(cache, ref);
        ref = fdcache_get(cache, key);
        assert_non_null(ref);
        assert_int_equal(ref->writable, cases[i].writable);
        assert_int_equal(fcntl(ref->fd, F_GETFL) & O_ACCMODE,
                         cases[i].writable ? O_RDWR : O_RDONLY);
        fdref_release(cache, ref);
    }
    assert_int_equal(fdcache_count(cache), 3);
    fdcache_destroy(cache);
}

static void what_is_pinned_takes_the_place_of_others_and_not_all_of_it(void **state)
{
    (void)state;
    enum { ALL = 128, LEAST = 32 };
    struct fdcache *cache = fdcache_create(64);
    fdcache_bound(cache, ALL);
    for (uint64_t i = 0; i < 64; i++)
        fdref_release(cache,
                      fdcache_put(cache, fdkey(FDKIND_DATA, i), kit_open_something(), false));
    uint64_t pinned = 0;
    for (; fdcache_can_pin(cache) == 0; pinned++)
        fdref_release(
            cache, fdcache_pin(cache, fdkey(FDKIND_ORPHAN, pinned), kit_open_something(), false));
    assert_int_equal(fdcache_can_pin(cache), -ENFILE);
    assert_int_equal(pinned, ALL - LEAST);
    assert_in_range(fdcache_count(cache), pinned, ALL);
    fdcache_drop(cache, fdkey(FDKIND_ORPHAN, 0));
    assert_int_equal(fdcache_can_pin(cache), 0);
    fdcache_destroy(cache);
}

static void what_was_emptied_and_written_is_written_back_when_nobody_uses_it(void **state)
{
    (void)state;
    struct fdcache *cache = fdcache_create(64);
    const uint64_t key = fdkey(FDKIND_DATA, 3);
    struct fdref *ref = fdcache_put(cache, key, kit_open_something(), true);
    assert_false(fdcache_note_written(cache, ref));
    fdcache_note_emptied(cache, ref);
    assert_false(fdcache_write_back(cache)); /* nothing is in it yet */
    assert_true(fdcache_note_written(cache, ref));
    assert_true(fdcache_write_back(cache));
    assert_true(fdcache_write_back(cache)); /* it has a user */
    fdref_release(cache, ref);
    assert_false(fdcache_write_back(cache));
    for (int more = 1; more < 8; more++) {
        assert_true(fdcache_note_written(cache, ref));
        assert_true(fdcache_write_back(cache));
        assert_false(fdcache_write_back(cache));
    }
    assert_false(fdcache_note_written(cache, ref)); /* a log */
    fdcache_destroy(cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(a_descriptor_put_in_is_got_again),
        kit_test(a_dropped_descriptor_closes_with_its_last_user),
        kit_test(a_descriptor_put_in_anothers_place_leaves_the_other_to_its_users),
        kit_test(unused_descriptors_are_kept_within_the_limit),
        kit_test(what_was_in_use_at_once_is_closed_when_it_is_not_any_more),
        kit_test(a_pinned_descriptor_is_never_closed_for_room),
        kit_test(what_is_pinned_takes_the_place_of_others_and_not_all_of_it),
        kit_test(the_least_recently_used_goes_first),
        kit_test(a_directory_is_read_again_and_again_from_its_beginning),
        kit_test(only_what_may_linger_is_laid_on_the_tray),
        kit_test(a_program_that_is_lent_is_kept_open_for_reading_alone),
        kit_test(what_was_emptied_and_written_is_written_back_when_nobody_uses_it),
    };
    return kit_run("fdcache", tests, sizeof(tests) / sizeof(tests[0]));
}
