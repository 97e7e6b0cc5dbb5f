/* SPDX-License-Identifier: MIT
 *
 * Duty: from a note to JSON, and from JSON to a line with columns. A column that is too narrow for
 * what it holds pushes the others on.
 */
#include "traceline.h"

#include "cell.h"
#include "eventword.h"
#include "moment.h"
#include "report.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

/* ---- to JSON ---- */

static json_t *request_json(const struct trace_note *note)
{
    char time[36], caller[40];
    const struct event *event = &note->event;
    bool known = event->pid != 0;
    return json_pack(
        "{s:s, s:s, s:s, s:s, s:o, s:o, s:s?, s:o, s:o, s:o, s:o, s:I}", "Time",
        report_time(time, event->time), "Event", "request", "Operation", meter_op_word(note->op),
        "Cause", event->cause, "Path", report_text(event->path), "To", report_text(note->to),
        "Errno", note->err ? strerrorname_np(-note->err) : NULL, "Pid",
        known ? json_integer(event->pid) : json_null(), "Command",
        report_text(event->command[0] ? event->command : NULL), "Uid",
        known ? json_integer(event->uid) : json_null(), "Caller",
        report_text(eventword_caller(caller, event)), "Duration", (json_int_t)event->duration);
}

static json_t *route_json(const struct trace_note *note)
{
    static const char *const NOT_OF_A_ROUTE[] = {"Layer", "Size", "Moved", "Means", "Duration"};
    json_t *line = eventword_json(&note->event);
    if (!line)
        return NULL;
    for (size_t i = 0; i < sizeof(NOT_OF_A_ROUTE) / sizeof(NOT_OF_A_ROUTE[0]); i++)
        json_object_del(line, NOT_OF_A_ROUTE[i]);
    json_object_set_new(line, "Event", json_string("route"));
    json_object_set_new(line, "Source", report_text(note->to && *note->to ? note->to : NULL));
    return line;
}

json_t *traceline_json(const struct trace_note *note)
{
    switch (note->kind) {
    case TRACE_REQUEST:
        return request_json(note);
    case TRACE_ROUTE:
        return route_json(note);
    default:
        return eventword_json(&note->event);
    }
}

json_t *traceline_missed(uint64_t count)
{
    char time[36];
    return json_pack("{s:s, s:s, s:I}", "Time", report_time(time, moment_now()), "Event", "missed",
                     "Count", (json_int_t)count);
}

json_t *traceline_unmounted(void)
{
    char time[36];
    return json_pack("{s:s, s:s}", "Time", report_time(time, moment_now()), "Event", "unmounted");
}

/* ---- for people ---- */

char *traceline_took(char text[16], int64_t nanoseconds)
{
    static const char *const UNITS[] = {"ns", "us", "ms", "s"};
    double value = (double)nanoseconds;
    unsigned unit = 0;
    while (value >= 999.5 && unit + 1 < sizeof(UNITS) / sizeof(UNITS[0])) {
        value /= 1000;
        unit++;
    }
    snprintf(text, 16, value < 9.95 && unit > 0 ? "%.1f%s" : "%.0f%s", value, UNITS[unit]);
    return text;
}

static const char *text_in(const json_t *line, const char *field)
{
    const char *text = json_string_value(json_object_get(line, field));
    return text ? text : "";
}

static int64_t number_in(const json_t *line, const char *field)
{
    return json_integer_value(json_object_get(line, field));
}

/* The user's own time of day, to the microsecond. */
static void print_time(FILE *out, const char *time)
{
    struct tm date = {0}, here;
    char day[16] = "";
    const char *rest = strptime(time, "%Y-%m-%dT%H:%M:%S", &date);
    time_t seconds = rest ? timegm(&date) : 0;
    if (rest && localtime_r(&seconds, &here))
        strftime(day, sizeof(day), "%H:%M:%S", &here);
    fprintf(out, "%s%.7s", day, rest ? rest : "");
}

/* Bytes that need not be a terminal's friends, padded to a width. */
static void print_cell(FILE *out, const char *text, unsigned width)
{
    char *clean = NULL;
    size_t size;
    FILE *cell = open_memstream(&clean, &size);
    if (!cell)
        return;
    cell_write(cell, text);
    if (fclose(cell) == 0) {
        unsigned used = cell_width(clean);
        fprintf(out, "%s%*s", clean, used < width ? (int)(width - used) : 0, "");
    }
    free(clean);
}

enum { OP_WIDTH = 12, CALLER_WIDTH = 20, PATH_WIDTH = 32 };

static void print_copyup(FILE *out, const json_t *line)
{
    char size[16], moved[16];
    fprintf(out, "copy-up of layer %" PRId64 ": ", number_in(line, "Layer"));
    if (strcmp(text_in(line, "Type"), "file") != 0)
        fputs(text_in(line, "Type"), out);
    else
        fprintf(out, "%s of %s, %s", report_size(moved, (uint64_t)number_in(line, "Moved")),
                report_size(size, (uint64_t)number_in(line, "Size")), text_in(line, "Means"));
}

static void print_request(FILE *out, const json_t *line)
{
    const char *to = text_in(line, "To"), *err = text_in(line, "Errno");
    fputs(*err ? err : "ok", out);
    if (*to) {
        fputs(" -> ", out);
        print_cell(out, to, 0);
    }
}

static void print_route(FILE *out, const json_t *line)
{
    const char *source = text_in(line, "Source");
    fputs("into the volume ", out);
    print_cell(out, *source ? source : "tmpfs", 0);
}

static void print_what(FILE *out, const json_t *line)
{
    const char *event = text_in(line, "Event");
    if (strcmp(event, "copyup") == 0)
        print_copyup(out, line);
    else if (strcmp(event, "request") == 0)
        print_request(out, line);
    else if (strcmp(event, "route") == 0)
        print_route(out, line);
    else
        print_cell(out, event, 0);
}

/* What is no one's doing: it has no columns. */
static bool print_note(FILE *out, const json_t *line)
{
    const char *event = text_in(line, "Event");
    if (strcmp(event, "missed") == 0)
        fprintf(out, "  ... %" PRId64 " lines missed: they came faster than they were read\n",
                number_in(line, "Count"));
    else if (strcmp(event, "unmounted") == 0)
        fputs("  unmounted\n", out);
    else
        return false;
    return true;
}

void traceline_print(FILE *out, const json_t *line)
{
    char took[16] = "-";
    print_time(out, text_in(line, "Time"));
    if (print_note(out, line))
        return;
    if (number_in(line, "Duration") > 0)
        traceline_took(took, number_in(line, "Duration"));
    fprintf(out, " %7s  ", took);
    print_cell(out, text_in(line, "Cause"), OP_WIDTH);
    fputs("  ", out);
    print_cell(out, text_in(line, "Caller"), CALLER_WIDTH);
    fputs("  ", out);
    const char *path = text_in(line, "Path");
    print_cell(out, *path ? path : "(no name)", PATH_WIDTH);
    fputs("  ", out);
    print_what(out, line);
    fputc('\n', out);
}

void traceline_print_titles(FILE *out)
{
    fprintf(out, "%-15s %7s  %-*s  %-*s  %-*s  %s\n", "TIME", "TOOK", OP_WIDTH, "FOR", CALLER_WIDTH,
            "CALLER", PATH_WIDTH, "PATH", "WHAT");
}
