/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "arguments.h"

#include <stdio.h>
#include <string.h>

struct wish {
    bool all;
    const char *name, *root;
    struct words filters, words;
    uint64_t size, count;
    int way;
    struct sayings rules;
};

static const char *const WAYS[] = {"none", "gzip", "zstd", NULL};

static const struct argument TABLE[] = {
    {.name = "all", .letter = 'a', .kind = ARGUMENT_FLAG, .at = offsetof(struct wish, all)},
    {.name = "name",
     .letter = 'n',
     .kind = ARGUMENT_STRING,
     .at = offsetof(struct wish, name),
     .value = "NAME",
     .help = "what to call it"},
    {.name = "filter",
     .letter = 'f',
     .kind = ARGUMENT_LIST,
     .at = offsetof(struct wish, filters),
     .value = "KEY=VALUE"},
    {.name = "max-size", .kind = ARGUMENT_SIZE, .at = offsetof(struct wish, size), .value = "SIZE"},
    {.name = "top", .kind = ARGUMENT_COUNT, .at = offsetof(struct wish, count), .value = "N"},
    {.name = "compress",
     .kind = ARGUMENT_CHOICE,
     .at = offsetof(struct wish, way),
     .value = "WAY",
     .help = "how",
     .choices = WAYS},
    {.name = "yes", .kind = ARGUMENT_SAYING, .at = offsetof(struct wish, rules), .value = "X"},
    {.name = "no", .kind = ARGUMENT_SAYING, .at = offsetof(struct wish, rules), .value = "X"},
    ARGUMENT_ROOT(struct wish, root),
};

static const struct syntax SYNTAX = {
    .command = "thing make",
    .words = "SOURCE [TARGET]",
    .least = 1,
    .most = 2,
    .words_at = offsetof(struct wish, words),
    ARGUMENTS(TABLE),
    .about = "Makes a thing.\n",
    .example = "plyfs thing make --name a b",
};

enum { MOST_WORDS = 16 };

/* Parses a command line whose words are divided by blanks; argv lasts until the next one. */
static int parse(const struct syntax *syntax, const char *line, struct wish *wish)
{
    static char text[512];
    static char *argv[MOST_WORDS + 1];
    int argc = 0;
    snprintf(text, sizeof(text), "%s", line);
    for (char *word = strtok(text, " "); word && argc < MOST_WORDS; word = strtok(NULL, " "))
        argv[argc++] = word;
    argv[argc] = NULL;
    *wish = (struct wish){0};
    return arguments_parse(syntax, argc, argv, wish);
}

/* Parses, and gives what was said on the descriptor `fd` (stdout or stderr). */
static char *told(const char *line, int fd, int wanted)
{
    struct wish wish;
    fflush(stdout);
    FILE *file = tmpfile();
    assert_non_null(file);
    int before = dup(fd);
    dup2(fileno(file), fd);
    int got = parse(&SYNTAX, line, &wish);
    fflush(stdout);
    dup2(before, fd);
    close(before);
    arguments_finish(&SYNTAX, &wish);
    assert_int_equal(got, wanted);
    char *text = calloc(1, 4096);
    assert_non_null(text);
    rewind(file);
    size_t size = fread(text, 1, 4095, file);
    assert_true(size > 0);
    fclose(file);
    return text;
}

static void assert_refused(const char *line, const char *words)
{
    char *text = told(line, STDERR_FILENO, -EINVAL);
    if (!strstr(text, words))
        fail_msg("'%s' is not in: %s", words, text);
    free(text);
}

static void each_kind_goes_where_its_table_says(void **state)
{
    (void)state;
    struct wish wish;
    assert_int_equal(parse(&SYNTAX,
                           "make -a --name one -f a=b --filter=c=d --max-size 10k "
                           "--compress zstd --root /r source",
                           &wish),
                     0);
    assert_true(wish.all);
    assert_string_equal(wish.name, "one");
    assert_int_equal(wish.filters.count, 2);
    assert_string_equal(wish.filters.at[0], "a=b");
    assert_string_equal(wish.filters.at[1], "c=d");
    assert_int_equal(wish.size, 10240);
    assert_int_equal(wish.way, 2);
    assert_string_equal(wish.root, "/r");
    assert_int_equal(wish.words.count, 1);
    assert_string_equal(wish.words.at[0], "source");
    arguments_finish(&SYNTAX, &wish);
    assert_null(wish.words.at);
    assert_null(wish.filters.at);
}

static void options_that_share_a_list_keep_their_order(void **state)
{
    (void)state;
    struct wish wish;
    assert_int_equal(parse(&SYNTAX, "make --yes a --no b source --yes=c", &wish), 0);
    static const struct saying SAID[] = {{"yes", "a"}, {"no", "b"}, {"yes", "c"}};
    assert_int_equal(wish.rules.count, 3);
    for (unsigned i = 0; i < 3; i++) {
        assert_string_equal(wish.rules.at[i].option, SAID[i].option);
        assert_string_equal(wish.rules.at[i].value, SAID[i].value);
    }
    arguments_finish(&SYNTAX, &wish);
    assert_null(wish.rules.at);
}

static void what_is_not_said_stays_as_it_was(void **state)
{
    (void)state;
    struct wish wish;
    assert_int_equal(parse(&SYNTAX, "make source", &wish), 0);
    assert_false(wish.all);
    assert_null(wish.name);
    assert_int_equal(wish.filters.count, 0);
    arguments_finish(&SYNTAX, &wish);
}

static void options_may_stand_behind_words(void **state)
{
    (void)state;
    struct wish wish;
    assert_int_equal(parse(&SYNTAX, "make source -nx target -a", &wish), 0);
    assert_true(wish.all);
    assert_string_equal(wish.name, "x");
    assert_int_equal(wish.words.count, 2);
    assert_string_equal(wish.words.at[1], "target");
    arguments_finish(&SYNTAX, &wish);
}

static void behind_two_dashes_everything_is_a_word(void **state)
{
    (void)state;
    struct wish wish;
    assert_int_equal(parse(&SYNTAX, "make -- -a --name", &wish), 0);
    assert_false(wish.all);
    assert_int_equal(wish.words.count, 2);
    assert_string_equal(wish.words.at[0], "-a");
    assert_string_equal(wish.words.at[1], "--name");
    arguments_finish(&SYNTAX, &wish);
}

static void a_single_dash_is_a_word(void **state)
{
    (void)state;
    struct wish wish;
    assert_int_equal(parse(&SYNTAX, "make -", &wish), 0);
    assert_string_equal(wish.words.at[0], "-");
    arguments_finish(&SYNTAX, &wish);
}

static void a_command_within_keeps_its_options(void **state)
{
    (void)state;
    struct syntax syntax = SYNTAX;
    struct wish wish;
    syntax.words_last = true;
    syntax.most = ARGUMENTS_ANY;
    assert_int_equal(parse(&syntax, "run -a image ls --name -l", &wish), 0);
    assert_true(wish.all);
    assert_null(wish.name);
    assert_int_equal(wish.words.count, 4);
    assert_string_equal(wish.words.at[2], "--name");
    arguments_finish(&syntax, &wish);
}

static void what_is_wrong_is_named_with_what_to_do(void **state)
{
    (void)state;
    assert_refused("make --nonsense s", "thing make: unknown option '--nonsense'; plyfs thing make "
                                        "--help lists them");
    assert_refused("make -x s", "unknown option '-x'");
    assert_refused("make -ax s", "unknown option '-x'");
    assert_refused("make s --name", "--name needs a value: --name NAME");
    assert_refused("make s -n", "--name needs a value");
    assert_refused("make s --all=yes", "--all takes no value");
    assert_refused("make s --help=yes", "--help takes no value");
    assert_refused("make s --compress lz4", "--compress: 'lz4' is not a value it takes; there are "
                                            "none, gzip, zstd");
    assert_refused("make s --max-size ten", "--max-size: 'ten' is not a size");
    for (const char *const *word = (const char *const[]){"ten", "10k", "1.5", "-1", "+1", "0x10",
                                                         "99999999999999999999", NULL};
         *word; word++) {
        char line[64];
        snprintf(line, sizeof(line), "make s --top %s", *word);
        assert_refused(line, "is not a number; write 10");
    }
    assert_refused("make s --max-size 20000P", "more than can be counted");
    assert_refused("make", "SOURCE [TARGET] is missing; write plyfs thing make SOURCE [TARGET]");
    assert_refused("make a b c", "'c' is one word too many");
}

static void the_letter_asks_for_help_as_the_word_does(void **state)
{
    (void)state;
    for (const char *const *line =
             (const char *const[]){"make -h", "make -ah s", "make s -h -x", NULL};
         *line; line++) {
        char *text = told(*line, STDOUT_FILENO, ARGUMENTS_HELPED);
        assert_non_null(strstr(text, "usage: plyfs thing make "));
        free(text);
    }
}

static void help_is_made_from_the_table(void **state)
{
    (void)state;
    char *text = told("make --help --nonsense", STDOUT_FILENO, ARGUMENTS_HELPED);
    assert_non_null(strstr(text, "usage: plyfs thing make [option]... SOURCE [TARGET]\n"));
    assert_non_null(strstr(text, "Makes a thing.\n"));
    assert_non_null(strstr(text, "  -n, --name NAME          what to call it\n"));
    assert_non_null(strstr(text, "      --compress WAY       how: none, gzip, zstd\n"));
    assert_non_null(strstr(text, "      --root DIR "));
    assert_non_null(strstr(text, "  -h, --help "));
    assert_non_null(strstr(text, "\nexample: plyfs thing make --name a b\n"));
    free(text);
}

static void assert_size(const char *text, uint64_t wanted)
{
    uint64_t bytes = 0;
    assert_int_equal(arguments_size(text, &bytes), 0);
    assert_true(bytes == wanted);
}

static void sizes_count_in_1024_and_with_a_b_in_1000(void **state)
{
    (void)state;
    assert_size("0", 0);
    assert_size("512", 512);
    assert_size("512B", 512);
    assert_size("64k", 65536);
    assert_size("64KiB", 65536);
    assert_size("64kB", 64000);
    assert_size("1.5G", 1610612736);
    assert_size("10GB", 10000000000);
    assert_size("2t", 2199023255552);
    assert_size("18446744073709551615", UINT64_MAX);
}

static void what_is_no_size_is_refused(void **state)
{
    (void)state;
    static const char *const WRONG[] = {"",   "-1",   "k",   "1x",    "1kk", "1kBB",
                                        ".5", "1..5", "1,5", "0x10k", " 1",  "1 k"};
    uint64_t bytes;
    for (size_t i = 0; i < sizeof(WRONG) / sizeof(WRONG[0]); i++)
        assert_int_equal(arguments_size(WRONG[i], &bytes), -EINVAL);
    assert_int_equal(arguments_size("18446744073709551616", &bytes), -ERANGE);
    assert_int_equal(arguments_size("16384P", &bytes), -ERANGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_goes_where_its_table_says),
        cmocka_unit_test(options_that_share_a_list_keep_their_order),
        cmocka_unit_test(what_is_not_said_stays_as_it_was),
        cmocka_unit_test(options_may_stand_behind_words),
        cmocka_unit_test(behind_two_dashes_everything_is_a_word),
        cmocka_unit_test(a_single_dash_is_a_word),
        cmocka_unit_test(a_command_within_keeps_its_options),
        cmocka_unit_test(what_is_wrong_is_named_with_what_to_do),
        cmocka_unit_test(help_is_made_from_the_table),
        cmocka_unit_test(the_letter_asks_for_help_as_the_word_does),
        cmocka_unit_test(sizes_count_in_1024_and_with_a_b_in_1000),
        cmocka_unit_test(what_is_no_size_is_refused),
    };
    return cmocka_run_group_tests_name("arguments", tests, NULL, NULL);
}
