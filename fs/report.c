/* SPDX-License-Identifier: MIT
 *
 * Duty: rows become lines. Every form of a listing is a template: the table is one made of the
 * titled columns, -q is its first field, json is {{json .}}. A line of a table is a rendered
 * template whose cells are divided by tabs; no value holds one, for values are escaped. Cost: the
 * lines of a table are held in memory until the widest cell is known.
 */
#include "report.h"

#include "cell.h"
#include "log.h"
#include "moment.h"
#include "template.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static const int64_t SECOND = 1000000000;

/* ---- numbers and times ---- */

char *report_size(char text[16], uint64_t bytes)
{
    static const char *const UNITS[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
    double value = (double)bytes;
    unsigned unit = 0;
    /* 999.5 would be rounded to four digits. */
    while (value >= 999.5 && unit + 1 < sizeof(UNITS) / sizeof(UNITS[0])) {
        value /= 1000;
        unit++;
    }
    snprintf(text, 16, "%.3g%s", value, UNITS[unit]);
    return text;
}

char *report_time(char text[36], int64_t when)
{
    int64_t nanoseconds = when % SECOND;
    if (nanoseconds < 0)
        nanoseconds += SECOND;
    time_t seconds = (time_t)((when - nanoseconds) / SECOND);
    struct tm date;
    char day[24];
    gmtime_r(&seconds, &date);
    strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &date);
    snprintf(text, 36, "%s.%09dZ", day, (int)nanoseconds);
    return text;
}

/* What report_time() wrote; false for anything else. */
static bool parse_time(const char *text, int64_t *when)
{
    struct tm date = {0};
    const char *end = strptime(text, "%Y-%m-%dT%H:%M:%S", &date);
    if (!end)
        return false;
    *when = (int64_t)timegm(&date) * SECOND;
    return true;
}

char *report_ago(char text[36], int64_t when, int64_t now)
{
    static const struct {
        const char *name;
        int64_t seconds;
    } UNITS[] = {{"year", 31556952}, {"month", 2629746}, {"week", 604800}, {"day", 86400},
                 {"hour", 3600},     {"minute", 60},     {"second", 1}};
    int64_t age = now / SECOND - when / SECOND;
    if (age < 1)
        return strcpy(text, "just now");
    /* Two of a unit at least: "90 minutes ago" says more than "1 hour ago". */
    unsigned unit = 0;
    while (UNITS[unit].seconds > 1 && age < 2 * UNITS[unit].seconds)
        unit++;
    int64_t count = age / UNITS[unit].seconds;
    snprintf(text, 36, "%" PRId64 " %s%s ago", count, UNITS[unit].name, count == 1 ? "" : "s");
    return text;
}

/* ---- modes ---- */

char *report_mode(char text[11], mode_t mode)
{
    static const struct {
        mode_t type;
        char letter;
    } TYPES[] = {{S_IFDIR, 'd'}, {S_IFLNK, 'l'}, {S_IFCHR, 'c'},
                 {S_IFBLK, 'b'}, {S_IFIFO, 'p'}, {S_IFSOCK, 's'}};
    static const struct {
        mode_t bit;
        int at;
        char with, without; /* the right to execute */
    } SPECIAL[] = {{S_ISUID, 3, 's', 'S'}, {S_ISGID, 6, 's', 'S'}, {S_ISVTX, 9, 't', 'T'}};
    text[0] = '-';
    for (size_t i = 0; i < sizeof(TYPES) / sizeof(TYPES[0]); i++)
        text[0] = (mode & S_IFMT) == TYPES[i].type ? TYPES[i].letter : text[0];
    for (int i = 0; i < 9; i++)
        text[1 + i] = mode & (0400U >> i) ? "rwx"[i % 3] : '-';
    for (size_t i = 0; i < sizeof(SPECIAL) / sizeof(SPECIAL[0]); i++) {
        char *at = &text[SPECIAL[i].at];
        if (mode & SPECIAL[i].bit)
            *at = *at == 'x' ? SPECIAL[i].with : SPECIAL[i].without;
    }
    text[10] = 0;
    return text;
}

/* ---- a value ---- */

json_t *report_text(const char *bytes)
{
    json_t *text = bytes ? json_string(bytes) : json_null();
    if (text)
        return text;
    char *escaped = NULL;
    size_t size;
    FILE *out = open_memstream(&escaped, &size);
    if (!out)
        return NULL;
    cell_write(out, bytes);
    if (fclose(out) == 0)
        text = json_string(escaped);
    free(escaped);
    return text;
}

static void write_json(FILE *out, const json_t *value)
{
    if (value)
        json_dumpf(value, out, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(15));
    else
        fputs("null", out);
}

/* A value of no particular kind: a text as it is, anything else as JSON, nothing as nothing. */
static void write_plain(FILE *out, const json_t *value)
{
    if (json_is_string(value))
        cell_write(out, json_string_value(value));
    else if (value && !json_is_null(value))
        write_json(out, value);
}

static void write_list(FILE *out, const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        fputs(i ? "," : "", out);
        write_plain(out, json_array_get(list, i));
    }
}

static void write_time(FILE *out, const json_t *value)
{
    char text[36];
    int64_t when;
    if (json_is_string(value) && parse_time(json_string_value(value), &when))
        fputs(report_ago(text, when, moment_now()), out);
    else
        write_plain(out, value);
}

static void write_id(FILE *out, const json_t *value, bool whole)
{
    const char *id = json_string_value(value);
    if (id && !whole)
        fprintf(out, "%.12s", strncmp(id, "sha256:", 7) == 0 ? id + 7 : id);
    else
        write_plain(out, value);
}

/* A value as a person wants to see it. */
static void write_value(FILE *out, const struct report *report, enum column_kind kind,
                        const json_t *value)
{
    char text[16];
    if (kind == COLUMN_ID)
        write_id(out, value, report->no_trunc);
    else if (kind == COLUMN_SIZE && json_is_integer(value))
        fputs(report_size(text, (uint64_t)json_integer_value(value)), out);
    else if (kind == COLUMN_TIME)
        write_time(out, value);
    else if (kind == COLUMN_LIST && json_is_array(value))
        write_list(out, value);
    else
        write_plain(out, value);
}

/* ---- lines ---- */

static const struct column *find_column(const struct report *report, const char *path)
{
    for (unsigned i = 0; i < report->count; i++) {
        if (template_begins(path, report->columns[i].field))
            return &report->columns[i];
    }
    return NULL;
}

static void write_field(FILE *out, const struct report *report, const struct template_piece *piece,
                        const json_t *row)
{
    const json_t *value = template_find(row, piece->text);
    const struct column *column = report ? find_column(report, piece->text) : NULL;
    if (piece->json)
        write_json(out, value);
    else if (column && strcmp(column->field, piece->text) == 0)
        write_value(out, report, column->kind, value);
    else
        write_plain(out, value);
}

/* `report` knows the kinds of the fields; it may be NULL. */
static void write_line(FILE *out, const struct report *report, const struct template *template,
                       const json_t *row)
{
    for (unsigned i = 0; i < template->count; i++) {
        const struct template_piece *piece = &template->pieces[i];
        if (piece->field)
            write_field(out, report, piece, row);
        else
            fputs(piece->text, out);
    }
}

/* The line above a table: each field's title, and where it has none its name. */
static void write_titles(FILE *out, const struct report *report, const struct template *template)
{
    for (unsigned i = 0; i < template->count; i++) {
        const struct template_piece *piece = &template->pieces[i];
        const struct column *column = piece->field ? find_column(report, piece->text) : NULL;
        bool titled = column && column->title && strcmp(column->field, piece->text) == 0;
        fputs(titled ? column->title : piece->text, out);
    }
}

/* ---- tables ---- */

enum { MOST_CELLS = 64 };

/* Lines, each a string of its own whose cells are divided by tabs. */
struct table {
    char **lines;
    size_t count, room;
    unsigned widths[MOST_CELLS];
};

static void table_finish(struct table *table)
{
    for (size_t i = 0; i < table->count; i++)
        free(table->lines[i]);
    free(table->lines);
}

/* Counts the width of each cell of a line in; its tabs become ends of strings and tabs again. */
static void measure(struct table *table, char *line)
{
    for (unsigned cell = 0; line && cell < MOST_CELLS; cell++) {
        char *tab = strchr(line, '\t');
        if (tab)
            *tab = 0;
        unsigned width = *line ? cell_width(line) : 1;
        if (width > table->widths[cell])
            table->widths[cell] = width;
        if (tab)
            *tab++ = '\t';
        line = tab;
    }
}

/* Takes ownership of `line`. */
static int add_line(struct table *table, char *line)
{
    if (table->count == table->room) {
        size_t room = table->room ? 2 * table->room : 64;
        char **lines = reallocarray(table->lines, room, sizeof(*lines));
        if (!lines)
            return free(line), -ENOMEM;
        table->lines = lines;
        table->room = room;
    }
    measure(table, line);
    table->lines[table->count++] = line;
    return 0;
}

/* Adds a row's line, or the titles where there is no row. */
static int add_row(struct table *table, const struct report *report,
                   const struct template *template, const json_t *row)
{
    char *line = NULL;
    size_t size;
    FILE *out = open_memstream(&line, &size);
    if (!out)
        return -ENOMEM;
    if (row)
        write_line(out, report, template, row);
    else
        write_titles(out, report, template);
    if (fclose(out) != 0)
        return free(line), -ENOMEM;
    return add_line(table, line);
}

/* An empty cell is a "-", so that every line has as many words; the last cell is not padded. */
static void print_aligned(const struct table *table, char *line)
{
    for (unsigned cell = 0; line; cell++) {
        char *tab = strchr(line, '\t');
        if (tab)
            *tab++ = 0;
        const char *text = *line ? line : "-";
        fputs(text, stdout);
        int pad = tab && cell < MOST_CELLS ? (int)(table->widths[cell] - cell_width(text)) : 0;
        if (tab)
            printf("%*s", pad + 2, "");
        line = tab;
    }
    putchar('\n');
}

/* ---- filters ---- */

/* The column that a filter's key names, and its value; NULL when there is none. */
static const struct column *filter_column(const struct report *report, const char *filter,
                                          const char **value)
{
    size_t length = strcspn(filter, "=");
    for (unsigned i = 0; filter[length] == '=' && i < report->count; i++) {
        const char *field = report->columns[i].field;
        if (strlen(field) == length && strncasecmp(field, filter, length) == 0) {
            *value = filter + length + 1;
            return &report->columns[i];
        }
    }
    return NULL;
}

/* What a filter says of a number: digits, and of a size a unit (1.2kB). Whether it is one. */
static bool read_number(enum column_kind kind, const char *wanted, uint64_t *number)
{
    char *end;
    if (kind == COLUMN_SIZE)
        return arguments_size(wanted, number) == 0;
    errno = 0;
    *number = strtoull(wanted, &end, 10);
    return isdigit((unsigned char)*wanted) && !*end && errno == 0;
}

static bool read_truth(const char *wanted, bool *truth)
{
    *truth = strcmp(wanted, "true") == 0 || strcmp(wanted, "1") == 0;
    return *truth || strcmp(wanted, "false") == 0 || strcmp(wanted, "0") == 0;
}

static bool number_is(enum column_kind kind, uint64_t value, const char *wanted)
{
    char shown[16];
    uint64_t number;
    return (kind == COLUMN_SIZE && strcmp(report_size(shown, value), wanted) == 0) ||
           (read_number(kind, wanted, &number) && value == number);
}

static bool value_is(enum column_kind kind, const json_t *value, const char *wanted)
{
    bool truth;
    if (json_is_string(value))
        return strcmp(json_string_value(value), wanted) == 0;
    if (json_is_boolean(value))
        return read_truth(wanted, &truth) && truth == json_is_true(value);
    return json_is_integer(value) && number_is(kind, (uint64_t)json_integer_value(value), wanted);
}

static bool value_passes(enum column_kind kind, const json_t *value, const char *wanted)
{
    if (kind == COLUMN_ID && json_is_string(value)) {
        if (strncmp(wanted, "sha256:", 7) == 0)
            wanted += 7;
        return strncmp(json_string_value(value), wanted, strlen(wanted)) == 0;
    }
    if (kind == COLUMN_LIST) {
        for (size_t i = 0; i < json_array_size(value); i++) {
            if (value_is(COLUMN_TEXT, json_array_get(value, i), wanted))
                return true;
        }
        return false;
    }
    /* "mounted" is a part of "unmounted", and "link" of "unlink". */
    if (kind != COLUMN_WORD && json_is_string(value))
        return strstr(json_string_value(value), wanted) != NULL;
    return value_is(kind, value, wanted);
}

/* Whether one of the filters on the column passes the row, or there is none. */
static bool column_passes(const struct report *report, const struct column *column,
                          const json_t *row)
{
    bool any = false;
    for (unsigned i = 0; i < report->filters.count; i++) {
        const char *wanted;
        if (filter_column(report, report->filters.at[i], &wanted) != column)
            continue;
        if (value_passes(column->kind, json_object_get(row, column->field), wanted))
            return true;
        any = true;
    }
    return !any;
}

static bool row_passes(const struct report *report, const json_t *row)
{
    for (unsigned i = 0; i < report->count; i++) {
        if (!column_passes(report, &report->columns[i], row))
            return false;
    }
    return true;
}

/* ---- forms ---- */

/* Writes the names of the fields that there are, with commas. */
static const char *name_fields(const struct report *report, char text[512])
{
    size_t used = 0;
    text[0] = 0;
    for (unsigned i = 0; i < report->count && used < 512; i++)
        used += (size_t)snprintf(text + used, 512 - used, "%s%s", i ? ", " : "",
                                 report->columns[i].field);
    return text;
}

static bool is_word(const char *const *words, const char *wanted)
{
    while (*words && strcmp(*words, wanted) != 0)
        words++;
    return *words;
}

/* Whether some row could have that value. */
static bool may_be(const struct column *column, const char *wanted)
{
    bool truth;
    uint64_t number;
    switch (column->kind) {
    case COLUMN_COUNT:
    case COLUMN_SIZE:
        return read_number(column->kind, wanted, &number);
    case COLUMN_TRUTH:
        return read_truth(wanted, &truth);
    case COLUMN_WORD:
        return !column->words || is_word(column->words, wanted);
    default:
        return true;
    }
}

static int refuse_value(const struct column *column, const char *wanted)
{
    char allowed[256] = "a size: 512, 64k, 1.2kB";
    size_t used = 0;
    if (column->kind == COLUMN_COUNT)
        strcpy(allowed, "a number");
    if (column->kind == COLUMN_TRUTH)
        strcpy(allowed, "true or false");
    for (unsigned i = 0; column->words && column->words[i] && used < sizeof(allowed); i++)
        used += (size_t)snprintf(allowed + used, sizeof(allowed) - used, "%s%s", i ? ", " : "",
                                 column->words[i]);
    log_error("--filter %s='%s': write %s", column->field, wanted, allowed);
    return -EINVAL;
}

static int check_filters(const struct report *report)
{
    const char *value;
    char fields[512];
    for (unsigned i = 0; i < report->filters.count; i++) {
        const char *filter = report->filters.at[i];
        const struct column *column = filter_column(report, filter, &value);
        if (column && !may_be(column, value))
            return refuse_value(column, value);
        if (column)
            continue;
        log_error("--filter: '%s' is not KEY=VALUE with a key that there is: %s", filter,
                  name_fields(report, fields));
        return -EINVAL;
    }
    return 0;
}

static int check_fields(const struct report *report, const struct template *template)
{
    char fields[512];
    for (unsigned i = 0; i < template->count; i++) {
        const struct template_piece *piece = &template->pieces[i];
        if (!piece->field || *piece->text == 0 || find_column(report, piece->text))
            continue;
        log_error("--format: there is no field '%s'; there are %s", piece->text,
                  name_fields(report, fields));
        return -EINVAL;
    }
    return 0;
}

/* The template of the table as it is without --format. */
static int make_table_template(const struct report *report, struct template *template)
{
    char text[1024] = "";
    size_t used = 0;
    for (unsigned i = 0; i < report->count && used < sizeof(text); i++) {
        if (report->columns[i].title)
            used += (size_t)snprintf(text + used, sizeof(text) - used, "%s{{.%s}}",
                                     used ? "\\t" : "", report->columns[i].field);
    }
    return template_parse(text, template);
}

/* The template that the report was asked for, and whether its lines are those of a table. */
static int make_template(const struct report *report, struct template *template, bool *table)
{
    const char *format = report->format;
    *table = false;
    if (report->quiet) {
        char first[128];
        snprintf(first, sizeof(first), "{{.%s}}", report->columns[0].field);
        return template_parse(first, template);
    }
    if (format && strcmp(format, "json") == 0)
        return template_parse("{{json .}}", template);
    *table = !format || strcmp(format, "table") == 0 || strncmp(format, "table ", 6) == 0;
    if (!*table)
        return template_parse(format, template);
    if (format && format[5] == ' ')
        return template_parse(format + 6, template);
    return make_table_template(report, template);
}

int report_check(const struct report *report)
{
    if (report->quiet && report->format) {
        log_error("-q and --format say different things; leave one out");
        return -EINVAL;
    }
    cleanup_template struct template template = {0};
    bool table;
    int err = make_template(report, &template, &table);
    if (!err)
        err = check_fields(report, &template);
    return err ? err : check_filters(report);
}

/* ---- printing ---- */

/* Told in the end, by main(). */
static int flush(void)
{
    return fflush(stdout) == 0 && !ferror(stdout) ? 0 : -EIO;
}

/* Whether a row is to be told, after those that were. */
static bool row_is_told(const struct report *report, const json_t *row, uint64_t *told)
{
    bool is_told = (report->most == 0 || *told < report->most) && row_passes(report, row);
    *told += is_told;
    return is_told;
}

static int print_table(const struct report *report, const struct template *template,
                       const json_t *rows)
{
    cleanup(table_finish) struct table table = {0};
    uint64_t told = 0;
    int err = add_row(&table, report, template, NULL);
    for (size_t i = 0; i < json_array_size(rows) && !err; i++) {
        const json_t *row = json_array_get(rows, i);
        if (row_is_told(report, row, &told))
            err = add_row(&table, report, template, row);
    }
    for (size_t i = 0; i < table.count && !err; i++)
        print_aligned(&table, table.lines[i]);
    return err;
}

static void print_lines(const struct report *report, const struct template *template,
                        const json_t *rows)
{
    uint64_t told = 0;
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        if (!row_is_told(report, row, &told))
            continue;
        write_line(stdout, report, template, row);
        putchar('\n');
    }
}

int report_sort(json_t *rows, int (*compare)(const void *left, const void *right))
{
    size_t count = json_array_size(rows);
    cleanup_free json_t **at = reallocarray(NULL, count + 1, sizeof(json_t *));
    if (!at)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        at[i] = json_incref(json_array_get(rows, i));
    if (count > 1)
        qsort(at, count, sizeof(json_t *), compare);
    int failed = 0;
    for (size_t i = 0; i < count; i++)
        failed |= json_array_set_new(rows, i, at[i]);
    return failed ? -ENOMEM : 0;
}

int report_print(const struct report *report, const json_t *rows)
{
    cleanup_template struct template template = {0};
    bool table;
    int err = make_template(report, &template, &table);
    if (!err && table)
        err = print_table(report, &template, rows);
    else if (!err)
        print_lines(report, &template, rows);
    return err ? err : flush();
}

static int tell_no_field(const char *path, json_t *object)
{
    char fields[512] = "";
    size_t used = 0;
    const char *field;
    json_t *value;
    json_object_foreach(object, field, value)
    {
        if (used < sizeof(fields))
            used += (size_t)snprintf(fields + used, sizeof(fields) - used, "%s%s", used ? ", " : "",
                                     field);
    }
    log_error("--format: there is no field '%s'; there are %s", path, fields);
    return -EINVAL;
}

/* The first part of each field must be there; further ones may be missing, as labels are. */
static int check_value_fields(const struct template *template, json_t *object)
{
    for (unsigned i = 0; i < template->count; i++) {
        const char *path = template->pieces[i].text;
        size_t length = strcspn(path, ".");
        if (template->pieces[i].field && length && !json_object_getn(object, path, length))
            return tell_no_field(path, object);
    }
    return 0;
}

int report_print_value(const char *format, const json_t *value)
{
    if (!format) {
        json_dumpf(value, stdout, JSON_ENCODE_ANY | JSON_INDENT(4));
        putchar('\n');
        return flush();
    }
    cleanup_template struct template template = {0};
    int err = template_parse(strcmp(format, "json") == 0 ? "{{json .}}" : format, &template);
    for (size_t i = 0; i < json_array_size(value) && !err; i++) {
        json_t *object = json_array_get(value, i);
        err = check_value_fields(&template, object);
        if (err)
            break;
        write_line(stdout, NULL, &template, object);
        putchar('\n');
    }
    return err ? err : flush();
}

int report_words(const struct words *words, const char *format,
                 int (*find)(void *context, const char *word, json_t *found), void *context)
{
    json_t *found = json_array();
    int failed = found ? 0 : -ENOMEM;
    for (unsigned i = 0; found && i < words->count; i++) {
        int err = find(context, words->at[i], found);
        failed = err ? err : failed;
    }
    int err = found ? report_print_value(format, found) : 0;
    json_decref(found);
    return err ? err : failed;
}
