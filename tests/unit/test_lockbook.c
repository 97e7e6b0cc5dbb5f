/* SPDX-License-Identifier: MIT */
#include "lockbook.h"

#include "fd.h"
#include "kit.h"

#include <errno.h>
#include <sys/file.h>
#include <unistd.h>

enum { FILE_ONE = 1, FILE_TWO = 2, ANN = 10, BOB = 11, FIRST = 20, SECOND = 21, MOST = 8 };

static struct lock_wish wish(uint64_t owner, uint64_t handle, short type, off_t start, off_t length)
{
    return (struct lock_wish){.file = FILE_ONE,
                              .owner = owner,
                              .handle = handle,
                              .range = {.l_type = type, .l_start = start, .l_len = length}};
}

static int take(struct lockbook *book, int fd, uint64_t owner, short type, off_t start,
                off_t length)
{
    const struct lock_wish wanted = wish(owner, owner, type, start, length);
    return lockbook_take(book, fd, &wanted);
}

static int take_whole(struct lockbook *book, int fd, uint64_t owner, short type)
{
    struct lock_wish wanted = wish(owner, owner, type, 0, 0);
    wanted.whole = true;
    return lockbook_take(book, fd, &wanted);
}

static int open_file(void)
{
    kit_tree("f file text");
    return kit_open("file", O_RDWR);
}

/* Whether another open file of this process may lock it. */
static int host_takes(int fd, short type)
{
    cleanup_fd int again = fd_reopen(fd, O_RDWR);
    struct flock range = {.l_type = type};
    return fcntl(again, F_OFD_SETLK, &range) == 0 ? 0 : -errno;
}

static void owners_exclude_each_other_where_ranges_meet(void **state)
{
    (void)state;
    cleanup_fd int fd = open_file();
    for (int alone = 0; alone < 2; alone++) {
        struct lockbook *book = lockbook_create(MOST);
        const int file = alone ? LOCKBOOK_ALONE : fd;
        assert_int_equal(take(book, file, ANN, F_WRLCK, 0, 10), 0);
        assert_int_equal(take(book, file, BOB, F_RDLCK, 5, 1), -EAGAIN);
        assert_int_equal(take(book, file, BOB, F_WRLCK, 10, 10), 0);
        assert_int_equal(take(book, file, ANN, F_RDLCK, 0, 5), 0);
        assert_int_equal(take(book, file, BOB, F_RDLCK, 0, 5), 0);
        assert_int_equal(take(book, file, BOB, F_RDLCK, 0, 6), -EAGAIN);
        assert_int_equal(take(book, file, ANN, F_UNLCK, 0, 0), 0);
        assert_int_equal(take(book, file, BOB, F_RDLCK, 0, 6), 0);
        lockbook_destroy(book);
    }
}

static void locks_of_the_whole_are_apart_from_those_of_ranges(void **state)
{
    (void)state;
    cleanup_fd int fd = open_file();
    struct lockbook *book = lockbook_create(MOST);
    assert_int_equal(take(book, fd, ANN, F_WRLCK, 0, 0), 0);
    assert_int_equal(take_whole(book, fd, BOB, F_WRLCK), 0);
    assert_int_equal(take_whole(book, fd, ANN, F_RDLCK), -EAGAIN);
    assert_int_equal(take_whole(book, fd, BOB, F_RDLCK), 0);
    assert_int_equal(take_whole(book, fd, ANN, F_RDLCK), 0);
    assert_int_equal(take_whole(book, fd, BOB, F_UNLCK), 0);
    assert_int_equal(take_whole(book, fd, ANN, F_WRLCK), 0);
    lockbook_destroy(book);
}

static void whoever_locks_the_file_in_another_way_is_excluded_too(void **state)
{
    (void)state;
    cleanup_fd int fd = open_file();
    struct lockbook *book = lockbook_create(MOST);
    assert_int_equal(take(book, fd, ANN, F_RDLCK, 0, 0), 0);
    assert_int_equal(host_takes(fd, F_RDLCK), 0);
    assert_int_equal(host_takes(fd, F_WRLCK), -EAGAIN);
    assert_int_equal(take(book, fd, ANN, F_UNLCK, 0, 0), 0);
    assert_int_equal(host_takes(fd, F_WRLCK), 0);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    assert_int_equal(take_whole(book, fd, ANN, F_RDLCK), -EAGAIN);
    lockbook_destroy(book);
}

static void what_is_in_the_way_is_told(void **state)
{
    (void)state;
    struct lockbook *book = lockbook_create(MOST);
    struct flock found;
    assert_int_equal(take(book, LOCKBOOK_ALONE, ANN, F_WRLCK, 3, 4), 0);
    const struct lock_wish bobs = wish(BOB, FIRST, F_RDLCK, 0, 0);
    assert_int_equal(lockbook_look(book, LOCKBOOK_ALONE, &bobs, &found), 0);
    assert_int_equal(found.l_type, F_WRLCK);
    assert_int_equal(found.l_start, 3);
    assert_int_equal(found.l_len, 4);
    const struct lock_wish anns = wish(ANN, FIRST, F_RDLCK, 0, 0);
    assert_int_equal(lockbook_look(book, LOCKBOOK_ALONE, &anns, &found), 0);
    assert_int_equal(found.l_type, F_UNLCK);
    lockbook_destroy(book);
}

static void an_owner_loses_his_ranges_when_he_closes_the_file_by_whatever_open(void **state)
{
    (void)state;
    struct lockbook *book = lockbook_create(MOST);
    assert_int_equal(take(book, LOCKBOOK_ALONE, ANN, F_WRLCK, 0, 0), 0);
    assert_int_equal(take_whole(book, LOCKBOOK_ALONE, ANN, F_WRLCK), 0);
    assert_false(lockbook_leave(book, FILE_TWO, ANN));
    assert_false(lockbook_leave(book, FILE_ONE, BOB));
    assert_int_equal(take(book, LOCKBOOK_ALONE, BOB, F_RDLCK, 0, 0), -EAGAIN);
    assert_true(lockbook_leave(book, FILE_ONE, ANN));
    assert_int_equal(take(book, LOCKBOOK_ALONE, BOB, F_RDLCK, 0, 0), 0);
    assert_int_equal(take_whole(book, LOCKBOOK_ALONE, BOB, F_RDLCK), -EAGAIN);
    lockbook_destroy(book);
}

static void the_end_of_an_open_ends_the_locks_that_were_asked_for_by_it(void **state)
{
    (void)state;
    struct lockbook *book = lockbook_create(MOST);
    struct lock_wish anns = wish(ANN, FIRST, F_WRLCK, 0, 0),
                     bobs = wish(BOB, SECOND, F_WRLCK, 0, 0);
    for (int whole = 0; whole < 2; whole++) {
        anns.whole = bobs.whole = whole;
        assert_int_equal(lockbook_take(book, LOCKBOOK_ALONE, &anns), 0);
        assert_int_equal(lockbook_take(book, LOCKBOOK_ALONE, &bobs), -EAGAIN);
        assert_false(lockbook_close(book, FILE_TWO, FIRST));
        assert_int_equal(lockbook_take(book, LOCKBOOK_ALONE, &bobs), -EAGAIN);
        assert_true(lockbook_close(book, FILE_ONE, FIRST));
        assert_int_equal(lockbook_take(book, LOCKBOOK_ALONE, &bobs), 0);
        assert_true(lockbook_close(book, FILE_ONE, SECOND));
        assert_false(lockbook_close(book, FILE_ONE, SECOND));
    }
    lockbook_destroy(book);
}

static void who_only_looked_leaves_nothing_open_either(void **state)
{
    (void)state;
    struct lockbook *book = lockbook_create(MOST);
    const struct lock_wish anns = wish(ANN, FIRST, F_WRLCK, 0, 0);
    struct flock found;
    assert_int_equal(lockbook_look(book, LOCKBOOK_ALONE, &anns, &found), 0);
    assert_true(lockbook_close(book, FILE_ONE, FIRST));
    assert_false(lockbook_close(book, FILE_ONE, FIRST));
    lockbook_destroy(book);
}

static void who_comes_when_too_many_have_locks_is_refused(void **state)
{
    (void)state;
    struct lockbook *book = lockbook_create(2);
    assert_int_equal(take(book, LOCKBOOK_ALONE, ANN, F_RDLCK, 0, 0), 0);
    assert_int_equal(take_whole(book, LOCKBOOK_ALONE, ANN, F_RDLCK), 0);
    assert_int_equal(take(book, LOCKBOOK_ALONE, BOB, F_RDLCK, 0, 0), -ENOLCK);
    assert_int_equal(take(book, LOCKBOOK_ALONE, ANN, F_WRLCK, 0, 0), 0);
    assert_true(lockbook_leave(book, FILE_ONE, ANN));
    assert_int_equal(take(book, LOCKBOOK_ALONE, BOB, F_RDLCK, 0, 0), 0);
    lockbook_destroy(book);
}

static void what_nobody_has_can_be_let_go_of(void **state)
{
    (void)state;
    struct lockbook *book = lockbook_create(MOST);
    assert_int_equal(take(book, LOCKBOOK_ALONE, ANN, F_UNLCK, 0, 0), 0);
    assert_int_equal(take_whole(book, LOCKBOOK_ALONE, ANN, F_UNLCK), 0);
    assert_false(lockbook_leave(book, FILE_ONE, ANN));
    lockbook_destroy(book);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(owners_exclude_each_other_where_ranges_meet),
        kit_test(locks_of_the_whole_are_apart_from_those_of_ranges),
        kit_test(whoever_locks_the_file_in_another_way_is_excluded_too),
        kit_test(what_is_in_the_way_is_told),
        kit_test(an_owner_loses_his_ranges_when_he_closes_the_file_by_whatever_open),
        kit_test(the_end_of_an_open_ends_the_locks_that_were_asked_for_by_it),
        kit_test(who_only_looked_leaves_nothing_open_either),
        kit_test(who_comes_when_too_many_have_locks_is_refused),
        kit_test(what_nobody_has_can_be_let_go_of),
    };
    return kit_run("lockbook", tests, sizeof(tests) / sizeof(tests[0]));
}
