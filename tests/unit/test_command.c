/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "command.h"

#include <string.h>

static int run_child(int argc, char **argv)
{
    assert_string_equal(argv[0], "child");
    return 10 + argc;
}

static const struct command CHILD = {.name = "child", .summary = "do it", .run = run_child};
static const struct command *const CHILDREN[] = {&CHILD, NULL};
static const struct command GROUP = {.name = "group", .summary = "things", .children = CHILDREN};

/* Runs the group with one word, and gives what it said on `fd`. */
static char *told(const char *word, int fd, int wanted)
{
    char name[] = "group", argument[32], *argv[] = {name, word ? argument : NULL, NULL};
    snprintf(argument, sizeof(argument), "%s", word ? word : "");
    FILE *file = tmpfile();
    assert_non_null(file);
    fflush(stdout);
    int before = dup(fd);
    dup2(fileno(file), fd);
    int status = command_dispatch(&GROUP, word ? 2 : 1, argv);
    fflush(stdout);
    dup2(before, fd);
    close(before);
    assert_int_equal(status, wanted);
    char *text = calloc(1, 1024);
    assert_non_null(text);
    rewind(file);
    assert_true(fread(text, 1, 1023, file) > 0);
    fclose(file);
    return text;
}

static void a_group_runs_the_child_that_is_named(void **state)
{
    (void)state;
    char name[] = "group", child[] = "child", more[] = "-x", *argv[] = {name, child, more, NULL};
    assert_int_equal(command_dispatch(&GROUP, 3, argv), 12);
}

static void help_lists_the_children(void **state)
{
    (void)state;
    char *text = told("--help", STDOUT_FILENO, 0);
    assert_non_null(strstr(text, "usage: plyfs group COMMAND"));
    assert_non_null(strstr(text, "  child      do it\n"));
    free(text);
}

static void a_group_alone_is_answered_with_its_usage(void **state)
{
    (void)state;
    char *text = told(NULL, STDERR_FILENO, 1);
    assert_non_null(strstr(text, "usage: plyfs group COMMAND"));
    free(text);
}

static void an_unknown_child_is_named(void **state)
{
    (void)state;
    char *text = told("chidl", STDERR_FILENO, 1);
    assert_non_null(strstr(text, "group: 'chidl' is no command; plyfs group --help lists them"));
    free(text);
}

static void only_a_whole_name_finds_a_command(void **state)
{
    (void)state;
    assert_ptr_equal(command_find(CHILDREN, "child"), &CHILD);
    assert_null(command_find(CHILDREN, "chil"));
    assert_null(command_find(CHILDREN, ""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_group_runs_the_child_that_is_named),
        cmocka_unit_test(help_lists_the_children),
        cmocka_unit_test(a_group_alone_is_answered_with_its_usage),
        cmocka_unit_test(an_unknown_child_is_named),
        cmocka_unit_test(only_a_whole_name_finds_a_command),
    };
    return cmocka_run_group_tests_name("command", tests, NULL, NULL);
}
