/* SPDX-License-Identifier: MIT
 *
 * What a command says on stdout, for people and for programs alike: every listing is an array of
 * JSON objects and a table of columns that says how a person sees them. The forms are those of the
 * field: --format table, json (one object in a line for each row), "{{.Field}} text {{.Other}}" and
 * "table {{.Field}}\t{{.Other}}"; -q the first column alone.
 */
#ifndef PLYFS_REPORT_H
#define PLYFS_REPORT_H

#include "arguments.h"
#include "own.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum column_kind {
    COLUMN_TEXT, /* a filter's value may be a part of it */
    COLUMN_WORD, /* one of a few words: a filter's value is the whole of it */
    COLUMN_ID,   /* 64 hex digits, shown as 12 unless --no-trunc */
    COLUMN_SIZE, /* bytes, shown in decimal units: 36B, 1.2kB, 3.45MB */
    COLUMN_TIME, /* RFC 3339 in JSON, shown as how long ago */
    COLUMN_COUNT,
    COLUMN_TRUTH, /* true or false */
    COLUMN_LIST,  /* an array, shown with commas */
};

struct column {
    const char *field; /* the JSON field, and the name in a template: "CreatedAt" */
    const char *title; /* "CREATED"; NULL: in JSON and templates only */
    enum column_kind kind;
    const char *const *words; /* of COLUMN_WORD: all that there are, with a NULL; or NULL */
};

/* A listing as it was asked for. A command has one in its options struct, sets `columns` and
 * `count`, and names the rest by REPORT_ARGUMENTS in its table of arguments. */
struct report {
    const struct column *columns;
    unsigned count;
    const char *format; /* what --format said, or NULL */
    bool quiet;         /* -q */
    bool no_trunc;
    uint64_t most;        /* rows that are told, of those that pass; 0: all */
    struct words filters; /* each "key=value", from -f/--filter; of arguments_finish() */
};

#define REPORT_COLUMNS(table) .columns = (table), .count = sizeof(table) / sizeof((table)[0])

/* The options that every listing has; `member` is the struct report in `type`. */
#define REPORT_ARGUMENTS(type, member)                                                             \
    {.name = "format",                                                                             \
     .kind = ARGUMENT_STRING,                                                                      \
     .at = offsetof(type, member.format),                                                          \
     .value = "FORM",                                                                              \
     .help = "table, json, '{{.Field}} ...' or 'table {{.Field}}\\t...'"},                         \
        {.name = "quiet",                                                                          \
         .letter = 'q',                                                                            \
         .kind = ARGUMENT_FLAG,                                                                    \
         .at = offsetof(type, member.quiet),                                                       \
         .help = "the first column alone"},                                                        \
        {.name = "filter",                                                                         \
         .letter = 'f',                                                                            \
         .kind = ARGUMENT_LIST,                                                                    \
         .at = offsetof(type, member.filters),                                                     \
         .value = "KEY=VALUE",                                                                     \
         .help = "only rows whose field has the value"},                                           \
    {                                                                                              \
        .name = "no-trunc", .kind = ARGUMENT_FLAG, .at = offsetof(type, member.no_trunc),          \
        .help = "whole ids"                                                                        \
    }

/* Whether --format and --filter make sense for these columns: 0, or -EINVAL with a message. To be
 * called before the work that fills the rows. A filter's key is a field, in upper or lower case;
 * its value is what a text contains, an id begins with, a number or truth value is (and no other
 * text), a size is or is shown as, an element of a list is. Filters of one key are alternatives;
 * those of several keys must all be met. */
must_check int report_check(const struct report *report);

/* Puts rows in order; `compare` is given pointers to json_t pointers, as qsort(3) does. */
must_check int report_sort(json_t *rows, int (*compare)(const void *left, const void *right));

/* Prints the rows (an array; borrowed) that pass the filters. -EIO, not told, when stdout takes no
 * more: main() tells that for all commands. */
must_check int report_print(const struct report *report, const json_t *rows);

/* Prints what `inspect` found, an array: indented JSON, or each element by `format` ("json" or a
 * template) in a line. */
must_check int report_print_value(const char *format, const json_t *value);

/* What `inspect` does: `find` adds what each word means to an array, or tells why not; what was
 * found is printed as above, also when something else was not. Then the last failure. */
must_check int report_words(const struct words *words, const char *format,
                            int (*find)(void *context, const char *word, json_t *found),
                            void *context);

/* A JSON string of bytes that need not be UTF-8: what is not is written \xNN. NULL is null. */
json_t *report_text(const char *bytes);

/* A number of bytes in decimal units, as the field shows it; `text` has room for 16 bytes. */
char *report_size(char text[16], uint64_t bytes);

/* "drwxr-xr-x", as ls(1) writes a mode. */
char *report_mode(char text[11], mode_t mode);

/* RFC 3339 with nanoseconds, UTC, of nanoseconds since 1970. `text` has room for 36 bytes. */
char *report_time(char text[36], int64_t when);

/* How long ago `when` was at `now`, both nanoseconds since 1970: "3 hours ago". */
char *report_ago(char text[36], int64_t when, int64_t now);

#endif
