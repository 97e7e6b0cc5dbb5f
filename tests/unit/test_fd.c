/* SPDX-License-Identifier: MIT */
#include "fd.h"

#include "kit.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* A child that writes the words one at a time, and interrupts its parent before each. */
static int start_writer(const char *const *words, pid_t *child)
{
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    *child = fork();
    assert_true(*child >= 0);
    if (*child == 0) {
        for (; *words; words++) {
            kill(getppid(), SIGUSR1);
            if (fd_write_all(ends[1], *words, strlen(*words)) != 0)
                _exit(1);
        }
        _exit(0);
    }
    close(ends[1]);
    return ends[0];
}

static void ignore(int number)
{
    (void)number;
}

static void reading_goes_on_after_short_reads_and_signals(void **state)
{
    static const char *const words[] = {"one", "two", "three", NULL};
    const struct sigaction interrupt = {.sa_handler = ignore};
    struct sigaction former;
    char bytes[12] = "";
    pid_t child;
    int status;
    (void)state;
    assert_int_equal(sigaction(SIGUSR1, &interrupt, &former), 0);
    cleanup_fd int fd = start_writer(words, &child);
    assert_int_equal(fd_read_all(fd, bytes, 4), 4);
    assert_int_equal(fd_read_all(fd, bytes + 4, sizeof(bytes) - 4), 7);
    assert_string_equal(bytes, "onetwothree");
    while (waitpid(child, &status, 0) < 0)
        ;
    assert_int_equal(status, 0);
    assert_int_equal(sigaction(SIGUSR1, &former, NULL), 0);
}

static void reading_ends_where_the_file_does(void **state)
{
    char bytes[8];
    (void)state;
    kit_file("file", "abc");
    cleanup_fd int fd = kit_open("file", O_RDONLY);
    assert_int_equal(fd_read(fd, bytes, 2), 2);
    assert_int_equal(fd_read_all(fd, bytes, sizeof(bytes)), 1);
    assert_int_equal(fd_read_all(fd, bytes, sizeof(bytes)), 0);
    assert_int_equal(fd_read(fd, bytes, sizeof(bytes)), 0);
}

static void reading_says_why_it_cannot(void **state)
{
    char byte;
    (void)state;
    cleanup_fd int directory = fcntl(kit_root(), F_DUPFD_CLOEXEC, 0);
    assert_int_equal(fd_read(directory, &byte, 1), -EISDIR);
    assert_int_equal(fd_read_all(directory, &byte, 1), -EISDIR);
    assert_int_equal(fd_read(-1, &byte, 1), -EBADF);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(reading_goes_on_after_short_reads_and_signals),
        kit_test(reading_ends_where_the_file_does),
        kit_test(reading_says_why_it_cannot),
    };
    return kit_run("fd", tests, sizeof(tests) / sizeof(tests[0]));
}
