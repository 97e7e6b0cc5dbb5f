/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "blank.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/xattr.h>

enum { OFTEN = 8, ROUNDS = 20000 };

static const struct blank_kind KIND = {0640, OVLSPACE_NONE};
static const struct blank_kind OTHER = {0600, OVLSPACE_NONE};
static const struct blank_kind METACOPY = {0640, OVLSPACE_USER};

static bool is_blank(int fd, const struct blank_kind *kind)
{
    struct stat st;
    const bool marked = fgetxattr(fd, "user.overlay.metacopy", NULL, 0) == 0;
    return fstat(fd, &st) == 0 && st.st_mode == (S_IFREG | kind->mode) && st.st_nlink == 0 &&
           marked == (kind->metacopy != OVLSPACE_NONE);
}

static struct blanks *begin(void)
{
    umask(0);
    struct blanks *blanks = blanks_create(NULL);
    assert_non_null(blanks);
    blanks_begin(blanks);
    return blanks;
}

static void end(struct blanks *blanks)
{
    blanks_end(blanks);
    blanks_destroy(blanks);
}

/* The number of the blank that is taken. */
static ino_t take(struct blanks *blanks, const struct blank_kind *kind)
{
    struct stat st;
    cleanup_fd int fd = blanks_take(blanks, kit_root(), kind);
    assert_true(fd >= 0);
    assert_true(is_blank(fd, kind));
    assert_int_equal(fstat(fd, &st), 0);
    return st.st_ino;
}

/* Blanks are wanted again and again: now the next one is asked for. */
static void want(struct blanks *blanks)
{
    for (int i = 0; i <= OFTEN; i++)
        take(blanks, &KIND);
}

/* Whether work makes a blank that stays open. */
static bool is_made(struct blanks *blanks)
{
    const int before = kit_free_descriptor();
    blanks_work(blanks);
    return kit_free_descriptor() != before;
}

static void one_that_was_made_ahead_is_taken(void **state)
{
    (void)state;
    struct blanks *blanks = begin();
    want(blanks);
    for (int i = 0; i < 3; i++) {
        const int before = kit_free_descriptor();
        assert_true(is_made(blanks));
        take(blanks, &KIND);
        assert_int_equal(kit_free_descriptor(), before);
    }
    end(blanks);
}

static void none_is_made_before_they_are_wanted_often(void **state)
{
    (void)state;
    struct blanks *blanks = begin();
    for (int i = 0; i < OFTEN; i++) {
        take(blanks, &KIND);
        assert_false(is_made(blanks));
    }
    end(blanks);
}

static void without_anybody_at_work_each_is_made_when_it_is_wanted(void **state)
{
    (void)state;
    struct blanks *blanks = begin();
    want(blanks);
    blanks_end(blanks);
    take(blanks, &KIND);
    take(NULL, &KIND);
    blanks_begin(blanks);
    assert_false(is_made(blanks));
    end(blanks);
}

static void one_of_another_kind_is_closed(void **state)
{
    (void)state;
    struct blanks *blanks = begin();
    want(blanks);
    const int before = kit_free_descriptor();
    for (int i = 0; i < 4; i++) {
        const struct blank_kind *kind = i % 2 ? &METACOPY : &OTHER;
        assert_true(is_made(blanks));
        take(blanks, kind);
        assert_int_equal(kit_free_descriptor(), before);
        assert_true(is_made(blanks));
        take(blanks, kind);
        assert_int_equal(kit_free_descriptor(), before);
    }
    end(blanks);
}

static void one_that_nobody_takes_is_closed(void **state)
{
    (void)state;
    struct blanks *blanks = begin();
    const int before = kit_free_descriptor();
    want(blanks);
    assert_true(is_made(blanks));
    blanks_end(blanks);
    assert_int_equal(kit_free_descriptor(), before);
    end(blanks);
}

static void what_was_asked_of_who_left_is_not_done_by_who_comes(void **state)
{
    (void)state;
    struct blanks *blanks = begin();
    want(blanks);
    blanks_end(blanks);
    blanks_begin(blanks);
    assert_false(is_made(blanks));
    end(blanks);
}

static void where_none_can_be_made_the_error_is_told(void **state)
{
    (void)state;
    struct blanks *blanks = begin();
    for (int i = 0; i < 3 * OFTEN; i++) {
        assert_int_equal(blanks_take(blanks, -1, &KIND), -EBADF);
        assert_false(is_made(blanks));
    }
    end(blanks);
}

struct working {
    struct blanks *blanks;
    atomic_bool over;
    atomic_uint wrong; /* blanks that are none, or of another kind */
};

static void *work(void *context)
{
    struct working *working = context;
    while (!atomic_load(&working->over)) {
        blanks_begin(working->blanks);
        for (int i = 0; i < 100; i++)
            blanks_work(working->blanks);
        blanks_end(working->blanks);
    }
    return NULL;
}

static void *use(void *context)
{
    struct working *working = context;
    for (int i = 0; i < ROUNDS; i++) {
        const struct blank_kind *kind = i % 4 ? &METACOPY : i % 8 ? &KIND : &OTHER;
        cleanup_fd int fd = blanks_take(working->blanks, kit_root(), kind);
        atomic_fetch_add(&working->wrong, !is_blank(fd, kind));
    }
    return NULL;
}

static void nothing_is_lost_or_closed_twice_whoever_works_and_takes(void **state)
{
    (void)state;
    struct blanks *blanks = begin();
    struct working working = {.blanks = blanks};
    pthread_t works, uses[2];
    const int before = kit_free_descriptor();
    blanks_end(blanks);
    assert_int_equal(pthread_create(&works, NULL, work, &working), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&uses[i], NULL, use, &working), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(uses[i], NULL);
    atomic_store(&working.over, true);
    pthread_join(works, NULL);
    assert_int_equal(atomic_load(&working.wrong), 0);
    assert_int_equal(kit_free_descriptor(), before);
    end(blanks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(one_that_was_made_ahead_is_taken),
        kit_test(none_is_made_before_they_are_wanted_often),
        kit_test(without_anybody_at_work_each_is_made_when_it_is_wanted),
        kit_test(one_of_another_kind_is_closed),
        kit_test(one_that_nobody_takes_is_closed),
        kit_test(what_was_asked_of_who_left_is_not_done_by_who_comes),
        kit_test(where_none_can_be_made_the_error_is_told),
        kit_test(nothing_is_lost_or_closed_twice_whoever_works_and_takes),
    };
    return kit_run("blank", tests, sizeof(tests) / sizeof(tests[0]));
}
