/* SPDX-License-Identifier: MIT
 *
 * The command line of one command, as a table: what options there are, what they take, and where in
 * the command's own struct it goes. --help comes from the same table. Options and words may be
 * mixed; behind "--" everything is a word. Strings are borrowed from argv.
 */
#ifndef PLYFS_ARGUMENTS_H
#define PLYFS_ARGUMENTS_H

#include "own.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Words in the order they were said. The array is owned, the words are not. */
struct words {
    const char **at;
    unsigned count;
};

must_check int words_add(struct words *words, const char *word);

/* Options with their values, in the order they were said. */
struct saying {
    const char *option, *value;
};
struct sayings {
    struct saying *at;
    unsigned count;
};

enum argument_kind {
    ARGUMENT_FLAG,   /* bool */
    ARGUMENT_STRING, /* const char *; the last one said counts */
    ARGUMENT_LIST,   /* struct words; every one said counts */
    ARGUMENT_SAYING, /* struct sayings, of all options that have it in common */
    ARGUMENT_SIZE,   /* uint64_t, bytes: 512, 64k, 1.5G (of 1024), 10GB (of 1000) */
    ARGUMENT_COUNT,  /* uint64_t, digits alone */
    ARGUMENT_CHOICE, /* int: which of `choices` */
};

struct argument {
    const char *name; /* without its dashes */
    char letter;      /* the short form, or 0 */
    enum argument_kind kind;
    size_t at;                  /* offsetof the member */
    const char *value;          /* what --help calls the value: "SIZE" */
    const char *help;           /* one line */
    const char *const *choices; /* ends with NULL */
};

struct syntax {
    const char *command;  /* "layer import" */
    const char *words;    /* what --help calls them: "SOURCE", "[LAYER]..." */
    unsigned least, most; /* how many words there must be, and may be */
    size_t words_at;      /* offsetof the struct words that takes them, where most > 0 */
    bool words_last;      /* options end at the first word: what follows belongs to it */
    const struct argument *arguments;
    unsigned count;
    const char *about;   /* what the command does, lines ended by \n */
    const char *example; /* "plyfs ..." */
};

enum { ARGUMENTS_HELPED = 1, ARGUMENTS_ANY = 1 << 30 };

#define ARGUMENTS(table) .arguments = (table), .count = sizeof(table) / sizeof((table)[0])

/* Fills the struct `options`, whose members hold what is said of nothing: 0; ARGUMENTS_HELPED when
 * --help was asked for and told; -EINVAL with a message that says what to do; -ENOMEM. */
must_check int arguments_parse(const struct syntax *syntax, int argc, char **argv, void *options);

/* Frees the lists in `options`; also after a parse that failed. */
void arguments_finish(const struct syntax *syntax, void *options);

/* A size as ARGUMENT_SIZE takes it; -EINVAL, or -ERANGE beyond 64 bits. */
must_check int arguments_size(const char *text, uint64_t *bytes);

/* The option that every command with a store has. `member` is a const char *; NULL: the usual
 * place. */
#define ARGUMENT_ROOT(type, member)                                                                \
    {                                                                                              \
        .name = "root", .kind = ARGUMENT_STRING, .at = offsetof(type, member), .value = "DIR",     \
        .help = "the store (else $PLYFS_ROOT, else the user's own)"                                \
    }

#endif
