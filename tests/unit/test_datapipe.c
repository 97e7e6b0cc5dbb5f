/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "datapipe.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { PART = 64 * 1024, SIZE = 2 * PART + 1000 };

static char content[SIZE];

/* A file whose bytes tell where they are. */
static int make_file(void)
{
    kit_file("file", "");
    int fd = kit_open("file", O_RDWR);
    for (size_t i = 0; i < SIZE; i++)
        content[i] = (char)(i / 512 * 7 + i);
    assert_int_equal(write(fd, content, SIZE), SIZE);
    return fd;
}

static void assert_holds(int pipe, off_t offset, size_t size)
{
    static char held[SIZE];
    size_t got = 0;
    ssize_t now;
    while ((now = read(pipe, held + got, sizeof(held) - got)) > 0)
        got += (size_t)now;
    assert_int_equal(got, size);
    assert_memory_equal(held, content + offset, size);
}

static void it_holds_what_was_asked_for_or_all_up_to_the_end(void **state)
{
    static const off_t OFFSETS[] = {0, 1, PART, SIZE - 10};
    (void)state;
    cleanup_fd int fd = make_file();
    for (unsigned i = 0; i < sizeof(OFFSETS) / sizeof(OFFSETS[0]); i++) {
        size_t got = 0, left = (size_t)(SIZE - OFFSETS[i]);
        int pipe = datapipe_fill(fd, OFFSETS[i], PART, &got);
        assert_true(pipe >= 0);
        assert_int_equal(got, left < PART ? left : PART);
        assert_holds(pipe, OFFSETS[i], got);
    }
}

/* Whoever should have read it may have failed half way. */
static void what_was_left_in_it_is_not_given_again(void **state)
{
    char some[100];
    size_t got = 0;
    (void)state;
    cleanup_fd int fd = make_file();
    int pipe = datapipe_fill(fd, 0, PART, &got);
    assert_int_equal(read(pipe, some, sizeof(some)), sizeof(some));
    pipe = datapipe_fill(fd, PART, PART, &got);
    assert_true(pipe >= 0);
    assert_int_equal(got, PART);
    assert_holds(pipe, PART, PART);
}

static void what_cannot_be_piped_says_why_or_is_left_to_another_way(void **state)
{
    size_t got = 0;
    (void)state;
    cleanup_fd int fd = make_file();
    assert_int_equal(datapipe_fill(fd, SIZE, PART, &got), -EOPNOTSUPP);
    assert_int_equal(datapipe_fill(kit_root(), 0, PART, &got), -EISDIR);
    int pipe = datapipe_fill(fd, 0, PART, &got);
    assert_true(pipe >= 0);
    assert_holds(pipe, 0, PART);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(it_holds_what_was_asked_for_or_all_up_to_the_end),
        kit_test(what_was_left_in_it_is_not_given_again),
        kit_test(what_cannot_be_piped_says_why_or_is_left_to_another_way),
    };
    return kit_run("datapipe", tests, sizeof(tests) / sizeof(tests[0]));
}
