/* SPDX-License-Identifier: MIT
 *
 * Duty: getopt_long(3), fed from a table and put into a struct. Its own messages are off: ours name
 * the command and say what to do.
 */
#include "arguments.h"

#include "log.h"

#include <ctype.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

enum { MOST_ARGUMENTS = 32, LONG_BASE = 256, HELP = LONG_BASE + MOST_ARGUMENTS };

/* What getopt_long(3) wants to have of a table. An option comes back as LONG_BASE + its index,
 * whichever way it was written, except that its letter comes back as itself. */
struct getopt_form {
    struct option options[MOST_ARGUMENTS + 2];
    char letters[2 * MOST_ARGUMENTS + 4];
};

static void make_form(const struct syntax *syntax, struct getopt_form *form)
{
    char *letter = form->letters;
    if (syntax->words_last)
        *letter++ = '+';
    *letter++ = ':'; /* tells a missing value from an unknown option */
    unsigned count = syntax->count < MOST_ARGUMENTS ? syntax->count : MOST_ARGUMENTS;
    for (unsigned i = 0; i < count; i++) {
        const struct argument *argument = &syntax->arguments[i];
        bool takes = argument->kind != ARGUMENT_FLAG;
        form->options[i] = (struct option){.name = argument->name,
                                           .has_arg = takes ? required_argument : no_argument,
                                           .val = LONG_BASE + (int)i};
        if (argument->letter) {
            *letter++ = argument->letter;
            if (takes)
                *letter++ = ':';
        }
    }
    *letter = 0;
    if (!strchr(form->letters, 'h'))
        strcpy(letter, "h");
    form->options[count] = (struct option){.name = "help", .val = HELP};
    form->options[count + 1] = (struct option){0};
}

/* The argument that getopt_long(3) means by `code`, or NULL. */
static const struct argument *find_argument(const struct syntax *syntax, int code)
{
    for (unsigned i = 0; i < syntax->count; i++) {
        if (code == LONG_BASE + (int)i || (code != 0 && code == syntax->arguments[i].letter))
            return &syntax->arguments[i];
    }
    return NULL;
}

/* ---- values ---- */

int words_add(struct words *words, const char *word)
{
    const char **at = reallocarray(words->at, words->count + 1, sizeof(*at));
    if (!at)
        return -ENOMEM;
    words->at = at;
    at[words->count++] = word;
    return 0;
}

static int sayings_add(struct sayings *sayings, const char *option, const char *value)
{
    struct saying *at = reallocarray(sayings->at, sayings->count + 1, sizeof(*at));
    if (!at)
        return -ENOMEM;
    sayings->at = at;
    at[sayings->count++] = (struct saying){.option = option, .value = value};
    return 0;
}

/* What the letters behind a number make of one: "k", "kB" or "KiB" and their like; 0: nothing. */
static uint64_t unit_factor(const char *unit)
{
    static const char POWERS[] = "kmgtp";
    if (*unit == 0 || strcasecmp(unit, "b") == 0)
        return 1;
    const char *power = strchr(POWERS, tolower((unsigned char)*unit));
    if (!power)
        return 0;
    bool binary = unit[1] == 0 || strcasecmp(unit + 1, "ib") == 0;
    if (!binary && strcasecmp(unit + 1, "b") != 0)
        return 0;
    uint64_t factor = 1;
    for (const char *at = POWERS; at <= power; at++)
        factor *= binary ? 1024 : 1000;
    return factor;
}

int arguments_size(const char *text, uint64_t *bytes)
{
    size_t length = strspn(text, "0123456789.");
    uint64_t factor = unit_factor(text + length);
    char number[32];
    if (length == 0 || length >= sizeof(number) || factor == 0 || text[0] == '.')
        return -EINVAL;
    memcpy(number, text, length);
    number[length] = 0;
    char *end;
    errno = 0;
    uint64_t whole = strtoull(number, &end, 10);
    if (errno != 0 || __builtin_mul_overflow(whole, factor, bytes))
        return -ERANGE;
    double fraction = *end == '.' ? strtod(end, &end) : 0;
    if (*end)
        return -EINVAL;
    return __builtin_add_overflow(*bytes, (uint64_t)(fraction * (double)factor), bytes) ? -ERANGE
                                                                                        : 0;
}

static int take_size(const struct syntax *syntax, const struct argument *argument,
                     const char *value, uint64_t *bytes)
{
    int err = arguments_size(value, bytes);
    if (err == -EINVAL)
        log_error("%s: --%s: '%s' is not a size; write 512, 64k, 10M, 1.5G or 10GB",
                  syntax->command, argument->name, value);
    else if (err)
        log_error("%s: --%s: '%s' is more than can be counted", syntax->command, argument->name,
                  value);
    return err ? -EINVAL : 0;
}

static int take_count(const struct syntax *syntax, const struct argument *argument,
                      const char *value, uint64_t *count)
{
    char *end;
    errno = 0;
    *count = strtoull(value, &end, 10);
    if (isdigit((unsigned char)*value) && !*end && errno == 0)
        return 0;
    log_error("%s: --%s: '%s' is not a number; write 10", syntax->command, argument->name, value);
    return -EINVAL;
}

static int take_choice(const struct syntax *syntax, const struct argument *argument,
                       const char *value, int *choice)
{
    char all[256] = "";
    size_t used = 0;
    for (int i = 0; argument->choices[i]; i++) {
        if (strcmp(argument->choices[i], value) == 0)
            return *choice = i, 0;
        if (used < sizeof(all))
            used += (size_t)snprintf(all + used, sizeof(all) - used, "%s%s", i ? ", " : "",
                                     argument->choices[i]);
    }
    log_error("%s: --%s: '%s' is not a value it takes; there are %s", syntax->command,
              argument->name, value, all);
    return -EINVAL;
}

static int take_value(const struct syntax *syntax, const struct argument *argument,
                      const char *value, void *options)
{
    void *member = (char *)options + argument->at;
    switch (argument->kind) {
    case ARGUMENT_FLAG:
        return *(bool *)member = true, 0;
    case ARGUMENT_STRING:
        return *(const char **)member = value, 0;
    case ARGUMENT_LIST:
        return words_add(member, value);
    case ARGUMENT_SAYING:
        return sayings_add(member, argument->name, value);
    case ARGUMENT_SIZE:
        return take_size(syntax, argument, value, member);
    case ARGUMENT_COUNT:
        return take_count(syntax, argument, value, member);
    case ARGUMENT_CHOICE:
        return take_choice(syntax, argument, value, member);
    }
    return -EINVAL;
}

/* ---- help ---- */

static void tell_argument(const struct argument *argument)
{
    char left[64], letter[8] = "    ";
    if (argument->letter)
        snprintf(letter, sizeof(letter), "-%c, ", argument->letter);
    snprintf(left, sizeof(left), "  %s--%s %s", letter, argument->name,
             argument->value ? argument->value : "");
    printf("%-26s %s", left, argument->help);
    for (int i = 0; argument->choices && argument->choices[i]; i++)
        printf("%s%s", i ? ", " : ": ", argument->choices[i]);
    putchar('\n');
}

static void tell_help(const struct syntax *syntax)
{
    const char *words = syntax->words ? syntax->words : "";
    printf("usage: plyfs %s [option]...%s%s\n\n%s\noptions:\n", syntax->command, *words ? " " : "",
           words, syntax->about);
    for (unsigned i = 0; i < syntax->count; i++)
        tell_argument(&syntax->arguments[i]);
    printf("%-26s %s\n", "  -h, --help", "this text");
    if (syntax->example)
        printf("\nexample: %s\n", syntax->example);
}

/* ---- parsing ---- */

/* getopt_long(3) gave '?' or ':' for the word before argv[optind]. optopt is the letter or code of
 * an option that there is, or 0 where there is no long one of that name. */
static int tell_refused(const struct syntax *syntax, int option, const char *word)
{
    const char *command = syntax->command;
    const struct argument *known = find_argument(syntax, optopt);
    if (option == ':')
        log_error("%s: --%s needs a value: --%s %s", command, known->name, known->name,
                  known->value);
    else if (optopt >= LONG_BASE)
        log_error("%s: --%s takes no value", command, known ? known->name : "help");
    else if (optopt)
        log_error("%s: unknown option '-%c'; plyfs %s --help lists them", command, optopt, command);
    else
        log_error("%s: unknown option '%s'; plyfs %s --help lists them", command, word, command);
    return -EINVAL;
}

static int take_words(const struct syntax *syntax, int count, char **words, void *options)
{
    const char *command = syntax->command;
    if ((unsigned)count > syntax->most) {
        log_error("%s: '%s' is one word too many; see plyfs %s --help", command,
                  words[syntax->most], command);
        return -EINVAL;
    }
    if ((unsigned)count < syntax->least) {
        log_error("%s: %s is missing; write plyfs %s %s", command,
                  count ? "something" : syntax->words, command, syntax->words);
        return -EINVAL;
    }
    int err = 0;
    for (int i = 0; i < count && !err; i++)
        err = words_add((struct words *)(void *)((char *)options + syntax->words_at), words[i]);
    return err;
}

int arguments_parse(const struct syntax *syntax, int argc, char **argv, void *options)
{
    struct getopt_form form;
    make_form(syntax, &form);
    optind = 0; /* 0 and not 1: the GNU way to forget an earlier command line */
    opterr = 0;
    int option, err = 0;
    while (!err && (option = getopt_long(argc, argv, form.letters, form.options, NULL)) != -1) {
        if (option == HELP || (option == 'h' && !find_argument(syntax, option)))
            return tell_help(syntax), ARGUMENTS_HELPED;
        err = option == '?' || option == ':'
                  ? tell_refused(syntax, option, argv[optind - 1])
                  : take_value(syntax, find_argument(syntax, option), optarg, options);
    }
    return err ? err : take_words(syntax, argc - optind, argv + optind, options);
}

void arguments_finish(const struct syntax *syntax, void *options)
{
    for (unsigned i = 0; i < syntax->count; i++) {
        if (syntax->arguments[i].kind == ARGUMENT_LIST) {
            struct words *list = (void *)((char *)options + syntax->arguments[i].at);
            free(list->at);
            *list = (struct words){0};
        } else if (syntax->arguments[i].kind == ARGUMENT_SAYING) {
            struct sayings *sayings = (void *)((char *)options + syntax->arguments[i].at);
            free(sayings->at);
            *sayings = (struct sayings){0};
        }
    }
    if (syntax->most > 0) {
        struct words *words = (void *)((char *)options + syntax->words_at);
        free(words->at);
        *words = (struct words){0};
    }
}
