/* SPDX-License-Identifier: MIT
 *
 * What a command says on stdout, for people and for programs alike: every listing is an array of
 * JSON objects and a table of columns that says how a person sees them. The forms are those of the
 * field:
 * --format table, json (one object in a line for each row), "{{.Field}} text {{.Other}}" and
 * "table {{.Field}}\t{{.Other}}"; -q the first column alone.
 */
#ifndef PLYFS_REPORT_H
#define PLYFS_REPORT_H

#include "own.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum column_kind {
    COLUMN_TEXT,
    COLUMN_ID,   /* 64 hex digits, shown as 12 unless --no-trunc */
    COLUMN_SIZE, /* bytes, shown in decimal units: 36B, 1.2kB, 3.45MB */
    COLUMN_TIME, /* RFC 3339 in JSON, shown as how long ago */
    COLUMN_COUNT,
    COLUMN_LIST, /* an array, shown with commas */
};

struct column {
    const char *field; /* the JSON field, and the name in a template: "CreatedAt" */
    const char *title; /* "CREATED"; NULL: in JSON and templates only */
    enum column_kind kind;
};

struct report {
    const struct column *columns;
    unsigned count;
    const char *format; /* what --format said, or NULL */
    bool quiet;         /* -q */
    bool no_trunc;
    char **filters; /* each "key=value", from -f/--filter */
    unsigned filter_count;
};

/* Takes one word of --filter or --format: -EINVAL with a message when it makes no sense for these
 * columns. A filter on a text column keeps rows that contain the value (on an id: begin with it).
 */
must_check int report_add_filter(struct report *report, const char *word);
must_check int report_set_format(struct report *report, const char *word);
void report_finish(struct report *report);

/* Prints the rows (an array; borrowed) that pass the filters. */
must_check int report_print(const struct report *report, const json_t *rows);

/* Prints one value as `inspect` does: indented JSON, or by a template. */
must_check int report_print_value(const char *format, const json_t *value);

/* A number of bytes in decimal units, as the field shows it; `text` has room for 16 bytes. */
char *report_size(char text[16], uint64_t bytes);

/* RFC 3339 with nanoseconds, UTC, of nanoseconds since 1970. `text` has room for 36 bytes. */
char *report_time(char text[36], int64_t when);

#endif
