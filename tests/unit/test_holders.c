/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "holders.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

/* A child that holds something and says so; it ends with the test. */
static pid_t hold(const char *cwd, const char *file)
{
    int ends[2];
    char byte;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        if (cwd && chdir(cwd) < 0)
            _exit(1);
        if (file && open(file, O_RDONLY) < 0)
            _exit(1);
        (void)!write(ends[1], "x", 1);
        for (;;)
            pause();
    }
    close(ends[1]);
    assert_int_equal(read(ends[0], &byte, 1), 1);
    close(ends[0]);
    return child;
}

static void let_go(pid_t child)
{
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

static int remember(void *context, const struct holder *holder)
{
    pid_t *found = context;
    assert_true(strlen(holder->name) > 0);
    *found = holder->pid;
    return 0;
}

static pid_t holder_of(const char *inside)
{
    pid_t found = 0;
    cleanup_free char *top = kit_path("m");
    assert_int_equal(holders_each(top, inside, 0, remember, &found), 0);
    return found;
}

static void who_works_in_a_directory_holds_it(void **state)
{
    (void)state;
    kit_tree("d m/data/sub, d m/database");
    cleanup_free char *cwd = kit_path("m/data/sub");
    pid_t child = hold(cwd, NULL);
    assert_int_equal(holder_of("/data"), child);
    assert_int_equal(holder_of("/data/sub"), child);
    assert_int_equal(holder_of("/database"), 0);
    let_go(child);
    assert_int_equal(holder_of("/data"), 0);
}

static void who_has_a_file_open_holds_what_it_is_in(void **state)
{
    (void)state;
    kit_tree("f m/data/sub/file text, f m/dat x");
    cleanup_free char *file = kit_path("m/data/sub/file");
    pid_t child = hold(NULL, file);
    assert_int_equal(holder_of("/data"), child);
    assert_int_equal(holder_of("/data/sub/file"), child);
    assert_int_equal(holder_of("/dat"), 0);
    let_go(child);
}

static void words_name_so_many(void **state)
{
    (void)state;
    pid_t children[3];
    char expected[64];
    kit_tree("d m/data");
    cleanup_free char *cwd = kit_path("m/data");
    cleanup_free char *top = kit_path("m");
    assert_null(holders_words(top, "/data", 0, 2));
    children[0] = hold(cwd, NULL);
    cleanup_free char *one = holders_words(top, "/data", 0, 2);
    snprintf(expected, sizeof(expected), "test_holders (%d)", (int)children[0]);
    assert_string_equal(one, expected);
    children[1] = hold(cwd, NULL);
    children[2] = hold(cwd, NULL);
    cleanup_free char *many = holders_words(top, "/data", 0, 2);
    assert_non_null(strstr(many, "), ..."));
    for (int i = 0; i < 3; i++)
        let_go(children[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(who_works_in_a_directory_holds_it),
        kit_test(who_has_a_file_open_holds_what_it_is_in),
        kit_test(words_name_so_many),
    };
    return kit_run("holders", tests, sizeof(tests) / sizeof(tests[0]));
}
